//! Groups: who is in them, and what they allow.

use percent_encoding::percent_decode_str;

use super::call::{PAGE, next};
use super::connect::Aws;
use super::error::AwsError;
use super::policy::Inline;

impl Aws {
    /// Adds a user to a group.
    pub async fn add_user_to_group(&self, user: &str, group: &str) -> Result<(), AwsError> {
        let send = || self.iam().add_user_to_group().user_name(user).group_name(group).send();
        self.repeated("iam:AddUserToGroup", send).await.map(drop)
    }

    /// Takes a user out of a group.
    pub async fn remove_user_from_group(&self, user: &str, group: &str) -> Result<(), AwsError> {
        let send = || self.iam().remove_user_from_group().user_name(user).group_name(group).send();
        self.repeated("iam:RemoveUserFromGroup", send).await.map(drop)
    }

    /// Names of the groups a user is in.
    pub async fn groups_of_user(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_groups_for_user().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.groups.into_iter().map(|group| group.group_name).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_groups_for_user::ListGroupsForUserError, _, _>("iam:ListGroupsForUser", page)
            .await
    }

    /// ARNs of the managed policies attached to a group.
    pub async fn attached_group_policies(&self, group: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_attached_group_policies().group_name(group).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.attached_policies.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_attached_group_policies::ListAttachedGroupPoliciesError, _, _>(
            "iam:ListAttachedGroupPolicies",
            page,
        )
        .await
    }

    /// The inline policies of a group.
    pub async fn group_policies(&self, group: &str) -> Result<Vec<Inline>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_group_policies().group_name(group).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.policy_names, next))
        };
        let names = self
            .pages::<_, aws_sdk_iam::operation::list_group_policies::ListGroupPoliciesError, _, _>("iam:ListGroupPolicies", page)
            .await?;
        let mut policies = Vec::with_capacity(names.len());
        for name in names {
            let send = || self.iam().get_group_policy().group_name(group).policy_name(&name).send();
            let shown = self.repeated("iam:GetGroupPolicy", send).await?;
            // IAM hands documents out percent-encoded.
            let document = percent_decode_str(&shown.policy_document).decode_utf8();
            let document = document.map_err(|error| AwsError::Unknown { text: format!("policy {name} of {group}: {error}") })?;
            policies.push(Inline { document: document.into_owned(), name });
        }
        Ok(policies)
    }
}
