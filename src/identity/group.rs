//! Writing and removing groups.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::barrier::Txn;
use crate::base::random;

use super::change::tried;
use super::check::check_name;
use super::record::{Group, GroupKind};
use super::{IdentityError, IdentityStore, TREE, Written, folded};
use super::{gone_key, group_alias_id_key, group_alias_key, group_key, group_name_key};

/// What is to become of a group; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// The one to change. Without one: the one with this name, else a new one.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// What kind it is; of a group that is there it must be the same.
    pub kind: Option<GroupKind>,
    /// Replaces all notes.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Replaces all policies; sanitized, without `root`.
    pub policies: Option<Vec<String>>,
    /// Replaces all entities in it.
    pub members: Option<Vec<String>>,
    /// Replaces all groups in it.
    pub children: Option<Vec<String>>,
}

impl IdentityStore {
    /// Creates or changes a group.
    pub async fn write_group(&self, change: &GroupChange) -> Result<Written<Group>, IdentityError> {
        check_name("name", change.name.as_deref().unwrap_or_default())?;
        let _turn = self.turns.take(GROUP_TURN).await;
        tried!(self, txn => self.try_group(change, &mut txn).await)
    }

    /// Removes a group, if it is there, from its members and from the groups around it and in it.
    pub async fn delete_group(&self, id: &str) -> Result<(), IdentityError> {
        {
            let _turn = self.turns.take(GROUP_TURN).await;
            tried!(self, txn => self.try_delete_group(id, &mut txn).await)?;
        }
        self.sweep_group(id).await
    }

    /// The same by name.
    pub async fn delete_group_by_name(&self, name: &str) -> Result<(), IdentityError> {
        match self.group_by_name(name).await? {
            Some(group) => self.delete_group(&group.id).await,
            None => Ok(()),
        }
    }

    async fn try_group(&self, change: &GroupChange, txn: &mut Txn) -> Result<Written<Group>, IdentityError> {
        let found = match (&change.id, &change.name) {
            (Some(id), _) => Some(self.read_group(id).await?.ok_or(IdentityError::NoGroup)?),
            (None, Some(name)) => self.group_by_name(name).await?,
            (None, None) => None,
        };
        let is_new = found.is_none();
        let mut group = match found {
            Some(group) if change.kind.is_some_and(|kind| kind != group.kind) => return Err(IdentityError::GroupKind),
            Some(group) => group,
            None => self.fresh_group(change.name.clone(), change.kind.unwrap_or_default()),
        };
        let old_name = (!is_new).then(|| group.name.clone());
        if let Some(name) = &change.name {
            group.name.clone_from(name);
        }
        self.rename_group(&group, old_name.as_deref(), txn).await?;
        if let Some(metadata) = &change.metadata {
            group.metadata = Some(metadata.clone());
        }
        if let Some(policies) = &change.policies {
            group.policies.clone_from(policies);
        }
        let is_external = group.kind == GroupKind::External;
        if let Some(members) = &change.members {
            if is_external && !members.is_empty() {
                return Err(IdentityError::ExternalEntities);
            }
            self.replace_members(&group, members, txn).await?;
        }
        if let Some(children) = &change.children {
            if is_external && !children.is_empty() {
                return Err(IdentityError::ExternalGroups);
            }
            self.replace_children(&mut group, children, txn).await?;
        }
        self.put_group(&mut group, txn)?;
        let group = Arc::new(group);
        Ok(if is_new { Written::Created(group) } else { Written::Updated(group) })
    }

    /// One that is not stored yet.
    pub(super) fn fresh_group(&self, name: Option<String>, kind: GroupKind) -> Group {
        let now = self.clock.precise();
        Group {
            id: random::uuid(),
            name: name.unwrap_or_else(|| format!("group_{}", hex::encode(random::bytes::<4>()))),
            kind,
            metadata: None,
            policies: Vec::new(),
            children: Vec::new(),
            parents: Vec::new(),
            alias: None,
            created: now,
            updated: now,
            modify_index: 0,
            version: None,
        }
    }

