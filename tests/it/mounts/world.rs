//! A whole server without its edge, an outside with users in it, and three plugins that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use leasehold::barrier::View;
use leasehold::base::time::ManualClock;
use leasehold::base::{ApiPath, RequestId, Secret, Timestamp, Ttl};
use leasehold::core::{AnswerBody, Core, InitInput, Settings};
use leasehold::lease::{Leased, RevokeError, Revoked, Terms};
use leasehold::mount::{
    ApiError, Asked, Ctx, Deps, Grant, LeaseCtx, LeaseKinds, Named, Nothing, Plugin, Registry, Reply, Request, Table, Whole,
};
use leasehold::policy::Operation;
use leasehold::storage::memory::MemoryStorage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIMIT: Ttl = Ttl::hours(10_000);

/// Lives as long as processes come and go.
#[derive(Default)]
pub(super) struct Outside {
    state: Mutex<OutsideState>,
    /// Lets slow requests go on.
    pub(super) go_on: Notify,
    /// A slow request has begun.
    pub(super) begun: Notify,
}

#[derive(Default)]
pub(super) struct OutsideState {
    pub(super) users: BTreeSet<String>,
    pub(super) refuses: bool,
}

impl Outside {
    pub(super) fn state(&self) -> MutexGuard<'_, OutsideState> {
        self.state.lock().unwrap()
    }
}

/// Plugins are given texts only, so each process of a test is found by a name.
static OUTSIDES: Mutex<BTreeMap<String, Arc<Process>>> = Mutex::new(BTreeMap::new());

struct Process {
    outside: Arc<Outside>,
    storage: MemoryStorage,
}

impl Process {
    fn of(deps: &Deps) -> Arc<Self> {
        Arc::clone(&OUTSIDES.lock().unwrap()[&deps.environment["process"]])
    }

    /// A process whose power is gone does nothing any more.
    fn alive(&self) -> Result<&Outside, RevokeError> {
        if self.storage.is_dead() { Err(RevokeError::Upstream("the power is gone".to_owned())) } else { Ok(&self.outside) }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    name: String,
}

impl Leased for User {
    const KIND: &'static str = "user";
}

/// Lends users.
pub(super) struct Lender {
    process: Arc<Process>,
    view: View,
}

impl Plugin for Lender {
    const KIND: &'static str = "lender";
    const ABOUT: &'static str = "Lends users.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        Ok(Self { process: Process::of(&deps), view })
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("lend/{name}", "A user.").read(Self::lend).issues();
        table.at("lose/{name}", "An intent whose outcome nobody knows.").read(Self::lose).issues();
        table.at("slow/{name}", "A user, when the test wants.").read(Self::slow).issues();
        table.at("box/{path:rest}", "Something kept.").update(Self::keep).read(Self::kept);
    }

    fn leases(kinds: &mut LeaseKinds<Self>) {
        kinds.revoked_by(Self::take_back);
    }
}

impl Lender {
    async fn lend(self: Arc<Self>, cx: Ctx, input: Named) -> Result<Reply, ApiError> {
        let pending = cx.leases().begin(User { name: input.name.clone() }).await?;
        let outside = self.process.alive().map_err(|error| ApiError::upstream(error.to_string()))?;
        outside.state().users.insert(input.name.clone());
        let issued = pending.fulfil(User { name: input.name }, Terms { ttl: Ttl::hours(1), max_ttl: Ttl::ZERO, renewable: true });
        Ok(Reply::leased(issued, Map::new()))
    }

    async fn lose(self: Arc<Self>, cx: Ctx, input: Named) -> Result<Reply, ApiError> {
        drop(cx.leases().begin(User { name: input.name }).await?);
        Err(ApiError::upstream("no answer"))
    }

    async fn slow(self: Arc<Self>, cx: Ctx, input: Named) -> Result<Reply, ApiError> {
        self.process.outside.begun.notify_one();
        self.process.outside.go_on.notified().await;
        self.lend(cx, input).await
    }

    async fn keep(self: Arc<Self>, _: Ctx, input: Whole) -> Result<Reply, ApiError> {
        self.view.put(&input.path, &input.data).await?;
        Ok(Reply::empty())
    }

    async fn kept(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        Ok(self.view.read(&input.name).await?.map_or_else(Reply::empty, Reply::data))
    }

    #[expect(clippy::unused_async, reason = "the form every handler has")]
    async fn take_back(self: Arc<Self>, _: LeaseCtx, user: User) -> Result<Revoked, RevokeError> {
        let mut state = self.process.alive()?.state();
        if state.refuses {
            return Err(RevokeError::Lease("the user is still needed".to_owned()));
        }
        if state.users.remove(&user.name) { Ok(Revoked::Done) } else { Ok(Revoked::Absent { settle: Ttl::seconds(30) }) }
    }
}

/// Has two versions, and can be told to refuse the second one.
pub(super) struct Versioned {
    version: String,
}

