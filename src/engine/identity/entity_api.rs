//! Endpoints of entities.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::identity::{EntityChange, Written};
use crate::mount::field::{CommaList, Flag, Pairs, Text};
use crate::mount::{ApiError, Body, Ctx, Named, Nothing, Reply, Table};

use super::{Identity, filled, metadata, policies, told};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("entity", "Creates an entity, or changes one.").update(Identity::write_entity);
    table.at("entity/id/", "Ids of the entities.").list(Identity::list_entity_ids);
    table
        .at("entity/id/{id}", "An entity by its id.")
        .read(Identity::read_entity)
        .update(Identity::write_entity)
        .delete(Identity::delete_entity);
    table.at("entity/name/", "Names of the entities.").list(Identity::list_entity_names);
    table
        .at("entity/name/{name:rest}", "An entity by its name.")
        .read(Identity::read_entity_by_name)
        .update(Identity::write_entity)
        .delete(Identity::delete_entity_by_name);
    table.at("entity/batch-delete", "Removes several entities.").update(Identity::delete_entities);
}

/// Absent fields keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
struct EntityInput {
    /// Id of the entity to change.
    id: Option<Text>,
    /// Its name. Default: made up.
    name: Option<Text>,
    /// Notes; replaced as a whole.
    metadata: Option<Pairs>,
    /// Policies added to those of its tokens.
    policies: Option<CommaList>,
    /// Whether its tokens are refused, and its logins.
    disabled: Option<Flag>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct BatchInput {
    /// Ids of the entities to remove.
    #[serde(default)]
    entity_ids: CommaList,
}

impl Identity {
    async fn write_entity(self: Arc<Self>, _: Ctx, input: EntityInput) -> Result<Reply, ApiError> {
        let change = EntityChange {
            id: filled(input.id.map(|text| text.0)),
            name: filled(input.name.map(|text| text.0)),
            metadata: metadata("entity", input.metadata.map(|pairs| pairs.0))?,
            policies: input.policies.map(|names| policies(&names)).transpose()?,
            disabled: input.disabled.map(|flag| flag.0),
        };
        match self.store.write_entity(&change).await.map_err(told)? {
            Written::Created(entity) => Reply::object(&json!({ "id": entity.id, "name": entity.name, "aliases": null })),
            Written::Updated(_) => Ok(Reply::empty()),
        }
    }

    async fn read_entity(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.entity_reply(&named.name).await
    }

    async fn read_entity_by_name(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        match self.store.entity_by_name(&named.name).await? {
            Some(entity) => self.entity_reply(&entity.id).await,
            None => Ok(Reply::empty()),
        }
    }

    /// The entity with this id, or nothing.
    pub(super) async fn entity_reply(&self, id: &str) -> Result<Reply, ApiError> {
        let found = self.store.load(id).await?;
        Ok(found.map_or_else(Reply::empty, |principal| Reply::data(self.entity_shown(&principal))))
    }

    async fn delete_entity(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.store.delete_entity(&named.name).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn delete_entity_by_name(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.store.delete_entity_by_name(&named.name).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn delete_entities(self: Arc<Self>, _: Ctx, input: BatchInput) -> Result<Reply, ApiError> {
        if input.entity_ids.is_empty() {
            return Err(ApiError::invalid("missing entity ids to delete"));
        }
        self.store.delete_entities(&input.entity_ids).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn list_entity_ids(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        self.list_entities(|id, _| id.to_owned()).await
    }

    async fn list_entity_names(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        self.list_entities(|_, name| name.to_owned()).await
    }

    async fn list_entities(&self, key: impl Fn(&str, &str) -> String + Send) -> Result<Reply, ApiError> {
        let (mut keys, mut info) = (Vec::new(), Map::new());
        let mut after: Option<String> = None;
        loop {
            let (page, is_last) = self.store.entities_after(after.as_deref()).await?;
            for entity in &page {
                keys.push(key(&entity.id, &entity.name));
                info.insert(entity.id.clone(), self.entity_listed(entity));
            }
            after = page.last().map(|entity| entity.id.clone());
            if is_last {
                return Ok(listed(keys, info));
            }
        }
    }
}

/// Keys in order, with what is known of each; no key is nothing at all.
pub(super) fn listed(mut keys: Vec<String>, info: Map<String, Value>) -> Reply {
    keys.sort();
    let beside = if info.is_empty() { Map::new() } else { Map::from_iter([("key_info".to_owned(), Value::Object(info))]) };
    Reply::new(Body::List(keys, beside))
}
