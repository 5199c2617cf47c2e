//! How fast an account takes calls: learnt for each action from AWS's refusals (`aws-secrets-engine.md` §21.8).
//!
//! Until AWS first says "too many" an action is not limited. Then its rate is halved, at most once a second, and grows by one
//! call a second for each second without another such answer, until it is not limited any more. Who waits is let through by
//! urgency.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{Clock, Ttl};

use super::call::Action;
use super::error::{AwsError, Refusal};

/// What a call is for: the order in which calls are let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The first step of a revocation: from then on nobody can use what was lent.
    Kill,
    /// The rest of it.
    Clean,
    /// Somebody waits for credentials.
    #[default]
    Issue,
    /// Looks and tidying.
    Tidy,
}

/// How an action fares, for `status`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls a second; none: not limited.
    pub allowed: Option<f64>,
    /// Calls in the last second that had some.
    pub used: u32,
    /// "Too many" in the last minute.
    pub throttled: u32,
}

/// The rates of one account.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Guards the actions; every call; held for a computation.
    actions: Mutex<BTreeMap<Action, Bucket>>,
}

/// Times are of `Clock::elapsed`.
#[derive(Debug, Default)]
struct Bucket {
    limit: Option<f64>,
    /// Calls that may go now.
    tokens: f64,
    filled: Duration,
    /// When the limit last grew or was halved.
    moved: Duration,
    /// The second that is counted, how many calls it had, and the one before.
    second: u64,
    used: u32,
    used_before: u32,
    /// The minute that is counted, and the refusals in it and the one before.
    minute: u64,
    throttled: u32,
    throttled_before: u32,
    /// Who waits, by urgency.
    waiting: [u32; 4],
    last: Option<Refusal>,
}

/// A place in the line; left when dropped.
struct Waiting<'r> {
    rates: &'r Rates,
    action: Action,
    urgency: Urgency,
}

impl Rates {
    /// Waits until a call may be sent.
    ///
    /// # Errors
    /// AWS's last refusal, when `until` (on `Clock::elapsed`) would pass first or too many wait already.
    pub(super) async fn admit(
        &self,
        clock: &dyn Clock,
        action: Action,
        urgency: Urgency,
        until: Option<Duration>,
    ) -> Result<(), AwsError> {
        let mut place: Option<Waiting<'_>> = None;
        loop {
            let pause = {
                let mut actions = self.actions();
                let bucket = actions.entry(action).or_default();
                let now = clock.elapsed();
                let Some(pause) = bucket.take(now, urgency) else { return Ok(()) };
                let is_late = until.is_some_and(|until| now + pause > until);
                let is_crowded = place.is_none() && urgency >= Urgency::Issue && bucket.waiting_issues() >= MOST_WAITING;
                if is_late || is_crowded {
                    return Err(bucket.refusal(action));
                }
                pause
            };
            if place.is_none() {
                place = Some(Waiting::new(self, action, urgency));
            }
            clock.sleep(pause).await;
        }
    }

    /// Learns from an answer; tells who was throttled when to come again.
    pub(super) fn learn<T>(&self, now: Duration, action: Action, result: Result<T, AwsError>) -> Result<T, AwsError> {
        match result {
            Err(AwsError::Refused(mut refusal)) if AwsError::Refused(refusal.clone()).is_throttled() => {
                let mut actions = self.actions();
                let bucket = actions.entry(action).or_default();
                bucket.halve(now);
                refusal.retry_after = Some(bucket.drain());
                bucket.last = Some(refusal.clone());
                Err(AwsError::Refused(refusal))
            }
            result => {
                if let Some(bucket) = self.actions().get_mut(action) {
                    bucket.grow(now);
                }
                result
            }
        }
    }

    /// How each action fares that was called lately or is limited.
    pub(super) fn seen(&self, now: Duration) -> BTreeMap<Action, Rate> {
        let mut actions = self.actions();
        let seen = actions.iter_mut().map(|(action, bucket)| {
            bucket.count_time(now);
            let throttled = bucket.throttled + bucket.throttled_before;
            (*action, Rate { allowed: bucket.limit, used: bucket.used.max(bucket.used_before), throttled })
        });
        seen.collect()
    }

