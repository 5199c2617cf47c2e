//! Works on one lane: takes what is due from storage, page by page, and hands it to a few attempts at a time.
//!
//! The low-water mark stands just before the first key that is still there, so that what was ended is never scanned again.
//! An item is *held* from the moment it is taken until it is gone or put back; memory holds a few dozen of them a lane.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::base::{Shutdown, Timestamp, TokenKey};
use crate::storage::Page;

use super::attempt::{ATTEMPT, Outcome, Pace};
use super::job::{Job, JobResult, answer_of, is_of_value};
use super::lane::{Asleep, Lane, Released, Waited};
use super::manager::PAGE;
use super::rest::Rest;
use super::take::Taken;
use super::{LeaseError, LeaseManager, RevokeError, Revoker, due};

/// See the module.
pub(super) struct Worker {
    manager: Arc<LeaseManager>,
    lane: Arc<Lane>,
    revoker: Arc<dyn Revoker>,
    shutdown: Shutdown,
    /// Nothing is before it.
    mark: String,
    /// The earliest key that may be there and is not taken.
    next: Option<Timestamp>,
    ready: VecDeque<Job>,
    waiting: VecDeque<Waited>,
    released: Vec<Released>,
    /// Those who wait for an attempt under way.
    waiters: HashMap<Box<str>, Vec<Waited>>,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// Attempts under way out of the queue.
    from_queue: usize,
    rest: Rest,
    /// Held for a while, since they cannot be worked on: until when, when due.
    parked: VecDeque<(Duration, Timestamp, Box<str>)>,
}

/// What became of a job.
struct Finished {
    round: u64,
    is_from_queue: bool,
    /// Suffixes, and when they were due.
    held: Vec<(Box<str>, Timestamp)>,
    /// None: the task was lost.
    result: Option<JobResult>,
}

impl Worker {
    pub(super) fn new(manager: Arc<LeaseManager>, lane: Arc<Lane>, revoker: Arc<dyn Revoker>, shutdown: Shutdown) -> Self {
        Self {
            mark: due::lane(&lane.name),
            next: Some(manager.clock.now()),
            manager,
            lane,
            revoker,
            shutdown,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            released: Vec::new(),
            waiters: HashMap::new(),
            running: FuturesUnordered::new(),
            from_queue: 0,
            rest: Rest::default(),
            parked: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self) {
        // Of one that died.
        self.lane.mail().held.clear();
        while !self.shutdown.is_cancelled() {
            self.read_letters();
            self.start_waited();
            if self.rest.until(self.elapsed()).is_none() {
                self.put_back().await;
                self.fill().await;
                self.start_ready();
            }
            let asleep = self.asleep();
            self.lane.mail().resting = self.rest.resting();
            if !self.lane.mail().sleep(asleep) {
                continue;
            }
            self.manager.lanes.progress.notify_waiters();
            self.wait(asleep).await;
            self.lane.mail().asleep = None;
        }
        self.stop().await;
    }

    async fn wait(&mut self, asleep: Asleep) {
        let clock = Arc::clone(&self.manager.clock);
        let timer = [asleep.rest, asleep.parked].into_iter().flatten().min().map(|until| until.saturating_sub(self.elapsed()));
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.lane.wake.notified() => {}
            Some(finished) = self.running.next() => self.finish(finished),
            () = clock.sleep_until(asleep.due.unwrap_or_default()), if asleep.due.is_some() => {}
            () = clock.sleep(timer.unwrap_or_default()), if timer.is_some() => {}
        }
    }

    fn asleep(&self) -> Asleep {
        let rest = self.rest.until(self.elapsed());
        let due = if rest.is_some() || !self.has_room() { None } else { self.next };
        let parked = self.parked.front().map(|(until, _, _)| *until);
        Asleep { due, rest, parked, working: !self.running.is_empty() }
    }

    fn read_letters(&mut self) {
        let mut mail = self.lane.mail();
        let earliest = mail.earliest.take();
        self.waiting.append(&mut mail.waited);
        self.released.append(&mut mail.released);
        if std::mem::take(&mut mail.hasten) {
            self.rest.over();
        }
        drop(mail);
        if let Some(at) = earliest {
            self.see(at);
        }
        let elapsed = self.elapsed();
        while let Some((_, at, suffix)) = self.parked.pop_front_if(|(until, _, _)| *until <= elapsed) {
            self.unhold(&suffix, Some(at));
        }
    }

