//! What storage holds becomes secret here: values are sealed with AES-256-GCM, their key as associated data, so that no
//! entry can be read, changed or moved from outside (spec `seal-and-barrier.md` §1).
//!
//! [`Locked`] is storage without keys. [`Barrier`] holds the keyring. A [`View`] is a prefix of it, a [`Txn`] one batch over
//! several views.

mod bus;
mod guarded;
mod kept;
mod keyring;
mod tally;
mod view;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::base::{Key, Timestamp};
use crate::storage::{Batch, Expect, Storage, StorageError, Version, Write};

use bus::Bus;
use keyring::{Keyring, Nonces};

pub use bus::Subscriber;
pub use guarded::{Guarded, Ticket};
pub use kept::{Kept, NotKept};
pub use keyring::{KeyStatus, RootKey, RotationConfig};
pub use tally::Tally;
pub use view::{Txn, View};

/// Why the barrier did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BarrierError {
    /// Changed, moved or made by someone without the key.
    #[error("the value at {0} does not authenticate")]
    Forged(Key),
    /// Sealed under a key this keyring does not hold.
    #[error("key term {0} is not in the keyring")]
    UnknownTerm(u32),
    /// Authentic, but not a record of the expected form.
    #[error("the value at {0} is not readable: {1}")]
    Decode(Key, String),
    /// The keyring was emptied.
    #[error("the barrier is sealed")]
    Sealed,
    /// The root key does not open the keyring.
    #[error("cipher: message authentication failed")]
    WrongRootKey,
    /// There is no keyring in storage.
    #[error("the barrier is not initialized")]
    NotInitialized,
    /// More batches change one number at once than storage takes.
    #[error("too many changes of one number at once")]
    Busy,
    /// Storage refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl BarrierError {
    /// Whether an expectation of the batch did not hold: read again and retry.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Conflict(_)))
    }
}

/// Storage whose values cannot be read yet.
#[derive(Clone, Debug)]
pub struct Locked {
    storage: Arc<dyn Storage>,
    bus: Arc<Bus>,
}

impl Locked {
    /// Takes the storage and starts to listen to its commits.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        let bus = Arc::new(Bus::default());
        let hook = Arc::clone(&bus);
        storage.on_commit(Arc::new(move |writes| hook.publish(writes)));
        Self { storage, bus }
    }

    /// The storage below.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Whether a keyring is stored.
    pub async fn is_initialized(&self) -> Result<bool, BarrierError> {
        Ok(self.storage.get(&keyring::path()).await?.is_some())
    }

    /// The writes of a fresh keyring of one term, and the expectation that none is stored. They become one batch with what
    /// the seal writes.
    pub fn create(&self, root: &RootKey, now: Timestamp) -> Result<Batch, BarrierError> {
        let sealed = Keyring::fresh(root.clone(), now).sealed()?;
        Ok(Batch { writes: vec![Write::Put(keyring::path(), sealed)], expects: vec![Expect::Absent(keyring::path())] })
    }

    /// Opens the keyring with the root key.
    pub async fn unlock(&self, root: &RootKey) -> Result<Arc<Barrier>, BarrierError> {
        let stored = self.storage.get(&keyring::path()).await?.ok_or(BarrierError::NotInitialized)?;
        let keyring = Keyring::open(&stored.bytes, root)?;
        Ok(Arc::new(Barrier {
            storage: Arc::clone(&self.storage),
            bus: Arc::clone(&self.bus),
            keyring: ArcSwapOption::from_pointee(keyring),
        }))
    }
}

/// Storage whose values can be read and written.
pub struct Barrier {
    storage: Arc<dyn Storage>,
    bus: Arc<Bus>,
    keyring: ArcSwapOption<Keyring>,
}

impl Barrier {
    /// Everything under `prefix`, which ends in `/`.
    pub fn view(self: &Arc<Self>, prefix: &str) -> View {
        View::new(Arc::clone(self), Key::from(prefix))
    }

    /// An empty batch.
    pub fn txn(self: &Arc<Self>) -> Txn {
        Txn::new(Arc::clone(self))
    }

    /// Has `subscriber` called with the keys under `prefix` of each durable batch, before its committer is answered.
    pub fn subscribe(&self, prefix: &str, subscriber: Subscriber) {
        self.bus.subscribe(Key::from(prefix), subscriber);
    }

    /// Seals a text that is not stored, such as a batch token; `label` keeps it apart from every storage key.
    pub fn seal_text(&self, label: &str, plain: &[u8]) -> Result<Bytes, BarrierError> {
        self.keyring.load().as_deref().ok_or(BarrierError::Sealed)?.seal(label, plain, &mut Nonces::default())
    }

    /// Opens what [`Barrier::seal_text`] sealed under the same label.
    pub fn open_text(&self, label: &str, sealed: &[u8]) -> Result<Vec<u8>, BarrierError> {
        self.keyring.load().as_deref().ok_or(BarrierError::Sealed)?.open_value(&Key::from(label), sealed)
    }

    /// Adds a new key, with which everything is sealed from now on. Older ones stay, to read what they sealed. The caller
    /// keeps two rotations from running at once.
    pub async fn rotate(&self, now: Timestamp) -> Result<(), BarrierError> {
        let next = self.keyring()?.rotated(now);
        self.replace(next).await
    }

    /// Changes when keys are rotated by themselves. The caller keeps two changes from running at once.
    pub async fn configure_rotation(&self, config: RotationConfig) -> Result<(), BarrierError> {
        let next = self.keyring()?.with_rotation(config);
        self.replace(next).await
    }

    /// Writes the count of encryptions beside the keys, so that it outlives a restart about right.
    pub async fn save_counts(&self) -> Result<(), BarrierError> {
        let same = self.keyring()?.with_rotation(self.rotation_config()?);
        self.replace(same).await
    }

    /// The settings of rotation.
    pub fn rotation_config(&self) -> Result<RotationConfig, BarrierError> {
        Ok(self.keyring()?.rotation())
    }

    /// Term, age and use of the key in force.
    pub fn key_status(&self) -> Result<KeyStatus, BarrierError> {
        Ok(self.keyring()?.status())
    }

    /// Empties the keyring: whoever still holds this barrier reads and writes nothing more. Subscribers are forgotten.
    pub fn lock(&self) {
        self.keyring.store(None);
        self.bus.clear();
    }

    pub(super) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    pub(super) fn open(&self, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, BarrierError> {
        self.keyring.load().as_deref().ok_or(BarrierError::Sealed)?.open_value(key, sealed)
    }

    fn seal(&self, key: &Key, plain: &[u8], nonces: &mut Nonces) -> Result<Bytes, BarrierError> {
        self.keyring.load().as_deref().ok_or(BarrierError::Sealed)?.seal(key.as_str(), plain, nonces)
    }

    fn keyring(&self) -> Result<Arc<Keyring>, BarrierError> {
        self.keyring.load_full().ok_or(BarrierError::Sealed)
    }

    async fn replace(&self, next: Keyring) -> Result<(), BarrierError> {
        let stored = self.storage.get(&keyring::path()).await?.ok_or(BarrierError::NotInitialized)?;
        let batch = Batch {
            writes: vec![Write::Put(keyring::path(), next.sealed()?)],
            expects: vec![Expect::At(keyring::path(), Version::of(&stored.bytes))],
        };
        self.storage.commit(batch).await?;
        // Sealed meanwhile: stay sealed.
        self.keyring.rcu(|current| current.as_ref().map(|_| Arc::new(next.clone())));
        Ok(())
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("open", &self.keyring.load().is_some()).finish_non_exhaustive()
    }
}
