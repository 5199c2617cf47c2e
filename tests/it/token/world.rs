//! A token store, the lease manager under it, and an engine that lends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold::barrier::{Barrier, Locked, RootKey};
use leasehold::base::time::ManualClock;
use leasehold::base::{ApiPath, Clock, LeaseId, MountId, Shutdown, Tasks, Timestamp, TokenKey, Ttl};
use leasehold::lease::{Lease, LeaseError, LeaseManager, Leased, Limits, RevokeError, Revoked, Revoker, Terms};
use leasehold::storage::Storage;
use leasehold::storage::memory::MemoryStorage;
use leasehold::token::{Made, NewToken, TokenError, TokenInfo, TokenKind, TokenRecords, TokenStore};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIMITS: Limits = Limits { default_ttl: Ttl::hours(768), max_ttl: Ttl::hours(768) };

/// Something that ends by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session;

impl Leased for Session {
    const KIND: &'static str = "session";
}

struct Ends {
    tokens: Arc<TokenStore>,
}

#[async_trait]
impl Revoker for Ends {
    async fn revoke(&self, _: &Lease) -> Result<Revoked, RevokeError> {
        Ok(Revoked::Done)
    }

    async fn end_tokens(&self, due: &[TokenKey]) -> Result<(), RevokeError> {
        self.tokens.end_due(due).await
    }

    async fn revoke_tokens(&self, tokens: &[TokenKey]) -> Result<(), RevokeError> {
        self.tokens.revoke_all(tokens).await
    }

    fn needs_call(&self, _: &Lease) -> bool {
        false
    }
}

/// One process.
pub(super) struct World {
    pub(super) storage: MemoryStorage,
    pub(super) clock: Arc<ManualClock>,
    pub(super) barrier: Arc<Barrier>,
    pub(super) leases: Arc<LeaseManager>,
    pub(super) tokens: Arc<TokenStore>,
    pub(super) tasks: Tasks,
    mount: MountId,
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
        Self::start(storage, root, Arc::new(ManualClock::at(START)), MountId::fresh()).await
    }

    async fn start(storage: MemoryStorage, root: RootKey, clock: Arc<ManualClock>, mount: MountId) -> Self {
        let barrier = Locked::new(Arc::new(storage.clone())).unlock(&root).await.unwrap();
        let tasks = Tasks::default();
        let records = TokenRecords::open(&barrier, clock.clone()).await.unwrap();
        let leases = LeaseManager::new(&barrier, clock.clone(), tasks.clone(), records.clone());
        let tokens = TokenStore::new(records, Arc::clone(&leases), &barrier, clock.clone(), tasks.clone());
        let revoker = Arc::new(Ends { tokens: Arc::clone(&tokens) });
        let shutdown = Shutdown::new();
        let reaper = tasks.spawn(Arc::clone(&leases).run(revoker, shutdown.clone()));
        Self { storage, clock, barrier, leases, tokens, tasks, mount, shutdown, reaper, root }
    }

    /// The process dies; another one starts on what is durable.
    pub(super) async fn crash(self) -> Self {
        let storage = self.storage.reopen();
        self.shutdown.cancel();
        self.reaper.await.unwrap();
        let world = Self::start(storage, self.root, self.clock, self.mount).await;
        world.leases.settled().await;
        world
    }

    /// Time passes, and what is due by then has been tried.
    pub(super) async fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.leases.settled().await;
    }

    /// A service token of an hour.
    pub(super) fn service(&self) -> NewToken {
        let mount = self.mount.clone();
        let meta = Some(BTreeMap::from([("team".to_owned(), "red".to_owned())]));
        let base = NewToken::service(vec!["app".to_owned(), "default".to_owned()], "auth/token/create", mount);
        NewToken { ttl: Ttl::hours(1), display_name: "token".to_owned(), meta, ..base }
    }

    pub(super) fn child_of(&self, parent: &TokenInfo) -> NewToken {
        NewToken { parent: Some(parent.key), ..self.service() }
    }

    pub(super) fn batch(&self) -> NewToken {
        NewToken { kind: TokenKind::Batch, ..self.service() }
    }

    /// The first root token.
    pub(super) fn root(&self) -> NewToken {
        let base = NewToken::service(vec!["root".to_owned()], "auth/token/root", self.mount.clone());
        NewToken { has_lease: false, ..base }
    }

    /// Made, and tried again when something moved, as whoever makes tokens does.
    pub(super) async fn make(&self, new: &NewToken) -> Result<Made, TokenError> {
        loop {
            let mut txn = self.barrier.txn();
            let made = self.tokens.create(new, &mut txn).await?;
            match txn.commit().await {
                Ok(()) => return Ok(made),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn find(&self, made: &Made) -> Option<Arc<TokenInfo>> {
        self.tokens.find(made.token.expose()).await.unwrap()
    }

    pub(super) async fn is_live(&self, made: &Made) -> bool {
        self.find(made).await.is_some()
    }

    /// Something is lent to a token for an hour.
    pub(super) async fn lend(&self, info: &TokenInfo) -> Result<LeaseId, LeaseError> {
        let path = ApiPath::parse("aws/sts/deploy").unwrap();
        let leases = self.leases.leases(self.mount.clone(), &path, info.owner(false));
        let mut issued = leases.lend(Session, Terms { ttl: Ttl::hours(1), max_ttl: Ttl::ZERO, renewable: true })?;
        loop {
            let mut txn = self.barrier.txn();
            let activation = self.leases.activate(issued, LIMITS, &mut txn)?;
            match txn.commit().await {
                Ok(()) => return Ok(activation.settled().0.id),
                Err(error) if error.is_conflict() => issued = activation.conflicted().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The token keeps something for itself.
    pub(super) async fn keep(&self, info: &TokenInfo, name: &str) -> Result<(), TokenError> {
        let cubbyhole = self.tokens.cubbyhole(&info.key);
        let mut txn = cubbyhole.txn();
        let (view, key) = self.tokens.expected(&info.key);
        txn.expect_at(view, &key, info.version.ok_or(TokenError::Ended)?);
        txn.put(&cubbyhole, name, "something")?;
        Ok(txn.commit().await?)
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.storage.keys(prefix).iter().map(|key| key.as_str().to_owned()).collect()
    }

    /// Every key that belongs to tokens.
    pub(super) fn all_keys(&self) -> Vec<String> {
        ["token/", "lease/", "cubbyhole/"].iter().flat_map(|prefix| self.keys(prefix)).filter(|key| key != "token/salt").collect()
    }

    /// Nothing is left of any token.
    pub(super) fn assert_clean(&self, when: &str) {
        assert_eq!(self.all_keys(), Vec::<String>::new(), "keys are left: {when}");
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
