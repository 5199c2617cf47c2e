//! Roles: who may log in, and what tokens they get (spec `aws-auth-method.md` §10).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::token_fields::TokenFields;
use crate::base::secret::stored_secret;
use crate::base::{Secret, Ttl, random};
use crate::mount::ApiError;

use super::AwsAuth;
use super::failure::Failure;

/// How a login with the role proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthType {
    /// By a signed request.
    #[default]
    Iam,
    /// By an instance identity document.
    Ec2,
}

/// A principal that is bound by name, and who has that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Resolved {
    /// As bound.
    pub(super) arn: String,
    /// `AROA…`, `AIDA…`, `AIPA…`.
    pub(super) id: String,
}

/// The record of a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
pub(super) struct Role {
    /// In lower case.
    #[serde(skip)]
    pub(super) name: String,
    /// The alias of all who log in with it, unless configured otherwise.
    pub(super) role_id: String,
    /// Signs its role tags.
    #[serde(with = "stored_secret")]
    pub(super) hmac_key: Secret<String>,
    /// Fixed when it is created.
    pub(super) auth_type: AuthType,
    /// Images.
    #[serde(default)]
    pub(super) bound_ami_id: Vec<String>,
    /// Accounts.
    #[serde(default)]
    pub(super) bound_account_id: Vec<String>,
    /// Instances.
    #[serde(default)]
    pub(super) bound_ec2_instance_id: Vec<String>,
    /// ARNs of principals; with `*` at the end: all that begin so.
    #[serde(default)]
    pub(super) bound_iam_principal_arn: Vec<String>,
    /// Who the principals without `*` are.
    #[serde(default)]
    pub(super) resolved: Vec<Resolved>,
    /// Roles of instances; `*` at the end as above.
    #[serde(default)]
    pub(super) bound_iam_role_arn: Vec<String>,
    /// Instance profiles; `*` at the end as above.
    #[serde(default)]
    pub(super) bound_iam_instance_profile_arn: Vec<String>,
    /// Regions.
    #[serde(default)]
    pub(super) bound_region: Vec<String>,
    /// Subnets.
    #[serde(default)]
    pub(super) bound_subnet_id: Vec<String>,
    /// Networks.
    #[serde(default)]
    pub(super) bound_vpc_id: Vec<String>,
    /// `ec2_instance`, or empty.
    #[serde(default)]
    pub(super) inferred_entity_type: String,
    /// Where the inferred instance is looked for.
    #[serde(default)]
    pub(super) inferred_aws_region: String,
    /// Principals are who they were when they were bound, not who has their names.
    pub(super) resolve_aws_unique_ids: bool,
    /// Key of the instance tag that holds a role tag; empty: none.
    #[serde(default)]
    pub(super) role_tag: String,
    /// A lost nonce is forgiven to an instance that was started anew.
    #[serde(default)]
    pub(super) allow_instance_migration: bool,
    /// Each instance logs in once.
    #[serde(default)]
    pub(super) disallow_reauthentication: bool,
    /// What its tokens are like.
    #[serde(default)]
    pub(super) token: TokenFields,
    /// What was set through the old names.
    #[serde(default)]
    pub(super) old: OldNames,
}

/// Fields of tokens as far as they were set through their old names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OldNames {
    /// `token_ttl`.
    pub(super) ttl: Ttl,
    /// `token_max_ttl`.
    pub(super) max_ttl: Ttl,
    /// `token_period`.
    pub(super) period: Ttl,
    /// `token_policies`.
    pub(super) policies: Vec<String>,
}

impl AuthType {
    /// As in fields and texts.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Ec2 => "ec2",
        }
    }

    /// Reads it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Iam, Self::Ec2].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Role {
    /// As it is when nothing is supplied.
    pub(super) fn fresh(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role_id: random::uuid(),
            hmac_key: Secret::new(random::uuid()),
            auth_type: AuthType::default(),
            bound_ami_id: Vec::new(),
            bound_account_id: Vec::new(),
            bound_ec2_instance_id: Vec::new(),
            bound_iam_principal_arn: Vec::new(),
            resolved: Vec::new(),
            bound_iam_role_arn: Vec::new(),
            bound_iam_instance_profile_arn: Vec::new(),
            bound_region: Vec::new(),
            bound_subnet_id: Vec::new(),
            bound_vpc_id: Vec::new(),
            inferred_entity_type: String::new(),
            inferred_aws_region: String::new(),
            resolve_aws_unique_ids: true,
            role_tag: String::new(),
            allow_instance_migration: false,
            disallow_reauthentication: false,
            token: TokenFields::default(),
            old: OldNames::default(),
        }
    }

    /// Whether a login with it also names an instance.
    pub(super) fn infers_instance(&self) -> bool {
        self.inferred_entity_type == EC2_INSTANCE
    }

    /// As a read shows it.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = self.token.shown();
        let ids: Vec<&str> = self.resolved.iter().map(|resolved| resolved.id.as_str()).collect();
        let own = json!({
            "auth_type": self.auth_type,
            "bound_ami_id": self.bound_ami_id,
            "bound_account_id": self.bound_account_id,
            "bound_ec2_instance_id": self.bound_ec2_instance_id,
            "bound_iam_principal_arn": self.bound_iam_principal_arn,
            "bound_iam_principal_id": ids,
            "bound_iam_role_arn": self.bound_iam_role_arn,
            "bound_iam_instance_profile_arn": self.bound_iam_instance_profile_arn,
            "bound_region": self.bound_region,
            "bound_subnet_id": self.bound_subnet_id,
            "bound_vpc_id": self.bound_vpc_id,
            "inferred_entity_type": self.inferred_entity_type,
            "inferred_aws_region": self.inferred_aws_region,
            "resolve_aws_unique_ids": self.resolve_aws_unique_ids,
            "role_id": self.role_id,
            "role_tag": self.role_tag,
            "allow_instance_migration": self.allow_instance_migration,
            "disallow_reauthentication": self.disallow_reauthentication,
        });
        if let Value::Object(own) = own {
            shown.extend(own);
        }
        for (name, time) in [("ttl", self.old.ttl), ("max_ttl", self.old.max_ttl), ("period", self.old.period)] {
            if !time.is_zero() {
                shown.insert(name.to_owned(), json!(time));
            }
        }
        if !self.old.policies.is_empty() {
            shown.insert("policies".to_owned(), json!(self.token.policies));
        }
        shown
    }
}

impl AwsAuth {
    /// A role by its name in lower case.
    pub(super) async fn role(&self, name: &str) -> Result<Option<Role>, ApiError> {
        let role = self.view.read::<Role>(&role_key(name)).await?;
        Ok(role.map(|role| Role { name: name.to_owned(), ..role }))
    }

    /// The role of a login.
    pub(super) async fn role_of_login(&self, name: &str, missing: impl FnOnce() -> Failure + Send) -> Result<Role, Failure> {
        // A name that is no name of a role is none that is stored.
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains('/') {
            return Err(missing());
        }
        self.role(name).await?.ok_or_else(missing)
    }
}

/// Where a role lies; also whose turn its changes take.
pub(super) fn role_key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// Where they are.
pub(super) const ROLES: &str = "role/";

/// The one kind of thing that is inferred.
pub(super) const EC2_INSTANCE: &str = "ec2_instance";

/// Bytes; longer ones are not stored.
pub(super) const LONGEST_NAME: usize = 4096;
