//! The database of an embedded store: its tables, its transactions, and its errors in our words.
//!
//! redb may panic where a page holds what it never wrote; each entry into it is guarded, and such a panic is an error.

use std::any::Any;
use std::fmt;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::medium::{Backend, Medium};
use super::ordered::Ordered;
use super::sight::Fresh;
use super::{StorageError, Version};

/// One opening of the database.
pub(super) struct Tables {
    database: Database,
    fenced: Arc<AtomicBool>,
}

/// How database and journal stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Frames of this epoch come after what is in the database; those of earlier ones are in it.
    pub(super) epoch: u64,
    /// Whether the journal may hold frames of the epoch.
    pub(super) is_journalled: bool,
}

/// The entries as of one commit.
pub(super) struct Snapshot {
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    epoch: u64,
}

impl Tables {
    /// Makes a store on an empty medium.
    pub(super) fn create(medium: &Arc<dyn Medium>, cache_bytes: usize) -> Result<Self, StorageError> {
        guarded(|| {
            let tables = Self::open_database(medium, cache_bytes)?;
            let change = tables.begin()?;
            change.open_table(ENTRIES).map_err(fault)?;
            change.open_table(META).map_err(fault)?.insert(FORMAT_KEY, FORMAT).map_err(fault)?;
            set_progress(&change, Progress { epoch: 1, is_journalled: false })?;
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
            match tables.number(FORMAT_KEY)? {
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

    /// A number about the store; `None` when another program made the file.
    fn number(&self, name: &str) -> Result<Option<u64>, StorageError> {
        let view = self.database.begin_read().map_err(fault)?;
        let meta = match view.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::Storage(error)) => return Err(fault(error)),
            Err(_) => return Ok(None),
        };
        Ok(meta.get(name).map_err(fault)?.map(|number| number.value()))
    }

    /// What the database has taken in of the journal.
    pub(super) fn progress(&self) -> Result<Progress, StorageError> {
        guarded(|| {
            let missing = || damaged("it does not say what it holds of its journal");
            let epoch = self.number(EPOCH_KEY)?.ok_or_else(missing)?;
            let is_journalled = self.number(JOURNALLED_KEY)?.ok_or_else(missing)? != 0;
            Ok(Progress { epoch, is_journalled })
        })
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

    /// The entries as they are now. Keys that are not fresh in `epoch` are as they were at its beginning.
    pub(super) fn snapshot(&self, epoch: u64) -> Result<Snapshot, StorageError> {
        guarded(|| {
            let view = self.database.begin_read().map_err(fault)?;
            view.open_table(ENTRIES).map(|entries| Snapshot { entries, epoch }).map_err(fault)
        })
    }

    /// Takes in `fresh`, durably, and notes `progress` with it. To do it again changes nothing.
    ///
    /// # Errors
    /// All of it is durable, or nothing.
    pub(super) fn absorb(&self, fresh: &Fresh, progress: Progress) -> Result<(), StorageError> {
        guarded(|| {
            let change = self.begin()?;
            take_in(&mut change.open_table(ENTRIES).map_err(fault)?, fresh)?;
            set_progress(&change, progress)?;
            change.commit().map_err(fault)
        })
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
    pub(super) fn read<T>(&self, read: impl FnOnce(&Entries<'_>) -> Result<T, StorageError>) -> Result<T, StorageError> {
        guarded(|| read(&Entries(self)))
    }

    /// Which epoch's.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot(..)")
    }
}

/// The entries of a snapshot.
pub(super) struct Entries<'a>(&'a Snapshot);

impl Ordered for Entries<'_> {
    fn with<R>(&self, key: &str, visit: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StorageError> {
        let stored = self.0.entries.get(key.as_bytes()).map_err(fault)?;
        Ok(stored.map(|value| visit(value.value())))
    }

    fn is_at(&self, key: &str, version: &Version) -> Result<bool, StorageError> {
        if version.epoch == Some(self.0.epoch) {
            return Ok(true);
        }
        Ok(self.with(key, Version::of)?.as_ref() == Some(version))
    }

    fn walk(
        &self,
        within: &str,
        start: Bound<&str>,
        mut visit: impl FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let range = self.0.entries.range::<&[u8]>((start.map(str::as_bytes), Bound::Unbounded)).map_err(fault)?;
        for entry in range {
            let (key, value) = entry.map_err(fault)?;
            let key = std::str::from_utf8(key.value()).map_err(|_| damaged("a key is not text"))?;
            if !key.starts_with(within) || visit(key, value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Puts and removes what is fresh.
///
/// An insertion by itself splits a full page in halves, and of keys in ascending order nothing ever comes to the lower half.
/// Most keys here are ascending, so those that fall into one gap between two keys of the table go in together: that fills
/// pages, and moves each once. To look for such a run costs as much as a read; where there are none, it is done less often.
fn take_in(table: &mut Table<'_, &'static [u8], &'static [u8]>, fresh: &Fresh) -> Result<(), StorageError> {
    let mut rest = fresh.iter().map(|(key, value)| (key.as_str().as_bytes(), value.as_deref())).peekable();
    // Keys that go in by themselves before a run is looked for: now, and after the next failure.
    let (mut alone, mut penalty) = (0_u32, 1);
    while let Some(&(first, value)) = rest.peek() {
        if let Some(fewer) = alone.checked_sub(1) {
            alone = fewer;
            put_or_remove(table, first, value)?;
            rest.next();
            continue;
        }
        let mut cursor = table.lower_bound_mut(Bound::Included(first)).map_err(fault)?;
        let next = cursor.peek_next().map_err(fault)?.map(|(key, _)| key.value().to_vec());
        let is_new = |key: &[u8]| next.as_deref().is_none_or(|next| key < next);
        // What was put and removed since is neither here nor there.
        let puts = rest.clone().take_while(|(key, _)| is_new(key)).filter_map(|(key, value)| Some((key, value?)));
        let mut is_run = puts.clone().nth(RUN - 1).is_some();
        if is_run {
            puts.clone().try_for_each(|(key, value)| cursor.insert_before(key, value)).map_err(fault)?;
            cursor.close().map_err(fault)?;
        } else {
            drop(cursor);
            puts.clone().try_for_each(|(key, value)| put_or_remove(table, key, Some(value)))?;
        }
        while rest.next_if(|(key, _)| is_new(key)).is_some() {}
        match rest.next_if(|(key, _)| next.as_deref() == Some(key)) {
            Some((key, None)) => is_run |= remove_run(table, key, &mut rest)?,
            Some((key, value)) => put_or_remove(table, key, value)?,
            None => {}
        }
        (alone, penalty) = if is_run { (0, 1) } else { (penalty, (penalty * 2).min(LONGEST_PENALTY)) };
    }
    Ok(())
}

fn put_or_remove(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), StorageError> {
    match value {
        Some(bytes) => drop(table.insert(key, bytes).map_err(fault)?),
        None => drop(table.remove(key).map_err(fault)?),
    }
    Ok(())
}

/// Removes `first`, and in one go those that follow it in the table and are to be removed as well: what was written together mostly
/// ends together. Whether there were some.
fn remove_run<'a>(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    first: &'a [u8],
    rest: &mut Peekable<impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone>,
) -> Result<bool, StorageError> {
    let (mut last, mut count, mut behind) = (first, 1, rest.clone());
    for entry in table.range::<&[u8]>((Bound::Excluded(first), Bound::Unbounded)).map_err(fault)? {
        let (there, _) = entry.map_err(fault)?;
        // What is not there needs no removing.
        while behind.next_if(|(key, value)| value.is_none() && *key < there.value()).is_some() {}
        let Some((key, _)) = behind.next_if(|(key, value)| value.is_none() && *key == there.value()) else { break };
        (last, count) = (key, count + 1);
    }
    if count < RUN {
        return put_or_remove(table, first, None).map(|()| false);
    }
    table.retain_in::<&[u8], _>(first..=last, |_, _| false).map_err(fault)?;
    while rest.next_if(|(key, _)| *key <= last).is_some() {}
    Ok(true)
}

fn set_progress(change: &WriteTransaction, progress: Progress) -> Result<(), StorageError> {
    let mut meta = change.open_table(META).map_err(fault)?;
    meta.insert(EPOCH_KEY, progress.epoch).map_err(fault)?;
    meta.insert(JOURNALLED_KEY, u64::from(progress.is_journalled)).map_err(fault)?;
    Ok(())
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

/// Keys in a row from which on they go in together: fewer seldom fill a page.
const RUN: usize = 4;
/// Keys that go in by themselves at most before a run is looked for again.
const LONGEST_PENALTY: u32 = 16;
const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("leasehold");
const FORMAT_KEY: &str = "format";
const EPOCH_KEY: &str = "epoch";
const JOURNALLED_KEY: &str = "journalled";
/// Moves when older versions must not open the file.
const FORMAT: u64 = 1;
const NOT_OURS: &str = "the file is not a Leasehold store, or its beginning is damaged";

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
