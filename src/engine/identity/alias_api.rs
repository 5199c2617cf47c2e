//! Endpoints of the aliases of entities, under their name of now and two old ones.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::identity::AliasChange;
use crate::mount::field::{Pairs, Text};
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

use super::entity_api::listed;
use super::{Identity, filled, told};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    for (all, list, one) in [
        ("entity-alias", "entity-alias/id/", "entity-alias/id/{id}"),
        ("alias", "alias/id/", "alias/id/{id}"),
        ("persona", "persona/id/", "persona/id/{id}"),
    ] {
        table.at(all, "Creates an alias of an entity, or changes one.").update(Identity::write_alias);
        table.at(list, "Ids of the aliases of entities.").list(Identity::list_aliases);
        table
            .at(one, "An alias of an entity by its id.")
            .read(Identity::read_alias)
            .update(Identity::write_alias)
            .delete(Identity::delete_alias);
    }
}

/// Absent fields keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
struct AliasInput {
    /// Id of the alias to change.
    id: Option<Text>,
    /// How the mount names the entity.
    name: Option<Text>,
    /// Accessor of the mount.
    mount_accessor: Option<Text>,
    /// Id of the entity. Default: a new one.
    canonical_id: Option<Text>,
    /// Old name of `canonical_id`.
    entity_id: Option<Text>,
    /// Notes; replaced as a whole.
    custom_metadata: Option<Pairs>,
}

impl Identity {
    async fn write_alias(self: Arc<Self>, _: Ctx, input: AliasInput) -> Result<Reply, ApiError> {
        let text = |text: Option<Text>| filled(text.map(|text| text.0));
        let (id, name, accessor) = (text(input.id), text(input.name), text(input.mount_accessor));
        if id.is_none() && (name.is_none() || accessor.is_none()) {
            return Err(ApiError::invalid("'id' or 'mount_accessor' and 'name' must be provided"));
        }
        let custom_metadata = input.custom_metadata.map(|pairs| pairs.0);
        if let Some(pairs) = &custom_metadata {
            let refused = |text| ApiError::invalid(format!("custom_metadata validation failed: {text}"));
            crate::identity::check_custom_metadata(pairs).map_err(refused)?;
        }
        let change = AliasChange {
            id,
            name,
            mount: accessor.map(|accessor| self.alias_mount(&accessor)).transpose()?,
            canonical_id: text(input.canonical_id).or_else(|| text(input.entity_id)),
            custom_metadata,
        };
        let written = self.store.write_alias(&change).await.map_err(told)?;
        if written.is_unchanged {
            return Ok(Reply::empty());
        }
        Reply::object(&json!({ "id": written.id, "canonical_id": written.canonical_id }))
    }

    async fn read_alias(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let Some(entity) = self.store.entity_by_alias_id(&named.name).await? else { return Ok(Reply::empty()) };
        let Some(alias) = entity.alias(&named.name) else { return Ok(Reply::empty()) };
        Ok(Reply::data(self.alias_shown(alias, &entity)).and("namespace_id", json!("root")))
    }

    async fn delete_alias(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.store.delete_alias(&named.name).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn list_aliases(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let (mut keys, mut info) = (Vec::new(), Map::new());
        let mut after: Option<String> = None;
        loop {
            let (page, is_last) = self.store.entities_after(after.as_deref()).await?;
            for entity in &page {
                for alias in &entity.aliases {
                    keys.push(alias.id.clone());
                    info.insert(alias.id.clone(), self.alias_listed(alias, entity));
                }
            }
            after = page.last().map(|entity| entity.id.clone());
            if is_last {
                return Ok(listed(keys, info));
            }
        }
    }
}
