//! Writing and removing aliases by hand. What a mount says of one is its own and comes with logins.

use std::collections::BTreeMap;

use crate::barrier::Txn;
use crate::base::random;

use super::change::tried;
use super::check::check_name;
use super::record::{Entity, EntityAlias};
use super::{AliasMount, IdentityError, IdentityStore, alias_id_key, alias_key, folded};

/// What is to become of an alias; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct AliasChange {
    /// The one to change. Without one: the one with this mount and name, else a new one.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its mount.
    pub mount: Option<AliasMount>,
    /// Whose it is.
    pub canonical_id: Option<String>,
    /// Replaces all notes.
    pub custom_metadata: Option<BTreeMap<String, String>>,
}

/// What a write of an alias did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasWritten {
    /// The alias.
    pub id: String,
    /// Whose it is.
    pub canonical_id: String,
    /// Nothing was to be done.
    pub is_unchanged: bool,
}

impl IdentityStore {
    /// Creates or changes an alias. Without an id, name and mount are there.
    pub async fn write_alias(&self, change: &AliasChange) -> Result<AliasWritten, IdentityError> {
        check_name("name", change.name.as_deref().unwrap_or_default())?;
        let whom = change.canonical_id.as_ref().or(change.id.as_ref()).or(change.name.as_ref());
        let _turn = self.turns.take(format!("alias/{}", whom.map(|whom| folded(whom)).unwrap_or_default())).await;
        tried!(self, txn => self.try_alias(change, &mut txn).await)
    }

    /// Removes an alias, if it is there. Its entity stays.
    pub async fn delete_alias(&self, id: &str) -> Result<(), IdentityError> {
        tried!(self, txn => self.try_delete_alias(id, &mut txn).await)
    }

    async fn try_alias(&self, change: &AliasChange, txn: &mut Txn) -> Result<AliasWritten, IdentityError> {
        let found = match (&change.id, &change.mount, &change.name) {
            (Some(id), _, _) => Some((self.entity_by_alias_id(id).await?.ok_or(IdentityError::NoAlias)?, id.clone())),
            (None, Some(mount), Some(name)) => self.alias_by_name(mount, name).await?,
            _ => None,
        };
        match (found, &change.mount, &change.name) {
            (Some((entity, alias)), _, _) => self.update_alias(entity, &alias, change, txn).await,
            (None, Some(mount), Some(name)) => self.create_alias(mount, name, change, txn).await,
            (None, _, _) => Err(IdentityError::NoAlias),
        }
    }

    async fn alias_by_name(&self, mount: &AliasMount, name: &str) -> Result<Option<(Entity, String)>, IdentityError> {
        let Some(entity) = self.entity_by_alias(&mount.id, name).await? else { return Ok(None) };
        let id = entity.aliases.iter().find(|alias| alias.is(&mount.id, name)).map(|alias| alias.id.clone());
        Ok(id.map(|id| (entity, id)))
    }

    async fn create_alias(
        &self,
        mount: &AliasMount,
        name: &str,
        change: &AliasChange,
        txn: &mut Txn,
    ) -> Result<AliasWritten, IdentityError> {
        let mut entity = if let Some(id) = &change.canonical_id {
            self.read_entity(id).await?.ok_or(IdentityError::Canonical)?
        } else {
            let mut entity = self.fresh_entity(None);
            self.name_entity(&mut entity, txn).await?;
            entity
        };
        if entity.aliases.iter().any(|alias| alias.mount == mount.id) {
            return Err(IdentityError::SecondAlias);
        }
        let mut alias = self.fresh_alias(mount, name);
        alias.custom_metadata.clone_from(&change.custom_metadata);
        self.lead_alias(&alias, &entity.id, txn).await?;
        let written = AliasWritten { id: alias.id.clone(), canonical_id: entity.id.clone(), is_unchanged: false };
        entity.aliases.push(alias);
        entity.updated = self.clock.precise();
        self.put_entity(&entity, txn)?;
        Ok(written)
    }

