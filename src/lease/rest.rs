//! How a lane rests while the outside is unwell (architecture §6).

use std::time::Duration;

use crate::base::random;

/// Rests after a failure, then lets one attempt through at a time, until one is answered.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Failures since the last answer.
    level: u32,
    /// When the next attempt may be made, on the clock that only runs forward.
    until: Option<Duration>,
    /// Moves with every change: attempts that began before one say nothing about what came after it.
    round: u64,
}

impl Rest {
    /// The end of the rest, if it is not over.
    pub(super) fn until(&self, elapsed: Duration) -> Option<Duration> {
        self.until.filter(|until| *until > elapsed)
    }

    /// When the next attempt may be made, while there is a rest or it is not known whether it helped.
    pub(super) fn resting(&self) -> Option<Duration> {
        self.until.filter(|_| self.level > 0)
    }

    /// Whether only one attempt at a time is to be made.
    pub(super) fn is_probing(&self) -> bool {
        self.level > 0
    }

    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// An attempt of that round found the outside unwell.
    pub(super) fn failed(&mut self, round: u64, elapsed: Duration) {
        if round != self.round || self.until(elapsed).is_some() {
            return;
        }
        let longest = LONGEST.min(FIRST.saturating_mul(1_u32.checked_shl(self.level).unwrap_or(u32::MAX)));
        self.until = Some(elapsed + longest.mul_f64(1.0 - random::unit() / 2.0));
        self.level = self.level.saturating_add(1);
        self.round = self.round.wrapping_add(1);
    }

    /// The outside answered, or somebody has mended it.
    pub(super) fn over(&mut self) {
        if self.level > 0 {
            *self = Self { round: self.round.wrapping_add(1), ..Self::default() };
        }
    }

    /// What an attempt may take: a probe is short, but the longer the more of them found nothing, so that an outside that
    /// is merely slow is not taken for dead for ever.
    pub(super) fn limit(&self, whole: Duration) -> Duration {
        match self.level {
            0 => whole,
            level => whole.min(PROBE.saturating_mul(1_u32.checked_shl(level - 1).unwrap_or(u32::MAX))),
        }
    }
}

/// One second doubling to ten, less up to half by chance: the end of an outage is noticed at once.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// The first probe's time.
const PROBE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_longer_and_longer_up_to_ten_seconds() {
        let (mut rest, mut now) = (Rest::default(), Duration::from_secs(100));
        for longest in [1, 2, 4, 8, 10, 10] {
            rest.failed(rest.round(), now);
            let until = rest.until(now).unwrap();
            let length = until.saturating_sub(now);
            assert!(length <= Duration::from_secs(longest) && length >= Duration::from_secs(longest) / 2, "{length:?}");
            now = until;
        }
        rest.over();
        assert!(rest.until(now).is_none() && !rest.is_probing());
    }

    #[test]
    fn failures_of_one_outage_count_once() {
        let (mut rest, now) = (Rest::default(), Duration::from_secs(100));
        let round = rest.round();
        for _ in 0..6 {
            rest.failed(round, now);
        }
        assert!(rest.until(now).unwrap() <= now + FIRST);
    }

    #[test]
    fn probes_are_short_at_first() {
        let mut rest = Rest::default();
        let whole = Duration::from_secs(90);
        assert_eq!(rest.limit(whole), whole);
        rest.failed(rest.round(), Duration::from_secs(1));
        assert_eq!(rest.limit(whole), PROBE);
        rest.failed(rest.round(), Duration::from_secs(20));
        assert_eq!(rest.limit(whole), PROBE * 2);
    }
}
