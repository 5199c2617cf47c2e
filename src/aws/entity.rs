//! Roles and instance profiles of IAM, looked at.

use super::connect::Aws;
use super::error::AwsError;

/// A user, role or instance profile as IAM shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// With its path; names partition and account.
    pub arn: String,
    /// Never given to another: `AROA…`, `AIDA…`, `AIPA…`.
    pub id: String,
}

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceProfile {
    /// Itself.
    pub profile: Entity,
    /// ARNs of the roles in it; AWS takes one.
    pub roles: Vec<String>,
}

impl Aws {
    /// A role by its name.
    pub async fn get_role(&self, name: &str) -> Result<Entity, AwsError> {
        let shown = self.repeated("iam:GetRole", || self.iam().get_role().role_name(name).send()).await?;
        let role = shown.role.ok_or_else(|| AwsError::Unknown { text: "iam:GetRole: the answer has no role".to_owned() })?;
        Ok(Entity { arn: role.arn, id: role.role_id })
    }

    /// An instance profile by its name.
    pub async fn get_instance_profile(&self, name: &str) -> Result<InstanceProfile, AwsError> {
        let send = || self.iam().get_instance_profile().instance_profile_name(name).send();
        let shown = self.repeated("iam:GetInstanceProfile", send).await?;
        let missing = || AwsError::Unknown { text: "iam:GetInstanceProfile: the answer has no profile".to_owned() };
        let profile = shown.instance_profile.ok_or_else(missing)?;
        let roles = profile.roles.into_iter().map(|role| role.arn).collect();
        Ok(InstanceProfile { profile: Entity { arn: profile.arn, id: profile.instance_profile_id }, roles })
    }
}