    async fn update_alias(
        &self,
        mut entity: Entity,
        id: &str,
        change: &AliasChange,
        txn: &mut Txn,
    ) -> Result<AliasWritten, IdentityError> {
        let Some(old) = entity.alias(id).cloned() else { return Err(IdentityError::NoAlias) };
        let mut alias = old.clone();
        if let Some(name) = &change.name {
            alias.name.clone_from(name);
        }
        if let Some(mount) = &change.mount {
            (alias.mount, alias.mount_accessor, alias.local) = (mount.id.clone(), mount.accessor.clone(), mount.local);
        }
        if let Some(custom) = &change.custom_metadata {
            alias.custom_metadata = Some(custom.clone());
        }
        let moves_to = change.canonical_id.as_ref().filter(|to| **to != entity.id);
        let mut written = AliasWritten { id: old.id.clone(), canonical_id: entity.id.clone(), is_unchanged: true };
        if alias == old && moves_to.is_none() {
            return Ok(written);
        }
        written.is_unchanged = false;
        alias.updated = self.clock.precise();
        let is_renamed = !old.is(&alias.mount, &alias.name);
        if is_renamed {
            if let Some((_, other)) = self.alias_by_name(&change_mount(&alias), &alias.name).await?
                && other != alias.id
            {
                return Err(IdentityError::AliasTaken);
            }
            txn.delete(&self.view, &alias_key(&old.mount, &old.name));
        }
        entity.aliases.retain(|other| other.id != old.id);
        let holder = match moves_to {
            None => entity,
            Some(to) => {
                let to = self.read_entity(to).await?.ok_or(IdentityError::NewCanonical)?;
                if alias.local {
                    return Err(IdentityError::LocalMove);
                }
                entity.updated = alias.updated;
                self.put_entity(&entity, txn)?;
                to
            }
        };
        self.hand_alias(alias, holder, &mut written, is_renamed, txn).await?;
        Ok(written)
    }

    async fn hand_alias(
        &self,
        alias: EntityAlias,
        mut holder: Entity,
        written: &mut AliasWritten,
        is_renamed: bool,
        txn: &mut Txn,
    ) -> Result<(), IdentityError> {
        if holder.aliases.iter().any(|other| other.mount == alias.mount) {
            return Err(IdentityError::SecondAliasByMove);
        }
        if is_renamed || holder.id != written.canonical_id {
            self.lead_alias(&alias, &holder.id, txn).await?;
        }
        written.canonical_id.clone_from(&holder.id);
        holder.updated = alias.updated;
        holder.aliases.push(alias);
        self.put_entity(&holder, txn)
    }

    async fn try_delete_alias(&self, id: &str, txn: &mut Txn) -> Result<(), IdentityError> {
        let Some(mut entity) = self.entity_by_alias_id(id).await? else { return Ok(()) };
        if let Some(alias) = entity.alias(id) {
            txn.delete(&self.view, &alias_key(&alias.mount, &alias.name));
        }
        txn.delete(&self.view, &alias_id_key(id));
        entity.aliases.retain(|alias| alias.id != id);
        entity.updated = self.clock.precise();
        self.put_entity(&entity, txn)
    }

    /// One that is not stored yet.
    pub(super) fn fresh_alias(&self, mount: &AliasMount, name: &str) -> EntityAlias {
        let now = self.clock.precise();
        EntityAlias {
            id: random::uuid(),
            mount: mount.id.clone(),
            mount_accessor: mount.accessor.clone(),
            name: name.to_owned(),
            metadata: BTreeMap::new(),
            custom_metadata: None,
            local: mount.local,
            merged_from: Vec::new(),
            created: now,
            updated: now,
        }
    }

    /// Leads an alias to an entity, by its name and its id. What is in the way leads nowhere, or nobody knows of it yet.
    pub(super) async fn lead_alias(&self, alias: &EntityAlias, entity: &str, txn: &mut Txn) -> Result<(), IdentityError> {
        let key = alias_key(&alias.mount, &alias.name);
        let found = self.index(&key).await?.map(|(_, version)| version);
        self.expect(txn, &key, found);
        txn.put(&self.view, &key, entity)?;
        txn.put(&self.view, &alias_id_key(&alias.id), entity)?;
        Ok(())
    }
}

fn change_mount(alias: &EntityAlias) -> AliasMount {
    AliasMount { id: alias.mount.clone(), accessor: alias.mount_accessor.clone(), local: alias.local }
}
