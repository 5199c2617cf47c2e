//! Every call to AWS goes wrong in every way, in an issue and in a revocation, of every type of credential; the server lives
//! or is killed; IAM is slow to show what is new, or not; tags are kept, dropped or refused.
//!
//! What a call suffers is tried at every call; the other factors one at a time for each of these, and then two at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Failure, Rule, Tags, When};
use leasehold::base::Clock;
use leasehold::policy::Operation;
use serde_json::json;

use super::client::{Seen, look_up};
use super::operation::{Deed, Doing};
use super::stage::{Stage, on_stage};
use super::store::Side;
use super::world::World;

/// Whether and when the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Never,
    /// When the call has arrived, and nothing of it is done.
    Before,
    /// When it has suffered what it suffers, before the next one is answered.
    After,
    /// When AWS has answered the last call, and the client has no reply.
    Reply(Side),
}

/// What else is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) kill: Kill,
    /// Fresh users and keys are not shown for six seconds.
    pub(super) hides: bool,
    pub(super) tags: Tags,
}

/// What a call suffers, once or as long as the deed lasts.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) effect: Effect,
    pub(super) lasts: bool,
}

const PLAIN: Setting = Setting { kill: Kill::Never, hides: false, tags: Tags::Kept };

const KILLS: [Kill; 4] = [Kill::Before, Kill::After, Kill::Reply(Side::Before), Kill::Reply(Side::After)];

pub(super) fn effects() -> Vec<Effect> {
    vec![
        Effect::Refuse(Failure::new(403, "AccessDenied", "User is not authorized to perform this action")),
        Effect::ExecuteThenDropReply,
        Effect::DropBefore,
        Effect::LateEffect { after: Duration::from_secs(5) },
        Effect::LateEffect { after: Duration::from_mins(10) },
        Effect::ExecuteThen500,
        Effect::Silence { lasting: Duration::ZERO },
        Effect::Throttle,
        Effect::Silence { lasting: Duration::from_secs(35) },
    ]
}

fn troubles() -> Vec<Trouble> {
    let all = effects().into_iter();
    all.flat_map(|effect| [false, true].map(|lasts| Trouble { effect: effect.clone(), lasts })).collect()
}

/// The other factors one at a time.
fn singly() -> Vec<Setting> {
    let mut all = vec![PLAIN, Setting { hides: true, ..PLAIN }];
    all.extend(KILLS.map(|kill| Setting { kill, ..PLAIN }));
    all.extend([Tags::Dropped, Tags::Refused].map(|tags| Setting { tags, ..PLAIN }));
    all
}

/// And two at a time.
fn in_pairs() -> Vec<Setting> {
    let mut all = Vec::new();
    for kill in KILLS {
        all.push(Setting { kill, hides: true, ..PLAIN });
        all.extend([Tags::Dropped, Tags::Refused].map(|tags| Setting { kill, tags, ..PLAIN }));
    }
    all.extend([Tags::Dropped, Tags::Refused].map(|tags| Setting { hides: true, tags, ..PLAIN }));
    all
}

impl Setting {
    pub(super) fn arm(self, stage: &Stage) {
        let faults = stage.sandbox.faults();
        faults.treat_tags(self.tags);
        if self.hides {
            let lasting = Duration::from_secs(6);
            for effect in [Effect::HideUser { lasting }, Effect::HideKeys { lasting, listed: false }] {
                faults.add(Rule { action: None, user: None, when: When::Every, effect });
            }
        }
    }
}

/// The calls of a deed when nothing goes wrong.
async fn healthy(stage: &Arc<Stage>, role: &'static str, deed: Deed) -> Vec<String> {
    let mut world = World::new(stage, "nothing goes wrong".to_owned(), 1800).await;
    world.role = role;
    world.prepare(&[deed]).await;
    let before = usize::try_from(stage.sandbox.count()).unwrap();
    let doing = world.begin(deed).await;
    world.complete(doing).await;
    let calls = stage.sandbox.calls().into_iter().skip(before).map(|call| call.action).collect();
    world.end().await;
    calls
}

