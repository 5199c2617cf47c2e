//! Who a token belongs to, with all his groups: found without a read of storage when he was found before and nothing of him
//! changed since.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ring::digest;

use crate::barrier::BarrierError;
use crate::policy::builtin::sanitize;
use crate::policy::{AliasPart, Fact, GroupBy, GroupPart, TemplateSource};

use super::record::{Entity, Group};
use super::{IdentityStore, entity_key, folded, group_key, merged_key};

/// An entity and the groups it is in, as they were at one moment.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The entity.
    pub entity: Arc<Entity>,
    /// What it and its groups add to the policies of a token; in order, each once.
    pub policies: Vec<String>,
    /// Groups it is a member of itself.
    pub direct: Vec<Arc<Group>>,
    /// Groups around those.
    pub inherited: Vec<Arc<Group>>,
    generation: u64,
    stamp: String,
}

impl IdentityStore {
    /// Whom a token with this entity id belongs to: the entity, or the one it became part of.
    pub async fn find(&self, id: &str) -> Result<Option<Arc<Principal>>, BarrierError> {
        if let Some(principal) = self.at_hand(id) {
            return Ok(Some(principal));
        }
        if let Some(into) = self.told.merged.get(id) {
            return self.load(&into).await;
        }
        if let Some(principal) = self.load(id).await? {
            return Ok(Some(principal));
        }
        let ticket = self.told.merged.ticket(id);
        let Some(into) = self.view.read::<String>(&merged_key(id)).await? else { return Ok(None) };
        self.told.merged.fill(id, ticket, into.as_str().into());
        self.load(&into).await
    }

    /// The entity with exactly this id.
    pub async fn load(&self, id: &str) -> Result<Option<Arc<Principal>>, BarrierError> {
        if let Some(principal) = self.at_hand(id) {
            return Ok(Some(principal));
        }
        let ticket = self.told.principals.ticket(id);
        // What is here is as new as the ticket; only its groups are not.
        let entity = match self.told.principals.get(id) {
            Some(known) => Arc::clone(&known.entity),
            None => match self.read_entity(id).await? {
                Some(entity) => Arc::new(entity),
                None => return Ok(None),
            },
        };
        let principal = Arc::new(self.principal(entity).await?);
        self.told.principals.fill(id, ticket, Arc::clone(&principal));
        Ok(Some(principal))
    }

    /// The id of the entity an alias leads to, by the alias's key.
    pub(super) async fn alias_owner(&self, key: &str) -> Result<Option<Arc<str>>, BarrierError> {
        if let Some(id) = self.told.aliases.get(key) {
            return Ok(Some(id));
        }
        let ticket = self.told.aliases.ticket(key);
        let Some(id) = self.view.read::<String>(key).await?.map(Arc::<str>::from) else { return Ok(None) };
        self.told.aliases.fill(key, ticket, Arc::clone(&id));
        Ok(Some(id))
    }

    /// An entity with the groups it is in.
    pub(super) async fn principal(&self, entity: Arc<Entity>) -> Result<Principal, BarrierError> {
        // Noted before groups are read: what is built from older ones is told by it.
        let generation = self.told.generation.load(Ordering::Acquire);
        let (direct, inherited) = self.groups_around(&entity.groups).await?;
        let groups = direct.iter().chain(&inherited);
        let names = entity.policies.iter().chain(groups.clone().flat_map(|group| &group.policies));
        let policies = sanitize(names);
        let stamp = stamp(&entity, groups);
        Ok(Principal { entity, policies, direct, inherited, generation, stamp })
    }

    /// A group by its id.
    pub async fn group(&self, id: &str) -> Result<Option<Arc<Group>>, BarrierError> {
        if let Some(group) = self.told.groups.get(id) {
            return Ok(group);
        }
        let ticket = self.told.groups.ticket(id);
        let group = self.read_group(id).await?.map(Arc::new);
        self.told.groups.fill(id, ticket, group.clone());
        Ok(group)
    }

    /// These groups, and those around them. Groups that are gone are left out.
    async fn groups_around(&self, ids: &[String]) -> Result<(Vec<Arc<Group>>, Vec<Arc<Group>>), BarrierError> {
        let mut direct = Vec::with_capacity(ids.len());
        for id in ids {
            direct.extend(self.group(id).await?);
        }
        let mut seen: HashSet<String> = direct.iter().map(|group| group.id.clone()).collect();
        let mut open: Vec<String> = direct.iter().flat_map(|group| group.parents.clone()).collect();
        let mut inherited = Vec::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            if let Some(group) = self.group(&id).await? {
                open.extend(group.parents.iter().cloned());
                inherited.push(group);
            }
        }
        Ok((direct, inherited))
    }

    fn at_hand(&self, id: &str) -> Option<Arc<Principal>> {
        let principal = self.told.principals.get(id)?;
        (principal.generation == self.told.generation.load(Ordering::Acquire)).then_some(principal)
    }

    pub(super) async fn read_entity(&self, id: &str) -> Result<Option<Entity>, BarrierError> {
        let found = self.view.read_versioned::<Entity>(&entity_key(id)).await?;
        Ok(found.map(|(entity, version)| Entity { version: Some(version), ..entity }))
    }

    pub(super) async fn read_group(&self, id: &str) -> Result<Option<Group>, BarrierError> {
        let found = self.view.read_versioned::<Group>(&group_key(id)).await?;
        Ok(found.map(|(group, version)| Group { version: Some(version), ..group }))
    }
}

impl Principal {
    fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.direct.iter().chain(&self.inherited)
    }
}

impl TemplateSource for Principal {
    fn fact(&self, fact: Fact<'_>) -> Option<String> {
        let entity = &self.entity;
        match fact {
            Fact::EntityId => Some(entity.id.clone()),
            Fact::EntityName => Some(entity.name.clone()),
            Fact::EntityMetadata(key) => entity.metadata.as_ref()?.get(key).cloned(),
            Fact::Alias(accessor, part) => {
                let alias = entity.alias_on(accessor)?;
                match part {
                    AliasPart::Id => Some(alias.id.clone()),
                    AliasPart::Name => Some(alias.name.clone()),
                    AliasPart::Metadata(key) => alias.metadata.get(key).cloned(),
                    AliasPart::CustomMetadata(key) => alias.custom_metadata.as_ref()?.get(key).cloned(),
                }
            }
            Fact::Group(by, part) => {
                let group = self.groups().find(|group| match by {
                    GroupBy::Id(id) => group.id == id,
                    GroupBy::Name(name) => folded(&group.name) == folded(name),
                })?;
                match part {
                    GroupPart::Id => Some(group.id.clone()),
                    GroupPart::Name => Some(group.name.clone()),
                    GroupPart::Metadata(key) => group.metadata.as_ref()?.get(key).cloned(),
                }
            }
        }
    }

    fn stamp(&self) -> &str {
        &self.stamp
    }
}

/// Names these states of an entity and its groups. An entity that is not stored yet has its id alone, and no token.
fn stamp<'a>(entity: &Entity, groups: impl Iterator<Item = &'a Arc<Group>>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(entity.id.as_bytes());
    context.update(format!("{:?}", entity.version).as_bytes());
    for group in groups {
        context.update(group.id.as_bytes());
        context.update(format!("{:?}", group.version).as_bytes());
    }
    let digest = context.finish();
    hex::encode(digest.as_ref().get(..16).unwrap_or_default())
}
