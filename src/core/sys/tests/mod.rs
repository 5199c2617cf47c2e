//! `sys/` as a client sees it, over a server in memory.

mod audit;
mod documents;
mod kv;
mod leases;
mod logins;
mod policies;
mod wrapping;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, LazyLock, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::barrier::View;
use crate::base::time::ManualClock;
use crate::base::{ApiPath, Secret, Timestamp, Ttl};
use crate::core::{Active, AnswerBody, Core, Settings};
use crate::engine::kv::Kv;
use crate::engine::kv::v2::KvV2;
use crate::lease::{LeaseError, Leased, Terms};
use crate::mount::{
    ApiError, Asked, Ctx, Deps, ErrorKind, Grant, LeaseKinds, Named, Nothing, Plugin, Registry, Reply, Request, Table,
};
use crate::policy::Operation;
use crate::seal::InitInput;
use crate::storage::memory::MemoryStorage;
use crate::token::{BoundCidr, NewToken};

/// A server that is unsealed.
struct Server {
    core: Arc<Core>,
    share: String,
    root: String,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Body(Value),
    Nothing,
    /// 202 without a body.
    Accepted,
    Refused(ErrorKind, String),
}

impl Server {
    async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let mut registry = Registry::new();
        registry.secrets::<Lender>().secrets::<Cubbyhole>().secrets::<Kv>().secrets::<KvV2>();
        crate::auth::builtin(&mut registry);
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let core = Core::new(Arc::new(MemoryStorage::new()), settings, registry, clock);
        let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
        let made = core.initialize(&input).await.unwrap();
        let share = hex::encode(made.shares[0].expose());
        core.unseal(&share).await.unwrap();
        let server = Self { core, share, root: made.root_token.expose().clone() };
        assert_eq!(server.write("sys/mounts/lend", json!({ "type": "lender" })).await, Told::Nothing);
        server
    }

    async fn unseal(&self) {
        self.core.unseal(&self.share).await.unwrap();
    }

    fn active(&self) -> Arc<Active> {
        self.core.active().unwrap()
    }

    async fn ask(&self, operation: Operation, path: &str, token: &str, data: Value) -> Told {
        answer(&self.core, request(operation, path, token, None, data)).await
    }

    async fn write(&self, path: &str, data: Value) -> Told {
        self.ask(Operation::Update, path, &self.root, data).await
    }

    async fn read(&self, path: &str) -> Told {
        self.ask(Operation::Read, path, &self.root, json!({})).await
    }

    async fn list(&self, path: &str) -> Told {
        self.ask(Operation::List, path, &self.root, json!({})).await
    }

    async fn delete(&self, path: &str) -> Told {
        self.ask(Operation::Delete, path, &self.root, json!({})).await
    }

    /// Wraps `data` and returns the token.
    async fn wrap(&self, ttl: Ttl, data: Value) -> String {
        let asked = request(Operation::Update, "sys/wrapping/wrap", &self.root, Some(ttl), data);
        answer(&self.core, asked).await.body()["wrap_info"]["token"].as_str().unwrap().to_owned()
    }

    /// A token of these policies.
    async fn token(&self, policies: &[&str]) -> String {
        self.bound_token(policies, &[]).await
    }

    /// One that may be used from these addresses only; requests here come from none.
    async fn bound_token(&self, policies: &[&str], cidrs: &[&str]) -> String {
        let active = self.active();
        let mount = active.routes.load().at("auth/token/").unwrap().entry.id.clone();
        let policies = policies.iter().map(|name| (*name).to_owned()).collect();
        let mut new = NewToken::service(policies, "auth/token/create", mount);
        new.ttl = Ttl::hours(1);
        new.bound_cidrs = cidrs.iter().map(|text| BoundCidr::parse(text).unwrap()).collect();
        let mut txn = active.barrier.txn();
        let made = active.tokens.create(&new, &mut txn).await.unwrap();
        txn.commit().await.unwrap();
        made.token.expose().clone()
    }
}

impl Told {
    #[track_caller]
    fn body(self) -> Value {
        match self {
            Self::Body(body) => body,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn data(self) -> Value {
        self.body()["data"].take()
    }
}

fn request(operation: Operation, path: &str, token: &str, wrap_ttl: Option<Ttl>, data: Value) -> Request {
    let Value::Object(data) = data else { panic!("no object") };
    let token = (!token.is_empty()).then(|| Secret::from(token));
    let asked = Asked { wrap_ttl, ..Asked::new(operation, ApiPath::parse(path).unwrap(), token) };
    Request { asked, data }
}

async fn answer(core: &Core, request: Request) -> Told {
    match Box::pin(core.handle(request, Ttl::seconds(90))).await {
        Ok(answer) => match answer.body {
            AnswerBody::Nothing if answer.is_accepted => Told::Accepted,
            AnswerBody::Nothing => Told::Nothing,
            AnswerBody::Envelope(envelope) => Told::Body(crate::base::json::read_back(&envelope.to_json()).unwrap()),
            AnswerBody::Flow(flow) => panic!("{flow:?}"),
            AnswerBody::Raw(raw) => Told::Body(serde_json::from_slice(&raw.bytes).unwrap()),
        },
        Err(refusal) => Told::Refused(refusal.kind, refusal.text.unwrap_or_default()),
    }
}

fn refused(text: &str) -> Told {
    Told::Refused(ErrorKind::Invalid, text.to_owned())
}

fn internal_error() -> Told {
    Told::Refused(ErrorKind::Internal, "1 error occurred:\n\t* internal error\n\n".to_owned())
}

/// Listeners that a login of [`Lender`] closes, by the name its environment gives.
static LISTENERS: LazyLock<Mutex<HashMap<String, UnixListener>>> = LazyLock::new(Mutex::default);

/// Lends, and logs in.
#[derive(Debug)]
struct Lender {
    environment: Arc<BTreeMap<String, String>>,
    notes: View,
}

#[derive(Debug, Serialize, Deserialize)]
struct Loan {}

impl Leased for Loan {
    const KIND: &'static str = "loan";
}

impl Plugin for Lender {
    const KIND: &'static str = "lender";
    const ABOUT: &'static str = "Lends for tests.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        Ok(Self { environment: deps.environment, notes: view })
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("creds/{name}", "Lends.").read(lend).issues();
        table.at("note", "Keeps that it was called.").update(note);
        table.at("login", "Logs in.").update(login).login();
    }

    fn leases(kinds: &mut LeaseKinds<Self>) {
        kinds.ends_by_itself::<Loan>();
    }
}

async fn lend(_: Arc<Lender>, cx: Ctx, _: Named) -> Result<Reply, LeaseError> {
    let terms = Terms { ttl: Ttl::hours(1), max_ttl: Ttl::hours(10), renewable: true };
    Ok(Reply::leased(cx.leases().lend(Loan {}, terms)?, Map::new()))
}

async fn note(lender: Arc<Lender>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    lender.notes.put("called", "yes").await?;
    Ok(Reply::empty())
}

async fn login(lender: Arc<Lender>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    if let Some(name) = lender.environment.get("closes") {
        LISTENERS.lock().unwrap().remove(name);
        std::fs::remove_file(name).unwrap();
    }
    Ok(Reply::login(Grant { display_name: "bob".to_owned(), ttl: Ttl::hours(1), renewable: true, ..Grant::default() }))
}

/// Every server has one; what it does is of no matter here.
#[derive(Debug)]
struct Cubbyhole;

impl Plugin for Cubbyhole {
    const KIND: &'static str = "cubbyhole";
    const ABOUT: &'static str = "Keeps nothing.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }

    fn endpoints(_: &mut Table<Self>) {}
}
