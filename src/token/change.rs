//! Changing tokens: a use is taken, a life is made longer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::barrier::Txn;
use crate::base::{Timestamp, TokenKey, Ttl};
use crate::storage::Version;

use super::info::State;
use super::{TRIES, TokenError, TokenInfo, TokenStore, id};

/// A use that was taken.
#[derive(Clone, Debug)]
pub struct Spent {
    /// Uses left after it.
    pub left: u64,
    /// It was the last: the token is to be revoked behind the answer.
    pub last: bool,
    /// The token as it is now.
    pub info: Arc<TokenInfo>,
}

/// What a renewal changes.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The new end.
    pub end: Timestamp,
    /// What the auth method wants to know at the next renewal; none: what it knew before.
    pub internal_meta: Option<BTreeMap<String, String>>,
}

impl TokenStore {
    /// Takes one use of a token that has a limited number of them, durably and in turn.
    ///
    /// Once the last one is taken nobody finds the token any more but with [`TokenStore::find_spent`]. It ends by itself
    /// a while later, in case nobody revokes it.
    ///
    /// # Errors
    /// [`TokenError::Ended`] when there is none left, or the token has ended.
    pub async fn spend(&self, info: &TokenInfo) -> Result<Spent, TokenError> {
        let mut spent = (0, false);
        let info = self
            .change(&info.key, |next, now| {
                if next.num_uses == 1 {
                    next.state = State::Spent;
                    let latest = now.plus(SPENT_FOR);
                    next.due = Some(next.due.map_or(latest, |due| due.min(latest)));
                }
                next.num_uses = next.num_uses.saturating_sub(1);
                spent = (next.num_uses, next.is_spent());
            })
            .await?;
        let (left, last) = spent;
        Ok(Spent { left, last, info: Arc::new(info) })
    }

    /// Gives a token a new end. The caller has computed it and asked whoever issued the token.
    ///
    /// # Errors
    /// [`TokenError::Ended`] when there is nothing left to renew.
    pub async fn renew(&self, key: &TokenKey, renewal: &Renewal) -> Result<Arc<TokenInfo>, TokenError> {
        let renewed = self.change(key, |next, now| {
            next.end = Some(renewal.end);
            next.due = Some(renewal.end);
            next.last_renewal = Some(now);
            if let Some(meta) = &renewal.internal_meta {
                next.internal_meta.clone_from(meta);
            }
        });
        Ok(Arc::new(renewed.await?))
    }

    /// Counts a leased token under the quota rule it is under now (spec `sys.md` §13).
    ///
    /// # Errors
    /// Of storage.
    pub async fn recount(&self, key: &TokenKey) -> Result<(), TokenError> {
        let _turn = self.turns.take(key.as_str()).await;
        for _ in 0..TRIES {
            let Some((info, version)) = self.records.read(key).await? else { return Ok(()) };
            if !info.counts_as_lease() {
                return Ok(());
            }
            let mut txn = self.view.txn();
            let rule = self.leases.move_count(&mut txn, &info.path, info.quota.as_ref())?;
            if rule == info.quota {
                return Ok(());
            }
            let next = TokenInfo { quota: rule, ..info.clone() };
            self.replace(&mut txn, &info, version, &next)?;
            match txn.commit().await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result?),
            }
        }
        Err(TokenError::Contended)
    }

    /// Changes the record of a token that can be used, in turn. Returns it as it is stored then.
    async fn change(&self, key: &TokenKey, mut change: impl FnMut(&mut TokenInfo, Timestamp)) -> Result<TokenInfo, TokenError> {
        let _turn = self.turns.take(key.as_str()).await;
        for _ in 0..TRIES {
            let now = self.clock.now();
            let (info, version) = self.records.read(key).await?.ok_or(TokenError::Ended)?;
            if info.state != State::Live || info.is_past_end(now) {
                return Err(TokenError::Ended);
            }
            let mut next = info.clone();
            change(&mut next, now);
            let mut txn = self.view.txn();
            self.replace(&mut txn, &info, version, &next)?;
            match txn.commit().await {
                // What hangs on it from now on expects the new version.
                Ok(()) => {
                    next.version = match self.records.read(key).await? {
                        Some((stored, version)) if !stored.is_revoking() => Some(version),
                        _ => None,
                    };
                    return Ok(next);
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TokenError::Contended)
    }

    /// Writes `new` over `old`, which is expected at `version`, and moves its due key.
    pub(super) fn replace(&self, txn: &mut Txn, old: &TokenInfo, version: Version, new: &TokenInfo) -> Result<(), TokenError> {
        txn.expect_at(&self.view, &id(&old.key), version);
        txn.put(&self.view, &id(&new.key), new)?;
        if old.due != new.due {
            self.leases.move_token(txn, &new.key, old.due, new.due)?;
        }
        Ok(())
    }
}

/// A token whose last use was taken lives so long at most: longer than any request, which may still need its cubbyhole.
const SPENT_FOR: Ttl = Ttl::minutes(3);
