//! `config/rotate-root`: the access key of `config/client` is replaced by a new one, in two phases
//! (spec `aws-auth-method.md` §4.1; `aws-secrets-engine.md` §21.7).
//!
//! What is open is written down by [`crate::rotation`].

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::Aws;
use crate::aws::rotation::RotationError;
use crate::mount::field::Flag;
use crate::mount::{ApiError, Ctx, Reply, Table};
use crate::rotation::{OwnKey, Signer};

use super::AwsAuth;
use super::client_config::ClientConfig;
use super::clients::Clients;

/// Body of `POST config/rotate-root`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RotateInput {
    /// Also when another mount of this server has the same access key, which is cut off by it.
    force: Option<Flag>,
}

/// Declares the endpoint.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table
        .at("config/rotate-root", "Replaces the access key of config/client by a new one.")
        .update(AwsAuth::rotate_root)
        .issues();
}

impl AwsAuth {
    async fn rotate_root(self: Arc<Self>, _: Ctx, input: RotateInput) -> Result<Reply, ApiError> {
        let own = self.own_key();
        let _turn = own.turn().await;
        let unset = |what: &str| ApiError::invalid(format!("can't update {what} because it's unset"));
        let config = self.stored_client().await?.ok_or_else(|| unset("client config"))?;
        if config.access_key.is_empty() {
            return Err(unset("access_key"));
        }
        if config.secret_key.expose().is_empty() {
            return Err(unset("secret_key"));
        }
        if let Some(text) = self.holding.refusal(&config.access_key)
            && !input.force.is_some_and(|flag| flag.0)
        {
            return Err(ApiError::invalid(text));
        }
        let (mut ledger, record) = own.ledger::<ClientConfig, _>(&config.access_key, &self.clients).await?;
        let (aws, settings) = (self.rotating_client(&config).await?, config.settings(""));
        let rotation = own.rotation(self.outside().await?, &settings, &aws, &config.access_key);
        let id = Box::pin(rotation.rotate(&mut ledger, record)).await.map_err(shown)?;
        Ok(Reply::field("access_key", id.into()))
    }

    /// Goes on with what is open.
    pub(super) async fn tend_root(&self) -> Result<(), ApiError> {
        let own = self.own_key();
        let _turn = own.turn().await;
        let config = self.stored_client().await?.unwrap_or_default();
        let (mut ledger, record) = own.ledger::<ClientConfig, _>(&config.access_key, &self.clients).await?;
        if record.is_empty() {
            return Ok(());
        }
        let (aws, settings) = (self.rotating_client(&config).await?, config.settings(""));
        let rotation = own.rotation(self.outside().await?, &settings, &aws, &config.access_key);
        if let Err(error) = Box::pin(rotation.tend(&mut ledger, record)).await {
            tracing::warn!(error = %error, "a rotation of config/client that is open does not go on yet; it is tried again");
        }
        Ok(())
    }

    /// The key of `config/client`.
    pub(super) fn own_key(&self) -> OwnKey<'_> {
        OwnKey { view: &self.view, turns: &self.deps.turns, clock: &*self.deps.clock, watch: &self.watch, holding: &self.holding }
    }

    /// Signs with the key that is to be replaced; of no cache, so that nobody else does.
    async fn rotating_client(&self, config: &ClientConfig) -> Result<Aws, ApiError> {
        let made = self.outside().await?.connect(&config.settings("")).await;
        made.map_err(|error| ApiError::fault(format!("error calling GetUser: {error}")))
    }
}

impl Signer for &Clients {
    async fn switched(&mut self) {
        self.forget();
    }
}

/// What the caller reads (§4.1).
fn shown(error: RotationError) -> ApiError {
    match error {
        RotationError::TwoKeys(text) => ApiError::invalid(text),
        RotationError::Save(error) => ApiError::fault(format!("error saving new client config: {error}")),
        RotationError::Old { id, error } => ApiError::fault(format!("error deleting old access key ID {id}: {error}")),
        error => ApiError::fault(error.to_string()),
    }
}
