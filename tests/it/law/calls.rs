//! AWS fails at each call of each deed.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Failure, Rule, When};

use super::operation::{Deed, Said};
use super::stage::{Stage, on_stage};
use super::world::World;

/// Whether and when the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    Never,
    /// Once the deed was answered.
    Answered,
    /// While the call hangs.
    Hanging,
}

fn troubles() -> Vec<(Effect, Kill)> {
    let refused = Effect::Refuse(Failure::new(403, "AccessDenied", "User is not authorized to perform this action"));
    let effects = [
        refused,
        Effect::Throttle,
        Effect::Fail500,
        Effect::DropBefore,
        Effect::ExecuteThenDropReply,
        Effect::ExecuteThen500,
        Effect::Hang,
        Effect::ExecuteThenHang,
        Effect::LateEffect { after: Duration::from_secs(100) },
        Effect::LateEffect { after: Duration::from_mins(14) },
    ];
    with_kills(&effects)
}

/// Each with and without a kill once it was answered, and two that are killed while they hang.
fn with_kills(effects: &[Effect]) -> Vec<(Effect, Kill)> {
    let both = effects.iter().flat_map(|effect| [(effect.clone(), Kill::Never), (effect.clone(), Kill::Answered)]);
    both.chain([(Effect::Hang, Kill::Hanging), (Effect::ExecuteThenHang, Kill::Hanging)]).collect()
}

/// One run; whether there was such a call.
async fn run(stage: &Arc<Stage>, deed: Deed, trouble: &(Effect, Kill), k: u32) -> bool {
    let (effect, kill) = trouble;
    let title = format!("{deed:?}, {effect:?} at call {k}, killed: {kill:?}");
    let mut world = World::new(stage, title, Deed::parent_ttl(&[deed])).await;
    world.prepare(&[deed]).await;
    let rule = Rule { action: None, user: None, when: When::Nth(k), effect: effect.clone() };
    world.stage.sandbox.faults().add(rule);
    let doing = world.begin(deed).await;
    world.quiet().await;
    if *kill == Kill::Hanging && world.stage.sandbox.faults().hanging() > 0 {
        world.crash(Duration::ZERO).await;
        drop(doing);
        world.end().await;
        return true;
    }
    let said = world.complete(doing).await;
    let struck = world.stage.sandbox.faults().pending() == 0;
    if !struck && said == Said::Refused {
        world.violated("it is refused, and nothing went wrong");
    }
    if *kill == Kill::Answered {
        world.crash(Duration::ZERO).await;
    }
    world.end().await;
    struck
}

/// Every call, until there are no more.
fn at_each_call(deed: Deed) {
    on_stage(|stage| async move {
        for trouble in troubles() {
            let mut k = 1;
            while run(&stage, deed, &trouble, k).await {
                k += 1;
            }
            assert!(k > 2, "{deed:?} calls nobody");
        }
    });
}

#[test]
fn an_issue_whose_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::Issue);
}

#[test]
fn a_revocation_whose_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::Revoke);
}

#[test]
fn a_token_that_is_revoked_while_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::RevokeToken);
}

#[test]
fn a_token_that_ends_while_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::TokenEnds);
}

#[test]
fn a_lease_that_ends_while_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::LeaseEnds);
}

#[test]
fn a_mount_that_is_disabled_while_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::Disable);
}

#[test]
fn a_mount_that_moves_while_calls_go_wrong_leaves_nothing() {
    at_each_call(Deed::Remount);
}
