//! How a role is written: fields of a request over what is stored, and the old form (`aws-secrets-engine.md` §7.2, §7.4).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::Arn;
use crate::base::Ttl;
use crate::mount::ApiError;
use crate::mount::field::{CommaList, Pairs, Text, keep};

use super::document::compact;
use super::role::{CredentialType, Role};
use super::role_rules::check;
use super::words::{all_of, quoted};

/// Body of `POST roles/{name}`; absent fields keep their value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RoleInput {
    /// Name of the role.
    pub(super) name: String,
    /// `iam_user`, `assumed_role`, `federation_token` or `session_token`.
    credential_type: Option<Text>,
    /// ARNs of the roles that may be assumed.
    role_arns: Option<CommaList>,
    /// Managed policies: attached to users, a filter for sessions.
    policy_arns: Option<CommaList>,
    /// JSON policy document: inline for users, a filter for sessions.
    policy_document: Option<Text>,
    /// Groups that users are added to; their policies become a filter for sessions.
    iam_groups: Option<CommaList>,
    /// Tags of users.
    iam_tags: Option<Pairs>,
    /// Tags of assumed sessions.
    session_tags: Option<Pairs>,
    /// External id for assuming roles.
    external_id: Option<Text>,
    /// Life of sessions when the caller asks for none.
    default_sts_ttl: Option<Ttl>,
    /// Longest life of sessions.
    max_sts_ttl: Option<Ttl>,
    /// ARN of a policy that bounds users.
    permissions_boundary_arn: Option<Text>,
    /// IAM path of users.
    user_path: Option<Text>,
    /// Second factor of session tokens.
    mfa_serial_number: Option<Text>,
    /// Old form: a policy document or an ARN. Use `policy_document` or `policy_arns`.
    policy: Option<Text>,
    /// Old form: the ARN of a policy or a role. Use `policy_arns` or `role_arns`.
    arn: Option<Text>,
}

/// A role as it is to be stored, and what to say about that.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) role: Role,
    pub(super) warnings: Vec<String>,
}

impl RoleInput {
    /// What this request makes of what is stored.
    ///
    /// # Errors
    /// 400 with all mistakes.
    pub(super) fn over(self, stored: Option<Role>) -> Result<Written, ApiError> {
        let mut warnings = Vec::new();
        let (role, mut mistakes) = match self.old_form()? {
            Some(value) => {
                self.refuse_beside_old_form()?;
                warnings.push(OLD_FORM.to_owned());
                (from_old_form(&value)?, Vec::new())
            }
            None => self.merged(stored.unwrap_or_default())?,
        };
        if !role.prohibit_flexible_cred_path {
            mistakes.extend(check(&role, mistakes.is_empty()));
        }
        if mistakes.is_empty() {
            return Ok(Written { role, warnings });
        }
        Err(ApiError::invalid(format!("error(s) validating supplied role data: {}", quoted(&all_of(&mistakes)))))
    }

    fn merged(self, mut role: Role) -> Result<(Role, Vec<String>), ApiError> {
        let mut mistakes = Vec::new();
        role.prohibit_flexible_cred_path = false;
        if let Some(Text(text)) = self.credential_type {
            match CredentialType::parse(&text) {
                Some(kind) => role.credential_types = vec![kind],
                None => mistakes.push(format!("unrecognized credential type: {text}")),
            }
        }
        if let Some(Text(text)) = self.policy_document {
            role.policy_document = if text.is_empty() {
                text
            } else {
                let bad = || ApiError::invalid(format!("cannot parse policy document: {}", quoted(&text)));
                compact(&text).ok_or_else(bad)?
            };
        }
        keep(&mut role.role_arns, self.role_arns.map(|list| Some(list.0)));
        keep(&mut role.policy_arns, self.policy_arns.map(|list| Some(list.0)));
        keep(&mut role.iam_groups, self.iam_groups.map(|list| Some(list.0)));
        keep(&mut role.iam_tags, self.iam_tags.map(|pairs| Some(pairs.0)));
        keep(&mut role.session_tags, self.session_tags.map(|pairs| Some(pairs.0)));
        keep(&mut role.external_id, self.external_id.map(|text| text.0));
        keep(&mut role.default_sts_ttl, self.default_sts_ttl);
        keep(&mut role.max_sts_ttl, self.max_sts_ttl);
        keep(&mut role.permissions_boundary_arn, self.permissions_boundary_arn.map(|text| text.0));
        keep(&mut role.user_path, self.user_path.map(|text| text.0));
        keep(&mut role.mfa_serial_number, self.mfa_serial_number.map(|text| text.0));
        Ok((role, mistakes))
    }

    /// What the old parameters hold, if one is used.
    fn old_form(&self) -> Result<Option<String>, ApiError> {
        let given = |field: &Option<Text>| field.as_ref().map(|text| text.0.clone()).filter(|text| !text.is_empty());
        match (given(&self.policy), given(&self.arn)) {
            (Some(_), Some(_)) => Err(ApiError::invalid("only one of policy or arn should be provided")),
            (policy, arn) => Ok(policy.or(arn)),
        }
    }

    fn refuse_beside_old_form(&self) -> Result<(), ApiError> {
        let beside = [
            ("an explicit credential_type", self.credential_type.is_some()),
            ("role_arns", self.role_arns.is_some()),
            ("policy_arns", self.policy_arns.is_some()),
            ("policy_document", self.policy_document.is_some()),
            ("default_sts_ttl", self.default_sts_ttl.is_some()),
            ("max_sts_ttl", self.max_sts_ttl.is_some()),
            ("user_path", self.user_path.is_some()),
            ("permissions_boundary_arn", self.permissions_boundary_arn.is_some()),
        ];
        match beside.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(ApiError::invalid(format!("cannot supply deprecated role or policy parameters with {name}"))),
            None => Ok(()),
        }
    }
}

/// The whole entry is made anew.
fn from_old_form(value: &str) -> Result<Role, ApiError> {
    let bad = || ApiError::invalid(format!("unable to parse supplied data: {}", quoted(value)));
    let role = Role { prohibit_flexible_cred_path: true, ..Role::default() };
    if value.starts_with("arn:") {
        let arn = Arn::parse(value).map_err(|_| bad())?;
        if arn.resource.starts_with("role/") {
            let (types, arns) = (vec![CredentialType::AssumedRole], Some(vec![value.to_owned()]));
            return Ok(Role { credential_types: types, role_arns: arns, ..role });
        }
        if arn.resource.starts_with("policy/") {
            let (types, arns) = (vec![CredentialType::IamUser], Some(vec![value.to_owned()]));
            return Ok(Role { credential_types: types, policy_arns: arns, ..role });
        }
        return Err(bad());
    }
    let policy_document = compact(value).ok_or_else(bad)?;
    Ok(Role { credential_types: vec![CredentialType::IamUser, CredentialType::FederationToken], policy_document, ..role })
}

const OLD_FORM: &str = "Detected use of legacy role or policy parameter. Please upgrade to use the new parameters.";

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
