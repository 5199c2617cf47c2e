//! A short look at new credentials: it warns of what AWS itself said, and refuses nothing (`aws-secrets-engine.md` §21.9).

use std::time::Duration;

use serde::Serialize;

use crate::aws::{Arn, AwsError, Identity};
use crate::base::time::{rfc3339_nano, timeout};
use crate::lease::Leases;

use super::AwsSecrets;
use super::connection::{Account, Connection};
use super::user::IamUser;

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Preflight {
    /// When, as RFC 3339.
    checked_at: Option<String>,
    /// Actions that are denied.
    missing: Vec<String>,
    /// What could not be asked, and why.
    unchecked: Vec<String>,
    #[serde(skip)]
    warnings: Vec<String>,
}

impl AwsSecrets {
    /// Looks at the credentials as just written. `before`: the account of the former ones, where it was known.
    pub(super) async fn look(&self, leases: &Leases, before: Option<Account>, has_keys: bool) -> Vec<String> {
        let clock = &self.deps.clock;
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                // Nobody to remember it: it is told again at the first use.
                tracing::info!(error = %error, "the new credentials cannot be looked at");
                return Vec::new();
            }
        };
        if !has_keys {
            // The machine's own are asked for when they are needed.
            connection.looked_at(Preflight { unchecked: vec![NO_KEY.to_owned()], ..Preflight::default() });
            return Vec::new();
        }
        let mut preflight = match timeout(&**clock, LOOK, Box::pin(looked(&connection, leases, before))).await {
            Some(preflight) => preflight,
            None => Preflight { unchecked: vec![format!("no answer within {} s", LOOK.as_secs())], ..Preflight::default() },
        };
        preflight.checked_at = Some(rfc3339_nano(clock.precise()));
        let warnings = std::mem::take(&mut preflight.warnings);
        connection.looked_at(preflight);
        warnings
    }
}

async fn looked(connection: &Connection, leases: &Leases, before: Option<Account>) -> Preflight {
    let mut found = Preflight::default();
    match connection.aws.identity().await {
        Ok(identity) => {
            let now = connection.account().await;
            let is_other = |account: &Account| now.as_ref().is_some_and(|now| now != account);
            let other = match before.filter(is_other) {
                None => lent_in(leases).await.into_iter().find(is_other),
                other => other,
            };
            if let Some(other) = other {
                found.warnings.push(format!(
                    "leases of this mount belong to account {} and can only be revoked with credentials of that account",
                    other.id
                ));
            }
            simulated(connection, identity, &mut found).await;
        }
        // AWS itself says that these are no credentials.
        Err(error @ AwsError::Refused(_)) if error.is_of_account() && !error.is_throttled() => {
            found.warnings.push(format!("AWS refuses the credentials: {error}"));
        }
        Err(error) => found.unchecked.push(format!("sts:GetCallerIdentity: {error}")),
    }
    found
}

/// The accounts of leases; of many a few tell.
async fn lent_in(leases: &Leases) -> Vec<Account> {
    let some = leases.first(A_FEW).await.unwrap_or_default();
    some.iter().filter_map(|lease| lease.what::<IamUser>().ok()?.account).collect()
}

/// Only a user can be simulated.
async fn simulated(connection: &Connection, identity: &Identity, found: &mut Preflight) {
    let is_user = Arn::parse(&identity.arn).is_ok_and(|arn| arn.service == "iam" && arn.resource.starts_with("user/"));
    if !is_user {
        found.unchecked.push(format!("iam:SimulatePrincipalPolicy: {} is no IAM user", identity.arn));
        return;
    }
    let resource = format!("arn:{}:iam::{}:user/vault-probe", identity.partition, identity.account);
    let actions: Vec<&str> = NEEDED.iter().map(|(action, _)| *action).collect();
    match connection.aws.denied_actions(&identity.arn, &actions, &resource).await {
        Ok(denied) => {
            for (action, feature) in NEEDED.iter().filter(|(action, _)| denied.iter().any(|denied| denied == action)) {
                found.warnings.push(format!("credentials lack {action} on {resource}, needed for {feature}"));
                found.missing.push((*action).to_owned());
            }
        }
        Err(error) => found.unchecked.push(format!("iam:SimulatePrincipalPolicy: {error}")),
    }
}

/// What is done to our users, and for what (§16). Actions on groups are not among them: which groups is not known.
const NEEDED: &[(&str, &str)] = &[
    ("iam:CreateUser", "iam_user"),
    ("iam:GetUser", "iam_user"),
    ("iam:DeleteUser", "iam_user"),
    ("iam:CreateAccessKey", "iam_user"),
    ("iam:ListAccessKeys", "iam_user"),
    ("iam:DeleteAccessKey", "iam_user"),
    ("iam:AttachUserPolicy", "iam_user"),
    ("iam:ListAttachedUserPolicies", "iam_user"),
    ("iam:DetachUserPolicy", "iam_user"),
    ("iam:PutUserPolicy", "iam_user"),
    ("iam:ListUserPolicies", "iam_user"),
    ("iam:DeleteUserPolicy", "iam_user"),
    ("iam:ListGroupsForUser", "iam_user"),
    ("iam:TagUser", "birth marks"),
];

/// Leases that are asked for their account.
const A_FEW: usize = 100;

const NO_KEY: &str = "credentials: no key is configured, those of the machine are used";

/// For the whole look.
const LOOK: Duration = Duration::from_secs(1);
