//! Rotation of an access key in two phases: a new key is made, proven to work, and only then the old one goes
//! (`aws-secrets-engine.md` §21.7).
//!
//! The pair in use is always one that was proven, or the operator's. What was begun is in a durable [`Record`], which the
//! caller stores through a [`Ledger`]; after a crash at any step the next [`Rotation::rotate`] goes on from it, and
//! [`Rotation::tend`] does so without anybody who waits. The caller sees to it that one of them runs at a time.
//!
//! ```text
//! save {before}        durable before AWS is asked for a key
//!   CreateAccessKey    done, refused, or unknown: then the key is looked for until the horizon
//! save {new pair}
//!   the new pair signs three calls in a row
//! switch               the new pair is in use, and the old key noted for deletion, in one batch
//!   DeleteAccessKey    signed with the new pair; repeated until it is gone
//! save {}
//! ```

mod holders;
mod keys;
mod ledger;
mod record;
mod verify;

use std::time::Duration;

use crate::base::Clock;
use crate::base::time::timeout;

use super::arn::Arn;
use super::connect::{Aws, Outside, Settings};
use super::error::AwsError;
use super::key::KeyPair;
use super::user::User;

pub use holders::{Holding, KeyHolders};
pub use ledger::{Ledger, RotationError, Unsaved};
pub use record::{Phase, Record, Watch};

use record::Subject;

/// One rotation: whose key, and with which credentials.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// The time.
    pub clock: &'a dyn Clock,
    /// Makes clients of new pairs.
    pub outside: &'a Outside,
    /// How those reach AWS; the pair in it does not count.
    pub settings: &'a Settings,
    /// Signs with the credentials in use.
    pub aws: &'a Aws,
    /// How long this process has been watching.
    pub watch: &'a Watch,
    /// Who is rotated.
    pub whose: Whose<'a>,
    /// The id of the key in use; none: there was none yet.
    pub in_use: Option<&'a str>,
}

/// Who is rotated.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// The user whose credentials sign. The old key is deleted with the new one.
    Own,
    /// Another user. The old key stays until the next rotation.
    Named {
        /// As IAM spells it.
        name: &'a str,
        /// What it must be; none: whatever it is.
        id: Option<&'a str>,
        /// The key that the last rotation left valid.
        previous: Option<&'a str>,
    },
}

