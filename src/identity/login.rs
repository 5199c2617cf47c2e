//! What a login does to entities: it finds who logs in, or makes him, notes what his mount says of him, and brings him into the
//! external groups of that mount (spec `identity.md` §2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::barrier::Txn;

use super::check::check_name;
use super::record::{Entity, EntityAlias, Group, GroupKind};
use super::{AliasMount, IdentityError, IdentityStore, Principal, alias_key, entity_key, group_alias_key, group_key, member_key};

/// A login's alias.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The auth mount.
    pub mount: &'a AliasMount,
    /// How the mount names who logs in.
    pub name: &'a str,
    /// What the mount says of him.
    pub metadata: &'a BTreeMap<String, String>,
    /// The groups the mount says he is in, by their names there; `None`: it was not asked, and nothing changes.
    pub groups: Option<&'a [String]>,
}

/// What a login found or made.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whose login it is.
    pub principal: Arc<Principal>,
    /// He is new.
    pub is_new: bool,
}

impl IdentityStore {
    /// The entity of who logs in; a new one, or what is new of him, becomes part of the batch that makes his token. When that
    /// batch conflicts, this is called again for another.
    ///
    /// # Errors
    /// [`IdentityError::NamelessLogin`] without a name.
    pub async fn of_login(&self, login: Login<'_>, txn: &mut Txn) -> Result<Known, IdentityError> {
        if login.name.is_empty() {
            return Err(IdentityError::NamelessLogin);
        }
        check_name("alias name", login.name)?;
        let found = match self.alias_owner(&alias_key(&login.mount.id, login.name)).await? {
            Some(id) => self.load(&id).await?,
            None => None,
        };
        match found.filter(|known| known.entity.aliases.iter().any(|alias| alias.is(&login.mount.id, login.name))) {
            Some(known) => self.refresh(login, known, txn).await,
            None => self.make(login, txn).await,
        }
    }

    async fn refresh(&self, login: Login<'_>, known: Arc<Principal>, txn: &mut Txn) -> Result<Known, IdentityError> {
        if known.entity.disabled {
            // Refused by who asks: nothing of him changes.
            return Ok(Known { principal: known, is_new: false });
        }
        let mut entity = Cow::Borrowed(&*known.entity);
        let is_old = |alias: &EntityAlias| alias.is(&login.mount.id, login.name) && alias.metadata != *login.metadata;
        if let Some(place) = entity.aliases.iter().position(is_old)
            && let Some(alias) = entity.to_mut().aliases.get_mut(place)
        {
            alias.metadata.clone_from(login.metadata);
            alias.updated = self.clock.precise();
        }
        self.regroup(login, &known.direct, &mut entity, txn).await?;
        let Cow::Owned(mut entity) = entity else { return Ok(Known { principal: known, is_new: false }) };
        entity.updated = self.clock.precise();
        self.put_entity(&entity, txn)?;
        Ok(Known { principal: Arc::new(self.principal(Arc::new(entity)).await?), is_new: false })
    }

    async fn make(&self, login: Login<'_>, txn: &mut Txn) -> Result<Known, IdentityError> {
        let mut entity = self.fresh_entity(None);
        let mut alias = self.fresh_alias(login.mount, login.name);
        alias.metadata.clone_from(login.metadata);
        // Somebody else may be making him, or his name: then this batch conflicts.
        self.lead_alias(&alias, &entity.id, txn).await?;
        self.name_entity(&mut entity, txn).await?;
        entity.aliases.push(alias);
        let mut entity = Cow::Owned(entity);
        self.regroup(login, &[], &mut entity, txn).await?;
        txn.put(&self.view, &entity_key(&entity.id), &*entity)?;
        Ok(Known { principal: Arc::new(self.principal(Arc::new(entity.into_owned())).await?), is_new: true })
    }

    /// Brings an entity into the external groups its mount names, and out of the others of that mount. Groups of other mounts
    /// are none of its business.
    async fn regroup(
        &self,
        login: Login<'_>,
        direct: &[Arc<Group>],
        entity: &mut Cow<'_, Entity>,
        txn: &mut Txn,
    ) -> Result<(), IdentityError> {
        let Some(names) = login.groups else { return Ok(()) };
        let of_mount = |group: &Group| {
            group.kind == GroupKind::External && group.alias.as_ref().is_some_and(|alias| alias.mount == login.mount.id)
        };
        let mut wanted: Vec<Arc<Group>> = Vec::new();
        for name in names {
            let Some((id, _)) = self.index(&group_alias_key(&login.mount.id, name)).await? else { continue };
            if let Some(group) = self.group(&id).await?.filter(|group| of_mount(group))
                && !wanted.iter().any(|other| other.id == group.id)
            {
                wanted.push(group);
            }
        }
        for left in direct.iter().filter(|group| of_mount(group) && !wanted.iter().any(|other| other.id == group.id)) {
            entity.to_mut().groups.retain(|id| *id != left.id);
            txn.delete(&self.view, &member_key(&left.id, &entity.id));
        }
        for joined in &wanted {
            if !entity.groups.contains(&joined.id) {
                // It may be going.
                self.expect(txn, &group_key(&joined.id), joined.version);
                entity.to_mut().groups.push(joined.id.clone());
                txn.put(&self.view, &member_key(&joined.id, &entity.id), &())?;
            }
        }
        Ok(())
    }
}
