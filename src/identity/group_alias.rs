//! Writing and removing the aliases of external groups.

use crate::barrier::Txn;
use crate::base::random;

use super::change::tried;
use super::check::check_name;
use super::group::GROUP_TURN;
use super::record::{Group, GroupAlias, GroupKind};
use super::{AliasMount, AliasWritten, IdentityError, IdentityStore, folded, group_alias_id_key, group_alias_key};

/// What is to become of a group's alias.
#[derive(Clone, Debug)]
pub struct GroupAliasChange {
    /// The one to change. Without one: the one with this mount and name, else a new one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its mount.
    pub mount: AliasMount,
    /// The group; without one a new alias gets a new group.
    pub canonical_id: Option<String>,
}

impl IdentityStore {
    /// Creates or changes the alias of a group.
    pub async fn write_group_alias(&self, change: &GroupAliasChange) -> Result<AliasWritten, IdentityError> {
        check_name("name", &change.name)?;
        let _turn = self.turns.take(GROUP_TURN).await;
        tried!(self, txn => self.try_group_alias(change, &mut txn).await)
    }

    /// Removes the alias of a group, if it is there. The group and its members stay.
    pub async fn delete_group_alias(&self, id: &str) -> Result<(), IdentityError> {
        let _turn = self.turns.take(GROUP_TURN).await;
        tried!(self, txn => self.try_delete_group_alias(id, &mut txn).await)
    }

    async fn try_group_alias(&self, change: &GroupAliasChange, txn: &mut Txn) -> Result<AliasWritten, IdentityError> {
        let holder = self.group_by_alias(&change.mount.id, &change.name).await?;
        let old = match &change.id {
            Some(id) => Some(self.group_by_alias_id(id).await?.ok_or(IdentityError::NoGroupAlias)?),
            None => holder.clone(),
        };
        let mut group = match (&change.canonical_id, &old) {
            (Some(id), _) => self.read_group(id).await?.ok_or(IdentityError::GroupCanonical)?,
            (None, Some(old)) => old.clone(),
            (None, None) => {
                let group = self.fresh_group(None, GroupKind::External);
                self.rename_group(&group, None, txn).await?;
                group
            }
        };
        if group.kind != GroupKind::External {
            return Err(IdentityError::InternalAlias);
        }
        // Somebody else's: taken. Ours by its id: it moves.
        let moves = old.as_ref().filter(|old| old.id != group.id && change.id.is_some());
        let may_hold = |holder: &Group| holder.id == group.id || moves.is_some_and(|old| old.id == holder.id);
        if holder.as_ref().is_some_and(|holder| !may_hold(holder)) {
            return Err(IdentityError::GroupAliasTaken);
        }
        let now = self.clock.precise();
        let known = old.as_ref().and_then(|old| old.alias.clone());
        for taken in [group.alias.take(), known.clone()].into_iter().flatten() {
            txn.delete(&self.view, &group_alias_key(&taken.mount, &taken.name));
            txn.delete(&self.view, &group_alias_id_key(&taken.id));
        }
        if let Some(mut old) = moves.cloned() {
            old.alias = None;
            self.put_group(&mut old, txn)?;
        }
        let alias = GroupAlias {
            id: known.as_ref().map_or_else(random::uuid, |known| known.id.clone()),
            mount: change.mount.id.clone(),
            mount_accessor: change.mount.accessor.clone(),
            name: change.name.clone(),
            created: known.map_or(now, |known| known.created),
            updated: now,
        };
        let key = group_alias_key(&alias.mount, &alias.name);
        let found = self.index(&key).await?.map(|(_, version)| version);
        self.expect(txn, &key, found);
        txn.put(&self.view, &key, &group.id)?;
        txn.put(&self.view, &group_alias_id_key(&alias.id), &group.id)?;
        let written = AliasWritten { id: alias.id.clone(), canonical_id: group.id.clone(), is_unchanged: false };
        group.alias = Some(alias);
        self.put_group(&mut group, txn)?;
        Ok(written)
    }

    async fn try_delete_group_alias(&self, id: &str, txn: &mut Txn) -> Result<(), IdentityError> {
        let Some(mut group) = self.group_by_alias_id(id).await? else { return Ok(()) };
        if let Some(alias) = group.alias.take() {
            txn.delete(&self.view, &group_alias_key(&alias.mount, &alias.name));
        }
        txn.delete(&self.view, &group_alias_id_key(id));
        self.put_group(&mut group, txn)
    }
}

impl GroupAlias {
    pub(super) fn is(&self, mount: &crate::base::MountId, name: &str) -> bool {
        self.mount == *mount && folded(&self.name) == folded(name)
    }
}
