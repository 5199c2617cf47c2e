//! Who somebody is, whatever he logged in with: an entity with one alias for each auth mount, made at the first login
//! (spec `identity.md`; so far id, name and alias).
//!
//! ```text
//! identity/entity/<id>                        the entity with its aliases
//! identity/alias/<mount id>/<hash of name>    → entity id
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, BarrierError, Txn, View};
use crate::base::{Clock, Key, MountId, Timestamp, random};
use crate::policy::{AliasPart, Fact, TemplateSource};
use crate::storage::Version;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// A UUID.
    pub id: String,
    /// Unique.
    pub name: String,
    /// What it logs in with.
    pub aliases: Vec<EntityAlias>,
    /// When it was made.
    pub created: Timestamp,
    /// Refused everywhere.
    #[serde(default)]
    pub disabled: bool,
    /// Names this state of it, for what was computed from it.
    #[serde(skip)]
    stamp: String,
}

/// How an auth mount names an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityAlias {
    /// A UUID.
    pub id: String,
    /// The mount's id.
    pub mount: MountId,
    /// The mount's accessor.
    pub mount_accessor: String,
    /// Unique within the mount.
    pub name: String,
    /// As of the last login.
    pub metadata: BTreeMap<String, String>,
}

/// Every entity of the server.
pub struct EntityStore {
    view: View,
    clock: Arc<dyn Clock>,
    known: Arc<Cache<Box<str>, Arc<Entity>>>,
}

/// What a login found or made.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whose login it is.
    pub entity: Arc<Entity>,
    /// It is new.
    pub is_new: bool,
}

/// A login's alias.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The auth mount.
    pub mount: &'a MountId,
    /// Its accessor.
    pub mount_accessor: &'a str,
    /// How the mount names who logs in.
    pub name: &'a str,
    /// What the mount says of him.
    pub metadata: &'a BTreeMap<String, String>,
}

impl EntityStore {
    /// Opens the entities of a barrier.
    pub fn open(barrier: &Arc<Barrier>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let view = barrier.view(ROOT);
        let known = Arc::new(Cache::new(KNOWN));
        let (told, prefix) = (Arc::clone(&known), view.key(ENTITIES));
        barrier.subscribe(
            &format!("{ROOT}{ENTITIES}"),
            Arc::new(move |key: &Key| {
                if let Some(id) = key.under(&prefix) {
                    told.remove(id);
                }
            }),
        );
        Arc::new(Self { view, clock, known })
    }

    /// An entity by its id.
    pub async fn find(&self, id: &str) -> Result<Option<Arc<Entity>>, BarrierError> {
        if let Some(entity) = self.known.get(id) {
            return Ok(Some(entity));
        }
        let Some((entity, version)) = self.read(id).await? else { return Ok(None) };
        let entity = Arc::new(entity);
        self.known.insert(id.into(), Arc::clone(&entity));
        // Changed since it was read: nobody shall find it.
        if self.read(id).await?.is_none_or(|(_, now)| now != version) {
            self.known.remove(id);
        }
        Ok(Some(entity))
    }

    /// The entity of who logs in; a new one, or new metadata, becomes part of the batch that makes his token. When that batch
    /// conflicts, this is called again for another.
    pub async fn of_login(&self, login: Login<'_>, txn: &mut Txn) -> Result<Known, BarrierError> {
        let index = alias_key(login.mount, login.name);
        let found = match self.view.read::<String>(&index).await? {
            Some(id) => self.read(&id).await?,
            None => None,
        };
        match found {
            Some((entity, version)) => self.refresh(login, entity, version, txn),
            None => self.make(login, &index, txn).await,
        }
    }

    fn refresh(&self, login: Login<'_>, entity: Entity, version: Version, txn: &mut Txn) -> Result<Known, BarrierError> {
        let mut next = entity;
        let changed = next
            .aliases
            .iter_mut()
            .find(|alias| alias.mount == *login.mount && alias.name == login.name)
            .filter(|alias| alias.metadata != *login.metadata)
            .map(|alias| alias.metadata.clone_from(login.metadata))
            .is_some();
        if changed {
            let key = entity_key(&next.id);
            txn.expect_at(&self.view, &key, version).put(&self.view, &key, &next)?;
        }
        Ok(Known { entity: Arc::new(next), is_new: false })
    }

    async fn make(&self, login: Login<'_>, index: &str, txn: &mut Txn) -> Result<Known, BarrierError> {
        let id = random::uuid();
        let entity = Entity {
            name: format!("entity_{}", hex::encode(random::bytes::<4>())),
            aliases: vec![EntityAlias {
                id: random::uuid(),
                mount: login.mount.clone(),
                mount_accessor: login.mount_accessor.to_owned(),
                name: login.name.to_owned(),
                metadata: login.metadata.clone(),
            }],
            created: self.clock.now(),
            disabled: false,
            stamp: String::new(),
            id,
        };
        // One that leads nowhere is written over.
        match self.view.read_versioned::<String>(index).await? {
            Some((_, version)) => txn.expect_at(&self.view, index, version),
            None => txn.expect_absent(&self.view, index),
        };
        txn.put(&self.view, index, &entity.id)?.put(&self.view, &entity_key(&entity.id), &entity)?;
        Ok(Known { entity: Arc::new(entity), is_new: true })
    }

    async fn read(&self, id: &str) -> Result<Option<(Entity, Version)>, BarrierError> {
        let found = self.view.read_versioned::<Entity>(&entity_key(id)).await?;
        Ok(found.map(|(mut entity, version)| {
            entity.stamp = format!("{id}{version:?}");
            (entity, version)
        }))
    }
}

impl fmt::Debug for EntityStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityStore").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl TemplateSource for Entity {
    fn fact(&self, fact: Fact<'_>) -> Option<String> {
        match fact {
            Fact::EntityId => Some(self.id.clone()),
            Fact::EntityName => Some(self.name.clone()),
            Fact::EntityMetadata(_) | Fact::Group(..) => None,
            Fact::Alias(accessor, part) => {
                let alias = self.aliases.iter().find(|alias| alias.mount_accessor == accessor)?;
                match part {
                    AliasPart::Id => Some(alias.id.clone()),
                    AliasPart::Name => Some(alias.name.clone()),
                    AliasPart::Metadata(key) => alias.metadata.get(key).cloned(),
                    AliasPart::CustomMetadata(_) => None,
                }
            }
        }
    }

    fn stamp(&self) -> &str {
        &self.stamp
    }
}

fn entity_key(id: &str) -> String {
    format!("{ENTITIES}{id}")
}

/// Names are of any form and length; their hash is not.
fn alias_key(mount: &MountId, name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    format!("{ALIASES}{mount}/{}", hex::encode(hash.as_ref()))
}

const ROOT: &str = "identity/";
const ENTITIES: &str = "entity/";
const ALIASES: &str = "alias/";

/// Entities kept in memory, about a kilobyte each.
const KNOWN: usize = 4096;
