//! For tests of plugins: a mount over storage in memory, asked as core asks it, with answers as a client sees them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::barrier::{Barrier, BarrierError, Locked, RootKey, View};
use crate::base::time::ManualClock;
use crate::base::turns::Turns;
use crate::base::{ApiPath, Clock, MountId, MountPath, Shutdown, Tasks, Timestamp, TokenKey, Ttl, random};
use crate::lease::{LeaseManager, Limits, Owner, Owners};
use crate::policy::{Operation, PolicyStore};
use crate::storage::memory::MemoryStorage;
use crate::storage::{Storage, Version};
use crate::token::{TokenInfo, TokenKind};

use super::{
    ApiError, Asked, Body, Caller, Class, Ctx, Deps, ErrorKind, Grant, MountEntry, Mounted, Registry, Remote, Reply, TokenRenewal,
};

/// A server without its core.
pub(crate) struct Rig {
    pub(crate) storage: MemoryStorage,
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: Shutdown,
    leases: Arc<LeaseManager>,
    policies: Arc<PolicyStore>,
    turns: Arc<Turns>,
    tokens: View,
}

/// One mount of it, and who asks.
pub(crate) struct Bench {
    pub(crate) rig: Arc<Rig>,
    pub(crate) entry: Arc<MountEntry>,
    pub(crate) view: View,
    pub(crate) plugin: Arc<dyn Mounted>,
    pub(crate) limits: Limits,
    pub(crate) caller: Mutex<Caller>,
    pub(crate) ip: Mutex<Option<IpAddr>>,
}

/// What a client sees.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `data`, or `null`.
    pub(crate) data: Value,
    pub(crate) warnings: Vec<String>,
    /// The first of `errors`; empty without one.
    pub(crate) error: String,
    /// Of a secret to keep.
    pub(crate) lease_duration: u64,
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    is_ending: bool,
    /// So that records differ.
    salt: String,
}

struct Tokens(View);

#[async_trait]
impl Owners for Tokens {
    async fn version(&self, token: &TokenKey) -> Result<Option<Version>, BarrierError> {
        let found = self.0.read_versioned::<TokenRecord>(&format!("id/{token}")).await?;
        Ok(found.filter(|(record, _)| !record.is_ending).map(|(_, version)| version))
    }
}

impl Rig {
    pub(crate) async fn new() -> Arc<Self> {
        let storage = MemoryStorage::new();
        let locked = Locked::new(Arc::new(storage.clone()));
        let root = RootKey::generate();
        storage.commit(locked.create(&root, START).unwrap()).await.unwrap();
        let barrier = locked.unlock(&root).await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let tasks = Tasks::default();
        let owners = Arc::new(Tokens(barrier.view("token/")));
        let leases = LeaseManager::new(&barrier, Arc::clone(&clock) as Arc<dyn Clock>, tasks.clone(), owners);
        let policies = PolicyStore::open(&barrier).await.unwrap();
        let tokens = barrier.view("token/");
        let shutdown = Shutdown::new();
        Arc::new(Self { storage, barrier, clock, tasks, shutdown, leases, policies, turns: Turns::new(), tokens })
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, ttl: Ttl) {
        self.clock.advance(Duration::from_secs(ttl.as_seconds()));
    }

