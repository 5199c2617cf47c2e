//! Storage fails at each commit of each deed.

use std::sync::Arc;
use std::time::Duration;

use leasehold::storage::memory::MemoryStorage;

use super::operation::{Deed, Said};
use super::stage::{Stage, on_stage};
use super::world::World;

/// What storage does to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The power goes before it.
    Power,
    /// The power goes with its answer.
    PowerAnswering,
    /// Its answer is lost; whether the process is killed then.
    Answer { kill: bool },
}

const LOSSES: [Loss; 4] = [Loss::Power, Loss::PowerAnswering, Loss::Answer { kill: false }, Loss::Answer { kill: true }];

impl Loss {
    fn arm(self, disk: &MemoryStorage, n: u64) {
        match self {
            Self::Power => disk.lose_power_after(n),
            Self::PowerAnswering => disk.lose_power_answering(n),
            Self::Answer { .. } => disk.lose_answer_after(n),
        }
    }
}

/// One run; whether the loss came before the deed was done.
async fn run(stage: &Arc<Stage>, deed: Deed, loss: Loss, n: u64) -> bool {
    let mut world = World::new(stage, format!("{deed:?}, {loss:?} at commit {n}"), Deed::parent_ttl(&[deed])).await;
    world.prepare(&[deed]).await;
    let before = world.store.disk.commits();
    loss.arm(&world.store.disk, n);
    let doing = world.begin(deed).await;
    let said = world.complete(doing).await;
    let struck = match loss {
        Loss::Power | Loss::PowerAnswering => world.store.disk.is_dead(),
        Loss::Answer { .. } => world.store.disk.commits() - before > n,
    };
    world.store.disk.lose_power_after(u64::MAX);
    if world.store.disk.is_dead() || loss == (Loss::Answer { kill: true }) {
        world.crash(Duration::ZERO).await;
    }
    if !struck && said == Said::Refused {
        world.violated("it is refused, and nothing went wrong");
    }
    world.end().await;
    struck
}

/// Every commit, until there are no more.
fn at_each_commit(deed: Deed) {
    on_stage(|stage| async move {
        for loss in LOSSES {
            let mut n = 0;
            while run(&stage, deed, loss, n).await {
                n += 1;
            }
            assert!(n >= 1, "{deed:?} commits nothing");
        }
    });
}

#[test]
fn an_issue_that_loses_storage_leaves_nothing() {
    at_each_commit(Deed::Issue);
}

#[test]
fn a_renewal_that_loses_storage_leaves_nothing() {
    at_each_commit(Deed::Renew);
}

#[test]
fn a_revocation_that_loses_storage_leaves_nothing() {
    at_each_commit(Deed::Revoke);
}

#[test]
fn a_token_that_is_revoked_while_storage_is_lost_leaves_nothing() {
    at_each_commit(Deed::RevokeToken);
}

#[test]
fn a_token_that_ends_while_storage_is_lost_leaves_nothing() {
    at_each_commit(Deed::TokenEnds);
}

#[test]
fn a_lease_that_ends_while_storage_is_lost_leaves_nothing() {
    at_each_commit(Deed::LeaseEnds);
}

#[test]
fn a_mount_that_is_disabled_while_storage_is_lost_leaves_nothing() {
    at_each_commit(Deed::Disable);
}

#[test]
fn a_mount_that_moves_while_storage_is_lost_leaves_nothing() {
    at_each_commit(Deed::Remount);
}
