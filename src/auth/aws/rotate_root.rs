//! `config/rotate-root`: the access key of `config/client` is replaced by a new one, in two phases
//! (spec `aws-auth-method.md` §4.1; `aws-secrets-engine.md` §21.7).
//!
//! The record of what is open lies at `rotation/root`. Changes of it, and of the pair, expect what they last saw: whoever writes
//! `config/client` with another key takes the record over.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::rotation::{Ledger, Record, Rotation, RotationError, Unsaved, Whose};
use crate::aws::{Aws, KeyPair};
use crate::barrier::{BarrierError, Kept, NotKept, Txn};
use crate::base::MountPath;
use crate::mount::field::Flag;
use crate::mount::{ApiError, Ctx, Reply, Table};

use super::AwsAuth;
use super::client_config::{CLIENT, ClientConfig};

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
        let _turn = self.turn(RECORD).await;
        let unset = |what: &str| ApiError::invalid(format!("can't update {what} because it's unset"));
        let config = self.stored_client().await?.ok_or_else(|| unset("client config"))?;
        if config.access_key.is_empty() {
            return Err(unset("access_key"));
        }
        if config.secret_key.expose().is_empty() {
            return Err(unset("secret_key"));
        }
        let others = self.holding.others(&config.access_key);
        if !others.is_empty() && !input.force.is_some_and(|flag| flag.0) {
            return Err(ApiError::invalid(shared(&others)));
        }
        let (mut ledger, record) = self.root_ledger(&config.access_key).await?;
        let (aws, settings) = (self.rotating_client(&config).await?, config.settings(""));
        let rotation = Rotation {
            clock: &*self.deps.clock,
            outside: self.outside().await?,
            settings: &settings,
            aws: &aws,
            watch: &self.watch,
            whose: Whose::Own,
            in_use: Some(&config.access_key),
        };
        let id = Box::pin(rotation.rotate(&mut ledger, record)).await.map_err(shown)?;
        Ok(Reply::field("access_key", id.into()))
    }

    /// Goes on with what is open.
    pub(super) async fn tend_root(&self) -> Result<(), ApiError> {
        let _turn = self.turn(RECORD).await;
        let config = self.stored_client().await?.unwrap_or_default();
        let (mut ledger, record) = self.root_ledger(&config.access_key).await?;
        if record.is_empty() {
            return Ok(());
        }
        let (aws, settings) = (self.rotating_client(&config).await?, config.settings(""));
        let rotation = Rotation {
            clock: &*self.deps.clock,
            outside: self.outside().await?,
            settings: &settings,
            aws: &aws,
            watch: &self.watch,
            whose: Whose::Own,
            in_use: Some(config.access_key.as_str()).filter(|id| !id.is_empty()),
        };
        if let Err(error) = Box::pin(rotation.tend(&mut ledger, record)).await {
            tracing::warn!(error = %error, "a rotation of config/client that is open does not go on yet; it is tried again");
        }
        Ok(())
    }

    /// Stores `config/client`, or removes it, and with another access key takes over what is open of the one before.
    pub(super) async fn store_client(
        &self,
        before: Option<&ClientConfig>,
        config: Option<&ClientConfig>,
    ) -> Result<(), ApiError> {
        let key = config.map(|config| config.access_key.as_str()).unwrap_or_default();
        let is_other = before.is_some_and(|before| before.access_key != key);
        for _ in 0..TRIES {
            let mut txn = self.view.txn();
            match config {
                Some(config) => txn.put(&self.view, CLIENT, config)?,
                None => txn.delete(&self.view, CLIENT),
            };
            let (mut kept, record) = Kept::open::<Record>(&self.view, RECORD).await?;
            let mut record = record.unwrap_or_default();
            let stored = if is_other && !record.is_empty() {
                record.close(&self.watch, &*self.deps.clock, key);
                kept.commit(txn, Some(&record).filter(|record| !record.is_empty())).await
            } else {
                txn.commit().await.map_err(NotKept::Failed)
            };
            match stored {
                Ok(()) => {
                    self.holding.set(key);
                    self.clients.forget();
                    return Ok(());
                }
                // A rotation under way has gone on meanwhile.
                Err(NotKept::Changed) => {}
                Err(NotKept::Failed(error) | NotKept::Unknown(error)) => return Err(error.into()),
            }
        }
        Err(ApiError::internal("a rotation changes its record again and again"))
    }

    /// Signs with the key that is to be replaced; of no cache, so that nobody else does.
    async fn rotating_client(&self, config: &ClientConfig) -> Result<Aws, ApiError> {
        let made = self.outside().await?.connect(&config.settings("")).await;
        made.map_err(|error| ApiError::fault(format!("error calling GetUser: {error}")))
    }

    async fn root_ledger(&self, access_key: &str) -> Result<(RootLedger<'_>, Record), BarrierError> {
        let (kept, record) = Kept::open::<Record>(&self.view, RECORD).await?;
        Ok((RootLedger { plugin: self, kept, in_use: access_key.to_owned() }, record.unwrap_or_default()))
    }
}

