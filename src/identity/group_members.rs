//! Which entities are in a group. Each entity's record says so itself; beside it there is a key for each member of a group, for
//! lists. Both are written in one batch.

use std::collections::BTreeSet;

use crate::barrier::{BarrierError, Txn};
use crate::storage::Page;

use super::change::tried;
use super::record::Group;
use super::{IdentityError, IdentityStore, MEMBERS, PAGE, gone_key, member_key};

impl IdentityStore {
    /// The ids of the entities in a group, in order.
    pub async fn members(&self, group: &str) -> Result<Vec<String>, BarrierError> {
        self.view.sub(&format!("{MEMBERS}{group}/")).scan_keys_all().await
    }

    /// How many there are.
    pub async fn count_members(&self, group: &str) -> Result<usize, BarrierError> {
        Ok(self.members(group).await?.len())
    }

    pub(super) async fn replace_members(&self, group: &Group, wanted: &[String], txn: &mut Txn) -> Result<(), IdentityError> {
        let old: BTreeSet<String> = self.members(&group.id).await?.into_iter().collect();
        let new: BTreeSet<String> = wanted.iter().cloned().collect();
        if old.symmetric_difference(&new).count() > MOST_CHANGES {
            return Err(IdentityError::TooManyMembers(MOST_CHANGES));
        }
        for id in new.difference(&old) {
            let mut entity = self.read_entity(id).await?.ok_or_else(|| IdentityError::MemberEntity(id.clone()))?;
            if !entity.groups.contains(&group.id) {
                entity.groups.push(group.id.clone());
            }
            self.put_entity(&entity, txn)?;
            txn.put(&self.view, &member_key(&group.id, id), &())?;
        }
        for id in old.difference(&new) {
            self.leave_group(&group.id, id, txn).await?;
        }
        Ok(())
    }

    async fn leave_group(&self, group: &str, entity: &str, txn: &mut Txn) -> Result<(), IdentityError> {
        if let Some(mut entity) = self.read_entity(entity).await? {
            entity.groups.retain(|other| other != group);
            self.put_entity(&entity, txn)?;
        }
        txn.delete(&self.view, &member_key(group, entity));
        Ok(())
    }

    /// Tells the members of a group that is gone, some at a time. Its marker goes last, so whoever is stopped is followed by
    /// somebody else.
    pub(super) async fn sweep_group(&self, id: &str) -> Result<(), IdentityError> {
        loop {
            let is_last = tried!(self, txn => self.try_sweep(id, &mut txn).await)?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn try_sweep(&self, id: &str, txn: &mut Txn) -> Result<bool, IdentityError> {
        let folder = format!("{MEMBERS}{id}/");
        let page = self.view.scan_keys(&folder, Page::first(PAGE)).await?;
        for key in &page {
            self.leave_group(id, key.strip_prefix(&folder).unwrap_or_default(), txn).await?;
        }
        if page.is_empty() {
            txn.expect_empty(&self.view, &folder);
            txn.delete(&self.view, &gone_key(id));
        }
        Ok(page.is_empty())
    }
}

/// Members that join or leave by one request: each is a record of an entity in its batch.
const MOST_CHANGES: usize = 10_000;
