//! One contract, kept by every storage.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use leasehold::base::{Key, Tasks};
use leasehold::storage::memory::MemoryStorage;
use leasehold::storage::{Batch, CommitHook, Expect, Page, Storage, StorageError, Stored, Version, Write};

mod contract;
mod disk;
mod embedded;
mod faults;
mod memory;
mod model;

/// Runs `test` to its end on a runtime of its own.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(key.into(), Bytes::copy_from_slice(value.as_bytes()))
}

fn delete(key: &str) -> Write {
    Write::Delete(key.into())
}

fn batch(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch { writes: writes.into_iter().collect(), expects: vec![] }
}

fn expecting(expect: Expect, write: Write) -> Batch {
    Batch { writes: vec![write], expects: vec![expect] }
}

async fn value(storage: &dyn Storage, key: &str) -> Option<String> {
    let stored = storage.get(&key.into()).await.unwrap()?;
    Some(String::from_utf8(stored.bytes.to_vec()).unwrap())
}

async fn names(storage: &dyn Storage, prefix: &str, page: Page<'_>) -> Vec<String> {
    storage.list(&prefix.into(), page).await.unwrap()
}

/// What a store tells its hook, in order.
fn record(storage: &dyn Storage) -> Arc<Mutex<Vec<Vec<Write>>>> {
    let seen = Arc::new(Mutex::new(vec![]));
    let log = Arc::clone(&seen);
    storage.on_commit(Arc::new(move |writes: &[Write]| log.lock().unwrap().push(writes.to_vec())));
    seen
}

/// Polls `future` once and says whether it waits.
fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(std::pin::Pin::new(future).poll(&mut context), Poll::Pending)
}
