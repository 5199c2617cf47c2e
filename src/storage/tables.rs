//! The database of an embedded store: its tables, its transactions, and its errors in our words.
//!
//! redb may panic where a page holds what it never wrote; each entry into it is guarded, and such a panic is an error.

use std::any::Any;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::medium::{Backend, Medium};
use super::ordered::{self, Ordered};
use super::{Batch, StorageError, Write};

/// One opening of the database.
pub(super) struct Tables {
    database: Database,
    fenced: Arc<AtomicBool>,
}

/// The entries as of one commit.
pub(super) struct Snapshot(ReadOnlyTable<&'static [u8], &'static [u8]>);

/// A group that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) error: StorageError,
    /// The verdicts of its batches when the failure came so late that the group may be durable; else nothing was written.
    pub(super) doubtful: Option<Vec<Verdict>>,
}

/// What became of one batch of a group.
pub(super) type Verdict = Result<(), StorageError>;

impl Tables {
    /// Makes a store on an empty medium.
    pub(super) fn create(medium: &Arc<dyn Medium>, cache_bytes: usize) -> Result<Self, StorageError> {
        guarded(|| {
            let tables = Self::open_database(medium, cache_bytes)?;
            let change = tables.begin()?;
            change.open_table(ENTRIES).map_err(fault)?;
            change.open_table(META).map_err(fault)?.insert(FORMAT_KEY, FORMAT).map_err(fault)?;
            change.commit().map_err(fault)?;
            Ok(tables)
        })
    }

    /// Opens the store on `medium`; [`StorageError::Unusable`] when it holds none.
    pub(super) fn open(medium: &Arc<dyn Medium>, cache_bytes: usize) -> Result<Self, StorageError> {
        guarded(|| {
            if medium.len().map_err(|error| StorageError::Io(error.to_string()))? == 0 {
                return Err(StorageError::Unusable("the file is empty".to_owned()));
            }
            let tables = Self::open_database(medium, cache_bytes)?;
            match tables.format()? {
                Some(FORMAT) => Ok(tables),
                Some(other) => Err(StorageError::Unusable(format!("the file has format {other}, this version reads {FORMAT}"))),
                None => Err(StorageError::Unusable(NOT_OURS.to_owned())),
            }
        })
    }

    fn open_database(medium: &Arc<dyn Medium>, cache_bytes: usize) -> Result<Self, StorageError> {
        let fenced = Arc::new(AtomicBool::new(false));
        let backend = Backend { medium: Arc::clone(medium), fenced: Arc::clone(&fenced) };
        let database = Database::builder().set_cache_size(cache_bytes).create_with_backend(backend).map_err(fault)?;
        Ok(Self { database, fenced })
    }

    /// The format of a store, or `None` when another program made the file.
    fn format(&self) -> Result<Option<u64>, StorageError> {
        let view = self.database.begin_read().map_err(fault)?;
        let meta = match view.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::Storage(error)) => return Err(fault(error)),
            Err(_) => return Ok(None),
        };
        Ok(meta.get(FORMAT_KEY).map_err(fault)?.map(|format| format.value()))
    }

    /// From now on this opening changes nothing any more.
    pub(super) fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
    }

    /// Ends this opening; its snapshots fail from now on.
    pub(super) fn discard(self) {
        // Errors and panics of a database that had failed before mean nothing any more.
        let _ = guarded(|| {
            drop(self.database);
            Ok(())
        });
    }

    /// The entries as they are now.
    pub(super) fn snapshot(&self) -> Result<Snapshot, StorageError> {
        guarded(|| {
            let view = self.database.begin_read().map_err(fault)?;
            view.open_table(ENTRIES).map(Snapshot).map_err(fault)
        })
    }

    /// Judges each batch in order, each seeing those before it, and makes the good ones durable together.
    pub(super) fn transact(&self, batches: &[&Batch]) -> Result<Vec<Verdict>, Failure> {
        let mut doubtful = None;
        let outcome = guarded(|| {
            let change = self.begin()?;
            let verdicts = judge_and_apply(&change, batches)?;
            let changes = batches.iter().zip(&verdicts).any(|(batch, verdict)| verdict.is_ok() && !batch.writes.is_empty());
            if !changes {
                change.abort().map_err(fault)?;
                return Ok(verdicts);
            }
            doubtful = Some(verdicts.clone());
            change.commit().map_err(fault)?;
            Ok(verdicts)
        });
        outcome.map_err(|error| Failure { error, doubtful })
    }

    fn begin(&self) -> Result<WriteTransaction, StorageError> {
        let mut change = self.database.begin_write().map_err(fault)?;
        // Without it, opening after a crash takes minutes for a large file (architecture §12).
        change.set_quick_repair(true);
        Ok(change)
    }
}

