//! New shares for the same root key: whoever holds the old ones agrees, new ones are dealt, and, when asked for, have to be
//! shown before they count (spec `sys.md` §2, `rekey`). Data is not encrypted anew.
//!
//! The machine itself does not touch storage: whoever drives it opens the stored root key, and commits the [`Change`]. In
//! memory only.

use serde::{Deserialize, Serialize};

use crate::barrier::RootKey;
use crate::base::random;
use crate::storage::{Batch, Expect, Storage, Write};

use super::unseal::{Pile, decode};
use super::{ConfigFault, Fault, Kek, KeyFault, KeyRefused, Seal, SealConfig, SealError, Share, Wrapped, config_path, root_path};

/// At most one change of shares.
#[derive(Debug, Default)]
pub struct Rekey {
    operation: Option<Operation>,
}

#[derive(Debug)]
struct Operation {
    nonce: String,
    target: SealConfig,
    verification_required: bool,
    shares: Pile,
    verification: Option<Verification>,
}

/// New shares are dealt, and not yet shown.
#[derive(Debug)]
struct Verification {
    nonce: String,
    key: Kek,
    wrapped: Wrapped,
    shares: Pile,
}

/// Body of `POST sys/rekey/init`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RekeyInput {
    /// Shares to make.
    #[serde(default)]
    pub secret_shares: Option<i64>,
    /// Shares needed from then on.
    #[serde(default)]
    pub secret_threshold: Option<i64>,
    /// One PGP key for each share; not supported.
    #[serde(default)]
    pub pgp_keys: Option<Vec<String>>,
    /// To keep the shares in storage, encrypted with PGP; not supported.
    #[serde(default)]
    pub backup: Option<bool>,
    /// Whether the new shares must be shown before they count.
    #[serde(default)]
    pub require_verification: Option<bool>,
}

/// Body of the replies of `sys/rekey/init` and, until complete, `sys/rekey/update`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RekeyStatus {
    /// Names the operation; empty for none.
    pub nonce: String,
    /// Whether there is one.
    pub started: bool,
    /// The new threshold.
    pub t: u8,
    /// The new number of shares.
    pub n: u8,
    /// Different old shares so far.
    pub progress: usize,
    /// Old shares needed.
    pub required: u8,
    /// Always null: PGP is not supported.
    pub pgp_fingerprints: Option<Vec<String>>,
    /// Always false: likewise.
    pub backup: bool,
    /// Whether the new shares must be shown before they count.
    pub verification_required: bool,
    /// Names the verification, once it is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_nonce: Option<String>,
}

/// Body of the replies of `sys/rekey/verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyStatus {
    /// Names the verification.
    pub nonce: String,
    /// Whether it is due.
    pub started: bool,
    /// The new threshold.
    pub t: u8,
    /// The new number of shares.
    pub n: u8,
    /// Different new shares so far.
    pub progress: usize,
}

/// What an old share has led to.
#[derive(Debug)]
pub enum RekeyStep {
    /// More are needed.
    Waiting(RekeyStatus),
    /// The old shares made a key. If it opens the stored root key ([`super::open`]) call [`Rekey::deal`] with that; else
    /// answer with [`RekeyError::unread`]. The operation stays, without shares.
    Authenticate(Kek),
}

/// What a new share has led to.
#[derive(Debug)]
pub enum VerifyStep {
    /// More are needed.
    Waiting(VerifyStatus),
    /// All are there: commit the change, then call [`Rekey::finish`].
    Complete {
        /// The nonce of the verification.
        nonce: String,
        /// To be committed.
        change: Change,
    },
}

/// New shares, told once and never again.
#[derive(Debug)]
pub struct Dealt {
    /// The nonce of the operation.
    pub nonce: String,
    /// The shares.
    pub shares: Vec<Share>,
    /// Either the nonce of the verification that is due …
    pub verification_nonce: Option<String>,
    /// … or the change to commit before the shares are told; [`Rekey::finish`] follows.
    pub change: Option<Change>,
}

/// From when the new shares count.
#[derive(Debug)]
pub struct Change {
    config: SealConfig,
    wrapped: Wrapped,
}

