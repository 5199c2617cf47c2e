//! `sys/` through the router over a core in memory, with all plugins this server comes with.

mod browser;
mod coverage;
mod failed_logins;
mod guessing;
mod lease_count;
mod rate_limit;
mod watching;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use leasehold::base::Timestamp;
use leasehold::base::time::ManualClock;
use leasehold::config::ListenerLimits;
use leasehold::core::{Core, Settings};
use leasehold::http::{App as _, ConnectInfo, Peer, Server};
use leasehold::mount::Registry;
use leasehold::storage::memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::counted::Counted;

/// An unsealed server.
struct World {
    router: axum::Router,
    clock: Arc<ManualClock>,
    storage: Counted,
    limits: Arc<ListenerLimits>,
    root: String,
    key: String,
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl World {
    async fn start() -> Self {
        Self::with(Settings::default(), ListenerLimits::default()).await
    }

    async fn with(settings: Settings, limits: ListenerLimits) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let storage = Counted::new(MemoryStorage::new());
        let router = router(&storage, &clock, settings);
        let mut world = Self { router, clock, storage, limits: Arc::new(limits), root: String::new(), key: String::new() };
        let made = world.ask("POST", "sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await.json();
        world.root = made["root_token"].as_str().unwrap().to_owned();
        world.key = made["keys"][0].as_str().unwrap().to_owned();
        world.unseal().await;
        world
    }

    /// The same storage under a new process, as after a crash.
    async fn crashed(&self) -> Self {
        let router = router(&self.storage, &self.clock, Settings::default());
        let world = Self {
            router,
            clock: Arc::clone(&self.clock),
            storage: self.storage.clone(),
            limits: Arc::clone(&self.limits),
            root: self.root.clone(),
            key: self.key.clone(),
        };
        world.unseal().await;
        world
    }

    async fn unseal(&self) {
        self.ask("POST", "sys/unseal", json!({ "key": self.key })).await.is(200);
    }

    /// As root; a body that is `null` is none.
    async fn ask(&self, method: &str, path: &str, body: Value) -> Got {
        self.send(method, path, &self.root, body, &[]).await
    }

    async fn get(&self, path: &str) -> Got {
        self.ask("GET", path, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Got {
        self.ask("POST", path, body).await
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: Value, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(format!("/v1/{path}"));
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        let mut peer = "192.0.2.7:4711";
        for (name, value) in headers {
            if *name == "peer" {
                peer = value;
            } else {
                request = request.header(*name, *value);
            }
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let mut request = request.body(body).unwrap();
        let peer = Peer::Tcp(peer.parse().unwrap());
        request.extensions_mut().insert(Arc::new(ConnectInfo { peer, tls: false, limits: Arc::clone(&self.limits) }));
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Got { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

fn router(storage: &Counted, clock: &Arc<ManualClock>, settings: Settings) -> axum::Router {
    let mut registry = Registry::new();
    leasehold::engine::builtin(&mut registry);
    leasehold::auth::builtin(&mut registry);
    let core = Core::new(Arc::new(storage.clone()), settings, registry, Arc::clone(clock) as _);
    Server::new(core, Vec::new()).router()
}

impl Got {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    #[track_caller]
    fn data(self) -> Value {
        self.is(200).json()["data"].take()
    }

    /// The one text of a refusal.
    #[track_caller]
    fn error(self) -> String {
        self.json()["errors"][0].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
