//! What is known in memory of each mount's queue: a few times, and letters to the one who works on it.
//!
//! The queue itself is in storage. A lane hears of every due key that is written or removed from the writer of storage
//! (architecture §8), so no registration can be missed, whoever was cancelled behind his commit.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::base::{Key, LeaseId, Timestamp};

use super::{Lease, LeaseError, due};

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Guards the map; taken to find a lane, also by the writer of storage; held for a look-up.
    map: Mutex<HashMap<Box<str>, Arc<Lane>>>,
    /// A lane was added.
    pub(super) added: Notify,
    /// Some lane fell quiet.
    pub(super) progress: Notify,
}

/// One queue: a mount's, or that of the tokens.
pub(super) struct Lane {
    pub(super) name: Box<str>,
    /// Guards the letters; whoever writes or reads one, also the writer of storage; held for a few moves.
    mail: Mutex<Mail>,
    pub(super) wake: Notify,
}

/// Letters to a lane's worker, and what the worker says of itself.
#[derive(Default)]
pub(super) struct Mail {
    /// The earliest due key written or removed since the worker last looked.
    pub(super) earliest: Option<Timestamp>,
    /// Those who wait for the end of a lease.
    pub(super) waited: VecDeque<Waited>,
    /// Intents whose issuer let go of them unsettled.
    pub(super) released: Vec<Released>,
    /// Try again at once what is resting.
    pub(super) hasten: bool,
    /// Suffixes the worker holds, and when they are due: that one of these keys is removed is its own doing, and no news.
    pub(super) held: HashMap<Box<str>, Timestamp>,
    /// The worker has stopped for good; nobody is answered any more.
    pub(super) closed: bool,
    /// What the worker waits for, while it sleeps.
    pub(super) asleep: Option<Asleep>,
    /// The end of the rest, on the clock that only runs forward, while the outside is not known to be well.
    pub(super) resting: Option<Duration>,
    /// When a lease was ended last.
    pub(super) last_success: Option<Timestamp>,
}

/// What a sleeping worker waits for, besides letters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asleep {
    /// The earliest key it has seen and not taken.
    pub(super) due: Option<Timestamp>,
    /// The end of its rest, on the clock that only runs forward; until then it takes nothing.
    pub(super) rest: Option<Duration>,
    /// When something that could not be worked on is looked at again, on the same clock.
    pub(super) parked: Option<Duration>,
    /// Attempts are under way.
    pub(super) working: bool,
}

/// Somebody waits for a lease to end.
pub(super) struct Waited {
    pub(super) id: LeaseId,
    /// When it is due.
    pub(super) due: Timestamp,
    /// The record goes whatever the outside says.
    pub(super) force: bool,
    pub(super) answer: oneshot::Sender<Result<(), LeaseError>>,
}

/// An intent left its issuer's hand.
pub(super) struct Released {
    pub(super) id: LeaseId,
    /// What the record must say whatever is stored: more was created than the intent knows.
    pub(super) lost: Option<Box<Lease>>,
}

impl Lanes {
    /// The lane of this name; made when there is none.
    pub(super) fn lane(&self, name: &str) -> Arc<Lane> {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = map.get(name) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane { name: name.into(), mail: Mutex::default(), wake: Notify::new() });
        map.insert(name.into(), Arc::clone(&lane));
        self.added.notify_one();
        lane
    }

    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A due key was written or removed. Called by the writer of storage.
    pub(super) fn changed(&self, key: &Key) {
        if let Some((lane, at, suffix)) = key.as_str().strip_prefix(due::ROOT).and_then(due::parse) {
            self.lane(lane).notice(at, suffix);
        }
    }

    /// Whether no lane has anything due in hand.
    pub(super) fn are_quiet(&self, now: Timestamp, elapsed: Duration) -> bool {
        self.all().iter().all(|lane| lane.is_quiet(now, elapsed))
    }
}

impl Lane {
    pub(super) fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_of_tokens(&self) -> bool {
        &*self.name == due::TOKENS
    }

    /// Something is, or was, due at this time.
    pub(super) fn notice(&self, at: Timestamp, suffix: &str) {
        let mut mail = self.mail();
        if mail.held.get(suffix) == Some(&at) {
            return;
        }
        mail.earliest = Some(mail.earliest.map_or(at, |earliest| earliest.min(at)));
        if mail.asleep.is_some_and(|asleep| asleep.rest.is_none() && asleep.due.is_none_or(|due| at < due)) {
            self.wake.notify_one();
        }
    }

    pub(super) fn wait_for(&self, waited: Waited) {
        let mut mail = self.mail();
        if !mail.closed {
            mail.waited.push_back(waited);
        }
        drop(mail);
        self.wake.notify_one();
    }

    pub(super) fn release(&self, released: Released) {
        self.mail().released.push(released);
        self.wake.notify_one();
    }

    /// The worker has stopped: nobody is answered any more.
    pub(super) fn close(&self) {
        let mut mail = self.mail();
        mail.closed = true;
        mail.waited.clear();
    }

    pub(super) fn hasten(&self) {
        self.mail().hasten = true;
        self.wake.notify_one();
    }

    fn is_quiet(&self, now: Timestamp, elapsed: Duration) -> bool {
        let mail = self.mail();
        !mail.has_letters()
            && mail.asleep.is_some_and(|asleep| {
                !asleep.working
                    && asleep.parked.is_none_or(|until| until > elapsed)
                    && match asleep.rest {
                        Some(rest) => rest > elapsed,
                        None => {
                            asleep.due.is_none_or(|due| due > now)
                                && mail.earliest.is_none_or(|earliest| asleep.due.is_some_and(|due| earliest >= due))
                        }
                    }
            })
    }
}

impl Mail {
    fn has_letters(&self) -> bool {
        !self.waited.is_empty() || !self.released.is_empty() || self.hasten
    }

    /// Goes to sleep, unless there is news.
    pub(super) fn sleep(&mut self, asleep: Asleep) -> bool {
        let earlier = asleep.rest.is_none() && self.earliest.is_some_and(|earliest| asleep.due.is_none_or(|due| earliest < due));
        if self.has_letters() || earlier {
            return false;
        }
        self.asleep = Some(asleep);
        true
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mail = self.mail();
        f.debug_struct("Lane")
            .field("name", &self.name)
            .field("held", &mail.held.len())
            .field("waited", &mail.waited.len())
            .field("asleep", &mail.asleep)
            .finish_non_exhaustive()
    }
}
