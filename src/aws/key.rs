//! Access keys of IAM users.

use std::time::Duration;

use crate::base::{Secret, Timestamp};

use super::call::{PAGE, next};
use super::connect::Aws;
use super::error::AwsError;

/// A new access key; its secret is shown this once.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// `AKIA…`.
    pub id: String,
    /// What signs.
    pub secret: Secret<String>,
}

/// A key as IAM lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyListed {
    /// `AKIA…`.
    pub id: String,
    /// By AWS's clock.
    pub created: Option<Timestamp>,
}

impl Aws {
    /// Makes an access key. Sent at most once, unless AWS refused it as too much, and not when `Clock::elapsed` is past `not_after`.
    pub async fn create_access_key(&self, user: &str, not_after: Duration) -> Result<KeyPair, AwsError> {
        let send = || self.iam().create_access_key().user_name(user).customize().config_override(self.creating(not_after)).send();
        let made = self.let_through("iam:CreateAccessKey", send).await?;
        let key = made.access_key.filter(|key| !key.access_key_id.is_empty() && !key.secret_access_key.is_empty());
        let key = key.ok_or_else(|| AwsError::Unknown { text: "iam:CreateAccessKey: the answer has no key".to_owned() })?;
        Ok(KeyPair { id: key.access_key_id, secret: Secret::new(key.secret_access_key) })
    }

    /// The keys of a user, active or not.
    pub async fn access_keys(&self, user: &str) -> Result<Vec<KeyListed>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_access_keys().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.access_key_metadata.into_iter().filter_map(listed).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_access_keys::ListAccessKeysError, _, _>("iam:ListAccessKeys", page).await
    }

    /// When a key was last used, as far as AWS has noted it; none: never.
    pub async fn access_key_last_used(&self, id: &str) -> Result<Option<Timestamp>, AwsError> {
        let send = || self.iam().get_access_key_last_used().access_key_id(id).send();
        let shown = self.repeated("iam:GetAccessKeyLastUsed", send).await?;
        let used = shown.access_key_last_used.and_then(|used| used.last_used_date);
        Ok(used.map(|date| Timestamp::from_seconds(u64::try_from(date.secs()).unwrap_or(0))))
    }

    /// Deletes an access key: it signs nothing any more.
    pub async fn delete_access_key(&self, user: &str, id: &str) -> Result<(), AwsError> {
        let send = || self.iam().delete_access_key().user_name(user).access_key_id(id).send();
        self.repeated("iam:DeleteAccessKey", send).await.map(drop)
    }
}

fn listed(key: aws_sdk_iam::types::AccessKeyMetadata) -> Option<KeyListed> {
    let created = key.create_date.map(|date| Timestamp::from_seconds(u64::try_from(date.secs()).unwrap_or(0)));
    Some(KeyListed { id: key.access_key_id?, created })
}