impl Snapshot {
    /// Runs `read` on the entries.
    pub(super) fn read<T>(&self, read: impl FnOnce(&View<'_>) -> Result<T, StorageError>) -> Result<T, StorageError> {
        guarded(|| read(&Entries(&self.0)))
    }

    /// Whether the entries are as if `writes` had been applied just now.
    pub(super) fn shows(&self, writes: &[Write]) -> Result<bool, StorageError> {
        self.read(|entries| {
            let mut seen = std::collections::HashSet::new();
            for write in writes.iter().rev().filter(|write| seen.insert(write.key())) {
                let stored = entries.with(write.key().as_str(), |stored| match write {
                    Write::Put(_, bytes) => stored == bytes,
                    Write::Delete(_) => false,
                })?;
                if !stored.unwrap_or(matches!(write, Write::Delete(_))) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot(..)")
    }
}

/// A table of entries, as [`Ordered`].
pub(super) struct Entries<'a, T>(&'a T);

/// What a [`Snapshot`] is read through.
pub(super) type View<'a> = Entries<'a, ReadOnlyTable<&'static [u8], &'static [u8]>>;

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Ordered for Entries<'_, T> {
    fn with<R>(&self, key: &str, visit: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StorageError> {
        let stored = self.0.get(key.as_bytes()).map_err(fault)?;
        Ok(stored.map(|value| visit(value.value())))
    }

    fn walk(&self, start: Bound<&str>, mut visit: impl FnMut(&str, &[u8]) -> ControlFlow<()>) -> Result<(), StorageError> {
        let range = self.0.range::<&[u8]>((start.map(str::as_bytes), Bound::Unbounded)).map_err(fault)?;
        for entry in range {
            let (key, value) = entry.map_err(fault)?;
            let key = std::str::from_utf8(key.value()).map_err(|_| damaged("a key is not text"))?;
            if visit(key, value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn judge_and_apply(change: &WriteTransaction, batches: &[&Batch]) -> Result<Vec<Verdict>, StorageError> {
    let mut table = change.open_table(ENTRIES).map_err(fault)?;
    let mut verdicts = Vec::with_capacity(batches.len());
    for batch in batches {
        match ordered::judge(&Entries(&table), &batch.expects) {
            Ok(()) => {
                for write in &batch.writes {
                    let key = write.key().as_str().as_bytes();
                    match write {
                        Write::Put(_, bytes) => drop(table.insert(key, bytes.as_ref()).map_err(fault)?),
                        Write::Delete(_) => drop(table.remove(key).map_err(fault)?),
                    }
                }
                verdicts.push(Ok(()));
            }
            Err(conflict @ StorageError::Conflict(_)) => verdicts.push(Err(conflict)),
            Err(other) => return Err(other),
        }
    }
    Ok(verdicts)
}

/// Runs `work`; a panic inside becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(damaged(&panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

fn damaged(what: &str) -> StorageError {
    StorageError::Unusable(format!("the file is damaged: {what}"))
}

fn fault(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => StorageError::Unusable(NOT_OURS.to_owned()),
        redb::Error::Io(error) => StorageError::Io(error.to_string()),
        redb::Error::Corrupted(what) => damaged(&what),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            StorageError::Io("the file is being opened again after a failure".to_owned())
        }
        other => StorageError::Io(other.to_string()),
    }
}

const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("leasehold");
const FORMAT_KEY: &str = "format";
/// Moves when older versions must not open the file.
const FORMAT: u64 = 1;
const NOT_OURS: &str = "the file is not a Leasehold store, or its beginning is damaged";