/// Writes down a rotation of `config/client`.
struct RootLedger<'a> {
    plugin: &'a AwsAuth,
    kept: Kept,
    /// The key it is about.
    in_use: String,
}

impl RootLedger<'_> {
    /// A batch that holds only while `config/client` is as it was, and what that is.
    async fn expecting(&self) -> Result<(Txn, ClientConfig), Unsaved> {
        let view = &self.plugin.view;
        let found = view.read_versioned::<ClientConfig>(CLIENT).await.map_err(|error| Unsaved::Failed(error.to_string()))?;
        let (config, version) = found.ok_or(Unsaved::Closed)?;
        if config.access_key != self.in_use {
            return Err(Unsaved::Closed);
        }
        let mut txn = view.txn();
        txn.expect_at(view, CLIENT, version);
        Ok((txn, config))
    }

    async fn commit(&mut self, txn: Txn, record: &Record) -> Result<(), Unsaved> {
        self.kept.commit(txn, Some(record).filter(|record| !record.is_empty())).await.map_err(|error| match error {
            NotKept::Changed => Unsaved::Closed,
            NotKept::Failed(error) => Unsaved::Failed(error.to_string()),
            NotKept::Unknown(error) => Unsaved::Unknown(error.to_string()),
        })
    }
}

impl Ledger for RootLedger<'_> {
    async fn save(&mut self, record: &Record) -> Result<(), Unsaved> {
        // What of it is changed meanwhile, such as an endpoint, is no reason to stop.
        let _turn = self.plugin.turn(CLIENT).await;
        let (txn, _) = self.expecting().await?;
        self.commit(txn, record).await
    }

    async fn switch(&mut self, pair: &KeyPair, record: &Record) -> Result<(), Unsaved> {
        let plugin = self.plugin;
        let _turn = plugin.turn(CLIENT).await;
        let (mut txn, mut config) = self.expecting().await?;
        (config.access_key, config.secret_key) = (pair.id.clone(), pair.secret.clone());
        txn.put(&plugin.view, CLIENT, &config).map_err(|error| Unsaved::Failed(error.to_string()))?;
        self.commit(txn, record).await?;
        self.in_use.clone_from(&pair.id);
        plugin.holding.set(&pair.id);
        plugin.clients.forget();
        Ok(())
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

fn shared(others: &[MountPath]) -> String {
    let names: Vec<&str> = others.iter().map(MountPath::as_str).collect();
    format!(
        "the access key is also that of {}, which a rotation here would cut off; to rotate it all the same, set force=true",
        names.join(", ")
    )
}

/// Where the record is.
const RECORD: &str = "rotation/root";

/// How often a batch is tried that a rotation under way may have crossed.
const TRIES: usize = 8;
