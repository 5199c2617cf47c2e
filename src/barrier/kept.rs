//! A record that one holder changes step by step: each step expects what the last one wrote, and knows what became of it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::storage::{Version, Write};

use super::{BarrierError, Txn, View};

/// The record at a key, as its holder last saw it.
#[derive(Debug)]
pub struct Kept {
    view: View,
    key: String,
    version: Option<Version>,
}

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// Somebody else changed the record, or something else that the batch expected is not so.
    #[error("it was changed meanwhile")]
    Changed,
    /// Storage refused; nothing was changed.
    #[error("{0}")]
    Failed(BarrierError),
    /// Storage refused, and does not say what is stored now.
    #[error("{0}")]
    Unknown(BarrierError),
}

impl Kept {
    /// Reads the record.
    pub async fn open<T: DeserializeOwned>(view: &View, key: &str) -> Result<(Self, Option<T>), BarrierError> {
        let found = view.read_versioned::<T>(key).await?;
        let (record, version) = found.map_or((None, None), |(record, version)| (Some(record), Some(version)));
        Ok((Self { view: view.clone(), key: key.to_owned(), version }, record))
    }

    /// Commits `txn` together with the record; `None` removes it. After an error of storage it is read what is stored: a
    /// commit that only lost its answer was made.
    ///
    /// # Errors
    /// [`NotKept`].
    pub async fn commit<T: Serialize>(&mut self, mut txn: Txn, record: Option<&T>) -> Result<(), NotKept> {
        match self.version {
            Some(version) => txn.expect_at(&self.view, &self.key, version),
            None => txn.expect_absent(&self.view, &self.key),
        };
        let wanted = if let Some(record) = record {
            txn.put(&self.view, &self.key, record).map_err(NotKept::Failed)?;
            txn.last_version()
        } else {
            txn.delete(&self.view, &self.key);
            None
        };
        let error = match txn.commit().await {
            Ok(()) => {
                self.version = wanted;
                return Ok(());
            }
            Err(error) if error.is_conflict() => return Err(NotKept::Changed),
            Err(error) => error,
        };
        let stored = match self.view.barrier().storage().get(&self.view.key(&self.key)).await {
            Ok(stored) => stored.map(|stored| stored.version()),
            Err(_) => return Err(NotKept::Unknown(error)),
        };
        if wanted == self.version {
            // Nothing of the record tells.
            Err(NotKept::Unknown(error))
        } else if stored == wanted {
            self.version = wanted;
            Ok(())
        } else if stored == self.version {
            Err(NotKept::Failed(error))
        } else {
            Err(NotKept::Changed)
        }
    }
}

impl Txn {
    /// The version of what was put last.
    fn last_version(&self) -> Option<Version> {
        match self.writes().last() {
            Some(Write::Put(_, bytes)) => Some(Version::of(bytes)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::barrier::{Locked, RootKey};
    use crate::base::Timestamp;
    use crate::storage::Storage;
    use crate::storage::memory::MemoryStorage;

    async fn disk() -> (MemoryStorage, View) {
        let storage = MemoryStorage::new();
        let locked = Locked::new(Arc::new(storage.clone()));
        let root = RootKey::generate();
        storage.commit(locked.create(&root, Timestamp::from_seconds(1)).unwrap()).await.unwrap();
        let view = locked.unlock(&root).await.unwrap().view("v/");
        (storage, view)
    }

    async fn open(view: &View) -> (Kept, Option<u32>) {
        Kept::open::<u32>(view, "k").await.unwrap()
    }

    #[tokio::test]
    async fn steps_follow_each_other() {
        let (_, view) = disk().await;
        let (mut kept, nothing) = open(&view).await;
        assert_eq!(nothing, None);
        for step in 1..4 {
            kept.commit(view.txn(), Some(&step)).await.unwrap();
            assert_eq!(open(&view).await.1, Some(step));
        }
        kept.commit::<u32>(view.txn(), None).await.unwrap();
        assert_eq!(open(&view).await.1, None);
    }

    #[tokio::test]
    async fn what_somebody_else_changed_is_not_overwritten() {
        let (_, view) = disk().await;
        let (mut kept, _) = open(&view).await;
        view.put("k", &7).await.unwrap();
        assert!(matches!(kept.commit(view.txn(), Some(&1)).await, Err(NotKept::Changed)));
        assert_eq!(open(&view).await.1, Some(7));
    }

    #[tokio::test]
    async fn a_commit_that_lost_its_answer_was_made() {
        let (storage, view) = disk().await;
        let (mut kept, _) = open(&view).await;
        storage.lose_answer_after(0);
        kept.commit(view.txn(), Some(&1)).await.unwrap();
        kept.commit(view.txn(), Some(&2)).await.unwrap();
        storage.lose_answer_after(0);
        kept.commit::<u32>(view.txn(), None).await.unwrap();
        assert_eq!(open(&view).await.1, None);
    }

    #[tokio::test]
    async fn a_refusal_and_a_silence_are_told_apart() {
        let (storage, view) = disk().await;
        let (mut kept, _) = open(&view).await;
        storage.set_full(true);
        assert!(matches!(kept.commit(view.txn(), Some(&1)).await, Err(NotKept::Failed(_))));
        storage.set_full(false);
        storage.lose_power_after(0);
        assert!(matches!(kept.commit(view.txn(), Some(&1)).await, Err(NotKept::Unknown(_))));
    }
}
