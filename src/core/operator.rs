//! What operators ask of a server that may be sealed (spec `sys.md` §1, §2): its state, its keys, a root token.
//!
//! What changes something must run to its end once it has begun, whether or not somebody still waits for the answer: shares
//! are told once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Map;

use crate::base::{Secret, version};
use crate::mount::{ApiError, Asked, ErrorKind};
use crate::policy::{Ask, Operation};
use crate::seal::{Fault, SealConfig, SealError, Share};

pub use crate::seal::InitInput;

use super::Active;
use super::access::of_token;
use super::answer::{Answer, AnswerBody, Outcome, Refusal};
use super::audited::Facts;
use super::browser::{Cors, UiHeaders};
use super::metrics::Format;
use super::seal_state::{Core, CoreError};

/// What the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has no keys yet.
    Uninitialized,
    /// Has forgotten its keys.
    Sealed,
    /// Answers.
    Active,
}

/// Body of `sys/seal-status`.
#[expect(clippy::struct_excessive_bools, reason = "the form of the API")]
#[derive(Clone, Debug, Serialize)]
pub struct SealStatus {
    /// The kind of seal.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether there are keys.
    pub initialized: bool,
    /// Whether they are forgotten.
    pub sealed: bool,
    /// Shares needed; 0 before initialisation.
    pub t: u8,
    /// Shares in the world.
    pub n: u8,
    /// Different shares so far.
    pub progress: usize,
    /// Names the attempt to unseal; empty before its first share.
    pub nonce: String,
    /// The API level.
    pub version: String,
    /// When this program was built.
    pub build_date: &'static str,
    /// Always false: there is one kind of seal.
    pub migration: bool,
    /// For people; while unsealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// A UUID; while unsealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Always false: likewise.
    pub recovery_seal: bool,
    /// What the storage calls itself.
    pub storage_type: &'static str,
}

/// Body of `sys/health`.
#[expect(clippy::struct_excessive_bools, reason = "the form of the API")]
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Decides the status of the reply.
    #[serde(skip)]
    pub state: State,
    /// Whether there are keys.
    pub initialized: bool,
    /// Whether they are forgotten, or not there.
    pub sealed: bool,
    /// The same: who does not answer stands by.
    pub standby: bool,
    /// Always false.
    pub performance_standby: bool,
    /// `disabled`, or `unknown` while sealed.
    pub replication_performance_mode: &'static str,
    /// Likewise.
    pub replication_dr_mode: &'static str,
    /// Seconds since 1970.
    pub server_time_utc: u64,
    /// The API level.
    pub version: String,
    /// Always false.
    pub enterprise: bool,
    /// For people; while unsealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// A UUID; while unsealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Always 0: there is nobody to hear from.
    pub echo_duration_ms: u64,
    /// Likewise.
    pub clock_skew_ms: u64,
    /// Likewise.
    pub replication_primary_canary_age_ms: u64,
}

/// Body of `sys/leader`: of a server that stands alone.
#[expect(clippy::struct_field_names, reason = "the names of the API")]
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Leader {
    ha_enabled: bool,
    is_self: bool,
    active_time: &'static str,
    leader_address: &'static str,
    leader_cluster_address: &'static str,
    performance_standby: bool,
    performance_standby_last_remote_wal: u64,
}

/// Body of `POST sys/unseal`.
#[derive(Debug, Default, Deserialize)]
pub struct UnsealInput {
    /// A share, as hex or base64.
    #[serde(default)]
    pub key: Option<Secret<String>>,
    /// Forget the shares so far.
    #[serde(default)]
    pub reset: Option<bool>,
    /// To change the kind of seal; there is but one.
    #[serde(default)]
    pub migrate: Option<bool>,
}

/// Body of the reply to `POST sys/init`. Told once.
#[derive(Debug)]
pub struct NewKeys {
    shares: Vec<Share>,
    root_token: Secret<String>,
}

impl Serialize for NewKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("keys", &Texts(&self.shares, |share| hex::encode(share)))?;
        map.serialize_entry("keys_base64", &Texts(&self.shares, |share| STANDARD.encode(share)))?;
        map.serialize_entry("root_token", self.root_token.expose())?;
        map.end()
    }
}

