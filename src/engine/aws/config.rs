//! `config/root` and `config/lease`, as stored, written and shown (`aws-secrets-engine.md` §4, §6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::{KeyPair, Settings};
use crate::base::secret::stored_secret;
use crate::base::{Secret, Ttl};
use crate::mount::field::{CommaList, Flag, Int, SecretText, Text, keep};
use crate::mount::{ApiError, AutomatedRotation};
use crate::rotation::KeyConfig;

use super::template::{DEFAULT, Template};

/// What the operator gave us to reach AWS with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Root {
    pub(super) access_key: String,
    #[serde(with = "stored_secret")]
    pub(super) secret_key: Secret<String>,
    region: String,
    iam_endpoint: String,
    sts_endpoint: String,
    sts_region: String,
    sts_fallback_endpoints: Option<Vec<String>>,
    sts_fallback_regions: Option<Vec<String>>,
    max_retries: i64,
    pub(super) username_template: String,
    role_arn: String,
    identity_token_ttl: Ttl,
    disable_automated_rotation: bool,
    /// Moves with each write after which calls may reach another account (§21.6).
    pub(super) generation: u64,
}

/// Body of `POST config/root`; absent fields keep their value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RootInput {
    /// Access key id; empty with an empty `secret_key`: the default credential chain.
    access_key: Option<Text>,
    /// Secret access key.
    secret_key: Option<SecretText>,
    /// Region of the calls.
    region: Option<Text>,
    /// URL instead of the partition's IAM.
    iam_endpoint: Option<Text>,
    /// URL instead of the region's STS.
    sts_endpoint: Option<Text>,
    /// Region of STS.
    sts_region: Option<Text>,
    /// URLs tried in order when `sts_endpoint` does not answer.
    sts_fallback_endpoints: Option<CommaList>,
    /// Their regions.
    sts_fallback_regions: Option<CommaList>,
    /// How often a call that may be repeated is; -1: three times.
    max_retries: Option<Int>,
    /// How users and sessions are named: a Go template of `.DisplayName`, `.PolicyName`, `.Type`, `random`, `uuid`,
    /// `unix_time`, `unix_time_millis`, `truncate`, `truncate_sha256`, `lowercase`, `uppercase`, `replace`, `sha256`, `base64`,
    /// `hex`, `printf`, `if`, `eq`, `ne`, `and`, `or`, `not`. Federated users have 32 characters, all others 64.
    username_template: Option<Text>,
    /// Role for workload identity.
    role_arn: Option<Text>,
    /// Audience of workload identity; not supported.
    identity_token_audience: Option<Text>,
    /// Life of workload identity tokens.
    identity_token_ttl: Option<Ttl>,
    /// Automated rotation; not supported.
    rotation_period: Option<Ttl>,
    /// Automated rotation; not supported.
    rotation_schedule: Option<Text>,
    /// Automated rotation; not supported.
    rotation_window: Option<Ttl>,
    /// Automated rotation; not supported.
    rotation_policy: Option<Text>,
    /// No automated rotation.
    disable_automated_rotation: Option<Flag>,
    /// Whether the credentials are looked at, which refuses nothing. Default: yes.
    verify: Option<Flag>,
}

