//! Rotations whose calls or commits go wrong, with a kill or without: the server always holds a key that works, nobody has
//! more than two, what somebody else made stays, and the next rotation works at once.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Rule, When};
use leasehold::policy::Operation;
use serde_json::json;

use super::crash::effects;
use super::rotation_world::{ADMIN, APP, Play};
use super::stage::{Stage, on_stage};
use super::store::Side;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// `config/rotate-root`.
    Root,
    /// A static role is made.
    Begin,
    /// Its time has come.
    Due,
    /// It is deleted.
    Delete,
}

/// What one call suffers, and what else is so.
#[derive(Clone, Debug)]
struct Trouble {
    effect: Effect,
    /// Not this call only: all of its action, as long as the request lasts.
    lasts: bool,
    kill: Kill,
    /// Fresh keys are not shown, and refused, for six seconds.
    hides: bool,
}

/// Whether and when the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    Never,
    /// While the call hangs.
    Hanging,
    /// When it has suffered what it suffers, before the next one is answered.
    After,
    /// Once the request was answered.
    Answered,
}

/// All effects, once and lasting, with each kill and with keys that are not shown; each kill with such keys in turn, so that
/// every pair comes with every effect.
fn troubles(lasting: &[bool]) -> Vec<Trouble> {
    let mut all = Vec::new();
    for hides in [false, true] {
        for effect in [Effect::Hang, Effect::ExecuteThenHang] {
            all.push(Trouble { effect, lasts: false, kill: Kill::Hanging, hides });
        }
    }
    for effect in effects() {
        for lasts in lasting {
            let of = |kill, hides| Trouble { effect: effect.clone(), lasts: *lasts, kill, hides };
            all.extend([of(Kill::Never, false), of(Kill::Never, true), of(Kill::After, false), of(Kill::Answered, false)]);
            all.push(of(if *lasts { Kill::After } else { Kill::Answered }, true));
        }
    }
    all
}

impl Play {
    /// What must be there before.
    async fn prepare(&mut self, deed: Deed) {
        if matches!(deed, Deed::Due | Deed::Delete) {
            self.begin_role().await;
        }
        if deed == Deed::Due {
            self.live(PERIOD.saturating_sub(Duration::from_secs(2))).await;
        }
    }

    async fn begin_role(&mut self) {
        let reply = self.ask(Operation::Update, "aws/static-roles/r", role()).await;
        if !reply.is_ok {
            self.violated(&format!("a static role cannot be made: {}", reply.text));
        }
        self.has_static = true;
    }

    /// Does it; whether it was answered as done, if anybody waits.
    async fn does(&mut self, deed: Deed) -> bool {
        let reply = match deed {
            Deed::Root => self.request(Operation::Update, "aws/config/rotate-root", json!({})),
            Deed::Begin => self.request(Operation::Update, "aws/static-roles/r", role()),
            Deed::Delete => self.request(Operation::Delete, "aws/static-roles/r", json!({})),
            Deed::Due => {
                self.live(Duration::from_secs(4)).await;
                return true;
            }
        };
        self.finish(reply).await.is_ok
    }

    /// Begins it, and lets it run to where it is stopped, as long as that at the most.
    async fn begins(&self, deed: Deed, mut left: Duration) {
        let asked = match deed {
            Deed::Root => Some(self.request(Operation::Update, "aws/config/rotate-root", json!({}))),
            Deed::Begin => Some(self.request(Operation::Update, "aws/static-roles/r", role())),
            Deed::Delete => Some(self.request(Operation::Delete, "aws/static-roles/r", json!({}))),
            Deed::Due => None,
        };
        loop {
            self.quiet().await;
            let is_over = asked.as_ref().is_some_and(tokio::task::JoinHandle::is_finished);
            if left.is_zero() || self.sandbox.faults().hanging() > 0 || self.store.is_stopped() || is_over {
                return;
            }
            left = left.saturating_sub(self.step(left));
        }
    }

    /// Whatever became of it, the next one works at once.
    async fn works(&mut self, deed: Deed, before: Option<&str>) {
        self.check().await;
        match deed {
            Deed::Root => {
                let reply = self.ask(Operation::Update, "aws/config/rotate-root", json!({})).await;
                let held = self.held(ADMIN).await;
                if !reply.is_ok || held.as_deref() == before || reply.body["data"]["access_key"].as_str() != held.as_deref() {
                    self.violated(&format!("the next rotation does not work: {} {held:?}", reply.text));
                }
            }
            Deed::Begin => self.begin_role().await,
            Deed::Due => {
                let mut left = Duration::from_mins(2);
                while self.held(APP).await.as_deref() == before {
                    if left.is_zero() {
                        self.violated("the static role is not rotated");
                    }
                    self.quiet().await;
                    left = left.saturating_sub(self.step(Duration::from_secs(5)));
                }
            }
            Deed::Delete => {
                // It may be gone.
                let reply = self.ask(Operation::Delete, "aws/static-roles/r", json!({})).await;
                if !reply.is_ok {
                    self.violated(&format!("it cannot be deleted: {}", reply.text));
                }
                self.has_static = false;
            }
        }
    }
}

