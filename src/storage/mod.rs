//! Durable, ordered bytes. Storage is not trusted: it sees ciphertext only, may lie, and is caught by the barrier.

pub mod embedded;
mod journal;
mod medium;
pub mod memory;
mod ordered;
mod sight;
mod store;
mod tables;
mod writer;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::base::Key;

/// Durable, ordered key → bytes.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// The value at `key`.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError>;

    /// Entries under `prefix` in order of their keys, from `page.after` (exclusive, a whole key), at most `page.limit`.
    async fn scan(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError>;

    /// Immediate children of `prefix` (which ends in `/` or is empty) in order; those with children of their own end in
    /// `/`. `page.after` is a child's name as listed, exclusive.
    async fn list(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError>;

    /// All writes or none, durable on return; [`StorageError::Conflict`] when an expectation does not hold.
    ///
    /// Batches that are committed together are judged in order of arrival, each seeing those before it; one that
    /// conflicts leaves the others alone. Dropping the future takes nothing back.
    async fn commit(&self, batch: Batch) -> Result<(), StorageError>;

    /// Has `hook` called by the writer with the writes of each durable batch, in order of commits, before its committer
    /// is answered (architecture §8). Hooks must be quick and must not panic.
    fn on_commit(&self, hook: CommitHook);

    /// What `sys/seal-status` calls this storage.
    fn kind(&self) -> &'static str;
}

/// See [`Storage::on_commit`].
pub type CommitHook = Arc<dyn Fn(&[Write]) + Send + Sync>;

/// A value as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The bytes.
    pub bytes: Bytes,
    epoch: Option<u64>,
}

impl Stored {
    /// These bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, epoch: None }
    }

    /// These bytes, which the database of this epoch holds.
    pub(crate) fn settled(bytes: Bytes, epoch: u64) -> Self {
        Self { bytes, epoch: Some(epoch) }
    }

    /// The version of these bytes.
    pub fn version(&self) -> Version {
        Version { epoch: self.epoch, ..Version::of(&self.bytes) }
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Stored {}

/// Names the bytes of a value: their digest. Sealed values differ in their nonce even when the plain text is the same, so
/// a version never comes back.
#[derive(Clone, Copy)]
pub struct Version {
    digest: [u8; 16],
    /// Where the value was read in an embedded store's database itself: of which epoch. Nothing but a short cut for its writer, who
    /// need not read it again in the same epoch.
    epoch: Option<u64>,
}

impl Version {
    /// The version of `bytes`: half of their SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut version = [0; 16];
        version.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self { digest: version, epoch: None }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Version {}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.digest))
    }
}

/// A part of a list or scan.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Where the page before ended; not part of this one.
    pub after: Option<&'a str>,
    /// At most so many entries.
    pub limit: usize,
}

impl<'a> Page<'a> {
    /// The first `limit` entries.
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The next `limit` entries after `after`.
    pub fn after(after: &'a str, limit: usize) -> Self {
        Self { after: Some(after), limit }
    }
}

/// Writes that become durable together, and what they expect of the store.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In order; a later write to the same key wins.
    pub writes: Vec<Write>,
    /// All must hold just before the writes.
    pub expects: Vec<Expect>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts bytes at a key.
    Put(Key, Bytes),
    /// Removes a key, if it is there.
    Delete(Key),
}

impl Write {
    /// The key that changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// A condition on the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing is stored at the key.
    Absent(Key),
    /// The bytes at the key have this version.
    At(Key, Version),
    /// Nothing is stored under the prefix.
    Empty(Key),
}

/// Why storage did not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// An expectation of the batch did not hold; nothing was written.
    #[error("the stored value at {0} changed meanwhile")]
    Conflict(Key),
    /// The medium refused: full disk, read-only folder, failing device. Nothing was written, unless power is lost before
    /// anything else is; later tries may succeed.
    #[error("storage: {0}")]
    Io(String),
    /// The file is not ours, damaged, or in use by another process.
    #[error("storage: {0}")]
    Unusable(String),
    /// The store was closed.
    #[error("storage is closed")]
    Closed,
}
