//! From settings to a client: region, credentials, endpoints (`aws-secrets-engine.md` §4.4).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::sync::OnceCell;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::base::{Clock, Secret};

use super::call::Action;
use super::clock::AwsClock;
use super::error::{AwsError, Unsent};
use super::hosts::Hosts;
use super::http::{Route, Wire};
use super::rates::{Accounts, Rate, Rates, Urgency};
use super::sts::{Candidate, Identity};

/// What the environment of the server says on AWS. Read by `config`, handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsEnvironment {
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// `AWS_DEFAULT_REGION`.
    pub default_region: Option<String>,
    /// URLs by which the credential chain may be led elsewhere: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_STS`,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`, `AWS_EC2_METADATA_SERVICE_ENDPOINT`. Calls of the chain may go there.
    pub endpoints: Vec<String>,
    /// `AWS_CA_BUNDLE`: a file of certificates to trust besides those of the operating system.
    pub ca_bundle: Option<String>,
}

/// What an operator configured (spec §4.1). Empty texts are not set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Id of the static key pair; empty with an empty secret: the default chain.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret<String>,
    /// Region of the calls.
    pub region: String,
    /// Instead of the partition's IAM.
    pub iam_endpoint: String,
    /// Instead of the region's STS.
    pub sts_endpoint: String,
    /// Region of STS; counts with `sts_endpoint` only.
    pub sts_region: String,
    /// Tried in order after `sts_endpoint`, and only when that is set.
    pub sts_fallback_endpoints: Vec<String>,
    /// Pairwise with them.
    pub sts_fallback_regions: Vec<String>,
    /// How often a call is repeated; below zero: three times.
    pub max_retries: i64,
}

/// The way to AWS: made once for the server.
#[derive(Clone)]
pub struct Outside {
    clock: Arc<dyn Clock>,
    wire: Wire,
    environment: Arc<AwsEnvironment>,
    accounts: Arc<Accounts>,
}

/// IAM and STS with one set of settings. Cheap to clone.
#[derive(Clone)]
pub struct Aws {
    inner: Arc<Inner>,
    urgency: Urgency,
    /// On `Clock::elapsed`: a call that could not be sent by then is refused as AWS last refused it.
    until: Option<Duration>,
    /// What one call may take, and that it is made once only.
    probe: Option<Duration>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    aws_clock: AwsClock,
    route: Route,
    iam: aws_sdk_iam::Client,
    sts: Vec<Candidate>,
    /// The first candidate that answered, and as whom.
    chosen: OnceCell<(usize, Identity)>,
    max_retries: u32,
    accounts: Arc<Accounts>,
    /// Of the credentials until their account is known, then of the account.
    rates: ArcSwap<Rates>,
}

impl Outside {
    /// Loads the authorities of the operating system.
    ///
    /// # Errors
    /// TLS cannot be set up, or the bundle of certificates cannot be read.
    pub fn new(clock: Arc<dyn Clock>, environment: AwsEnvironment) -> Result<Self, String> {
        let wire = Wire::new(Arc::clone(&clock), environment.ca_bundle.as_deref())?;
        Ok(Self { clock, wire, environment: Arc::new(environment), accounts: Arc::default() })
    }

    /// The same, with rates that it shares with whoever calls the same accounts.
    #[must_use]
    pub fn sharing(self, accounts: Arc<Accounts>) -> Self {
        Self { accounts, ..self }
    }

    /// A client by these settings. Calls nobody.
    ///
    /// # Errors
    /// [`AwsError::Unsent`]: half a key pair, or lists that do not match.
    pub async fn connect(&self, settings: &Settings) -> Result<Aws, AwsError> {
        let aws_clock = AwsClock::new(Arc::clone(&self.clock));
        let fallbacks = settings.sts_fallback_endpoints.iter().map(String::as_str);
        let urls = [settings.iam_endpoint.as_str(), &settings.sts_endpoint].into_iter().chain(fallbacks);
        let route =
            Route { wire: self.wire.clone(), hosts: Arc::new(Hosts::new(urls)), clock: aws_clock.clone(), not_after: None };
        let region = self.region(&settings.region);
        let credentials = self.credentials(settings, &region, &route).await?;
        let base = base_config(&region, credentials, &route);
        let mut iam = aws_sdk_iam::config::Builder::from(&base);
        iam.set_endpoint_url(set(&settings.iam_endpoint));
        let sts = sts_places(settings, &region)?.into_iter().map(|(region, endpoint)| {
            let mut sts = aws_sdk_sts::config::Builder::from(&base).region(Region::new(region));
            sts.set_endpoint_url(endpoint);
            Candidate::new(aws_sdk_sts::Client::from_conf(sts.build()))
        });
        let inner = Inner {
            clock: Arc::clone(&self.clock),
            aws_clock,
            iam: aws_sdk_iam::Client::from_conf(iam.build()),
            sts: sts.collect(),
            chosen: OnceCell::new(),
            max_retries: u32::try_from(settings.max_retries).unwrap_or(DEFAULT_RETRIES).min(MOST_RETRIES),
            route,
            rates: ArcSwap::new(self.accounts.of(&format!("{} at {}", settings.access_key, settings.iam_endpoint))),
            accounts: Arc::clone(&self.accounts),
        };
        Ok(Aws { inner: Arc::new(inner), urgency: Urgency::default(), until: None, probe: None })
    }

