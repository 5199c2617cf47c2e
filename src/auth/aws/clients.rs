//! Which client asks AWS about something in an account: ours, where our credentials are of that account, else that of the role
//! configured for it (spec `aws-auth-method.md` §9).
//!
//! Whose the account is, is looked at each time, whatever is cached: a client of ours never answers for another account, in
//! which things of the same name may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::aws::{Accounts, AssumeRole, Aws, AwsEnvironment, AwsError, Identity, Outside, Settings};
use crate::base::time::timeout;
use crate::base::{Timestamp, Ttl};
use crate::mount::ApiError;

use super::AwsAuth;
use super::client_config::ClientConfig;
use super::failure::{Code, Failure};
use super::sts_config::StsConfig;

/// Where a call is about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// `aws`, `aws-cn`, …
    pub(super) partition: &'a str,
    /// Twelve digits.
    pub(super) account: &'a str,
    /// Of the call.
    pub(super) region: &'a str,
}

/// The clients of a mount.
#[derive(Debug, Default)]
pub(super) struct Clients {
    outside: OnceCell<Outside>,
    /// Guards the clients; every login that asks AWS; held for a look.
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// Moves with each change of `config/client`: a client made of an older one is not kept.
    epoch: u64,
    /// By region.
    own: HashMap<String, Aws>,
    /// Of roles.
    assumed: HashMap<Key, Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    partition: String,
    account: String,
    region: String,
    sts_role: String,
    external_id: String,
}

#[derive(Clone, Debug)]
struct Held {
    aws: Aws,
    /// From then on new credentials are fetched.
    until: Timestamp,
}

/// A client, and how its places are called.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Asks.
    pub(super) aws: Aws,
    /// The host of IAM, for people.
    pub(super) iam: String,
    /// The host of EC2, for people.
    pub(super) ec2: String,
}

impl Clients {
    /// `config/client` changed.
    pub(super) fn forget(&self) {
        let mut cache = self.cache();
        *cache = Cache { epoch: cache.epoch + 1, ..Cache::default() };
    }

