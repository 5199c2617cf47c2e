//! The records of leases: reading, renewing, listing. Issuing is in `issue`, ending in `revoke` and `reaper`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;

use crate::barrier::{Barrier, BarrierError, Txn, View};
use crate::base::turns::Turns;
use crate::base::{ApiPath, Clock, LeaseId, MountId, Tasks, Timestamp, Ttl, random};
use crate::storage::{Page, Version};

use super::lane::Lanes;
use super::reaper::Reach;
use super::ttl::{self, Wish};
use super::{Lease, LeaseError, Leases, Left, Limits, Owner, Owners, State, Terms, due};

/// Every lease of the server.
pub struct LeaseManager {
    pub(super) view: View,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) owners: Arc<dyn Owners>,
    pub(super) lanes: Arc<Lanes>,
    /// Who changes the record of a lease waits for its turn.
    pub(super) turns: Arc<Turns>,
    /// Intents whose issuer has not let go of them. Guards a set of ids, as many as issues are under way; held for a look-up.
    in_hand: Mutex<HashSet<LeaseId>>,
    /// How the outside is reached, once the reaper runs.
    pub(super) reach: ArcSwapOption<Reach>,
    /// Places for attempts out of the queues of all lanes.
    pub(super) places: Arc<Semaphore>,
    /// Places for attempts somebody waits for.
    pub(super) waited_places: Arc<Semaphore>,
    /// The reaper ran, and runs no more.
    pub(super) has_stopped: AtomicBool,
    pub(super) tidying: AtomicBool,
    run: String,
    started: Duration,
}

/// A lease that needs an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Irrevocable {
    /// Its id.
    pub id: LeaseId,
    /// Who issued it.
    pub mount: MountId,
    /// When it ended.
    pub end: Timestamp,
    /// What the outside said last.
    pub error: String,
}

impl LeaseManager {
    /// Nothing runs before [`LeaseManager::run`] does; what is due by then is kept by storage.
    pub fn new(barrier: &Arc<Barrier>, clock: Arc<dyn Clock>, tasks: Tasks, owners: Arc<dyn Owners>) -> Arc<Self> {
        let lanes = Arc::new(Lanes::default());
        let hears = Arc::clone(&lanes);
        barrier.subscribe(&format!("{}{}", due::ROOT, due::LANES), Arc::new(move |key| hears.changed(key)));
        Arc::new(Self {
            view: barrier.view(due::ROOT),
            started: clock.elapsed(),
            clock,
            tasks,
            owners,
            lanes,
            turns: Turns::new(),
            in_hand: Mutex::default(),
            reach: ArcSwapOption::empty(),
            places: Arc::new(Semaphore::new(PLACES)),
            waited_places: Arc::new(Semaphore::new(WAITED_PLACES)),
            has_stopped: false.into(),
            tidying: false.into(),
            run: random::base62(11),
        })
    }

    /// What an engine is given for one request.
    pub fn leases(self: &Arc<Self>, mount: MountId, path: &ApiPath, owner: Owner) -> Leases {
        Leases::new(Arc::clone(self), mount, path, owner)
    }

    /// The lease of this id, if a client can have it.
    ///
    /// # Errors
    /// [`LeaseError::NotFound`] for intents as well; [`LeaseError::OfToken`] when it is a token's.
    pub async fn lookup(&self, id: &LeaseId) -> Result<Lease, LeaseError> {
        Ok(self.known(id).await?.0)
    }