/// Shares in some form of text.
pub(super) struct Texts<'a>(pub(super) &'a [Share], pub(super) fn(&[u8]) -> String);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for share in self.0 {
            let text = Secret::new((self.1)(share.expose()));
            seq.serialize_element(text.expose())?;
        }
        seq.end()
    }
}

/// The state of the server.
impl Core {
    /// Whether there are keys.
    pub async fn is_initialized(&self) -> Result<bool, Refusal> {
        Ok(self.seal_config().await?.is_some())
    }

    /// `sys/seal-status`.
    pub async fn seal_status(&self) -> Result<SealStatus, Refusal> {
        let config = self.seal_config().await?;
        let active = self.active();
        let progress = self.unseal_progress();
        Ok(SealStatus {
            kind: SealConfig::SHAMIR,
            initialized: config.is_some(),
            sealed: active.is_none(),
            t: config.as_ref().map_or(0, |config| config.secret_threshold),
            n: config.as_ref().map_or(0, |config| config.secret_shares),
            progress: progress.count,
            nonce: progress.nonce,
            version: self.settings().version.clone(),
            build_date: version::BUILD_DATE,
            migration: false,
            cluster_name: active.as_ref().map(|active| active.cluster.name.clone()),
            cluster_id: active.as_ref().map(|active| active.cluster.id.clone()),
            recovery_seal: false,
            storage_type: self.storage_kind(),
        })
    }

    /// `sys/health`.
    pub async fn health(&self) -> Result<Health, Refusal> {
        let active = self.active();
        let state = match &active {
            Some(_) => State::Active,
            None if self.is_initialized().await? => State::Sealed,
            None => State::Uninitialized,
        };
        let mode = if active.is_some() { "disabled" } else { "unknown" };
        Ok(Health {
            state,
            initialized: state != State::Uninitialized,
            sealed: active.is_none(),
            standby: active.is_none(),
            performance_standby: false,
            replication_performance_mode: mode,
            replication_dr_mode: mode,
            server_time_utc: self.clock().now().seconds(),
            version: self.settings().version.clone(),
            enterprise: false,
            cluster_name: active.as_ref().map(|active| active.cluster.name.clone()),
            cluster_id: active.as_ref().map(|active| active.cluster.id.clone()),
            echo_duration_ms: 0,
            clock_skew_ms: 0,
            replication_primary_canary_age_ms: 0,
        })
    }

    /// `sys/leader`.
    pub fn leader(&self) -> Leader {
        Leader {
            ha_enabled: false,
            is_self: false,
            active_time: "0001-01-01T00:00:00Z",
            leader_address: "",
            leader_cluster_address: "",
            performance_standby: false,
            performance_standby_last_remote_wal: 0,
        }
    }
}

/// What is told without asking who asks, where the listener says so.
impl Core {
    /// `sys/metrics` in the form that the query or the `Accept` header names.
    pub async fn metrics(&self, query: &str, accept: &str) -> Outcome {
        let unknown = |name| ApiError::invalid(format!("metric response format \"{name}\" unknown")).plain();
        let format = Format::of(query, accept).map_err(unknown)?;
        let active = self.active();
        let told = self.seen.metrics.tell(format, self.settings(), &self.seen.flights, self.clock(), active.as_ref());
        Ok(Answer::new(AnswerBody::Raw(told.await?)))
    }

    /// Which web pages of other origins may ask; `None` while nobody is told anything.
    pub fn cors(&self) -> Option<Arc<Cors>> {
        self.state().as_ref()?.browser.cors()
    }

    /// Headers of replies below `/ui/`.
    pub fn ui_headers(&self) -> UiHeaders {
        self.state().as_ref().map(|active| UiHeaders::clone(&active.browser.headers())).unwrap_or_default()
    }
}

/// Keys and seal.
impl Core {
    /// `POST sys/init`.
    pub async fn init(&self, input: &InitInput) -> Result<NewKeys, Refusal> {
        let made = self.initialize(input).await?;
        Ok(NewKeys { shares: made.shares, root_token: made.root_token })
    }

