//! How long things took: counted by orders of magnitude, so that quantiles can be told without keeping every time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::shards;

/// See the module. Counting waits for nobody.
pub(super) struct Histogram {
    stripes: [Stripe; shards::COUNT],
}

/// On lines of the cache of its own.
#[repr(align(128))]
struct Stripe {
    nanos: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// What was counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) sum: Duration,
    buckets: Vec<u64>,
}

impl Histogram {
    /// Counts one.
    pub(super) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let Some(stripe) = self.stripes.get(shards::mine()) else { return };
        stripe.nanos.fetch_add(nanos, Ordering::Relaxed);
        if let Some(bucket) = stripe.buckets.get(bucket(nanos)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> Times {
        let mut buckets = vec![0_u64; BUCKETS];
        let mut nanos = 0_u64;
        for stripe in &self.stripes {
            nanos = nanos.saturating_add(stripe.nanos.load(Ordering::Relaxed));
            for (sum, bucket) in buckets.iter_mut().zip(&stripe.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
        }
        Times { count: buckets.iter().sum(), sum: Duration::from_nanos(nanos), buckets }
    }
}

impl Times {
    /// The time that this part (0 to 1) of all stayed below, to a quarter of its size; none when there are none.
    pub(super) fn quantile(&self, part: f64) -> Option<Duration> {
        let mut left = super::float(self.count) * part;
        let place = self.buckets.iter().position(|count| {
            left -= super::float(*count);
            *count > 0 && left <= 0.0
        })?;
        Some(Duration::from_nanos(upper(place)))
    }
}

/// Four buckets for each doubling, from a microsecond on.
fn bucket(nanos: u64) -> usize {
    if nanos < 1 << FIRST {
        return 0;
    }
    let order = nanos.ilog2();
    let quarter = (nanos >> (order - 2)) & 3;
    let place = u64::from(order - FIRST) * 4 + quarter + 1;
    usize::try_from(place).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// Where a bucket ends, in nanoseconds.
fn upper(place: usize) -> u64 {
    let Some(place) = place.checked_sub(1) else { return 1 << FIRST };
    let (order, quarter) = (place / 4, place % 4);
    (5 + quarter as u64) << (order + FIRST as usize - 2)
}

impl Default for Histogram {
    fn default() -> Self {
        let stripe = |_| Stripe { nanos: AtomicU64::new(0), buckets: std::array::from_fn(|_| AtomicU64::new(0)) };
        Self { stripes: std::array::from_fn(stripe) }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({})", self.read().count)
    }
}

/// Power of two at which the buckets begin: 1024 ns.
const FIRST: u32 = 10;
/// The last one begins at about two minutes, longer than any request.
const BUCKETS: usize = 27 * 4 + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_below_the_end_of_its_bucket_and_above_that_of_the_one_before() {
        for nanos in [1, 1023, 1024, 1025, 1279, 1280, 2047, 2048, 1_000_000, 90_000_000_000] {
            let place = bucket(nanos);
            assert!(nanos <= upper(place), "{nanos}");
            assert!(place == 0 || nanos >= upper(place - 1), "{nanos}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_told_to_a_quarter() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().quantile(0.5), None);
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let times = histogram.read();
        assert_eq!((times.count, times.sum), (100, Duration::from_millis(5050)));
        for (part, millis) in [(0.5, 50.0), (0.99, 99.0)] {
            let told = times.quantile(part).unwrap().as_secs_f64() * 1000.0;
            assert!((millis..=millis * 1.26).contains(&told), "{part}: {told}");
        }
    }
}
