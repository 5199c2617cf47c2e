//! STS: who we are, and credentials that end by themselves.

use aws_sdk_sts::types::{Credentials, PolicyDescriptorType, Tag};

use crate::base::{Secret, Timestamp, Ttl};

use super::arn::Arn;
use super::connect::Aws;
use super::error::{AwsError, Unsent};

/// Whose credentials ours are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// Of the user, role session or root.
    pub arn: String,
    /// Its unique id.
    pub user_id: String,
}

/// Credentials that end by themselves.
#[derive(Clone, Debug)]
pub struct Session {
    /// `ASIA…`.
    pub access_key: String,
    /// What signs.
    pub secret_key: Secret<String>,
    /// Goes along with each request.
    pub token: Secret<String>,
    /// When they end, by AWS's clock.
    pub ends: Timestamp,
}

/// What `AssumeRole` is asked for. Empty texts and lists are not sent.
#[derive(Clone, Debug, Default)]
pub struct AssumeRole {
    /// The role.
    pub role_arn: String,
    /// Names the session in the caller's ARN.
    pub session_name: String,
    /// How long the credentials are to live.
    pub ttl: Ttl,
    /// A policy that narrows them.
    pub policy: String,
    /// Managed policies that narrow them.
    pub policy_arns: Vec<String>,
    /// Session tags.
    pub tags: Vec<(String, String)>,
    /// What the role's trust policy may ask for.
    pub external_id: String,
}

/// What `GetFederationToken` is asked for. Empty texts and lists are not sent.
#[derive(Clone, Debug, Default)]
pub struct Federate {
    /// Names the federated user, at most 32 characters.
    pub name: String,
    /// How long the credentials are to live.
    pub ttl: Ttl,
    /// A policy that narrows them.
    pub policy: String,
    /// Managed policies that narrow them.
    pub policy_arns: Vec<String>,
}

/// What `AssumeRole` gives.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// The credentials.
    pub session: Session,
    /// `arn:aws:sts::…:assumed-role/R/session`.
    pub arn: String,
}

/// An STS that may answer.
pub(super) struct Candidate {
    client: aws_sdk_sts::Client,
}

impl Candidate {
    pub(super) fn new(client: aws_sdk_sts::Client) -> Self {
        Self { client }
    }
}

impl Aws {
    /// Whose credentials ours are; asked once, of each STS that is configured in turn, until one answers.
    ///
    /// # Errors
    /// What the last one said.
    pub async fn identity(&self) -> Result<&Identity, AwsError> {
        self.answering().await.map(|(_, identity)| identity)
    }