    fn actions(&self) -> MutexGuard<'_, BTreeMap<Action, Bucket>> {
        self.actions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    /// Takes a place; else how long until there may be one.
    fn take(&mut self, now: Duration, urgency: Urgency) -> Option<Duration> {
        self.count_time(now);
        let Some(limit) = self.limit else {
            self.used = self.used.saturating_add(1);
            return None;
        };
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * limit).min(limit.max(1.0));
        let ahead: u32 = self.waiting.iter().take(urgency as usize).sum();
        let wanted = 1.0 + f64::from(ahead);
        if self.tokens >= wanted {
            self.tokens -= 1.0;
            self.used = self.used.saturating_add(1);
            return None;
        }
        let pause = Duration::from_secs_f64(((wanted - self.tokens) / limit).min(LONGEST_PAUSE));
        Some(pause.max(SHORTEST_PAUSE))
    }

    fn halve(&mut self, now: Duration) {
        self.count_time(now);
        self.throttled = self.throttled.saturating_add(1);
        if self.limit.is_some() && now.saturating_sub(self.moved) < STEP {
            return;
        }
        let before = self.limit.unwrap_or_else(|| f64::from(self.used.max(self.used_before)));
        self.limit = Some((before / 2.0).max(SLOWEST));
        (self.moved, self.filled, self.tokens) = (now, now, 0.0);
    }

    fn grow(&mut self, now: Duration) {
        let Some(limit) = self.limit else { return };
        if now.saturating_sub(self.moved) < STEP {
            return;
        }
        self.moved = now;
        self.limit = Some(limit + 1.0).filter(|limit| *limit <= FASTEST);
        if self.limit.is_none() {
            self.last = None;
        }
    }

    fn count_time(&mut self, now: Duration) {
        let (second, minute) = (now.as_secs(), now.as_secs() / 60);
        if second != self.second {
            self.used_before = if second == self.second + 1 { self.used } else { 0 };
            (self.second, self.used) = (second, 0);
        }
        if minute != self.minute {
            self.throttled_before = if minute == self.minute + 1 { self.throttled } else { 0 };
            (self.minute, self.throttled) = (minute, 0);
        }
    }

    fn waiting_issues(&self) -> u32 {
        self.waiting.iter().skip(Urgency::Issue as usize).sum()
    }

    /// Until all who wait now are through, in whole seconds.
    fn drain(&self) -> Ttl {
        let waiting = self.waiting.iter().sum::<u32>().saturating_add(1);
        let seconds = f64::from(waiting) / self.limit.unwrap_or(FASTEST);
        Ttl::seconds(Duration::from_secs_f64(seconds.min(600.0)).as_secs().saturating_add(1))
    }

    fn refusal(&self, action: Action) -> AwsError {
        let told = || Refusal {
            action,
            code: "Throttling".to_owned(),
            message: "Rate exceeded".to_owned(),
            status: 400,
            retry_after: None,
            request_id: String::new(),
        };
        let mut refusal = self.last.clone().unwrap_or_else(told);
        refusal.retry_after = Some(self.drain());
        AwsError::Refused(refusal)
    }
}

impl<'r> Waiting<'r> {
    fn new(rates: &'r Rates, action: Action, urgency: Urgency) -> Self {
        let place = Self { rates, action, urgency };
        place.change(|count| count.saturating_add(1));
        place
    }

    fn change(&self, change: impl FnOnce(u32) -> u32) {
        if let Some(count) =
            self.rates.actions().get_mut(self.action).and_then(|bucket| bucket.waiting.get_mut(self.urgency as usize))
        {
            *count = change(*count);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.change(|count| count.saturating_sub(1));
    }
}

/// Between two moves of a limit.
const STEP: Duration = Duration::from_secs(1);

/// Calls a second.
const SLOWEST: f64 = 0.5;

/// Calls a second from which on an action is not limited: no account's limits of IAM are that high.
const FASTEST: f64 = 100.0;

/// Issues that wait for an action (§21.8).
const MOST_WAITING: u32 = 64;

/// Seconds: who waits looks again at least so often, since the limit moves.
const LONGEST_PAUSE: f64 = 1.0;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Timestamp;
    use crate::base::time::ManualClock;

