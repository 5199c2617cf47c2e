//! Writing and removing entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::barrier::Txn;
use crate::base::random;

use super::change::tried;
use super::check::check_name;
use super::record::Entity;
use super::{IdentityError, IdentityStore, Written, folded};
use super::{alias_id_key, alias_key, entity_key, entity_name_key, member_key, merged_key};

/// What is to become of an entity; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct EntityChange {
    /// The one to change. Without one: the one with this name, else a new one.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Replaces all notes.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Replaces all policies; sanitized, without `root`.
    pub policies: Option<Vec<String>>,
    /// Whether it is refused.
    pub disabled: Option<bool>,
}

impl IdentityStore {
    /// Creates or changes an entity.
    pub async fn write_entity(&self, change: &EntityChange) -> Result<Written<Entity>, IdentityError> {
        check_name("name", change.name.as_deref().unwrap_or_default())?;
        let whom = change.id.clone().or_else(|| change.name.as_deref().map(folded));
        let _turn = match &whom {
            Some(whom) => Some(self.turns.take(format!("entity/{whom}")).await),
            None => None,
        };
        tried!(self, txn => self.try_entity(change, &mut txn).await)
    }

    async fn try_entity(&self, change: &EntityChange, txn: &mut Txn) -> Result<Written<Entity>, IdentityError> {
        let found = match (&change.id, &change.name) {
            (Some(id), _) => Some(self.read_entity(id).await?.ok_or(IdentityError::NoEntity)?),
            (None, Some(name)) => self.entity_by_name(name).await?,
            (None, None) => None,
        };
        let is_new = found.is_none();
        let mut entity = match found {
            Some(entity) => entity,
            None => self.fresh_entity(change.name.clone()),
        };
        let old_name = (!is_new).then(|| entity.name.clone());
        if let Some(name) = &change.name {
            entity.name.clone_from(name);
        }
        if is_new && change.name.is_none() {
            self.name_entity(&mut entity, txn).await?;
        } else {
            self.rename_entity(&entity, old_name.as_deref(), txn).await?;
        }
        if let Some(metadata) = &change.metadata {
            entity.metadata = Some(metadata.clone());
        }
        if let Some(policies) = &change.policies {
            entity.policies.clone_from(policies);
        }
        entity.disabled = change.disabled.unwrap_or(entity.disabled);
        entity.updated = self.clock.precise();
        self.put_entity(&entity, txn)?;
        let entity = Arc::new(entity);
        Ok(if is_new { Written::Created(entity) } else { Written::Updated(entity) })
    }

    /// One that is not stored yet.
    pub(super) fn fresh_entity(&self, name: Option<String>) -> Entity {
        let now = self.clock.precise();
        Entity {
            id: random::uuid(),
            name: name.unwrap_or_else(made_up),
            metadata: None,
            policies: Vec::new(),
            disabled: false,
            aliases: Vec::new(),
            merged: Vec::new(),
            groups: Vec::new(),
            created: now,
            updated: now,
            version: None,
        }
    }

    /// Writes an entity that must be as it was read.
    pub(super) fn put_entity(&self, entity: &Entity, txn: &mut Txn) -> Result<(), IdentityError> {
        let key = entity_key(&entity.id);
        self.expect(txn, &key, entity.version);
        txn.put(&self.view, &key, entity)?;
        Ok(())
    }

    /// Leads the name of an entity to it. One that leads nowhere is written over.
    pub(super) async fn rename_entity(&self, entity: &Entity, old: Option<&str>, txn: &mut Txn) -> Result<(), IdentityError> {
        if old.is_some_and(|old| folded(old) == folded(&entity.name)) {
            return Ok(());
        }
        let key = entity_name_key(&entity.name);
        match self.index(&key).await? {
            Some((id, _)) if id != entity.id && self.read_entity(&id).await?.is_some() => return Err(IdentityError::EntityName),
            found => self.expect(txn, &key, found.map(|(_, version)| version)),
        }
        txn.put(&self.view, &key, &entity.id)?;
        if let Some(old) = old {
            txn.delete(&self.view, &entity_name_key(old));
        }
        Ok(())
    }

    /// Leads a name that is made up to an entity; another one when somebody has it. With ten million
    /// entities one in four hundred meets that.
    pub(super) async fn name_entity(&self, entity: &mut Entity, txn: &mut Txn) -> Result<(), IdentityError> {
        for _ in 0..NAMES {
            match self.rename_entity(entity, None, txn).await {
                Err(IdentityError::EntityName) => entity.name = made_up(),
                result => return result,
            }
        }
        Err(IdentityError::Contended)
    }

    /// Removes an entity, if it is there, with its aliases and memberships.
    pub async fn delete_entity(&self, id: &str) -> Result<(), IdentityError> {
        tried!(self, txn => self.try_delete(std::slice::from_ref(&id), &mut txn).await)
    }

    /// The same by name.
    pub async fn delete_entity_by_name(&self, name: &str) -> Result<(), IdentityError> {
        match self.entity_by_name(name).await? {
            Some(entity) => self.delete_entity(&entity.id).await,
            None => Ok(()),
        }
    }

    /// Removes many, some at a time.
    pub async fn delete_entities(&self, ids: &[String]) -> Result<(), IdentityError> {
        for page in ids.chunks(DELETED_AT_ONCE) {
            tried!(self, txn => self.try_delete(page, &mut txn).await)?;
        }
        Ok(())
    }

    async fn try_delete<S: AsRef<str> + Sync>(&self, ids: &[S], txn: &mut Txn) -> Result<(), IdentityError> {
        for id in ids {
            if let Some(entity) = self.read_entity(id.as_ref()).await? {
                self.remove_entity(&entity, txn);
                for alias in &entity.aliases {
                    txn.delete(&self.view, &alias_key(&alias.mount, &alias.name));
                    txn.delete(&self.view, &alias_id_key(&alias.id));
                }
                for merged in &entity.merged {
                    txn.delete(&self.view, &merged_key(merged));
                }
            }
        }
        Ok(())
    }

    /// Removes the record of an entity, its name and its places in groups; its aliases stay.
    pub(super) fn remove_entity(&self, entity: &Entity, txn: &mut Txn) {
        let key = entity_key(&entity.id);
        self.expect(txn, &key, entity.version);
        txn.delete(&self.view, &key);
        txn.delete(&self.view, &entity_name_key(&entity.name));
        for group in &entity.groups {
            txn.delete(&self.view, &member_key(group, &entity.id));
        }
    }
}

fn made_up() -> String {
    format!("entity_{}", hex::encode(random::bytes::<4>()))
}

/// Names tried. With ten million entities a single one is taken once in four hundred times.
const NAMES: usize = 16;

/// Each is some five keys.
const DELETED_AT_ONCE: usize = 64;