    /// Opens a mount; without options `None`.
    pub(crate) async fn mount(
        self: &Arc<Self>,
        registry: &Registry,
        class: Class,
        kind: &str,
        options: &[(&str, &str)],
    ) -> Result<Bench, ApiError> {
        let path = if class == Class::Auth { format!("auth/{kind}") } else { kind.to_owned() };
        let mut entry = MountEntry::new(class, MountPath::parse(&path).unwrap(), kind);
        entry.options = Some(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
        self.open(registry, Arc::new(entry)).await
    }

    /// Opens a mount of the table, as an unseal does.
    pub(crate) async fn open(self: &Arc<Self>, registry: &Registry, entry: Arc<MountEntry>) -> Result<Bench, ApiError> {
        let view = self.barrier.view(&format!("logical/{}/", entry.id));
        let deps = Deps {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
            entry: Arc::clone(&entry),
            turns: Arc::clone(&self.turns),
            policies: Arc::clone(&self.policies),
            environment: Arc::new(BTreeMap::new()),
            cluster: "cluster".into(),
            shared: Arc::default(),
        };
        let plugin = registry.opener(entry.class, &entry.kind).unwrap()(view.clone(), deps).await?;
        let ip = Mutex::new(Some([127, 0, 0, 1].into()));
        let caller = Mutex::new(self.token(TokenKind::Service).await);
        Ok(Bench { rig: Arc::clone(self), entry, view, plugin, limits: LIMITS, caller, ip })
    }

    /// A caller with a token of its own.
    pub(crate) async fn token(&self, kind: TokenKind) -> Caller {
        let key = TokenKey::new(&random::time62(1), &random::bytes::<32>()).unwrap();
        if kind == TokenKind::Service {
            self.put_token(&key, false).await;
        }
        let stored = self.tokens.read_versioned::<TokenRecord>(&format!("id/{key}")).await.unwrap();
        let info = token_info(key, kind, stored.map(|(_, version)| version));
        Caller { token: Some(Arc::new(info)), ..Caller::default() }
    }

    /// Changes a token's record, as a renewal or the beginning of its end does.
    pub(crate) async fn put_token(&self, key: &TokenKey, is_ending: bool) {
        let record = TokenRecord { is_ending, salt: random::uuid() };
        self.tokens.put(&format!("id/{key}"), &record).await.unwrap();
    }

    /// Removes a token's record.
    pub(crate) async fn end_token(&self, key: &TokenKey) {
        self.tokens.delete(&format!("id/{key}")).await.unwrap();
    }
}

impl Bench {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Operation::Read, path, json!({})).await
    }

    pub(crate) async fn list(&self, path: &str) -> Answer {
        self.ask(Operation::List, &format!("{}/", path.trim_end_matches('/')), json!({})).await
    }

    pub(crate) async fn post(&self, path: &str, data: Value) -> Answer {
        self.ask(Operation::Update, path, data).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Operation::Delete, path, json!({})).await
    }

    /// Asks, with the probe before a write, and shows the answer as core and the edge would.
    pub(crate) async fn ask(&self, operation: Operation, path: &str, data: Value) -> Answer {
        match self.call(operation, path, data).await {
            Ok(reply) => answer(operation, reply),
            Err(error) => refusal(&error),
        }
    }

    pub(crate) async fn call(&self, operation: Operation, path: &str, data: Value) -> Result<Reply, ApiError> {
        let Value::Object(data) = data else { panic!("the data of a request is an object") };
        let found = self.plugin.find(path.trim_start_matches('/')).ok_or_else(ApiError::unsupported_path)?;
        let mut cx = self.context(operation, path);
        if operation == Operation::Update && self.plugin.exists(&cx, &found, &data).await? == Some(false) {
            cx.operation = Operation::Create;
        }
        self.plugin.handle(cx, found, data).await
    }

    /// Logs in and commits the token with what goes along, as core does.
    pub(crate) async fn login(&self, data: Value) -> Result<Grant, ApiError> {
        let reply = self.call(Operation::Update, "login", data).await?;
        let Body::Login(mut grant) = reply.body else { panic!("a login gives a token") };
        let along = grant.along.take();
        for _ in 0..8 {
            let mut txn = self.rig.barrier.txn();
            txn.put(&self.rig.tokens, &format!("made/{}", random::uuid()), &json!({}))?;
            if let Some(along) = &along {
                (along.write)(&mut txn)?;
            }
            match txn.commit().await {
                Ok(()) => return Ok(*grant),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::internal("contended"))
    }

    /// How many tokens logins have made.
    pub(crate) fn tokens_made(&self) -> usize {
        self.rig.storage.keys("token/made/").len()
    }

    /// What a renewal of a token with this internal data gives.
    pub(crate) async fn renew(&self, internal: BTreeMap<String, String>) -> Result<TokenRenewal, ApiError> {
        let key = TokenKey::new(&random::time62(1), &[7; 32]).unwrap();
        let mut info = token_info(key, TokenKind::Service, None);
        info.internal_meta = internal;
        self.plugin.renew_token(self.context(Operation::Update, "renew"), Arc::new(info)).await
    }

    /// From where requests come.
    pub(crate) fn come_from(&self, address: &str) {
        *self.ip.lock().unwrap() = address.parse().ok();
    }

    /// Keys of the mount's storage, relative to it.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let root = self.view.key("");
        let keys = self.rig.storage.keys(self.view.key(prefix).as_str());
        keys.iter().map(|key| key.under(&root).unwrap().to_owned()).collect()
    }

    /// For calls of the plugin itself.
    pub(crate) fn context(&self, operation: Operation, path: &str) -> Ctx {
        let caller = self.caller.lock().unwrap().clone();
        let full = ApiPath::parse(&format!("{}{path}", self.entry.path)).unwrap();
        let remote = Remote { ip: *self.ip.lock().unwrap(), port: 1 };
        let asked = Asked { remote, ..Asked::new(operation, full, None) };
        let token = caller.token.as_ref();
        let owner = Owner { token: token.map(|t| t.key), version: token.and_then(|t| t.version), ..Owner::default() };
        let clock = Arc::clone(&self.rig.clock) as Arc<dyn Clock>;
        Ctx::new(
            Arc::new(asked),
            caller,
            Arc::clone(&self.entry),
            self.limits,
            clock,
            operation,
            Arc::clone(&self.rig.leases),
            owner,
        )
    }
}

