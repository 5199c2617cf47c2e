//! What readers of an embedded store see: the database as of a snapshot, and over it what was committed since.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;

use super::ordered::Ordered;
use super::tables::{Entries, Snapshot};
use super::{StorageError, Stored, Version, Write};
use crate::base::Key;

/// What was committed and is not in the database yet: values, and `None` where a key was removed.
pub(super) type Fresh = BTreeMap<Key, Option<Bytes>>;

/// See the module. Replaced when the database has taken in what is fresh, and when it is opened anew.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) snapshot: Snapshot,
    /// Guards what is fresh. The writer takes it to add a group, readers for one key, or to copy what is under a prefix:
    /// some microseconds each. None but the writer, who alone changes it, holds it while the database is read or written.
    fresh: Arc<RwLock<Fresh>>,
}

impl Sight {
    /// A snapshot, and `fresh` over it.
    pub(super) fn new(snapshot: Snapshot, fresh: Fresh) -> Self {
        Self { snapshot, fresh: Arc::new(RwLock::new(fresh)) }
    }

    /// Another snapshot under what is fresh here.
    pub(super) fn over(&self, snapshot: Snapshot) -> Self {
        Self { snapshot, fresh: Arc::clone(&self.fresh) }
    }

    /// The value at `key`.
    pub(super) fn value(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        let fresh = self.fresh().get(key).cloned();
        match fresh {
            Some(bytes) => Ok(bytes.map(Stored::new)),
            None => self.snapshot.read(|entries| {
                entries.with(key.as_str(), |bytes| Stored::settled(Bytes::copy_from_slice(bytes), self.snapshot.epoch()))
            }),
        }
    }

    /// Runs `read` on the entries; those outside of `prefix` may be missing.
    pub(super) fn under<T>(
        &self,
        prefix: &Key,
        read: impl FnOnce(&Over<'_, Entries<'_>>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let fresh = {
            let fresh = self.fresh();
            let from = fresh.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
            let under = from.take_while(|(key, _)| key.as_str().starts_with(prefix.as_str()));
            under.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        self.snapshot.read(|entries| read(&Over { fresh: &fresh, below: entries }))
    }

    /// Runs `read` on all entries. For the writer alone: nothing can be added meanwhile.
    pub(super) fn whole<T>(
        &self,
        read: impl FnOnce(&Over<'_, Entries<'_>>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let fresh = self.fresh();
        self.snapshot.read(|entries| read(&Over { fresh: &fresh, below: entries }))
    }

    /// Lets readers see what is in `more`, all at once.
    pub(super) fn add(&self, more: Fresh) {
        self.fresh.write().unwrap_or_else(PoisonError::into_inner).extend(more);
    }

    /// What is fresh. Nothing can be added while it is held.
    pub(super) fn fresh(&self) -> RwLockReadGuard<'_, Fresh> {
        self.fresh.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies a write to what is fresh.
pub(super) fn put(fresh: &mut Fresh, write: &Write) {
    match write {
        Write::Put(key, bytes) => fresh.insert(key.clone(), Some(bytes.clone())),
        Write::Delete(key) => fresh.insert(key.clone(), None),
    };
}

/// Entries with what is fresh over them.
pub(super) struct Over<'a, B> {
    pub(super) fresh: &'a Fresh,
    pub(super) below: &'a B,
}

impl<B: Ordered> Ordered for Over<'_, B> {
    fn with<T>(&self, key: &str, visit: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StorageError> {
        match self.fresh.get(key) {
            Some(value) => Ok(value.as_ref().map(|bytes| visit(bytes))),
            None => self.below.with(key, visit),
        }
    }

    fn is_at(&self, key: &str, version: &Version) -> Result<bool, StorageError> {
        match self.fresh.get(key) {
            Some(value) => Ok(value.as_ref().is_some_and(|bytes| Version::of(bytes) == *version)),
            None => self.below.is_at(key, version),
        }
    }

    fn walk(
        &self,
        within: &str,
        start: Bound<&str>,
        mut visit: impl FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let mut fresh = self.fresh.range::<str, _>((start, Bound::Unbounded)).peekable();
        let mut flow = ControlFlow::Continue(());
        self.below.walk(within, start, |key, value| {
            while let Some((earlier, value)) = fresh.next_if(|(next, _)| next.as_str() < key) {
                flow = value.as_ref().map_or(flow, |bytes| visit(earlier.as_str(), bytes));
                flow?;
            }
            flow = match fresh.next_if(|(next, _)| next.as_str() == key) {
                Some((_, Some(bytes))) => visit(key, bytes),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            flow
        })?;
        for (key, value) in fresh {
            if flow.is_break() || !key.as_str().starts_with(within) {
                break;
            }
            flow = value.as_ref().map_or(flow, |bytes| visit(key.as_str(), bytes));
        }
        Ok(())
    }
}
