//! Where a rotation is written down, and what it comes to when it fails.

use std::future::Future;

use super::super::error::AwsError;
use super::super::key::KeyPair;
use super::record::Record;

/// What makes a rotation durable: a place for its [`Record`], and for the pair in use.
///
/// Each call is one atomic batch. It must fail with [`Unsaved::Closed`] when the record is not as this ledger last saw it.
/// When storage fails, what is stored should be read back before an error is told.
pub trait Ledger: Send {
    /// Stores the record. One that [is empty](Record::is_empty) may be removed.
    fn save(&mut self, record: &Record) -> impl Future<Output = Result<(), Unsaved>> + Send;

    /// Makes `pair` the one in use, and stores the record with it.
    fn switch(&mut self, pair: &KeyPair, record: &Record) -> impl Future<Output = Result<(), Unsaved>> + Send;

    /// The pair was switched: returns when calls that are signed with the old one have ended. It is waited for 30 s at most.
    fn drained(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A record is not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unsaved {
    /// Somebody else wrote the record, or what the rotation is of: it is not gone on with.
    #[error("the configuration was changed meanwhile")]
    Closed,
    /// It is certain that it is not.
    #[error("{0}")]
    Failed(String),
    /// It may be stored all the same.
    #[error("{0}")]
    Unknown(String),
}

/// Why a rotation did not come to its end. Whatever it is, the next one goes on from there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RotationError {
    /// Step 1.
    #[error("error calling GetUser: {0}")]
    User(AwsError),
    /// Step 1: IAM shows another user than the one to rotate.
    #[error("{0}")]
    Mismatch(String),
    /// Step 1.
    #[error("error calling ListAccessKeys: {error}{}", needs(error))]
    List {
        /// Of IAM.
        error: AwsError,
    },
    /// Step 2: two keys, and none of them is ours to delete. The text says which.
    #[error("{0}")]
    TwoKeys(String),
    /// Step 2: a key of ours is in the way.
    #[error("error deleting access key {id}: {error}")]
    InTheWay {
        /// The key.
        id: String,
        /// Of IAM.
        error: AwsError,
    },
    /// Step 4.
    #[error("error calling CreateAccessKey: {0}")]
    Create(AwsError),
    /// Steps 3, 5 and 7. The text is storage's.
    #[error("{0}")]
    Save(#[from] Unsaved),
    /// Step 6.
    #[error("new access key not accepted yet: {0}")]
    NotAccepted(String),
    /// Step 8: the new key is in use.
    #[error("error deleting old access key: {error}")]
    Old {
        /// The key.
        id: String,
        /// Of IAM.
        error: AwsError,
    },
    /// A search for a key whose creation was not answered.
    #[error("error looking for a lost access key: {0}")]
    Search(AwsError),
}

impl RotationError {
    /// What AWS said, where it is AWS's word.
    pub fn aws(&self) -> Option<&AwsError> {
        match self {
            Self::User(error)
            | Self::Create(error)
            | Self::Search(error)
            | Self::List { error }
            | Self::InTheWay { error, .. }
            | Self::Old { error, .. } => Some(error),
            Self::Mismatch(_) | Self::TwoKeys(_) | Self::Save(_) | Self::NotAccepted(_) => None,
        }
    }
}

/// Names the permission that is missing.
fn needs(error: &AwsError) -> &'static str {
    if error.is_denied() { " (iam:ListAccessKeys is needed)" } else { "" }
}