impl Root {
    /// What a client is made of.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            region: self.region.clone(),
            iam_endpoint: self.iam_endpoint.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            sts_region: self.sts_region.clone(),
            sts_fallback_endpoints: self.sts_fallback_endpoints.clone().unwrap_or_default(),
            sts_fallback_regions: self.sts_fallback_regions.clone().unwrap_or_default(),
            max_retries: self.max_retries,
            ..Settings::default()
        }
    }

    /// Whether the credentials are whatever the machine has.
    pub(super) fn uses_chain(&self) -> bool {
        self.access_key.is_empty() && self.secret_key.expose().is_empty()
    }

    /// The access key id and where it is one; none where the credentials are whatever the machine has.
    pub(super) fn key_in_place(&self) -> Option<String> {
        let place = [&self.iam_endpoint, &self.sts_endpoint].map(String::as_str).join(" ");
        (!self.access_key.is_empty()).then(|| format!("{} {place}", self.access_key).trim_end().to_owned())
    }

    /// As a read shows it: without the secret.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let shown = json!({
            "access_key": self.access_key,
            "region": self.region,
            "iam_endpoint": self.iam_endpoint,
            "sts_endpoint": self.sts_endpoint,
            "sts_region": self.sts_region,
            "sts_fallback_endpoints": self.sts_fallback_endpoints,
            "sts_fallback_regions": self.sts_fallback_regions,
            "max_retries": self.max_retries,
            "username_template": self.username_template,
            "role_arn": self.role_arn,
            "identity_token_audience": "",
            "identity_token_ttl": self.identity_token_ttl,
            "rotation_period": 0,
            "rotation_schedule": "",
            "rotation_window": 0,
            "disable_automated_rotation": self.disable_automated_rotation,
        });
        match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Whether calls by the other may reach another account.
    fn may_be_elsewhere(&self, other: &Self) -> bool {
        let place = |root: &Self| {
            let urls = (root.iam_endpoint.clone(), root.sts_endpoint.clone(), root.sts_fallback_endpoints.clone());
            let regions = (root.region.clone(), root.sts_region.clone(), root.sts_fallback_regions.clone());
            (root.access_key.clone(), root.role_arn.clone(), urls, regions)
        };
        place(self) != place(other) || !self.secret_key.matches(other.secret_key.expose())
    }
}

impl Default for Root {
    fn default() -> Self {
        Self {
            access_key: String::new(),
            secret_key: Secret::default(),
            region: String::new(),
            iam_endpoint: String::new(),
            sts_endpoint: String::new(),
            sts_region: String::new(),
            sts_fallback_endpoints: None,
            sts_fallback_regions: None,
            max_retries: -1,
            username_template: DEFAULT.to_owned(),
            role_arn: String::new(),
            identity_token_ttl: Ttl::ZERO,
            disable_automated_rotation: false,
            generation: 0,
        }
    }
}

impl KeyConfig for Root {
    const KEY: &'static str = ROOT;

    fn access_key(&self) -> &str {
        &self.access_key
    }

    fn put_pair(&mut self, pair: &KeyPair) {
        (self.access_key, self.secret_key) = (pair.id.clone(), pair.secret.clone());
    }
}

impl RootInput {
    /// Whether the credentials shall be looked at.
    pub(super) fn verify(&self) -> bool {
        self.verify.as_ref().is_none_or(|flag| flag.0)
    }

    /// What this request makes of what is stored.
    ///
    /// # Errors
    /// 400 with the first mistake, in the order clients know.
    pub(super) fn over(self, stored: Option<Root>) -> Result<Root, ApiError> {
        let before = stored.unwrap_or_default();
        let mut root = before.clone();
        let audience = self.identity_token_audience.as_ref().map(|text| text.0.clone()).unwrap_or_default();
        let (schedule, policy) = (self.rotation_schedule.as_ref(), self.rotation_policy.as_ref());
        let rotation = AutomatedRotation::of(self.rotation_period, schedule, self.rotation_window, policy);
        if let Some(secret) = self.secret_key {
            root.secret_key = secret.0;
        }
        keep(&mut root.access_key, self.access_key.map(|text| text.0));
        keep(&mut root.region, self.region.map(|text| text.0));
        keep(&mut root.iam_endpoint, self.iam_endpoint.map(|text| text.0));
        keep(&mut root.sts_endpoint, self.sts_endpoint.map(|text| text.0));
        keep(&mut root.sts_region, self.sts_region.map(|text| text.0));
        keep(&mut root.sts_fallback_endpoints, self.sts_fallback_endpoints.map(|list| Some(list.0)));
        keep(&mut root.sts_fallback_regions, self.sts_fallback_regions.map(|list| Some(list.0)));
        keep(&mut root.max_retries, self.max_retries.map(|number| number.0));
        keep(&mut root.role_arn, self.role_arn.map(|text| text.0));
        keep(&mut root.identity_token_ttl, self.identity_token_ttl);
        keep(&mut root.disable_automated_rotation, self.disable_automated_rotation.map(|flag| flag.0));
        keep(&mut root.username_template, self.username_template.map(|text| or_default(text.0)));
        let length = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
        if length(&root.sts_fallback_endpoints) != length(&root.sts_fallback_regions) {
            return Err(ApiError::invalid("fallback endpoints and fallback regions must be the same length"));
        }
        rotation.check()?;
        rotation.check_schedule()?;
        check_audience(&audience, &root)?;
        rotation.refuse()?;
        Template::parse(&root.username_template)
            .map_err(|error| ApiError::invalid(format!("unable to initialize username template: {error}")))?;
        if root.may_be_elsewhere(&before) {
            root.generation += 1;
        }
        Ok(root)
    }
}

