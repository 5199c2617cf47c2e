//! AWS is away for twenty minutes while a thousand leases end, and then takes ten calls a second of each action.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Phase, Rule, Throttling, When};
use leasehold::base::Clock;
use leasehold::policy::Operation;
use serde_json::json;

use super::client::ask;
use super::stage::{Stage, on_stage};
use super::world::World;

/// How AWS is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Answers503,
    Cuts,
    IsSilent,
}

impl Away {
    fn effect(self) -> Effect {
        match self {
            Self::Answers503 => Effect::Silence { lasting: Duration::ZERO },
            Self::Cuts => Effect::DropBefore,
            Self::IsSilent => Effect::Hang,
        }
    }

    /// Within which all keys are dead.
    fn keys_dead_within(self) -> Duration {
        Duration::from_secs(if self == Self::IsSilent { 125 } else { 120 })
    }
}

async fn lend(world: &World, count: usize) {
    let root = world.stage.root.clone();
    for _ in 0..count / AT_ONCE {
        let asked: Vec<_> = (0..AT_ONCE).map(|_| world.request(&root, Operation::Read, "aws/creds/r", json!({}))).collect();
        for asked in asked {
            let reply = world.finish(asked).await;
            assert!(reply.is_ok, "{}", reply.text);
        }
    }
}

/// A client that issues without pause, as long as `goes_on`.
fn client(world: &World, goes_on: &Arc<AtomicBool>) {
    let (core, root, goes_on) = (Arc::clone(&world.core), world.stage.root.clone(), Arc::clone(goes_on));
    world.stage.tasks.spawn(async move {
        while goes_on.load(Ordering::Relaxed) {
            let _reply = ask(&core, &root, Operation::Read, "aws/creds/r", json!({})).await;
        }
    });
}

async fn run(stage: Arc<Stage>, away: Away, clients: usize) {
    let world = World::new(&stage, format!("{away:?}, {clients} clients"), 1800).await;
    let sandbox = &stage.sandbox;
    lend(&world, LEASES).await;
    let lent = sandbox.users();
    assert_eq!((lent.len(), sandbox.key_count()), (LEASES, LEASES));
    world.live(Duration::from_secs(595)).await;
    sandbox.faults().add(Rule { action: None, user: None, when: When::Every, effect: away.effect() });
    let goes_on = Arc::new(AtomicBool::new(true));
    (0..clients).for_each(|_| client(&world, &goes_on));
    let before = sandbox.count();
    world.live(OUTAGE).await;
    let calls = sandbox.count() - before;
    if clients == 0 {
        assert!(calls <= 3 * OUTAGE.as_secs(), "{calls} calls while AWS was away");
    }
    assert_eq!(sandbox.key_count(), LEASES);

    sandbox.faults().clear();
    sandbox.limit_calls(Some(10.0));
    let start = world.clock.elapsed();
    let (mut keys_dead, mut users_gone, mut at_ten) = (None, None, None);
    while users_gone.is_none() {
        world.quiet().await;
        let passed = world.clock.elapsed().saturating_sub(start);
        if at_ten.is_none() && passed >= Duration::from_secs(10) {
            at_ten = Some(sandbox.throttling());
        }
        let left: Vec<_> = lent.iter().filter_map(|name| sandbox.user(name)).collect();
        if keys_dead.is_none() && left.iter().all(|user| user.keys.is_empty()) {
            keys_dead = Some(passed);
        }
        if left.is_empty() {
            users_gone = Some(passed);
        }
        assert!(passed < Duration::from_secs(400), "{} users are left", left.len());
        for _ in 0..20 {
            world.step(Duration::from_millis(200));
            world.quiet().await;
        }
    }
    let Throttling { passed, refused } = sandbox.throttling();
    let at_ten = at_ten.unwrap();
    let (passed, refused) = (passed - at_ten.passed, refused - at_ten.refused);
    let said = format!(
        "{away:?}, {clients} clients: {calls} calls while away; keys dead after {keys_dead:?}, users gone after {users_gone:?}, {refused} of {} throttled",
        passed + refused
    );
    println!("{said}");
    assert!(keys_dead.unwrap() <= away.keys_dead_within(), "{said}");
    assert!(users_gone.unwrap() <= Duration::from_secs(150), "{said}");
    assert!(refused * 20 <= passed + refused, "{said}");
    assert!(world.store.disk.keys("lease/stuck/").is_empty(), "{said}");
    assert!(world.store.disk.keys("lease/failing/").is_empty(), "{said}");
    goes_on.store(false, Ordering::Relaxed);
    sandbox.limit_calls(None);
    if clients == 0 {
        world.end().await;
    }
}

#[test]
fn a_thousand_leases_end_after_an_outage_that_answers_503() {
    on_stage(|stage| run(stage, Away::Answers503, 0));
}

#[test]
fn a_thousand_leases_end_after_an_outage_that_cuts() {
    on_stage(|stage| run(stage, Away::Cuts, 0));
}

#[test]
fn a_thousand_leases_end_after_an_outage_that_is_silent() {
    on_stage(|stage| run(stage, Away::IsSilent, 0));
}

#[test]
fn who_issues_without_pause_delays_no_revocation() {
    on_stage(|stage| run(stage, Away::Cuts, 3));
}

