//! What is done to the server, and what must be there before.

use std::time::Duration;

use leasehold::base::Clock;
use leasehold::policy::Operation;
use serde_json::json;
use tokio::task::JoinHandle;

use super::client::{Held, Reply};
use super::world::World;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Issue,
    Renew,
    Revoke,
    /// All leases of the role, those being issued too.
    RevokePrefix,
    /// The parent of the token that holds the lease is revoked.
    RevokeToken,
    /// That comes to its end.
    TokenEnds,
    /// The lease comes to its end.
    LeaseEnds,
    Disable,
    Remount,
    /// Sealed and unsealed.
    Seal,
    /// The same, and sealing waits for nobody.
    SealOverdue,
    /// The server's clock is set an hour ahead.
    Jump,
    /// AWS's clock is twenty minutes ahead of the server's from now on.
    Apart,
    /// The role is deleted.
    DeleteRole,
    /// The server has credentials of another account for a while.
    OtherAccount,
    /// The server has the other key of its user from now on.
    OtherKey,
    /// All leases of the role, whatever AWS says.
    Force,
    /// The process is killed, and the next one has a clock that is an hour slow.
    RestartEarlier,
}

/// A deed under way.
pub(super) enum Doing {
    Issue(JoinHandle<Result<Option<Held>, String>>),
    Request(JoinHandle<Reply>),
    Seal(JoinHandle<()>),
    /// Time did it.
    Done,
}

/// What was said of a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Done,
    Refused,
}

impl Deed {
    /// Seconds the parent lives.
    pub(super) fn parent_ttl(deeds: &[Self]) -> u64 {
        if deeds.contains(&Self::TokenEnds) { 300 } else { 1800 }
    }

    /// Whether something that is held may end by it.
    fn ends(self) -> bool {
        use Deed::{Apart, DeleteRole, Issue, OtherAccount, OtherKey, Renew, Seal, SealOverdue};
        !matches!(self, Issue | Renew | Seal | SealOverdue | Apart | DeleteRole | OtherAccount | OtherKey)
    }
}

impl World {
    /// There is a lease, and it is just before what time brings.
    pub(super) async fn prepare(&mut self, deeds: &[Deed]) {
        if deeds.iter().any(|deed| *deed != Deed::Issue) {
            let issued = self.finish(self.issue()).await;
            self.take(issued);
            assert_eq!(self.held.len(), 1, "nothing was issued:\n  {}", self.trail.text());
        }
        let end = if deeds.contains(&Deed::TokenEnds) {
            self.parent_ends
        } else if deeds.contains(&Deed::LeaseEnds) {
            self.held[0].ends
        } else {
            return;
        };
        let left = end.since(self.clock.now()).to_duration();
        self.live(left.saturating_sub(JUST_BEFORE)).await;
    }

    /// Begins a deed.
    pub(super) async fn begin(&mut self, deed: Deed) -> Doing {
        self.may_end |= deed.ends();
        self.trail.note(format!("-- {deed:?}"));
        let root = self.stage.root.clone();
        let write = |path: &str, body| Doing::Request(self.request(&root, Operation::Update, path, body));
        let lease = self.held.first().map(|held| held.lease.clone()).unwrap_or_default();
        match deed {
            Deed::Issue => Doing::Issue(self.issue()),
            Deed::Renew => write("sys/leases/renew", json!({ "lease_id": lease, "increment": "15m" })),
            Deed::Revoke => write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })),
            Deed::RevokePrefix => write(&format!("sys/leases/revoke-prefix/aws/creds/{}", self.role), json!({ "sync": true })),
            Deed::RevokeToken => write("auth/token/revoke", json!({ "token": self.parent })),
            Deed::Disable => Doing::Request(self.request(&root, Operation::Delete, "sys/mounts/aws", json!({}))),
            Deed::Remount => write("sys/remount", json!({ "from": "aws", "to": "moved" })),
            Deed::Seal | Deed::SealOverdue => {
                let core = std::sync::Arc::clone(&self.core);
                Doing::Seal(self.stage.tasks.spawn(async move { core.seal().await }))
            }
            Deed::TokenEnds | Deed::LeaseEnds => {
                self.pass(JUST_BEFORE);
                Doing::Done
            }
            Deed::Jump => {
                self.clock.jump(Duration::from_hours(1));
                Doing::Done
            }
            Deed::Apart => {
                self.stage.clock.jump(Duration::from_mins(20));
                Doing::Done
            }
            Deed::DeleteRole => {
                Doing::Request(self.request(&root, Operation::Delete, &format!("aws/roles/{}", self.role), json!({})))
            }
            Deed::OtherAccount => {
                let (first, other) = (self.stage.roots.first.clone(), self.stage.roots.other_account.clone());
                let written = self.finish(self.request(&root, Operation::Update, "aws/config/root", other)).await;
                if !written.is_ok {
                    self.violated(&format!("the other account is not taken: {}", written.text));
                }
                self.live(Duration::from_secs(30)).await;
                Doing::Request(self.request(&root, Operation::Update, "aws/config/root", first))
            }
            Deed::OtherKey => write("aws/config/root", self.stage.roots.second_key.clone()),
            Deed::Force => write(&format!("sys/leases/revoke-force/aws/creds/{}", self.role), json!({})),
            Deed::RestartEarlier => {
                self.crash(Duration::from_hours(1)).await;
                Doing::Done
            }
        }
    }

    /// Whether it is done, or can be without time.
    pub(super) async fn is_done(&self, doing: &Doing) -> bool {
        self.quiet().await;
        match doing {
            Doing::Issue(task) => task.is_finished(),
            Doing::Request(task) => task.is_finished(),
            Doing::Seal(task) => task.is_finished(),
            Doing::Done => true,
        }
    }

    /// Lets it come to its end.
    pub(super) async fn complete(&mut self, doing: Doing) -> Said {
        let is_ok = match doing {
            Doing::Issue(task) => {
                let issued = self.finish(task).await;
                let is_ok = matches!(issued, Ok(Some(_)));
                self.take(issued);
                is_ok
            }
            Doing::Request(task) => self.finish(task).await.is_ok,
            Doing::Seal(task) => {
                self.finish(task).await;
                self.unseal().await;
                true
            }
            Doing::Done => {
                // What it set off, for as long as a request might take.
                let mut left = Duration::from_secs(90);
                self.quiet().await;
                while !left.is_zero() && !self.store.disk.keys("lease/").is_empty() {
                    left = left.saturating_sub(self.step(left));
                    self.quiet().await;
                }
                true
            }
        };
        if is_ok { Said::Done } else { Said::Refused }
    }
}

/// Before an end that a run waits for.
const JUST_BEFORE: Duration = Duration::from_secs(2);
