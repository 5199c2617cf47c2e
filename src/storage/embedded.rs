//! The embedded store: one file and its journal, many readers, one writer thread with group commit (architecture §12).

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

pub use super::medium::Medium;
use super::medium::{JournalFile, StoreFile};
use super::ordered;
use super::sight::{Over, Sight};
use super::store::Store;
use super::tables::Entries;
use super::tables::Tables;
use super::writer::{Message, Published, Queued, Shared, Writer};
use super::{Batch, CommitHook, Page, Storage, StorageError, Stored};
use crate::base::{Clock, Key, Tasks};

/// Durable, ordered entries in one file that is ours alone while it is open.
///
/// While it is open, a journal lies beside the file, and the two belong together; closing leaves one file.
///
/// Dropping it closes it, after what was committed; [`EmbeddedStorage::close`] does so without blocking.
pub struct EmbeddedStorage {
    shared: Arc<Shared>,
    inbox: Sender<Message>,
    /// Guards the thread's handle; only closing takes it.
    thread: Mutex<Option<JoinHandle<()>>>,
    tasks: Tasks,
}

/// How an embedded store is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Memory for pages of the file, in bytes. Half of it may hold what is being written.
    pub cache_bytes: usize,
    /// Size of the journal, in bytes, at which the database takes in what is there. At the default that is some
    /// hundred commits, and commits then wait for some milliseconds: twice as much waits twice as long and saves little.
    pub journal_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 8 << 20, journal_bytes: 512 << 10 }
    }
}

impl EmbeddedStorage {
    /// Opens the store in the file at `path`, or makes one when there is no file; its folder must exist. Blocks for some
    /// milliseconds.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] when the file is in use, damaged, another program's, or cannot be opened or made.
    pub fn open(path: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<Self, StorageError> {
        let at_path = |error: StorageError| match error {
            StorageError::Unusable(text) | StorageError::Io(text) => {
                StorageError::Unusable(format!("{}: {text}", path.display()))
            }
            other => other,
        };
        let (tables, medium) = if let Some(file) = StoreFile::open(path)? {
            let medium: Arc<dyn Medium> = Arc::new(file);
            (Tables::open(&medium, options.cache_bytes).map_err(at_path)?, medium)
        } else {
            let draft = StoreFile::draft(path)?;
            if path.exists() {
                // Somebody made one between our look and our lock.
                StoreFile::remove_draft(path);
                return Err(StorageError::Unusable(format!("{} has just been made by another process", path.display())));
            }
            let medium: Arc<dyn Medium> = Arc::new(draft);
            let tables = Tables::create(&medium, options.cache_bytes).map_err(at_path)?;
            StoreFile::name_draft(path)?;
            (tables, medium)
        };
        let store =
            Store::new(tables, medium, |progress| Ok(Arc::new(JournalFile::open(path, progress.is_journalled)?)), options);
        Self::start(store.map_err(at_path)?, clock)
    }

    /// Opens the store on `medium` with its journal on another, or makes one when `medium` is empty.
    ///
    /// # Errors
    /// [`StorageError::Unusable`] when the medium holds something else, or something damaged; [`StorageError::Io`] when
    /// it fails.
    pub fn open_on(
        medium: Arc<dyn Medium>,
        journal: Arc<dyn Medium>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let is_empty = medium.len().map_err(|error| StorageError::Io(error.to_string()))? == 0;
        let open = if is_empty { Tables::create } else { Tables::open };
        let tables = open(&medium, options.cache_bytes)?;
        Self::start(Store::new(tables, medium, |_| Ok(journal), options)?, clock)
    }

    fn start(store: Store, clock: Arc<dyn Clock>) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            published: ArcSwap::from_pointee(Published::Open(store.sight())),
            hooks: ArcSwap::default(),
            room: Semaphore::new(QUEUE),
            reopening: AtomicBool::new(false),
        });
        let (inbox, messages) = channel();
        let writer = Writer::new(Arc::clone(&shared), messages, store, clock);
        let thread = std::thread::Builder::new().name("storage".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| StorageError::Io(format!("no thread for the writer: {error}")))?;
        Ok(Self { shared, inbox, thread: Mutex::new(Some(thread)), tasks: Tasks::default() })
    }

    /// Finishes what was committed, closes the file, and lets others have it. Every call afterwards fails with
    /// [`StorageError::Closed`].
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.inbox.send(Message::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    /// Reads a page: a small one here, a large one on a thread that may block.
    async fn page<T: Send + 'static>(
        &self,
        prefix: &Key,
        page: Page<'_>,
        read: fn(&Over<'_, Entries<'_>>, &Key, Page<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if page.limit <= INLINE_PAGE {
            return read_published(&self.shared, &self.inbox, |sight| sight.under(prefix, |view| read(view, prefix, page)));
        }
        let (shared, inbox, prefix) = (Arc::clone(&self.shared), self.inbox.clone(), prefix.clone());
        let (after, limit) = (page.after.map(str::to_owned), page.limit);
        let work = move || {
            let page = Page { after: after.as_deref(), limit };
            read_published(&shared, &inbox, |sight| sight.under(&prefix, |view| read(view, &prefix, page)))
        };
        // A thread that ends without an answer belongs to a runtime that is going down.
        self.tasks.spawn_blocking(work).await.unwrap_or(Err(StorageError::Closed))
    }
}

