//! A lease manager, a small token store, and an outside with users in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use leasehold::barrier::{Barrier, BarrierError, Locked, RootKey, View};
use leasehold::base::time::ManualClock;
use leasehold::base::{ApiPath, Clock, LeaseId, MountId, Shutdown, Tasks, Timestamp, TokenKey, Ttl, random};
use leasehold::lease::{
    Lease, LeaseError, LeaseManager, Leased, Leases, Limits, Owner, Owners, Pending, RevokeError, Revoked, Revoker, Terms,
};
use leasehold::storage::memory::MemoryStorage;
use leasehold::storage::{Storage, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const LIMITS: Limits = Limits { default_ttl: Ttl::hours(768), max_ttl: Ttl::hours(768) };

/// A user outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    /// The outside said that it was created.
    pub(super) acknowledged: bool,
}

impl Leased for User {
    const KIND: &'static str = "user";
}

/// Something that ends by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session;

impl Leased for Session {
    const KIND: &'static str = "session";
}

/// Lives as long as processes come and go.
#[derive(Default)]
pub(super) struct Outside {
    state: Mutex<OutsideState>,
    pub(super) calls: AtomicU64,
    answered: Notify,
}

#[derive(Default)]
pub(super) struct OutsideState {
    pub(super) users: BTreeSet<String>,
    /// Creations whose answer was lost, and when they take effect.
    pub(super) late: Vec<(Timestamp, String)>,
    pub(super) is_down: bool,
    pub(super) refuses: BTreeSet<String>,
    pub(super) hangs: bool,
    pub(super) panics: bool,
}

impl Outside {
    pub(super) fn state(&self) -> MutexGuard<'_, OutsideState> {
        self.state.lock().unwrap()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.state().users.contains(name)
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Those whose time has come take effect.
    pub(super) fn catch_up(&self, now: Timestamp) {
        let mut state = self.state();
        let late = std::mem::take(&mut state.late);
        for (at, name) in late {
            if at <= now {
                state.users.insert(name);
            } else {
                state.late.push((at, name));
            }
        }
    }

    /// Lets hanging calls go on.
    pub(super) fn answer(&self) {
        self.state().hangs = false;
        self.answered.notify_waiters();
    }
}

/// Tokens as far as leases care: a record that ends.
#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    path: String,
    end: Option<Timestamp>,
    revoking: bool,
    /// Where it is in the order of ends.
    due: Option<Timestamp>,
}

pub(super) struct Tokens {
    view: View,
}

#[async_trait]
impl Owners for Tokens {
    async fn version(&self, token: &TokenKey) -> Result<Option<Version>, BarrierError> {
        let found = self.view.read_versioned::<TokenRecord>(&format!("id/{token}")).await?;
        Ok(found.filter(|(record, _)| !record.revoking).map(|(_, version)| version))
    }
}

impl Tokens {
    /// The record becomes `Revoking`, what hangs on it is ended, it goes last.
    async fn end(&self, manager: &LeaseManager, clock: &dyn Clock, token: &TokenKey) -> Result<(), LeaseError> {
        let key = format!("id/{token}");
        loop {
            let Some((mut record, version)) = self.view.read_versioned::<TokenRecord>(&key).await? else { return Ok(()) };
            let mut txn = self.view.txn();
            txn.expect_at(&self.view, &key, version);
            if !record.revoking {
                record.revoking = true;
                let from = record.due.replace(clock.now());
                txn.put(&self.view, &key, &record)?;
                manager.move_token(&mut txn, token, from, record.due)?;
            } else if manager.end_of_token(token).await? == 0 {
                txn.delete(&self.view, &key);
                manager.forget_token(&mut txn, &record.path, token, record.due);
                manager.expect_none_of(&mut txn, token);
            } else {
                continue;
            }
            match txn.commit().await {
                Err(error) if !error.is_conflict() => return Err(error.into()),
                _ => {}
            }
        }
    }

    async fn is_due(&self, now: Timestamp, token: &TokenKey) -> Result<bool, BarrierError> {
        let record = self.view.read::<TokenRecord>(&format!("id/{token}")).await?;
        Ok(record.is_some_and(|record| record.revoking || record.end.is_some_and(|end| end <= now)))
    }
}

struct Ends {
    manager: Arc<LeaseManager>,
    tokens: Arc<Tokens>,
    clock: Arc<ManualClock>,
    outside: Arc<Outside>,
}

