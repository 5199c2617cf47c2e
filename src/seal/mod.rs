//! Who holds the root key: the ceremonies of initialising and unsealing, and what they leave in storage
//! (spec `seal-and-barrier.md` §2 and §3).
//!
//! The root key opens the keyring of the barrier. It is stored sealed by a [`Seal`]: with Shamir's scheme by a key that
//! exists only as shares in the hands of people ([`Kek`]).
//!
//! | storage key | holds |
//! |---|---|
//! | `core/seal-config` | [`SealConfig`], in plain JSON: needed to ask for the right number of shares |
//! | `core/hsm/barrier-unseal-keys` | the root key, sealed by the seal |

pub mod init;
mod kek;
pub mod rekey;
pub mod root_token;
pub mod shamir;
#[cfg(test)]
mod tests;
pub mod unseal;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::barrier::{BarrierError, RootKey};
use crate::base::{Key, Secret};
use crate::storage::{Storage, StorageError, Version, Write};

pub use init::{Ceremony, InitInput, Initialized};
pub use kek::Kek;
pub use rekey::{Change, Dealt, Rekey, RekeyError, RekeyInput, RekeyStatus, RekeyStep, VerifyStatus, VerifyStep};
pub use root_token::{RootGeneration, RootGenerationError, RootStatus, RootStep};
pub use shamir::{ShamirError, Share};
pub use unseal::{KeyFault, Progress, Step, Unsealing};

/// Who seals and opens the root key.
#[async_trait]
pub trait Seal: std::fmt::Debug + Send + Sync {
    /// The type that `sys/seal-status` shows.
    fn kind(&self) -> &'static str;

    /// Seals the root key, for storage.
    async fn wrap(&self, root: &RootKey) -> Result<Wrapped, SealError>;

    /// Opens what [`Seal::wrap`] made.
    ///
    /// # Errors
    /// [`SealError::WrongKey`] when this seal did not make it, or it was changed.
    async fn unwrap(&self, wrapped: &Wrapped) -> Result<RootKey, SealError>;
}

/// A root key as it lies in storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped(pub Bytes);

/// How many hold the key and how many of them are needed; stored in plain at `core/seal-config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// The kind of seal.
    #[serde(rename = "type")]
    pub kind: String,
    /// Shares in the world, 1 to 255.
    pub secret_shares: u8,
    /// Shares needed, 1 to `secret_shares`; 1 only when there is but one.
    pub secret_threshold: u8,
}

impl SealConfig {
    /// The kind whose key exists as shares.
    pub const SHAMIR: &'static str = "shamir";

    /// Checks the numbers of shares as operators send them.
    pub fn shamir(shares: i64, threshold: i64) -> Result<Self, ConfigFault> {
        if shares < 1 {
            return Err(ConfigFault::NoShares);
        }
        if threshold < 1 {
            return Err(ConfigFault::NoThreshold);
        }
        if shares > 1 && threshold == 1 {
            return Err(ConfigFault::ThresholdOfOne);
        }
        let secret_shares = u8::try_from(shares).map_err(|_| ConfigFault::ManyShares)?;
        let secret_threshold = u8::try_from(threshold).map_err(|_| ConfigFault::HighThreshold)?;
        if threshold > shares {
            return Err(ConfigFault::ThresholdAboveShares);
        }
        Ok(Self { kind: Self::SHAMIR.to_owned(), secret_shares, secret_threshold })
    }

    /// The configuration in force, or `None` before initialisation.
    pub async fn stored(storage: &dyn Storage) -> Result<Option<Self>, SealError> {
        Ok(Self::stored_versioned(storage).await?.map(|(config, _)| config))
    }

    /// The same with the version to expect when it is replaced.
    pub async fn stored_versioned(storage: &dyn Storage) -> Result<Option<(Self, Version)>, SealError> {
        let Some(stored) = storage.get(&config_path()).await? else { return Ok(None) };
        let config: Self = serde_json::from_slice(&stored.bytes).map_err(|_| SealError::Damaged(config_path()))?;
        let checked = Self::shamir(config.secret_shares.into(), config.secret_threshold.into());
        if config.kind != Self::SHAMIR || checked.is_err() {
            return Err(SealError::Damaged(config_path()));
        }
        Ok(Some((config, stored.version())))
    }

    /// Parts a key into the shares of this configuration. A single share is the key itself.
    pub fn deal(&self, key: &Kek) -> Result<Vec<Share>, SealError> {
        if self.secret_shares == 1 {
            return Ok(vec![Secret::new(key.expose().to_vec())]);
        }
        shamir::split(key.expose(), self.secret_shares, self.secret_threshold).map_err(SealError::Split)
    }

