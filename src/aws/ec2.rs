//! EC2: what is known of an instance. One question, so it is asked without the SDK, whose crate for EC2 would double the build.
//!
//! [`Aws::describe_instance`] is joined with those who ask meanwhile (see `ec2_desk`), goes over the wire in `ec2_query`, and the
//! answer is read in `ec2_reply`. No answer is kept (`aws-auth-method.md` §14.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::call::Action;
use super::connect::Aws;
use super::ec2_desk::Desk;
use super::error::{AwsError, Unsent};

/// An instance, as EC2 describes it. What EC2 did not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// `running`, `stopped`, …
    pub state: String,
    /// The image it was started from, `ami-…`.
    pub image: String,
    /// The account that owns it.
    pub owner: String,
    /// Its network, `vpc-…`.
    pub vpc: String,
    /// Its subnet, `subnet-…`.
    pub subnet: String,
    /// ARN of its instance profile.
    pub profile_arn: String,
    /// Its name within the network.
    pub private_dns: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The way to one region's EC2, with one set of credentials.
pub(super) struct Ec2 {
    /// Scheme, host and port; none where the region's name is none.
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    pub(super) desk: Desk,
    credentials: SharedCredentialsProvider,
    /// Credentials as they were given last. Guards a copy; held to take or put it.
    held: Mutex<Option<Held>>,
}

/// Credentials, and until when they are used without asking again.
struct Held {
    credentials: Credentials,
    until: SystemTime,
}

impl Ec2 {
    /// `endpoint` instead of the region's own, where it is not empty.
    pub(super) fn new(endpoint: &str, region: &str, credentials: SharedCredentialsProvider) -> Self {
        let endpoint = if endpoint.is_empty() { of_region(region) } else { Some(endpoint.trim_end_matches('/').to_owned()) };
        Self { endpoint, region: region.to_owned(), desk: Desk::default(), credentials, held: Mutex::default() }
    }

    /// What to sign with at `now`.
    pub(super) async fn credentials(&self, now: SystemTime) -> Result<Credentials, AwsError> {
        if let Some(held) = &*self.held.lock().unwrap_or_else(PoisonError::into_inner)
            && now < held.until
        {
            return Ok(held.credentials.clone());
        }
        // The chain's log lines print what it reads.
        let asked = Box::pin(self.credentials.provide_credentials()).with_subscriber(NoSubscriber::default()).await;
        let credentials =
            asked.map_err(|error| AwsError::Unsent { why: Unsent::Credentials, text: format!("no credentials: {error}") })?;
        let longest = now + HELD;
        let until = credentials.expiry().and_then(|end| end.checked_sub(SPARE)).map_or(longest, |end| end.min(longest));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { credentials: credentials.clone(), until });
        Ok(credentials)
    }
}

impl Aws {
    /// What EC2 knows of an instance. Who asks while a call is under way waits for the next one, which asks for all of them;
    /// the answer is from a call that was sent after this was asked. Ten seconds at the most, waiting in line included.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound` where there is none of this id, or not yet.
    pub async fn describe_instance(&self, id: &str) -> Result<Arc<Instance>, AwsError> {
        let end = self.clock().elapsed().saturating_add(LONGEST);
        let until = self.until().map_or(end, |until| until.min(end));
        self.ec2().desk.ask(&self.waiting_until(until), id, until).await
    }

    /// The host that [`Aws::describe_instance`] asks, for people.
    pub fn ec2_host(&self) -> &str {
        let endpoint = self.ec2().endpoint.as_deref().unwrap_or_default();
        let place = endpoint.split_once("://").map_or(endpoint, |(_, place)| place);
        place.split('/').next().unwrap_or_default()
    }
}

/// The endpoint of a region; none for what cannot be the name of one.
fn of_region(region: &str) -> Option<String> {
    let is_name = (1..=32).contains(&region.len())
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !region.starts_with('-')
        && !region.ends_with('-');
    let suffix = SUFFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("amazonaws.com", |(_, suffix)| suffix);
    is_name.then(|| format!("https://ec2.{region}.{suffix}"))
}

/// What is asked for.
pub(super) const DESCRIBE: Action = "ec2:DescribeInstances";

/// The code for an instance that is not there.
pub(super) const NOT_FOUND: &str = "InvalidInstanceID.NotFound";

/// For everything that belongs to one question (`aws-auth-method.md` §14.3: ten seconds; the rest is for what comes before and
/// after it).
const LONGEST: Duration = Duration::from_secs(9);

/// Credentials are asked for again so long before their end, and after so long at the latest.
const SPARE: Duration = Duration::from_mins(2);
const HELD: Duration = Duration::from_mins(5);

/// Where the names of a partition's hosts end; its regions begin so.
const SUFFIXES: &[(&str, &str)] = &[
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
];

#[cfg(test)]
#[path = "ec2_tests.rs"]
mod tests;
