//! The records of a mount, and how they change.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::barrier::{BarrierError, Guarded, Txn, View};
use crate::base::{Key, random};
use crate::mount::{ApiError, Deps};
use crate::storage::Version as Stored;

use super::merge::merge;
use super::record::{Added, Config, Metadata, Version};

/// The storage of a mount.
#[derive(Debug)]
pub(super) struct Store {
    root: View,
    meta: View,
    data: View,
    deps: Deps,
    /// What holds for all keys, as every write asks for it.
    config: Guarded<Config>,
}

/// A version that was found.
pub(super) struct Found {
    pub(super) metadata: Metadata,
    pub(super) number: u64,
    pub(super) version: Version,
    /// Its object, unless it is deleted or destroyed.
    pub(super) object: Option<Map<String, Value>>,
}

/// What a key shall be.
pub(super) struct Next {
    pub(super) metadata: Metadata,
    /// Versions whose objects go.
    pub(super) without: Vec<(u64, Version)>,
}

/// What a write puts.
pub(super) enum What {
    /// This object.
    Object(Map<String, Value>),
    /// The object of the current version, with this merged into it.
    Patched(Map<String, Value>),
}

/// What came of a write.
pub(super) enum Written {
    /// A new version.
    Version(Map<String, Value>),
    /// Nothing: there is no current version to patch.
    NoVersion,
    /// Nothing: the current version is deleted or destroyed.
    Gone(Map<String, Value>),
}

impl Store {
    pub(super) fn new(view: &View, deps: Deps) -> Self {
        let root = view.sub("v2/");
        Self { meta: root.sub("meta/"), data: root.sub("data/"), root, deps, config: Guarded::new(1) }
    }

    /// A key of storage changed, by its whole name.
    pub(super) fn invalidate(&self, key: &Key) {
        if key.under(self.root.prefix()) == Some(CONFIG) {
            self.config.changed(CONFIG);
        }
    }

    pub(super) fn deps(&self) -> &Deps {
        &self.deps
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.deps.clock.precise()
    }

    /// What holds for all keys.
    pub(super) async fn config(&self) -> Result<Config, ApiError> {
        if let Some(config) = self.config.get(CONFIG) {
            return Ok(config);
        }
        let ticket = self.config.ticket(CONFIG);
        let config: Config = self.root.read(CONFIG).await?.unwrap_or_default();
        self.config.fill(CONFIG, ticket, config.clone());
        Ok(config)
    }

