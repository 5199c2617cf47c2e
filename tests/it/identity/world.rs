//! A whole server without its edge, and a method that lets in whoever says who he is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold::barrier::View;
use leasehold::base::time::ManualClock;
use leasehold::base::{ApiPath, Secret, Timestamp, Ttl};
use leasehold::core::{AnswerBody, Core, InitInput, Settings};
use leasehold::mount::{
    Alias, ApiError, Asked, Ctx, Deps, ErrorKind, Grant, GrantType, Plugin, Registry, Reply, Request, Table, Whole,
};
use leasehold::policy::Operation;
use leasehold::storage::memory::MemoryStorage;
use leasehold::{auth, engine};
use serde_json::{Map, Value, json};

use crate::counted::Counted;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIMIT: Ttl = Ttl::hours(10_000);

/// Believes what it is told: name, metadata, groups.
struct Idp;

impl Plugin for Idp {
    const KIND: &'static str = "idp";
    const ABOUT: &'static str = "Believes what it is told.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("login", "A token.").login().update(Self::login);
    }
}

impl Idp {
    #[expect(clippy::unused_async, reason = "the form every handler has")]
    async fn login(self: Arc<Self>, _: Ctx, input: Whole) -> Result<Reply, ApiError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names = |field: &str| -> Vec<String> {
            input.data.get(field).and_then(Value::as_array).map(|items| items.iter().map(text).collect()).unwrap_or_default()
        };
        let metadata: BTreeMap<String, String> = match input.data.get("metadata") {
            Some(Value::Object(map)) => map.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
            _ => BTreeMap::new(),
        };
        let is_batch = input.data.get("batch").is_some();
        let alias = Alias { name: input.data.get("name").map(text).unwrap_or_default(), metadata };
        Ok(Reply::login(Grant {
            policies: names("policies"),
            ttl: Ttl::hours(2),
            renewable: true,
            token_type: if is_batch { GrantType::Batch } else { GrantType::Default },
            alias: Some(alias),
            group_aliases: names("groups"),
            ..Grant::default()
        }))
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Got {
    /// The data of a success.
    #[track_caller]
    pub(super) fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        &self.body["data"]
    }

    /// The text of a refusal.
    pub(super) fn error(&self) -> &str {
        self.body["errors"][0].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{:?}", self.body);
    }

    #[track_caller]
    pub(super) fn refused(&self, status: u16, text: &str) {
        assert_eq!((self.status, self.error()), (status, text));
    }
}

/// One process.
pub(super) struct World {
    pub(super) storage: Counted,
    pub(super) clock: Arc<ManualClock>,
    pub(super) core: Arc<Core>,
    pub(super) root: String,
    share: String,
}

impl World {
    /// With two mounts, `auth/one/` and `auth/two/`, that believe what they are told, and kv at `kv/`.
    pub(super) async fn new() -> Self {
        let (storage, clock) = (Counted::new(MemoryStorage::new()), Arc::new(ManualClock::at(START)));
        let core = server(&storage, &clock);
        let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
        let made = core.initialize(&input).await.unwrap();
        let share = hex::encode(made.shares[0].expose());
        core.unseal(&share).await.unwrap();
        let world = Self { storage, clock, core, root: made.root_token.expose().clone(), share };
        world.write("sys/auth/one", json!({ "type": "idp" })).await.is(204);
        world.write("sys/auth/two", json!({ "type": "idp" })).await.is(204);
        world.write("sys/mounts/kv", json!({ "type": "kv" })).await.is(204);
        world
    }

    /// The process ends; the next one starts on what is durable.
    pub(super) async fn restart(self) -> Self {
        let storage = Counted::new(self.storage.inner.reopen());
        let core = server(&storage, &self.clock);
        core.unseal(&self.share).await.unwrap();
        Self { storage, core, ..self }
    }

