//! Ending before the end: one lease, all below a path, a mount's, a token's.
//!
//! Whatever is revoked is `Revoking` and due now in storage before anybody is called, so no revocation is ever lost; who
//! waits is then served ahead of the queue.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, stream};
use tokio::sync::oneshot;

use crate::barrier::Txn;
use crate::base::{LeaseId, MountId, TokenKey, Ttl};
use crate::storage::Page;

use super::lane::Waited;
use super::manager::{PAGE, TRIES};
use super::{Lease, LeaseError, LeaseManager, State, due};

/// Whether a revocation is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It is durable that the lease is due now; the rest happens behind the caller.
    Soon,
    /// One attempt is made at once, and its result is the answer.
    Waited,
}

/// How all below a path are revoked (spec `leases.md` §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Waited for; the first error is the answer.
    Sync,
    /// Made due, not waited for.
    Queued,
    /// Waited for; the record goes whatever the outside says.
    Force,
}

/// Why a lease becomes `Revoking`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Somebody wants it ended: now, also when it was put off.
    Revoked,
    /// Its token ends: what is being ended already is left alone.
    WithToken(TokenKey),
    /// An intent nobody holds.
    Abandoned,
}

impl LeaseManager {
    /// Ends a lease, or a token by its lease.
    ///
    /// # Errors
    /// [`LeaseError::NotFound`]; [`LeaseError::Refused`] with what the outside said, when waited for: the lease stays due.
    pub async fn revoke(&self, id: &LeaseId, when: When) -> Result<(), LeaseError> {
        let how = match when {
            When::Soon => How::Queued,
            When::Waited => How::Sync,
        };
        self.revoke_one(id, how).await
    }

    /// Ends all below `prefix`, or the one lease of that id; tokens with their trees. Returns how many there were.
    ///
    /// # Errors
    /// [`LeaseError::RefusedAmong`]: the first that failed, when waited for. All of them are due all the same.
    pub async fn revoke_prefix(&self, prefix: &str, how: How) -> Result<u64, LeaseError> {
        if !prefix.ends_with('/') {
            match self.revoke_one(&LeaseId::new(prefix), how).await {
                Err(LeaseError::NotFound) => {}
                result => return result.map(|()| 1),
            }
        }
        let folder = format!("{}{}/", due::IDS, prefix.trim_end_matches('/'));
        let mut total = 0;
        let mut after: Option<String> = None;
        loop {
            let ids = self.ids_under(&folder, after.as_deref()).await?;
            total += ids.len() as u64;
            let (tokens, leases): (Vec<_>, Vec<_>) = ids.iter().cloned().partition(|id| due::token_of(id).is_some());
            self.mark(&leases, Mark::Revoked).await?;
            self.revoke_tokens(&tokens.iter().filter_map(due::token_of).collect::<Vec<_>>()).await?;
            match ids.last() {
                Some(id) if ids.len() == PAGE => after = Some(due::id(id)),
                _ => break,
            }
        }
        if how != How::Queued {
            self.wait_under(&folder, total, how).await?;
        }
        Ok(total)
    }

