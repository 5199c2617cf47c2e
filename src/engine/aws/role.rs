//! A role: how credentials are made (`aws-secrets-engine.md` §7).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::Ttl;

/// What a role makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CredentialType {
    /// An IAM user with an access key; revoked by deleting the user.
    IamUser,
    /// `sts:AssumeRole`.
    AssumedRole,
    /// `sts:GetFederationToken`.
    FederationToken,
    /// `sts:GetSessionToken`.
    SessionToken,
}

impl CredentialType {
    pub(super) const ALL: [Self; 4] = [Self::IamUser, Self::AssumedRole, Self::FederationToken, Self::SessionToken];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::IamUser => "iam_user",
            Self::AssumedRole => "assumed_role",
            Self::FederationToken => "federation_token",
            Self::SessionToken => "session_token",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for CredentialType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the API's words")]
pub(super) struct Role {
    /// One; two of a role written in the old form with a document.
    pub(super) credential_types: Vec<CredentialType>,
    pub(super) policy_arns: Option<Vec<String>>,
    pub(super) role_arns: Option<Vec<String>>,
    /// Without blanks; empty: none.
    pub(super) policy_document: String,
    pub(super) iam_groups: Option<Vec<String>>,
    pub(super) iam_tags: Option<BTreeMap<String, String>>,
    pub(super) session_tags: Option<BTreeMap<String, String>>,
    pub(super) external_id: String,
    /// Written in the old form: each type on its own path only (§9.3).
    pub(super) prohibit_flexible_cred_path: bool,
    pub(super) default_sts_ttl: Ttl,
    pub(super) max_sts_ttl: Ttl,
    pub(super) user_path: String,
    pub(super) permissions_boundary_arn: String,
    pub(super) mfa_serial_number: String,
}

impl Role {
    /// As a read shows it.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let types: Vec<&str> = self.credential_types.iter().map(|kind| kind.as_str()).collect();
        let shown = json!({
            "credential_type": types.join(","),
            "role_arns": self.role_arns,
            "policy_arns": self.policy_arns,
            "policy_document": self.policy_document,
            "iam_groups": self.iam_groups,
            "iam_tags": self.iam_tags,
            "session_tags": self.session_tags,
            "external_id": self.external_id,
            "default_sts_ttl": self.default_sts_ttl,
            "max_sts_ttl": self.max_sts_ttl,
            "user_path": self.user_path,
            "permissions_boundary_arn": self.permissions_boundary_arn,
            "mfa_serial_number": self.mfa_serial_number,
        });
        match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// The path of its users.
    pub(super) fn path(&self) -> &str {
        if self.user_path.is_empty() { "/" } else { &self.user_path }
    }

    pub(super) fn policy_arns(&self) -> &[String] {
        self.policy_arns.as_deref().unwrap_or_default()
    }

    pub(super) fn role_arns(&self) -> &[String] {
        self.role_arns.as_deref().unwrap_or_default()
    }

    pub(super) fn iam_groups(&self) -> &[String] {
        self.iam_groups.as_deref().unwrap_or_default()
    }
}

/// Where the role of a name is.
pub(super) fn key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// All roles.
pub(super) const ROLES: &str = "role/";
