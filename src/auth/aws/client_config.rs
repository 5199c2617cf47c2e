//! `config/client`: with which credentials AWS is asked, where, and what a login must carry (spec `aws-auth-method.md` §4).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::{KeyPair, Settings};
use crate::base::secret::stored_secret;
use crate::base::{Secret, Timestamp, Ttl};
use crate::mount::field::{CommaList, Flag, Int, SecretText, Text, keep};
use crate::mount::{ApiError, AutomatedRotation, Ctx, Nothing, Reply, Table};
use crate::rotation::KeyConfig;

use super::AwsAuth;

/// The record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ClientConfig {
    /// Id of the key pair; empty with an empty secret: the default chain.
    pub(super) access_key: String,
    /// Its secret.
    #[serde(with = "stored_secret")]
    pub(super) secret_key: Secret<String>,
    /// When the key pair was last written.
    pub(super) key_written: Timestamp,
    /// Instead of a region's EC2.
    pub(super) endpoint: String,
    /// Instead of the partition's IAM.
    pub(super) iam_endpoint: String,
    /// Instead of a region's STS; also where logins are sent on to.
    pub(super) sts_endpoint: String,
    /// What our own calls to it are signed for.
    pub(super) sts_region: String,
    /// Logins go to the STS of the region they are signed for, whatever `sts_endpoint` is.
    pub(super) use_sts_region_from_client: bool,
    /// What the header `X-Vault-AWS-IAM-Server-ID` must say; empty: it need not be there.
    pub(super) iam_server_id_header_value: String,
    /// Headers `X-Amz-*` that logins may carry besides the usual; `None` when never set.
    pub(super) allowed_sts_header_values: Option<Vec<String>>,
    /// How often a call is repeated; below zero: three times.
    pub(super) max_retries: i64,
    /// Kept and shown: there is no workload identity here.
    pub(super) role_arn: String,
    /// Kept and shown.
    pub(super) identity_token_ttl: Ttl,
    /// Kept and shown.
    pub(super) disable_automated_rotation: bool,
}

/// Body of `POST config/client`; absent fields keep their value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ClientInput {
    /// Id of the access key. Default: the credentials of the environment, the shared files, the container or the instance.
    access_key: Option<Text>,
    /// Its secret.
    secret_key: Option<SecretText>,
    /// URL of EC2. Default: the region's.
    endpoint: Option<Text>,
    /// URL of IAM. Default: the partition's.
    iam_endpoint: Option<Text>,
    /// URL of STS, for our own calls and for logins. Default: the region's.
    sts_endpoint: Option<Text>,
    /// Region that calls to `sts_endpoint` are signed for.
    sts_region: Option<Text>,
    /// Whether logins go to the STS of the region they are signed for even when `sts_endpoint` is set.
    use_sts_region_from_client: Option<Flag>,
    /// What the signed header X-Vault-AWS-IAM-Server-ID must say. Default: it need not be there.
    iam_server_id_header_value: Option<Text>,
    /// Headers X-Amz-… that logins may carry besides the usual ones.
    allowed_sts_header_values: Option<CommaList>,
    /// How often a call is repeated. Default: three times.
    max_retries: Option<Int>,
    /// Role of workload identity federation; not supported.
    role_arn: Option<Text>,
    /// Audience of workload identity federation; not supported.
    identity_token_audience: Option<Text>,
    /// Life of tokens of workload identity federation; not supported.
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
}

/// Declares the endpoint.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table
        .at("config/client", "Credentials and endpoints that AWS is asked with, and what logins must carry.")
        .exists(AwsAuth::client_exists)
        .read(AwsAuth::read_client)
        .update(AwsAuth::write_client)
        .delete(AwsAuth::delete_client);
}

impl AwsAuth {
    async fn client_exists(self: Arc<Self>, _: Ctx, _: ClientInput) -> Result<bool, ApiError> {
        Ok(self.view.exists(CLIENT).await?)
    }

    async fn read_client(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(self.stored_client().await?.map_or_else(Reply::empty, |config| Reply::data(config.shown())))
    }

    async fn write_client(self: Arc<Self>, _: Ctx, input: ClientInput) -> Result<Reply, ApiError> {
        let _turn = self.turn(CLIENT).await;
        let stored = self.stored_client().await?;
        let config = input.over(stored.clone().unwrap_or_default(), self.deps.clock.now())?;
        self.own_key().store(stored.as_ref(), Some(&config)).await?;
        self.clients.forget();
        Ok(Reply::empty())
    }

    async fn delete_client(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let _turn = self.turn(CLIENT).await;
        let stored = self.stored_client().await?;
        self.own_key().store(stored.as_ref(), None).await?;
        self.clients.forget();
        Ok(Reply::empty())
    }

    /// The configuration, if there is one.
    pub(super) async fn stored_client(&self) -> Result<Option<ClientConfig>, ApiError> {
        Ok(self.view.read(CLIENT).await?)
    }
}

impl ClientConfig {
    /// What a client is made of.
    pub(super) fn settings(&self, region: &str) -> Settings {
        Settings {
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            region: region.to_owned(),
            iam_endpoint: self.iam_endpoint.clone(),
            ec2_endpoint: self.endpoint.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            sts_region: self.sts_region.clone(),
            max_retries: self.max_retries,
            ..Settings::default()
        }
    }

