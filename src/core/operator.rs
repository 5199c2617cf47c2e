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
use crate::seal::{
    self, Dealt, Fault, RekeyError, RekeyStep, RootGenerationError, RootStep, SealConfig, SealError, Share, VerifyStep,
};

pub use crate::seal::{InitInput, RekeyInput, RekeyStatus, RootStatus, VerifyStatus};

use super::Active;
use super::access::of_token;
use super::answer::Refusal;
use super::audited::Facts;
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

/// A share for a rekey or a root token.
#[derive(Debug, Default, Deserialize)]
pub struct ShareInput {
    /// The share, as hex or base64.
    #[serde(default)]
    pub key: Option<Secret<String>>,
    /// Names what it is for.
    #[serde(default)]
    pub nonce: Option<String>,
}

impl ShareInput {
    fn key(&self) -> &str {
        self.key.as_ref().map_or("", |key| key.expose())
    }

    fn nonce(&self) -> &str {
        self.nonce.as_deref().unwrap_or_default()
    }
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

/// What an old share has led to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RekeyReply {
    /// More are needed.
    Waiting(RekeyStatus),
    /// New shares.
    Complete(RekeyKeys),
}

/// New shares. Told once.
#[derive(Debug)]
pub struct RekeyKeys(Dealt);

impl Serialize for RekeyKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dealt = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("nonce", &dealt.nonce)?;
        map.serialize_entry("complete", &true)?;
        map.serialize_entry("keys", &Texts(&dealt.shares, |share| hex::encode(share)))?;
        map.serialize_entry("keys_base64", &Texts(&dealt.shares, |share| STANDARD.encode(share)))?;
        map.serialize_entry("pgp_fingerprints", &())?;
        map.serialize_entry("backup", &false)?;
        map.serialize_entry("verification_required", &dealt.verification_nonce.is_some())?;
        if let Some(nonce) = &dealt.verification_nonce {
            map.serialize_entry("verification_nonce", nonce)?;
        }
        map.end()
    }
}

/// What a new share has led to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum VerifyReply {
    /// More are needed.
    Waiting(VerifyStatus),
    /// From now on the new shares count.
    Complete {
        /// Of the verification.
        nonce: String,
        /// Always true.
        complete: bool,
    },
}

/// Shares in some form of text.
struct Texts<'a>(&'a [Share], fn(&[u8]) -> String);

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
        Ok(self.seal_config().await.map_err(of_seal)?.is_some())
    }

    /// `sys/seal-status`.
    pub async fn seal_status(&self) -> Result<SealStatus, Refusal> {
        let config = self.seal_config().await.map_err(of_seal)?;
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

/// Keys and seal.
impl Core {
    /// `POST sys/init`.
    pub async fn init(&self, input: &InitInput) -> Result<NewKeys, Refusal> {
        let made = self.initialize(input).await.map_err(of_core)?;
        Ok(NewKeys { shares: made.shares, root_token: made.root_token })
    }

    /// `POST sys/unseal`.
    pub async fn unseal_step(&self, input: &UnsealInput) -> Result<SealStatus, Refusal> {
        if input.migrate == Some(true) {
            return Err(ApiError::invalid("no migration of the seal is under way").into());
        }
        if input.reset == Some(true) {
            self.reset_unseal().await.map_err(of_core)?;
        } else {
            let key = input.key.as_ref().filter(|key| !key.expose().is_empty());
            let key = key.ok_or_else(|| of_seal(SealError::KeyMissing))?;
            self.unseal(key.expose()).await.map_err(of_core)?;
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
    async fn ready(&self) -> Result<(Arc<Active>, SealConfig), Refusal> {
        let config = self.seal_config().await.map_err(of_seal)?;
        let config = config.ok_or_else(|| ApiError::invalid("server is not yet initialized"))?;
        let active = self.active().ok_or_else(ApiError::sealed)?;
        Ok((active, config))
    }
}

/// A root token of shares.
impl Core {
    /// `GET sys/generate-root/attempt`.
    pub async fn root_status(&self) -> Result<RootStatus, Refusal> {
        let (_, config) = self.ready().await?;
        Ok(self.ceremonies().root.status(&config))
    }

    /// `POST sys/generate-root/attempt`.
    pub async fn begin_root(&self, otp: &str, pgp_key: &str) -> Result<RootStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        let (_, config) = self.ready().await?;
        self.ceremonies().root.begin(&config, otp, pgp_key).map_err(of_root)
    }

    /// `POST sys/generate-root/update`.
    pub async fn update_root(&self, input: &ShareInput) -> Result<RootStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        let (active, config) = self.ready().await?;
        let step = self.ceremonies().root.update(&config, input.key(), input.nonce()).map_err(of_root)?;
        let key = match step {
            RootStep::Waiting(status) => return Ok(status),
            RootStep::Authenticate(key) => key,
        };
        seal::open(self.storage().as_ref(), &key).await.map_err(RootGenerationError::aborted).map_err(of_root)?;
        let token = active.root_token().await?;
        tracing::warn!("a root token was made of unseal shares");
        self.ceremonies().root.finish(&config, &token).map_err(of_root)
    }

    /// `DELETE sys/generate-root/attempt`.
    pub async fn cancel_root(&self) -> Result<(), Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        self.ceremonies().root.cancel();
        Ok(())
    }
}

