//! Keys of the rotated user: made, listed, told apart and deleted.

use std::time::Duration;

use crate::base::{Timestamp, Ttl};

use super::super::connect::Aws;
use super::super::error::AwsError;
use super::super::key::{KeyListed, KeyPair};
use super::ledger::{Ledger, RotationError};
use super::record::Record;
use super::{MOST_KEYS, Rotation, Whose};

impl Rotation<'_> {
    pub(super) async fn listed(&self, user: &str) -> Result<Vec<KeyListed>, RotationError> {
        self.aws.access_keys(user).await.map_err(|error| RotationError::List { error })
    }

    /// Step 2: deletes what was lost, and the key that was left valid for one more period. Gives the others.
    pub(super) async fn cleared(
        &self,
        record: &Record,
        user: &str,
        listed: Vec<KeyListed>,
    ) -> Result<Vec<KeyListed>, RotationError> {
        let previous = match self.whose {
            Whose::Own => None,
            Whose::Named { previous, .. } => previous,
        };
        let mut left = Vec::with_capacity(listed.len());
        for key in listed {
            let id = key.id.as_str();
            if self.in_use == Some(id) {
                left.push(key);
            } else if previous == Some(id) {
                match self.aws.delete_access_key(user, id).await {
                    Err(error) if !error.is_absent() => return Err(RotationError::InTheWay { id: key.id, error }),
                    _ => {}
                }
            } else if self.is_lost(record, user, &key).await.map_err(RotationError::Search)? {
                self.delete_lost(user, id).await?;
            } else {
                left.push(key);
            }
        }
        Ok(left)
    }

    /// Whether a key is one that we made and never heard of.
    pub(super) async fn is_lost(&self, record: &Record, user: &str, key: &KeyListed) -> Result<bool, AwsError> {
        if !record.may_be_lost(user, key, self.aws.ahead()) {
            return Ok(false);
        }
        match self.aws.access_key_last_used(&key.id).await {
            Ok(used) => Ok(used.is_none()),
            // It is gone, or not visible yet.
            Err(error) if error.is_absent() => Ok(false),
            Err(error) if error.is_passing() || error.is_of_account() => Err(error),
            // It may not be asked.
            Err(_) => Ok(true),
        }
    }

    pub(super) async fn delete_lost(&self, user: &str, id: &str) -> Result<(), RotationError> {
        match self.aws.delete_access_key(user, id).await {
            Err(error) if !error.is_absent() => Err(RotationError::InTheWay { id: id.to_owned(), error }),
            _ => {
                tracing::info!(aws.user = user, aws.access_key = id, "deleted an access key whose creation was not answered");
                Ok(())
            }
        }
    }

    /// Deletes keys of ours whose ids are known, all that can be.
    pub(super) async fn delete_retired<L: Ledger>(
        &self,
        aws: &Aws,
        ledger: &mut L,
        record: &mut Record,
    ) -> Result<(), RotationError> {
        if record.is_closed() || record.to_delete().is_empty() {
            return Ok(());
        }
        let mut failed = None;
        for key in record.to_delete().to_vec() {
            let is_settled = key.successor.is_some() || self.clock.now().since(key.since) >= YOUNG;
            match aws.delete_access_key(&key.user, &key.id).await {
                Ok(()) => record.deleted(&key.id),
                // What was in use was there; what is new may not be visible yet.
                Err(error) if error.is_absent() && is_settled => record.deleted(&key.id),
                Err(error) if error.is_absent() => {}
                Err(error) => failed = failed.or(Some(RotationError::Old { id: key.id, error })),
            }
        }
        ledger.save(record).await?;
        failed.map_or(Ok(()), Err)
    }

    /// Step 4.
    pub(super) async fn create<L: Ledger>(&self, ledger: &mut L, record: &mut Record) -> Result<KeyPair, RotationError> {
        let user = record.subject_name();
        let (end, not_after) = (self.clock.elapsed() + THROTTLED, self.clock.elapsed() + LATEST);
        let mut pauses = LOOKS.iter();
        loop {
            let error = match self.aws.create_access_key(&user, not_after).await {
                Ok(pair) => return Ok(pair),
                Err(error) => error,
            };
            if error.may_have_happened() {
                return Err(RotationError::Create(error));
            }
            if error.code() == "LimitExceeded" {
                // Although a key less was listed: one is not visible yet.
                let Some(pause) = pauses.next() else { return Err(RotationError::Create(error)) };
                self.clock.sleep(*pause).await;
                let listed = self.listed(&user).await?;
                let left = self.cleared(record, &user, listed).await?;
                if left.len() >= MOST_KEYS {
                    let text = self.two_keys(&user, &left).await;
                    record.abandon();
                    ledger.save(record).await?;
                    return Err(RotationError::TwoKeys(text));
                }
                continue;
            }
            if error.is_throttled() && self.clock.elapsed() < end {
                self.clock.sleep(BETWEEN).await;
                continue;
            }
            record.abandon();
            // Failing that, it says that a key may have been made, which does no harm.
            let _ = ledger.save(record).await;
            return Err(RotationError::Create(error));
        }
    }

    /// What stands in the way, for who can do something about it.
    pub(super) async fn two_keys(&self, user: &str, keys: &[KeyListed]) -> String {
        let mut shown = Vec::with_capacity(keys.len());
        for key in keys {
            shown.push(if self.in_use == Some(key.id.as_str()) {
                format!("{} (in use here)", key.id)
            } else {
                let created = key.created.map_or_else(|| "unknown".to_owned(), Timestamp::rfc3339);
                let used = match self.aws.access_key_last_used(&key.id).await {
                    Ok(Some(time)) => time.rfc3339(),
                    Ok(None) => "never".to_owned(),
                    Err(_) => "unknown".to_owned(),
                };
                format!("{} (created {created}, last used {used})", key.id)
            });
        }
        let keys = shown.join(" and ");
        format!("user \"{user}\" already has two access keys: {keys} which this mount did not make; delete one first")
    }
}

/// Nothing is created later than that after it was written down (§21).
const LATEST: Duration = Duration::from_secs(90);

/// How long a creation is asked for again while there are too many calls.
const THROTTLED: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_secs(1);

/// Between looks for a key that is there and not visible: 20 seconds in all (§21.7, step 4).
const LOOKS: [Duration; 5] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(6), Duration::from_secs(7)];

/// After an acknowledged creation IAM's reads may not show it yet (§21).
const YOUNG: Ttl = Ttl::minutes(5);
