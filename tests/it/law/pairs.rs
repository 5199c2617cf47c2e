//! Two deeds at a time: one is stopped at each commit and each call, the other runs, then the first goes on.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Rule, When};

use super::operation::{Deed, Doing};
use super::stage::{Stage, on_stage};
use super::store::Side;
use super::world::World;

/// Where the first is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// At a commit, counted from its begin.
    Commit(u64, Side),
    /// At a call, counted from one: AWS has done it, and does not answer.
    Call(u32),
}

/// What runs meanwhile.
const SECONDS: [Deed; 17] = [
    Deed::Issue,
    Deed::Renew,
    Deed::Revoke,
    Deed::RevokePrefix,
    Deed::RevokeToken,
    Deed::TokenEnds,
    Deed::Disable,
    Deed::Remount,
    Deed::Seal,
    Deed::SealOverdue,
    Deed::Jump,
    Deed::Apart,
    Deed::DeleteRole,
    Deed::OtherAccount,
    Deed::OtherKey,
    Deed::Force,
    Deed::RestartEarlier,
];

impl Point {
    fn arm(self, world: &World) {
        match self {
            Self::Commit(n, side) => world.store.stop(n, side),
            Self::Call(k) => {
                let rule = Rule { action: None, user: None, when: When::Nth(k), effect: Effect::ExecuteThenHang };
                world.stage.sandbox.faults().add(rule);
            }
        }
    }

    fn is_reached(self, world: &World) -> bool {
        match self {
            Self::Commit(..) => world.store.is_stopped(),
            Self::Call(_) => world.stage.sandbox.faults().hanging() > 0,
        }
    }
}

/// One run; whether the first deed came to the point.
async fn run(stage: &Arc<Stage>, first: Deed, second: Deed, point: Point) -> bool {
    let deeds = [first, second];
    let title = format!("{first:?} stopped at {point:?}, meanwhile {second:?}");
    let mut world = World::new(stage, title, Deed::parent_ttl(&deeds)).await;
    world.prepare(&deeds).await;
    point.arm(&world);
    let doing = world.begin(first).await;
    let mut is_done = world.is_done(&doing).await;
    let mut left = if matches!(doing, Doing::Done) { Duration::ZERO } else { Duration::from_mins(2) };
    while !is_done && !point.is_reached(&world) && !left.is_zero() {
        left = left.saturating_sub(world.step(left));
        is_done = world.is_done(&doing).await;
    }
    if !point.is_reached(&world) {
        world.store.let_go();
        world.stage.sandbox.faults().clear();
        world.complete(doing).await;
        world.end().await;
        return false;
    }
    let other = world.begin(second).await;
    // One that waits for the first, or for time, goes on with it.
    let other = if second == Deed::SealOverdue || world.is_done(&other).await {
        world.complete(other).await;
        None
    } else {
        Some(other)
    };
    world.trail.note("-- the first goes on");
    world.store.let_go();
    world.stage.sandbox.faults().clear();
    world.stage.sandbox.faults().release();
    if second == Deed::RestartEarlier {
        drop(doing);
    } else {
        world.complete(doing).await;
    }
    if let Some(other) = other {
        world.complete(other).await;
    }
    world.end().await;
    true
}

/// What changes the engine's ways concerns what calls AWS.
fn is_of_interest(first: Deed, second: Deed) -> bool {
    matches!(first, Deed::Issue | Deed::Revoke)
        || !matches!(second, Deed::Apart | Deed::DeleteRole | Deed::OtherAccount | Deed::OtherKey | Deed::Force)
}

fn with_each_other(first: Deed) {
    on_stage(|stage| async move {
        let mut cases = 0;
        for second in SECONDS.into_iter().filter(|second| is_of_interest(first, *second)) {
            for side in [Side::Before, Side::After] {
                let mut n = 0;
                while run(&stage, first, second, Point::Commit(n, side)).await {
                    n += 1;
                }
                assert!(n > 0, "{first:?} commits nothing");
                cases += n;
            }
            let mut k = 1;
            while run(&stage, first, second, Point::Call(k)).await {
                k += 1;
            }
            assert!(k > 1 || first == Deed::Renew, "{first:?} calls nobody");
            cases += u64::from(k - 1);
        }
        println!("{first:?} crossed by others: {cases} cases");
    });
}

#[test]
fn an_issue_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::Issue);
}

#[test]
fn a_renewal_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::Renew);
}

#[test]
fn a_revocation_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::Revoke);
}

#[test]
fn a_revocation_by_prefix_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::RevokePrefix);
}

#[test]
fn the_revocation_of_a_token_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::RevokeToken);
}

#[test]
fn the_end_of_a_token_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::TokenEnds);
}

#[test]
fn a_mount_that_is_disabled_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::Disable);
}

#[test]
fn a_mount_that_moves_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::Remount);
}

#[test]
fn a_jump_of_the_clock_crossed_by_anything_leaves_nothing() {
    with_each_other(Deed::Jump);
}

/// An issue one of whose calls takes effect long after its answer was lost, then another deed, then perhaps a kill.
async fn in_doubt(stage: &Arc<Stage>, second: Deed, k: u32, kill: bool) -> bool {
    let deeds = [Deed::Issue, second];
    let title = format!("Issue in doubt of call {k}, then {second:?}, killed: {kill}");
    let mut world = World::new(stage, title, Deed::parent_ttl(&deeds)).await;
    world.prepare(&deeds).await;
    let late = Effect::LateEffect { after: Duration::from_mins(14) };
    world.stage.sandbox.faults().add(Rule { action: None, user: None, when: When::Nth(k), effect: late });
    let doing = world.begin(Deed::Issue).await;
    world.quiet().await;
    let struck = world.stage.sandbox.faults().pending() == 0;
    // Before the issue has given up: it looks for what it may have made.
    let other = world.begin(second).await;
    if second == Deed::RestartEarlier {
        drop(doing);
    } else {
        world.complete(doing).await;
    }
    world.complete(other).await;
    if kill {
        world.crash(Duration::ZERO).await;
    }
    world.end().await;
    struck
}

#[test]
fn an_issue_in_doubt_crossed_by_anything_leaves_nothing() {
    on_stage(|stage| async move {
        for second in SECONDS {
            for kill in [false, true] {
                let mut k = 1;
                while in_doubt(&stage, second, k, kill).await {
                    k += 1;
                }
                assert!(k > 2, "an issue calls nobody");
            }
        }
    });
}
