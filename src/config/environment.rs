//! The variables of the environment that a server reads.

use std::collections::BTreeMap;

use super::error::{ConfigError, Place};
use super::stanza::{Spot, wrong};
use crate::base::Secret;
use crate::base::hcl::Value;

/// Variables of the environment, read once at start. Those that are set but empty count as not set.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `VAULT_LOCAL_CONFIG`: a configuration in HCL or JSON, merged after the files (containers are set up so).
    pub local_config: Option<Secret<String>>,
    /// `VAULT_API_ADDR`.
    pub api_addr: Option<String>,
    /// `VAULT_CLUSTER_ADDR`.
    pub cluster_addr: Option<String>,
    /// `VAULT_LOG_LEVEL`.
    pub log_level: Option<String>,
    /// `VAULT_LOG_FORMAT`.
    pub log_format: Option<String>,
    /// `VAULT_UI`.
    pub ui: Option<String>,
    /// `VAULT_DISABLE_USER_LOCKOUT`: above what is tuned at a mount.
    pub disable_user_lockout: Option<String>,
    /// `VAULT_LEASE_REVOCATION_WORKERS`.
    pub lease_revocation_workers: Option<String>,
    /// `VAULT_SEAL_TYPE`.
    pub seal_type: Option<String>,
    /// `VAULT_DEV_ROOT_TOKEN_ID`: the root token of a dev server.
    pub dev_root_token_id: Option<Secret<String>>,
    /// `VAULT_DEV_LISTEN_ADDRESS`: where a dev server listens.
    pub dev_listen_address: Option<String>,
    /// `TMPDIR`: where temporary folders are made.
    pub temporary: Option<String>,
    /// What is said of where AWS is: `AWS_REGION` and `AWS_DEFAULT_REGION`, where a mount names none; `AWS_CA_BUNDLE`; and
    /// the endpoints the credential chain may be led to. What it takes besides, such as keys, it reads itself.
    pub aws: BTreeMap<String, String>,
    /// The names of all variables, sorted, without their values: the text at the start shows them.
    pub names: Vec<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let mut names: Vec<String> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        names.sort();
        let text =
            |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self { names, ..Self::of(std::env::vars_os().filter_map(text)) }
    }

    /// An environment of these variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all: BTreeMap<String, String> = variables.into_iter().collect();
        let names = all.keys().cloned().collect();
        let mut take = |name: &str| all.remove(name).filter(|value| !value.is_empty());
        let aws = AWS.iter().filter_map(|name| Some(((*name).to_owned(), take(name)?))).collect();
        Self {
            local_config: take("VAULT_LOCAL_CONFIG").map(Secret::new),
            api_addr: take(API_ADDR),
            cluster_addr: take(CLUSTER_ADDR),
            log_level: take(LOG_LEVEL),
            log_format: take(LOG_FORMAT),
            ui: take(UI),
            disable_user_lockout: take(DISABLE_USER_LOCKOUT),
            lease_revocation_workers: take(LEASE_REVOCATION_WORKERS),
            seal_type: take(SEAL_TYPE),
            dev_root_token_id: take("VAULT_DEV_ROOT_TOKEN_ID").map(Secret::new),
            dev_listen_address: take(DEV_LISTEN_ADDRESS),
            temporary: take("TMPDIR"),
            aws,
            names,
        }
    }
}

/// A variable's value with the variable's name as its place.
pub(super) fn spot(value: Option<&String>, name: &str) -> Option<Spot<String>> {
    value.map(|value| Spot { value: value.clone(), place: Place::named(name) })
}

/// A variable's truth value.
pub(super) fn truth(spot: Spot<String>, key: &str) -> Result<bool, ConfigError> {
    let value = Value::String(spot.value);
    value.to_bool().ok_or_else(|| wrong(spot.place, key, &value.to_json().to_string(), "true or false"))
}

pub(super) const LOCAL_CONFIG: &str = "VAULT_LOCAL_CONFIG";
pub(super) const API_ADDR: &str = "VAULT_API_ADDR";
pub(super) const CLUSTER_ADDR: &str = "VAULT_CLUSTER_ADDR";
pub(super) const LOG_LEVEL: &str = "VAULT_LOG_LEVEL";
pub(super) const LOG_FORMAT: &str = "VAULT_LOG_FORMAT";
pub(super) const UI: &str = "VAULT_UI";
pub(super) const DISABLE_USER_LOCKOUT: &str = "VAULT_DISABLE_USER_LOCKOUT";
pub(super) const LEASE_REVOCATION_WORKERS: &str = "VAULT_LEASE_REVOCATION_WORKERS";
pub(super) const SEAL_TYPE: &str = "VAULT_SEAL_TYPE";
pub(super) const DEV_LISTEN_ADDRESS: &str = "VAULT_DEV_LISTEN_ADDRESS";

/// Those that say where AWS is.
const AWS: &[&str] = &[
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let environment = of(&[("VAULT_API_ADDR", ""), ("VAULT_LOG_LEVEL", "debug")]);
        assert_eq!(environment.api_addr, None);
        assert_eq!(environment.log_level.as_deref(), Some("debug"));
    }

    #[test]
    fn of_aws_places_are_taken_and_no_keys() {
        let set =
            [("AWS_REGION", "a"), ("AWS_DEFAULT_REGION", ""), ("AWS_CA_BUNDLE", "/b"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
        let taken = of(&set).aws;
        let taken: Vec<(&str, &str)> = taken.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(taken, [("AWS_CA_BUNDLE", "/b"), ("AWS_REGION", "a")]);
    }

    #[test]
    fn names_are_kept_sorted_and_values_are_not_shown() {
        let environment = of(&[("Z", "z"), ("A", "a"), ("VAULT_DEV_ROOT_TOKEN_ID", "hunter2")]);
        assert_eq!(environment.names, ["A", "VAULT_DEV_ROOT_TOKEN_ID", "Z"]);
        assert!(environment.dev_root_token_id.as_ref().is_some_and(|token| token.matches("hunter2")));
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
