//! The access key of a mount's own configuration, replaced where it is stored: the AWS secrets engine has one in `config/root`, the
//! AWS auth method in `config/client` (spec `aws-secrets-engine.md` §21.7).
//!
//! How a key is replaced is [`crate::aws::rotation`]'s; this is what it is written down in. The record of what is open lies at
//! `rotation/root`. Changes of it, and of the pair, expect what they last saw: whoever writes the configuration with another key
//! takes the record over.

use std::future::{Future, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::rotation::{Holding, Ledger, Record, Rotation, Unsaved, Watch, Whose};
use crate::aws::{Aws, KeyPair, Outside, Settings};
use crate::barrier::{BarrierError, Kept, NotKept, Txn, View};
use crate::base::Clock;
use crate::base::turns::{Turn, Turns};

/// A configuration with an access key in it.
pub trait KeyConfig: Serialize + DeserializeOwned + Send + Sync {
    /// Where it is in the mount's storage.
    const KEY: &'static str;

    /// The id of the key in use; empty: none.
    fn access_key(&self) -> &str;

    /// Puts another key in use.
    fn put_pair(&mut self, pair: &KeyPair);
}

/// Who signs with the key.
pub trait Signer: Send {
    /// Another key is in use: nobody is to sign with the old one from now on.
    fn switched(&mut self) -> impl Future<Output = ()> + Send;

    /// See [`Ledger::drained`].
    fn drained(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// The key of one mount.
#[derive(Clone, Copy, Debug)]
pub struct OwnKey<'a> {
    /// The mount's storage.
    pub view: &'a View,
    /// Who changes one record of it waits for its turn.
    pub turns: &'a Arc<Turns>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// How long this process has been watching.
    pub watch: &'a Watch,
    /// Tells other mounts which key is held here.
    pub holding: &'a Holding,
}

impl<'a> OwnKey<'a> {
    /// Waits until nobody else rotates.
    pub async fn turn(&self) -> Turn {
        self.take(RECORD).await
    }

    /// What is open.
    ///
    /// # Errors
    /// Of storage.
    pub async fn record(&self) -> Result<Record, BarrierError> {
        Ok(self.view.read(RECORD).await?.unwrap_or_default())
    }

    /// Where a rotation of the key `in_use` is written down, and what is open of it.
    ///
    /// # Errors
    /// Of storage.
    pub async fn ledger<C: KeyConfig, S: Signer>(
        self,
        in_use: &str,
        signer: S,
    ) -> Result<(OwnLedger<'a, C, S>, Record), BarrierError> {
        let (kept, record) = Kept::open::<Record>(self.view, RECORD).await?;
        let ledger = OwnLedger { own: self, kept, in_use: in_use.to_owned(), signer, config: PhantomData };
        Ok((ledger, record.unwrap_or_default()))
    }

    /// A rotation of the key `in_use`; empty: there was none yet. `aws` signs with it; `settings` are those of the configuration.
    pub fn rotation(&self, outside: &'a Outside, settings: &'a Settings, aws: &'a Aws, in_use: &'a str) -> Rotation<'a> {
        let in_use = Some(in_use).filter(|id| !id.is_empty());
        Rotation { clock: self.clock, outside, settings, aws, watch: self.watch, whose: Whose::Own, in_use }
    }

    /// Stores the configuration, or removes it, and with another access key takes over what is open of the one before.
    ///
    /// # Errors
    /// [`NotKept::Changed`]: a rotation changes its record again and again.
    pub async fn store<C: KeyConfig>(&self, before: Option<&C>, config: Option<&C>) -> Result<(), NotKept> {
        let key = config.map(C::access_key).unwrap_or_default();
        let is_other = before.is_some_and(|before| before.access_key() != key);
        for _ in 0..TRIES {
            let mut txn = self.view.txn();
            match config {
                Some(config) => txn.put(self.view, C::KEY, config).map_err(NotKept::Failed)?,
                None => txn.delete(self.view, C::KEY),
            };
            match self.store_with_record(txn, is_other.then_some(key)).await {
                // A rotation under way has gone on meanwhile.
                Err(NotKept::Changed) => {}
                result => return result.map(|()| self.holding.set(key)),
            }
        }
        Err(NotKept::Changed)
    }

    async fn store_with_record(&self, txn: Txn, other: Option<&str>) -> Result<(), NotKept> {
        if let Some(key) = other {
            let (mut kept, record) = Kept::open::<Record>(self.view, RECORD).await.map_err(NotKept::Failed)?;
            let mut record = record.unwrap_or_default();
            if !record.is_empty() {
                record.close(self.watch, self.clock, key);
                return kept.commit(txn, Some(&record).filter(|record| !record.is_empty())).await;
            }
        }
        txn.commit().await.map_err(NotKept::Failed)
    }

    /// A batch that holds only while the configuration is there with the key `in_use`, and what it is.
    async fn expecting<C: KeyConfig>(&self, in_use: &str) -> Result<(Txn, C), Unsaved> {
        let found = self.view.read_versioned::<C>(C::KEY).await.map_err(|error| Unsaved::Failed(error.to_string()))?;
        let (config, version) = found.filter(|(config, _)| config.access_key() == in_use).ok_or(Unsaved::Closed)?;
        let mut txn = self.view.txn();
        txn.expect_at(self.view, C::KEY, version);
        Ok((txn, config))
    }

    async fn take(&self, key: &str) -> Turn {
        self.turns.take(&self.view.key(key)).await
    }
}

/// See [`OwnKey::ledger`].
#[derive(Debug)]
pub struct OwnLedger<'a, C, S> {
    own: OwnKey<'a>,
    kept: Kept,
    /// The key it is about.
    in_use: String,
    /// Signs with it.
    pub signer: S,
    config: PhantomData<fn() -> C>,
}

impl<C: KeyConfig, S> OwnLedger<'_, C, S> {
    async fn commit(&mut self, txn: Txn, record: &Record) -> Result<(), Unsaved> {
        Ok(self.kept.commit(txn, Some(record).filter(|record| !record.is_empty())).await?)
    }
}

impl<C: KeyConfig, S: Signer> Ledger for OwnLedger<'_, C, S> {
    async fn save(&mut self, record: &Record) -> Result<(), Unsaved> {
        // What of the configuration is changed meanwhile, such as the region, is no reason to stop.
        let _turn = self.own.take(C::KEY).await;
        let (txn, _) = self.own.expecting::<C>(&self.in_use).await?;
        self.commit(txn, record).await
    }

    async fn switch(&mut self, pair: &KeyPair, record: &Record) -> Result<(), Unsaved> {
        let _turn = self.own.take(C::KEY).await;
        let (mut txn, mut config) = self.own.expecting::<C>(&self.in_use).await?;
        config.put_pair(pair);
        txn.put(self.own.view, C::KEY, &config).map_err(|error| Unsaved::Failed(error.to_string()))?;
        self.commit(txn, record).await?;
        self.in_use.clone_from(&pair.id);
        self.own.holding.set(&pair.id);
        self.signer.switched().await;
        Ok(())
    }

    async fn drained(&mut self) {
        self.signer.drained().await;
    }
}

/// What storage said, in the words of a rotation.
impl From<NotKept> for Unsaved {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Changed => Self::Closed,
            NotKept::Failed(error) => Self::Failed(error.to_string()),
            NotKept::Unknown(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Where the record is.
const RECORD: &str = "rotation/root";

/// How often a batch is tried that a rotation under way may have crossed.
const TRIES: usize = 8;
