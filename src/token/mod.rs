//! Who is calling: tokens, from their making until nothing is left of them.
//!
//! A service token is one record and a few keys, written and removed in one batch (architecture §6):
//!
//! ```text
//! token/id/<token key>                   the record
//! token/accessor/<accessor key>          → token key, accessor
//! token/child/<parent key>/<child key>   → –: the tree
//! lease/id/<creation path>/<token key>   → –: see `lease`
//! lease/due/token/<end>/<token key>      → –: its place in the order of ends
//! cubbyhole/<token key>/…                what it keeps for itself
//! ```
//!
//! The token is nowhere: a keyed hash of it is its key. Of a batch token nothing is stored; it is its own record, sealed.
//!
//! [`TokenRecords`] knows tokens: it reads, caches, and answers for them to the lease manager. [`TokenStore`] makes,
//! changes and ends them. What hangs something on a token does it in a batch that expects the version of the token's
//! record; ending one changes the record first. So nothing can be added behind the walk that ends a token.

mod accessors;
mod batch;
mod cache;
mod change;
mod cidr;
mod create;
mod end;
mod info;
mod records;
mod stored;
mod tidy;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::barrier::{Barrier, BarrierError, View};
use crate::base::turns::Turns;
use crate::base::{Clock, Tasks, TokenKey};
use crate::lease::{LeaseError, LeaseManager};

pub use accessors::Accessors;
pub use change::{Renewal, Spent};
pub use cidr::BoundCidr;
pub use create::{Made, NewToken};
pub use info::{TokenInfo, TokenKind};
pub use records::TokenRecords;

/// Every token of the server.
pub struct TokenStore {
    records: Arc<TokenRecords>,
    leases: Arc<LeaseManager>,
    view: View,
    cubbyholes: View,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    /// Who changes the record of a token waits for its turn.
    turns: Arc<Turns>,
    /// Who walks the tree below a token waits for its turn; a walk holds one of these only, so walks cannot wait for each
    /// other in a ring.
    walks: Arc<Turns>,
    tidying: AtomicBool,
}

/// Why a token was not made, changed or ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// There is none, or it has ended, is being ended, or has no use left.
    #[error("token not found")]
    Ended,
    /// The token it should be a child of is not there.
    #[error("parent token not found")]
    ParentEnded,
    /// There is a token of the chosen id.
    #[error("cannot create a token with a duplicate ID")]
    Duplicate,
    /// A token that is not root's must end.
    #[error("a token without the policy \"root\" must have an end")]
    Endless,
    /// The record changed under every attempt.
    #[error("the token is in use")]
    Contended,
    /// What hangs on it could not be ended.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Storage or barrier.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

impl TokenError {
    /// Whether an expectation of a batch did not hold.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Barrier(error) | Self::Lease(LeaseError::Barrier(error)) => error.is_conflict(),
            _ => false,
        }
    }
}

impl TokenStore {
    /// Makes the store over its records and the lease manager that was given them as owners.
    pub fn new(
        records: Arc<TokenRecords>,
        leases: Arc<LeaseManager>,
        barrier: &Arc<Barrier>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            records,
            leases,
            view: barrier.view(ROOT),
            cubbyholes: barrier.view(CUBBYHOLES),
            clock,
            tasks,
            turns: Turns::new(),
            walks: Turns::new(),
            tidying: false.into(),
        })
    }

    /// The key of a token, of whatever form.
    pub fn key(&self, token: &str) -> TokenKey {
        self.records.key(token)
    }

    /// See [`TokenRecords::find`].
    pub async fn find(&self, token: &str) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        self.records.find(token).await
    }

    /// See [`TokenRecords::find_key`].
    pub async fn find_key(&self, key: &TokenKey) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        self.records.find_key(key).await
    }

    /// See [`TokenRecords::find_spent`].
    pub async fn find_spent(&self, token: &str) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        self.records.find_spent(token).await
    }

    /// See [`TokenRecords::find_spent_key`].
    pub async fn find_spent_key(&self, key: &TokenKey) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        self.records.find_spent_key(key).await
    }

    /// Whether a record is stored at this key, whatever has become of the token.
    pub async fn exists(&self, key: &TokenKey) -> Result<bool, TokenError> {
        Ok(self.view.exists(&id(key)).await?)
    }

    /// What a token keeps for itself; wiped when it ends. A batch that writes here expects the token's record at the version
    /// its holder was read at.
    pub fn cubbyhole(&self, key: &TokenKey) -> View {
        self.cubbyholes.sub(&format!("{key}/"))
    }

    /// Where the records lie and at which key one does: for batches that expect its version.
    pub fn expected(&self, key: &TokenKey) -> (&View, String) {
        (&self.view, id(key))
    }
}

impl fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore").field("records", &self.records).finish_non_exhaustive()
    }
}

/// The record's key, relative to [`ROOT`], as all of these.
fn id(token: &TokenKey) -> String {
    format!("{IDS}{token}")
}

fn accessor(accessor: &TokenKey) -> String {
    format!("{ACCESSORS}{accessor}")
}

fn children_of(parent: &TokenKey) -> String {
    format!("{CHILDREN}{parent}/")
}

fn child(parent: &TokenKey, child: &TokenKey) -> String {
    format!("{CHILDREN}{parent}/{child}")
}

/// Parent and child of an index key.
fn parse_child(key: &str) -> Option<(TokenKey, TokenKey)> {
    let (parent, child) = key.strip_prefix(CHILDREN)?.split_once('/')?;
    Some((TokenKey::parse(parent)?, TokenKey::parse(child)?))
}

/// Everything of this folder but cubbyholes. Known to `lease` as well, whose batches expect records.
const ROOT: &str = "token/";

/// Where records lie.
const IDS: &str = "id/";

/// Where accessors lie.
const ACCESSORS: &str = "accessor/";

/// Where the tree lies.
const CHILDREN: &str = "child/";

/// What tokens keep for themselves, one folder each.
const CUBBYHOLES: &str = "cubbyhole/";

/// Times a record is read again when its version moved. The turn makes even two rare.
const TRIES: usize = 8;

/// Keys read at once wherever many are walked: some milliseconds of work.
const PAGE: usize = 512;
