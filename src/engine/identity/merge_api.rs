//! Merging entities.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::identity::{Clash, IdentityError, Merge};
use crate::mount::field::{CommaList, Flag, Text};
use crate::mount::{ApiError, Ctx, Reply, Table};

use super::{Identity, filled, told};

/// Declares it.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("entity/merge", "Makes several entities one.").update(Identity::merge);
}

#[derive(Debug, Deserialize, JsonSchema)]
struct MergeInput {
    /// Ids of the entities that end.
    #[serde(default)]
    from_entity_ids: CommaList,
    /// Id of the entity they become part of.
    to_entity_id: Option<Text>,
    /// Has nothing to decide here: there are no second factors.
    #[expect(dead_code, reason = "clients send it; what it would decide about is not here")]
    force: Option<Flag>,
    /// Of two aliases on one mount, the id of the one to keep.
    #[serde(default)]
    conflicting_alias_ids_to_keep: CommaList,
}

impl Identity {
    async fn merge(self: Arc<Self>, _: Ctx, input: MergeInput) -> Result<Reply, ApiError> {
        let to = filled(input.to_entity_id.map(|text| text.0));
        let to = to.ok_or_else(|| ApiError::invalid("missing entity id to merge to"))?;
        if input.from_entity_ids.is_empty() {
            return Err(ApiError::invalid("missing entity ids to merge from"));
        }
        if input.from_entity_ids.len() > MOST {
            return Err(ApiError::invalid(format!("more than {MOST} entities cannot be merged at once")));
        }
        let merge = Merge { from: input.from_entity_ids.0, to, keep: input.conflicting_alias_ids_to_keep.0 };
        match self.store.merge(&merge).await {
            Ok(()) => Ok(Reply::empty()),
            Err(error) => {
                let data = match &error {
                    IdentityError::Clash(clashes) | IdentityError::ClashOfMany(clashes) => Some(self.clashes(clashes)),
                    _ => None,
                };
                let refused = told(error);
                Err(match data {
                    Some(data) => refused.with_data(data),
                    None => refused,
                })
            }
        }
    }

    fn clashes(&self, clashes: &[Clash]) -> Value {
        let shown = clashes.iter().map(|clash| {
            let entry = self.mounts.by_accessor(&clash.mount_accessor);
            json!({
                "alias": clash.alias,
                "entity": clash.entity,
                "entity_id": clash.entity_id,
                "mount": entry.as_ref().map(|entry| entry.kind.as_str()),
                "mount_path": entry.as_ref().map(|entry| entry.path.as_str()),
            })
        });
        shown.collect()
    }
}

/// Each is a record and some keys of one batch.
const MOST: usize = 1000;
