//! `config/rotate-root`: the access key of `config/root` is replaced by a new one (`aws-secrets-engine.md` §5, §21.7).
//!
//! The record of what is open lies at `rotation/root`. Changes of it, and of the pair, expect what they last saw: whoever
//! writes `config/root` with another key takes the record over.

use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::KeyPair;
use crate::aws::rotation::{Ledger, Record, Rotation, RotationError, Unsaved, Whose};
use crate::barrier::{BarrierError, Kept, NotKept, Txn};
use crate::base::{MountPath, Timestamp};
use crate::mount::field::Flag;
use crate::mount::{ApiError, Ctx, Reply};

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
        let _turn = self.deps.turns.take(&self.turn(RECORD)).await;
        let root = self.view.read::<Root>(ROOT).await?;
        let root = root.ok_or_else(|| ApiError::fault("no configuration found for config/root"))?;
        if root.access_key.is_empty() || root.secret_key.expose().is_empty() {
            return Err(ApiError::invalid("Cannot call config/rotate-root when either access_key or secret_key is empty"));
        }
        let others = self.holding.others(&root.access_key);
        if !others.is_empty() && !input.force.is_some_and(|flag| flag.0) {
            return Err(ApiError::invalid(shared(&others)));
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
        let (mut ledger, record) = self.root_ledger(&root.access_key).await?;
        let connection = self.connection().await?;
        let (aws, settings) = (connection.aws.clone(), root.settings());
        ledger.old = Some(connection);
        let rotation = Rotation {
            clock: &*self.deps.clock,
            outside: self.outside().await?,
            settings: &settings,
            aws: &aws,
            watch: &self.watch,
            whose: Whose::Own,
            in_use: Some(&root.access_key),
        };
        rotation.rotate(&mut ledger, record).await.map_err(shown)
    }

    /// Goes on with what is open, and says when to come again.
    pub(super) async fn tend_root(&self) -> Result<Option<Timestamp>, ApiError> {
        let _turn = self.deps.turns.take(&self.turn(RECORD)).await;
        let root = self.view.read::<Root>(ROOT).await?.unwrap_or_default();
        let (mut ledger, record) = self.root_ledger(&root.access_key).await?;
        if record.is_empty() {
            return Ok(None);
        }
        let connection = self.connection().await?;
        let (aws, settings) = (connection.aws.clone(), root.settings());
        ledger.old = Some(connection);
        let rotation = Rotation {
            clock: &*self.deps.clock,
            outside: self.outside().await?,
            settings: &settings,
            aws: &aws,
            watch: &self.watch,
            whose: Whose::Own,
            in_use: Some(root.access_key.as_str()).filter(|id| !id.is_empty()),
        };
        let tended = Box::pin(rotation.tend(&mut ledger, record)).await;
        if let Err(error) = &tended {
            tracing::warn!(error = %error, "a rotation of config/root that is open does not go on yet; it is tried again");
        }
        self.schedule.trouble.set(tended.err().map(|error| error.to_string()));
        let left = self.view.read::<Record>(RECORD).await?.unwrap_or_default();
        Ok(left.next(self.deps.clock.now()))
    }

    /// Stores `config/root`, and with another access key takes over what is open of the one before.
    pub(super) async fn store_root(&self, before: Option<Root>, root: &Root) -> Result<(), ApiError> {
        let is_other = before.is_some_and(|before| before.access_key != root.access_key);
        for _ in 0..TRIES {
            let mut txn = self.view.txn();
            txn.put(&self.view, ROOT, root)?;
            let stored = if is_other {
                let (mut kept, record) = Kept::open::<Record>(&self.view, RECORD).await?;
                let mut record = record.unwrap_or_default();
                if record.is_empty() {
                    txn.commit().await.map_err(NotKept::Failed)
                } else {
                    record.close(&self.watch, &*self.deps.clock, &root.access_key);
                    kept.commit(txn, Some(&record).filter(|record| !record.is_empty())).await
                }
            } else {
                txn.commit().await.map_err(NotKept::Failed)
            };
            match stored {
                Ok(()) => {
                    self.holding.set(&root.access_key);
                    return Ok(());
                }
                // A rotation under way has gone on meanwhile.
                Err(NotKept::Changed) => {}
                Err(NotKept::Failed(error) | NotKept::Unknown(error)) => return Err(error.into()),
            }
        }
        Err(ApiError::internal("a rotation changes its record again and again"))
    }

    /// `rotation` of `status`.
    pub(super) async fn rotation_shown(&self) -> Result<Value, BarrierError> {
        let record = self.view.read::<Record>(RECORD).await?.unwrap_or_default();
        Ok(record.phase().map_or(
            Value::Null,
            |(phase, since)| json!({ "phase": phase, "since": since.rfc3339(), "error": self.schedule.trouble.get() }),
        ))
    }

    /// Ids of keys of ours that are still to be deleted.
    pub(super) async fn keys_to_delete(&self) -> Result<Vec<String>, BarrierError> {
        let record = self.view.read::<Record>(RECORD).await?.unwrap_or_default();
        Ok(record.retired().map(str::to_owned).collect())
    }

    async fn root_ledger(&self, access_key: &str) -> Result<(RootLedger<'_>, Record), BarrierError> {
        let (kept, record) = Kept::open::<Record>(&self.view, RECORD).await?;
        let in_use = access_key.to_owned();
        Ok((RootLedger { plugin: self, kept, in_use, old: None }, record.unwrap_or_default()))
    }
}