    /// The same, asked now. An STS that cannot be reached is passed over.
    ///
    /// # Errors
    /// What the first one said that was reached; [`Unsent::Connection`](super::Unsent::Connection) when none was.
    pub async fn ask_identity(&self) -> Result<Identity, AwsError> {
        let mut last = AwsError::setting("could not obtain sts client");
        for candidate in self.sts() {
            let asked = self.repeated("sts:GetCallerIdentity", || candidate.client.get_caller_identity().send()).await;
            match asked.and_then(identity) {
                Err(error @ AwsError::Unsent { why: Unsent::Connection, .. }) => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// What is known of that without asking.
    pub fn known_identity(&self) -> Option<&Identity> {
        self.chosen().get().map(|(_, identity)| identity)
    }

    /// Credentials of another role.
    pub async fn assume_role(&self, wish: &AssumeRole) -> Result<Assumed, AwsError> {
        let (sts, _) = self.answering().await?;
        let (tags, arns) = (tags(&wish.tags)?, descriptors(&wish.policy_arns));
        let send = || {
            let call = sts.assume_role().role_arn(&wish.role_arn).role_session_name(&wish.session_name);
            let call = call.duration_seconds(seconds(wish.ttl)).set_policy(set(&wish.policy)).set_policy_arns(arns.clone());
            call.set_tags(tags.clone()).set_external_id(set(&wish.external_id)).send()
        };
        let given = self.repeated("sts:AssumeRole", send).await?;
        let arn = given.assumed_role_user.map(|user| user.arn).unwrap_or_default();
        Ok(Assumed { session: session("sts:AssumeRole", given.credentials)?, arn })
    }

    /// Credentials of ours, narrowed.
    pub async fn federation_token(&self, wish: &Federate) -> Result<Session, AwsError> {
        let (sts, _) = self.answering().await?;
        let arns = descriptors(&wish.policy_arns);
        let send = || {
            let call = sts.get_federation_token().name(&wish.name).duration_seconds(seconds(wish.ttl));
            call.set_policy(set(&wish.policy)).set_policy_arns(arns.clone()).send()
        };
        let given = self.repeated("sts:GetFederationToken", send).await?;
        session("sts:GetFederationToken", given.credentials)
    }

    /// Credentials of ours, with a second factor where `serial` and `code` are not empty. A code counts once, so this is
    /// repeated only where there is none.
    pub async fn session_token(&self, ttl: Ttl, serial: &str, code: &Secret<String>) -> Result<Session, AwsError> {
        let (sts, _) = self.answering().await?;
        let send = || {
            let call = sts.get_session_token().duration_seconds(seconds(ttl)).set_serial_number(set(serial));
            call.set_token_code(set(code.expose())).send()
        };
        let action = "sts:GetSessionToken";
        let given = if code.expose().is_empty() { self.repeated(action, send).await? } else { self.once(action, send).await? };
        session(action, given.credentials)
    }

    async fn answering(&self) -> Result<(&aws_sdk_sts::Client, &Identity), AwsError> {
        let (place, identity) = self.chosen().get_or_try_init(|| self.first_that_answers()).await?;
        let candidate = self.sts().get(*place).ok_or_else(|| AwsError::setting("could not obtain sts client"))?;
        Ok((&candidate.client, identity))
    }

    async fn first_that_answers(&self) -> Result<(usize, Identity), AwsError> {
        let mut last = AwsError::setting("could not obtain sts client");
        for (place, candidate) in self.sts().iter().enumerate() {
            let asked = self.repeated("sts:GetCallerIdentity", || candidate.client.get_caller_identity().send()).await;
            match asked.and_then(identity) {
                Ok(identity) => {
                    self.belongs_to(&identity.partition, &identity.account);
                    return Ok((place, identity));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn identity(answer: aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput) -> Result<Identity, AwsError> {
    let arn = answer.arn.unwrap_or_default();
    let partition = Arn::parse(&arn).map_or("aws", |arn| arn.partition).to_owned();
    match answer.account {
        Some(account) if !account.is_empty() => {
            Ok(Identity { account, partition, arn, user_id: answer.user_id.unwrap_or_default() })
        }
        _ => Err(AwsError::Unknown { text: "sts:GetCallerIdentity: the answer names no account".to_owned() }),
    }
}

fn session(action: &str, given: Option<Credentials>) -> Result<Session, AwsError> {
    let given = given.ok_or_else(|| AwsError::Unknown { text: format!("{action}: the answer has no credentials") })?;
    Ok(Session {
        ends: Timestamp::from_seconds(u64::try_from(given.expiration.secs()).unwrap_or(0)),
        access_key: given.access_key_id,
        secret_key: Secret::new(given.secret_access_key),
        token: Secret::new(given.session_token),
    })
}

fn tags(pairs: &[(String, String)]) -> Result<Option<Vec<Tag>>, AwsError> {
    if pairs.is_empty() {
        return Ok(None);
    }
    let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
    pairs.iter().map(tag).collect::<Result<_, _>>().map(Some).map_err(|error| AwsError::setting(error.to_string()))
}

fn descriptors(arns: &[String]) -> Option<Vec<PolicyDescriptorType>> {
    let all: Vec<_> = arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build()).collect();
    Some(all).filter(|all| !all.is_empty())
}

fn set(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn seconds(ttl: Ttl) -> i32 {
    i32::try_from(ttl.as_seconds()).unwrap_or(i32::MAX)
}
