//! One call: its deadline, its repetition, and the correction of the clock.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::base::random;
use crate::base::time::timeout;

use super::connect::Aws;
use super::error::AwsError;

/// An action in the form permissions name it: `iam:CreateUser`.
pub type Action = &'static str;

/// What a call of the SDK comes to.
pub(super) type Sdk<T, E> = Result<T, SdkError<E, HttpResponse>>;

/// A page of a list, and the marker of the next.
pub(super) type PageOf<T> = (Vec<T>, Option<String>);

/// Why a call has no result.
enum Failed {
    /// It was not let through: it would have waited in line for too long.
    InLine(AwsError),
    /// It was made.
    Made(AwsError),
}

impl Aws {
    /// Makes a call once.
    pub(super) async fn once<T, E, F, Fut>(&self, action: Action, send: F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn() -> Fut,
        Fut: Future<Output = Sdk<T, E>>,
    {
        self.made(action, &send).await.map_err(Failed::error)
    }

    /// Makes a call, again only when AWS said "too many", which did nothing, and for as long as it may wait in line.
    pub(super) async fn let_through<T, E, F, Fut>(&self, action: Action, send: F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn() -> Fut,
        Fut: Future<Output = Sdk<T, E>>,
    {
        loop {
            match self.made(action, &send).await {
                // The line is where it waits.
                Err(Failed::Made(error)) if error.is_throttled() && self.may_wait() => {}
                result => return result.map_err(Failed::error),
            }
        }
    }

    /// Makes a call that is the same when made twice, and repeats it where another answer may come.
    pub(super) async fn repeated<T, E, F, Fut>(&self, action: Action, send: F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn() -> Fut,
        Fut: Future<Output = Sdk<T, E>>,
    {
        let mut delay = FIRST_DELAY;
        for _ in 0..self.retries() {
            match self.let_through(action, &send).await {
                // One that may wait has waited.
                Err(error) if error.is_passing() && !(error.is_throttled() && self.waits()) => {
                    tracing::debug!(aws.action = action, error = %error, "AWS did not answer as hoped; asking again");
                    self.clock().sleep(delay.mul_f64(0.5 + random::unit())).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
                result => return result,
            }
        }
        self.let_through(action, &send).await
    }

    /// Makes a call, and once more if AWS's clock was found to be far from ours; nothing had been done then.
    async fn made<T, E, F, Fut>(&self, action: Action, send: &F) -> Result<T, Failed>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn() -> Fut,
        Fut: Future<Output = Sdk<T, E>>,
    {
        match self.bounded(action, send).await {
            Err(Failed::Made(error)) if error.is_of_clock() && self.corrects_clock() => {
                tracing::warn!(aws.action = action, aws.ahead_s = self.ahead(), "AWS's clock differs; signing by it from now on");
                self.bounded(action, send).await
            }
            result => result,
        }
    }

    /// All pages of a list.
    pub(super) async fn pages<T, E, F, Fut>(&self, action: Action, page: F) -> Result<Vec<T>, AwsError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn(Option<String>) -> Fut,
        Fut: Future<Output = Sdk<PageOf<T>, E>>,
    {
        let mut all = Vec::new();
        let mut marker = None;
        for _ in 0..MOST_PAGES {
            let (items, next) = self.repeated(action, || page(marker.clone())).await?;
            all.extend(items);
            if next.is_none() {
                return Ok(all);
            }
            marker = next;
        }
        Err(AwsError::Unknown { text: format!("{action}: the list has more than {MOST_PAGES} pages") })
    }

    async fn bounded<T, E, F, Fut>(&self, action: Action, send: &F) -> Result<T, Failed>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn() -> Fut,
        Fut: Future<Output = Sdk<T, E>>,
    {
        self.admitted(action).await.map_err(Failed::InLine)?;
        // The SDK's futures are large, and its log lines print what it sends and gets.
        let silent = Box::pin(send()).with_subscriber(NoSubscriber::default());
        let limit = self.limit();
        let result = match timeout(self.clock(), limit, silent).await {
            Some(result) => result.map_err(|error| AwsError::of_sdk(action, error)),
            None => Err(AwsError::Unknown { text: format!("{action}: no answer within {} s", limit.as_secs()) }),
        };
        self.learnt(action, result).map_err(Failed::Made)
    }
}

impl Failed {
    fn error(self) -> AwsError {
        match self {
            Self::InLine(error) | Self::Made(error) => error,
        }
    }
}

/// The marker of the next page, if there is one.
pub(super) fn next(is_truncated: bool, marker: Option<&str>) -> Option<String> {
    marker.filter(|marker| is_truncated && !marker.is_empty()).map(str::to_owned)
}

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Of a thousand items each; no account has that many users.
const MOST_PAGES: usize = 1000;

/// What is asked for at once: the most AWS gives.
pub(super) const PAGE: i32 = 1000;
