use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::super::AwsSecrets;
use crate::aws::rotation::KeyHolders;
use crate::aws::sandbox::Sandbox;
use crate::barrier::{Barrier, BarrierError, Locked, RootKey};
use crate::base::time::{ManualClock, SystemClock};
use crate::base::turns::Turns;
use crate::base::{ApiPath, Clock, MountPath, Shutdown, Tasks, Timestamp, TokenKey, Ttl};
use crate::lease::{Lease, LeaseManager, Limits, Owner, Owners, RevokeError, Revoked, Revoker};
use crate::mount::{ApiError, Asked, Body, Caller, Class, Ctx, Deps, LeaseCtx, MountEntry, Mounted, Registry, Reply, Shared};
use crate::policy::{Operation, PolicyStore};
use crate::storage::memory::MemoryStorage;
use crate::storage::{Storage, Version};
use std::sync::Arc;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIMITS: Limits = Limits { default_ttl: Ttl::hours(768), max_ttl: Ttl::hours(768) };

/// A mount of the engine, a stand-in for AWS, and leases with their reaper.
pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) clock: Arc<ManualClock>,
    pub(super) manager: Arc<LeaseManager>,
    pub(super) storage: MemoryStorage,
    pub(super) access_keys: Arc<KeyHolders>,
    barrier: Arc<Barrier>,
    mounted: Arc<dyn Mounted>,
    entry: Arc<MountEntry>,
    root: RootKey,
    shutdown: Shutdown,
}

struct NoTokens;

#[async_trait]
impl Owners for NoTokens {
    async fn version(&self, _: &TokenKey) -> Result<Option<Version>, BarrierError> {
        Ok(None)
    }
}

struct Ends {
    mounted: Arc<dyn Mounted>,
    entry: Arc<MountEntry>,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl Revoker for Ends {
    async fn revoke(&self, lease: &Lease) -> Result<Revoked, RevokeError> {
        let clock = Arc::clone(&self.clock);
        let (lease, mount) = (Arc::new(lease.clone()), Arc::clone(&self.entry));
        self.mounted.revoke(LeaseCtx { lease, mount, limits: LIMITS, clock, is_probe: false }).await
    }
    async fn end_tokens(&self, _: &[TokenKey]) -> Result<(), RevokeError> {
        Ok(())
    }
    async fn revoke_tokens(&self, _: &[TokenKey]) -> Result<(), RevokeError> {
        Ok(())
    }
    fn needs_call(&self, lease: &Lease) -> bool {
        self.mounted.needs_call(lease)
    }
}

impl World {
    /// With `config/root` written.
    pub(super) async fn new() -> Self {
        Self::with_clocks_apart(0).await
    }

    /// AWS's clock is so many seconds ahead.
    pub(super) async fn with_clocks_apart(ahead: u64) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let theirs = if ahead == 0 { Arc::clone(&clock) } else { Arc::new(ManualClock::at(START.plus(Ttl::seconds(ahead)))) };
        let sandbox = Sandbox::start(theirs, &Tasks::default(), &Shutdown::new()).await.unwrap();
        let (storage, root) = (MemoryStorage::new(), RootKey::generate());
        let batch = Locked::new(Arc::new(storage.clone())).create(&root, START).unwrap();
        storage.commit(batch).await.unwrap();
        let entry = Arc::new(MountEntry::new(Class::Secret, MountPath::parse("aws/").unwrap(), "aws"));
        let world = Self::start(storage, root, clock, sandbox, entry).await;
        world.configure().await;
        world
    }

    async fn start(
        storage: MemoryStorage,
        root: RootKey,
        clock: Arc<ManualClock>,
        sandbox: Sandbox,
        entry: Arc<MountEntry>,
    ) -> Self {
        let (tasks, shutdown) = (Tasks::default(), Shutdown::new());
        let barrier = Locked::new(Arc::new(storage.clone())).unlock(&root).await.unwrap();
        let shared = Arc::<Shared>::default();
        let access_keys = shared.of::<KeyHolders>();
        let deps = Deps {
            clock: clock.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            entry: Arc::clone(&entry),
            turns: Turns::new(),
            policies: PolicyStore::open(&barrier).await.unwrap(),
            environment: Arc::new(BTreeMap::new()),
            cluster: "cluster".into(),
            shared: Arc::clone(&shared),
        };
        let mut registry = Registry::new();
        registry.secrets::<AwsSecrets>();
        let opener = registry.opener(Class::Secret, "aws").unwrap();
        let mounted = opener(barrier.view("mount/aws/"), deps).await.unwrap();
        let manager = LeaseManager::new(&barrier, clock.clone(), tasks.clone(), Arc::new(NoTokens));
        let ends = Ends { mounted: Arc::clone(&mounted), entry: Arc::clone(&entry), clock: Arc::clone(&clock) };
        tasks.spawn(Arc::clone(&manager).run(Arc::new(ends), shutdown.clone()));
        Self { sandbox, clock, manager, storage, access_keys, barrier, mounted, entry, root, shutdown }
    }

    /// The process dies; another one starts on what is durable.
    pub(super) async fn crash(self) -> Self {
        let storage = self.storage.reopen();
        self.shutdown.cancel();
        Self::start(storage, self.root, self.clock, self.sandbox, self.entry).await
    }

    /// As the server does about once a minute.
    pub(super) async fn tick(&self) {
        self.mounted.tick().await;
    }

