//! What logins need of storage, kept at hand as long as it does not change.
//!
//! Everything is kept under its own storage key, so a change of a key drops what was read there and nothing else. The writer of
//! storage tells of changes before their committer is answered (architecture §8): whoever was told that a role or a secret id
//! is gone is never contradicted. A reader could read an old record, lose the processor, and put it here after the change; so who
//! fills notes how many changes there were before storage is read, and what was read is put here only if there were no more.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;

use crate::base::Key;

use super::role::ReadyRole;
use super::secret_id::Entry;

/// See the module.
pub(super) struct Known {
    records: Cache<Box<str>, Record>,
    /// Counts changes. Guards filling and dropping, also by the writer of storage; logins that find what they need do not take it.
    /// Held for a few moves.
    changes: Mutex<u64>,
}

/// What was read at a key.
#[derive(Clone)]
pub(super) enum Record {
    /// The key of the role whose role id this is.
    Named(Arc<str>),
    Role(Arc<ReadyRole>),
    /// Of a secret id whose uses are not counted; it may have expired meanwhile.
    Entry(Arc<Entry>),
    /// There is an accessor.
    Accessor,
}

/// Changes before storage was read.
#[derive(Clone, Copy)]
pub(super) struct Ticket(u64);

impl Known {
    pub(super) fn new() -> Self {
        Self { records: Cache::new(KEPT), changes: Mutex::default() }
    }

    /// What was read at a key, relative to the mount.
    pub(super) fn get(&self, key: &str) -> Option<Record> {
        self.records.get(key)
    }

    /// Taken before storage is read.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(*self.changes())
    }

    /// Keeps what was read, unless something changed since the ticket was taken.
    pub(super) fn fill(&self, ticket: Ticket, key: &str, record: Record) {
        let changes = self.changes();
        if *changes == ticket.0 {
            self.records.insert(key.into(), record);
        }
    }

    /// A key of storage changed, by its whole name: those of a mount begin with two segments, its kind and its id.
    pub(super) fn changed(&self, key: &Key) {
        let mut changes = self.changes();
        *changes = changes.wrapping_add(1);
        if let Some(key) = key.as_str().splitn(3, '/').nth(2) {
            self.records.remove(key);
        }
    }

    fn changes(&self) -> MutexGuard<'_, u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({})", self.records.len())
    }
}

/// Records kept of a mount, some hundred bytes each: those of a few hundred programs that log in again and again.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_while_it_was_read_is_not_kept() {
        let known = Known::new();
        let ticket = known.ticket();
        known.changed(&Key::from("auth/id/accessor/x"));
        known.fill(ticket, "accessor/x", Record::Accessor);
        assert!(known.get("accessor/x").is_none());
        known.fill(known.ticket(), "accessor/x", Record::Accessor);
        assert!(known.get("accessor/x").is_some());
        known.changed(&Key::from("auth/id/accessor/y"));
        assert!(known.get("accessor/x").is_some());
        known.changed(&Key::from("auth/id/accessor/x"));
        assert!(known.get("accessor/x").is_none());
    }
}
