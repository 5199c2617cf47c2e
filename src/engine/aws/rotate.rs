//! `config/rotate-root`: the access key of `config/root` is replaced by a new one (`aws-secrets-engine.md` §5, §21.7).
//!
//! What is open is written down by [`crate::rotation`].

use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::aws::rotation::RotationError;
use crate::barrier::BarrierError;
use crate::base::Timestamp;
use crate::mount::field::Flag;
use crate::mount::{ApiError, Ctx, Reply};
use crate::rotation::{OwnKey, Signer};

use super::AwsSecrets;
use super::config::{ROOT, Root};
use super::connection::Connection;

/// Body of `POST config/rotate-root`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RotateInput {
    /// Also when another mount of this server has the same access key, which is cut off by it.
    force: Option<Flag>,
}

/// What went wrong last, for `status`. Guards a text; who rotates or asks; held to copy it.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<String>>);

impl Trouble {
    fn set(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl AwsSecrets {
    pub(super) async fn rotate_root(self: Arc<Self>, cx: Ctx, input: RotateInput) -> Result<Reply, ApiError> {
        let _turn = self.own_key().turn().await;
        let root = self.view.read::<Root>(ROOT).await?;
        let root = root.ok_or_else(|| ApiError::fault("no configuration found for config/root"))?;
        if root.access_key.is_empty() || root.secret_key.expose().is_empty() {
            return Err(ApiError::invalid("Cannot call config/rotate-root when either access_key or secret_key is empty"));
        }
        if let Some(text) = self.holding.refusal(&root.access_key)
            && !input.force.is_some_and(|flag| flag.0)
        {
            return Err(ApiError::invalid(text));
        }
        let rotated = Box::pin(self.rotate_now(&root)).await;
        self.schedule.trouble.set(rotated.as_ref().err().map(|error| error.text.clone()));
        // What is left of it is tended.
        self.wake_schedule();
        let id = rotated?;
        // What could not be ended by the old key may be by the new.
        cx.leases().hasten();
        Ok(Reply::field("access_key", id.into()))
    }

    async fn rotate_now(&self, root: &Root) -> Result<String, ApiError> {
        let own = self.own_key();
        let (mut ledger, record) = own.ledger::<Root, _>(&root.access_key, self.signer()).await?;
        let (aws, settings) = (ledger.signer.signs_with(self.connection().await?), root.settings());
        let rotation = own.rotation(self.outside().await?, &settings, &aws, &root.access_key);
        rotation.rotate(&mut ledger, record).await.map_err(shown)
    }

    /// Goes on with what is open, and says when to come again.
    pub(super) async fn tend_root(&self) -> Result<Option<Timestamp>, ApiError> {
        let own = self.own_key();
        let _turn = own.turn().await;
        let root = self.view.read::<Root>(ROOT).await?.unwrap_or_default();
        let (mut ledger, record) = own.ledger::<Root, _>(&root.access_key, self.signer()).await?;
        if record.is_empty() {
            return Ok(None);
        }
        let (aws, settings) = (ledger.signer.signs_with(self.connection().await?), root.settings());
        let rotation = own.rotation(self.outside().await?, &settings, &aws, &root.access_key);
        let tended = Box::pin(rotation.tend(&mut ledger, record)).await;
        if let Err(error) = &tended {
            tracing::warn!(error = %error, "a rotation of config/root that is open does not go on yet; it is tried again");
        }
        self.schedule.trouble.set(tended.err().map(|error| error.to_string()));
        Ok(own.record().await?.next(self.deps.clock.now()))
    }

    /// `rotation` of `status`.
    pub(super) async fn rotation_shown(&self) -> Result<Value, BarrierError> {
        Ok(self.own_key().record().await?.phase().map_or(
            Value::Null,
            |(phase, since)| json!({ "phase": phase, "since": since.rfc3339(), "error": self.schedule.trouble.get() }),
        ))
    }

    /// Ids of keys of ours that are still to be deleted.
    pub(super) async fn keys_to_delete(&self) -> Result<Vec<String>, BarrierError> {
        Ok(self.own_key().record().await?.retired().map(str::to_owned).collect())
    }

    /// The key of `config/root`.
    pub(super) fn own_key(&self) -> OwnKey<'_> {
        OwnKey { view: &self.view, turns: &self.deps.turns, clock: &*self.deps.clock, watch: &self.watch, holding: &self.holding }
    }

    fn signer(&self) -> RootSigner<'_> {
        RootSigner { plugin: self, old: None }
    }
}

/// The connection that signs with the key of `config/root`.
struct RootSigner<'a> {
    plugin: &'a AwsSecrets,
    old: Option<Arc<Connection>>,
}

impl RootSigner<'_> {
    fn signs_with(&mut self, connection: Arc<Connection>) -> Aws {
        self.old.insert(connection).aws.clone()
    }
}

impl Signer for RootSigner<'_> {
    async fn switched(&mut self) {
        self.plugin.forget_connection();
        if let Some(old) = &self.old
            && let Ok(new) = self.plugin.connection().await
        {
            new.follows(old);
        }
    }

    async fn drained(&mut self) {
        if let Some(old) = self.old.take() {
            let ended = old.ended();
            drop(old);
            ended.cancelled().await;
        }
    }
}

/// What the caller reads (§5).
fn shown(error: RotationError) -> ApiError {
    match error {
        RotationError::TwoKeys(text) => ApiError::invalid(text),
        RotationError::Save(error) => ApiError::fault(format!("error saving new config/root: {error}")),
        error => ApiError::fault(error.to_string()),
    }
}
