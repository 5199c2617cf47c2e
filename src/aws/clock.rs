//! Our clock in the form the SDK asks for, and how far AWS's clock is from it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use chrono::DateTime;

use crate::base::Clock;

/// Tells the SDK the time, and remembers what AWS's `Date` headers say.
#[derive(Clone)]
pub(super) struct AwsClock {
    clock: Arc<dyn Clock>,
    skew: Arc<Skew>,
}

/// Seconds that AWS is ahead of us; `UNKNOWN` when it has not said.
struct Skew {
    seen: AtomicI64,
    applied: AtomicI64,
}

impl AwsClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, skew: Arc::new(Skew { seen: AtomicI64::new(UNKNOWN), applied: AtomicI64::new(0) }) }
    }

    /// Takes note of a `Date` header.
    pub(super) fn learn(&self, date: &str) {
        if let Ok(theirs) = DateTime::parse_from_rfc2822(date) {
            let ahead = theirs.timestamp().saturating_sub(self.clock.precise().timestamp());
            self.skew.seen.store(ahead, Ordering::Relaxed);
        }
    }

    /// Seconds that AWS is ahead of us, as of its last answer; none when it has not said.
    pub(super) fn ahead(&self) -> Option<i64> {
        Some(self.skew.seen.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }

    /// Signs by AWS's clock from now on, if it is far from the one signed by so far; whether it is (§21.5).
    pub(super) fn correct(&self) -> bool {
        let Some(ahead) = self.ahead() else { return false };
        let applied = self.skew.applied.load(Ordering::Relaxed);
        if ahead.saturating_sub(applied).unsigned_abs() <= TOLERATED {
            return false;
        }
        self.skew.applied.store(ahead, Ordering::Relaxed);
        true
    }
}

impl TimeSource for AwsClock {
    fn now(&self) -> SystemTime {
        let ours = SystemTime::from(self.clock.precise());
        let ahead = self.skew.applied.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        let theirs = if ahead < 0 { ours.checked_sub(by) } else { ours.checked_add(by) };
        theirs.unwrap_or(ours)
    }
}

impl AsyncSleep for AwsClock {
    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = Arc::clone(&self.clock);
        let sleep: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { clock.sleep(duration).await });
        Sleep::new(Shareable(Mutex::new(sleep)))
    }
}

impl fmt::Debug for AwsClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsClock").field("ahead", &self.ahead()).finish_non_exhaustive()
    }
}

/// The SDK wants futures that may be shared between threads. Guards the future; nobody else has it; held for one poll.
struct Shareable(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Shareable {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

const UNKNOWN: i64 = i64::MIN;

/// Seconds. AWS takes signatures that are up to five minutes off; four leave room for the way there (§21.5).
const TOLERATED: u64 = 240;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::time::ManualClock;

    fn clock() -> AwsClock {
        // Sun, 06 Nov 1994 08:49:37 GMT.
        AwsClock::new(Arc::new(ManualClock::at(Timestamp::from_seconds(784_111_777))))
    }

    #[test]
    fn nothing_is_corrected_before_aws_has_told_the_time() {
        let clock = clock();
        assert_eq!((clock.ahead(), clock.correct()), (None, false));
        clock.learn("no date");
        assert_eq!(clock.ahead(), None);
    }

    #[test]
    fn a_small_difference_is_known_and_not_applied() {
        let clock = clock();
        clock.learn("Sun, 06 Nov 1994 08:52:37 GMT");
        assert_eq!((clock.ahead(), clock.correct()), (Some(180), false));
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
    }

    #[test]
    fn a_large_difference_is_signed_with_from_then_on_and_corrected_once() {
        let clock = clock();
        clock.learn("Sun, 06 Nov 1994 08:29:37 GMT");
        assert!(clock.correct());
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 1200));
        assert!(!clock.correct());
    }
}