    /// Intents that left their issuer's hand are due now, durably, and only then anybody else's.
    async fn put_back(&mut self) {
        while let Some(released) = self.released.pop() {
            if let Err(error) = self.manager.put_back(&released).await {
                self.storage_failed(&error);
                self.released.push(released);
                return;
            }
            self.manager.let_go(&released.id);
            // Passed over, if it was seen while it was held in hand.
            self.see(self.manager.clock.now());
        }
    }

    /// Takes what is due while there is room for it.
    async fn fill(&mut self) {
        let now = self.manager.clock.now();
        if !self.has_room() || self.next.is_none_or(|next| next > now) {
            return;
        }
        let folder = due::lane(&self.lane.name);
        let mut after = self.mark.clone();
        let mut is_first = true;
        loop {
            let page = Page { after: Some(&after), limit: PAGE };
            let keys = match self.manager.view.scan_keys(&folder, page).await {
                Ok(keys) => keys,
                Err(error) => return self.storage_failed(&error.into()),
            };
            if is_first {
                self.mark = keys.first().map_or_else(|| due::before(&self.lane.name, now), |first| due::just_before(first));
            }
            is_first = false;
            let parsed = keys.iter().filter_map(|key| due::parse(key));
            let later = parsed.clone().map(|(_, at, _)| at).find(|at| *at > now);
            let due: Vec<(Timestamp, &str)> =
                parsed.map(|(_, at, suffix)| (at, suffix)).take_while(|(at, _)| *at <= now).collect();
            if let Some(left) = self.take(&due).await {
                self.next = Some(left);
                return;
            }
            match keys.last() {
                Some(last) if keys.len() == PAGE && later.is_none() => after.clone_from(last),
                _ => {
                    self.next = later;
                    return;
                }
            }
        }
    }

    /// Takes items that are due; the time of the first for which there was no room.
    async fn take(&mut self, due: &[(Timestamp, &str)]) -> Option<Timestamp> {
        let held: Vec<bool> = {
            let mail = self.lane.mail();
            due.iter().map(|(_, suffix)| mail.held.contains_key(*suffix)).collect()
        };
        let free = due.iter().zip(held).filter(|(_, held)| !held).map(|(item, _)| *item);
        if self.lane.is_of_tokens() { self.take_tokens(free) } else { self.take_leases(free.collect()).await }
    }