    /// How an account is reached changed.
    pub(super) fn forget_account(&self, account: &str) {
        let mut cache = self.cache();
        cache.epoch += 1;
        cache.assumed.retain(|key, _| key.account != account);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AwsAuth {
    /// The client for what is in an account. At most [`OWN_CALLS`] with all calls it takes.
    ///
    /// # Errors
    /// 400: no credentials for that account, or AWS refuses them.
    pub(super) async fn client_for(&self, place: Place<'_>) -> Result<Client, Failure> {
        let config = self.stored_client().await?.unwrap_or_default();
        let sts = self.sts_of(place.account).await?;
        let found = timeout(&*self.deps.clock, OWN_CALLS, Box::pin(self.find_client(&config, sts, place))).await;
        let aws = found.unwrap_or_else(|| {
            let silent = AwsError::Unknown { text: format!("no answer within {} s", OWN_CALLS.as_secs()) };
            Err(Failure::of_aws("", &silent, &host("sts", &config.sts_endpoint, place)))
        })?;
        // Nobody waits for a turn of the account unless a call says so: who logs in is told when to come again.
        let aws = aws.waiting_until(self.deps.clock.elapsed());
        Ok(Client { aws, iam: host("iam", &config.iam_endpoint, place), ec2: host("ec2", &config.endpoint, place) })
    }

    /// The way to AWS, made once.
    pub(super) async fn outside(&self) -> Result<&Outside, ApiError> {
        let outside = self.clients.outside.get_or_try_init(async || {
            let environment = AwsEnvironment::of(&self.deps.environment);
            let outside = Outside::new(Arc::clone(&self.deps.clock), environment).map_err(ApiError::internal)?;
            Ok(outside.sharing(self.deps.shared.of::<Accounts>()))
        });
        outside.await
    }

    async fn find_client(&self, config: &ClientConfig, sts: Option<StsConfig>, place: Place<'_>) -> Result<Aws, Failure> {
        if let Some(sts) = sts {
            return self.assumed(config, &sts, place).await;
        }
        let aws = self.own_client(config, place.region).await?;
        let own = self.identity_of(&aws, config, place).await?;
        if own.account != place.account || own.partition != place.partition {
            let text = format!(
                "unable to fetch client for account ID \"{}\" -- default client is for account \"{}\"",
                place.account, own.account
            );
            let sentence = format!(
                "this server has no credentials for account {}: its operator can write config/sts/{}",
                place.account, place.account
            );
            return Err(Failure::named(Code::AccountNotBound, text, sentence));
        }
        Ok(aws)
    }

    /// Our own client for a region.
    pub(super) async fn own_client(&self, config: &ClientConfig, region: &str) -> Result<Aws, Failure> {
        if let Some(aws) = self.clients.cache().own.get(region) {
            return Ok(aws.clone());
        }
        // Many who come first make one, and learn by one call whose it is.
        let _turn = self.turn(&format!("clients/own/{region}")).await;
        let epoch = {
            let cache = self.clients.cache();
            if let Some(aws) = cache.own.get(region) {
                return Ok(aws.clone());
            }
            cache.epoch
        };
        let outside = self.outside().await?;
        let aws = outside.connect(&config.settings(region)).await.map_err(|error| Failure::of_aws("", &error, "sts"))?;
        let mut cache = self.clients.cache();
        if cache.epoch == epoch && cache.own.len() < MOST {
            cache.own.insert(region.to_owned(), aws.clone());
        }
        Ok(aws)
    }

    async fn identity_of<'a>(&self, aws: &'a Aws, config: &ClientConfig, place: Place<'_>) -> Result<&'a Identity, Failure> {
        let asked = aws.identity().await;
        asked.map_err(|error| Failure::of_aws("", &error, &host("sts", &config.sts_endpoint, place)))
    }

    fn held(&self, key: &Key) -> Option<Aws> {
        let now = self.deps.clock.now();
        self.clients.cache().assumed.get(key).filter(|held| now < held.until).map(|held| held.aws.clone())
    }

    /// The client of a role in another account, with credentials of 15 minutes.
    async fn assumed(&self, config: &ClientConfig, sts: &StsConfig, place: Place<'_>) -> Result<Aws, Failure> {
        let key = Key {
            partition: place.partition.to_owned(),
            account: place.account.to_owned(),
            region: place.region.to_owned(),
            sts_role: sts.sts_role.clone(),
            external_id: sts.external_id.clone(),
        };
        if let Some(aws) = self.held(&key) {
            return Ok(aws);
        }
        // Who waits for the same credentials finds them there.
        let _turn = self.turn(&format!("clients/{}", place.account)).await;
        if let Some(aws) = self.held(&key) {
            return Ok(aws);
        }
        let epoch = self.clients.cache().epoch;
        let own = self.own_client(config, place.region).await?;
        let wish = AssumeRole {
            role_arn: sts.sts_role.clone(),
            session_name: SESSION.to_owned(),
            ttl: LIFE,
            external_id: sts.external_id.clone(),
            ..AssumeRole::default()
        };
        let sts_host = host("sts", &config.sts_endpoint, place);
        let given = own.assume_role(&wish).await.map_err(|error| Failure::of_aws("", &error, &sts_host))?;
        let settings = Settings {
            access_key: given.session.access_key,
            secret_key: given.session.secret_key,
            session_token: given.session.token,
            ..config.settings(place.region)
        };
        let outside = self.outside().await?;
        let aws = outside.connect(&settings).await.map_err(|error| Failure::of_aws("", &error, &sts_host))?;
        let who = self.identity_of(&aws, config, place).await?;
        if who.account != place.account || who.partition != place.partition {
            let text = format!(
                "unable to fetch client for account ID \"{}\" -- the role of config/sts is in account \"{}\"",
                place.account, who.account
            );
            let sentence = format!("config/sts/{} names a role of another account: its operator must correct it", place.account);
            return Err(Failure::named(Code::AccountNotBound, text, sentence));
        }
        let mut cache = self.clients.cache();
        if cache.epoch == epoch {
            if cache.assumed.len() >= MOST {
                cache.assumed.clear();
            }
            cache.assumed.insert(key, Held { aws: aws.clone(), until: self.deps.clock.now().plus(KEPT) });
        }
        Ok(aws)
    }
}

/// The host of a service: the configured endpoint's, or AWS's own.
fn host(service: &str, endpoint: &str, place: Place<'_>) -> String {
    match (endpoint.is_empty(), service, place.partition) {
        (false, ..) => format!("{service} ({endpoint})"),
        (true, "iam", "aws") => "iam.amazonaws.com".to_owned(),
        (true, _, "aws-cn") => format!("{service}.{}.amazonaws.com.cn", place.region),
        (true, ..) => format!("{service}.{}.amazonaws.com", place.region),
    }
}

/// For all calls of ours that one login needs to have a client.
pub(super) const OWN_CALLS: Duration = Duration::from_secs(8);

/// Of credentials of roles: the shortest there are.
const LIFE: Ttl = Ttl::minutes(15);

/// How long they are used: AWS's clock may be ahead, and calls take time.
const KEPT: Ttl = Ttl::minutes(12);

/// Names us in the other account's log.
const SESSION: &str = "leasehold-aws-auth";

/// Clients that are kept.
const MOST: usize = 256;
