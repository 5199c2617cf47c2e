//! Turns: who changes a contended record waits in line for its key, first come first served. Readers never take one
//! (architecture §7).

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Who waits, by key.
type Lines = HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>;

/// A line per key.
#[derive(Debug)]
pub struct Turns {
    /// Guard the keys in use; everybody who takes or leaves a turn; held for a look-up.
    shards: Vec<Mutex<Lines>>,
}

/// The turn of one key; the next in line goes on when it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    key: Arc<str>,
    shard: usize,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// No key is in use.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() })
    }

    /// Waits for the turn of `key`.
    pub async fn take(self: &Arc<Self>, key: impl Into<Arc<str>>) -> Turn {
        let key = key.into();
        let shard = shard_of(&key);
        let line = self.with_shard(shard, |lines| Arc::clone(lines.entry(Arc::clone(&key)).or_default()));
        let mut turn = Turn { turns: Arc::clone(self), key, shard, guard: None };
        turn.guard = Some(line.lock_owned().await);
        turn
    }

    fn with_shard<T>(&self, shard: usize, work: impl FnOnce(&mut Lines) -> T) -> T {
        match self.shards.get(shard) {
            Some(shard) => work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)),
            // There are SHARDS of them.
            None => work(&mut Lines::new()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        self.turns.with_shard(self.shard, |lines| {
            // Nobody else in line: the map and we.
            if lines.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
                lines.remove(&self.key);
            }
        });
    }
}

fn shard_of(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)
}

/// More than cores, so that two keys seldom share a lock.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let turns = Turns::new();
        let first = turns.take("a").await;
        let other = turns.take("b").await;
        let waiting = crate::base::Tasks::default().spawn({
            let turns = Arc::clone(&turns);
            async move { drop(turns.take("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        drop(other);
        assert!(turns.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
