//! How many leases there may be: asked before anything is issued, counted in the batches that write and remove leases (spec
//! `sys.md` §13, lease-count).

use std::fmt;
use std::sync::Arc;

use crate::barrier::{BarrierError, Tally, Txn};
use crate::base::{LeaseId, TokenKey};
use crate::storage::Page;

use super::manager::{PAGE, TRIES};
use super::{Lease, LeaseError, LeaseManager, State, due};

/// What the rules say of one lease.
#[derive(Clone, Debug)]
pub struct Room {
    /// Names the rule for as long as it is the same; kept with the lease.
    pub rule: Arc<str>,
    /// The leases under it.
    pub tally: Arc<Tally>,
    /// So many at most.
    pub most: u64,
}

/// What came of counting a lease again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// It counts under its rule, or is gone.
    Done,
    /// It is a token's: the token store counts it.
    OfToken(TokenKey),
}

/// Who knows the rules.
pub trait LeaseQuotas: fmt::Debug + Send + Sync {
    /// The one rule for what this path issues; of a login, for this role. `None`: there is none.
    fn room(&self, path: &str, role: Option<&str>) -> Option<Room>;
    /// The leases under a rule; `None`: it is gone.
    fn tally(&self, rule: &str) -> Option<Arc<Tally>>;
    /// Whether a rule is for logins of a role, which cannot be told of a token later.
    fn is_of_role(&self, rule: &str) -> bool;
    /// Something was refused.
    fn refused(&self);
}

impl LeaseManager {
    /// Whose rules hold from now on. Set once.
    pub fn obey(&self, quotas: Arc<dyn LeaseQuotas>) {
        let _only = self.quotas.set(quotas);
    }

    /// Refuses what could not be issued now. Who asks has no place by that: it says no early, and [`LeaseManager::admit`] is
    /// asked again.
    ///
    /// # Errors
    /// [`LeaseError::Quota`].
    pub fn check_room(&self, path: &str) -> Result<(), LeaseError> {
        let Some(quotas) = self.quotas.get() else { return Ok(()) };
        match quotas.room(path, None) {
            Some(room) if room.tally.count() >= room.most => {
                quotas.refused();
                Err(LeaseError::Quota(path.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Counts what is issued with this batch under its rule, whose name is to be kept with it; `None`: there is no rule.
    ///
    /// # Errors
    /// [`LeaseError::Quota`] when there are as many as there may be.
    pub fn admit(&self, txn: &mut Txn, path: &str, role: Option<&str>) -> Result<Option<Arc<str>>, LeaseError> {
        let Some(quotas) = self.quotas.get() else { return Ok(None) };
        let Some(room) = quotas.room(path, role) else { return Ok(None) };
        if !txn.add_within(&room.tally, room.most)? {
            quotas.refused();
            return Err(LeaseError::Quota(path.to_owned()));
        }
        Ok(Some(room.rule))
    }

    /// What was counted under a rule is gone with this batch.
    ///
    /// # Errors
    /// When too many batches do the same at once.
    pub fn discount(&self, txn: &mut Txn, rule: Option<&str>) -> Result<(), BarrierError> {
        match self.tally(rule) {
            Some(tally) => txn.take_away(&tally),
            None => Ok(()),
        }
    }

    /// A lease that was gone is written again with this batch, and counts whatever there are.
    pub(super) fn count_again(&self, txn: &mut Txn, lease: &Lease) -> Result<(), BarrierError> {
        match self.tally(lease.quota.as_deref()) {
            Some(tally) => txn.add(&tally),
            None => Ok(()),
        }
    }

    /// An intent that was begun before its rule counts from now on, whatever there are.
    pub(super) fn count_late(&self, txn: &mut Txn, lease: &mut Lease) -> Result<(), BarrierError> {
        if lease.quota.is_none()
            && let Some(room) = self.quotas.get().and_then(|quotas| quotas.room(&lease.path, None))
        {
            txn.add(&room.tally)?;
            lease.quota = Some(room.rule);
        }
        Ok(())
    }

    /// One page of the ids of leases whose path begins so, and where the next one begins.
    ///
    /// # Errors
    /// Of storage.
    pub async fn page_of_ids(&self, prefix: &str, after: Option<&str>) -> Result<(Vec<LeaseId>, Option<String>), LeaseError> {
        let keys = self.view.scan_keys(&format!("{}{prefix}", due::IDS), Page { after, limit: PAGE }).await?;
        let next = (keys.len() == PAGE).then(|| keys.last().cloned()).flatten();
        let ids = keys.iter().filter_map(|key| key.strip_prefix(due::IDS)).map(LeaseId::new);
        Ok((ids.collect(), next))
    }

    /// Counts a lease under the rule it is under now.
    ///
    /// # Errors
    /// Of storage.
    pub async fn recount(&self, id: &LeaseId) -> Result<Counting, LeaseError> {
        if let Some(token) = due::token_of(id) {
            return Ok(Counting::OfToken(token));
        }
        let _turn = self.turns.take(id.as_str()).await;
        for _ in 0..TRIES {
            let Some((lease, version)) = self.read(id).await? else { return Ok(Counting::Done) };
            // An intent is its issuer's; it is counted when it becomes active.
            if lease.state == State::Pending {
                return Ok(Counting::Done);
            }
            let mut txn = self.view.txn();
            let rule = self.move_count(&mut txn, &lease.path, lease.quota.as_ref())?;
            if rule == lease.quota {
                return Ok(Counting::Done);
            }
            let next = Lease { quota: rule, ..lease.clone() };
            self.replace(&mut txn, &lease, version, &next)?;
            match txn.commit().await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result.map(|()| Counting::Done)?),
            }
        }
        Err(LeaseError::Contended)
    }

    /// Counts with this batch under the rule that holds for a path now, and no more under the one it counted under. Which it
    /// is; when it is the same, nothing is in the batch.
    ///
    /// # Errors
    /// When too many batches do the same at once.
    pub fn move_count(&self, txn: &mut Txn, path: &str, from: Option<&Arc<str>>) -> Result<Option<Arc<str>>, BarrierError> {
        let Some(quotas) = self.quotas.get() else { return Ok(from.cloned()) };
        if from.is_some_and(|rule| quotas.is_of_role(rule)) {
            return Ok(from.cloned());
        }
        let room = quotas.room(path, None);
        if room.as_ref().map(|room| &room.rule) == from {
            return Ok(from.cloned());
        }
        self.discount(txn, from.map(|rule| &**rule))?;
        if let Some(room) = &room {
            txn.add(&room.tally)?;
        }
        Ok(room.map(|room| room.rule))
    }

    fn tally(&self, rule: Option<&str>) -> Option<Arc<Tally>> {
        self.quotas.get()?.tally(rule?)
    }
}
