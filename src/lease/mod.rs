//! What was lent, until when: every lease from the intent to issue it until nothing is left of it outside.
//!
//! A lease is one record and a few keys, always written and removed in one batch (architecture §6):
//!
//! ```text
//! lease/id/<issue path>/<suffix>                   the record; for a token's lease its token key
//! lease/due/<lane>/<time, 10 hex digits>/<suffix>  → lease id, for a token its key: order of storage = order of time
//! lease/token/<token key>/<suffix>                 → lease id, until it is ended: what goes with a token
//! lease/stuck/<suffix>                             → lease id: needs an operator
//! lease/failing/<mount id>/<suffix>                → lease id: was refused, and is tried again
//! lease/open/<mount id>/<suffix>                   → lease id: intents, until they are activated or ended
//! ```
//!
//! [`Leases`] is what engines see: [`Leases::begin`] makes an intent durable before anything is created outside, and only
//! what it returns becomes an [`Issued`]. [`LeaseManager`] activates, renews, revokes and looks up; its reaper ends what is
//! due through the [`Revoker`] and never calls the outside itself. Memory grows with mounts, never with leases.

mod attempt;
mod due;
mod issue;
mod job;
mod lane;
mod manager;
mod reaper;
mod report;
mod rest;
mod revoke;
mod take;
mod tidy;
mod token;
pub mod ttl;
mod worker;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::barrier::BarrierError;
use crate::base::{LeaseId, MountId, Timestamp, TokenKey, Ttl};

pub use issue::{Activation, Issued, Leases, Owner, Owners, Pending};
pub use manager::{Irrevocable, LeaseManager};
pub use reaper::{RevokeError, Revoked, Revoker};
pub use report::{Failure, LaneReport};
pub use revoke::{How, When};
pub use ttl::{Limits, Terms};

/// Something an engine can take back, stored with the lease. One type per kind.
pub trait Leased: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names the kind within its mount's type.
    const KIND: &'static str;

    /// What it is, in words for the operator who removes it by force.
    fn name(&self) -> String {
        String::new()
    }
}

/// How far a lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An intent: something may be about to be created outside, and no client knows of it.
    Pending,
    /// Issued, and known to a client.
    Active,
    /// Being ended, and never anything else again.
    Revoking,
}

/// The record of a lease.
#[derive(Clone, Serialize, Deserialize)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Who issued it.
    pub mount: MountId,
    /// The path that issued it.
    #[serde(skip)]
    pub path: String,
    /// [`Leased::KIND`] of what it holds.
    pub kind: String,
    /// What its issuer needs to take it back; never shown to clients.
    pub what: serde_json::Value,
    /// The token it ends with; a batch token's parent; none for an orphan batch token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<TokenKey>,
    /// When a batch token that owns it ends: no renewal goes beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner_ends: Option<Timestamp>,
    /// How far it has come.
    pub state: State,
    /// Never activated: no client ever had its id, and nobody is shown it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intent: bool,
    /// When it was issued; of an intent, when it was begun.
    pub issued: Timestamp,
    /// When it ends or was revoked.
    pub end: Timestamp,
    /// When it was renewed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_renewal: Option<Timestamp>,
    /// What its issuer asked for.
    pub terms: Terms,
    /// Refused revocations in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Why it cannot be revoked, once that failed often enough to need an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irrevocable: Option<String>,
    /// What the outside says to every try to end it, while it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failing: Option<Box<Failing>>,
    /// Its place in the order of ends: its end, or when it is tried again.
    pub(crate) due: Timestamp,
    /// How often it was looked for in vain while that proved nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) looks: u32,
    /// When its issuer let go of it, on the clock that only runs forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<Left>,
}

/// That the end of a lease is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failing {
    /// The first time.
    pub(crate) since: Timestamp,
    /// What the outside said last.
    pub(crate) text: String,
}

/// A moment on `Clock::elapsed`, which means something in one run of the server only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) run: String,
    /// Seconds.
    pub(crate) at: u64,
}

impl Lease {
    /// What was leased, as its issuer stored it.
    pub fn what<L: Leased>(&self) -> Result<L, LeaseError> {
        if self.kind != L::KIND {
            return Err(LeaseError::Unreadable(format!("lease \"{}\" is of kind {}, not {}", self.id, self.kind, L::KIND)));
        }
        // The text of the error may quote the value.
        L::deserialize(&self.what)
            .map_err(|_| LeaseError::Unreadable(format!("what lease \"{}\" holds is not a readable {}", self.id, L::KIND)))
    }

    /// How long it lives from `now`; zero once it is being ended.
    pub fn ttl(&self, now: Timestamp) -> Ttl {
        match self.state {
            State::Active => self.end.since(now),
            State::Pending | State::Revoking => Ttl::ZERO,
        }
    }

    /// Whether a renewal would be tried.
    pub fn is_renewable(&self, now: Timestamp) -> bool {
        self.terms.renewable && !self.ttl(now).is_zero()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what it holds.
        f.debug_struct("Lease")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("intent", &self.intent)
            .field("issued", &self.issued)
            .field("end", &self.end)
            .field("due", &self.due)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// Why a lease was not issued, renewed, found or ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LeaseError {
    /// No client was ever given a lease of this id, or it has ended.
    #[error("lease not found")]
    NotFound,
    /// At or past its end, or being revoked.
    #[error("lease expired")]
    Expired,
    /// Its issuer made it so.
    #[error("lease is not renewable")]
    NotRenewable,
    /// Ending it has failed too often.
    #[error("lease is expired and has failed previous revocation attempts")]
    Irrevocable,
    /// Nothing is left of its maximum.
    #[error(transparent)]
    PastMax(#[from] ttl::PastMax),
    /// The id is that of a token's lease: the token store knows the rest.
    #[error("tokens cannot be renewed through this endpoint")]
    OfToken(TokenKey),
    /// The token ended before anything could hang on it.
    #[error("permission denied")]
    OwnerEnded,
    /// A last use cannot carry a lease (spec `tokens.md` §6).
    #[error("Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.")]
    LastUse,
    /// Revoked while it was being issued; what was created is being ended.
    #[error("the lease was revoked while it was issued")]
    Revoked,
    /// What the outside said when it refused to let go. The lease stays due.
    #[error("{0}")]
    Refused(String),
    /// The same, within a revocation by prefix or mount.
    #[error("failed to revoke \"{id}\" ({at} / {of}): {cause}")]
    RefusedAmong {
        /// The first that failed.
        id: LeaseId,
        /// Its place, from 1.
        at: u64,
        /// How many there were.
        of: u64,
        /// Why.
        cause: String,
    },
    /// The record changed under every attempt.
    #[error("the lease is in use")]
    Contended,
    /// What it holds is not what its issuer stores.
    #[error("{0}")]
    Unreadable(String),
    /// The server stops; the lease stays due.
    #[error("the server is stopping")]
    Stopping,
    /// Storage or barrier.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