    /// The configured region, else the environment's, else `us-east-1`.
    pub fn region(&self, configured: &str) -> String {
        let environment = [&self.environment.region, &self.environment.default_region];
        let named = environment.into_iter().filter_map(|region| region.as_deref());
        let mut regions = std::iter::once(configured).chain(named).filter(|region| !region.is_empty());
        regions.next().unwrap_or(DEFAULT_REGION).to_owned()
    }

    async fn credentials(&self, settings: &Settings, region: &str, route: &Route) -> Result<SharedCredentialsProvider, AwsError> {
        let (id, secret) = (&settings.access_key, settings.secret_key.expose());
        match (id.is_empty(), secret.is_empty()) {
            (false, false) => Ok(SharedCredentialsProvider::new(Credentials::new(id, secret, None, None, "config/root"))),
            (true, true) => {
                let named = self.environment.endpoints.iter().map(String::as_str);
                let hosts = Arc::new(Hosts::new(named).with_metadata());
                let route = Route { hosts, ..route.clone() };
                let config = ProviderConfig::without_region()
                    .with_region(Some(Region::new(region.to_owned())))
                    .with_time_source(route.clock.clone())
                    .with_sleep_impl(route.clock.clone())
                    .with_http_client(route);
                let chain = DefaultCredentialsChain::builder().configure(config).build();
                let chain = Box::pin(chain).with_subscriber(NoSubscriber::default()).await;
                Ok(SharedCredentialsProvider::new(chain))
            }
            _ => Err(AwsError::Unsent { why: Unsent::Credentials, text: HALF_A_PAIR.to_owned() }),
        }
    }
}

impl Aws {
    /// The same, for calls of another urgency.
    #[must_use]
    pub fn for_urgency(&self, urgency: Urgency) -> Self {
        Self { urgency, ..self.clone() }
    }

    /// The same, for calls that shall not wait in line beyond `until`, on `Clock::elapsed`.
    #[must_use]
    pub fn waiting_until(&self, until: Duration) -> Self {
        Self { until: Some(until), ..self.clone() }
    }

    /// The same, for calls that only ask whether AWS answers: each is made once, and has `limit`.
    #[must_use]
    pub fn probing(&self, limit: Duration) -> Self {
        Self { probe: Some(limit), ..self.clone() }
    }

    /// The credentials were found to be of this account: from now on its rates hold.
    pub fn belongs_to(&self, partition: &str, account: &str) {
        let rates = self.inner.accounts.of(&format!("{partition}/{account}"));
        if !Arc::ptr_eq(&rates, &self.inner.rates.load()) {
            self.inner.rates.store(rates);
        }
    }

    /// How fast the account takes calls, by action.
    pub fn rates(&self) -> BTreeMap<Action, Rate> {
        self.inner.rates.load().seen(self.inner.clock.elapsed())
    }

    pub(super) async fn admitted(&self, action: Action) -> Result<(), AwsError> {
        let rates = self.inner.rates.load_full();
        rates.admit(&*self.inner.clock, action, self.urgency, self.until).await
    }

    pub(super) fn learnt<T>(&self, action: Action, result: Result<T, AwsError>) -> Result<T, AwsError> {
        self.inner.rates.load().learn(self.inner.clock.elapsed(), action, result)
    }

    /// Whether calls wait in line when AWS says "too many".
    pub(super) fn waits(&self) -> bool {
        self.probe.is_none() && self.until.is_some()
    }

    /// Whether there is time left to wait in.
    pub(super) fn may_wait(&self) -> bool {
        self.waits() && self.until.is_some_and(|until| self.inner.clock.elapsed() < until)
    }

    /// What one call may take.
    pub(super) fn limit(&self) -> Duration {
        self.probe.unwrap_or(ONE_CALL)
    }

    /// Seconds that AWS's clock is ahead of ours, as of its last answer; none when it has not said.
    pub fn ahead(&self) -> Option<i64> {
        self.inner.aws_clock.ahead()
    }