/// One run.
async fn run(stage: &Arc<Stage>, role: &'static str, deed: Deed, (k, action): (u32, &str), trouble: &Trouble, set: Setting) {
    let title = format!("{deed:?} {role}, call {k} {action}: {trouble:?}, {set:?}");
    let mut world = World::new(stage, title, 1800).await;
    world.role = role;
    world.prepare(&[deed]).await;
    set.arm(stage);
    let faults = stage.sandbox.faults();
    let nth = |k: u32, effect: Effect| Rule { action: None, user: None, when: When::Nth(k), effect };
    match set.kill {
        Kill::Before => faults.add(nth(k, Effect::Hang)),
        _ if trouble.lasts => {
            let effect = trouble.effect.clone();
            faults.add(Rule { action: Some(action.to_owned()), user: None, when: When::Every, effect });
        }
        _ => faults.add(nth(k, trouble.effect.clone())),
    }
    match set.kill {
        Kill::After => faults.add(nth(k + 1, Effect::Hang)),
        // An issue commits its intent, then its lease; a revocation that it is one, then that it is done.
        Kill::Reply(side) => world.store.stop(1, side),
        Kill::Never | Kill::Before => {}
    }
    let doing = world.begin(deed).await;
    let is_killed = until_killed(&world, set.kill, &doing).await;
    if is_killed {
        world.crash(Duration::ZERO).await;
        drop(doing);
    } else {
        world.store.let_go();
        world.complete(doing).await;
        faults.clear();
        faults.release();
    }
    if deed == Deed::Issue && set.kill != Kill::Reply(Side::After) {
        settled_soon(&world).await;
    }
    world.rotates().await;
    world.end().await;
    stage.give_keys(true);
}

/// Lets it go on to the place where it is killed, if it comes there.
async fn until_killed(world: &World, kill: Kill, doing: &Doing) -> bool {
    let mut left = Duration::from_mins(2);
    while kill != Kill::Never && !left.is_zero() {
        let is_done = world.is_done(doing).await;
        let is_there = match kill {
            Kill::Never => false,
            Kill::Before | Kill::After => world.stage.sandbox.faults().hanging() > 0,
            Kill::Reply(_) => world.store.is_stopped(),
        };
        if is_there || is_done {
            return is_there;
        }
        left = left.saturating_sub(world.step(left));
    }
    false
}

/// Half-built users are gone ten seconds after the issue failed or the server was unsealed; where a call takes effect later,
/// seventy seconds after that.
async fn settled_soon(world: &World) {
    world.live(Duration::from_secs(10)).await;
    let strays = world.strays();
    if !strays.is_empty() {
        world.violated(&format!("ten seconds later there are {strays:?}"));
    }
    let faults = world.stage.sandbox.faults();
    if faults.late() == 0 {
        return;
    }
    let mut left = Duration::from_mins(15);
    while faults.late() > 0 && !left.is_zero() {
        world.quiet().await;
        left = left.saturating_sub(world.step(Duration::from_secs(10)));
    }
    world.live(Duration::from_secs(70)).await;
    let strays = world.strays();
    if !strays.is_empty() {
        world.violated(&format!("seventy seconds after they appeared there are {strays:?}"));
    }
}

/// Some of the cases: `part` of `parts`, so that they run side by side.
fn every_call(role: &'static str, deed: Deed, part: usize, parts: usize) {
    on_stage(|stage| async move {
        let calls = healthy(&stage, role, deed).await;
        let (mut cases, mut seen) = (0, HashSet::new());
        let pairs = in_pairs();
        // So many at a time that every pair comes with every call, and with every trouble.
        let each = pairs.len().div_ceil(calls.len());
        for (k, action) in (1..).zip(&calls) {
            for (n, trouble) in troubles().into_iter().enumerate() {
                let first = usize::try_from(k).unwrap() * each + n;
                let more = (first..first + each).map(|pair| pairs[pair % pairs.len()]);
                for set in singly().into_iter().chain(more) {
                    cases += 1;
                    seen.insert(format!("{k} {set:?}"));
                    seen.insert(format!("{trouble:?} {set:?}"));
                    if cases % parts == part {
                        run(&stage, role, deed, (k, action), &trouble, set).await;
                    }
                }
            }
        }
        println!("{deed:?} of {role}, part {part} of {parts}: {} calls, {cases} cases in all parts", calls.len());
        assert!(calls.len() > 4 && cases > 400);
        assert_eq!(seen.len(), (calls.len() + troubles().len()) * (singly().len() + pairs.len()), "not all pairs");
    });
}

