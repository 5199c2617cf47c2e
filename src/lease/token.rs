//! Leases of tokens: keys the token store writes into its own batches, and what goes with a token when it ends.

use crate::barrier::{BarrierError, Txn};
use crate::base::{LeaseId, Timestamp, TokenKey};
use crate::storage::Page;

use super::manager::PAGE;
use super::revoke::Mark;
use super::{LeaseError, LeaseManager, due};

impl LeaseManager {
    /// Lists a token under the path that created it, and has it ended in time. In the batch that writes its record.
    pub fn put_token(
        &self,
        txn: &mut Txn,
        creation_path: &str,
        key: &TokenKey,
        end: Option<Timestamp>,
    ) -> Result<(), BarrierError> {
        // Both keys say all there is to say.
        txn.put_bytes(&self.view, &due::token_id(creation_path, key), b"")?;
        self.move_token(txn, key, None, end)
    }

    /// Moves a token's place in the order of ends: renewed, or made due now. In the batch that writes its record.
    pub fn move_token(
        &self,
        txn: &mut Txn,
        key: &TokenKey,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<(), BarrierError> {
        if let Some(from) = from {
            txn.delete(&self.view, &due::due(due::TOKENS, from, key.as_str()));
        }
        if let Some(to) = to {
            txn.put_bytes(&self.view, &due::due(due::TOKENS, to, key.as_str()), b"")?;
        }
        Ok(())
    }

    /// Removes what [`LeaseManager::put_token`] wrote. In the batch that removes its record.
    pub fn forget_token(&self, txn: &mut Txn, creation_path: &str, key: &TokenKey, end: Option<Timestamp>) {
        txn.delete(&self.view, &due::token_id(creation_path, key));
        if let Some(end) = end {
            txn.delete(&self.view, &due::due(due::TOKENS, end, key.as_str()));
        }
    }

    /// Adds what is missing of the keys of a token to a batch that expects its record; without path it is not listed.
    pub async fn mend_token(
        &self,
        txn: &mut Txn,
        creation_path: Option<&str>,
        key: &TokenKey,
        due: Option<Timestamp>,
    ) -> Result<(), BarrierError> {
        let listed = creation_path.map(|path| due::token_id(path, key));
        let queued = due.map(|due| due::due(due::TOKENS, due, key.as_str()));
        for place in listed.into_iter().chain(queued) {
            if !self.view.exists(&place).await? {
                txn.put_bytes(&self.view, &place, b"")?;
            }
        }
        Ok(())
    }

    /// Expects that nothing is leased to a token: for the batch that removes it.
    pub fn expect_none_of(&self, txn: &mut Txn, key: &TokenKey) {
        txn.expect_empty(&self.view, &due::of_token(key));
    }

    /// Which of these are still in the queue at the time they were taken; keys whose token is gone are removed.
    pub(super) async fn tokens_left(&self, tokens: &[(TokenKey, Timestamp)]) -> Result<Vec<(TokenKey, Timestamp)>, LeaseError> {
        let records = self.view.barrier().view(TOKENS);
        let mut left = Vec::new();
        for (token, at) in tokens {
            let key = due::due(due::TOKENS, *at, token.as_str());
            if !self.view.exists(&key).await? {
                continue;
            }
            let record = format!("id/{token}");
            if records.exists(&record).await? {
                left.push((*token, *at));
                continue;
            }
            let mut txn = self.view.txn();
            txn.expect_absent(&records, &record).delete(&self.view, &key);
            txn.commit().await?;
        }
        Ok(left)
    }

    /// One page of what is leased to a token becomes `Revoking` and due now, intents too, and hangs on it no more. Returns
    /// how many they were; none: nothing is left. The token is `Revoking` before the first call, so nothing is added.
    pub async fn end_of_token(&self, key: &TokenKey) -> Result<usize, LeaseError> {
        let page: Vec<(String, LeaseId)> = self.view.scan(&due::of_token(key), Page::first(PAGE)).await?;
        let ids: Vec<LeaseId> = page.into_iter().map(|(_, id)| id).collect();
        self.mark(&ids, Mark::WithToken(*key)).await?;
        Ok(ids.len())
    }
}

/// Where the token store keeps its records (architecture §6).
pub(super) const TOKENS: &str = "token/";