    pub(super) fn corrects_clock(&self) -> bool {
        self.inner.aws_clock.correct()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(super) fn iam(&self) -> &aws_sdk_iam::Client {
        &self.inner.iam
    }

    pub(super) fn sts(&self) -> &[Candidate] {
        &self.inner.sts
    }

    pub(super) fn chosen(&self) -> &OnceCell<(usize, Identity)> {
        &self.inner.chosen
    }

    pub(super) fn retries(&self) -> u32 {
        if self.probe.is_some() { 0 } else { self.inner.max_retries }
    }

    /// What a creating call overrides: a connection of its own, and the last moment to send.
    pub(super) fn creating(&self, not_after: Duration) -> aws_sdk_iam::config::Builder {
        let route = Route { not_after: Some(not_after), ..self.inner.route.clone() };
        aws_sdk_iam::config::Config::builder().http_client(route)
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("chosen", &self.inner.chosen).finish_non_exhaustive()
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// Nothing is repeated or timed by the SDK: we do both.
fn base_config(region: &str, credentials: SharedCredentialsProvider, route: &Route) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(credentials)
        .identity_cache(IdentityCache::lazy().build())
        .http_client(route.clone())
        .time_source(route.clock.clone())
        .sleep_impl(route.clock.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .disable_clock_skew_correction(true)
        .build()
}

/// Regions and endpoints of STS in the order in which they are tried (§4.4, 6). No endpoint: the region's own.
fn sts_places(settings: &Settings, region: &str) -> Result<Vec<(String, Option<String>)>, AwsError> {
    if settings.sts_endpoint.is_empty() {
        return Ok(vec![(region.to_owned(), None)]);
    }
    let first = if settings.sts_region.is_empty() { region } else { &settings.sts_region };
    let regions = std::iter::once(first).chain(settings.sts_fallback_regions.iter().map(String::as_str));
    let endpoints = std::iter::once(&settings.sts_endpoint).chain(&settings.sts_fallback_endpoints);
    if settings.sts_fallback_regions.len() != settings.sts_fallback_endpoints.len() {
        return Err(AwsError::setting("number of regions does not match number of endpoints"));
    }
    Ok(regions.map(str::to_owned).zip(endpoints.map(|endpoint| set(endpoint))).collect())
}

fn set(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Where nobody names a region.
pub const DEFAULT_REGION: &str = "us-east-1";

/// One AWS call, connecting included (`aws-secrets-engine.md` §21).
const ONE_CALL: Duration = Duration::from_secs(30);

const HALF_A_PAIR: &str =
    "static AWS client credentials haven't been properly configured (the access key or secret key were provided but not both)";

/// What `max_retries` -1 means.
const DEFAULT_RETRIES: u32 = 3;

/// Whatever is configured: more would outlive every deadline.
const MOST_RETRIES: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::SystemClock;

    fn outside(environment: AwsEnvironment) -> Outside {
        Outside::new(Arc::new(SystemClock::new()), environment).unwrap()
    }

    #[test]
    fn the_region_is_the_configured_one_else_the_environments() {
        let named = |name: &str| Some(name.to_owned());
        let both = AwsEnvironment { region: named("a"), default_region: named("b"), ..AwsEnvironment::default() };
        let default = AwsEnvironment { region: named(""), default_region: named("b"), ..AwsEnvironment::default() };
        assert_eq!(outside(both.clone()).region("c"), "c");
        assert_eq!(outside(both).region(""), "a");
        assert_eq!(outside(default).region(""), "b");
        assert_eq!(outside(AwsEnvironment::default()).region(""), "us-east-1");
    }

    #[tokio::test]
    async fn half_a_key_pair_is_not_a_client() {
        let settings = Settings { access_key: "AKIA".to_owned(), ..Settings::default() };
        let error = outside(AwsEnvironment::default()).connect(&settings).await.unwrap_err();
        assert!(error.to_string().contains("not both"), "{error}");
    }

    #[test]
    fn fallbacks_of_sts_count_with_an_endpoint_only() {
        let settings = Settings {
            sts_fallback_endpoints: vec!["https://b".to_owned()],
            sts_fallback_regions: vec!["rb".to_owned()],
            ..Settings::default()
        };
        assert_eq!(sts_places(&settings, "r").unwrap(), [("r".to_owned(), None)]);
        let settings = Settings { sts_endpoint: "https://a".to_owned(), sts_region: "ra".to_owned(), ..settings };
        let places = sts_places(&settings, "r").unwrap();
        let expected = [("ra", "https://a"), ("rb", "https://b")];
        assert_eq!(places, expected.map(|(region, url)| (region.to_owned(), Some(url.to_owned()))));
        let uneven = Settings { sts_fallback_regions: vec![], ..settings };
        assert!(sts_places(&uneven, "r").unwrap_err().to_string().contains("does not match"));
    }
}
