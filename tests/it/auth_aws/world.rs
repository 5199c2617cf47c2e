//! A server with the method mounted, and the stand-in that it asks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use leasehold::auth;
use leasehold::aws::sandbox::Sandbox;
use leasehold::base::time::ManualClock;
use leasehold::base::{Clock, Shutdown, Tasks, Timestamp};
use leasehold::config::ListenerLimits;
use leasehold::core::{Core, Settings};
use leasehold::http::{App as _, ConnectInfo, Peer, Server};
use leasehold::mount::Registry;
use leasehold::storage::memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::signer::{Keys, Login, Wish};

/// See the module.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    router: axum::Router,
    _server: Server,
    root: String,
    _shutdown: Stop,
}

struct Stop(Shutdown);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl World {
    /// The method at `auth/aws`, with the stand-in as every endpoint.
    pub(crate) async fn new() -> Self {
        let world = Self::bare().await;
        let (access_key, secret_key) = world.sandbox.root_keys();
        let url = world.sandbox.url();
        let config = json!({
            "access_key": access_key, "secret_key": secret_key.expose(),
            "endpoint": url, "iam_endpoint": url, "sts_endpoint": url, "sts_region": "us-east-1",
        });
        world.write("auth/aws/config/client", config).await.is(204);
        world
    }

    /// The same without any configuration.
    pub(crate) async fn bare() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let (tasks, shutdown) = (Tasks::default(), Shutdown::new());
        let sandbox = Sandbox::start(Arc::clone(&clock) as Arc<dyn Clock>, &tasks, &shutdown).await.unwrap();
        let mut registry = Registry::new();
        leasehold::engine::builtin(&mut registry);
        auth::builtin(&mut registry);
        let core = Core::new(Arc::new(MemoryStorage::new()), Settings::default(), registry, clock.clone());
        let server = Server::new(core, Vec::new());
        let router = server.router();
        let mut world = Self { sandbox, clock, router, _server: server, root: String::new(), _shutdown: Stop(shutdown) };
        let made = world.write("sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await.is(200);
        world.root = made.body["root_token"].as_str().unwrap().to_owned();
        world.write("sys/unseal", json!({ "key": made.body["keys"][0] })).await.is(200);
        world.write("sys/auth/aws", json!({ "type": "aws" })).await.is(204);
        world
    }

    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock.now().seconds())
    }

    /// A user of IAM with a key.
    pub(crate) fn user(&self, name: &str) -> Keys {
        let (id, secret) = self.sandbox.create_user(name).unwrap();
        Keys { id, secret: secret.expose().clone(), token: None }
    }

    /// What the stand-in says of a role's session.
    pub(crate) async fn assume(&self, role: &str, session: &str) -> Keys {
        self.assume_in(self.sandbox.account(), role, session).await
    }

    /// The same of a role in some account.
    pub(crate) async fn assume_in(&self, account: &str, role: &str, session: &str) -> Keys {
        let (access_key, secret_key) = self.sandbox.root_keys();
        let (url, path) = (self.sandbox.url(), format!("mk{}", self.clock.now().seconds()));
        self.write(&format!("sys/mounts/{path}"), json!({ "type": "aws" })).await;
        let root = json!({
            "access_key": access_key, "secret_key": secret_key.expose(), "iam_endpoint": url, "sts_endpoint": url, "verify": false,
        });
        self.write(&format!("{path}/config/root"), root).await.is(204);
        let arn = format!("arn:aws:iam::{account}:role/{role}");
        let made = json!({ "credential_type": "assumed_role", "role_arns": arn });
        self.write(&format!("{path}/roles/r"), made).await.is(204);
        let got = self.ask("PUT", &format!("{path}/sts/r"), Some(json!({ "role_session_name": session }))).await.is(200);
        let text = |name: &str| got.body["data"][name].as_str().unwrap().to_owned();
        Keys { id: text("access_key"), secret: text("secret_key"), token: Some(text("security_token")) }
    }

    /// An iam role of the method.
    pub(crate) async fn role(&self, name: &str, body: Value) {
        self.write(&format!("auth/aws/role/{name}"), body).await.is(204);
    }

    /// A request signed by these keys now.
    pub(crate) fn signed(&self, keys: &Keys, wish: &Wish) -> Login {
        wish.signed(keys, self.now())
    }

    pub(crate) async fn log_in(&self, login: &Login) -> Got {
        self.send("POST", "auth/aws/login", None, Some(Value::Object(login.data()))).await
    }

    pub(crate) async fn diagnose(&self, login: &Login) -> Value {
        self.write("auth/aws/doctor", Value::Object(login.data())).await.is(200).body["data"].clone()
    }

    pub(crate) async fn write(&self, path: &str, body: Value) -> Got {
        self.ask("POST", path, Some(body)).await
    }

    pub(crate) async fn read(&self, path: &str) -> Got {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        self.send(method, path, Some(&self.root), body).await
    }

    async fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Got {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(format!("/v1/{path}"));
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            request = request.header("X-Vault-Token", token);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        request.extensions_mut().insert(Arc::new(ConnectInfo { peer, tls: false, limits: Arc::new(ListenerLimits::default()) }));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Got { status, body }
    }

    /// Renews a token by itself.
    pub(crate) async fn renew(&self, token: &str) -> Got {
        self.send("POST", "auth/token/renew-self", Some(token), Some(json!({}))).await
    }

    /// How many tokens there are.
    pub(crate) async fn tokens(&self) -> usize {
        let got = self.ask("LIST", "auth/token/accessors", None).await;
        got.body["data"]["keys"].as_array().map_or(0, Vec::len)
    }
}

impl Got {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }

    /// The first of `errors`.
    pub(crate) fn error(&self) -> &str {
        self.body["errors"][0].as_str().unwrap_or_default()
    }

    /// The code in the second one; empty without.
    pub(crate) fn code(&self) -> &str {
        let advice = self.body["errors"][1].as_str().unwrap_or_default();
        advice.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or_default()
    }

    pub(crate) fn token(&self) -> &str {
        self.body["auth"]["client_token"].as_str().unwrap_or_else(|| panic!("no token in {:?}", self.body))
    }

    /// The request that the second of `errors` names.
    pub(crate) fn request(&self) -> &str {
        let advice = self.body["errors"][1].as_str().unwrap_or_default();
        advice.rsplit("(request ").next().unwrap_or_default().trim_end_matches(')')
    }
}

pub(crate) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The account of the stand-in.
pub(crate) const ACCOUNT: &str = "123456789012";
