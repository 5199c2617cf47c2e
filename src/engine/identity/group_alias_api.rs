//! Endpoints of the aliases of external groups.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::identity::GroupAliasChange;
use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

use super::entity_api::listed;
use super::{Identity, filled, told};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("group-alias", "Creates the alias of a group, or changes one.").update(Identity::write_group_alias);
    table.at("group-alias/id/", "Ids of the aliases of groups.").list(Identity::list_group_aliases);
    table
        .at("group-alias/id/{id}", "The alias of a group by its id.")
        .read(Identity::read_group_alias)
        .update(Identity::write_group_alias)
        .delete(Identity::delete_group_alias);
}

#[derive(Debug, Deserialize, JsonSchema)]
struct GroupAliasInput {
    /// Id of the alias to change.
    id: Option<Text>,
    /// How the mount names the group.
    name: Option<Text>,
    /// Accessor of the mount.
    mount_accessor: Option<Text>,
    /// Id of the external group. Default: a new one.
    canonical_id: Option<Text>,
}

impl Identity {
    async fn write_group_alias(self: Arc<Self>, _: Ctx, input: GroupAliasInput) -> Result<Reply, ApiError> {
        let text = |text: Option<Text>| filled(text.map(|text| text.0));
        let id = text(input.id);
        let known = match &id {
            Some(id) => self.store.group_by_alias_id(id).await?.and_then(|group| group.alias),
            None => None,
        };
        let name = text(input.name).or_else(|| known.as_ref().map(|alias| alias.name.clone()));
        let accessor = text(input.mount_accessor).or_else(|| known.as_ref().map(|alias| alias.mount_accessor.clone()));
        let name = name.ok_or_else(|| ApiError::invalid("missing alias name"))?;
        let accessor = accessor.ok_or_else(|| ApiError::invalid("missing mount_accessor"))?;
        let mount = self.alias_mount(&accessor)?;
        if mount.local {
            return Err(ApiError::invalid(format!("mount accessor {accessor:?} is a local mount")));
        }
        let change = GroupAliasChange { id, name, mount, canonical_id: text(input.canonical_id) };
        let written = self.store.write_group_alias(&change).await.map_err(told)?;
        Reply::object(&json!({ "id": written.id, "canonical_id": written.canonical_id }))
    }

    async fn read_group_alias(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let Some(group) = self.store.group_by_alias_id(&named.name).await? else { return Ok(Reply::empty()) };
        let shown = group.alias.as_ref().map(|alias| self.group_alias_shown(alias, &group));
        Ok(shown.map_or_else(Reply::empty, |shown| Reply::data(shown).and("namespace_id", json!("root"))))
    }

    async fn delete_group_alias(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.store.delete_group_alias(&named.name).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn list_group_aliases(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let (mut keys, mut info) = (Vec::new(), Map::new());
        let mut after: Option<String> = None;
        loop {
            let (page, is_last) = self.store.groups_after(after.as_deref()).await?;
            for group in &page {
                if let Some(alias) = &group.alias {
                    keys.push(alias.id.clone());
                    info.insert(alias.id.clone(), self.group_alias_listed(alias, group));
                }
            }
            after = page.last().map(|group| group.id.clone());
            if is_last {
                return Ok(listed(keys, info));
            }
        }
    }
}
