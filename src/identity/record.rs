//! What is kept of entities and groups.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::MountId;
use crate::storage::Version;

use super::folded;

/// One principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// A UUID.
    pub id: String,
    /// Unique, in more than case.
    pub name: String,
    /// What operators note; `None` when never set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Added to those of its tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Refused everywhere.
    #[serde(default)]
    pub disabled: bool,
    /// What it logs in with; at most one for each mount.
    pub aliases: Vec<EntityAlias>,
    /// Entities that became part of it; their tokens are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
    /// Groups it is a member of itself. One that is gone may be among them for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was changed last.
    pub updated: DateTime<Utc>,
    /// Of the record; none before it was read.
    #[serde(skip)]
    pub(super) version: Option<Version>,
}

/// How a mount names an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityAlias {
    /// A UUID.
    pub id: String,
    /// The mount's id.
    pub mount: MountId,
    /// The mount's accessor.
    pub mount_accessor: String,
    /// Unique within the mount, in more than case.
    pub name: String,
    /// What the mount said at the last login.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What operators note; `None` when never set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// Its mount is local.
    #[serde(default)]
    pub local: bool,
    /// Entities it belonged to before they were merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged_from: Vec<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was changed last.
    pub updated: DateTime<Utc>,
}

/// Who decides who is a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// Operators.
    #[default]
    Internal,
    /// Logins of one mount, by the group's alias.
    External,
}

impl GroupKind {
    /// As the API names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

/// Entities and groups that have something in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// A UUID.
    pub id: String,
    /// Unique, in more than case.
    pub name: String,
    /// Who decides who is a member.
    pub kind: GroupKind,
    /// What operators note; `None` when never set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its members have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Groups within it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// Groups it is within.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// How a mount names it; of external groups only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<GroupAlias>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was changed last.
    pub updated: DateTime<Utc>,
    /// How often it was changed.
    pub modify_index: u64,
    /// Of the record; none before it was read.
    #[serde(skip)]
    pub(super) version: Option<Version>,
}

/// How a mount names a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAlias {
    /// A UUID.
    pub id: String,
    /// The mount's id.
    pub mount: MountId,
    /// The mount's accessor.
    pub mount_accessor: String,
    /// Unique within the mount, in more than case.
    pub name: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was changed last.
    pub updated: DateTime<Utc>,
}

impl Entity {
    /// Its alias with this id.
    pub fn alias(&self, id: &str) -> Option<&EntityAlias> {
        self.aliases.iter().find(|alias| alias.id == id)
    }

    /// Its alias on the mount with this accessor.
    pub fn alias_on(&self, accessor: &str) -> Option<&EntityAlias> {
        self.aliases.iter().find(|alias| alias.mount_accessor == accessor)
    }
}

impl EntityAlias {
    pub(super) fn is(&self, mount: &MountId, name: &str) -> bool {
        self.mount == *mount && folded(&self.name) == folded(name)
    }
}
