//! An embedded store as its writer holds it: database, journal, and what is in the journal alone.
//!
//! A group is judged, then made durable in the journal, then shown to readers. From time to time the database takes in
//! what is fresh, under a new epoch, and the journal begins again. When that failed it is not known whether the database
//! has taken it in, and nothing may follow in the journal until it was tried again under a further epoch and succeeded.

use std::sync::Arc;

use super::embedded::Options;
use super::journal::Journal;
use super::medium::Medium;
use super::ordered;
use super::sight::{Fresh, Over, Sight, put};
use super::tables::{Progress, Tables};
use super::{Batch, StorageError, Write};

/// See the module.
pub(super) struct Store {
    medium: Arc<dyn Medium>,
    tables: Tables,
    journal: Journal,
    options: Options,
    progress: Progress,
    /// The last epoch that the database was told of, whether or not that succeeded.
    told: u64,
    /// What was judged good, and is neither kept nor forgotten.
    judged: Fresh,
    /// Over the database what is in the journal alone.
    sight: Arc<Sight>,
}

/// What became of one batch of a group.
pub(super) type Verdict = Result<(), StorageError>;

impl Store {
    /// The store of `tables`, which lie on `medium`; `journal` gives the medium of its journal.
    pub(super) fn new(
        tables: Tables,
        medium: Arc<dyn Medium>,
        journal: impl FnOnce(Progress) -> Result<Arc<dyn Medium>, StorageError>,
        options: Options,
    ) -> Result<Self, StorageError> {
        let progress = tables.progress()?;
        let (journal, writes) = Journal::open(journal(progress)?, progress.epoch)?;
        let mut fresh = Fresh::new();
        for write in &writes {
            put(&mut fresh, write);
        }
        let sight = Arc::new(Sight::new(tables.snapshot(progress.epoch)?, fresh));
        Ok(Self { medium, tables, journal, options, progress, told: progress.epoch, judged: Fresh::new(), sight })
    }

    /// What readers may see.
    pub(super) fn sight(&self) -> Arc<Sight> {
        Arc::clone(&self.sight)
    }

    /// Whether the database says that there is a journal: before that nothing may be kept in one.
    pub(super) fn is_journalled(&self) -> bool {
        self.progress.is_journalled
    }

    /// Whether it is time that the database takes in what is fresh.
    pub(super) fn is_full(&self) -> bool {
        self.journal.len() >= self.options.journal_bytes || self.sight.fresh().len() >= FRESH
    }

    /// Judges batches in order, each seeing those before it. [`Self::keep`] or [`Self::forget`] comes next.
    pub(super) fn judge<'a>(&mut self, batches: impl Iterator<Item = &'a Batch>) -> Result<Vec<Verdict>, StorageError> {
        let Self { judged, sight, .. } = self;
        sight.whole(|below| {
            let mut verdicts = Vec::new();
            for batch in batches {
                match ordered::judge(&Over { fresh: judged, below }, &batch.expects) {
                    Ok(()) => {
                        batch.writes.iter().for_each(|write| put(judged, write));
                        verdicts.push(Ok(()));
                    }
                    Err(conflict @ StorageError::Conflict(_)) => verdicts.push(Err(conflict)),
                    Err(other) => return Err(other),
                }
            }
            Ok(verdicts)
        })
    }

    /// Makes `writes`, which are all that were judged good, durable, all or none, and lets readers see them.
    pub(super) fn keep<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Result<(), StorageError> {
        self.journal.append(writes).map_err(|error| StorageError::Io(error.to_string()))?;
        self.sight.add(std::mem::take(&mut self.judged));
        Ok(())
    }

    /// Forgets what was judged and not kept.
    pub(super) fn forget(&mut self) {
        self.judged.clear();
    }

    /// Has the database take in what is fresh, and begins the journal again, or ends it.
    pub(super) fn absorb(&mut self, is_journalled: bool) -> Result<(), StorageError> {
        self.told += 1;
        let progress = Progress { epoch: self.told, is_journalled };
        self.tables.absorb(&self.sight.fresh(), progress)?;
        self.sight = Arc::new(Sight::new(self.tables.snapshot(progress.epoch)?, Fresh::new()));
        self.journal.begin(progress.epoch);
        self.progress = progress;
        Ok(())
    }

    /// Opens the database anew. Returns the opening before, which serves its readers until it is discarded.
    pub(super) fn reopen(&mut self) -> Result<Tables, StorageError> {
        self.tables.fence();
        let tables = Tables::open(&self.medium, self.options.cache_bytes)?;
        self.sight = Arc::new(self.sight.over(tables.snapshot(self.sight.snapshot.epoch())?));
        Ok(std::mem::replace(&mut self.tables, tables))
    }

    /// Has the database take in everything, and removes the journal. When that fails, the next opening reads it.
    pub(super) fn close(mut self) {
        let is_closed = !self.progress.is_journalled && self.told == self.progress.epoch;
        if is_closed || self.absorb(false).is_ok() {
            self.journal.discard();
        }
        self.tables.discard();
        self.medium.release();
    }
}

/// Keys that are fresh at most, whatever the size of the journal: commits wait while the database takes them in. Fewer cost
/// more flushes of a disk, more cost more of the processor: what is looked through all the time is then out of its caches.
const FRESH: usize = 2048;