    /// Ends all leases of a mount and waits for it; whoever calls has seen to it that none is added. Intents that nobody can
    /// believe gone yet do not hold the answer: [`LeaseManager::is_empty`] says when they are.
    ///
    /// # Errors
    /// [`LeaseError::RefusedAmong`] with the first that failed; all of them stay due.
    pub async fn revoke_mount(&self, mount: &MountId) -> Result<(), LeaseError> {
        let lane = due::lane(mount.as_str());
        let mut total: u64 = 0;
        // What is moved lands before or at now, behind the walk or already due.
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(&lane, Page { after: after.as_deref(), limit: PAGE }).await?;
            total += page.len() as u64;
            let ids: Vec<_> = page.iter().map(|(_, id)| id.clone()).collect();
            self.mark(&ids, Mark::Revoked).await?;
            match page.into_iter().next_back() {
                Some((key, _)) if ids.len() == PAGE => after = Some(key),
                _ => break,
            }
        }
        let mut at = 0;
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(&lane, Page { after: after.as_deref(), limit: PAGE }).await?;
            let ids: Vec<_> = page.iter().map(|(_, id)| id.clone()).collect();
            self.wait_for_all(&ids, &mut at, total, false).await?;
            match page.into_iter().next_back() {
                Some((key, _)) if ids.len() == PAGE => after = Some(key),
                _ => return Ok(()),
            }
        }
    }

    /// Has what was put off in a lane tried again now.
    pub(super) async fn hasten(&self, mount: &MountId) -> Result<(), LeaseError> {
        let lane = due::lane(mount.as_str());
        let now = self.clock.now();
        let horizon = now.plus(LONGEST_PUT_OFF);
        let mut after = Some(due::before(mount.as_str(), now));
        while let Some(from) = after.take() {
            let page: Vec<(String, LeaseId)> = self.view.scan(&lane, Page { after: Some(&from), limit: PAGE }).await?;
            let mut ids = Vec::new();
            for (key, id) in &page {
                if due::parse(key).is_some_and(|(_, at, _)| at > horizon) {
                    break;
                }
                if self.read(id).await?.is_some_and(|(lease, _)| lease.state == State::Revoking) {
                    ids.push(id.clone());
                }
            }
            self.mark(&ids, Mark::Revoked).await?;
            if let Some((key, _)) = page.last()
                && page.len() == PAGE
                && due::parse(key).is_some_and(|(_, at, _)| at <= horizon)
            {
                after = Some(key.clone());
            }
        }
        self.lanes.lane(mount.as_str()).hasten();
        Ok(())
    }

    /// Makes leases `Revoking` and due now, in one batch; those that change meanwhile one by one.
    pub(super) async fn mark(&self, ids: &[LeaseId], why: Mark) -> Result<(), LeaseError> {
        let mut txn = self.view.txn();
        for id in ids {
            self.mark_in(&mut txn, id, why).await?;
        }
        match txn.commit().await {
            Err(error) if error.is_conflict() => {}
            result => return Ok(result?),
        }
        for id in ids {
            self.mark_one(id, why).await?;
        }
        Ok(())
    }

    /// Removes record and keys, whatever they say by now.
    pub(super) async fn forget(&self, id: &LeaseId) -> Result<(), LeaseError> {
        let _turn = self.turns.take(id.as_str()).await;
        for _ in 0..TRIES {
            let Some((lease, version)) = self.read(id).await? else { return Ok(()) };
            let mut txn = self.view.txn();
            self.remove(&mut txn, &lease, version)?;
            match txn.commit().await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result?),
            }
        }
        Err(LeaseError::Contended)
    }

    async fn revoke_one(&self, id: &LeaseId, how: How) -> Result<(), LeaseError> {
        if let Some(token) = due::token_of(id) {
            if !self.view.exists(&due::id(id)).await? {
                return Err(LeaseError::NotFound);
            }
            return self.revoke_tokens(&[token]).await;
        }
        if !self.mark_one(id, Mark::Revoked).await? {
            return Err(LeaseError::NotFound);
        }
        match how {
            How::Queued => Ok(()),
            How::Sync | How::Force => self.wait_for(id, how == How::Force).await,
        }
    }

    async fn revoke_tokens(&self, tokens: &[TokenKey]) -> Result<(), LeaseError> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.reach().await?.revoker.revoke_tokens(tokens).await.map_err(|error| LeaseError::Refused(error.to_string()))
    }

    async fn mark_one(&self, id: &LeaseId, why: Mark) -> Result<bool, LeaseError> {
        let _turn = self.turns.take(id.as_str()).await;
        for _ in 0..TRIES {
            let mut txn = self.view.txn();
            let found = self.mark_in(&mut txn, id, why).await?;
            match txn.commit().await {
                Ok(()) => return Ok(found),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Contended)
    }

    /// Adds to a batch what marks one lease; whether there is one.
    async fn mark_in(&self, txn: &mut Txn, id: &LeaseId, why: Mark) -> Result<bool, LeaseError> {
        let stored = self.read(id).await?;
        if let Mark::WithToken(token) = why {
            txn.delete(&self.view, &due::of_token_lease(&token, id.suffix()));
        }
        let Some((lease, version)) = stored else { return Ok(false) };
        if let Some(next) = self.marked(&lease, why) {
            self.replace(txn, &lease, version, &next)?;
        }
        Ok(true)
    }

    fn marked(&self, lease: &Lease, why: Mark) -> Option<Lease> {
        let now = self.clock.now();
        let leave = match why {
            Mark::Revoked => lease.state == State::Revoking && lease.due <= now,
            Mark::WithToken(_) => lease.state == State::Revoking,
            Mark::Abandoned => {
                !lease.intent || self.is_in_hand(&lease.id) || (lease.state == State::Revoking && lease.due <= now)
            }
        };
        if leave {
            return None;
        }
        let mut next = lease.clone();
        if lease.state == State::Pending {
            next.left = Some(self.left_now());
        }
        (next.state, next.end, next.due) = (State::Revoking, lease.end.min(now), lease.due.min(now));
        Some(next)
    }

    async fn wait_under(&self, folder: &str, total: u64, how: How) -> Result<(), LeaseError> {
        let mut at = 0;
        let mut after: Option<String> = None;
        loop {
            let ids = self.ids_under(folder, after.as_deref()).await?;
            let leases: Vec<_> = ids.iter().filter(|id| due::token_of(id).is_none()).cloned().collect();
            self.wait_for_all(&leases, &mut at, total, how == How::Force).await?;
            match ids.last() {
                Some(id) if ids.len() == PAGE => after = Some(due::id(id)),
                _ => return Ok(()),
            }
        }
    }

    async fn wait_for_all(&self, ids: &[LeaseId], at: &mut u64, total: u64, force: bool) -> Result<(), LeaseError> {
        // Collected: a future that holds the closure is not known to be `Send` wherever it is boxed.
        let waits: Vec<_> = ids.iter().map(|id| async move { (id, self.wait_for(id, force).await) }).collect();
        let mut results = stream::iter(waits).buffered(WAITS);
        while let Some((id, result)) = results.next().await {
            *at += 1;
            match result {
                Err(LeaseError::Refused(cause)) => {
                    return Err(LeaseError::RefusedAmong { id: id.clone(), at: *at, of: total.max(*at), cause });
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Waits for one attempt at a lease that is being ended. One still in its issuer's hand is not waited for: its issue
    /// fails, and it is ended as soon as it is let go.
    async fn wait_for(&self, id: &LeaseId, force: bool) -> Result<(), LeaseError> {
        let Some((lease, _)) = self.read(id).await? else { return Ok(()) };
        if lease.state != State::Revoking || self.is_in_hand(id) {
            return Ok(());
        }
        if self.has_stopped.load(Ordering::Acquire) {
            return Err(LeaseError::Stopping);
        }
        let (answer, answered) = oneshot::channel();
        self.lanes.lane(lease.mount.as_str()).wait_for(Waited { id: id.clone(), due: lease.due, force, answer });
        answered.await.unwrap_or(Err(LeaseError::Stopping))
    }

    async fn ids_under(&self, folder: &str, after: Option<&str>) -> Result<Vec<LeaseId>, LeaseError> {
        let keys = self.view.scan_keys(folder, Page { after, limit: PAGE }).await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(due::IDS)).map(LeaseId::new).collect())
    }
}

/// The time a lease is put off at most, jitter included: see `attempt`.
pub(super) const LONGEST_PUT_OFF: Ttl = Ttl::minutes(90);

/// Ends waited for at once by one revocation: as many as a lane works on.
const WAITS: usize = 8;
