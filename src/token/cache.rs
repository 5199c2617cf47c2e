//! Tokens at hand: read without a lock, bounded, and never older than the last commit (architecture §8).
//!
//! A reader could take a record from storage, lose the processor, and put it here after the record was changed. So each
//! shard has an epoch: a change moves it and removes the entry under the shard's lock; who fills notes the epoch before
//! storage is read, and its entry goes in only if the epoch has not moved.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::TokenKey;

use super::TokenInfo;

/// Known tokens, by key.
pub(super) struct Cache {
    map: papaya::HashMap<TokenKey, Entry, Spread>,
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
}

/// A place to put what is being read from storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    key: TokenKey,
    epoch: u64,
}

struct Entry {
    info: Arc<TokenInfo>,
    /// Asked for since the hand of the clock passed.
    used: AtomicBool,
}

/// Guards what is filled and removed; readers never take it; held for a few moves, also by the writer of storage.
#[derive(Default)]
struct Shard {
    /// Moved by each change.
    epoch: u64,
    /// The entries in the order in which they may have to go.
    line: VecDeque<TokenKey>,
}

impl Cache {
    /// Holds about `capacity` tokens.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            map: papaya::HashMap::builder().hasher(Spread).build(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            per_shard: (capacity / SHARDS).max(1),
        }
    }

    /// The token, if it is here.
    pub(super) fn get(&self, key: &TokenKey) -> Option<Arc<TokenInfo>> {
        let map = self.map.pin();
        let entry = map.get(key)?;
        // Read first: a store would take the line of memory from other readers.
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.info))
    }

    /// Taken before storage is read.
    pub(super) fn ticket(&self, key: &TokenKey) -> Ticket {
        Ticket { key: *key, epoch: self.shard(key).map_or(0, |shard| shard.epoch) }
    }

    /// Keeps what was read, unless it was changed since the ticket was taken.
    pub(super) fn fill(&self, ticket: Ticket, info: Arc<TokenInfo>) {
        let Some(mut shard) = self.shard(&ticket.key) else { return };
        if shard.epoch != ticket.epoch {
            return;
        }
        let map = self.map.pin();
        if map.insert(ticket.key, Entry { info, used: AtomicBool::new(false) }).is_none() {
            shard.line.push_back(ticket.key);
        }
        while shard.line.len() > self.per_shard {
            let Some(oldest) = shard.line.pop_front() else { break };
            match map.get(&oldest) {
                // Once round the line clears all of them, so this ends.
                Some(entry) if entry.used.swap(false, Ordering::Relaxed) => shard.line.push_back(oldest),
                _ => {
                    map.remove(&oldest);
                }
            }
        }
    }

    /// The record changed, or is gone. Called by the writer of storage.
    pub(super) fn changed(&self, key: &TokenKey) {
        let Some(mut shard) = self.shard(key) else { return };
        shard.epoch = shard.epoch.wrapping_add(1);
        if self.map.pin().remove(key).is_some() {
            shard.line.retain(|other| other != key);
        }
    }

    fn shard(&self, key: &TokenKey) -> Option<MutexGuard<'_, Shard>> {
        // There are SHARDS of them.
        let place = usize::try_from(spread(key.as_str().as_bytes()) >> 32).unwrap_or(0) % SHARDS;
        Some(self.shards.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.map.len())
    }
}

/// Hashes token keys, which end in a keyed hash: nobody can choose where one falls, and its last digits are as good as any.
#[derive(Clone, Copy, Default)]
struct Spread;

struct Spreading(u64);

impl BuildHasher for Spread {
    type Hasher = Spreading;

    fn build_hasher(&self) -> Spreading {
        Spreading(0)
    }
}

impl Hasher for Spreading {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = spread(bytes);
    }

    /// The length comes before the bytes, and is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The last sixteen digits, folded.
fn spread(bytes: &[u8]) -> u64 {
    let (rest, low) = bytes.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
    let high = rest.last_chunk::<8>().unwrap_or(&[0; 8]);
    let folded = u64::from_le_bytes(*low) ^ u64::from_le_bytes(*high).rotate_left(4);
    // The golden ratio, as Fibonacci hashing has it: carries each digit into the upper half.
    let product = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

/// Fills and changes of other tokens seldom wait.
const SHARDS: usize = 256;

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