fn check_audience(audience: &str, root: &Root) -> Result<(), ApiError> {
    let mistake = match (audience.is_empty(), root.access_key.is_empty(), root.role_arn.is_empty()) {
        (true, _, _) => return Ok(()),
        (_, false, _) => "only one of 'access_key' or 'identity_token_audience' can be set",
        (_, _, true) => "missing required 'role_arn' when 'identity_token_audience' is set",
        _ => "plugin workload identity not supported in Vault community edition",
    };
    Err(ApiError::invalid(mistake))
}

/// How long leases of users live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseConfig {
    /// Unless renewed, and each renewal again; zero: the mount's.
    pub(super) lease: Ttl,
    /// Since the issue; zero: the mount's.
    pub(super) lease_max: Ttl,
}

/// Body of `POST config/lease`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct LeaseInput {
    /// How long a lease lives unless renewed; each renewal gives that again.
    lease: Option<Text>,
    /// How long a lease lives at most.
    lease_max: Option<Text>,
}

impl LeaseConfig {
    /// As a read shows it.
    pub(super) fn shown(self) -> Map<String, Value> {
        Map::from_iter([("lease".to_owned(), self.lease.go().into()), ("lease_max".to_owned(), self.lease_max.go().into())])
    }
}

impl LeaseInput {
    /// # Errors
    /// 400 with the first mistake.
    pub(super) fn read(self) -> Result<LeaseConfig, ApiError> {
        let given = |field: Option<Text>, name: &str| {
            let text = field.map(|text| text.0).filter(|text| !text.is_empty());
            text.ok_or_else(|| ApiError::invalid(format!("'{name}' is a required parameter")))
        };
        let (lease, lease_max) = (given(self.lease, "lease")?, given(self.lease_max, "lease_max")?);
        let read =
            |text: &str, name: &str| Ttl::parse(text).map_err(|error| ApiError::invalid(format!("Invalid {name}: {error}")));
        Ok(LeaseConfig { lease: read(&lease, "lease")?, lease_max: read(&lease_max, "lease_max")? })
    }
}

fn or_default(template: String) -> String {
    if template.is_empty() { DEFAULT.to_owned() } else { template }
}

/// Where it is.
pub(super) const ROOT: &str = "config/root";
/// Where it is.
pub(super) const LEASE: &str = "config/lease";

#[cfg(test)]
mod tests {
    use super::*;

    fn write(stored: Option<Root>, body: &Value) -> Result<Root, String> {
        let input: RootInput = serde_json::from_value(body.clone()).unwrap();
        input.over(stored).map_err(|error| error.text)
    }

    fn root(body: &Value) -> Root {
        write(None, body).unwrap()
    }

    #[test]
    fn a_first_write_fills_in_defaults() {
        let shown = root(&json!({ "access_key": "AKIA", "secret_key": "s" })).shown();
        assert_eq!((&shown["access_key"], &shown["max_retries"]), (&json!("AKIA"), &json!(-1)));
        assert_eq!(shown["username_template"], DEFAULT);
        assert_eq!(shown["sts_fallback_regions"], Value::Null);
        assert!(!serde_json::to_string(&shown).unwrap().contains("secret_key"));
    }

