//! Several entities become one: it takes their aliases and memberships, and their tokens become its own. Policies and notes of
//! the others end with them.

use std::collections::BTreeSet;

use crate::barrier::Txn;

use super::change::tried;
use super::record::Entity;
use super::{Clash, IdentityError, IdentityStore, alias_id_key, alias_key, member_key, merged_key};

/// Who becomes whom.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    /// Who ends.
    pub from: Vec<String>,
    /// Who stays.
    pub to: String,
    /// Of two aliases on one mount, the one to keep.
    pub keep: Vec<String>,
}

impl IdentityStore {
    /// Merges entities in one batch.
    pub async fn merge(&self, merge: &Merge) -> Result<(), IdentityError> {
        let _turn = self.turns.take("merge").await;
        tried!(self, txn => self.try_merge(merge, &mut txn).await)
    }

    async fn try_merge(&self, merge: &Merge, txn: &mut Txn) -> Result<(), IdentityError> {
        if merge.from.contains(&merge.to) {
            return Err(IdentityError::MergeItself);
        }
        let mut to = self.read_entity(&merge.to).await?.ok_or(IdentityError::MergeTo)?;
        let mut sources = Vec::with_capacity(merge.from.len());
        for id in merge.from.iter().collect::<BTreeSet<_>>() {
            sources.push(self.read_entity(id).await?.ok_or(IdentityError::MergeFrom)?);
        }
        let clashes = clashes(&to, &sources, &merge.keep);
        if !clashes.is_empty() {
            return Err(if sources.len() > 1 { IdentityError::ClashOfMany(clashes) } else { IdentityError::Clash(clashes) });
        }
        for source in sources {
            self.absorb(&mut to, source, &merge.keep, txn)?;
        }
        to.updated = self.clock.precise();
        self.put_entity(&to, txn)
    }

    fn absorb(&self, to: &mut Entity, source: Entity, keep: &[String], txn: &mut Txn) -> Result<(), IdentityError> {
        self.remove_entity(&source, txn);
        for mut alias in source.aliases {
            let beside = to.aliases.iter().position(|other| other.mount_accessor == alias.mount_accessor);
            // Without a clash, or one of the two is kept.
            let loser = match beside {
                None => None,
                Some(place) if keep.contains(&alias.id) => Some(to.aliases.remove(place)),
                Some(_) => Some(alias.clone()),
            };
            if let Some(loser) = &loser {
                txn.delete(&self.view, &alias_key(&loser.mount, &loser.name));
                txn.delete(&self.view, &alias_id_key(&loser.id));
            }
            if loser.is_none_or(|loser| loser.id != alias.id) {
                alias.merged_from.push(source.id.clone());
                alias.updated = self.clock.precise();
                txn.put(&self.view, &alias_key(&alias.mount, &alias.name), &to.id)?;
                txn.put(&self.view, &alias_id_key(&alias.id), &to.id)?;
                to.aliases.push(alias);
            }
        }
        for group in source.groups {
            if !to.groups.contains(&group) {
                txn.put(&self.view, &member_key(&group, &to.id), &())?;
                to.groups.push(group);
            }
        }
        for id in source.merged.into_iter().chain([source.id]) {
            txn.put(&self.view, &merged_key(&id), &to.id)?;
            to.merged.push(id);
        }
        Ok(())
    }
}

/// Aliases on a mount on which there would be another, unless exactly one of the two is to be kept.
fn clashes(to: &Entity, sources: &[Entity], keep: &[String]) -> Vec<Clash> {
    let mut found = Vec::new();
    let mut seen: Vec<&Entity> = vec![to];
    for source in sources {
        for alias in &source.aliases {
            let others = seen.iter().filter_map(|entity| Some((*entity, entity.alias_on(&alias.mount_accessor)?)));
            for (entity, other) in others {
                let is_resolved = sources.len() == 1 && keep.contains(&alias.id) != keep.contains(&other.id);
                if !is_resolved {
                    found.push(clash(source, &alias.id, &alias.mount_accessor));
                    found.push(clash(entity, &other.id, &other.mount_accessor));
                }
            }
        }
        seen.push(source);
    }
    found
}

fn clash(entity: &Entity, alias: &str, accessor: &str) -> Clash {
    Clash {
        alias: alias.to_owned(),
        entity: entity.name.clone(),
        entity_id: entity.id.clone(),
        mount_accessor: accessor.to_owned(),
    }
}
