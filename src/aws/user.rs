//! IAM users: made, looked at, deleted.

use std::time::Duration;

use aws_sdk_iam::types::{EntityType, Tag, UserDetail};

use crate::base::Timestamp;

use super::call::{PAGE, next};
use super::connect::Aws;
use super::error::AwsError;

/// A user to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewUser {
    /// Unique in the account without regard to case.
    pub name: String,
    /// `/` or `/…/`.
    pub path: String,
    /// ARN of a policy that bounds what the user may do.
    pub boundary: Option<String>,
    /// Key and value.
    pub tags: Vec<(String, String)>,
}

/// A user as IAM shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As it was spelt when it was made.
    pub name: String,
    /// Never given to another user: `AIDA…`.
    pub id: String,
    /// Names partition and account.
    pub arn: String,
    /// `/` or `/…/`.
    pub path: String,
    /// By AWS's clock.
    pub created: Timestamp,
    /// Key and value.
    pub tags: Vec<(String, String)>,
}

impl Aws {
    /// Makes a user. Sent at most once, unless AWS refused it as too much, and not when `Clock::elapsed` is past `not_after`.
    pub async fn create_user(&self, user: &NewUser, not_after: Duration) -> Result<User, AwsError> {
        let tags = tags(&user.tags)?;
        let send = || {
            let call = self.iam().create_user().user_name(&user.name).path(&user.path);
            let call = call.set_permissions_boundary(user.boundary.clone());
            let call = if tags.is_empty() { call } else { call.set_tags(Some(tags.clone())) };
            call.customize().config_override(self.creating(not_after)).send()
        };
        let made = self.let_through("iam:CreateUser", send).await?;
        made.user.map(User::from).ok_or_else(|| AwsError::Unknown { text: "iam:CreateUser: the answer has no user".to_owned() })
    }

    /// A user by name; by none, the one whose credentials these are.
    pub async fn get_user(&self, name: Option<&str>) -> Result<User, AwsError> {
        let send = || self.iam().get_user().set_user_name(name.map(str::to_owned)).send();
        let shown = self.repeated("iam:GetUser", send).await?;
        shown.user.map(User::from).ok_or_else(|| AwsError::Unknown { text: "iam:GetUser: the answer has no user".to_owned() })
    }

    /// Deletes a user that has nothing any more.
    ///
    /// # Errors
    /// `DeleteConflict` while anything hangs on it.
    pub async fn delete_user(&self, name: &str) -> Result<(), AwsError> {
        self.repeated("iam:DeleteUser", || self.iam().delete_user().user_name(name).send()).await.map(drop)
    }

    /// All users of the account with their tags, which `ListUsers` does not show.
    pub async fn all_users(&self) -> Result<Vec<User>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().get_account_authorization_details().filter(EntityType::User).max_items(PAGE);
            let page = Box::pin(call.set_marker(marker).send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.user_detail_list.unwrap_or_default().into_iter().map(User::from).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::get_account_authorization_details::GetAccountAuthorizationDetailsError, _, _>(
            "iam:GetAccountAuthorizationDetails",
            page,
        )
        .await
    }
}

fn tags(pairs: &[(String, String)]) -> Result<Vec<Tag>, AwsError> {
    let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
    pairs.iter().map(tag).collect::<Result<_, _>>().map_err(|error| AwsError::setting(error.to_string()))
}

fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

fn time(time: aws_smithy_types::DateTime) -> Timestamp {
    Timestamp::from_seconds(u64::try_from(time.secs()).unwrap_or(0))
}

impl From<aws_sdk_iam::types::User> for User {
    fn from(user: aws_sdk_iam::types::User) -> Self {
        Self {
            created: time(user.create_date),
            name: user.user_name,
            id: user.user_id,
            arn: user.arn,
            path: user.path,
            tags: pairs(user.tags.unwrap_or_default()),
        }
    }
}

impl From<UserDetail> for User {
    fn from(user: UserDetail) -> Self {
        Self {
            created: user.create_date.map(time).unwrap_or_default(),
            name: user.user_name.unwrap_or_default(),
            id: user.user_id.unwrap_or_default(),
            arn: user.arn.unwrap_or_default(),
            path: user.path.unwrap_or_default(),
            tags: pairs(user.tags.unwrap_or_default()),
        }
    }
}