    /// What the plugin says to whoever unmounts it.
    pub(super) async fn parting(&self) -> Vec<String> {
        self.mounted.parting().await
    }

    /// What the mount has stored at a key.
    pub(super) async fn stored<T: serde::de::DeserializeOwned>(&self, key: &str) -> T {
        self.barrier.view("mount/aws/").read(key).await.unwrap().unwrap()
    }

    /// `config/root` was never written.
    pub(super) async fn forget_configuration(&self) {
        self.barrier.view("mount/aws/").delete("config/root").await.unwrap();
    }

    /// What is stored of static roles.
    pub(super) fn static_keys(&self) -> Vec<String> {
        self.storage.keys("mount/aws/static-").into_iter().map(|key| key.as_str().to_owned()).collect()
    }

    /// Five seconds pass.
    pub(super) async fn settle(&self) {
        let end = self.clock.elapsed() + Duration::from_secs(5);
        self.until(6, |world| world.clock.elapsed() >= end).await;
    }

    /// Keys of a user at AWS.
    pub(super) fn keys_of(&self, user: &str) -> Vec<String> {
        self.sandbox.user(user).unwrap().keys.into_keys().collect()
    }

    /// Begins an issue of which nobody waits for the end, until a call of it hangs; none: it does not.
    pub(super) async fn issue_until_it_hangs(self, path: &str) -> Option<Self> {
        let hangs = {
            let issue = self.issue(path, Value::Null);
            tokio::select! {
                _ = issue => false,
                () = self.sandbox.faults().until_hanging(1) => true,
            }
        };
        hangs.then_some(self)
    }

    async fn configure(&self) {
        let (id, secret) = self.sandbox.root_keys();
        let body = serde_json::json!({
            "access_key": id, "secret_key": secret.expose(), "iam_endpoint": self.sandbox.url(),
            "sts_endpoint": self.sandbox.url(), "region": "us-east-1",
        });
        self.write("config/root", body).await.unwrap();
    }

    /// Time passes at ten times its speed until `work` is done.
    pub(super) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let real = SystemClock::new();
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                out = &mut work => return out,
                () = real.sleep(Duration::from_millis(5)) => self.clock.advance(Duration::from_millis(50)),
            }
        }
    }

    pub(super) async fn ask(&self, operation: Operation, path: &str, body: Value) -> Result<Reply, ApiError> {
        let full = ApiPath::parse(&format!("aws/{path}")).unwrap();
        let cx = Ctx {
            asked: Arc::new(Asked::new(operation, full, None)),
            caller: Caller::default(),
            mount: Arc::clone(&self.entry),
            limits: LIMITS,
            clock: self.clock.clone(),
            operation,
            leases: Arc::clone(&self.manager),
            owner: Owner::default(),
        };
        let found = self.mounted.find(path).ok_or_else(ApiError::unsupported_path)?;
        let data = if let Value::Object(data) = body { data } else { Map::new() };
        self.drive(self.mounted.handle(cx, found, data)).await
    }

    pub(super) async fn write(&self, path: &str, body: Value) -> Result<Reply, ApiError> {
        self.ask(Operation::Update, path, body).await
    }

    pub(super) async fn read(&self, path: &str) -> Map<String, Value> {
        match self.ask(Operation::Read, path, Value::Null).await.unwrap().body {
            Body::Data(data) => data,
            other => panic!("{other:?}"),
        }
    }

    /// Credentials, with the lease that core would make active.
    pub(super) async fn issue(&self, path: &str, body: Value) -> Result<(Lease, Map<String, Value>), ApiError> {
        match self.ask(Operation::Update, path, body).await?.body {
            Body::Leased(issued, data) => {
                let mut txn = self.barrier.txn();
                let activation = self.manager.activate(*issued, LIMITS, &mut txn)?;
                txn.commit().await?;
                Ok((activation.settled().0, data))
            }
            other => panic!("{other:?}"),
        }
    }

    /// The text of a refused issue.
    pub(super) async fn refused(&self, path: &str) -> ApiError {
        self.issue(path, Value::Null).await.unwrap_err()
    }

    /// Actions since `from`, in order.
    pub(super) fn actions(&self, from: u64) -> Vec<String> {
        let from = usize::try_from(from).unwrap();
        self.sandbox.calls().into_iter().skip(from).map(|call| call.action).collect()
    }

    pub(super) fn times(&self, action: &str) -> usize {
        self.sandbox.calls().iter().filter(|call| call.action == action).count()
    }

    pub(super) fn lease_keys(&self) -> usize {
        self.storage.keys("lease/").len()
    }

    /// Lets time pass until `reached`, at most so many seconds.
    pub(super) async fn until(&self, seconds: u64, reached: impl Fn(&Self) -> bool) {
        let end = self.clock.elapsed() + Duration::from_secs(seconds);
        let real = SystemClock::new();
        while !reached(self) {
            assert!(self.clock.elapsed() < end, "not within {seconds} s");
            real.sleep(Duration::from_millis(5)).await;
            self.clock.advance(Duration::from_millis(50));
        }
    }

    /// Lets the time of horizons pass until nothing is left.
    pub(super) async fn live_until_clean(&self) {
        let is_clean = || self.sandbox.users().is_empty() && self.lease_keys() == 0;
        for _ in 0..80 {
            self.drive(self.manager.settled()).await;
            if is_clean() {
                return;
            }
            self.clock.advance(Duration::from_secs(61));
        }
        panic!("left: {:?}, {} keys", self.sandbox.users(), self.lease_keys());
    }
}