#[async_trait]
impl Revoker for Ends {
    async fn revoke(&self, lease: &Lease) -> Result<Revoked, RevokeError> {
        self.outside.calls.fetch_add(1, Ordering::Relaxed);
        loop {
            let answered = self.outside.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if !self.outside.state().hangs {
                break;
            }
            answered.await;
        }
        self.outside.catch_up(self.clock.now());
        let user: User = lease.what().map_err(|error| RevokeError::Unsupported(error.to_string()))?;
        let mut state = self.outside.state();
        if state.panics {
            drop(state);
            panic!("asked for by the test");
        }
        if state.is_down {
            return Err(RevokeError::Upstream("no route to the outside".to_owned()));
        }
        if state.refuses.contains(&user.name) {
            return Err(RevokeError::Lease(format!("{} may not be deleted", user.name)));
        }
        if state.users.remove(&user.name) {
            return Ok(Revoked::Done);
        }
        Ok(Revoked::Absent { settle: if user.acknowledged { Ttl::minutes(5) } else { Ttl::minutes(18) } })
    }

    async fn end_tokens(&self, due: &[TokenKey]) -> Result<(), RevokeError> {
        for token in due {
            let due = self.tokens.is_due(self.clock.now(), token).await.map_err(upstream)?;
            if due {
                self.tokens.end(&self.manager, &*self.clock, token).await.map_err(upstream)?;
            }
        }
        Ok(())
    }

    async fn revoke_tokens(&self, tokens: &[TokenKey]) -> Result<(), RevokeError> {
        for token in tokens {
            self.tokens.end(&self.manager, &*self.clock, token).await.map_err(upstream)?;
        }
        Ok(())
    }

    fn needs_call(&self, lease: &Lease) -> bool {
        lease.kind == User::KIND
    }
}

fn upstream(error: impl Into<LeaseError>) -> RevokeError {
    RevokeError::Upstream(error.into().to_string())
}

/// One process.
pub(super) struct World {
    pub(super) storage: MemoryStorage,
    pub(super) clock: Arc<ManualClock>,
    pub(super) barrier: Arc<Barrier>,
    pub(super) manager: Arc<LeaseManager>,
    pub(super) outside: Arc<Outside>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) mount: MountId,
    shutdown: Shutdown,
    reaper: JoinHandle<()>,
    root: RootKey,
}

impl World {
    pub(super) async fn new() -> Self {
        let storage = MemoryStorage::new();
        let root = RootKey::generate();
        let batch = Locked::new(Arc::new(storage.clone())).create(&root, START).unwrap();
        storage.commit(batch).await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        Self::start(storage, root, clock, Arc::default(), MountId::fresh()).await
    }

    async fn start(
        storage: MemoryStorage,
        root: RootKey,
        clock: Arc<ManualClock>,
        outside: Arc<Outside>,
        mount: MountId,
    ) -> Self {
        let barrier = Locked::new(Arc::new(storage.clone())).unlock(&root).await.unwrap();
        let tasks = Tasks::default();
        let tokens = Arc::new(Tokens { view: barrier.view("token/") });
        let owners: Arc<dyn Owners> = tokens.clone();
        let manager = LeaseManager::new(&barrier, clock.clone(), tasks.clone(), owners);
        let revoker = Arc::new(Ends {
            manager: Arc::clone(&manager),
            tokens: Arc::clone(&tokens),
            clock: Arc::clone(&clock),
            outside: Arc::clone(&outside),
        });
        let shutdown = Shutdown::new();
        let reaper = tasks.spawn(Arc::clone(&manager).run(revoker, shutdown.clone()));
        Self { storage, clock, barrier, manager, outside, tokens, mount, shutdown, reaper, root }
    }

    /// The process dies; another one starts on what is durable.
    pub(super) async fn crash(self) -> Self {
        let storage = self.storage.reopen();
        self.shutdown.cancel();
        self.outside.answer();
        self.reaper.await.unwrap();
        let world = Self::start(storage, self.root, self.clock, self.outside, self.mount).await;
        world.manager.settled().await;
        world
    }