impl Plugin for Versioned {
    const KIND: &'static str = "kv";
    const ABOUT: &'static str = "Has two versions.";

    async fn open(_: View, deps: Deps) -> Result<Self, ApiError> {
        let version = deps.entry.option("version").unwrap_or("1").to_owned();
        if version == "2" && Process::of(&deps).outside.state().refuses {
            return Err(ApiError::invalid("not today"));
        }
        Ok(Self { version })
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("version", "Which one it is.").read(Self::show);
    }
}

impl Versioned {
    #[expect(clippy::unused_async, reason = "the form every handler has")]
    async fn show(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::data(Map::from_iter([("version".to_owned(), Value::from(self.version.as_str()))])))
    }
}

/// Lets everybody in.
pub(super) struct Gate;

impl Plugin for Gate {
    const KIND: &'static str = "approle";
    const ABOUT: &'static str = "Lets everybody in.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("login", "A token.").login().update(Self::login);
    }
}

impl Gate {
    #[expect(clippy::unused_async, reason = "the form every handler has")]
    async fn login(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let policies = vec!["lending".to_owned()];
        Ok(Reply::login(Grant { policies, ttl: Ttl::hours(2), renewable: true, ..Grant::default() }))
    }
}

/// One process.
pub(super) struct World {
    pub(super) storage: MemoryStorage,
    pub(super) clock: Arc<ManualClock>,
    pub(super) outside: Arc<Outside>,
    pub(super) core: Arc<Core>,
    pub(super) root: String,
    share: String,
}

impl World {
    pub(super) async fn new() -> Self {
        let (storage, clock, outside) = (MemoryStorage::new(), Arc::new(ManualClock::at(START)), Arc::default());
        let core = server(&storage, &clock, &outside);
        let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
        let made = core.initialize(&input).await.unwrap();
        let share = hex::encode(made.shares[0].expose());
        core.unseal(&share).await.unwrap();
        Self { storage, clock, outside, core, root: made.root_token.expose().clone(), share }
    }

    /// The power goes; the next process starts on what is durable.
    pub(super) async fn crash(self) -> Self {
        let storage = self.storage.reopen();
        let core = server(&storage, &self.clock, &self.outside);
        core.unseal(&self.share).await.unwrap();
        Self { storage, core, ..self }
    }

    pub(super) async fn ask(&self, token: &str, operation: Operation, path: &str, data: Value) -> Result<Value, String> {
        let Value::Object(data) = data else { panic!("data is an object") };
        let token = (!token.is_empty()).then(|| Secret::from(token));
        let asked = Asked::new(operation, ApiPath::parse(path).unwrap(), token);
        match self.core.handle(Request { asked, data }, LIMIT).await {
            Ok(answer) => Ok(match answer.body {
                AnswerBody::Nothing => Value::Null,
                AnswerBody::Envelope(envelope) => serde_json::from_slice(&envelope.to_json()).unwrap(),
                AnswerBody::Raw(raw) => serde_json::from_slice(&raw.bytes).unwrap(),
                AnswerBody::Flow(flow) => panic!("{flow:?}"),
            }),
            Err(refusal) => Err(format!("{:?} {}", refusal.kind, refusal.text.unwrap_or_default())),
        }
    }

    pub(super) async fn read(&self, path: &str) -> Result<Value, String> {
        self.ask(&self.root, Operation::Read, path, Value::Object(Map::new())).await
    }

    pub(super) async fn write(&self, path: &str, data: Value) -> Result<Value, String> {
        self.ask(&self.root, Operation::Update, path, data).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, String> {
        self.ask(&self.root, Operation::Delete, path, Value::Object(Map::new())).await
    }

    /// Time passes in steps, and everybody has his turn in each.
    pub(super) async fn live(&self, seconds: u64, step: u64) {
        for _ in 0..seconds.div_ceil(step) {
            self.clock.advance(Duration::from_secs(step));
            self.settle().await;
        }
    }

    /// Everybody has his turn, until nothing happens any more.
    pub(super) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.storage.keys(prefix).iter().map(|key| key.as_str().to_owned()).collect()
    }

    pub(super) fn users(&self) -> Vec<String> {
        self.outside.state().users.iter().cloned().collect()
    }
}

fn server(storage: &MemoryStorage, clock: &Arc<ManualClock>, outside: &Arc<Outside>) -> Arc<Core> {
    let name = RequestId::fresh().as_str().to_owned();
    let process = Arc::new(Process { outside: Arc::clone(outside), storage: storage.clone() });
    OUTSIDES.lock().unwrap().insert(name.clone(), process);
    let settings = Settings { environment: Arc::new(BTreeMap::from([("process".to_owned(), name)])), ..Settings::default() };
    let mut registry = Registry::new();
    registry.secrets::<Lender>().secrets::<Versioned>().auth::<Gate>();
    Core::new(Arc::new(storage.clone()), settings, registry, Arc::clone(clock) as _)
}