    fn shown(&self) -> Map<String, Value> {
        let shown = json!({
            "access_key": self.access_key,
            "endpoint": self.endpoint,
            "iam_endpoint": self.iam_endpoint,
            "sts_endpoint": self.sts_endpoint,
            "sts_region": self.sts_region,
            "use_sts_region_from_client": self.use_sts_region_from_client,
            "iam_server_id_header_value": self.iam_server_id_header_value,
            "allowed_sts_header_values": self.allowed_sts_header_values,
            "max_retries": self.max_retries,
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
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            access_key: String::new(),
            secret_key: Secret::default(),
            key_written: Timestamp::default(),
            endpoint: String::new(),
            iam_endpoint: String::new(),
            sts_endpoint: String::new(),
            sts_region: String::new(),
            use_sts_region_from_client: false,
            iam_server_id_header_value: String::new(),
            allowed_sts_header_values: None,
            max_retries: -1,
            role_arn: String::new(),
            identity_token_ttl: Ttl::ZERO,
            disable_automated_rotation: false,
        }
    }
}

impl KeyConfig for ClientConfig {
    const KEY: &'static str = CLIENT;

    fn access_key(&self) -> &str {
        &self.access_key
    }

    fn put_pair(&mut self, pair: &KeyPair) {
        (self.access_key, self.secret_key) = (pair.id.clone(), pair.secret.clone());
    }
}

impl ClientInput {
    /// What this request makes of what is stored.
    fn over(self, mut config: ClientConfig, now: Timestamp) -> Result<ClientConfig, ApiError> {
        let audience = self.identity_token_audience.as_ref().map(|text| text.0.clone()).unwrap_or_default();
        let (schedule, policy) = (self.rotation_schedule.as_ref(), self.rotation_policy.as_ref());
        let rotation = AutomatedRotation::of(self.rotation_period, schedule, self.rotation_window, policy);
        rotation.check()?;
        rotation.refuse()?;
        if self.access_key.is_some() || self.secret_key.is_some() {
            config.key_written = now;
        }
        if let Some(secret) = self.secret_key {
            config.secret_key = secret.0;
        }
        let texts = [
            (&mut config.access_key, self.access_key),
            (&mut config.endpoint, self.endpoint),
            (&mut config.iam_endpoint, self.iam_endpoint),
            (&mut config.sts_endpoint, self.sts_endpoint),
            (&mut config.sts_region, self.sts_region),
            (&mut config.iam_server_id_header_value, self.iam_server_id_header_value),
            (&mut config.role_arn, self.role_arn),
        ];
        for (field, supplied) in texts {
            keep(field, supplied.map(|text| text.0));
        }
        keep(&mut config.use_sts_region_from_client, self.use_sts_region_from_client.map(|flag| flag.0));
        keep(&mut config.max_retries, self.max_retries.map(|number| number.0));
        keep(&mut config.identity_token_ttl, self.identity_token_ttl);
        keep(&mut config.disable_automated_rotation, self.disable_automated_rotation.map(|flag| flag.0));
        if let Some(names) = self.allowed_sts_header_values {
            config.allowed_sts_header_values = Some(names.iter().map(|name| canonical(name)).collect());
        }
        let mistake = match (audience.is_empty(), config.access_key.is_empty(), config.role_arn.is_empty()) {
            (true, _, _) => return Ok(config),
            (_, false, _) => "only one of 'access_key' or 'identity_token_audience' can be set",
            (_, _, true) => "role_arn must be set when identity_token_audience is set",
            _ => "plugin workload identity not supported in Vault community edition",
        };
        Err(ApiError::invalid(mistake))
    }
}

/// `x-amz-foo` as `X-Amz-Foo`.
pub(super) fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect::<String>()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// Where it is.
pub(super) const CLIENT: &str = "config/client";

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn write(stored: ClientConfig, body: Value) -> Result<ClientConfig, String> {
        let input: ClientInput = serde_json::from_value(body).unwrap();
        input.over(stored, NOW).map_err(|error| error.text)
    }

    #[test]
    fn fields_that_are_not_supplied_stay() {
        let first = write(ClientConfig::default(), json!({ "access_key": "AKIA", "max_retries": 5 })).unwrap();
        let second = write(first, json!({ "secret_key": "s", "sts_endpoint": "http://x" })).unwrap();
        assert_eq!((second.access_key.as_str(), second.max_retries), ("AKIA", 5));
        assert!(second.secret_key.matches("s"));
        assert_eq!(second.key_written, NOW);
        let shown = serde_json::to_string(&second.shown()).unwrap();
        assert!(!shown.contains("secret_key") && shown.contains("\"allowed_sts_header_values\":null"), "{shown}");
    }

    #[test]
    fn allowed_headers_are_kept_in_their_usual_spelling() {
        let config = write(ClientConfig::default(), json!({ "allowed_sts_header_values": "x-amz-foo,X-BAR" })).unwrap();
        assert_eq!(config.allowed_sts_header_values.unwrap(), ["X-Amz-Foo", "X-Bar"]);
    }

    #[test]
    fn what_needs_a_rotation_manager_or_workload_identity_is_refused() {
        for (body, text) in [
            (json!({ "rotation_period": 60 }), "error registering rotation job: "),
            (json!({ "rotation_period": 60, "rotation_schedule": "* * * * *" }), "mutually exclusive fields"),
            (json!({ "rotation_window": 3600 }), "cannot use rotation_window without rotation_schedule"),
            (
                json!({ "identity_token_audience": "a", "access_key": "k" }),
                "only one of 'access_key' or 'identity_token_audience' can be set",
            ),
            (json!({ "identity_token_audience": "a" }), "role_arn must be set when identity_token_audience is set"),
        ] {
            let error = write(ClientConfig::default(), body.clone()).unwrap_err();
            assert!(error.contains(text), "{body}: {error}");
        }
    }
}