    /// Lets a lease live on: by `increment` from now, else by what `fresh` or its own terms say, within the limits.
    ///
    /// `fresh` is what the issuer says now and replaces what it said before. Returns the lease and warnings for the caller.
    ///
    /// # Errors
    /// In the order of spec `leases.md` §4.
    pub async fn renew(
        &self,
        id: &LeaseId,
        increment: Ttl,
        limits: Limits,
        fresh: Option<Terms>,
    ) -> Result<(Lease, Vec<String>), LeaseError> {
        let _turn = self.turns.take(id.as_str()).await;
        for _ in 0..TRIES {
            let (lease, version) = self.known(id).await?;
            let now = self.clock.now();
            check_renewable(&lease, now)?;
            let mut next = lease.clone();
            next.terms = fresh.unwrap_or(lease.terms);
            let granted = ttl::ttl(&Wish { increment, ..Wish::of(next.terms, lease.issued) }, limits, now)?;
            next.end = lease.owner_ends.map_or(now.plus(granted.ttl), |ends| ends.min(now.plus(granted.ttl)));
            next.due = next.end;
            next.last_renewal = Some(now);
            let mut txn = self.view.txn();
            self.replace(&mut txn, &lease, version, &next)?;
            match txn.commit().await {
                Ok(()) => return Ok((next, granted.warnings)),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Contended)
    }

    /// What lies below `prefix` (empty, or a path that ends in `/`): suffixes, and folders that end in `/`. Folders and
    /// leases a client cannot know of are left out.
    pub async fn children(&self, prefix: &str) -> Result<Vec<String>, LeaseError> {
        let folder = format!("{}{prefix}", due::IDS);
        let mut names = self.view.list_all(&folder).await?;
        let intents = self.intents_under(prefix).await?;
        if intents.is_empty() {
            return Ok(names);
        }
        let mut hidden = HashSet::new();
        for name in &names {
            let whole = format!("{prefix}{name}");
            if intents.contains(&whole) || (name.ends_with('/') && self.holds_only(&whole, &intents).await?) {
                hidden.insert(name.clone());
            }
        }
        names.retain(|name| !hidden.contains(name));
        Ok(names)
    }

    /// Those that need an operator, by end and id, at most `limit` of them; and whether there are more.
    pub async fn irrevocable(&self, limit: usize) -> Result<(Vec<Irrevocable>, bool), LeaseError> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(due::STUCK, Page { after: after.as_deref(), limit: PAGE }).await?;
            for (_, id) in &page {
                let Some((Lease { id, mount, end, irrevocable: Some(error), .. }, _)) = self.read(id).await? else { continue };
                if found.len() == limit {
                    found.sort_by(|a: &Irrevocable, b| (a.end, &a.id).cmp(&(b.end, &b.id)));
                    return Ok((found, true));
                }
                found.push(Irrevocable { id, mount, end, error });
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => break,
            }
        }
        found.sort_by(|a, b| (a.end, &a.id).cmp(&(b.end, &b.id)));
        Ok((found, false))
    }

    /// How many of each mount need an operator.
    pub async fn count_irrevocable(&self) -> Result<BTreeMap<MountId, u64>, LeaseError> {
        let mut counts = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(due::STUCK, Page { after: after.as_deref(), limit: PAGE }).await?;
            for (_, id) in &page {
                if let Some((lease, _)) = self.read(id).await? {
                    *counts.entry(lease.mount).or_default() += 1;
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(counts),
            }
        }
    }

    /// Whether nothing of a mount is left to end, intents included.
    pub async fn is_empty(&self, mount: &MountId) -> Result<bool, LeaseError> {
        Ok(self.view.is_empty(&due::lane(mount.as_str())).await?)
    }

    /// Returns when nothing of a mount is left to end, intents included.
    pub async fn lane_empty(&self, mount: &MountId) {
        loop {
            let progress = self.lanes.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.is_empty(mount).await.unwrap_or(false) {
                return;
            }
            tokio::select! {
                () = progress => {}
                () = self.clock.sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Returns when no lane has anything due, or under way, or unread.
    pub async fn settled(&self) {
        loop {
            let progress = self.lanes.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            let recovered = self.reach.load().as_ref().is_some_and(|reach| reach.has_recovered());
            if recovered && self.lanes.are_quiet(self.clock.now(), self.clock.elapsed()) {
                return;
            }
            progress.await;
        }
    }

    /// A lease a client can have.
    async fn known(&self, id: &LeaseId) -> Result<(Lease, Version), LeaseError> {
        if let Some(token) = due::token_of(id) {
            let stored = self.view.exists(&due::id(id)).await?;
            return Err(if stored { LeaseError::OfToken(token) } else { LeaseError::NotFound });
        }
        match self.read(id).await? {
            Some((lease, version)) if !lease.intent => Ok((lease, version)),
            _ => Err(LeaseError::NotFound),
        }
    }

    pub(super) async fn read(&self, id: &LeaseId) -> Result<Option<(Lease, Version)>, BarrierError> {
        let found = self.view.read_versioned::<Lease>(&due::id(id)).await?;
        Ok(found.map(|(mut lease, version)| {
            id.path().clone_into(&mut lease.path);
            (lease, version)
        }))
    }

    /// Writes a record that was not there, and its keys.
    pub(super) fn insert(&self, txn: &mut Txn, lease: &Lease) -> Result<(), BarrierError> {
        let suffix = lease.id.suffix();
        txn.put(&self.view, &due::id(&lease.id), lease)?;
        txn.put(&self.view, &due::due(lease.mount.as_str(), lease.due, suffix), &lease.id)?;
        if lease.intent {
            txn.put(&self.view, &due::open(&lease.mount, suffix), &lease.id)?;
        }
        if let Some(owner) = lease.owner.filter(|_| lease.state != State::Revoking) {
            txn.put(&self.view, &due::of_token_lease(&owner, suffix), &lease.id)?;
        }
        Ok(())
    }

    /// Writes `new` over `old`, which is expected at `version`, and moves its keys.
    pub(super) fn replace(&self, txn: &mut Txn, old: &Lease, version: Version, new: &Lease) -> Result<(), BarrierError> {
        let suffix = new.id.suffix();
        txn.expect_at(&self.view, &due::id(&old.id), version);
        txn.put(&self.view, &due::id(&new.id), new)?;
        if old.due != new.due {
            let lane = new.mount.as_str();
            txn.delete(&self.view, &due::due(lane, old.due, suffix));
            txn.put(&self.view, &due::due(lane, new.due, suffix), &new.id)?;
        }
        if old.intent && !new.intent {
            txn.delete(&self.view, &due::open(&old.mount, suffix));
        }
        if old.irrevocable.is_none() && new.irrevocable.is_some() {
            txn.put(&self.view, &due::stuck(suffix), &new.id)?;
        }
        match (&old.failing, &new.failing) {
            (None, Some(_)) => drop(txn.put(&self.view, &due::failing(&new.mount, suffix), &new.id)?),
            (Some(_), None) => drop(txn.delete(&self.view, &due::failing(&old.mount, suffix))),
            _ => {}
        }
        Ok(())
    }

    /// Removes record and keys of `lease`, which is expected at `version`.
    pub(super) fn remove(&self, txn: &mut Txn, lease: &Lease, version: Version) {
        let suffix = lease.id.suffix();
        txn.expect_at(&self.view, &due::id(&lease.id), version);
        txn.delete(&self.view, &due::id(&lease.id));
        txn.delete(&self.view, &due::due(lease.mount.as_str(), lease.due, suffix));
        if let Some(owner) = &lease.owner {
            txn.delete(&self.view, &due::of_token_lease(owner, suffix));
        }
        if lease.intent {
            txn.delete(&self.view, &due::open(&lease.mount, suffix));
        }
        if lease.irrevocable.is_some() {
            txn.delete(&self.view, &due::stuck(suffix));
        }
        if lease.failing.is_some() {
            txn.delete(&self.view, &due::failing(&lease.mount, suffix));
        }
    }

    /// This moment, as stored with what an issuer lets go of.
    pub(super) fn left_now(&self) -> Left {
        Left { run: self.run.clone(), at: self.clock.elapsed().as_secs() }
    }

    /// Whether `settle` has passed since the issue by the stored time, and since its issuer let go of it, or since the start
    /// of this run, on the clock that cannot jump (architecture §5).
    pub(super) fn has_settled(&self, lease: &Lease, settle: Ttl) -> bool {
        let since = match &lease.left {
            Some(left) if left.run == self.run => Duration::from_secs(left.at),
            _ => self.started,
        };
        self.clock.now().since(lease.issued) >= settle && self.clock.elapsed().saturating_sub(since) >= settle.to_duration()
    }

    pub(super) fn take_in_hand(&self, id: &LeaseId) {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    pub(super) fn let_go(&self, id: &LeaseId) {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(super) fn is_in_hand(&self, id: &LeaseId) -> bool {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Ids of intents whose path begins with `prefix`. There are as many as issues under way or being undone.
    async fn intents_under(&self, prefix: &str) -> Result<BTreeSet<String>, LeaseError> {
        let mut intents = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(due::OPEN, Page { after: after.as_deref(), limit: PAGE }).await?;
            intents.extend(page.iter().map(|(_, id)| id.as_str().to_owned()).filter(|id| id.starts_with(prefix)));
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(intents),
            }
        }
    }

    async fn holds_only(&self, folder: &str, intents: &BTreeSet<String>) -> Result<bool, LeaseError> {
        let mut after: Option<String> = None;
        loop {
            let page = Page { after: after.as_deref(), limit: PAGE };
            let keys = self.view.scan_keys(&format!("{}{folder}", due::IDS), page).await?;
            if keys.iter().any(|key| key.strip_prefix(due::IDS).is_none_or(|id| !intents.contains(id))) {
                return Ok(false);
            }
            match keys.last() {
                Some(key) if keys.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(true),
            }
        }
    }
}

impl fmt::Debug for LeaseManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseManager").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

fn check_renewable(lease: &Lease, now: Timestamp) -> Result<(), LeaseError> {
    if lease.irrevocable.is_some() {
        return Err(LeaseError::Irrevocable);
    }
    if lease.ttl(now).is_zero() {
        return Err(LeaseError::Expired);
    }
    if !lease.terms.renewable {
        return Err(LeaseError::NotRenewable);
    }
    Ok(())
}

/// For who waits for an empty lane, when nothing happens in any: seldom enough to cost nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Keys read at once wherever many are walked: some milliseconds of work.
pub(super) const PAGE: usize = 512;

/// Times a record is read again when its version moved. The turn makes even two rare.
pub(super) const TRIES: usize = 8;

/// Attempts out of all queues at once; a mount takes at most 24 of them, so eight stalled mounts do not stall the ninth.
const PLACES: usize = 216;

/// Attempts at once that somebody waits for; with [`PLACES`] 256 in all.
const WAITED_PLACES: usize = 40;