impl Answer {
    /// A field of the data, as text.
    pub(crate) fn text(&self, field: &str) -> String {
        self.data[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {self:?}")).to_owned()
    }

    /// Fails unless it is 204.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        assert_eq!(*self, Self { status: 204, ..nothing() });
    }

    /// Fails unless it is 200 without warnings and error. Gives the data.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Value {
        assert_eq!((self.status, &*self.warnings, &*self.error), (200, [].as_slice(), ""), "{:?}", self.data);
        &self.data
    }

    /// Fails unless it has this status and error.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, error: &str) {
        assert_eq!((self.status, self.error.as_str(), &self.data), (status, error, &Value::Null));
    }
}

fn nothing() -> Answer {
    Answer { status: 200, data: Value::Null, warnings: Vec::new(), error: String::new(), lease_duration: 0 }
}

fn answer(operation: Operation, reply: Reply) -> Answer {
    let mut answer = nothing();
    match reply.body {
        Body::Empty if matches!(operation, Operation::Read | Operation::List) => answer.status = 404,
        Body::Empty => answer.status = 204,
        Body::Null => {}
        Body::Data(data) => answer.data = Value::Object(data),
        Body::Kept(data, ttl) => (answer.data, answer.lease_duration) = (Value::Object(data), ttl.as_seconds()),
        Body::List(names, _) if names.is_empty() => answer.status = 404,
        Body::List(names, mut data) => {
            data.insert("keys".to_owned(), json!(names));
            answer.data = Value::Object(data);
        }
        other => panic!("not an answer of this harness: {other:?}"),
    }
    if reply.is_missing {
        answer.status = 404;
    }
    if reply.is_accepted {
        answer.status = 202;
    }
    Answer { warnings: reply.warnings, ..answer }
}

/// An error as it is shown.
pub(crate) fn refusal(error: &ApiError) -> Answer {
    let status = match error.kind {
        ErrorKind::Invalid => 400,
        ErrorKind::Denied => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::Unsupported => 405,
        ErrorKind::TooLarge => 413,
        ErrorKind::MediaType => 415,
        ErrorKind::Limited => 429,
        ErrorKind::Internal => 500,
        ErrorKind::Upstream => 502,
        ErrorKind::Sealed => 503,
    };
    Answer { status, error: error.text.clone(), ..nothing() }
}

fn token_info(key: TokenKey, kind: TokenKind, version: Option<Version>) -> TokenInfo {
    let record = json!({
        "policies": ["root"], "path": "auth/token/create", "display_name": "token", "created": START, "creation_ttl": 0,
        "renewable": false, "mount": MountId::fresh(),
    });
    let mut info: TokenInfo = serde_json::from_value(record).unwrap();
    (info.key, info.kind, info.version) = (key, kind, version);
    info
}

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIMITS: Limits = Limits { default_ttl: Ttl::hours(768), max_ttl: Ttl::hours(768) };
