//! What is known durably of one rotation: enough to finish it after a crash at any step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::secret::stored_secret;
use crate::base::{Clock, Secret, Timestamp, Ttl, random};

use super::super::arn::Arn;
use super::super::key::{KeyListed, KeyPair};

/// The open business of a rotated user. Empty: none, and nothing needs to be stored.
///
/// A record holds the secret of a key that is not in use yet: it is stored where only the barrier's keys open it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// A key is being made, or tried.
    attempt: Option<Attempt>,
    /// Keys of ours to delete, whose ids are known.
    retired: Vec<Retired>,
    /// Creations whose answers were lost, one for each user.
    doubts: Vec<Doubt>,
    /// The keys in use were replaced by somebody else's: what is left here may be of another account.
    is_closed: bool,
}

/// From the moment before a key is created.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) user: Subject,
    /// Ids of the keys there were.
    before: Vec<String>,
    begun: Timestamp,
    run: Moment,
    /// What was created, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh: Option<Fresh>,
}

/// The user as IAM showed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) arn: String,
}

/// A key that is to be tried before it is used.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fresh {
    id: String,
    #[serde(with = "stored_secret")]
    secret: Secret<String>,
    since: Timestamp,
}

/// A key to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retired {
    pub(super) user: String,
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) since: Timestamp,
    /// The key that took its place; none: it never was in use.
    pub(super) successor: Option<String>,
}

/// A key may have been created, and nobody knows its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    user: String,
    arn: String,
    before: Vec<String>,
    /// When the first creation was sent, and the last.
    since: Timestamp,
    last: Timestamp,
    run: Moment,
}

/// A moment on the clock that only runs forward, and the process it was in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moment {
    process: String,
    seconds: u64,
}

/// Tells how long this process has been watching. Made when the plugin is opened.
#[derive(Clone, Debug)]
pub struct Watch {
    process: String,
    opened: Duration,
}

/// How far a rotation is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A key is being created.
    Creating,
    /// The new key is not accepted everywhere yet.
    Verifying,
    /// The new key is in use, old ones are to be deleted.
    Retiring,
    /// A key may have been created whose answer was lost: it is looked for.
    Searching,
}

impl Watch {
    /// From now on.
    pub fn new(clock: &dyn Clock) -> Self {
        Self { process: random::base62(12), opened: clock.elapsed() }
    }

    fn moment(&self, clock: &dyn Clock) -> Moment {
        Moment { process: self.process.clone(), seconds: clock.elapsed().as_secs() }
    }
}

