//! How a change is tried until its batch is durable: each attempt reads what it changes, and expects it unchanged.

use crate::barrier::Txn;
use crate::storage::Version;

use super::IdentityStore;

/// Tries `$attempt` with a batch `$txn` that is committed after it, again when something else was first.
macro_rules! tried {
    ($store:expr, $txn:ident => $attempt:expr) => {{
        let mut tries = 0;
        loop {
            let mut $txn = $store.view.txn();
            let made = $attempt?;
            match $txn.commit().await {
                Ok(()) => break Ok(made),
                Err(error) if error.is_conflict() && tries < $crate::identity::change::TRIES => tries += 1,
                Err(error) if error.is_conflict() => break Err($crate::identity::IdentityError::Contended),
                Err(error) => break Err(error.into()),
            }
        }
    }};
}

pub(super) use tried;

impl IdentityStore {
    /// Expects a record as it was read.
    pub(super) fn expect(&self, txn: &mut Txn, key: &str, version: Option<Version>) {
        match version {
            Some(version) => txn.expect_at(&self.view, key, version),
            None => txn.expect_absent(&self.view, key),
        };
    }

    /// The id an index leads to, and the version to expect of the index.
    pub(super) async fn index(&self, key: &str) -> Result<Option<(String, Version)>, crate::barrier::BarrierError> {
        self.view.read_versioned::<String>(key).await
    }
}

/// Attempts after the first one. Who changes one record does so in turn; what is left are logins beside it.
pub(super) const TRIES: usize = 16;
