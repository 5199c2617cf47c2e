//! Who has a name in IAM: its unique id when a role is written, its whole ARN when a role has a wildcard
//! (spec `aws-auth-method.md` §7.3, §12.4).

use std::time::Duration;

use crate::aws::{AwsError, Entity};
use crate::base::time::timeout;
use crate::mount::ApiError;

use super::AwsAuth;
use super::clients::{Client, OWN_CALLS, Place};
use super::failure::{Code, Failure};
use super::principal::{Kind, Principal};
use super::role::Resolved;

impl AwsAuth {
    /// The unique ids of all principals without a wildcard.
    ///
    /// # Errors
    /// 400 that names the first one that could not be found.
    pub(super) async fn resolve(&self, arns: &[String]) -> Result<Vec<Resolved>, ApiError> {
        let mut all = Vec::new();
        for arn in arns.iter().filter(|arn| !arn.ends_with('*')) {
            let id = self.resolve_patiently(arn).await.map_err(|failure| unresolved(arn, failure))?;
            all.push(Resolved { arn: arn.clone(), id });
        }
        Ok(all)
    }

    /// A principal or a key of ours that is only seconds old may not be known everywhere yet: then it is asked again.
    async fn resolve_patiently(&self, arn: &str) -> Result<String, Failure> {
        for pause in PAUSES {
            match self.resolve_one(arn).await {
                Err(failure) if self.may_be_too_new(&failure).await? => {}
                result => return result,
            }
            // With it the client and what it learnt of our key.
            self.clients.forget();
            self.deps.clock.sleep(pause).await;
        }
        let result = self.resolve_one(arn).await;
        match result {
            Err(failure) if self.may_be_too_new(&failure).await? => Err(failure.and_that(TOO_NEW)),
            result => result,
        }
    }

    async fn may_be_too_new(&self, failure: &Failure) -> Result<bool, ApiError> {
        let is_absent = failure.aws.as_ref().is_some_and(|aws| aws.code == "NoSuchEntity");
        if is_absent {
            return Ok(true);
        }
        if failure.code() != Some(Code::ServerCredentials) {
            return Ok(false);
        }
        let written = self.stored_client().await?.map(|config| config.key_written).unwrap_or_default();
        Ok(self.deps.clock.now().since(written).to_duration() <= FRESH)
    }

    async fn resolve_one(&self, arn: &str) -> Result<String, Failure> {
        let principal = Principal::parse(arn).map_err(Failure::plain)?;
        if principal.kind == Kind::AssumedRole {
            return Err(Failure::plain("unrecognized principal type: \"assumed-role\""));
        }
        Ok(self.entity(&principal).await?.id)
    }

    /// The user, role or instance profile of that name in its account.
    pub(super) async fn entity(&self, principal: &Principal) -> Result<Entity, Failure> {
        let region = principal.iam_region().map_err(Failure::plain)?;
        let place = Place { partition: &principal.partition, account: &principal.account, region };
        let client = self.client_for(place).await?;
        let entity = ask(self, principal, &client).await?;
        let shown = Principal::parse(&entity.arn).map_err(Failure::plain)?;
        // Never believed of another account, whatever client was asked (§9).
        if shown.account != principal.account || shown.partition != principal.partition {
            let text = format!(
                "unable to fetch client for account ID \"{}\" -- default client is for account \"{}\"",
                principal.account, shown.account
            );
            let sentence =
                format!("IAM answered this server for account {}: its operator must look at config/client", shown.account);
            return Err(Failure::named(Code::AccountNotBound, text, sentence));
        }
        Ok(entity)
    }
}

async fn ask(auth: &AwsAuth, principal: &Principal, client: &Client) -> Result<Entity, Failure> {
    let clock = &*auth.deps.clock;
    let aws = &client.aws;
    let name = principal.name.as_str();
    let asking = async {
        match principal.kind {
            Kind::User => aws.get_user(Some(name)).await.map(|user| Entity { arn: user.arn, id: user.id }),
            Kind::Role | Kind::AssumedRole => aws.get_role(name).await,
            Kind::InstanceProfile => aws.get_instance_profile(name).await.map(|profile| profile.profile),
        }
    };
    let asked = timeout(clock, OWN_CALLS, Box::pin(asking)).await;
    let silent = || Err(AwsError::Unknown { text: format!("no answer within {} s", OWN_CALLS.as_secs()) });
    asked.unwrap_or_else(silent).map_err(|error| Failure::of_aws("", &error, &client.iam))
}

fn unresolved(arn: &str, failure: Failure) -> ApiError {
    let failure = failure.within(&format!("unable to resolve ARN \"{arn}\" to internal ID: "));
    match failure.named {
        Some((_, sentence)) => (*failure.error).with_advice(sentence),
        None => *failure.error,
    }
}

/// Between the tries of what may be too new: two more within four seconds.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// How long a key that was written is new.
const FRESH: Duration = Duration::from_mins(1);

const TOO_NEW: &str = "a principal or key that was just made takes some seconds until AWS knows it everywhere: try again then";
