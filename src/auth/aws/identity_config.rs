//! `config/identity`: by which name a login is known to the identity store, and what is told of it
//! (spec `aws-auth-method.md` §5).

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mount::field::{CommaList, Text};
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};

use super::AwsAuth;

/// The record, and what a read shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct IdentityConfig {
    /// `role_id`, `unique_id`, `full_arn` or `canonical_arn`.
    pub(super) iam_alias: String,
    /// In order.
    pub(super) iam_metadata: Vec<String>,
    /// `role_id`, `instance_id` or `image_id`.
    pub(super) ec2_alias: String,
    /// In order.
    pub(super) ec2_metadata: Vec<String>,
}

#[expect(clippy::doc_markdown, reason = "shown to people as help")]
#[derive(Debug, Deserialize, JsonSchema)]
struct IdentityInput {
    /// By which name iam logins are known: role_id, unique_id, full_arn or canonical_arn. Default: role_id.
    iam_alias: Option<Text>,
    /// What is told of iam logins. Default: account_id, auth_type.
    iam_metadata: Option<CommaList>,
    /// By which name ec2 logins are known: role_id, instance_id or image_id. Default: role_id.
    ec2_alias: Option<Text>,
    /// What is told of ec2 logins. Default: account_id, auth_type.
    ec2_metadata: Option<CommaList>,
}

/// Declares the endpoint.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table
        .at("config/identity", "By which name logins are known to the identity store, and what is told of them.")
        .read(AwsAuth::read_identity)
        .update(AwsAuth::write_identity);
}

impl AwsAuth {
    async fn read_identity(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Reply::object(&self.identity_config().await?)
    }

    async fn write_identity(self: Arc<Self>, _: Ctx, input: IdentityInput) -> Result<Reply, ApiError> {
        let _turn = self.turn(IDENTITY).await;
        let config = input.over(self.identity_config().await?)?;
        self.view.put(IDENTITY, &config).await?;
        Ok(Reply::empty())
    }

    /// What is configured, or the defaults.
    pub(super) async fn identity_config(&self) -> Result<IdentityConfig, ApiError> {
        Ok(self.view.read(IDENTITY).await?.unwrap_or_default())
    }
}

impl Default for IdentityConfig {
    fn default() -> Self {
        let metadata = || DEFAULT_METADATA.map(str::to_owned).to_vec();
        Self { iam_alias: ROLE_ID.to_owned(), iam_metadata: metadata(), ec2_alias: ROLE_ID.to_owned(), ec2_metadata: metadata() }
    }
}

impl IdentityInput {
    fn over(self, mut config: IdentityConfig) -> Result<IdentityConfig, ApiError> {
        if let Some(alias) = self.iam_alias {
            config.iam_alias = checked_alias("iam_alias", alias.0, IAM_ALIASES)?;
        }
        if let Some(alias) = self.ec2_alias {
            config.ec2_alias = checked_alias("ec2_alias", alias.0, EC2_ALIASES)?;
        }
        if let Some(names) = self.iam_metadata {
            config.iam_metadata = checked_metadata(names.0, IAM_METADATA)?;
        }
        if let Some(names) = self.ec2_metadata {
            config.ec2_metadata = checked_metadata(names.0, EC2_METADATA)?;
        }
        Ok(config)
    }
}

/// Those of `known` that are wanted, without empty ones.
pub(super) fn chosen(wanted: &[String], known: &BTreeMap<&'static str, String>) -> BTreeMap<String, String> {
    let known = |name: &String| known.get(name.as_str()).filter(|value| !value.is_empty()).cloned();
    wanted.iter().filter_map(|name| Some((name.clone(), known(name)?))).collect()
}

fn checked_alias(field: &str, alias: String, allowed: &[&str]) -> Result<String, ApiError> {
    if allowed.contains(&alias.as_str()) {
        return Ok(alias);
    }
    let text = format!("{field} of \"{alias}\" not in set of allowed values: [{}]", allowed.join(" "));
    Err(ApiError::invalid(text))
}