    /// Writes a group that must be as it was read.
    pub(super) fn put_group(&self, group: &mut Group, txn: &mut Txn) -> Result<(), IdentityError> {
        group.updated = self.clock.precise();
        group.modify_index += 1;
        let key = group_key(&group.id);
        self.expect(txn, &key, group.version);
        txn.put(&self.view, &key, group)?;
        Ok(())
    }

    /// Leads the name of a group to it. One that leads nowhere is written over.
    pub(super) async fn rename_group(&self, group: &Group, old: Option<&str>, txn: &mut Txn) -> Result<(), IdentityError> {
        if old.is_some_and(|old| folded(old) == folded(&group.name)) {
            return Ok(());
        }
        let key = group_name_key(&group.name);
        match self.index(&key).await? {
            Some((id, _)) if id != group.id && self.read_group(&id).await?.is_some() => return Err(IdentityError::GroupName),
            found => self.expect(txn, &key, found.map(|(_, version)| version)),
        }
        txn.put(&self.view, &key, &group.id)?;
        if let Some(old) = old {
            txn.delete(&self.view, &group_name_key(old));
        }
        Ok(())
    }

    async fn replace_children(&self, group: &mut Group, wanted: &[String], txn: &mut Txn) -> Result<(), IdentityError> {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (group.children.iter().cloned().collect(), wanted.iter().cloned().collect());
        if old == new {
            return Ok(());
        }
        // Two changes that are harmless alone can make a circle together: one of them is made anew.
        let tree = self.view.read_versioned::<u64>(TREE).await?;
        self.expect(txn, TREE, tree.map(|(_, version)| version));
        txn.put(&self.view, TREE, &tree.map_or(0, |(count, _)| count).wrapping_add(1))?;
        for id in new.difference(&old) {
            if *id == group.id {
                return Err(IdentityError::OwnMember(id.clone()));
            }
            let mut child = self.read_group(id).await?.ok_or_else(|| IdentityError::MemberGroup(id.clone()))?;
            if self.is_within(&group.id, id).await? {
                return Err(IdentityError::Cycle(id.clone()));
            }
            child.parents.push(group.id.clone());
            self.put_group(&mut child, txn)?;
        }
        for id in old.difference(&new) {
            if let Some(mut child) = self.read_group(id).await? {
                child.parents.retain(|parent| *parent != group.id);
                self.put_group(&mut child, txn)?;
            }
        }
        group.children = new.into_iter().collect();
        Ok(())
    }

    /// Whether a group is in another one, however deep.
    async fn is_within(&self, group: &str, outer: &str) -> Result<bool, IdentityError> {
        let (mut open, mut seen) = (vec![outer.to_owned()], HashSet::new());
        while let Some(id) = open.pop() {
            if id == group {
                return Ok(true);
            }
            if seen.insert(id.clone())
                && let Some(found) = self.group(&id).await?
            {
                open.extend(found.children.iter().cloned());
            }
        }
        Ok(false)
    }

    async fn try_delete_group(&self, id: &str, txn: &mut Txn) -> Result<(), IdentityError> {
        let Some(group) = self.read_group(id).await? else { return Ok(()) };
        let key = group_key(id);
        self.expect(txn, &key, group.version);
        txn.delete(&self.view, &key);
        txn.delete(&self.view, &group_name_key(&group.name));
        if let Some(alias) = &group.alias {
            txn.delete(&self.view, &group_alias_key(&alias.mount, &alias.name));
            txn.delete(&self.view, &group_alias_id_key(&alias.id));
        }
        for other in group.parents.iter().chain(&group.children) {
            if let Some(mut other) = self.read_group(other).await? {
                other.children.retain(|child| child != id);
                other.parents.retain(|parent| parent != id);
                self.put_group(&mut other, txn)?;
            }
        }
        txn.put(&self.view, &gone_key(id), &())?;
        Ok(())
    }
}

/// Who changes groups does so in turn: most changes touch several.
pub(super) const GROUP_TURN: &str = "groups";