/// New shares.
impl Core {
    /// `GET sys/rekey/init`.
    pub async fn rekey_status(&self) -> Result<RekeyStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        let (_, config) = self.ready().await?;
        Ok(self.ceremonies().rekey.status(&config))
    }

    /// `POST sys/rekey/init`.
    pub async fn begin_rekey(&self, input: &RekeyInput) -> Result<RekeyStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        let (_, config) = self.ready().await?;
        self.ceremonies().rekey.begin(&config, input).map_err(of_rekey)
    }

    /// `DELETE sys/rekey/init`.
    pub async fn cancel_rekey(&self) -> Result<(), Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        self.ceremonies().rekey.finish();
        Ok(())
    }

    /// `POST sys/rekey/update`.
    pub async fn update_rekey(&self, input: &ShareInput) -> Result<RekeyReply, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        let (_, config) = self.ready().await?;
        let step = self.ceremonies().rekey.update(&config, input.key(), input.nonce()).map_err(of_rekey)?;
        let key = match step {
            RekeyStep::Waiting(status) => return Ok(RekeyReply::Waiting(status)),
            RekeyStep::Authenticate(key) => key,
        };
        let root = seal::open(self.storage().as_ref(), &key).await.map_err(RekeyError::unread).map_err(of_rekey)?;
        // Taken out for as long as it waits; nobody looks for it meanwhile, for all who do wait for the same lock.
        let mut rekey = std::mem::take(&mut self.ceremonies().rekey);
        let dealt = rekey.deal(&root).await;
        self.ceremonies().rekey = rekey;
        let mut dealt = dealt.map_err(of_rekey)?;
        if let Some(change) = dealt.change.take() {
            change.commit(self.storage().as_ref()).await.map_err(of_seal)?;
            self.ceremonies().rekey.finish();
            tracing::warn!("new unseal shares are in force");
        }
        Ok(RekeyReply::Complete(RekeyKeys(dealt)))
    }

    /// `GET sys/rekey/verify`.
    pub async fn verify_status(&self) -> Result<VerifyStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        self.ceremonies().rekey.verify_status().map_err(of_rekey)
    }

    /// `POST sys/rekey/verify`.
    pub async fn verify_rekey(&self, input: &ShareInput) -> Result<VerifyReply, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        let step = self.ceremonies().rekey.verify(input.key(), input.nonce()).map_err(of_rekey)?;
        match step {
            VerifyStep::Waiting(status) => Ok(VerifyReply::Waiting(status)),
            VerifyStep::Complete { nonce, change } => {
                change.commit(self.storage().as_ref()).await.map_err(of_seal)?;
                self.ceremonies().rekey.finish();
                tracing::warn!("new unseal shares are in force");
                Ok(VerifyReply::Complete { nonce, complete: true })
            }
        }
    }

    /// `DELETE sys/rekey/verify`.
    pub async fn restart_verification(&self) -> Result<VerifyStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        self.ceremonies().rekey.restart_verification().map_err(of_rekey)
    }

    /// `sys/rekey-recovery-key/*`: this kind of seal has no recovery keys.
    pub async fn rekey_recovery_key(&self) -> Result<(), Refusal> {
        self.ready().await?;
        Err(ApiError::invalid("recovery rekeying not supported").into())
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
        let verdict = verdict.filter(|verdict| verdict.allowed && verdict.sudo);
        let outcome = match &verdict {
            Some(verdict) => facts(Some(verdict)).request(Some(&identified)).await,
            None => {
                let error = ApiError::new(ErrorKind::Denied, "permission denied");
                let written = facts(None).denied(Some(&identified), true, &error).await;
                Err(written.err().unwrap_or(error))
            }
        };
        // Sealing takes away what would end it later.
        if let Some(key) = identified.caller.key().filter(|_| identified.caller.is_last_use) {
            self.tokens.revoke(key).await.map_err(of_token)?;
        }
        outcome.map_err(Refusal::from)
    }
}

fn of_core(error: CoreError) -> Refusal {
    match error {
        CoreError::Seal(error) => of_seal(error),
        CoreError::Api(error) => {
            tracing::error!(error = %error, cause = error.cause.as_deref().unwrap_or_default(), "an operator's request failed");
            (*error).into()
        }
    }
}

fn of_seal(error: SealError) -> Refusal {
    of_fault(error.fault(), &error)
}

fn of_root(error: RootGenerationError) -> Refusal {
    of_fault(error.fault(), &error)
}

fn of_rekey(error: RekeyError) -> Refusal {
    of_fault(error.fault(), &error)
}

fn of_fault(fault: Fault, error: &dyn std::error::Error) -> Refusal {
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
