//! Policies of IAM users: attached and inline.

use super::call::{PAGE, next};
use super::connect::Aws;
use super::error::AwsError;

/// A policy written into a user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    /// Its name there.
    pub name: String,
    /// Its text, as JSON.
    pub document: String,
}

impl Aws {
    /// Attaches a managed policy.
    pub async fn attach_user_policy(&self, user: &str, arn: &str) -> Result<(), AwsError> {
        let send = || self.iam().attach_user_policy().user_name(user).policy_arn(arn).send();
        self.repeated("iam:AttachUserPolicy", send).await.map(drop)
    }

    /// Detaches a managed policy.
    pub async fn detach_user_policy(&self, user: &str, arn: &str) -> Result<(), AwsError> {
        let send = || self.iam().detach_user_policy().user_name(user).policy_arn(arn).send();
        self.repeated("iam:DetachUserPolicy", send).await.map(drop)
    }

    /// ARNs of the managed policies attached to a user.
    pub async fn attached_user_policies(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_attached_user_policies().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.attached_policies.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_attached_user_policies::ListAttachedUserPoliciesError, _, _>(
            "iam:ListAttachedUserPolicies",
            page,
        )
        .await
    }

    /// Writes an inline policy into a user.
    pub async fn put_user_policy(&self, user: &str, policy: &Inline) -> Result<(), AwsError> {
        let send = || {
            let call = self.iam().put_user_policy().user_name(user);
            call.policy_name(&policy.name).policy_document(&policy.document).send()
        };
        self.repeated("iam:PutUserPolicy", send).await.map(drop)
    }

    /// Removes an inline policy.
    pub async fn delete_user_policy(&self, user: &str, name: &str) -> Result<(), AwsError> {
        let send = || self.iam().delete_user_policy().user_name(user).policy_name(name).send();
        self.repeated("iam:DeleteUserPolicy", send).await.map(drop)
    }

    /// Names of the inline policies of a user.
    pub async fn user_policies(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_user_policies().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.policy_names, next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_user_policies::ListUserPoliciesError, _, _>("iam:ListUserPolicies", page)
            .await
    }
}