    /// `POST sys/unseal`.
    pub async fn unseal_step(&self, input: &UnsealInput) -> Result<SealStatus, Refusal> {
        if input.migrate == Some(true) {
            return Err(ApiError::invalid("can't perform a seal migration, no migration seal found").into());
        }
        if input.reset == Some(true) {
            self.reset_unseal().await?;
        } else {
            let key = input.key.as_ref().filter(|key| !key.expose().is_empty());
            let key = key.ok_or(SealError::KeyMissing)?;
            self.unseal(key.expose()).await?;
        }
        self.seal_status().await
    }

    /// `POST sys/seal`: by a token with `update` and `sudo` there. Sealed already is success.
    pub async fn seal_asked(&self, asked: &Asked) -> Result<(), Refusal> {
        let Some(active) = self.active() else { return Ok(()) };
        active.permit(asked).await?;
        self.seal().await;
        Ok(())
    }

    /// `POST sys/step-down`: there is nobody to take over, so that nothing but the token is asked.
    pub async fn step_down(&self, asked: &Asked) -> Result<(), Refusal> {
        match self.active() {
            Some(active) => active.permit(asked).await,
            None => Ok(()),
        }
    }

    /// Unsealed, with the seal in force.
    pub(super) async fn ready(&self) -> Result<(Arc<Active>, SealConfig), Refusal> {
        let config = self.seal_config().await?;
        let config = config.ok_or_else(|| ApiError::invalid("server is not yet initialized"))?;
        let active = self.active().ok_or_else(ApiError::sealed)?;
        Ok((active, config))
    }
}

impl Active {
    /// Whether the token may `update` the path with `sudo`; asked for what does not go through the routes. Audited.
    async fn permit(self: &Arc<Self>, asked: &Asked) -> Result<(), Refusal> {
        let (routes, data) = (self.routes.load(), Map::new());
        let mount = routes.find(asked.path.as_str()).map(|(mount, _)| mount);
        let facts = |verdict| Facts {
            active: self,
            asked,
            data: &data,
            mount: mount.map(AsRef::as_ref),
            operation: Operation::Update,
            verdict,
            is_login: false,
            has_accessor: true,
        };
        let identified = match self.identify(asked).await {
            Ok(identified) => identified,
            Err(error) => {
                let written = facts(None).denied(None, false, &error).await;
                return Err(written.err().unwrap_or(error).into());
            }
        };
        let ask = Ask { path: asked.path.as_str(), operation: Operation::Update, data: None, wrap_ttl: None, sudo_path: true };
        let verdict = identified.caller.acl.as_ref().map(|acl| acl.check(&ask));
        let verdict = verdict.filter(|verdict| verdict.allowed);
        let outcome = if let Some(verdict) = &verdict {
            match facts(Some(verdict)).request(Some(&identified)) {
                Ok(line) => line.await.map_err(ApiError::internal),
                Err(error) => Err(error),
            }
        } else {
            let error = ApiError::new(ErrorKind::Denied, "permission denied");
            let written = facts(None).denied(Some(&identified), true, &error).await;
            Err(written.err().unwrap_or(error))
        };
        // Sealing takes away what would end it later.
        if let Some(key) = identified.caller.ending() {
            self.tokens.revoke(&key).await.map_err(of_token)?;
        }
        outcome.map_err(Refusal::from)
    }
}

impl From<CoreError> for Refusal {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::Seal(error) => error.into(),
            CoreError::Api(error) => {
                tracing::error!(error = %error, cause = error.cause.as_deref().unwrap_or_default(), "an operator's request failed");
                (*error).into()
            }
        }
    }
}

impl From<SealError> for Refusal {
    fn from(error: SealError) -> Self {
        refusal(error.fault(), &error)
    }
}

/// The answer to an error of the seal.
pub(super) fn refusal(fault: Fault, error: &dyn std::error::Error) -> Refusal {
    match fault {
        Fault::Invalid => ApiError::invalid(error.to_string()),
        Fault::Told => ApiError::new(ErrorKind::Internal, error.to_string()),
        Fault::Internal => {
            tracing::error!(error = %error, "an operator's request failed");
            ApiError::internal(error)
        }
    }
    .into()
}
