//! One process's sight of a disk, which stops one commit of its choice, just before or just after it: those that come
//! later pass by. It keeps a trail of what was committed.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use leasehold::base::Key;
use leasehold::storage::memory::MemoryStorage;
use leasehold::storage::{Batch, CommitHook, Page, Storage, StorageError, Stored, Write};
use tokio::sync::watch;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) disk: MemoryStorage,
    gate: Arc<Gate>,
    trail: Arc<Mutex<Vec<String>>>,
}

/// On which side of a commit its committer is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Nothing of it is durable yet.
    Before,
    /// It is durable, and its committer has not heard of it.
    After,
}

#[derive(Debug)]
struct Gate {
    armed: Mutex<Armed>,
    /// How far the chosen commit is.
    place: watch::Sender<Place>,
}

#[derive(Debug, Default)]
struct Armed {
    commits: u64,
    stop: Option<(u64, Side)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ahead,
    Stopped,
    Open,
}

impl Store {
    pub(super) fn over(disk: MemoryStorage, trail: Arc<Mutex<Vec<String>>>) -> Self {
        let gate = Gate { armed: Mutex::default(), place: watch::Sender::new(Place::Ahead) };
        Self { disk, gate: Arc::new(gate), trail }
    }

    /// Stops the commit after the next `commits`.
    pub(super) fn stop(&self, commits: u64, side: Side) {
        let mut armed = self.armed();
        armed.stop = Some((armed.commits + commits, side));
        self.gate.place.send_replace(Place::Ahead);
    }

    /// Whether the chosen commit waits.
    pub(super) fn is_stopped(&self) -> bool {
        *self.gate.place.borrow() == Place::Stopped
    }

    /// Lets it go on; one that has not come yet is not stopped any more.
    pub(super) fn let_go(&self) {
        self.armed().stop = None;
        self.gate.place.send_replace(Place::Open);
    }

    /// Batches that were asked for so far.
    pub(super) fn commits(&self) -> u64 {
        self.armed().commits
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.gate.armed.lock().unwrap()
    }

    /// Counts a commit; the side on which it is to be stopped.
    fn comes(&self) -> Option<Side> {
        let mut armed = self.armed();
        let place = armed.commits;
        armed.commits += 1;
        armed.stop.filter(|(at, _)| *at == place).map(|(_, side)| side)
    }

    async fn wait(&self) {
        let mut place = self.gate.place.subscribe();
        self.gate.place.send_replace(Place::Stopped);
        let _ = place.wait_for(|place| *place == Place::Open).await;
    }

    fn note(&self, writes: &[Write], result: &Result<(), StorageError>) {
        let keys: Vec<String> = writes
            .iter()
            .map(|write| match write {
                Write::Put(key, _) => format!("+{}", shortened(key.as_str())),
                Write::Delete(key) => format!("-{}", shortened(key.as_str())),
            })
            .collect();
        let what = match result {
            Ok(()) => "commit".to_owned(),
            Err(error) => format!("commit failed ({error})"),
        };
        self.trail.lock().unwrap().push(format!("{what} {}", keys.join(" ")));
    }
}

/// Ids to their first eight characters.
fn shortened(key: &str) -> String {
    let parts: Vec<String> = key.split('/').map(|part| part.chars().take(10).collect()).collect();
    parts.join("/")
}

#[async_trait]
impl Storage for Store {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        self.disk.get(key).await
    }

    async fn scan(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
        self.disk.scan(prefix, page).await
    }

    async fn list(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.disk.list(prefix, page).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        // How much a key has encrypted is noted now and then, whatever is going on.
        let is_note = |write: &Write| matches!(write, Write::Put(key, _) if key.as_str() == "core/keyring");
        if batch.writes.iter().all(is_note) {
            return self.disk.commit(batch).await;
        }
        let side = self.comes();
        if side == Some(Side::Before) {
            self.wait().await;
        }
        let writes = batch.writes.clone();
        let result = self.disk.commit(batch).await;
        self.note(&writes, &result);
        if side == Some(Side::After) {
            self.wait().await;
        }
        result
    }

    fn on_commit(&self, hook: CommitHook) {
        self.disk.on_commit(hook);
    }

    fn kind(&self) -> &'static str {
        self.disk.kind()
    }
}