    /// As sealing does.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.reaper.await.unwrap();
    }

    /// Time passes, and what is due by then has been tried.
    pub(super) async fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.outside.catch_up(self.clock.now());
        self.manager.settled().await;
    }

    /// The same in small steps, so that what is put off comes round.
    pub(super) async fn live(&self, seconds: u64, step: u64) {
        for _ in 0..seconds.div_ceil(step) {
            self.advance(step).await;
        }
    }

    pub(super) async fn token(&self, ttl: Option<u64>) -> Result<TokenKey, LeaseError> {
        let key = TokenKey::new(&random::time62(self.clock.now().seconds()), &random::bytes()).unwrap();
        let end = ttl.map(|ttl| self.clock.now().plus(Ttl::seconds(ttl)));
        let record = TokenRecord { path: "auth/token/create".to_owned(), end, revoking: false, due: end };
        let view = self.barrier.view("token/");
        let mut txn = view.txn();
        txn.put(&view, &format!("id/{key}"), &record)?;
        self.manager.put_token(&mut txn, "auth/token/create", &key, end)?;
        txn.commit().await?;
        Ok(key)
    }

    pub(super) async fn end_token(&self, token: &TokenKey) -> Result<(), LeaseError> {
        self.tokens.end(&self.manager, &*self.clock, token).await
    }

    pub(super) async fn renew_token(&self, token: &TokenKey, end: Timestamp) {
        let (view, key) = (self.barrier.view("token/"), format!("id/{token}"));
        let (mut record, version) = view.read_versioned::<TokenRecord>(&key).await.unwrap().unwrap();
        let from = record.due.replace(end);
        record.end = Some(end);
        let mut txn = view.txn();
        txn.put(&view, &key, &record).unwrap().expect_at(&view, &key, version);
        self.manager.move_token(&mut txn, token, from, Some(end)).unwrap();
        txn.commit().await.unwrap();
    }

    pub(super) async fn owner(&self, token: &TokenKey) -> Owner {
        let version = self.tokens.version(token).await.ok().flatten();
        Owner { token: Some(*token), version, ends: None, last_use: false }
    }

    pub(super) fn leases(&self, owner: Owner) -> Leases {
        self.manager.leases(self.mount.clone(), &ApiPath::parse("aws/creds/deploy").unwrap(), owner)
    }

    /// Begins, creates the user, and says so; nothing is settled yet.
    pub(super) async fn begin(&self, owner: Owner) -> Result<Pending<User>, LeaseError> {
        self.leases(owner).begin(User { name: random::base62(12), acknowledged: false }).await
    }

    /// A whole issue, as engine and core do it.
    pub(super) async fn issue(&self, owner: Owner, ttl: u64) -> Result<Lease, LeaseError> {
        let pending = self.begin(owner).await?;
        let user = User { acknowledged: true, ..pending.what().clone() };
        self.outside.state().users.insert(user.name.clone());
        self.activate(pending.fulfil(user, terms(ttl))).await
    }

    pub(super) async fn activate(&self, mut issued: leasehold::lease::Issued) -> Result<Lease, LeaseError> {
        loop {
            let mut txn = self.barrier.txn();
            let activation = self.manager.activate(issued, LIMITS, &mut txn)?;
            match txn.commit().await {
                Ok(()) => return Ok(activation.settled().0),
                Err(error) if error.is_conflict() => issued = activation.conflicted().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn lease_keys(&self) -> Vec<String> {
        self.storage.keys("lease/").iter().map(|key| key.as_str().to_owned()).collect()
    }

    /// Nothing is left, outside or inside.
    pub(super) fn assert_clean(&self, when: &str) {
        assert_eq!(self.outside.state().users, BTreeSet::new(), "users are left: {when}");
        assert_eq!(self.lease_keys(), Vec::<String>::new(), "keys are left: {when}");
    }

    /// Records and keys agree, and every live lease is due once.
    pub(super) async fn assert_consistent(&self) {
        let view = self.barrier.view("lease/");
        let mut due: BTreeMap<String, u32> = BTreeMap::new();
        for key in self.lease_keys() {
            let key = key.strip_prefix("lease/").unwrap().to_owned();
            if key.starts_with("due/") {
                *due.entry(key.rsplit('/').next().unwrap().to_owned()).or_default() += 1;
            } else if !key.starts_with("id/") {
                let id: LeaseId = view.read(&key).await.unwrap().unwrap();
                assert!(view.exists(&format!("id/{id}")).await.unwrap(), "{key} leads nowhere");
            }
        }
        assert!(due.values().all(|count| *count == 1), "{due:?}");
    }
}

pub(super) fn terms(ttl: u64) -> Terms {
    Terms { ttl: Ttl::seconds(ttl), max_ttl: Ttl::ZERO, renewable: true }
}

pub(super) fn name_of(lease: &Lease) -> String {
    lease.what::<User>().unwrap().name
}
