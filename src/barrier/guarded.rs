//! Records at hand, bounded, and never older than the last commit (architecture §8).
//!
//! The writer of storage tells of changes before their committer is answered. A reader could take an old record, lose the
//! processor, and put it here after the change; so each shard counts its changes. Who fills notes the count before storage is
//! read, and what was read goes in only if the count has not moved.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;

/// See the module.
pub struct Guarded<V> {
    known: Cache<Box<str>, V>,
    /// Guards a count and the moment in which an entry goes in or out; who fills or changes; held for that moment.
    epochs: Box<[Mutex<u64>]>,
}

/// A place to put what is being read from storage.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

impl<V: Clone> Guarded<V> {
    /// Holds about `capacity` records.
    pub fn new(capacity: usize) -> Self {
        Self { known: Cache::new(capacity), epochs: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// The record of this id, if it is here; read without a lock.
    pub fn get(&self, id: &str) -> Option<V> {
        self.known.get(id)
    }

    /// How many are here.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// Taken before storage is read.
    pub fn ticket(&self, id: &str) -> Ticket {
        Ticket(self.epoch(id).map_or(0, |epoch| *epoch))
    }

    /// Keeps what was read, unless it was changed since the ticket was taken.
    pub fn fill(&self, id: &str, ticket: Ticket, value: V) {
        let Some(epoch) = self.epoch(id) else { return };
        if *epoch == ticket.0 {
            self.known.insert(id.into(), value);
        }
    }

    /// The record changed, or is gone. Called by the writer of storage.
    pub fn changed(&self, id: &str) {
        let Some(mut epoch) = self.epoch(id) else { return };
        *epoch = epoch.wrapping_add(1);
        self.known.remove(id);
    }

    fn epoch(&self, id: &str) -> Option<MutexGuard<'_, u64>> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        // There are SHARDS of them.
        let place = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        Some(self.epochs.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<V: Clone> fmt::Debug for Guarded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guarded({})", self.known.len())
    }
}

/// Fills and changes of other records seldom wait.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let cache = Guarded::new(8);
        let before = cache.ticket("a");
        cache.changed("a");
        cache.fill("a", before, 1);
        assert_eq!(cache.get("a"), None);
        let after = cache.ticket("a");
        cache.fill("a", after, 2);
        assert_eq!((cache.get("a"), cache.count()), (Some(2), 1));
        cache.changed("a");
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn it_does_not_grow_beyond_its_bound() {
        let cache = Guarded::new(16);
        for number in 0..1000 {
            let id = format!("{number}");
            cache.fill(&id, cache.ticket(&id), number);
        }
        assert!(cache.count() <= 16, "{}", cache.count());
    }
}
