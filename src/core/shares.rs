//! What holders of shares can do together: make a root token, and deal new shares (spec `sys.md` §2).
//!
//! The machines are of `seal`; here they meet storage, tokens, and the lock that has operators wait for each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::base::Secret;
use crate::mount::ApiError;
use crate::seal::{self, Dealt, RekeyError, RekeyStep, RootGenerationError, RootStep, VerifyStep};

pub use crate::seal::{RekeyInput, RekeyStatus, RootStatus, VerifyStatus};

use super::answer::Refusal;
use super::operator::{Texts, refusal};
use super::seal_state::Core;

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
        Ok(self.ceremonies().root.begin(&config, otp, pgp_key)?)
    }

    /// `POST sys/generate-root/update`.
    pub async fn update_root(&self, input: &ShareInput) -> Result<RootStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        let (active, config) = self.ready().await?;
        let step = self.ceremonies().root.update(&config, input.key(), input.nonce())?;
        let key = match step {
            RootStep::Waiting(status) => return Ok(status),
            RootStep::Authenticate(key) => key,
        };
        seal::open(self.storage().as_ref(), &key).await.map_err(RootGenerationError::aborted)?;
        let token = active.root_token().await?;
        tracing::warn!("a root token was made of unseal shares");
        Ok(self.ceremonies().root.finish(&config, &token)?)
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
        Ok(self.ceremonies().rekey.begin(&config, input)?)
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
        let step = self.ceremonies().rekey.update(&config, input.key(), input.nonce())?;
        let key = match step {
            RekeyStep::Waiting(status) => return Ok(RekeyReply::Waiting(status)),
            RekeyStep::Authenticate(key) => key,
        };
        let root = seal::open(self.storage().as_ref(), &key).await.map_err(RekeyError::unread)?;
        // Taken out for as long as it waits; nobody looks for it meanwhile, for all who do wait for the same lock.
        let mut rekey = std::mem::take(&mut self.ceremonies().rekey);
        let dealt = rekey.deal(&root).await;
        self.ceremonies().rekey = rekey;
        let mut dealt = dealt?;
        if let Some(change) = dealt.change.take() {
            change.commit(self.storage().as_ref()).await?;
            self.ceremonies().rekey.finish();
            tracing::warn!("new unseal shares are in force");
        }
        Ok(RekeyReply::Complete(RekeyKeys(dealt)))
    }

    /// `GET sys/rekey/verify`.
    pub async fn verify_status(&self) -> Result<VerifyStatus, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        Ok(self.ceremonies().rekey.verify_status()?)
    }

    /// `POST sys/rekey/verify`.
    pub async fn verify_rekey(&self, input: &ShareInput) -> Result<VerifyReply, Refusal> {
        let _one_at_a_time = self.admin.lock().await;
        self.ready().await?;
        let step = self.ceremonies().rekey.verify(input.key(), input.nonce())?;
        match step {
            VerifyStep::Waiting(status) => Ok(VerifyReply::Waiting(status)),
            VerifyStep::Complete { nonce, change } => {
                change.commit(self.storage().as_ref()).await?;
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
        Ok(self.ceremonies().rekey.restart_verification()?)
    }

    /// `sys/rekey-recovery-key/*`: this kind of seal has no recovery keys.
    pub async fn rekey_recovery_key(&self) -> Result<(), Refusal> {
        self.ready().await?;
        Err(ApiError::invalid("recovery rekeying not supported").into())
    }
}

impl From<RootGenerationError> for Refusal {
    fn from(error: RootGenerationError) -> Self {
        refusal(error.fault(), &error)
    }
}

impl From<RekeyError> for Refusal {
    fn from(error: RekeyError) -> Self {
        refusal(error.fault(), &error)
    }
}