    pub(super) async fn ask(&self, token: &str, operation: Operation, path: &str, data: Value) -> Got {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        let token = (!token.is_empty()).then(|| Secret::from(token));
        let asked = Asked::new(operation, ApiPath::parse(path).unwrap(), token);
        match Box::pin(self.core.handle(Request { asked, data }, LIMIT)).await {
            Ok(answer) => match answer.body {
                AnswerBody::Nothing => Got { status: 204, body: Value::Null },
                AnswerBody::Envelope(envelope) => Got { status: 200, body: serde_json::from_slice(&envelope.to_json()).unwrap() },
                AnswerBody::Flow(_) => panic!("{path} answers with a stream"),
                AnswerBody::Raw(raw) => Got { status: 200, body: serde_json::from_slice(&raw.bytes).unwrap() },
            },
            Err(refusal) => {
                let status = match refusal.kind {
                    ErrorKind::Invalid => 400,
                    ErrorKind::Denied => 403,
                    ErrorKind::NotFound => 404,
                    ErrorKind::Unsupported => 405,
                    ErrorKind::Limited => 429,
                    _ => 500,
                };
                let body = json!({ "errors": [refusal.text.unwrap_or_default()], "data": refusal.data });
                Got { status, body }
            }
        }
    }

    pub(super) async fn read(&self, path: &str) -> Got {
        self.ask(&self.root, Operation::Read, path, Value::Null).await
    }

    pub(super) async fn list(&self, path: &str) -> Got {
        self.ask(&self.root, Operation::List, path, Value::Null).await
    }

    pub(super) async fn write(&self, path: &str, data: Value) -> Got {
        self.ask(&self.root, Operation::Update, path, data).await
    }

    pub(super) async fn delete(&self, path: &str) -> Got {
        self.ask(&self.root, Operation::Delete, path, Value::Null).await
    }

    pub(super) async fn policy(&self, name: &str, text: &str) {
        self.write(&format!("sys/policies/acl/{name}"), json!({ "policy": text })).await.is(204);
    }

    /// A policy that lets read one path.
    pub(super) async fn lets_read(&self, name: &str, path: &str) {
        self.policy(name, &format!("path \"{path}\" {{ capabilities = [\"read\"] }}")).await;
    }

    pub(super) async fn accessor(&self, mount: &str) -> String {
        let all = self.read("sys/auth").await;
        all.data()[format!("{mount}/")]["accessor"].as_str().unwrap().to_owned()
    }

    /// `auth` of a login.
    pub(super) async fn log_in(&self, mount: &str, data: Value) -> Value {
        let got = self.ask("", Operation::Update, &format!("auth/{mount}/login"), data).await;
        assert_eq!(got.status, 200, "{:?}", got.body);
        got.body["auth"].clone()
    }

    /// Token and entity of a login of this name.
    pub(super) async fn token(&self, mount: &str, name: &str) -> (String, String) {
        let auth = self.log_in(mount, json!({ "name": name })).await;
        (text(&auth["client_token"]), text(&auth["entity_id"]))
    }

    /// What a token may do with a path.
    pub(super) async fn capabilities(&self, token: &str, path: &str) -> Value {
        let got = self.ask(token, Operation::Update, "sys/capabilities-self", json!({ "paths": [path] })).await;
        got.data()[path].clone()
    }

    /// The id of what a write made.
    pub(super) async fn made(&self, path: &str, data: Value) -> String {
        text(&self.write(path, data).await.data()["id"])
    }

    pub(super) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.settle().await;
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.storage.inner.keys(prefix).iter().map(|key| key.as_str().to_owned()).collect()
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn server(storage: &Counted, clock: &Arc<ManualClock>) -> Arc<Core> {
    let mut registry = Registry::new();
    engine::builtin(&mut registry);
    auth::builtin(&mut registry);
    registry.auth::<Idp>();
    let settings = Settings { api_addr: "https://vault.example.com:8200".to_owned(), ..Settings::default() };
    Core::new(Arc::new(storage.clone()), settings, registry, Arc::clone(clock) as _)
}