impl Rotation<'_> {
    /// Makes a new key and puts it in use, or finishes what was begun before. Gives the id of the key in use.
    ///
    /// # Errors
    /// [`RotationError`]: whatever it is, the key in use works, and the next rotation goes on from there.
    pub async fn rotate<L: Ledger>(&self, ledger: &mut L, mut record: Record) -> Result<String, RotationError> {
        self.refresh(&mut record);
        if record.fresh().is_some() {
            return Box::pin(self.finish(ledger, record, self.patience())).await;
        }
        if let Some(id) = self.in_use.filter(|id| record.is_successor(id)) {
            self.delete_retired(self.aws, ledger, &mut record).await?;
            return Ok(id.to_owned());
        }
        let user = self.user().await?;
        settle_account(&mut record, Arn::parse(&user.arn).ok().map(|arn| arn.account));
        let retired = self.delete_retired(self.aws, ledger, &mut record).await;
        let listed = self.listed(&user.name).await?;
        let left = self.cleared(&record, &user.name, listed).await?;
        if left.len() >= MOST_KEYS {
            retired?;
            return Err(RotationError::TwoKeys(self.two_keys(&user.name, &left).await));
        }
        let mut before: Vec<String> = left.into_iter().map(|key| key.id).collect();
        before.extend(self.in_use.filter(|id| !before.iter().any(|key| key == id)).map(str::to_owned));
        record.begin(user, before, self.watch, self.clock);
        ledger.save(&record).await?;
        let pair = self.create(ledger, &mut record).await?;
        self.note(ledger, &mut record, &pair).await?;
        Box::pin(self.finish(ledger, record, self.patience())).await
    }

    /// Goes on with what is open, one step of it, without waiting for long; [`Record::next`] says when to come again.
    ///
    /// # Errors
    /// [`RotationError`]: what did not go well; it is tried again next time.
    pub async fn tend<L: Ledger>(&self, ledger: &mut L, mut record: Record) -> Result<(), RotationError> {
        let before = record.is_lost();
        if self.refresh(&mut record) || before {
            ledger.save(&record).await?;
        }
        if record.is_closed() {
            let account = self.aws.identity().await.map_err(RotationError::Search)?.account.clone();
            settle_account(&mut record, Some(&account));
            ledger.save(&record).await?;
        }
        if record.fresh().is_some() {
            return Box::pin(self.finish(ledger, record, TEND)).await.map(drop);
        }
        let tried = self.delete_retired(self.aws, ledger, &mut record).await;
        for user in record.doubted() {
            let listed = match self.aws.access_keys(&user).await {
                Ok(listed) => listed,
                Err(error) if error.is_absent() => continue,
                Err(error) => return Err(RotationError::Search(error)),
            };
            for key in listed.iter().filter(|key| !self.is_kept(&key.id)) {
                if self.is_lost(&record, &user, key).await.map_err(RotationError::Search)? {
                    self.delete_lost(&user, &key.id).await?;
                }
            }
        }
        tried
    }

    /// Deletes every key that was made here: those named, those of the record, and those whose answers were lost, as far as
    /// they show. What is left of the record is to be [tended](Self::tend) until nothing is open.
    ///
    /// # Errors
    /// [`RotationError::InTheWay`] and others: nothing is forgotten, and the whole can be done again.
    pub async fn erase<L: Ledger>(
        &self,
        ledger: &mut L,
        mut record: Record,
        user: &str,
        ids: &[&str],
    ) -> Result<Record, RotationError> {
        let is_open = record.fresh().is_some() || record.is_lost();
        if self.refresh(&mut record) || is_open {
            record.give_up(self.watch, self.clock);
            ledger.save(&record).await?;
        }
        for id in ids {
            match self.aws.delete_access_key(user, id).await {
                Err(error) if !error.is_absent() => return Err(RotationError::InTheWay { id: (*id).to_owned(), error }),
                _ => {}
            }
        }
        match self.aws.access_keys(user).await {
            Ok(listed) => {
                self.cleared(&record, user, listed).await?;
            }
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(RotationError::List { error }),
        }
        self.delete_retired(self.aws, ledger, &mut record).await?;
        Ok(record)
    }

    /// Steps 6 to 8.
    async fn finish<L: Ledger>(&self, ledger: &mut L, mut record: Record, limit: Duration) -> Result<String, RotationError> {
        let Some((user, pair)) = record.fresh() else { return Err(RotationError::NotAccepted("there is none".to_owned())) };
        let client = self.client_of(&pair).await.map_err(|error| RotationError::NotAccepted(error.to_string()))?;
        let is_first = self.in_use.is_none() && matches!(self.whose, Whose::Named { .. });
        if let Err(text) = self.accepted(&client, user, limit).await {
            if record.is_hopeless(self.clock.now()) && !is_first {
                record.give_up(self.watch, self.clock);
                ledger.save(&record).await?;
                self.delete_retired(self.aws, ledger, &mut record).await?;
                return Err(RotationError::NotAccepted(format!("{text}; it was deleted, the old one stays in use")));
            }
            if !is_first {
                return Err(RotationError::NotAccepted(text));
            }
            tracing::warn!(aws.access_key = pair.id, "the first key is used although it is not accepted yet: {text}");
        }
        let is_own = matches!(self.whose, Whose::Own);
        record.switched(self.in_use.filter(|_| is_own), self.clock.now());
        ledger.switch(&pair, &record).await?;
        if is_own {
            timeout(self.clock, LAST_CALLS, ledger.drained()).await;
            self.delete_retired(&client, ledger, &mut record).await?;
        }
        Ok(pair.id)
    }

    /// Forgets what time has settled; whether there was anything.
    fn refresh(&self, record: &mut Record) -> bool {
        if record.is_lost() {
            record.give_up(self.watch, self.clock);
        }
        record.forget_old_doubts(self.watch, self.clock)
    }

    /// Step 1.
    async fn user(&self) -> Result<Subject, RotationError> {
        let asked = match self.whose {
            Whose::Own => None,
            Whose::Named { name, .. } => Some(name),
        };
        let User { name, id, arn, .. } = self.aws.get_user(asked).await.map_err(RotationError::User)?;
        if let Whose::Named { name: wanted, id: known, .. } = self.whose {
            if name != wanted {
                return Err(RotationError::Mismatch(format!(
                    "AWS GetUser returned a username, but it didn't match: \"{wanted}\" was requested, but \"{name}\" was returned"
                )));
            }
            if let Some(known) = known.filter(|known| *known != id) {
                return Err(RotationError::Mismatch(format!(
                    "AWS GetUser returned a user, but the ID did not match: \"{known}\" was requested, but \"{id}\" was returned"
                )));
            }
        }
        Ok(Subject { name, id, arn })
    }

    /// Step 5. A key that is not noted is deleted at once; where it is not known whether it is noted, it is left to be found
    /// in either place.
    async fn note<L: Ledger>(&self, ledger: &mut L, record: &mut Record, pair: &KeyPair) -> Result<(), RotationError> {
        let user = record.subject_name();
        record.created(pair, self.clock.now());
        let unsaved = match ledger.save(record).await {
            Ok(()) => return Ok(()),
            Err(unsaved @ Unsaved::Unknown(_)) => return Err(unsaved.into()),
            Err(unsaved) => unsaved,
        };
        if let Err(error) = self.aws.delete_access_key(&user, &pair.id).await {
            tracing::warn!(
                aws.user = user, aws.access_key = pair.id, error = %error,
                "an access key was made that could not be noted nor deleted; it is looked for"
            );
            return Err(unsaved.into());
        }
        record.abandon();
        if matches!(unsaved, Unsaved::Failed(_)) {
            // It says that a key may have been made. That does no harm, but there is none.
            let _ = ledger.save(record).await;
        }
        Err(unsaved.into())
    }

    /// Whether it is one of those that are valid by our will.
    fn is_kept(&self, id: &str) -> bool {
        let previous = match self.whose {
            Whose::Own => None,
            Whose::Named { previous, .. } => previous,
        };
        self.in_use == Some(id) || previous == Some(id)
    }

    async fn client_of(&self, pair: &KeyPair) -> Result<Aws, AwsError> {
        let (access_key, secret_key) = (pair.id.clone(), pair.secret.clone());
        // What is asked with it is asked again here.
        let settings = Settings { access_key, secret_key, max_retries: 0, ..self.settings.clone() };
        self.outside.connect(&settings).await
    }

    fn patience(&self) -> Duration {
        match self.whose {
            Whose::Own => OWN,
            Whose::Named { .. } => NAMED,
        }
    }
}

/// After a change of credentials: what is of another account is out of reach, and not of this configuration any more.
fn settle_account(record: &mut Record, account: Option<&str>) {
    if record.is_closed()
        && let Some(account) = account
    {
        record.open_again(account);
    }
}

/// Access keys of one user (IAM User Guide, "IAM and AWS STS quotas").
const MOST_KEYS: usize = 2;

/// How long somebody waits until a new key is accepted (§21.7, step 6).
const OWN: Duration = Duration::from_mins(1);
const NAMED: Duration = Duration::from_secs(20);

/// The same where nobody waits.
const TEND: Duration = Duration::from_secs(10);

/// How long calls signed with the old key are waited for (§21.7, step 8).
const LAST_CALLS: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
