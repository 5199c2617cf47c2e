//! A prefix of the barrier, and batches over several of them.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::{Key, Secret};
use crate::storage::{Batch, Expect, Page, StorageError, Stored, Version, Write};

use super::keyring::Nonces;
use super::tally::Held;
use super::{Barrier, BarrierError};

/// Everything under a prefix. Keys given to its functions are relative to it.
#[derive(Clone, Debug)]
pub struct View {
    barrier: Arc<Barrier>,
    prefix: Key,
}

impl View {
    pub(super) fn new(barrier: Arc<Barrier>, prefix: Key) -> Self {
        Self { barrier, prefix }
    }

    /// The part of this view under `prefix`, which ends in `/`.
    #[must_use]
    pub fn sub(&self, prefix: &str) -> Self {
        Self { barrier: Arc::clone(&self.barrier), prefix: self.prefix.join(prefix) }
    }

    /// The whole storage key of `key`.
    pub fn key(&self, key: &str) -> Key {
        self.prefix.join(key)
    }

    /// What the keys of this view begin with.
    pub fn prefix(&self) -> &Key {
        &self.prefix
    }

    /// The barrier this is a view of.
    pub fn barrier(&self) -> &Arc<Barrier> {
        &self.barrier
    }

    /// The record at `key`.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, BarrierError> {
        let key = self.key(key);
        match self.barrier.storage().get(&key).await? {
            Some(stored) => self.decode(&key, &stored).map(Some),
            None => Ok(None),
        }
    }

    /// The record at `key`, and the version to expect when it is replaced.
    pub async fn read_versioned<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Version)>, BarrierError> {
        self.read_versioned_at(&self.key(key)).await
    }

    /// The same at a whole key of this view, for who uses it again.
    pub async fn read_versioned_at<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<(T, Version)>, BarrierError> {
        match self.barrier.storage().get(key).await? {
            Some(stored) => self.decode(key, &stored).map(|record| Some((record, stored.version()))),
            None => Ok(None),
        }
    }

    /// The plain bytes at `key`.
    pub async fn read_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, BarrierError> {
        let key = self.key(key);
        match self.barrier.storage().get(&key).await? {
            Some(stored) => self.barrier.open(&key, &stored.bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Whether something is stored at `key`; it is not opened.
    pub async fn exists(&self, key: &str) -> Result<bool, BarrierError> {
        Ok(self.barrier.storage().get(&self.key(key)).await?.is_some())
    }

    /// Whether nothing is stored under `prefix`.
    pub async fn is_empty(&self, prefix: &str) -> Result<bool, BarrierError> {
        Ok(self.barrier.storage().scan(&self.key(prefix), Page::first(1)).await?.is_empty())
    }

    /// Immediate children of `prefix` (empty, or ending in `/`); folders end in `/`.
    pub async fn list(&self, prefix: &str, page: Page<'_>) -> Result<Vec<String>, BarrierError> {
        Ok(self.barrier.storage().list(&self.key(prefix), page).await?)
    }

    /// All immediate children of `prefix`, by pages. For lists whose length the API does not bound.
    pub async fn list_all(&self, prefix: &str) -> Result<Vec<String>, BarrierError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = Page { after: names.last().map(String::as_str), limit: PAGE };
            let more = self.list(prefix, page).await?;
            let is_last = more.len() < PAGE;
            names.extend(more);
            if is_last {
                return Ok(names);
            }
        }
    }

    /// Records under `prefix` in order, their keys relative to this view; `page.after` likewise.
    pub async fn scan<T: DeserializeOwned>(&self, prefix: &str, page: Page<'_>) -> Result<Vec<(String, T)>, BarrierError> {
        let after = page.after.map(|after| self.key(after));
        let page = Page { after: after.as_ref().map(Key::as_str), limit: page.limit };
        let found = self.barrier.storage().scan(&self.key(prefix), page).await?;
        found
            .into_iter()
            .map(|(key, stored)| Ok((key.under(&self.prefix).unwrap_or_default().to_owned(), self.decode(&key, &stored)?)))
            .collect()
    }

    /// Keys under `prefix` in order, relative to this view, without opening the values.
    pub async fn scan_keys(&self, prefix: &str, page: Page<'_>) -> Result<Vec<String>, BarrierError> {
        let after = page.after.map(|after| self.key(after));
        let page = Page { after: after.as_ref().map(Key::as_str), limit: page.limit };
        let found = self.barrier.storage().scan(&self.key(prefix), page).await?;
        Ok(found.into_iter().map(|(key, _)| key.under(&self.prefix).unwrap_or_default().to_owned()).collect())
    }

    /// All records of this view in order of their keys, by pages, for what has to be in memory at once.
    pub async fn scan_all<T: DeserializeOwned>(&self) -> Result<Vec<T>, BarrierError> {
        let mut records = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, T)> = self.scan("", Page { after: after.as_deref(), limit: PAGE }).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(key, _)| key.clone());
            records.extend(page.into_iter().map(|(_, record)| record));
            if is_last {
                return Ok(records);
            }
        }
    }

    /// All keys of this view in order, by pages, without opening the values.
    pub async fn scan_keys_all(&self) -> Result<Vec<String>, BarrierError> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let page = Page { after: keys.last().map(String::as_str), limit: PAGE };
            let more = self.scan_keys("", page).await?;
            let is_last = more.len() < PAGE;
            keys.extend(more);
            if is_last {
                return Ok(keys);
            }
        }
    }

    /// An empty batch.
    pub fn txn(&self) -> Txn {
        self.barrier.txn()
    }

    /// Writes one record, in a batch of its own.
    pub async fn put<T: Serialize + ?Sized>(&self, key: &str, record: &T) -> Result<(), BarrierError> {
        let mut txn = self.txn();
        txn.put(self, key, record)?;
        txn.commit().await
    }

    /// Removes one key, in a batch of its own.
    pub async fn delete(&self, key: &str) -> Result<(), BarrierError> {
        let mut txn = self.txn();
        txn.delete(self, key);
        txn.commit().await
    }

    fn decode<T: DeserializeOwned>(&self, key: &Key, stored: &Stored) -> Result<T, BarrierError> {
        let plain = zeroize::Zeroizing::new(self.barrier.open(key, &stored.bytes)?);
        crate::base::json::read_back(&plain).map_err(|error| BarrierError::Decode(key.clone(), decode_reason(&error)))
    }
}

