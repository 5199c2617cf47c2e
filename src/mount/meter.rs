//! Numbers of mounts for `sys/metrics`: what a plugin tells of itself, and what its requests cost.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::shards;
use crate::policy::Operation;

/// A number a plugin tells of itself; see [`Plugin::numbers`](super::Plugin::numbers).
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// Parts of the name joined by dots, without the server's prefix: `aws.calls`.
    pub name: &'static str,
    /// What it is a number of; the mount is added by the server.
    pub labels: Vec<(&'static str, String)>,
    /// How much.
    pub value: f64,
    /// Whether it only grows.
    pub is_counter: bool,
}

impl Number {
    /// A number that goes up and down.
    pub fn gauge(name: &'static str, value: f64) -> Self {
        Self { name, labels: Vec::new(), value, is_counter: false }
    }

    /// A number that only grows while the server runs.
    pub fn counter(name: &'static str, value: f64) -> Self {
        Self { name, labels: Vec::new(), value, is_counter: true }
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// What was asked of a mount, how often it failed, how long it took. Counting waits for nobody: each thread counts in a
/// stripe of its own.
pub struct Meter {
    stripes: [Stripe; shards::COUNT],
}

/// On lines of the cache of its own.
#[derive(Default)]
#[repr(align(128))]
struct Stripe([Cell; KINDS.len()]);

#[derive(Default)]
struct Cell {
    count: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
}

/// The requests of one kind so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many ended.
    pub count: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How long they took together.
    pub took: Duration,
}

impl Meter {
    /// Counts a request that ended.
    pub fn record(&self, operation: Operation, failed: bool, took: Duration) {
        let cell = self.stripes.get(shards::mine()).and_then(|stripe| stripe.0.get(place(operation)));
        let Some(cell) = cell else { return };
        cell.count.fetch_add(1, Ordering::Relaxed);
        cell.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if failed {
            cell.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted, by kind of operation; kinds that never were are left out.
    pub fn read(&self) -> Vec<(&'static str, Tally)> {
        let sum = |place: usize| {
            let cells = self.stripes.iter().filter_map(|stripe| stripe.0.get(place));
            cells.fold(Tally::default(), |sum, cell| Tally {
                count: sum.count + cell.count.load(Ordering::Relaxed),
                failed: sum.failed + cell.failed.load(Ordering::Relaxed),
                took: sum.took + Duration::from_nanos(cell.nanos.load(Ordering::Relaxed)),
            })
        };
        let all = KINDS.iter().enumerate().map(|(place, kind)| (*kind, sum(place)));
        all.filter(|(_, tally)| tally.count > 0).collect()
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self { stripes: std::array::from_fn(|_| Stripe::default()) }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.read()).finish()
    }
}

fn place(operation: Operation) -> usize {
    match operation {
        Operation::Read => 0,
        Operation::List => 1,
        Operation::Create | Operation::Update | Operation::Patch => 2,
        Operation::Delete => 3,
        _ => 4,
    }
}

/// By place.
const KINDS: [&str; 5] = ["read", "list", "write", "delete", "other"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_threads_are_counted_by_kind() {
        let meter = Meter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        meter.record(Operation::Read, false, Duration::from_micros(2));
                        meter.record(Operation::Create, true, Duration::from_micros(5));
                    }
                });
            }
        });
        let read = Tally { count: 400, failed: 0, took: Duration::from_micros(800) };
        let write = Tally { count: 400, failed: 400, took: Duration::from_millis(2) };
        assert_eq!(meter.read(), [("read", read), ("write", write)]);
    }
}