    /// The key of as many shares as this configuration needs.
    pub fn collect(&self, shares: &[Share]) -> Result<Kek, KeyRefused> {
        match shares {
            [only] if self.secret_threshold == 1 => Kek::from_bytes(only.expose()),
            shares => Kek::from_bytes(shamir::combine(shares)?.expose()),
        }
        .ok_or(KeyRefused::Wrong)
    }

    fn write(&self) -> Result<Write, SealError> {
        let record = serde_json::to_vec(self).map_err(|_| SealError::Damaged(config_path()))?;
        Ok(Write::Put(config_path(), record.into()))
    }
}

/// Opens the stored root key.
///
/// # Errors
/// [`SealError::WrongKey`] when `seal` did not seal it, [`SealError::NotInitialized`] when there is none.
pub async fn open(storage: &dyn Storage, seal: &dyn Seal) -> Result<RootKey, SealError> {
    let stored = storage.get(&root_path()).await?.ok_or(SealError::NotInitialized)?;
    seal.unwrap(&Wrapped(stored.bytes)).await
}

/// Why the numbers of shares are refused (spec `seal-and-barrier.md` §2, "Validation strings").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// Zero or fewer shares.
    #[error("shares must be at least one")]
    NoShares,
    /// Zero or fewer needed.
    #[error("threshold must be at least one")]
    NoThreshold,
    /// Any of several shares alone would be the key.
    #[error("threshold must be greater than one for multiple shares")]
    ThresholdOfOne,
    /// There are 255 places for shares.
    #[error("shares must be less than 256")]
    ManyShares,
    /// The same bound.
    #[error("threshold must be less than 256")]
    HighThreshold,
    /// Nobody could unseal.
    #[error("threshold cannot be larger than shares")]
    ThresholdAboveShares,
    /// One PGP key for each share.
    #[error("count mismatch between number of provided PGP keys and number of shares")]
    PgpKeys,
}

/// Why shares do not open the stored root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// They cannot belong together.
    #[error("invalid key: failed to combine the shares: {0}")]
    Shares(#[from] ShamirError),
    /// They make another key.
    #[error("invalid key: failed to decrypt keys from storage: cipher: message authentication failed")]
    Wrong,
}

impl From<KeyRefused> for SealError {
    fn from(refused: KeyRefused) -> Self {
        match refused {
            KeyRefused::Shares(error) => Self::Shares(error),
            KeyRefused::Wrong => Self::WrongKey,
        }
    }
}

/// Whose fault an error is, and who reads its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    Invalid,
    /// Answered as the server's, but with its text (spec `sys.md` §2, `rekey`).
    Told,
    /// The server's; the text is for the log.
    Internal,
}

/// Why a ceremony did not go on. The texts are the API's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SealError {
    /// Somebody was first.
    #[error("Vault is already initialized")]
    AlreadyInitialized,
    /// There is no seal yet.
    #[error("Vault is not initialized")]
    NotInitialized,
    /// There is nothing to reset.
    #[error("vault is unsealed")]
    Unsealed,
    /// The numbers of shares make no sense.
    #[error("invalid seal configuration: {0}")]
    Config(ConfigFault),
    /// Parameters of another kind of seal.
    #[error("parameters {parameters} not applicable to seal type {kind}")]
    NotApplicable {
        /// Their names, parted by commas.
        parameters: String,
        /// The kind in use.
        kind: &'static str,
    },
    /// A parameter that asks for PGP, which this server does not speak.
    #[error("{0}: encryption with PGP keys is not supported by this server")]
    Pgp(&'static str),
    /// Neither a key nor a reset.
    #[error("'key' must be specified in request body as JSON, or 'reset' set to true")]
    KeyMissing,
    /// Not a share, by its text alone.
    #[error("{0}")]
    KeyText(KeyFault),
    /// Not a share, by its length.
    #[error("invalid key: {0}")]
    KeyLength(KeyFault),
    /// The shares cannot belong together.
    #[error("unable to retrieve stored keys: {}", KeyRefused::Shares(*.0))]
    Shares(ShamirError),
    /// The key does not open the stored root key.
    #[error("unable to retrieve stored keys: {}", KeyRefused::Wrong)]
    WrongKey,
    /// No shares can be made.
    #[error("shares cannot be made: {0}")]
    Split(ShamirError),
    /// A record of the seal is not of its form.
    #[error("the record at {0} is damaged")]
    Damaged(Key),
    /// The barrier refused.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// Storage refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl SealError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Damaged(_) | Self::Split(_) | Self::Barrier(_) | Self::Storage(_) => Fault::Internal,
            _ => Fault::Invalid,
        }
    }
}

/// Where [`SealConfig`] is stored.
fn config_path() -> Key {
    Key::from("core/seal-config")
}

/// Where the root key is stored, sealed; also the associated data of its encryption.
fn root_path() -> Key {
    Key::from(ROOT_PATH)
}

const ROOT_PATH: &str = "core/hsm/barrier-unseal-keys";