/// One batch over any views of one barrier. Nothing happens before [`Txn::commit`]; dropped, it never happened.
#[derive(Debug)]
pub struct Txn {
    barrier: Arc<Barrier>,
    batch: Batch,
    nonces: Nonces,
    /// Where records are written before they are sealed.
    plain: Secret<Vec<u8>>,
    pub(super) tallies: Vec<Held>,
}

impl Txn {
    pub(super) fn new(barrier: Arc<Barrier>) -> Self {
        Self { barrier, batch: Batch::default(), nonces: Nonces::default(), plain: Secret::default(), tallies: Vec::new() }
    }

    /// Puts a record.
    pub fn put<T: Serialize + ?Sized>(&mut self, view: &View, key: &str, record: &T) -> Result<&mut Self, BarrierError> {
        self.put_at(view.key(key), record)
    }

    /// The same at a whole key, for who uses it again.
    pub fn put_at<T: Serialize + ?Sized>(&mut self, key: Key, record: &T) -> Result<&mut Self, BarrierError> {
        let plain = self.plain.expose_mut();
        plain.clear();
        // Room for most: to grow leaves what was written so far behind in memory.
        plain.reserve(TYPICAL);
        if let Err(error) = serde_json::to_writer(&mut *plain, record) {
            return Err(BarrierError::Decode(key, error.to_string()));
        }
        let sealed = self.barrier.seal(&key, plain, &mut self.nonces)?;
        self.batch.writes.push(Write::Put(key, sealed));
        Ok(self)
    }

    /// Puts bytes.
    pub fn put_bytes(&mut self, view: &View, key: &str, plain: &[u8]) -> Result<&mut Self, BarrierError> {
        let key = view.key(key);
        let sealed = self.barrier.seal(&key, plain, &mut self.nonces)?;
        self.batch.writes.push(Write::Put(key, sealed));
        Ok(self)
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, view: &View, key: &str) -> &mut Self {
        self.batch.writes.push(Write::Delete(view.key(key)));
        self
    }

    /// Expects nothing at the key.
    pub fn expect_absent(&mut self, view: &View, key: &str) -> &mut Self {
        self.expect(view.key(key), None)
    }

    /// Expects this version at the key.
    pub fn expect_at(&mut self, view: &View, key: &str, version: Version) -> &mut Self {
        self.expect(view.key(key), Some(version))
    }

    /// Expects this version, or nothing, at a whole key.
    pub fn expect(&mut self, key: Key, version: Option<Version>) -> &mut Self {
        self.batch.expects.push(match version {
            Some(version) => Expect::At(key, version),
            None => Expect::Absent(key),
        });
        self
    }

    /// Expects nothing under the prefix.
    pub fn expect_empty(&mut self, view: &View, prefix: &str) -> &mut Self {
        self.batch.expects.push(Expect::Empty(view.key(prefix)));
        self
    }

    /// Takes over what `other` holds, behind what is here.
    pub fn join(&mut self, other: Self) -> &mut Self {
        self.batch.writes.extend(other.batch.writes);
        self.batch.expects.extend(other.batch.expects);
        self.tallies.extend(other.tallies);
        self
    }

    /// Whether it neither writes nor expects anything.
    pub fn is_empty(&self) -> bool {
        self.batch.writes.is_empty() && self.batch.expects.is_empty() && self.tallies.is_empty()
    }

    pub(super) fn writes(&self) -> &[Write] {
        &self.batch.writes
    }

    /// Makes all of it durable, or none.
    pub async fn commit(mut self) -> Result<(), BarrierError> {
        if self.is_empty() {
            return Ok(());
        }
        // Not while it waits.
        drop(std::mem::take(&mut self.plain));
        if self.tallies.is_empty() {
            return Ok(self.barrier.storage().commit(self.batch).await?);
        }
        let mut held = std::mem::take(&mut self.tallies);
        for stripe in &mut held {
            stripe.write(&mut self)?;
        }
        let result = self.barrier.storage().commit(self.batch).await;
        match &result {
            Ok(()) => held.into_iter().for_each(Held::done),
            Err(StorageError::Conflict(_)) => held.into_iter().for_each(Held::undone),
            // Whether it happened is found out when it is read again.
            Err(_) => drop(held),
        }
        Ok(result?)
    }
}

/// Where and what kind, without the text: a message of serde can quote the value.
fn decode_reason(error: &serde_json::Error) -> String {
    format!("{:?} at line {} column {}", error.classify(), error.line(), error.column())
}

/// Bytes that hold most records.
const TYPICAL: usize = 512;

/// Names or records read at once by functions that read all.
const PAGE: usize = 1024;
