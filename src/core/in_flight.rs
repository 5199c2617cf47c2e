//! Which requests are under way (spec `sys.md` §12). To be listed costs a request a bit and a pointer in a part of the table
//! that its thread has nearly for itself; nothing is waited for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::base::{random, shards};
use crate::mount::Asked;

/// See the module.
pub(super) struct InFlight {
    parts: [Part; shards::COUNT],
    /// Tells requests of this run from those of others.
    run: [u8; 8],
}

struct Part {
    /// One bit for each place that is taken.
    taken: [AtomicU64; WORDS],
    places: Box<[Place]>,
    /// Places taken so far.
    begun: AtomicU64,
}

#[derive(Default)]
struct Place {
    asked: ArcSwapOption<Asked>,
    /// When it began, on `Clock::elapsed`.
    since: AtomicU64,
    number: AtomicU64,
}

/// A request that is listed until this is dropped.
#[derive(Debug)]
pub(super) struct Flight<'a> {
    table: &'a InFlight,
    /// None: the table was full.
    place: Option<(usize, usize)>,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Listed {
    /// A UUID.
    pub(super) id: String,
    /// What was asked.
    pub(super) asked: Arc<Asked>,
    /// When it began, on `Clock::elapsed`.
    pub(super) since: Duration,
}

impl InFlight {
    /// Lists a request.
    pub(super) fn enter(&self, asked: &Arc<Asked>, now: Duration) -> Flight<'_> {
        let shard = shards::mine();
        let place = self.parts.get(shard).and_then(Part::take);
        if let Some(place) = place
            && let Some(part) = self.parts.get(shard)
            && let Some(at) = part.places.get(place)
        {
            at.since.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            at.number.store(part.begun.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            at.asked.store(Some(Arc::clone(asked)));
        }
        Flight { table: self, place: place.map(|place| (shard, place)) }
    }

    /// How many are under way.
    pub(super) fn count(&self) -> u64 {
        let words = self.parts.iter().flat_map(|part| &part.taken);
        words.map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
    }

    /// All that are under way, each as it was at some moment of this call.
    pub(super) fn list(&self) -> Vec<Listed> {
        let mut listed = Vec::new();
        for (shard, part) in self.parts.iter().enumerate() {
            for place in &part.places {
                let Some(asked) = place.asked.load_full() else { continue };
                let since = Duration::from_nanos(place.since.load(Ordering::Relaxed));
                listed.push(Listed { id: self.id(shard, place.number.load(Ordering::Relaxed)), asked, since });
            }
        }
        listed
    }

    /// In the form of a UUID: the run, then the number of the request.
    fn id(&self, shard: usize, number: u64) -> String {
        let run = hex::encode(self.run);
        let (first, rest) = run.split_at(8);
        let (second, third) = rest.split_at(4);
        format!("{first}-{second}-{third}-{shard:04x}-{number:012x}")
    }
}

impl Part {
    /// A place nobody has; none when all are taken.
    fn take(&self) -> Option<usize> {
        for (at, word) in self.taken.iter().enumerate() {
            let mut taken = word.load(Ordering::Relaxed);
            while taken != u64::MAX {
                let bit = taken.trailing_ones();
                let mask = 1_u64 << bit;
                taken = word.fetch_or(mask, Ordering::Acquire);
                if taken & mask == 0 {
                    return Some(at * BITS + bit as usize);
                }
            }
        }
        None
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Some((shard, place)) = self.place else { return };
        let Some(part) = self.table.parts.get(shard) else { return };
        if let Some(at) = part.places.get(place) {
            at.asked.store(None);
        }
        if let Some(word) = part.taken.get(place / BITS) {
            word.fetch_and(!(1 << (place % BITS)), Ordering::Release);
        }
    }
}

impl Default for InFlight {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Part::default()), run: random::bytes() }
    }
}

impl Default for Part {
    fn default() -> Self {
        Self {
            taken: std::array::from_fn(|_| AtomicU64::new(0)),
            places: (0..WORDS * BITS).map(|_| Place::default()).collect(),
            begun: AtomicU64::new(0),
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlight({})", self.count())
    }
}

/// Places in one word.
const BITS: usize = 64;
/// Words of a part: 8192 requests in all are listed; those beyond are served like all others.
const WORDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ApiPath;
    use crate::policy::Operation;

    fn asked(path: &str) -> Arc<Asked> {
        Arc::new(Asked::new(Operation::Read, ApiPath::parse(path).unwrap(), None))
    }

    #[test]
    fn a_request_is_listed_for_as_long_as_it_runs() {
        let table = InFlight::default();
        let first = table.enter(&asked("a"), Duration::from_secs(3));
        let second = table.enter(&asked("b"), Duration::from_secs(4));
        let mut paths: Vec<_> = table.list().into_iter().map(|one| (one.asked.path.as_str().to_owned(), one.since)).collect();
        paths.sort();
        assert_eq!(paths, [("a".to_owned(), Duration::from_secs(3)), ("b".to_owned(), Duration::from_secs(4))]);
        drop(first);
        assert_eq!(table.count(), 1);
        drop(second);
        assert!(table.list().is_empty());
    }

    #[test]
    fn a_full_table_refuses_nobody() {
        let table = InFlight::default();
        let one = asked("a");
        let flights: Vec<_> = (0..WORDS * BITS + 10).map(|_| table.enter(&one, Duration::ZERO)).collect();
        assert_eq!(table.count(), (WORDS * BITS) as u64);
        drop(flights);
        assert_eq!((table.count(), Arc::strong_count(&one)), (0, 1));
    }

    #[test]
    fn threads_come_and_go_at_once() {
        let table = InFlight::default();
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let one = asked("a");
                    for _ in 0..200 {
                        let _flight = table.enter(&one, Duration::ZERO);
                    }
                });
            }
        });
        assert_eq!(table.count(), 0);
    }
}