    #[test]
    fn a_later_write_changes_what_it_names_and_nothing_else() {
        let template = "{{ printf \"x-%s\" (random 5) }}";
        let first = root(&json!({ "access_key": "AKIA", "secret_key": "s", "username_template": template }));
        let second = write(Some(first), &json!({ "region": "eu-west-1" })).unwrap();
        assert_eq!((second.access_key.as_str(), second.username_template.as_str()), ("AKIA", template));
        assert!(second.secret_key.matches("s"));
        let third = write(Some(second), &json!({ "username_template": "" })).unwrap();
        assert_eq!(third.username_template, DEFAULT);
    }

    #[test]
    fn lists_of_fallbacks_are_of_one_length() {
        let body = json!({ "sts_fallback_endpoints": "a,b", "sts_fallback_regions": ["a", "b"] });
        assert_eq!(root(&body).shown()["sts_fallback_endpoints"], json!(["a", "b"]));
        let text = write(None, &json!({ "sts_fallback_endpoints": "a,b", "sts_fallback_regions": "a" })).unwrap_err();
        assert_eq!(text, "fallback endpoints and fallback regions must be the same length");
    }

    #[test]
    fn what_needs_a_rotation_manager_or_workload_identity_is_refused() {
        for (body, text) in [
            (json!({ "rotation_period": 60, "rotation_schedule": "* * * * *" }), "mutually exclusive fields"),
            (json!({ "rotation_period": 60, "rotation_window": 3600 }), "rotation_window does not apply to period"),
            (json!({ "rotation_window": 3600 }), "cannot use rotation_window without rotation_schedule"),
            (json!({ "rotation_schedule": "x" }), "failed to parse provided rotation_schedule: "),
            (json!({ "rotation_period": 60 }), "error registering rotation job: "),
            (
                json!({ "identity_token_audience": "a", "access_key": "k" }),
                "only one of 'access_key' or 'identity_token_audience' can be set",
            ),
            (json!({ "identity_token_audience": "a" }), "missing required 'role_arn' when 'identity_token_audience' is set"),
            (json!({ "identity_token_audience": "a", "role_arn": "r" }), "not supported"),
        ] {
            let error = write(None, &body).unwrap_err();
            assert!(error.contains(text), "{body}: {error}");
        }
    }

    #[test]
    fn a_template_that_is_not_understood_is_refused() {
        let error = write(None, &json!({ "username_template": "{{ nosuch }}" })).unwrap_err();
        assert_eq!(error, "unable to initialize username template: function \"nosuch\" not defined");
    }

    #[test]
    fn the_generation_moves_with_what_may_lead_to_another_account() {
        let first = root(&json!({ "access_key": "AKIA", "secret_key": "s" }));
        assert_eq!(first.generation, 1);
        let same = write(Some(first.clone()), &json!({ "max_retries": 5, "secret_key": "s" })).unwrap();
        assert_eq!(same.generation, 1);
        assert_eq!(write(Some(first), &json!({ "iam_endpoint": "http://x" })).unwrap().generation, 2);
    }

    #[test]
    fn lives_of_leases_are_both_required_and_shown_as_go_prints_them() {
        let read = |body: Value| serde_json::from_value::<LeaseInput>(body).unwrap().read();
        let text = |body: Value| read(body).unwrap_err().text;
        assert_eq!(text(json!({ "lease": "30m" })), "'lease_max' is a required parameter");
        assert_eq!(text(json!({ "lease_max": "30m" })), "'lease' is a required parameter");
        assert_eq!(text(json!({ "lease": "abc", "lease_max": "1h" })), "Invalid lease: time: invalid duration \"abc\"");
        assert_eq!(text(json!({ "lease": "1h", "lease_max": "abc" })), "Invalid lease_max: time: invalid duration \"abc\"");
        let shown = read(json!({ "lease": 60, "lease_max": "0" })).unwrap().shown();
        assert_eq!(Value::Object(shown), json!({ "lease": "1m0s", "lease_max": "0s" }));
    }
}