impl Change {
    /// Replaces the seal in one batch: before it the old shares count, after it the new.
    ///
    /// # Errors
    /// As storage says; when somebody changed the seal meanwhile, with a conflict.
    pub async fn commit(self, storage: &dyn Storage) -> Result<(), SealError> {
        let (_, version) = SealConfig::stored_versioned(storage).await?.ok_or(SealError::NotInitialized)?;
        let root = storage.get(&root_path()).await?.ok_or(SealError::NotInitialized)?;
        let batch = Batch {
            writes: vec![self.config.write()?, Write::Put(root_path(), self.wrapped.0)],
            expects: vec![Expect::At(config_path(), version), Expect::At(root_path(), root.version())],
        };
        Ok(storage.commit(batch).await?)
    }
}

impl Rekey {
    /// How far it has come. `config` is the seal in force.
    pub fn status(&self, config: &SealConfig) -> RekeyStatus {
        let operation = self.operation.as_ref();
        RekeyStatus {
            nonce: operation.map(|operation| operation.nonce.clone()).unwrap_or_default(),
            started: operation.is_some(),
            t: operation.map_or(0, |operation| operation.target.secret_threshold),
            n: operation.map_or(0, |operation| operation.target.secret_shares),
            progress: operation.map_or(0, |operation| operation.shares.len()),
            required: config.secret_threshold,
            pgp_fingerprints: None,
            backup: false,
            verification_required: operation.is_some_and(|operation| operation.verification_required),
            verification_nonce: operation.and_then(|operation| operation.verification.as_ref()).map(|due| due.nonce.clone()),
        }
    }

    /// Begins.
    pub fn begin(&mut self, config: &SealConfig, input: &RekeyInput) -> Result<RekeyStatus, RekeyError> {
        let shares = input.secret_shares.unwrap_or(0);
        let pgp_keys = input.pgp_keys.as_deref().unwrap_or_default().len();
        if pgp_keys == 0 && input.backup == Some(true) {
            return Err(RekeyError::Backup);
        }
        if pgp_keys > 0 && i64::try_from(pgp_keys) != Ok(shares) {
            return Err(RekeyError::PgpCount);
        }
        if pgp_keys > 0 {
            return Err(RekeyError::Pgp);
        }
        let target = SealConfig::shamir(shares, input.secret_threshold.unwrap_or(0)).map_err(RekeyError::Config)?;
        if self.operation.is_some() {
            return Err(RekeyError::InProgress);
        }
        self.operation = Some(Operation {
            nonce: random::uuid(),
            target,
            verification_required: input.require_verification.unwrap_or(false),
            shares: Pile::default(),
            verification: None,
        });
        Ok(self.status(config))
    }

    /// Takes an old share as hex or base64.
    pub fn update(&mut self, config: &SealConfig, key: &str, nonce: &str) -> Result<RekeyStep, RekeyError> {
        let share = share(key)?;
        let operation = self.operation.as_mut().ok_or(RekeyError::NotInProgress)?;
        if let Some(due) = &operation.verification {
            return Err(RekeyError::VerificationDue(due.nonce.clone()));
        }
        if nonce != operation.nonce {
            return Err(RekeyError::Nonce(operation.nonce.clone()));
        }
        if !operation.shares.add(share) {
            return Err(RekeyError::Duplicate);
        }
        match operation.shares.key(config) {
            None => Ok(RekeyStep::Waiting(self.status(config))),
            Some(key) => key.map(RekeyStep::Authenticate).map_err(RekeyError::Unread),
        }
    }

    /// Deals new shares for the root key that the old ones opened.
    pub async fn deal(&mut self, root: &RootKey) -> Result<Dealt, RekeyError> {
        let operation = self.operation.as_mut().ok_or(RekeyError::NotInProgress)?;
        let key = Kek::generate();
        let shares = operation.target.deal(&key)?;
        let wrapped = key.wrap(root).await?;
        let mut dealt = Dealt { nonce: operation.nonce.clone(), shares, verification_nonce: None, change: None };
        if operation.verification_required {
            let due = Verification { nonce: random::uuid(), key, wrapped, shares: Pile::default() };
            dealt.verification_nonce = Some(due.nonce.clone());
            operation.verification = Some(due);
        } else {
            dealt.change = Some(Change { config: operation.target.clone(), wrapped });
        }
        Ok(dealt)
    }

    /// How far the verification has come.
    pub fn verify_status(&self) -> Result<VerifyStatus, RekeyError> {
        let operation = self.operation.as_ref().ok_or(RekeyError::NoConfiguration)?;
        let due = operation.verification.as_ref();
        Ok(VerifyStatus {
            nonce: due.map(|due| due.nonce.clone()).unwrap_or_default(),
            started: due.is_some(),
            t: operation.target.secret_threshold,
            n: operation.target.secret_shares,
            progress: due.map_or(0, |due| due.shares.len()),
        })
    }

