//! Finding entities and groups by what they are called. An index that leads nowhere finds nothing.

use crate::barrier::BarrierError;
use crate::base::MountId;
use crate::storage::Page;

use super::record::{Entity, Group};
use super::{ENTITIES, GROUPS, IdentityStore, PAGE};
use super::{alias_id_key, alias_key, entity_name_key, folded, group_alias_id_key, group_alias_key, group_name_key};

impl IdentityStore {
    /// An entity by its id.
    pub async fn entity(&self, id: &str) -> Result<Option<Entity>, BarrierError> {
        self.read_entity(id).await
    }

    /// An entity by its name.
    pub async fn entity_by_name(&self, name: &str) -> Result<Option<Entity>, BarrierError> {
        let found = self.entity_at(&entity_name_key(name)).await?;
        Ok(found.filter(|entity| folded(&entity.name) == folded(name)))
    }

    /// An entity by the id of one of its aliases.
    pub async fn entity_by_alias_id(&self, id: &str) -> Result<Option<Entity>, BarrierError> {
        Ok(self.entity_at(&alias_id_key(id)).await?.filter(|entity| entity.alias(id).is_some()))
    }

    /// An entity by one of its aliases.
    pub async fn entity_by_alias(&self, mount: &MountId, name: &str) -> Result<Option<Entity>, BarrierError> {
        let found = self.entity_at(&alias_key(mount, name)).await?;
        Ok(found.filter(|entity| entity.aliases.iter().any(|alias| alias.is(mount, name))))
    }

    /// A group by its name.
    pub async fn group_by_name(&self, name: &str) -> Result<Option<Group>, BarrierError> {
        let found = self.group_at(&group_name_key(name)).await?;
        Ok(found.filter(|group| folded(&group.name) == folded(name)))
    }

    /// A group by the id of its alias.
    pub async fn group_by_alias_id(&self, id: &str) -> Result<Option<Group>, BarrierError> {
        let found = self.group_at(&group_alias_id_key(id)).await?;
        Ok(found.filter(|group| group.alias.as_ref().is_some_and(|alias| alias.id == id)))
    }

    /// A group by its alias.
    pub async fn group_by_alias(&self, mount: &MountId, name: &str) -> Result<Option<Group>, BarrierError> {
        let found = self.group_at(&group_alias_key(mount, name)).await?;
        Ok(found.filter(|group| group.alias.as_ref().is_some_and(|alias| alias.is(mount, name))))
    }

    /// The entities behind `after`, in order of their ids; the last page is shorter than the others.
    pub async fn entities_after(&self, after: Option<&str>) -> Result<(Vec<Entity>, bool), BarrierError> {
        self.page(ENTITIES, after).await
    }

    /// The groups behind `after`, in order of their ids.
    pub async fn groups_after(&self, after: Option<&str>) -> Result<(Vec<Group>, bool), BarrierError> {
        self.page(GROUPS, after).await
    }

    /// A page of a folder, and whether it is the last one.
    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        folder: &str,
        after: Option<&str>,
    ) -> Result<(Vec<T>, bool), BarrierError> {
        let after = after.map(|id| format!("{folder}{id}"));
        let page: Vec<(String, T)> = self.view.scan(folder, Page { after: after.as_deref(), limit: PAGE }).await?;
        let is_last = page.len() < PAGE;
        Ok((page.into_iter().map(|(_, record)| record).collect(), is_last))
    }

    async fn entity_at(&self, index: &str) -> Result<Option<Entity>, BarrierError> {
        match self.index(index).await? {
            Some((id, _)) => self.read_entity(&id).await,
            None => Ok(None),
        }
    }

    async fn group_at(&self, index: &str) -> Result<Option<Group>, BarrierError> {
        match self.index(index).await? {
            Some((id, _)) => self.read_group(&id).await,
            None => Ok(None),
        }
    }
}
