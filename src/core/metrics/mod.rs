//! What the server counts of itself, and how `sys/metrics` tells it (spec `sys.md` §12).
//!
//! Requests are counted in stripes, one for each thread as far as there are enough; numbers that somebody else keeps are asked
//! for when they are told. What was counted is since the start of the process.

mod gather;
mod histogram;
mod tell;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::mount::Mount;
use crate::policy::Operation;

use histogram::Histogram;

use super::in_flight::InFlight;

pub(super) use tell::Format;

/// What the server sees of its requests. Of the process: sealing forgets nothing.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) metrics: Metrics,
    pub(super) flights: InFlight,
}

/// See the module. Of the process: sealing forgets nothing.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// When it began, on `Clock::elapsed`.
    began: OnceLock<Duration>,
    requests: Histogram,
    logins: Histogram,
    refused_by_rate: AtomicU64,
    refused_by_leases: AtomicU64,
    /// What Prometheus was told last. Guards a list of names; who scrapes takes it, for as long as a page is written.
    told: Mutex<tell::Told>,
}

impl Metrics {
    /// Counts are since `now`.
    pub(super) fn begin(&self, now: Duration) {
        let _only = self.began.set(now);
    }

    /// A request ended.
    pub(super) fn record(&self, mount: Option<&Mount>, operation: Operation, is_login: bool, failed: bool, took: Duration) {
        let all = if is_login { &self.logins } else { &self.requests };
        all.record(took);
        if let Some(mount) = mount {
            mount.meter.record(operation, failed, took);
        }
    }

    /// A request was over a rate.
    pub(super) fn over_rate(&self) {
        self.refused_by_rate.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was over a number of leases.
    pub(super) fn over_leases(&self) {
        self.refused_by_leases.fetch_add(1, Ordering::Relaxed);
    }
}

/// One number, or what many of them came to.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    /// Parts joined by dots, without the prefix.
    name: String,
    labels: Vec<(String, String)>,
    worth: Worth,
}

#[derive(Clone, Debug, PartialEq)]
enum Worth {
    Gauge(f64),
    Counter(f64),
    /// Of times, in milliseconds.
    Summary {
        count: u64,
        sum: f64,
        quantiles: Vec<(f64, f64)>,
    },
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn float(number: u64) -> f64 {
    number as f64
}