/// Writes down a rotation of `config/root`.
struct RootLedger<'a> {
    plugin: &'a AwsSecrets,
    kept: Kept,
    /// The key it is about.
    in_use: String,
    /// Signs with it.
    old: Option<Arc<Connection>>,
}

impl RootLedger<'_> {
    /// A batch that holds only while `config/root` is as it was, and what that is.
    async fn expecting(&self) -> Result<(Txn, Root), Unsaved> {
        let view = &self.plugin.view;
        let found = view.read_versioned::<Root>(ROOT).await.map_err(|error| Unsaved::Failed(error.to_string()))?;
        let (root, version) = found.ok_or(Unsaved::Closed)?;
        if root.access_key != self.in_use {
            return Err(Unsaved::Closed);
        }
        let mut txn = view.txn();
        txn.expect_at(view, ROOT, version);
        Ok((txn, root))
    }

    async fn commit(&mut self, txn: Txn, record: &Record) -> Result<(), Unsaved> {
        self.kept.commit(txn, Some(record).filter(|record| !record.is_empty())).await.map_err(unsaved)
    }
}

impl Ledger for RootLedger<'_> {
    async fn save(&mut self, record: &Record) -> Result<(), Unsaved> {
        let (plugin, turn) = (self.plugin, self.plugin.turn(ROOT));
        // What of it is changed meanwhile, such as the region, is no reason to stop.
        let _turn = plugin.deps.turns.take(&turn).await;
        let (txn, _) = self.expecting().await?;
        self.commit(txn, record).await
    }

    async fn switch(&mut self, pair: &KeyPair, record: &Record) -> Result<(), Unsaved> {
        let (plugin, turn) = (self.plugin, self.plugin.turn(ROOT));
        let _turn = plugin.deps.turns.take(&turn).await;
        let (mut txn, mut root) = self.expecting().await?;
        (root.access_key, root.secret_key) = (pair.id.clone(), pair.secret.clone());
        txn.put(&plugin.view, ROOT, &root).map_err(|error| Unsaved::Failed(error.to_string()))?;
        self.commit(txn, record).await?;
        self.in_use.clone_from(&pair.id);
        plugin.holding.set(&pair.id);
        plugin.forget_connection();
        if let Some(old) = &self.old
            && let Ok(new) = plugin.connection().await
        {
            new.follows(old);
        }
        Ok(())
    }

    async fn drained(&mut self) {
        if let Some(old) = self.old.take() {
            let ended = old.ended();
            drop(old);
            ended.cancelled().await;
        }
    }
}

/// What storage said, in the words of a rotation.
pub(super) fn unsaved(error: NotKept) -> Unsaved {
    match error {
        NotKept::Changed => Unsaved::Closed,
        NotKept::Failed(error) => Unsaved::Failed(error.to_string()),
        NotKept::Unknown(error) => Unsaved::Unknown(error.to_string()),
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
