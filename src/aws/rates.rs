//! How fast an account takes calls: learnt for each action from AWS's refusals (`aws-secrets-engine.md` §21.8).
//!
//! Until AWS first says "too many" an action is not limited. Then its rate is halved, at most once a second, and grows by
//! addition: fast up to shortly below what was too much, slowly around it, faster beyond. Who waits is let through by
//! urgency, and then in the order of arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

/// The rates of all accounts that this server calls: whoever calls the same account has the same rates.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Guards the table; whoever makes a client, or learns whose it is; held for a look-up.
    known: Mutex<BTreeMap<String, Weak<Rates>>>,
}

impl Accounts {
    /// The rates of `name`, which somebody may have already.
    pub(super) fn of(&self, name: &str) -> Arc<Rates> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rates) = known.get(name).and_then(Weak::upgrade) {
            return rates;
        }
        known.retain(|_, rates| rates.strong_count() > 0);
        let rates = Arc::default();
        known.insert(name.to_owned(), Arc::downgrade(&rates));
        rates
    }
}

/// The rates of one account.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Guards the actions; every call; held for a computation.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    actions: BTreeMap<Action, Bucket>,
    /// Of who comes next.
    ticket: u64,
}

/// Times are of `Clock::elapsed`.
#[derive(Debug, Default)]
struct Bucket {
    limit: Option<f64>,
    /// What was too much last.
    ceiling: f64,
    /// Calls that may go now.
    tokens: f64,
    filled: Duration,
    halved: Duration,
    grown: Duration,
    /// The second that is counted, how many calls it had, and the one before.
    second: u64,
    used: u32,
    used_before: u32,
    /// The minute that is counted, and the refusals in it and the one before.
    minute: u64,
    throttled: u32,
    throttled_before: u32,
    waiting: BTreeSet<Place>,
    last: Option<Refusal>,
}

/// A place in the line.
type Place = (Urgency, u64);

/// Is left when dropped.
struct Waiting<'r> {
    rates: &'r Rates,
    action: Action,
    place: Place,
}

impl Rates {
    /// Waits until a call may be sent.
    ///
    /// # Errors
    /// AWS's last refusal, when `until` (on `Clock::elapsed`) would pass first, or too many issues of this account wait.
    pub(super) async fn admit(
        &self,
        clock: &dyn Clock,
        action: Action,
        urgency: Urgency,
        until: Option<Duration>,
    ) -> Result<(), AwsError> {
        let mut waiting: Option<Waiting<'_>> = None;
        let place = (urgency, self.next_ticket());
        loop {
            let pause = {
                let mut state = self.state();
                let is_crowded = waiting.is_none() && urgency >= Urgency::Issue && state.waiting_issues() >= MOST_WAITING;
                let bucket = state.actions.entry(action).or_default();
                let now = clock.elapsed();
                let Some(pause) = bucket.take(now, place) else { return Ok(()) };
                if is_crowded || until.is_some_and(|until| now + pause > until) {
                    return Err(bucket.refusal(action));
                }
                if waiting.is_none() {
                    bucket.waiting.insert(place);
                }
                pause
            };
            waiting.get_or_insert(Waiting { rates: self, action, place });
            clock.sleep(pause).await;
        }
    }

    /// Learns from an answer; tells who was throttled when to come again.
    pub(super) fn learn<T>(&self, now: Duration, action: Action, result: Result<T, AwsError>) -> Result<T, AwsError> {
        match result {
            Err(AwsError::Refused(mut refusal)) if AwsError::Refused(refusal.clone()).is_throttled() => {
                let mut state = self.state();
                let bucket = state.actions.entry(action).or_default();
                bucket.halve(now);
                refusal.retry_after = Some(bucket.drain());
                bucket.last = Some(refusal.clone());
                Err(AwsError::Refused(refusal))
            }
            // Silence says nothing of how much would be too much.
            Err(error @ (AwsError::Unknown { .. } | AwsError::Unsent { .. })) => Err(error),
            result => {
                if let Some(bucket) = self.state().actions.get_mut(action) {
                    bucket.grow(now);
                }
                result
            }
        }
    }

    /// How each action fares that was called lately or is limited.
    pub(super) fn seen(&self, now: Duration) -> BTreeMap<Action, Rate> {
        let mut state = self.state();
        let seen = state.actions.iter_mut().map(|(action, bucket)| {
            bucket.count_time(now);
            let throttled = bucket.throttled + bucket.throttled_before;
            (*action, Rate { allowed: bucket.limit, used: bucket.used.max(bucket.used_before), throttled })
        });
        seen.collect()
    }

    fn next_ticket(&self) -> u64 {
        let mut state = self.state();
        state.ticket += 1;
        state.ticket
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting_issues(&self) -> usize {
        self.actions.values().map(|bucket| bucket.waiting.range((Urgency::Issue, 0)..).count()).sum()
    }
}

impl Bucket {
    /// Takes a token; else how long until there may be one.
    fn take(&mut self, now: Duration, place: Place) -> Option<Duration> {
        self.count_time(now);
        let Some(limit) = self.limit else {
            self.used = self.used.saturating_add(1);
            return None;
        };
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * limit).min((limit * BURST).max(1.0));
        let ahead = u32::try_from(self.waiting.range(..place).count()).unwrap_or(u32::MAX);
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
        self.tokens = 0.0;
        // What still comes through beside refusals does not show that more would.
        self.grown = now;
        if self.limit.is_some() && now.saturating_sub(self.halved) < STEP {
            return;
        }
        self.ceiling = self.limit.unwrap_or_else(|| f64::from(self.used.max(self.used_before)));
        self.limit = Some((self.ceiling / 2.0).max(SLOWEST));
        (self.halved, self.filled) = (now, now);
    }

    /// An answer that is not "too many".
    fn grow(&mut self, now: Duration) {
        let Some(limit) = self.limit else { return };
        // Time in which nothing was asked proves nothing.
        let passed = now.saturating_sub(self.grown).min(STEP).as_secs_f64();
        self.grown = now;
        let near = self.ceiling * NEAR;
        let grown = if limit < near {
            (limit + (self.ceiling / 2.0) * passed).min(near)
        } else if limit < self.ceiling * BEYOND {
            limit + self.ceiling * SLOWLY * passed
        } else {
            limit + FASTER * passed
        };
        self.limit = Some(grown).filter(|limit| *limit <= FASTEST);
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

    /// Until all who wait now are through, in whole seconds.
    fn drain(&self) -> Ttl {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX).saturating_add(1);
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

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(bucket) = self.rates.state().actions.get_mut(self.action) {
            bucket.waiting.remove(&self.place);
        }
    }
}

/// Between two halvings.
const STEP: Duration = Duration::from_secs(1);

/// Calls a second.
const SLOWEST: f64 = 0.5;

/// Calls a second from which on an action is not limited: no account's limits of IAM are that high.
const FASTEST: f64 = 100.0;

/// Of what was too much: up to there a limit grows within a second, as that much went well before.
const NEAR: f64 = 0.9;
/// Of what was too much: from there on it is not the limit any more.
const BEYOND: f64 = 1.1;
/// Of what was too much, each second, between the two.
const SLOWLY: f64 = 0.02;
/// Calls a second, each second, beyond.
const FASTER: f64 = 1.0;

/// Seconds: as much may have been saved up for a burst.
const BURST: f64 = 0.2;

/// Issues that wait (§21.8).
const MOST_WAITING: usize = 64;

/// Seconds: who waits looks again at least so often, since the limit moves.
const LONGEST_PAUSE: f64 = 1.0;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