fn checked_metadata(mut names: Vec<String>, addable: &[&str]) -> Result<Vec<String>, ApiError> {
    names.sort();
    names.dedup();
    if names.iter().any(|name| name == "default") {
        if names.len() > 1 {
            let text = format!("[{}] contains default - default can't be used in combination with other fields", names.join(" "));
            return Err(ApiError::invalid(text));
        }
        return Ok(DEFAULT_METADATA.map(str::to_owned).to_vec());
    }
    let is_known = |name: &String| DEFAULT_METADATA.contains(&name.as_str()) || addable.contains(&name.as_str());
    if names.iter().all(is_known) {
        return Ok(names);
    }
    let mut available: Vec<&str> = DEFAULT_METADATA.iter().chain(addable).copied().collect();
    available.sort_unstable();
    let text = format!("\"{}\" contains an unavailable field, please select from \"{}\"", names.join(", "), available.join(", "));
    Err(ApiError::invalid(text))
}

/// Where it is.
const IDENTITY: &str = "config/identity";

/// The alias of all who log in with a role.
pub(super) const ROLE_ID: &str = "role_id";

const IAM_ALIASES: &[&str] = &[ROLE_ID, "unique_id", "full_arn", "canonical_arn"];
const EC2_ALIASES: &[&str] = &[ROLE_ID, "instance_id", "image_id"];
const DEFAULT_METADATA: [&str; 2] = ["account_id", "auth_type"];
const IAM_METADATA: &[&str] = &[
    "canonical_arn",
    "client_arn",
    "client_user_id",
    "inferred_aws_region",
    "inferred_entity_id",
    "inferred_entity_type",
    "inferred_hostname",
];
const EC2_METADATA: &[&str] = &["ami_id", "instance_id", "region"];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn write(stored: IdentityConfig, body: Value) -> Result<IdentityConfig, String> {
        let input: IdentityInput = serde_json::from_value(body).unwrap();
        input.over(stored).map_err(|error| error.text)
    }

    #[test]
    fn a_list_replaces_the_default_and_default_brings_it_back() {
        let first = write(IdentityConfig::default(), json!({ "iam_metadata": "canonical_arn,auth_type" })).unwrap();
        assert_eq!(first.iam_metadata, ["auth_type", "canonical_arn"]);
        assert_eq!(first.ec2_metadata, ["account_id", "auth_type"]);
        let second = write(first, json!({ "iam_metadata": ["default"], "ec2_metadata": [] })).unwrap();
        assert_eq!((second.iam_metadata.len(), second.ec2_metadata.len()), (2, 0));
    }

    #[test]
    fn what_is_not_known_is_refused_in_the_known_words() {
        for (body, text) in [
            (json!({ "iam_alias": "x" }), "iam_alias of \"x\" not in set of allowed values: [role_id unique_id full_arn"),
            (json!({ "ec2_alias": "x" }), "ec2_alias of \"x\" not in set of allowed values: [role_id instance_id image_id]"),
            (json!({ "iam_metadata": "x,auth_type" }), "\"auth_type, x\" contains an unavailable field, please select from \""),
            (json!({ "ec2_metadata": "canonical_arn" }), "contains an unavailable field"),
            (json!({ "iam_metadata": "default,auth_type" }), "default can't be used in combination with other fields"),
        ] {
            let error = write(IdentityConfig::default(), body.clone()).unwrap_err();
            assert!(error.contains(text), "{body}: {error}");
        }
    }

    #[test]
    fn empty_values_are_not_told() {
        let known = BTreeMap::from([("account_id", "1".to_owned()), ("auth_type", String::new())]);
        let wanted = ["account_id", "auth_type", "ami_id"].map(str::to_owned);
        assert_eq!(chosen(&wanted, &known), BTreeMap::from([("account_id".to_owned(), "1".to_owned())]));
    }
}