    /// Changes what holds for all keys.
    pub(super) async fn change_config(&self, change: impl Fn(&mut Config) + Send + Sync) -> Result<(), ApiError> {
        let key = self.root.key(CONFIG);
        let _turn = self.deps.turns.take(&key).await;
        for _ in 0..TRIES {
            let (stored, at) = self.root.read_versioned_at::<Config>(&key).await?.unzip();
            let mut config = stored.unwrap_or_default();
            change(&mut config);
            let mut txn = self.root.txn();
            txn.expect(key.clone(), at).put_at(key.clone(), &config)?;
            if is_committed(txn).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// What is known of a key.
    pub(super) async fn metadata(&self, path: &str) -> Result<Option<Metadata>, ApiError> {
        Ok(self.meta.read(path).await?)
    }

    /// Whether a key is known; its versions may all be gone.
    pub(super) async fn is_known(&self, path: &str) -> Result<bool, ApiError> {
        Ok(self.meta.exists(path).await?)
    }

    /// Names below a folder, which is empty or ends in `/`.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, ApiError> {
        Ok(self.meta.list_all(folder).await?)
    }

    /// A version of a key; zero: the current one, also when it is gone.
    pub(super) async fn find(&self, path: &str, number: u64) -> Result<Option<Found>, ApiError> {
        for _ in 0..TRIES {
            let Some(metadata) = self.metadata(path).await? else { return Ok(None) };
            let number = if number == 0 { metadata.current } else { number };
            let Some(version) = metadata.versions.get(&number).copied() else { return Ok(None) };
            if version.is_gone(self.now()) {
                return Ok(Some(Found { metadata, number, version, object: None }));
            }
            if let Some(object) = self.data.read(&data_key(&metadata, number, version)).await? {
                return Ok(Some(Found { metadata, number, version, object: Some(object) }));
            }
            // It was destroyed, or fell off, since the list was read.
        }
        Err(ApiError::internal(format!("a version of the key {path:?} is listed, and its object is not there")))
    }

    /// Writes a version.
    ///
    /// # Errors
    /// 400 when the check-and-set number is another than that of the current version, or is missing and needed.
    pub(super) async fn write(&self, path: &str, what: &What, cas: Option<i64>) -> Result<Written, ApiError> {
        let key = self.meta.key(path);
        let _turn = self.deps.turns.take(&key).await;
        for _ in 0..TRIES {
            let stored = self.meta.read_versioned_at::<Metadata>(&key).await?;
            if stored.is_none() && matches!(what, What::Patched(_)) {
                return Ok(Written::NoVersion);
            }
            let config = self.config().await?;
            let (mut metadata, at) = match stored {
                Some((metadata, at)) => (metadata, Some(at)),
                None => (Metadata::fresh(self.now()), None),
            };
            check_cas(&metadata, &config, cas)?;
            let merged;
            let object = match what {
                What::Object(object) => object,
                What::Patched(patch) => match self.patched(&metadata, patch).await? {
                    Patched::Object(object) => {
                        merged = object;
                        &merged
                    }
                    Patched::NoVersion => return Ok(Written::NoVersion),
                    Patched::Gone(shown) => return Ok(Written::Gone(shown)),
                    Patched::Changed => continue,
                },
            };
            let Added { version, without } = metadata.add(&config, self.now());
            let mut txn = self.change_txn(&key, at, &metadata, &without)?;
            txn.put(&self.data, &data_key(&metadata, metadata.current, version), object)?;
            if is_committed(txn).await? {
                return Ok(Written::Version(metadata.shown_version(metadata.current, version)));
            }
        }
        Err(contended())
    }

    /// Changes what is known of a key. `change` sees what is stored and says what shall be; `None`: all stays. It is asked again
    /// when something came in between.
    pub(super) async fn change<F>(&self, path: &str, change: F) -> Result<(), ApiError>
    where
        F: Fn(Option<Metadata>, &Config, DateTime<Utc>) -> Result<Option<Next>, ApiError> + Send + Sync,
    {
        let key = self.meta.key(path);
        let _turn = self.deps.turns.take(&key).await;
        for _ in 0..TRIES {
            let (stored, at) = self.meta.read_versioned_at::<Metadata>(&key).await?.unzip();
            let config = self.config().await?;
            let Some(next) = change(stored, &config, self.now())? else { return Ok(()) };
            let txn = self.change_txn(&key, at, &next.metadata, &next.without)?;
            if is_committed(txn).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Removes a key with all its versions, if it is there.
    pub(super) async fn remove(&self, path: &str) -> Result<(), ApiError> {
        let key = self.meta.key(path);
        let _turn = self.deps.turns.take(&key).await;
        for _ in 0..TRIES {
            let Some((metadata, at)) = self.meta.read_versioned_at::<Metadata>(&key).await? else { return Ok(()) };
            let mut txn = self.meta.txn();
            txn.expect(key.clone(), Some(at)).delete(&self.meta, path);
            for (number, version) in &metadata.versions {
                txn.delete(&self.data, &data_key(&metadata, *number, *version));
            }
            if is_committed(txn).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Adds a key with one version that has this object, to a batch.
    pub(super) fn put_first(&self, txn: &mut Txn, path: &str, object: &serde_json::value::RawValue) -> Result<(), BarrierError> {
        let mut metadata = Metadata::fresh(self.now());
        let Added { version, .. } = metadata.add(&Config { max_versions: 1, ..Config::default() }, metadata.created);
        txn.expect_absent(&self.meta, path);
        txn.put(&self.data, &data_key(&metadata, metadata.current, version), object)?;
        txn.put(&self.meta, path, &metadata)?;
        Ok(())
    }

    /// The object of the current version with a patch merged into it.
    async fn patched(&self, metadata: &Metadata, patch: &Map<String, Value>) -> Result<Patched, ApiError> {
        let Some(&version) = metadata.versions.get(&metadata.current) else { return Ok(Patched::NoVersion) };
        if version.is_gone(self.now()) {
            return Ok(Patched::Gone(metadata.shown_version(metadata.current, version)));
        }
        let stored = self.data.read(&data_key(metadata, metadata.current, version)).await?;
        let Some(mut object) = stored else { return Ok(Patched::Changed) };
        merge(&mut object, patch);
        Ok(Patched::Object(object))
    }

    fn change_txn(
        &self,
        key: &Key,
        at: Option<Stored>,
        metadata: &Metadata,
        without: &[(u64, Version)],
    ) -> Result<Txn, ApiError> {
        let mut txn = self.meta.txn();
        txn.expect(key.clone(), at).put_at(key.clone(), metadata)?;
        for (number, version) in without {
            txn.delete(&self.data, &data_key(metadata, *number, *version));
        }
        Ok(txn)
    }
}

enum Patched {
    Object(Map<String, Value>),
    NoVersion,
    Gone(Map<String, Value>),
    /// Another node came in between.
    Changed,
}

fn check_cas(metadata: &Metadata, config: &Config, cas: Option<i64>) -> Result<(), ApiError> {
    match cas {
        Some(cas) if u64::try_from(cas) == Ok(metadata.current) => Ok(()),
        Some(_) => Err(ApiError::invalid("check-and-set parameter did not match the current version")),
        None if config.cas_required || metadata.cas_required => {
            Err(ApiError::invalid("check-and-set parameter required for this call"))
        }
        None => Ok(()),
    }
}

/// False: something came in between, and nothing was written.
async fn is_committed(txn: Txn) -> Result<bool, ApiError> {
    match txn.commit().await {
        Ok(()) => Ok(true),
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where the object of a version lies: by the time it was written, so that what is written together shares pages of storage,
/// whatever the keys are, and mostly falls off together as well.
fn data_key(metadata: &Metadata, number: u64, version: Version) -> String {
    let time = random::time62(u64::try_from(version.created.timestamp_millis()).unwrap_or(0));
    // A time, an id and a number of digits.
    let mut key = String::with_capacity(48);
    // Writing to memory does not fail.
    let _ = write!(key, "{time}-{}-{number}", metadata.id);
    key
}

fn contended() -> ApiError {
    ApiError::internal("the key changed under every attempt")
}

const CONFIG: &str = "config";

/// How often a batch is tried when what it was decided on has changed, or a read of two records that do not go together. Who
/// changes a key has its turn, so this is about other nodes, and readers.
const TRIES: usize = 8;
