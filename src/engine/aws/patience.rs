//! What one issue may take, and what it asks again (`aws-secrets-engine.md` §10, §21.3, §21.8).

use std::time::Duration;

use crate::aws::{AwsError, Unsent};
use crate::base::time::timeout;
use crate::base::{Clock, Ttl, random};
use crate::mount::ApiError;

/// How long one issue goes on asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    clock: &'a dyn Clock,
    /// On `Clock::elapsed`: throttled or unanswered calls are asked again until then.
    pub(super) until: Duration,
    /// On `Clock::elapsed`: nothing that creates is sent after that.
    pub(super) not_after: Duration,
}

impl<'a> Patience<'a> {
    /// Of an issue that begins now.
    pub(super) fn new(clock: &'a dyn Clock) -> Self {
        let now = clock.elapsed();
        Self { clock, until: now + WAIT, not_after: now + ISSUE }
    }

    /// Works for as long as an issue may take; `None`: that is over, and what was under way may have happened.
    pub(super) async fn bound<T>(&self, work: impl Future<Output = T> + Send) -> Option<T> {
        timeout(self.clock, self.not_after.saturating_sub(self.clock.elapsed()), work).await
    }

    /// Asks until it is answered or there is no more time; what was throttled has waited in line already. `user` is not visible to all of IAM yet: an answer that knows
    /// nobody of this name is asked again after 1, 2 and 4 seconds.
    pub(super) async fn ask<T, F, Fut>(&self, user: &str, call: F) -> Result<T, AwsError>
    where
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, AwsError>> + Send,
    {
        let (mut delay, mut unseen) = (Duration::from_millis(500), UNSEEN.iter());
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = if error.is_absent() && error.message().contains(user) {
                unseen.next().copied()
            } else if error.is_passing() && !error.is_throttled() {
                let pause = delay.mul_f64(0.5 + random::unit());
                delay = (delay * 2).min(LONGEST_DELAY);
                Some(pause)
            } else {
                None
            };
            match pause {
                Some(pause) if self.has_time_for(pause) => self.clock.sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    /// The same for calls that create, of which an unanswered one is never sent again.
    pub(super) async fn create<T, F, Fut>(&self, user: &str, call: F) -> Result<T, AwsError>
    where
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, AwsError>> + Send,
    {
        self.ask(user, || async {
            match call().await {
                // No answer: that is the answer.
                Err(error) if error.is_passing() => Ok(Err(error)),
                Ok(answer) => Ok(Ok(answer)),
                Err(error) => Err(error),
            }
        })
        .await?
    }

    fn has_time_for(&self, pause: Duration) -> bool {
        self.clock.elapsed() + pause < self.until
    }
}

/// What the caller reads of a call that failed: 400 when it was refused, 502 when that is not the caller's doing.
pub(super) fn shown(prefix: &str, error: &AwsError) -> ApiError {
    let text = format!("{prefix}{error}");
    match error {
        AwsError::Refused(_) if error.is_throttled() => {
            ApiError::upstream(text).retry_after(error.retry_after().unwrap_or(RETRY_AFTER))
        }
        AwsError::Refused(_) | AwsError::Unsent { why: Unsent::Credentials | Unsent::Setting, .. } => ApiError::invalid(text),
        AwsError::Unsent { why: Unsent::Connection | Unsent::TooLate, .. } | AwsError::Unknown { .. } => ApiError::upstream(text),
    }
}

/// An issue that was not done in time.
pub(super) fn overdue(prefix: &str) -> ApiError {
    ApiError::upstream(format!("{prefix}not done within {} s", ISSUE.as_secs()))
}

/// Common clients give up after 30 seconds (§21.8).
const WAIT: Duration = Duration::from_secs(25);

/// What one issue may take: nothing is created after that (§21).
const ISSUE: Duration = Duration::from_secs(90);

const LONGEST_DELAY: Duration = Duration::from_secs(4);

/// Between looks for a user who was just made.
const UNSEEN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// For who is told to come again.
const RETRY_AFTER: Ttl = Ttl::seconds(5);