    const ACTION: Action = "iam:CreateUser";

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)))
    }

    fn throttled() -> Result<(), AwsError> {
        let (code, message) = ("Throttling".to_owned(), "Rate exceeded".to_owned());
        let refusal = Refusal { action: ACTION, code, message, status: 400, retry_after: None, request_id: String::new() };
        Err(AwsError::Refused(refusal))
    }

    async fn admit(rates: &Rates, clock: &ManualClock, urgency: Urgency, wait: u64) -> Result<(), AwsError> {
        let until = clock.elapsed() + Duration::from_secs(wait);
        rates.admit(clock, ACTION, urgency, Some(until)).await
    }

    #[tokio::test]
    async fn an_action_is_not_limited_before_aws_says_so() {
        let (rates, clock) = (Rates::default(), clock());
        for _ in 0..500 {
            admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
        }
        assert_eq!(rates.seen(clock.elapsed())[ACTION], Rate { allowed: None, used: 500, throttled: 0 });
    }

    #[tokio::test]
    async fn a_refusal_halves_the_rate_once_a_second_and_silence_lets_it_grow() {
        let (rates, clock) = (Rates::default(), clock());
        for _ in 0..20 {
            admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
        }
        for _ in 0..3 {
            let error = rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
            assert!(matches!(error, AwsError::Refused(Refusal { retry_after: Some(_), .. })));
        }
        assert_eq!(rates.seen(clock.elapsed())[ACTION].allowed, Some(10.0));
        clock.advance(STEP);
        rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
        assert_eq!(rates.seen(clock.elapsed())[ACTION].allowed, Some(5.0));
        clock.advance(STEP);
        rates.learn(clock.elapsed(), ACTION, Ok(())).unwrap();
        assert_eq!(rates.seen(clock.elapsed())[ACTION].allowed, Some(6.0));
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_told_what_aws_said() {
        let (rates, clock) = (Rates::default(), clock());
        rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
        let error = admit(&rates, &clock, Urgency::Issue, 0).await.unwrap_err();
        assert_eq!((error.is_throttled(), error.to_string().as_str()), (true, "Throttling: Rate exceeded"));
    }

    #[tokio::test]
    async fn the_more_urgent_go_first() {
        let (rates, clock) = (Rates::default(), clock());
        rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
        let _waits = {
            let place = Waiting::new(&rates, ACTION, Urgency::Kill);
            clock.advance(Duration::from_secs(2));
            place
        };
        assert!(admit(&rates, &clock, Urgency::Issue, 0).await.is_err());
        admit(&rates, &clock, Urgency::Kill, 0).await.unwrap();
    }

    #[tokio::test]
    async fn issues_that_wait_are_bounded() {
        let (rates, clock) = (Rates::default(), clock());
        rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
        let places: Vec<_> = (0..MOST_WAITING).map(|_| Waiting::new(&rates, ACTION, Urgency::Issue)).collect();
        assert!(admit(&rates, &clock, Urgency::Issue, 1000).await.is_err());
        drop(places);
        clock.advance(Duration::from_secs(2));
        admit(&rates, &clock, Urgency::Issue, 0).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_is_let_through_when_there_is_room() {
        let (rates, clock) = (Rates::default(), clock());
        rates.learn(clock.elapsed(), ACTION, throttled()).unwrap_err();
        let waiting = admit(&rates, &clock, Urgency::Issue, 10);
        let moving = async {
            for _ in 0..30 {
                tokio::task::yield_now().await;
                clock.advance(Duration::from_millis(100));
            }
        };
        let (admitted, ()) = tokio::join!(waiting, moving);
        admitted.unwrap();
    }
}