fn role() -> serde_json::Value {
    json!({ "username": APP, "rotation_period": PERIOD.as_secs() })
}

/// The calls of it when nothing goes wrong.
async fn healthy(stage: &Arc<Stage>, deed: Deed, is_shared: bool) -> Vec<String> {
    let mut play = Play::new(stage, format!("{deed:?}, nothing goes wrong")).await;
    if is_shared {
        play.stranger(APP);
    }
    play.prepare(deed).await;
    let before = usize::try_from(play.sandbox.count()).unwrap();
    play.does(deed).await;
    let calls = play.sandbox.calls().into_iter().skip(before).map(|call| call.action).collect();
    play.has_static = deed == Deed::Begin || deed == Deed::Due;
    play.end(usize::from(deed == Deed::Due)).await;
    calls
}

/// One run.
async fn run(stage: &Arc<Stage>, deed: Deed, trouble: &Trouble, (k, action): (u32, &str), is_shared: bool) {
    let title = format!("{deed:?}, call {k} {action}: {trouble:?}, with a stranger's key: {is_shared}");
    let Trouble { effect, lasts, kill, hides } = trouble;
    let mut play = Play::new(stage, title).await;
    if is_shared {
        play.stranger(APP);
    }
    play.prepare(deed).await;
    let before = play.held(if deed == Deed::Root { ADMIN } else { APP }).await;
    let may_be_gone = deed == Deed::Delete;
    play.has_static &= !may_be_gone;
    let faults = play.sandbox.faults();
    let rule = |when, effect: &Effect| Rule { action: None, user: None, when, effect: effect.clone() };
    if *hides {
        faults.every("CreateAccessKey", Effect::HideKeys { lasting: Duration::from_secs(6), listed: false });
    }
    if *lasts {
        faults.every(action, effect.clone());
    } else {
        faults.add(rule(When::Nth(k), effect));
    }
    if *kill == Kill::After {
        faults.add(rule(When::Nth(k + 1), &Effect::Hang));
    }
    match kill {
        Kill::Hanging | Kill::After => {
            play.begins(deed, Duration::from_mins(2)).await;
            if *kill == Kill::Hanging && play.sandbox.faults().hanging() == 0 {
                play.violated("there is no such call");
            }
            play.crash().await;
        }
        Kill::Never | Kill::Answered => drop(play.does(deed).await),
    }
    if *kill == Kill::Answered {
        play.crash().await;
    }
    play.sandbox.faults().clear();
    play.works(deed, before.as_deref()).await;
    play.end(usize::from(deed == Deed::Due)).await;
}

/// Every call with every trouble; beside a stranger's key what lasts is left out.
fn at_each_call(deed: Deed, is_shared: bool) {
    on_stage(|stage| async move {
        let calls = healthy(&stage, deed, is_shared).await;
        let troubles = troubles(if is_shared { &[false] } else { &[false, true] });
        let mut cases = 0;
        for (k, action) in (1..).zip(&calls) {
            for trouble in &troubles {
                run(&stage, deed, trouble, (k, action), is_shared).await;
                cases += 1;
            }
        }
        println!("{deed:?}, beside a stranger's key: {is_shared}: {} calls, {cases} cases", calls.len());
        assert!(calls.len() > 1, "{deed:?} calls nobody");
    });
}

#[test]
fn a_rotation_of_the_root_key_whose_calls_go_wrong_leaves_a_key_that_works() {
    at_each_call(Deed::Root, false);
}

#[test]
fn a_static_role_that_begins_while_calls_go_wrong_has_one_key() {
    at_each_call(Deed::Begin, false);
}

#[test]
fn a_static_role_that_begins_beside_a_strangers_key_leaves_that_alone() {
    at_each_call(Deed::Begin, true);
}

#[test]
fn a_static_rotation_whose_calls_go_wrong_leaves_a_key_that_works() {
    at_each_call(Deed::Due, false);
}

#[test]
fn a_static_role_that_is_deleted_while_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::Delete, false);
}

#[test]
fn a_static_role_that_is_deleted_beside_a_strangers_key_leaves_that_alone() {
    at_each_call(Deed::Delete, true);
}

/// What storage does to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Power,
    PowerAnswering,
    Answer { kill: bool },
}