#[async_trait]
impl Storage for EmbeddedStorage {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        read_published(&self.shared, &self.inbox, |sight| sight.value(key))
    }

    async fn scan(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
        self.page(prefix, page, |view, prefix, page| ordered::scan(view, prefix, page)).await
    }

    async fn list(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.page(prefix, page, |view, prefix, page| ordered::list(view, prefix, page)).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let place = self.shared.room.acquire().await.map_err(|_| StorageError::Closed)?;
        // The writer gives the place back when it takes the batch.
        place.forget();
        let (asker, answer) = oneshot::channel();
        self.inbox.send(Message::Commit(Queued { batch, asker })).map_err(|_| StorageError::Closed)?;
        answer.await.map_or(Err(StorageError::Closed), |answer| answer.verdict)
    }

    fn on_commit(&self, hook: CommitHook) {
        self.shared.hooks.rcu(|hooks| hooks.iter().cloned().chain([Arc::clone(&hook)]).collect::<Vec<_>>());
    }

    fn kind(&self) -> &'static str {
        "embedded"
    }
}

impl Drop for EmbeddedStorage {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        let _ = self.inbox.send(Message::Close(done));
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A hook may hold the last handle: the writer cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for EmbeddedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStorage").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Runs `read` on what is published. When it fails because the writer has opened the file anew meanwhile, it is run
/// again; when it fails by itself, the writer is asked for a new opening.
fn read_published<T>(
    shared: &Shared,
    inbox: &Sender<Message>,
    read: impl Fn(&Sight) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut tries = 0;
    loop {
        let published = shared.published.load();
        let error = match &**published {
            Published::Closed => return Err(StorageError::Closed),
            Published::Open(sight) => match read(sight) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
        };
        tries += 1;
        if tries < READ_TRIES && !Arc::ptr_eq(&published, &shared.published.load()) {
            continue;
        }
        // Where the file is damaged, a new opening finds the same.
        let may_heal = matches!(error, StorageError::Io(_));
        if may_heal && !shared.reopening.swap(true, Ordering::AcqRel) {
            let _ = inbox.send(Message::Reopen(error.clone()));
        }
        return Err(error);
    }
}

/// Batches that may wait for the writer; more wait for a place. Two groups: while one is written, one forms.
const QUEUE: usize = 1024;
/// Pages up to this size are read on the async worker: some tens of microseconds when cached.
const INLINE_PAGE: usize = 64;
/// A new snapshot comes with each commit, but only an opening breaks a read; two in a row are rare.
const READ_TRIES: usize = 3;
