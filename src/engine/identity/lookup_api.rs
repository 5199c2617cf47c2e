//! Finding entities and groups by what is known of them. What is not found is 204.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, Reply, Table};

use super::{Identity, filled};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("lookup/entity", "Finds an entity.").update(Identity::look_up_entity).looks();
    table.at("lookup/group", "Finds a group.").update(Identity::look_up_group).looks();
}

/// One of these, or the last two.
#[derive(Debug, Deserialize, JsonSchema)]
struct LookupInput {
    /// Id of the entity or group.
    id: Option<Text>,
    /// Its name.
    name: Option<Text>,
    /// Id of an alias.
    alias_id: Option<Text>,
    /// Name of an alias; with `alias_mount_accessor`.
    alias_name: Option<Text>,
    /// Accessor of the mount of an alias; with `alias_name`.
    alias_mount_accessor: Option<Text>,
}

/// What something is looked up by.
enum By {
    Id(String),
    Name(String),
    AliasId(String),
    Alias(String, String),
}

impl LookupInput {
    fn by(self) -> Result<By, ApiError> {
        let text = |text: Option<Text>| filled(text.map(|text| text.0));
        let alias = match (text(self.alias_name), text(self.alias_mount_accessor)) {
            (Some(name), Some(accessor)) => Some(By::Alias(name, accessor)),
            (None, None) => None,
            _ => return Err(ApiError::invalid("both 'alias_name' and 'alias_mount_accessor' needs to be set")),
        };
        let (id, name, alias_id) = (text(self.id), text(self.name), text(self.alias_id));
        let mut given = [id.map(By::Id), name.map(By::Name), alias_id.map(By::AliasId), alias].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(by), None) => Ok(by),
            (None, _) => Err(ApiError::invalid("query parameter not supplied")),
            _ => Err(ApiError::invalid("query parameter conflict; please supply distinct set of query parameters")),
        }
    }
}

impl Identity {
    async fn look_up_entity(self: Arc<Self>, _: Ctx, input: LookupInput) -> Result<Reply, ApiError> {
        let found = match input.by()? {
            By::Id(id) => self.store.entity(&id).await?,
            By::Name(name) => self.store.entity_by_name(&name).await?,
            By::AliasId(id) => self.store.entity_by_alias_id(&id).await?,
            By::Alias(name, accessor) => match self.mounts.by_accessor(&accessor) {
                Some(entry) => self.store.entity_by_alias(&entry.id, &name).await?,
                None => None,
            },
        };
        match found {
            Some(entity) => self.entity_reply(&entity.id).await,
            None => Ok(Reply::empty()),
        }
    }

    async fn look_up_group(self: Arc<Self>, _: Ctx, input: LookupInput) -> Result<Reply, ApiError> {
        let found = match input.by()? {
            By::Id(id) => self.store.group(&id).await?.as_deref().cloned(),
            By::Name(name) => self.store.group_by_name(&name).await?,
            By::AliasId(id) => self.store.group_by_alias_id(&id).await?,
            By::Alias(name, accessor) => match self.mounts.by_accessor(&accessor) {
                Some(entry) => self.store.group_by_alias(&entry.id, &name).await?,
                None => None,
            },
        };
        self.group_reply(found.as_ref()).await
    }
}