async fn run_commit(stage: &Arc<Stage>, deed: Deed, loss: Loss, n: u64) -> bool {
    let mut play = Play::new(stage, format!("{deed:?}, {loss:?} at commit {n}")).await;
    play.prepare(deed).await;
    let before = play.held(if deed == Deed::Root { ADMIN } else { APP }).await;
    play.has_static &= deed != Deed::Delete;
    let commits = play.store.disk.commits();
    match loss {
        Loss::Power => play.store.disk.lose_power_after(n),
        Loss::PowerAnswering => play.store.disk.lose_power_answering(n),
        Loss::Answer { .. } => play.store.disk.lose_answer_after(n),
    }
    play.does(deed).await;
    let struck = match loss {
        Loss::Answer { .. } => play.store.disk.commits() - commits > n,
        Loss::Power | Loss::PowerAnswering => play.store.disk.is_dead(),
    };
    play.store.disk.lose_power_after(u64::MAX);
    if play.store.disk.is_dead() || loss == (Loss::Answer { kill: true }) {
        play.crash().await;
    }
    play.works(deed, before.as_deref()).await;
    play.end(usize::from(deed == Deed::Due)).await;
    struck
}

#[test]
fn a_rotation_that_loses_storage_leaves_a_key_that_works() {
    on_stage(|stage| async move {
        for deed in [Deed::Root, Deed::Begin, Deed::Due, Deed::Delete] {
            for loss in [Loss::Power, Loss::PowerAnswering, Loss::Answer { kill: false }, Loss::Answer { kill: true }] {
                let mut n = 0;
                while run_commit(&stage, deed, loss, n).await {
                    n += 1;
                }
                assert!(n >= 1, "{deed:?} commits nothing");
            }
        }
    });
}

/// Chance that can be had again (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Kills the process at a step of chance, before or behind it.
async fn rotate_and_kill(play: &mut Play, deed: Deed, chance: &mut Chance) {
    if chance.below(3) == 0 {
        let hidden = Effect::HideKeys { lasting: Duration::from_secs(chance.below(16)), listed: chance.below(2) == 1 };
        play.sandbox.faults().next("CreateAccessKey", hidden);
    }
    let is_behind = chance.below(2) == 1;
    if chance.below(2) == 1 {
        let effect = if is_behind { Effect::ExecuteThenHang } else { Effect::Hang };
        let when = When::Nth(u32::try_from(1 + chance.below(9)).unwrap());
        play.sandbox.faults().add(Rule { action: None, user: None, when, effect });
    } else {
        play.store.stop(chance.below(6), if is_behind { Side::After } else { Side::Before });
    }
    if deed == Deed::Due {
        play.live(PERIOD).await;
    }
    play.begins(deed, Duration::from_secs(4)).await;
    play.crash().await;
}

fn fifty_in_a_row(seed: u64) {
    on_stage(|stage| async move {
        println!("seed {seed}");
        let mut chance = Chance(seed);
        let mut play = Play::new(&stage, format!("fifty in a row, seed {seed}")).await;
        play.begin_role().await;
        for _ in 0..50 {
            let deed = if chance.below(4) == 0 { Deed::Due } else { Deed::Root };
            rotate_and_kill(&mut play, deed, &mut chance).await;
        }
        play.works(Deed::Root, None).await;
        play.live(PERIOD * 2).await;
        play.end(1).await;
    });
}

#[test]
fn fifty_rotations_in_a_row_each_killed_at_some_step_leave_a_key_that_works() {
    for seed in [1, 2, 3, 0x9e37_79b9_7f4a_7c15] {
        fifty_in_a_row(seed);
    }
    fifty_in_a_row(u64::from_le_bytes(leasehold::base::random::bytes::<8>()) | 1);
}

#[test]
fn a_strangers_second_key_survives_rotations_that_are_killed() {
    on_stage(|stage| async move {
        let mut chance = Chance(7);
        let mut play = Play::new(&stage, "beside strangers' keys".to_owned()).await;
        play.stranger(APP);
        play.begin_role().await;
        play.stranger(ADMIN);
        let before = play.held(ADMIN).await;
        for _ in 0..50 {
            let deed = if chance.below(2) == 0 { Deed::Due } else { Deed::Root };
            rotate_and_kill(&mut play, deed, &mut chance).await;
        }
        assert_eq!(play.held(ADMIN).await, before, "there is no place for a new key");
        let reply = play.ask(Operation::Update, "aws/config/rotate-root", json!({})).await;
        assert!(reply.text.contains("already has two access keys"), "{}", reply.text);
        play.end(0).await;
    });
}

/// Of the static role.
const PERIOD: Duration = Duration::from_hours(2);