#[test]
fn an_issue_all_of_whose_calls_go_wrong_leaves_nothing_one() {
    every_call("full", Deed::Issue, 0, 2);
}

#[test]
fn an_issue_all_of_whose_calls_go_wrong_leaves_nothing_two() {
    every_call("full", Deed::Issue, 1, 2);
}

#[test]
fn a_revocation_all_of_whose_calls_go_wrong_leaves_nothing_one() {
    every_call("full", Deed::Revoke, 0, 2);
}

#[test]
fn a_revocation_all_of_whose_calls_go_wrong_leaves_nothing_two() {
    every_call("full", Deed::Revoke, 1, 2);
}

/// Credentials of STS: whoever has some has a lease that shows them, and no lease outlives them.
fn every_call_of_sts(role: &'static str) {
    on_stage(|stage| async move {
        let mut cases = 0;
        for k in 1..=2 {
            for trouble in troubles() {
                for kill in [Kill::Never, Kill::Before, Kill::After, Kill::Reply(Side::Before), Kill::Reply(Side::After)] {
                    sts(&stage, role, k, &trouble, kill).await;
                    cases += 1;
                }
            }
        }
        println!("Issue of {role}: {cases} cases");
    });
}

async fn sts(stage: &Arc<Stage>, role: &'static str, k: u32, trouble: &Trouble, kill: Kill) {
    let mut world = World::new(stage, format!("{role}, call {k}: {trouble:?}, {kill:?}"), 7200).await;
    let faults = stage.sandbox.faults();
    let when = if trouble.lasts { When::Every } else { When::Nth(k) };
    match kill {
        Kill::Before => faults.add(Rule { action: None, user: None, when: When::Nth(k), effect: Effect::Hang }),
        _ => faults.add(Rule { action: None, user: None, when, effect: trouble.effect.clone() }),
    }
    match kill {
        Kill::After => faults.add(Rule { action: None, user: None, when: When::Nth(k + 1), effect: Effect::Hang }),
        Kill::Reply(side) => world.store.stop(0, side),
        Kill::Never | Kill::Before => {}
    }
    let asked = Doing::Request(world.request(&world.stage.root, Operation::Read, &format!("aws/sts/{role}"), json!({})));
    if until_killed(&world, kill, &asked).await {
        world.crash(Duration::ZERO).await;
        world.rotates().await;
        world.end().await;
        stage.give_keys(true);
        return;
    }
    world.store.let_go();
    let Doing::Request(asked) = asked else { return };
    let reply = world.finish(asked).await;
    if let Some(held) = reply.held(world.clock.now()) {
        let seen = look_up(&world.core, &stage.root, &held.lease).await;
        if seen != Seen::Shown {
            world.violated(&format!("a credential was handed out, and lease {} is not shown: {seen:?}", held.lease));
        }
    } else if reply.is_ok {
        world.violated("a credential without a lease");
    }
    faults.clear();
    faults.release();
    world.rotates().await;
    world.end().await;
    stage.give_keys(true);
}

#[test]
fn an_assumed_role_whose_calls_go_wrong_leaves_nothing() {
    every_call_of_sts("assume");
}

#[test]
fn a_federation_token_whose_calls_go_wrong_leaves_nothing() {
    every_call_of_sts("federate");
}

#[test]
fn a_session_token_whose_calls_go_wrong_leaves_nothing() {
    every_call_of_sts("session");
}
