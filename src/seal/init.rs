//! The first ceremony: a new root key, sealed by a new key, which is dealt out as shares.

use serde::Deserialize;

use crate::barrier::{Locked, RootKey};
use crate::base::Timestamp;
use crate::storage::{Batch, Expect, StorageError, Write};

use super::{ConfigFault, Kek, Seal, SealConfig, SealError, Share, config_path, root_path};

/// Body of `POST sys/init` (spec `sys.md` §1). Numbers have no defaults of the server's.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct InitInput {
    /// Shares to make.
    #[serde(default)]
    pub secret_shares: Option<i64>,
    /// Shares needed to unseal.
    #[serde(default)]
    pub secret_threshold: Option<i64>,
    /// One PGP key for each share; not supported.
    #[serde(default)]
    pub pgp_keys: Option<Vec<String>>,
    /// PGP key for the root token; not supported.
    #[serde(default)]
    pub root_token_pgp_key: Option<String>,
    /// For seals that unseal themselves.
    #[serde(default)]
    pub recovery_shares: Option<i64>,
    /// For seals that unseal themselves.
    #[serde(default)]
    pub recovery_threshold: Option<i64>,
    /// For seals that unseal themselves.
    #[serde(default)]
    pub recovery_pgp_keys: Option<Vec<String>>,
}

impl InitInput {
    /// Judges the parameters for a seal of kind `shamir`.
    pub fn validate(&self) -> Result<SealConfig, SealError> {
        let foreign = [
            ("recovery_shares", self.recovery_shares.unwrap_or(0) != 0),
            ("recovery_threshold", self.recovery_threshold.unwrap_or(0) != 0),
            ("recovery_pgp_keys", self.recovery_pgp_keys.as_ref().is_some_and(|keys| !keys.is_empty())),
        ];
        let foreign: Vec<&str> = foreign.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if !foreign.is_empty() {
            return Err(SealError::NotApplicable { parameters: foreign.join(","), kind: SealConfig::SHAMIR });
        }
        let config = SealConfig::shamir(self.secret_shares.unwrap_or(0), self.secret_threshold.unwrap_or(0));
        let config = config.map_err(SealError::Config)?;
        match self.pgp_keys.as_deref().unwrap_or_default().len() {
            0 => {}
            count if count != usize::from(config.secret_shares) => return Err(SealError::Config(ConfigFault::PgpKeys)),
            _ => return Err(SealError::Pgp("pgp_keys")),
        }
        if self.root_token_pgp_key.as_deref().is_some_and(|key| !key.is_empty()) {
            return Err(SealError::Pgp("root_token_pgp_key"));
        }
        Ok(config)
    }
}

/// An initialisation that is prepared and not yet true. Dropped, it never happened.
#[derive(Debug)]
pub struct Ceremony {
    batch: Batch,
    outcome: Initialized,
}

/// What is told once and never again.
#[derive(Debug)]
pub struct Initialized {
    /// To be given to as many people.
    pub shares: Vec<Share>,
    /// Opens the barrier that is now in storage.
    pub root_key: RootKey,
}

impl Ceremony {
    /// Makes all keys and the batch that stores them. Up to about 30 ms of work, for 255 shares.
    ///
    /// # Errors
    /// [`SealError::AlreadyInitialized`] when storage holds a seal.
    pub async fn prepare(locked: &Locked, config: &SealConfig, now: Timestamp) -> Result<Self, SealError> {
        if SealConfig::stored(locked.storage().as_ref()).await?.is_some() {
            return Err(SealError::AlreadyInitialized);
        }
        let root_key = RootKey::generate();
        let kek = Kek::generate();
        let shares = config.deal(&kek)?;
        let mut batch = locked.create(&root_key, now)?;
        batch.expects.push(Expect::Absent(config_path()));
        batch.writes.push(config.write()?);
        batch.writes.push(Write::Put(root_path(), kek.wrap(&root_key).await?.0));
        Ok(Self { batch, outcome: Initialized { shares, root_key } })
    }

    /// Has `more` become true together with the seal.
    #[must_use]
    pub fn with(mut self, more: Batch) -> Self {
        self.batch.writes.extend(more.writes);
        self.batch.expects.extend(more.expects);
        self
    }

    /// Makes it true: all in one batch, or nothing.
    ///
    /// # Errors
    /// [`SealError::AlreadyInitialized`] when somebody was faster.
    pub async fn commit(self, locked: &Locked) -> Result<Initialized, SealError> {
        match locked.storage().commit(self.batch).await {
            Ok(()) => Ok(self.outcome),
            Err(StorageError::Conflict(_)) => Err(SealError::AlreadyInitialized),
            Err(error) => Err(error.into()),
        }
    }
}