/// What the lane asks while AWS is silent, and when: action, seconds.
fn asked(world: &World) -> Arc<Mutex<Vec<(String, Duration)>>> {
    let (asked, clock) = (Arc::<Mutex<Vec<(String, Duration)>>>::default(), Arc::clone(&world.clock));
    let noted = Arc::clone(&asked);
    world.stage.sandbox.faults().on_call(Arc::new(move |action, phase| {
        if phase == Phase::Before {
            noted.lock().unwrap().push((action.to_owned(), clock.elapsed()));
        }
    }));
    asked
}

#[test]
fn while_aws_is_silent_one_small_call_at_a_time_asks_for_its_end() {
    on_stage(|stage| async move {
        let world = World::new(&stage, "probes".to_owned(), 1800).await;
        lend(&world, 3 * AT_ONCE).await;
        world.live(Duration::from_secs(595)).await;
        stage.sandbox.faults().add(Rule { action: None, user: None, when: When::Every, effect: Effect::Hang });
        // The attempts under way when it began have thirty seconds a call; then the rests grow to ten seconds.
        world.live(Duration::from_secs(150)).await;
        let asked = asked(&world);
        let mut begun = world.clock.elapsed();
        let mut most = 0;
        while world.clock.elapsed().saturating_sub(begun) < OUTAGE {
            world.quiet().await;
            most = most.max(stage.sandbox.faults().hanging());
            world.step(Duration::from_secs(1));
        }
        assert_eq!(most, 1, "one call at a time");
        let probes = std::mem::take(&mut *asked.lock().unwrap());
        let others: Vec<_> = probes.iter().filter(|(action, _)| action != "DeleteAccessKey").collect();
        assert!(others.is_empty(), "only the first step of a revocation is asked: {others:?}");
        for pair in probes.windows(2) {
            let apart = pair[1].1.saturating_sub(pair[0].1);
            // Five seconds for the call, and a rest of five to ten.
            assert!((10_000..=15_100).contains(&apart.as_millis()), "{apart:?}");
        }
        assert!(probes.len() >= 70, "{} probes", probes.len());
        let status = world.finish(world.request(&stage.root, Operation::Read, "aws/status", json!({}))).await.body;
        assert_eq!(status["data"]["lane"]["state"], "resting", "{status}");
        assert!(status["data"]["lane"]["resting_until"].is_string(), "{status}");
        assert_eq!(status["data"]["estimated_drain_seconds"], json!(null), "{status}");
        stage.sandbox.faults().clear();
        stage.sandbox.faults().release();
        begun = world.clock.elapsed();
        while stage.sandbox.key_count() > 0 {
            world.quiet().await;
            let passed = world.clock.elapsed().saturating_sub(begun);
            assert!(passed <= Duration::from_secs(15), "the end of the outage is not noticed: {passed:?}");
            world.step(Duration::from_millis(200));
        }
        let first = asked.lock().unwrap().first().map(|(_, at)| at.saturating_sub(begun)).unwrap();
        assert!(first <= Duration::from_secs(10), "noticed after {first:?}");
        println!("{} probes in {OUTAGE:?}; its end was noticed after {first:?}", probes.len());
        world.end().await;
    });
}

#[test]
fn nobody_else_waits_for_an_aws_that_hangs() {
    on_stage(|stage| async move {
        let world = World::new(&stage, "AWS hangs".to_owned(), 1800).await;
        lend(&world, AT_ONCE).await;
        let root = stage.root.clone();
        let leases = world.finish(world.request(&root, Operation::List, "sys/leases/lookup/aws/creds/r/", json!({}))).await;
        let first = leases.body["data"]["keys"][0].as_str().unwrap().to_owned();
        stage.sandbox.faults().add(Rule { action: None, user: None, when: When::Every, effect: Effect::Hang });
        let mut hanging = Vec::new();
        for _ in 0..AT_ONCE {
            hanging.push(world.request(&root, Operation::Read, "aws/creds/r", json!({})));
        }
        hanging.push(world.request(&root, Operation::Update, "sys/leases/revoke-prefix/aws/creds/r", json!({ "sync": true })));
        world.quiet().await;
        assert!(stage.sandbox.faults().hanging() > 0);
        let mut asked = Vec::new();
        for _ in 0..1000 {
            asked.push(world.request(&root, Operation::Read, "auth/token/lookup-self", json!({})));
            let lease = format!("aws/creds/r/{first}");
            asked.push(world.request(&root, Operation::Update, "sys/leases/lookup", json!({ "lease_id": lease })));
        }
        let before = world.clock.elapsed();
        for _ in 0..100 {
            world.quiet().await;
        }
        assert!(asked.iter().all(tokio::task::JoinHandle::is_finished));
        for asked in asked {
            let reply = asked.await.unwrap();
            assert!(reply.is_ok, "{}", reply.text);
        }
        assert_eq!(world.clock.elapsed(), before);
        assert!(hanging.iter().all(|asked| !asked.is_finished()));
        stage.sandbox.faults().clear();
        world.end().await;
    });
}

const LEASES: usize = 1000;
const AT_ONCE: usize = 20;
const OUTAGE: Duration = Duration::from_mins(20);