    fn take_tokens<'a>(&mut self, due: impl Iterator<Item = (Timestamp, &'a str)>) -> Option<Timestamp> {
        let mut page: Vec<(TokenKey, Timestamp)> = Vec::new();
        let mut left = None;
        for (at, suffix) in due {
            if self.ready.len() >= READY_PAGES {
                left = Some(at);
                break;
            }
            self.hold(suffix, at);
            match TokenKey::parse(suffix) {
                Some(token) => page.push((token, at)),
                None => self.park(suffix, at),
            }
            if page.len() == TOKEN_PAGE {
                self.ready.push_back(Job::Tokens(std::mem::take(&mut page)));
            }
        }
        if !page.is_empty() {
            self.ready.push_back(Job::Tokens(page));
        }
        left
    }

    async fn take_leases(&mut self, due: Vec<(Timestamp, &str)>) -> Option<Timestamp> {
        let mut due = due.into_iter().peekable();
        while due.peek().is_some() {
            let room = READY.saturating_sub(self.ready.len());
            if room == 0 {
                return due.peek().map(|(at, _)| *at);
            }
            let some: Vec<_> = due.by_ref().take(room).collect();
            for (at, suffix) in &some {
                self.hold(suffix, *at);
            }
            let taken = self.manager.take(&*self.revoker, &self.lane.name, &some).await;
            for ((at, suffix), taken) in some.iter().zip(taken) {
                match taken {
                    Ok(Taken::ToEnd(lease)) => self.ready.push_back(Job::Lease(lease)),
                    // Whoever moved it was noticed.
                    Ok(Taken::Ended | Taken::Moved) => self.unhold(suffix, None),
                    // Whoever has it tells when he lets go, unless he did while we held it.
                    Ok(Taken::InHand(id)) => {
                        self.unhold(suffix, None);
                        if !self.manager.is_in_hand(&id) {
                            self.see(*at);
                        }
                    }
                    Err(error) if is_of_value(&error) => {
                        tracing::error!(lease.suffix = suffix, error = %error, "a lease that is due cannot be read");
                        self.park(suffix, *at);
                    }
                    Err(error) => {
                        self.unhold(suffix, Some(*at));
                        self.storage_failed(&error);
                    }
                }
            }
            if self.rest.until(self.elapsed()).is_some() {
                return self.next;
            }
        }
        None
    }

    fn start_waited(&mut self) {
        while self.running.len() < PLACES
            && let Some(waited) = self.waiting.pop_front()
        {
            let suffix = waited.id.suffix();
            let is_ready = |job: &Job| matches!(job, Job::Lease(lease) if lease.id == waited.id);
            if let Some(place) = self.ready.iter().position(is_ready) {
                self.ready.remove(place);
            } else if let Some(place) = self.parked.iter().position(|(_, _, parked)| &**parked == suffix) {
                self.parked.remove(place);
            } else if self.lane.mail().held.contains_key(suffix) {
                // An attempt is under way; what it comes to is the answer.
                self.waiters.entry(suffix.into()).or_default().push(waited);
                continue;
            }
            self.hold(waited.id.suffix(), waited.due);
            self.start(Job::Waited(waited), Pace::Whole);
        }
    }

    fn start_ready(&mut self) {
        while self.running.len() < PLACES
            && self.from_queue < if self.rest.is_probing() { 1 } else { QUEUE_PLACES }
            && let Some(job) = self.ready.pop_front()
        {
            self.from_queue += 1;
            let pace = if self.rest.is_probing() { Pace::Probe(self.rest.limit(ATTEMPT)) } else { Pace::Whole };
            self.start(job, pace);
        }
    }

    fn start(&mut self, job: Job, pace: Pace) {
        let (manager, revoker) = (Arc::clone(&self.manager), Arc::clone(&self.revoker));
        let round = self.rest.round();
        let (is_from_queue, held) = (!matches!(job, Job::Waited(_)), job.held());
        let work = self.manager.tasks.spawn(async move { job.run(&manager, &*revoker, pace).await });
        self.running.push(Box::pin(async move { Finished { round, is_from_queue, held, result: work.await.ok() } }));
    }

    fn finish(&mut self, finished: Finished) {
        let round = finished.round;
        if finished.is_from_queue {
            self.from_queue = self.from_queue.saturating_sub(1);
        }
        let Some(result) = finished.result else {
            for (suffix, at) in finished.held {
                self.waiters.remove(&suffix);
                self.unhold(&suffix, Some(at));
            }
            return;
        };
        match result {
            JobResult::Lease(lease, outcome) => {
                self.judge(round, &outcome);
                if matches!(outcome, Outcome::Ended) {
                    self.lane.mail().last_success = Some(self.manager.clock.now());
                }
                let suffix: Box<str> = lease.id.suffix().into();
                self.answer(&suffix, lease.intent, &outcome);
                match outcome {
                    // Another one is the next probe: this may be the only one that ails.
                    Outcome::Upstream(_) | Outcome::Throttled(_) => self.ready.push_back(Job::Lease(lease)),
                    Outcome::Unwritten(_) => self.unhold(&suffix, Some(lease.due)),
                    Outcome::Ended | Outcome::Unseen | Outcome::PutOff(_) => self.unhold(&suffix, None),
                }
            }
            JobResult::Waited(waited, is_intent, outcome) => {
                self.judge(round, &outcome);
                let suffix: Box<str> = waited.id.suffix().into();
                let is_there = matches!(outcome, Outcome::Upstream(_) | Outcome::Throttled(_) | Outcome::Unwritten(_));
                if matches!(outcome, Outcome::Ended) {
                    self.lane.mail().last_success = Some(self.manager.clock.now());
                }
                self.unhold(&suffix, is_there.then_some(waited.due));
                let _gone = waited.answer.send(answer_of(&outcome, is_intent));
                self.answer(&suffix, is_intent, &outcome);
            }
            JobResult::Tokens(tokens, result) => self.finish_tokens(round, tokens, result),
        }
    }

    fn finish_tokens(
        &mut self,
        round: u64,
        tokens: Vec<(TokenKey, Timestamp)>,
        result: Result<Vec<(TokenKey, Timestamp)>, RevokeError>,
    ) {
        match result {
            Ok(left) => {
                self.rest.over();
                for (token, at) in tokens {
                    if left.contains(&(token, at)) {
                        self.park(token.as_str(), at);
                    } else {
                        self.unhold(token.as_str(), None);
                    }
                }
            }
            Err(error) => {
                if matches!(error, RevokeError::Upstream(_)) {
                    self.rest.failed(round, self.elapsed());
                }
                if let [(token, at)] = tokens.as_slice() {
                    tracing::error!(token.key = %token, error = %error, "a token that is due could not be ended");
                    self.park(token.as_str(), *at);
                } else {
                    // It may be one of them: each by itself shows which.
                    self.ready.extend(tokens.into_iter().map(|token| Job::Tokens(vec![token])));
                }
            }
        }
    }

    /// What an outcome says of the outside.
    fn judge(&mut self, round: u64, outcome: &Outcome) {
        match outcome {
            Outcome::Upstream(error) => {
                if !self.rest.is_probing() {
                    tracing::warn!(lease.mount = %self.lane.name, error = %error, "the outside is unwell; its leases wait");
                }
                self.rest.failed(round, self.elapsed());
            }
            Outcome::Unwritten(error) => self.storage_failed(error),
            Outcome::Ended | Outcome::Unseen | Outcome::PutOff(_) | Outcome::Throttled(_) => self.rest.over(),
        }
    }

    /// Answers those who waited for an attempt that was under way.
    fn answer(&mut self, suffix: &str, is_intent: bool, outcome: &Outcome) {
        for waited in self.waiters.remove(suffix).unwrap_or_default() {
            if waited.force && !matches!(outcome, Outcome::Ended) {
                self.waiting.push_front(waited);
            } else {
                let _gone = waited.answer.send(answer_of(outcome, is_intent));
            }
        }
    }

    async fn stop(mut self) {
        self.lane.close();
        self.waiting.clear();
        while let Some(finished) = self.running.next().await {
            self.finish(finished);
        }
        // What nobody writes down any more is an intent still, and due after the next start.
        self.read_letters();
        if self.rest.until(self.elapsed()).is_none() {
            self.put_back().await;
        }
    }

    fn see(&mut self, at: Timestamp) {
        let mark = due::before(&self.lane.name, at);
        if mark < self.mark {
            self.mark = mark;
        }
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn hold(&self, suffix: &str, at: Timestamp) {
        self.lane.mail().held.insert(suffix.into(), at);
    }

    /// `at`: it is still there.
    fn unhold(&mut self, suffix: &str, at: Option<Timestamp>) {
        self.lane.mail().held.remove(suffix);
        if let Some(at) = at {
            self.see(at);
        }
    }

    fn park(&mut self, suffix: &str, at: Timestamp) {
        self.parked.push_back((self.elapsed() + PARKED_FOR, at, suffix.into()));
    }

    fn storage_failed(&mut self, error: &LeaseError) {
        tracing::error!(lease.mount = %self.lane.name, error = %error, "leases that are due cannot be read or written; trying again");
        self.rest.failed(self.rest.round(), self.elapsed());
    }

    fn has_room(&self) -> bool {
        self.ready.len() <= if self.lane.is_of_tokens() { READY_PAGES / 2 } else { READY / 2 }
    }

    fn elapsed(&self) -> Duration {
        self.manager.clock.elapsed()
    }
}

/// Attempts under way at once in a lane. How many calls a mount's account bears is the engines' business: so many that those
/// that wait for one kind of call do not hold up the others.
const PLACES: usize = 32;

/// Of those, out of the queue: the others are kept for who waits.
const QUEUE_PLACES: usize = 24;

/// Leases taken ahead of the attempts, claimed in one batch.
const READY: usize = 64;

/// Tokens ended by one call, in one batch where they have nothing.
const TOKEN_PAGE: usize = 128;

/// Pages of tokens taken ahead; up to [`QUEUE_PLACES`] are ended at once, so that one with a large tree delays nobody.
const READY_PAGES: usize = 4;

/// Before something that cannot be worked on is looked at again.
const PARKED_FOR: Duration = Duration::from_mins(1);
