//! A stand-in with a clock that tests move, and the official clients of AWS pointed at it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_smithy_async::time::TimeSource;

use super::Sandbox;
use crate::base::time::ManualClock;
use crate::base::{Clock, Secret, Shutdown, Tasks, Timestamp};

pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const READ: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;
pub(super) const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) clock: Arc<ManualClock>,
    pub(super) tasks: Tasks,
    pub(super) shutdown: Shutdown,
}

/// Keys to sign with.
#[derive(Clone)]
pub(super) struct Keys(pub(super) String, pub(super) String, pub(super) Option<String>);

impl From<(String, Secret<String>)> for Keys {
    fn from((id, secret): (String, Secret<String>)) -> Self {
        Self(id, secret.expose().clone(), None)
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let (clock, tasks, shutdown) = (Arc::new(ManualClock::at(START)), Tasks::default(), Shutdown::new());
        let sandbox = Sandbox::start(Arc::clone(&clock) as Arc<dyn Clock>, &tasks, &shutdown).await.unwrap();
        Self { sandbox, clock, tasks, shutdown }
    }

    /// IAM, as the administrator.
    pub(super) fn iam(&self) -> aws_sdk_iam::Client {
        self.iam_as(&self.sandbox.root_keys().into())
    }

    pub(super) fn iam_as(&self, keys: &Keys) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config(keys))
    }

    /// STS, as the administrator.
    pub(super) fn sts(&self) -> aws_sdk_sts::Client {
        self.sts_as(&self.sandbox.root_keys().into())
    }

    pub(super) fn sts_as(&self, keys: &Keys) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config(keys))
    }

    fn config(&self, keys: &Keys) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(self.sandbox.url())
            .credentials_provider(SharedCredentialsProvider::new(credentials(keys)))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .time_source(ClockSource(Arc::clone(&self.clock)))
            .build()
    }

    /// The ARN that STS knows the holder of `keys` by, or the code of its refusal.
    pub(super) async fn who(&self, keys: &Keys) -> String {
        let identity = self.sts_as(keys).get_caller_identity().send().await;
        identity.map_or_else(|error| error.code().unwrap_or(NO_ANSWER).to_owned(), |identity| identity.arn.unwrap())
    }

    /// Names of all users, of all pages.
    pub(super) async fn listed_users(&self) -> Vec<String> {
        let mut pages = self.iam().list_users().into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            names.extend(page.unwrap().users.into_iter().map(|user| user.user_name));
        }
        names
    }
}

/// The code of a refusal; [`NO_ANSWER`] when the connection was cut.
pub(super) async fn refusal<T: fmt::Debug, E: ProvideErrorMetadata>(call: impl Future<Output = Result<T, E>>) -> String {
    call.await.unwrap_err().code().unwrap_or(NO_ANSWER).to_owned()
}

pub(super) const NO_ANSWER: &str = "no answer";

fn credentials(keys: &Keys) -> Credentials {
    Credentials::new(&keys.0, &keys.1, keys.2.clone(), None, "test")
}

/// Requests are signed at the time of the test's clock.
#[derive(Debug)]
struct ClockSource(Arc<ManualClock>);

impl TimeSource for ClockSource {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.now().seconds())
    }
}
