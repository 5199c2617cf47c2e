//! Secret ids as they are stored: an entry and the index of its accessor, always written and removed together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::barrier::Txn;
use crate::base::Ttl;
use crate::base::time::rfc3339_nano;
use crate::mount::{ApiError, Reply};
use crate::storage::{Page, Version};

use super::AppRole;
use super::role::Role;

/// What is known of a secret id. The secret itself is nowhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SecretId {
    /// The name of its role.
    pub(super) role: String,
    /// Names it without being it.
    pub(super) accessor: String,
    /// Uses that are left; zero: without limit.
    pub(super) num_uses: u64,
    /// As asked for; zero: for good.
    pub(super) ttl: Ttl,
    /// When it was made.
    pub(super) created: DateTime<Utc>,
    /// When its uses changed last.
    pub(super) updated: DateTime<Utc>,
    /// `None`: never.
    pub(super) expires: Option<DateTime<Utc>>,
    /// Goes with each login.
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
    /// Blocks logins with it may come from, as supplied; empty: those of the role.
    #[serde(default)]
    pub(super) cidr_list: Vec<String>,
    /// Blocks its tokens may be used from; empty: those of the role.
    #[serde(default)]
    pub(super) token_bound_cidrs: Vec<String>,
}

/// A secret id that was read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it lies; also whose turn its changes take.
    pub(super) key: String,
    pub(super) secret_id: SecretId,
    pub(super) version: Version,
}

/// Where the index of accessors leads: the key of an entry.
#[derive(Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) entry: String,
}

/// Where secret ids and their accessors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) entries: &'static str,
    pub(super) accessors: &'static str,
}

impl Area {
    pub(super) const SHARED: Self = Self { entries: "secret_id/", accessors: "accessor/" };
    pub(super) const LOCAL: Self = Self { entries: "secret_id_local/", accessors: "accessor_local/" };

    pub(super) fn of(role: &Role) -> Self {
        if role.local_secret_ids { Self::LOCAL } else { Self::SHARED }
    }

    /// Of an entry's key.
    pub(super) fn of_key(key: &str) -> Self {
        if key.starts_with(Self::LOCAL.entries) { Self::LOCAL } else { Self::SHARED }
    }
}

impl SecretId {
    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What both ways of looking it up answer.
    pub(super) fn shown(&self) -> Result<Reply, ApiError> {
        Reply::object(&json!({
            "secret_id_accessor": self.accessor,
            "secret_id_num_uses": self.num_uses,
            "secret_id_ttl": self.ttl,
            "creation_time": rfc3339_nano(self.created),
            "expiration_time": self.expires.map_or_else(|| NEVER.to_owned(), rfc3339_nano),
            "last_updated_time": rfc3339_nano(self.updated),
            "metadata": self.metadata,
            "cidr_list": self.cidr_list,
            "token_bound_cidrs": self.token_bound_cidrs,
        }))
    }
}

impl AppRole {
    /// What all entries of a role begin with.
    pub(super) fn entries_of(role: &Role) -> String {
        format!("{}{}/", Area::of(role).entries, role.hash(&role.name))
    }

    /// Where a secret id of a role lies.
    pub(super) fn entry_key(role: &Role, secret_id: &str) -> String {
        Self::entries_of(role) + &role.hash(secret_id)
    }

    /// Where an accessor lies.
    pub(super) fn accessor_key(&self, area: Area, accessor: &str) -> String {
        format!("{}{}", area.accessors, self.salted(accessor))
    }

    /// The entry at a key, expired or not.
    pub(super) async fn entry(&self, key: &str) -> Result<Option<Entry>, ApiError> {
        let found = self.view.read_versioned(key).await?;
        Ok(found.map(|(secret_id, version)| Entry { key: key.to_owned(), secret_id, version }))
    }

    /// The entry at a key. One that has expired is not there.
    pub(super) async fn live_entry(&self, key: &str) -> Result<Option<Entry>, ApiError> {
        let now = self.deps.clock.precise();
        Ok(self.entry(key).await?.filter(|entry| !entry.secret_id.is_expired(now)))
    }

    /// The key of the entry an accessor names.
    pub(super) async fn entry_of_accessor(&self, role: &Role, accessor: &str) -> Result<Option<String>, ApiError> {
        let place = self.view.read::<Place>(&self.accessor_key(Area::of(role), accessor)).await?;
        Ok(place.map(|place| place.entry))
    }

    /// Whether the accessor of an entry is in the index: one without is as good as removed.
    pub(super) async fn has_accessor(&self, entry: &Entry) -> Result<bool, ApiError> {
        Ok(self.view.exists(&self.accessor_key(Area::of_key(&entry.key), &entry.secret_id.accessor)).await?)
    }

    /// Removes an entry and its accessor, unless it has changed.
    pub(super) fn remove(&self, txn: &mut Txn, entry: &Entry) {
        txn.expect_at(&self.view, &entry.key, entry.version);
        txn.delete(&self.view, &entry.key);
        txn.delete(&self.view, &self.accessor_key(Area::of_key(&entry.key), &entry.secret_id.accessor));
    }

    /// Removes an entry in turn, if it still is what `is_doomed` says.
    pub(super) async fn remove_if(&self, key: &str, is_doomed: impl Fn(&Entry) -> bool + Send + Sync) -> Result<bool, ApiError> {
        let _turn = self.turn(key).await;
        let Some(entry) = self.entry(key).await?.filter(is_doomed) else { return Ok(false) };
        let mut txn = self.view.txn();
        self.remove(&mut txn, &entry);
        match txn.commit().await {
            // Without its turn nobody changes it but the batch of a login that was let go of; it is looked at again.
            Err(error) if error.is_conflict() => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }

    /// Removes all secret ids of a role that is gone, by pages. Those in use have their turns first.
    pub(super) async fn remove_secret_ids(&self, role: &Role) -> Result<(), ApiError> {
        let prefix = Self::entries_of(role);
        loop {
            let keys = self.view.scan_keys(&prefix, Page::first(PAGE)).await?;
            let mut turns = Vec::with_capacity(keys.len());
            let mut txn = self.view.txn();
            for key in &keys {
                turns.push(self.turn(key).await);
                txn.delete(&self.view, key);
                if let Some(entry) = self.entry(key).await? {
                    txn.delete(&self.view, &self.accessor_key(Area::of(role), &entry.secret_id.accessor));
                }
            }
            txn.commit().await?;
            if keys.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Accessors of the secret ids of a role, in order of storage.
    pub(super) async fn accessors(&self, role: &Role) -> Result<Vec<String>, ApiError> {
        let prefix = Self::entries_of(role);
        let now = self.deps.clock.precise();
        let (mut accessors, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE };
            let entries = self.view.scan::<SecretId>(&prefix, page).await?;
            let is_last = entries.len() < PAGE;
            after = entries.last().map(|(key, _)| key.clone());
            let live = entries.into_iter().filter(|(_, secret_id)| !secret_id.is_expired(now));
            accessors.extend(live.map(|(_, secret_id)| secret_id.accessor));
            if is_last {
                return Ok(accessors);
            }
        }
    }
}

/// What the API answers when nothing was found by an accessor.
pub(super) fn no_accessor(accessor: &str) -> String {
    format!("failed to find accessor entry for secret_id_accessor: {}", Value::from(accessor))
}

/// How the API writes a time that never comes.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Entries read or removed at once.
const PAGE: usize = 256;
