//! What goes behind everybody's back: the aliases of a mount that is gone, the members of groups that are.

use crate::barrier::Txn;
use crate::base::MountId;
use crate::storage::Page;

use super::change::tried;
use super::{ALIASES, GONE, GROUP_ALIASES, IdentityError, IdentityStore, PAGE, alias_id_key, group_alias_id_key};

impl IdentityStore {
    /// Removes all aliases on a mount, of entities and of groups, some at a time. Whoever has the mount wiped calls it, again
    /// after a crash, until it succeeds.
    pub async fn forget_mount(&self, mount: &MountId) -> Result<(), IdentityError> {
        while !tried!(self, txn => self.try_forget(mount, &mut txn).await)? {}
        while !tried!(self, txn => self.try_forget_groups(mount, &mut txn).await)? {}
        Ok(())
    }

    /// Goes on with groups whose end was cut short.
    pub async fn sweep(&self) -> Result<(), IdentityError> {
        let ids = self.view.sub(GONE).scan_keys("", Page::first(PAGE)).await?;
        for id in ids {
            self.sweep_group(&id).await?;
        }
        Ok(())
    }

    async fn try_forget(&self, mount: &MountId, txn: &mut Txn) -> Result<bool, IdentityError> {
        let page: Vec<(String, String)> = self.view.scan(&format!("{ALIASES}{mount}/"), Page::first(AT_ONCE)).await?;
        for (key, id) in &page {
            txn.delete(&self.view, key);
            let Some(mut entity) = self.read_entity(id).await? else { continue };
            for alias in entity.aliases.iter().filter(|alias| alias.mount == *mount) {
                txn.delete(&self.view, &alias_id_key(&alias.id));
            }
            let before = entity.aliases.len();
            entity.aliases.retain(|alias| alias.mount != *mount);
            if entity.aliases.len() < before {
                entity.updated = self.clock.precise();
                self.put_entity(&entity, txn)?;
            }
        }
        Ok(page.is_empty())
    }

    async fn try_forget_groups(&self, mount: &MountId, txn: &mut Txn) -> Result<bool, IdentityError> {
        let page: Vec<(String, String)> = self.view.scan(&format!("{GROUP_ALIASES}{mount}/"), Page::first(AT_ONCE)).await?;
        for (key, id) in &page {
            txn.delete(&self.view, key);
            let Some(mut group) = self.read_group(id).await? else { continue };
            if let Some(alias) = group.alias.take_if(|alias| alias.mount == *mount) {
                txn.delete(&self.view, &group_alias_id_key(&alias.id));
                self.put_group(&mut group, txn)?;
            }
        }
        Ok(page.is_empty())
    }
}

/// Each is a record and three keys.
const AT_ONCE: usize = 64;