impl Record {
    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.attempt.is_none() && self.retired.is_empty() && self.doubts.is_empty()
    }

    /// How far it is, and since when; none when nothing is open.
    pub fn phase(&self) -> Option<(Phase, Timestamp)> {
        if let Some(attempt) = &self.attempt {
            return Some(match &attempt.fresh {
                Some(fresh) => (Phase::Verifying, fresh.since),
                None => (Phase::Creating, attempt.begun),
            });
        }
        let retiring = self.retired.iter().map(|key| key.since).min().map(|since| (Phase::Retiring, since));
        retiring.or_else(|| self.doubts.iter().map(|doubt| doubt.since).min().map(|since| (Phase::Searching, since)))
    }

    /// When it should be [tended](super::Rotation::tend) next; none when nothing is open.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        // The longer something lasts, the seldomer it is looked at.
        let after = |since: Timestamp, first: Ttl, longest: Ttl| now.plus(now.since(since).clamp(first, longest));
        let fresh = self.attempt.as_ref().and_then(|attempt| attempt.fresh.as_ref());
        let fresh = fresh.map(|fresh| after(fresh.since, Ttl::seconds(5), Ttl::minutes(1)));
        let lost = self.attempt.as_ref().filter(|attempt| attempt.fresh.is_none()).map(|_| now);
        let retired = self.retired.iter().map(|key| after(key.since, Ttl::seconds(10), Ttl::minutes(10))).min();
        let doubts = self.doubts.iter().map(|doubt| after(doubt.last, Ttl::seconds(1), Ttl::minutes(1))).min();
        [fresh, lost, retired, doubts].into_iter().flatten().min()
    }

    /// The ids of keys of ours that are to be deleted.
    pub fn retired(&self) -> impl Iterator<Item = &str> {
        self.retired.iter().map(|key| key.id.as_str())
    }

    /// The key in use is another from now on, by somebody else's will: nothing goes on here but the deletion of keys that are
    /// known by id, with the new credentials if they are of the same account, and the search for what was lost (§21.7).
    pub fn close(&mut self, watch: &Watch, clock: &dyn Clock, written: &str) {
        self.give_up(watch, clock);
        self.retired.retain(|key| key.id != written);
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The new credentials are of this account: what is of another one is out of reach, and is forgotten.
    pub(super) fn open_again(&mut self, account: &str) {
        let is_here = |arn: &str| Arn::parse(arn).map_or(true, |arn| arn.account == account);
        for key in self.retired.iter().filter(|key| !is_here(&key.arn)) {
            tracing::warn!(
                aws.user = key.user,
                aws.access_key = key.id,
                "an access key stays in an account there are no credentials for"
            );
        }
        self.retired.retain(|key| is_here(&key.arn));
        self.doubts.retain(|doubt| is_here(&doubt.arn));
        self.is_closed = false;
    }

    /// The name of whom a key is made for.
    pub(super) fn subject_name(&self) -> String {
        self.attempt.as_ref().map(|attempt| attempt.user.name.clone()).unwrap_or_default()
    }

    pub(super) fn begin(&mut self, user: Subject, before: Vec<String>, watch: &Watch, clock: &dyn Clock) {
        let run = watch.moment(clock);
        self.attempt = Some(Attempt { user, before, begun: clock.now(), run, fresh: None });
    }

    /// Nothing was created.
    pub(super) fn abandon(&mut self) {
        self.attempt = None;
    }

    pub(super) fn created(&mut self, pair: &KeyPair, now: Timestamp) {
        if let Some(attempt) = &mut self.attempt {
            attempt.fresh = Some(Fresh { id: pair.id.clone(), secret: pair.secret.clone(), since: now });
        }
    }

    /// The key that waits to be tried.
    pub(super) fn fresh(&self) -> Option<(&Subject, KeyPair)> {
        let attempt = self.attempt.as_ref()?;
        let fresh = attempt.fresh.as_ref()?;
        Some((&attempt.user, KeyPair { id: fresh.id.clone(), secret: fresh.secret.clone() }))
    }

    /// Whether the key was tried for so long that it never will be accepted.
    pub(super) fn is_hopeless(&self, now: Timestamp) -> bool {
        let fresh = self.attempt.as_ref().and_then(|attempt| attempt.fresh.as_ref());
        fresh.is_some_and(|fresh| now.since(fresh.since) >= TRIED)
    }

    /// The new key is in use; `old` is to be deleted.
    pub(super) fn switched(&mut self, old: Option<&str>, now: Timestamp) {
        let Some(attempt) = self.attempt.take() else { return };
        let (Some(fresh), Some(old)) = (attempt.fresh, old) else { return };
        self.retired.push(Retired {
            user: attempt.user.name,
            id: old.to_owned(),
            arn: attempt.user.arn,
            since: now,
            successor: Some(fresh.id),
        });
    }

    /// What was begun is not gone on with: a key that is known is to be deleted, one that may be there to be looked for.
    pub(super) fn give_up(&mut self, watch: &Watch, clock: &dyn Clock) {
        let Some(attempt) = self.attempt.take() else { return };
        let Subject { name, arn, .. } = attempt.user;
        if let Some(fresh) = attempt.fresh {
            self.retired.push(Retired { user: name, id: fresh.id, arn, since: clock.now(), successor: None });
            return;
        }
        let run = if attempt.run.process == watch.process { attempt.run } else { watch.moment(clock) };
        if let Some(doubt) = self.doubts.iter_mut().find(|doubt| doubt.user == name) {
            doubt.before.extend(attempt.before);
            doubt.before.sort();
            doubt.before.dedup();
            (doubt.last, doubt.run) = (attempt.begun, run);
            return;
        }
        let (since, last) = (attempt.begun, attempt.begun);
        self.doubts.push(Doubt { user: name, arn, before: attempt.before, since, last, run });
        if self.doubts.len() > DOUBTS {
            self.doubts.remove(0);
        }
    }

    /// A creation was begun, and nobody knows what became of it.
    pub(super) fn is_lost(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.fresh.is_none())
    }

    pub(super) fn to_delete(&self) -> &[Retired] {
        &self.retired
    }

    pub(super) fn deleted(&mut self, id: &str) {
        self.retired.retain(|key| key.id != id);
    }

    /// Whether `id` took the place of a key that is still to be deleted.
    pub(super) fn is_successor(&self, id: &str) -> bool {
        self.retired.iter().any(|key| key.successor.as_deref() == Some(id))
    }

    /// Users who may have keys that nobody knows.
    pub(super) fn doubted(&self) -> Vec<String> {
        self.doubts.iter().map(|doubt| doubt.user.clone()).collect()
    }

    /// Whether a key may be the one that was lost. `ahead`: seconds that AWS's clock is before ours.
    pub(super) fn may_be_lost(&self, user: &str, key: &KeyListed, ahead: Option<i64>) -> bool {
        let Some(doubt) = self.doubts.iter().find(|doubt| doubt.user == user) else { return false };
        let is_ours =
            self.retired.iter().any(|retired| retired.id == key.id) || self.fresh().is_some_and(|(_, pair)| pair.id == key.id);
        let Some(created) = key.created.filter(|_| !is_ours && !doubt.before.contains(&key.id)) else { return false };
        let signed = |time: Timestamp| i64::try_from(time.seconds()).unwrap_or(i64::MAX);
        let created = signed(created).saturating_sub(ahead.unwrap_or(0));
        let (first, last) = (signed(doubt.since), signed(doubt.last.plus(HORIZON)));
        created >= first.saturating_sub(SLACK) && created <= last.saturating_add(SLACK)
    }

    /// Forgets doubts after which nothing can come any more; whether there were any (§21, "horizon").
    pub(super) fn forget_old_doubts(&mut self, watch: &Watch, clock: &dyn Clock) -> bool {
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let before = self.doubts.len();
        self.doubts.retain(|doubt| {
            let watched = if doubt.run.process == watch.process {
                elapsed.saturating_sub(Duration::from_secs(doubt.run.seconds))
            } else {
                elapsed.saturating_sub(watch.opened)
            };
            now.since(doubt.last) < HORIZON || watched < HORIZON.to_duration()
        });
        self.doubts.len() != before
    }
}

/// As long a creation whose answer was lost can take effect (§21).
pub(super) const HORIZON: Ttl = Ttl::minutes(18);

/// How long a new key is tried (§21.7, step 6).
const TRIED: Ttl = Ttl::minutes(15);

/// Seconds that two clocks with whole seconds, and the way to AWS, may make.
const SLACK: i64 = 5;

/// Users who are looked after at the same time; a mount has one, more only when its configuration changes again and again.
const DOUBTS: usize = 8;

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
