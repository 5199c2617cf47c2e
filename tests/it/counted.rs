//! Storage that notes which keys are read.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use leasehold::base::Key;
use leasehold::storage::memory::MemoryStorage;
use leasehold::storage::{Batch, CommitHook, Page, Storage, StorageError, Stored};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) inner: MemoryStorage,
    reads: Arc<Mutex<Vec<String>>>,
}

impl Counted {
    pub(crate) fn new(inner: MemoryStorage) -> Self {
        Self { inner, reads: Arc::default() }
    }

    /// What was read since the last call.
    pub(crate) fn reads(&self) -> Vec<String> {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }

    fn note(&self, what: &str, key: &Key) {
        self.reads.lock().unwrap().push(format!("{what} {}", key.as_str()));
    }
}

#[async_trait]
impl Storage for Counted {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        self.note("get", key);
        self.inner.get(key).await
    }

    async fn scan(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
        self.note("scan", prefix);
        self.inner.scan(prefix, page).await
    }

    async fn list(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.note("list", prefix);
        self.inner.list(prefix, page).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        self.inner.commit(batch).await
    }

    fn on_commit(&self, hook: CommitHook) {
        self.inner.on_commit(hook);
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}
