//! What is known of a token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Accessor, MountId, Timestamp, TokenKey, Ttl};
use crate::lease::Owner;
use crate::policy::builtin::{RESPONSE_WRAPPING, ROOT};
use crate::storage::Version;

use super::BoundCidr;

/// Whether a token is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// It is: it can be renewed, revoked, have children and a cubbyhole.
    #[default]
    Service,
    /// It is not: the token is its own record.
    Batch,
}

impl TokenKind {
    /// As replies name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }
}

/// How far a service token has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    #[default]
    Live,
    /// Its last use is taken; the request that took it may be under way.
    Spent,
    /// Being ended with its tree, and never anything else again.
    Revoking,
    /// The same, but its children live on as orphans.
    RevokingAlone,
}

/// What is known of a token. Never changed: a change makes a new one. How it is stored: see `stored`.
#[derive(Clone)]
pub struct TokenInfo {
    /// Names it in storage; of a batch token, in the cache only.
    pub key: TokenKey,
    /// Service or batch.
    pub kind: TokenKind,
    /// Names it to clients without giving its powers; batch tokens have none.
    pub accessor: Option<Accessor>,
    /// Of the record; none for a batch token, or before it was read.
    pub version: Option<Version>,
    /// The token it ends with; none for an orphan. Never shown.
    pub parent: Option<TokenKey>,
    /// The token's own policies, sanitized.
    pub policies: Vec<String>,
    /// The path that made it: `auth/token/create`, `auth/userpass/login/bob`.
    pub path: String,
    /// What its maker noted, for all to see.
    pub meta: Option<BTreeMap<String, String>>,
    /// What its auth method noted for renewals. Never shown.
    pub internal_meta: BTreeMap<String, String>,
    /// For people.
    pub display_name: String,
    /// Uses left; 0: as many as one likes, unless [`TokenInfo::is_spent`].
    pub num_uses: u64,
    /// When it was made.
    pub created: Timestamp,
    /// How long it was given then; zero: without end.
    pub creation_ttl: Ttl,
    /// The longest it lives, renewals included; zero: the mount's.
    pub explicit_max_ttl: Ttl,
    /// Each renewal gives it this; zero: not periodic.
    pub period: Ttl,
    /// From then on it is no token any more.
    pub end: Option<Timestamp>,
    /// When it was renewed last.
    pub last_renewal: Option<Timestamp>,
    /// Whether it can be renewed at all.
    pub renewable: bool,
    /// The role of the token store it was made with.
    pub role: Option<String>,
    /// Whose it is; empty: nobody's.
    pub entity_id: String,
    /// The policies of its entity are not its own.
    pub no_identity_policies: bool,
    /// Where it may be used from; empty: anywhere.
    pub bound_cidrs: Vec<BoundCidr>,
    /// The auth mount that issued it, which is asked when it is renewed.
    pub mount: MountId,
    /// Whether it is listed among the leases; false for the first root token.
    pub has_lease: bool,
    /// The quota rule it counts under as a lease. Never shown.
    pub(crate) quota: Option<Arc<str>>,
    /// How far it has come.
    pub(super) state: State,
    /// Its place in the order of ends: its end, or earlier once it is spent or revoked.
    pub(super) due: Option<Timestamp>,
}

impl TokenInfo {
    /// Whether each use is counted. Such tokens are never cached.
    pub fn is_limited(&self) -> bool {
        self.num_uses > 0 || self.state == State::Spent
    }

    /// Whether its last use is taken.
    pub fn is_spent(&self) -> bool {
        self.state == State::Spent
    }

    /// Uses left as clients are shown them: -1 once it is spent.
    pub fn uses_shown(&self) -> i64 {
        if self.is_spent() { -1 } else { i64::try_from(self.num_uses).unwrap_or(i64::MAX) }
    }

    /// Whether it holds the root policy.
    pub fn is_root(&self) -> bool {
        matches!(self.policies.as_slice(), [name] if name == ROOT)
    }

    /// Whether quotas count it: a leased token that has an end, is not root's, and does not stand for a wrapped reply.
    pub(super) fn counts_as_lease(&self) -> bool {
        let is_wrapping = matches!(self.policies.as_slice(), [name] if name == RESPONSE_WRAPPING);
        self.has_lease && self.end.is_some() && !self.is_root() && !is_wrapping
    }

    /// Whether it ends with no other token.
    pub fn is_orphan(&self) -> bool {
        self.parent.is_none()
    }

    /// How long it lives from `now`; zero when it has no end.
    pub fn ttl(&self, now: Timestamp) -> Ttl {
        self.end.map_or(Ttl::ZERO, |end| end.since(now))
    }

    /// Whom its leases hang on: itself; a batch token's parent, if it has one, until the batch token's end.
    pub fn owner(&self, last_use: bool) -> Owner {
        match self.kind {
            TokenKind::Service => Owner { token: Some(self.key), version: self.version, ends: None, last_use },
            TokenKind::Batch => Owner { token: self.parent, version: None, ends: self.end, last_use },
        }
    }

    pub(super) fn is_past_end(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    pub(super) fn is_revoking(&self) -> bool {
        matches!(self.state, State::Revoking | State::RevokingAlone)
    }

    /// Whether it must be ended.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.is_revoking() || self.due.is_some_and(|due| due <= now)
    }
}

impl fmt::Debug for TokenInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what others noted on it.
        f.debug_struct("TokenInfo")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("policies", &self.policies)
            .field("path", &self.path)
            .field("num_uses", &self.num_uses)
            .field("end", &self.end)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Stands in a record until who read it puts its key there.
pub(super) fn no_key() -> TokenKey {
    TokenKey::untimed(&[0; 32])
}