    /// Takes a new share as hex or base64.
    pub fn verify(&mut self, key: &str, nonce: &str) -> Result<VerifyStep, RekeyError> {
        let share = share(key)?;
        let operation = self.operation.as_mut().ok_or(RekeyError::NoRekey)?;
        let due = operation.verification.as_mut().ok_or(RekeyError::NoVerification)?;
        if nonce != due.nonce {
            return Err(RekeyError::VerifyNonce(due.nonce.clone()));
        }
        if !due.shares.add(share) {
            return Err(RekeyError::VerifyDuplicate);
        }
        match due.shares.key(&operation.target) {
            None => self.verify_status().map(VerifyStep::Waiting),
            Some(Ok(shown)) if shown.is(&due.key) => Ok(VerifyStep::Complete {
                nonce: due.nonce.clone(),
                change: Change { config: operation.target.clone(), wrapped: due.wrapped.clone() },
            }),
            Some(_) => Err(RekeyError::VerificationFailed),
        }
    }

    /// Begins the verification again, under a new nonce.
    pub fn restart_verification(&mut self) -> Result<VerifyStatus, RekeyError> {
        let operation = self.operation.as_mut().ok_or(RekeyError::NoRekey)?;
        let due = operation.verification.as_mut().ok_or(RekeyError::NoVerification)?;
        due.shares.clear();
        due.nonce = random::uuid();
        self.verify_status()
    }

    /// The change is committed, or nobody wants it any more: forgets the operation.
    pub fn finish(&mut self) {
        self.operation = None;
    }
}

fn share(key: &str) -> Result<Share, RekeyError> {
    if key.is_empty() {
        return Err(RekeyError::KeyMissing);
    }
    decode(key).map_err(RekeyError::Key)
}

/// Why shares do not change. The texts are the API's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RekeyError {
    /// The numbers of shares make no sense.
    #[error("invalid rekey seal configuration: {0}")]
    Config(ConfigFault),
    /// One PGP key for each share.
    #[error("incorrect number of PGP keys for rekey")]
    PgpCount,
    /// PGP, which this server does not speak.
    #[error("pgp_keys: encryption with PGP keys is not supported by this server")]
    Pgp,
    /// Shares are not stored in plain.
    #[error("cannot request a backup of the new keys without providing PGP keys for encryption")]
    Backup,
    /// One at a time.
    #[error("rekey already in progress")]
    InProgress,
    /// Nobody began.
    #[error("no barrier rekey in progress")]
    NotInProgress,
    /// No share.
    #[error("'key' must be specified in request body as JSON")]
    KeyMissing,
    /// Not a share, by its text alone.
    #[error("{0}")]
    Key(KeyFault),
    /// Meant for another operation.
    #[error("incorrect nonce supplied; nonce for this rekey operation is \"{0}\"")]
    Nonce(String),
    /// The same share again.
    #[error("given key has already been provided during this generation operation")]
    Duplicate,
    /// The old shares are not those of the seal.
    #[error("failed to read root key: {0}")]
    Unread(KeyRefused),
    /// The new shares are dealt.
    #[error("rekey operation already finished; verification must be performed; nonce for the verification operation is \"{0}\"")]
    VerificationDue(String),
    /// Nobody began, says the status of the verification.
    #[error("no rekey configuration found")]
    NoConfiguration,
    /// Nobody began, says the verification.
    #[error("no rekey in progress")]
    NoRekey,
    /// There is nothing to verify yet, or at all.
    #[error("no rekey verification in progress")]
    NoVerification,
    /// Meant for another verification.
    #[error("incorrect nonce supplied; nonce for this verify operation is \"{0}\"")]
    VerifyNonce(String),
    /// The same new share again.
    #[error("given key has already been provided during this verify operation")]
    VerifyDuplicate,
    /// These are not the shares that were dealt.
    #[error("rekey verification failed; incorrect key shares supplied")]
    VerificationFailed,
    /// Below.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl RekeyError {
    /// The answer when the key of the old shares does not open the stored root key.
    pub fn unread(error: SealError) -> Self {
        match error {
            SealError::WrongKey => Self::Unread(KeyRefused::Wrong),
            error => Self::Seal(error),
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Config(_) | Self::Unread(_) => Fault::Told,
            Self::Seal(error) => error.fault(),
            _ => Fault::Invalid,
        }
    }
}
