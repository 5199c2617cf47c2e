//! Entities and groups as the API shows them.

use serde_json::{Map, Value, json};

use crate::base::MountId;
use crate::base::time::rfc3339_nano;
use crate::identity::{Entity, EntityAlias, Group, GroupAlias, Principal};

use super::{Identity, MountNames};

impl Identity {
    /// An entity as it is read.
    pub(super) fn entity_shown(&self, principal: &Principal) -> Map<String, Value> {
        let entity = &principal.entity;
        let ids = |groups: &[std::sync::Arc<Group>]| groups.iter().map(|group| group.id.clone()).collect::<Vec<_>>();
        let (direct, inherited) = (ids(&principal.direct), ids(&principal.inherited));
        let all: Vec<_> = direct.iter().chain(&inherited).collect();
        object(json!({
            "id": entity.id,
            "name": entity.name,
            "metadata": entity.metadata,
            "policies": entity.policies,
            "disabled": entity.disabled,
            "aliases": entity.aliases.iter().map(|alias| self.alias_shown(alias, entity)).collect::<Vec<_>>(),
            "group_ids": all,
            "direct_group_ids": direct,
            "inherited_group_ids": inherited,
            "merged_entity_ids": some(&entity.merged),
            "creation_time": rfc3339_nano(entity.created),
            "last_update_time": rfc3339_nano(entity.updated),
            "namespace_id": NAMESPACE,
        }))
    }

    /// An alias as it is read.
    pub(super) fn alias_shown(&self, alias: &EntityAlias, entity: &Entity) -> Map<String, Value> {
        let shown = object(json!({
            "id": alias.id,
            "canonical_id": entity.id,
            "mount_accessor": alias.mount_accessor,
            "name": alias.name,
            "metadata": Some(&alias.metadata).filter(|metadata| !metadata.is_empty()),
            "custom_metadata": alias.custom_metadata.clone().unwrap_or_default(),
            "local": alias.local,
            "merged_from_canonical_ids": some(&alias.merged_from),
            "creation_time": rfc3339_nano(alias.created),
            "last_update_time": rfc3339_nano(alias.updated),
        }));
        with_mount(shown, &*self.mounts, &alias.mount)
    }

    /// An entity in a list of entities.
    pub(super) fn entity_listed(&self, entity: &Entity) -> Value {
        let aliases = entity.aliases.iter().map(|alias| {
            let shown = object(json!({
                "id": alias.id,
                "name": alias.name,
                "mount_accessor": alias.mount_accessor,
                "metadata": Some(&alias.metadata).filter(|metadata| !metadata.is_empty()),
            }));
            Value::Object(with_mount(shown, &*self.mounts, &alias.mount))
        });
        json!({ "name": entity.name, "aliases": aliases.collect::<Vec<_>>() })
    }

    /// An alias in a list of aliases.
    pub(super) fn alias_listed(&self, alias: &EntityAlias, entity: &Entity) -> Value {
        let shown = object(json!({
            "canonical_id": entity.id,
            "custom_metadata": alias.custom_metadata.clone().unwrap_or_default(),
            "local": alias.local,
            "metadata": Some(&alias.metadata).filter(|metadata| !metadata.is_empty()),
            "mount_accessor": alias.mount_accessor,
            "name": alias.name,
        }));
        Value::Object(with_mount(shown, &*self.mounts, &alias.mount))
    }

    /// A group as it is read.
    pub(super) fn group_shown(&self, group: &Group, members: &[String]) -> Map<String, Value> {
        object(json!({
            "id": group.id,
            "name": group.name,
            "type": group.kind.as_str(),
            "metadata": group.metadata,
            "policies": group.policies,
            "member_entity_ids": some(members),
            "member_group_ids": some(&group.children),
            "parent_group_ids": some(&group.parents),
            "alias": group.alias.as_ref().map(|alias| self.group_alias_shown(alias, group)).unwrap_or_default(),
            "creation_time": rfc3339_nano(group.created),
            "last_update_time": rfc3339_nano(group.updated),
            "modify_index": group.modify_index,
            "namespace_id": NAMESPACE,
        }))
    }

    /// The alias of a group as it is read.
    pub(super) fn group_alias_shown(&self, alias: &GroupAlias, group: &Group) -> Map<String, Value> {
        let shown = object(json!({
            "id": alias.id,
            "canonical_id": group.id,
            "mount_accessor": alias.mount_accessor,
            "name": alias.name,
            "metadata": null,
            "merged_from_canonical_ids": null,
            "creation_time": rfc3339_nano(alias.created),
            "last_update_time": rfc3339_nano(alias.updated),
        }));
        with_mount(shown, &*self.mounts, &alias.mount)
    }

    /// The alias of a group in a list of aliases.
    pub(super) fn group_alias_listed(&self, alias: &GroupAlias, group: &Group) -> Value {
        let shown = object(json!({ "canonical_id": group.id, "mount_accessor": alias.mount_accessor, "name": alias.name }));
        Value::Object(with_mount(shown, &*self.mounts, &alias.mount))
    }
}

/// What is known of a mount; nothing of one that is gone.
fn with_mount(mut shown: Map<String, Value>, mounts: &dyn MountNames, id: &MountId) -> Map<String, Value> {
    if let Some(entry) = mounts.by_id(id) {
        shown.insert("mount_type".to_owned(), json!(entry.kind));
        shown.insert("mount_path".to_owned(), json!(entry.path.as_str()));
    }
    shown
}

/// `null` where there is none (spec `clients.md` §1.4).
fn some(ids: &[String]) -> Option<&[String]> {
    Some(ids).filter(|ids| !ids.is_empty())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// There is one.
const NAMESPACE: &str = "root";
