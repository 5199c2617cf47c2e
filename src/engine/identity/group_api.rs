//! Endpoints of groups.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::identity::{Group, GroupChange, GroupKind, Written};
use crate::mount::field::{CommaList, Pairs, Text};
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

use super::entity_api::listed;
use super::{Identity, filled, metadata, policies, told};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("group", "Creates a group, or changes one.").update(Identity::write_group);
    table.at("group/id/", "Ids of the groups.").list(Identity::list_group_ids);
    table
        .at("group/id/{id}", "A group by its id.")
        .read(Identity::read_group)
        .update(Identity::write_group)
        .delete(Identity::delete_group);
    table.at("group/name/", "Names of the groups.").list(Identity::list_group_names);
    table
        .at("group/name/{name:rest}", "A group by its name.")
        .read(Identity::read_group_by_name)
        .update(Identity::write_group)
        .delete(Identity::delete_group_by_name);
}

/// Absent fields keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
struct GroupInput {
    /// Id of the group to change.
    id: Option<Text>,
    /// Its name. Default: made up.
    name: Option<Text>,
    /// `internal` or `external`. Default: internal.
    #[serde(rename = "type")]
    kind: Option<Text>,
    /// Notes; replaced as a whole.
    metadata: Option<Pairs>,
    /// Policies its members have.
    policies: Option<CommaList>,
    /// Ids of the entities in it; replaced as a whole.
    member_entity_ids: Option<CommaList>,
    /// Ids of the groups in it; replaced as a whole.
    member_group_ids: Option<CommaList>,
}

impl Identity {
    async fn write_group(self: Arc<Self>, _: Ctx, input: GroupInput) -> Result<Reply, ApiError> {
        let kind = match filled(input.kind.map(|text| text.0)).as_deref() {
            None => None,
            Some("internal") => Some(GroupKind::Internal),
            Some("external") => Some(GroupKind::External),
            Some(other) => return Err(ApiError::invalid(format!("invalid group type {other:?}"))),
        };
        let change = GroupChange {
            id: filled(input.id.map(|text| text.0)),
            name: filled(input.name.map(|text| text.0)),
            kind,
            metadata: metadata("group", input.metadata.map(|pairs| pairs.0))?,
            policies: input.policies.map(|names| policies(&names)).transpose()?,
            members: input.member_entity_ids.map(|ids| ids.0),
            children: input.member_group_ids.map(|ids| ids.0),
        };
        match self.store.write_group(&change).await.map_err(told)? {
            Written::Created(group) => Reply::object(&json!({ "id": group.id, "name": group.name })),
            Written::Updated(_) => Ok(Reply::empty()),
        }
    }

    async fn read_group(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let group = self.store.group(&named.name).await?;
        self.group_reply(group.as_deref()).await
    }

    async fn read_group_by_name(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let group = self.store.group_by_name(&named.name).await?;
        self.group_reply(group.as_ref()).await
    }

    /// A group, or nothing.
    pub(super) async fn group_reply(&self, group: Option<&Group>) -> Result<Reply, ApiError> {
        let Some(group) = group else { return Ok(Reply::empty()) };
        let members = self.store.members(&group.id).await?;
        Ok(Reply::data(self.group_shown(group, &members)))
    }

    async fn delete_group(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.store.delete_group(&named.name).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn delete_group_by_name(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.store.delete_group_by_name(&named.name).await.map_err(told)?;
        Ok(Reply::empty())
    }

    async fn list_group_ids(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        self.list_groups(|group| group.id.clone()).await
    }

    async fn list_group_names(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        self.list_groups(|group| group.name.clone()).await
    }

    async fn list_groups(&self, key: impl Fn(&Group) -> String + Send) -> Result<Reply, ApiError> {
        let (mut keys, mut info) = (Vec::new(), Map::new());
        let mut after: Option<String> = None;
        loop {
            let (page, is_last) = self.store.groups_after(after.as_deref()).await?;
            for group in &page {
                keys.push(key(group));
                let shown = json!({
                    "name": group.name,
                    "num_member_entities": self.store.count_members(&group.id).await?,
                    "num_parent_groups": group.parents.len(),
                });
                info.insert(group.id.clone(), shown);
            }
            after = page.last().map(|group| group.id.clone());
            if is_last {
                return Ok(listed(keys, info));
            }
        }
    }
}
