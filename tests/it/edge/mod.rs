//! Requests through the router over a core in memory: what the edge reads, refuses and writes.

mod ceremonies;
mod data;
mod limits;
mod paths;
mod replies;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use leasehold::barrier::View;
use leasehold::base::time::ManualClock;
use leasehold::base::{Timestamp, Ttl};
use leasehold::config::ListenerLimits;
use leasehold::core::{Core, Settings};
use leasehold::http::{App as _, ConnectInfo, Peer, Server};
use leasehold::mount::{ApiError, Body as ReplyBody, Ctx, Deps, ErrorKind, Nothing, Plugin, Raw, Registry, Reply, Table, Whole};
use leasehold::storage::memory::MemoryStorage;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

/// A server without listeners.
struct Edge {
    server: Server,
    router: axum::Router,
    clock: Arc<ManualClock>,
    limits: Arc<ListenerLimits>,
    root: String,
    keys: Vec<String>,
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// A request to send.
struct Ask<'a> {
    edge: &'a Edge,
    request: http::request::Builder,
    body: Body,
}

impl Edge {
    /// Never initialised.
    fn fresh() -> Self {
        Self::with(ListenerLimits::default())
    }

    fn with(limits: ListenerLimits) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let mut registry = Registry::new();
        registry.secrets::<Echo>().secrets::<Silent>();
        let core = Core::new(Arc::new(MemoryStorage::new()), Settings::default(), registry, clock.clone());
        let server = Server::new(core, Vec::new());
        Self { router: server.router(), server, clock, limits: Arc::new(limits), root: String::new(), keys: Vec::new() }
    }

    /// Unsealed, with one share.
    async fn open() -> Self {
        Self::fresh().opened(1, 1).await
    }

    async fn opened(mut self, shares: u8, threshold: u8) -> Self {
        self.initialize(shares, threshold).await;
        for key in self.keys.iter().take(threshold.into()) {
            self.post("sys/unseal").json(&json!({ "key": key })).send().await.is(200);
        }
        self
    }

    async fn initialize(&mut self, shares: u8, threshold: u8) {
        let body = json!({ "secret_shares": shares, "secret_threshold": threshold });
        let made = self.post("sys/init").json(&body).send().await.is(200).body();
        self.keys = made["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        self.root = made["root_token"].as_str().unwrap().to_owned();
    }

    /// A request whose path begins at the server's root.
    fn raw(&self, method: &str, path: &str) -> Ask<'_> {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        Ask { edge: self, request, body: Body::empty() }
    }

    fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        self.raw(method, &format!("/v1/{path}"))
    }

    fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    fn post(&self, path: &str) -> Ask<'_> {
        self.ask("POST", path)
    }

    /// A token with these policies.
    async fn token(&self, policies: &[&str]) -> String {
        let body = json!({ "policies": policies, "no_default_policy": true });
        let made = self.post("auth/token/create").root().json(&body).send().await.is(200).body();
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

impl Ask<'_> {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    fn token(self, token: &str) -> Self {
        self.header("X-Vault-Token", token)
    }

    fn root(self) -> Self {
        let root = self.edge.root.clone();
        self.token(&root)
    }

    fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    async fn send(self) -> Got {
        let mut request = self.request.body(self.body).unwrap();
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        let info = ConnectInfo { peer, tls: false, limits: Arc::clone(&self.edge.limits) };
        request.extensions_mut().insert(Arc::new(info));
        let response = self.edge.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Got { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

impl Got {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    #[track_caller]
    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// A failure with one text.
    #[track_caller]
    fn fails(self, status: u16, text: &str) {
        let got = self.is(status);
        assert_eq!(got.body(), json!({ "errors": [text] }));
        assert_eq!(got.header("content-type"), "application/json");
    }

    /// A failure without a text.
    #[track_caller]
    fn fails_silently(self, status: u16) {
        let got = self.is(status);
        assert_eq!(got.text, "{\"errors\":[]}\n");
        assert_eq!(got.header("content-type"), "application/json");
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        self.headers.get(HeaderName::from_bytes(name.as_bytes()).unwrap()).map_or("", |value| value.to_str().unwrap())
    }

    /// What the endpoint was given.
    #[track_caller]
    fn echoed(&self) -> Value {
        self.body()["data"].clone()
    }
}

/// Answers with what it was asked. Stands where every server has a cubbyhole.
#[derive(Debug)]
struct Echo;

impl Plugin for Echo {
    const KIND: &'static str = "cubbyhole";
    const ABOUT: &'static str = "Answers with what it was asked.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("nothing", "Nothing.").read(nothing).update(nothing).delete(nothing).list(nothing);
        table.at("accepted", "Goes on.").update(accepted);
        table.at("accepted-envelope", "Goes on, and says so.").update(accepted_envelope);
        table.at("missing", "Says more.").read(missing);
        table.at("raw", "Bytes.").read(raw);
        table.at("fails/{kind}", "Fails.").read(fails);
        table.at("slow", "Takes its time.").read(slow);
        table.at("{path:rest}", "Anything.").read(echo).list(echo).update(echo).patch(echo).delete(echo);
    }
}

async fn echo(_: Arc<Echo>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
    let all = |name| cx.asked.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    let headers: Map<String, Value> = cx.asked.headers.keys().map(|name| (name.to_string(), json!(all(name)))).collect();
    let mut data = Map::new();
    data.insert("operation".to_owned(), cx.operation.as_str().into());
    data.insert("path".to_owned(), input.path.into());
    data.insert("data".to_owned(), Value::Object(input.data));
    data.insert("headers".to_owned(), Value::Object(headers));
    data.insert("remote".to_owned(), format!("{} {}", cx.asked.remote.address(), cx.asked.remote.port).into());
    Ok(Reply::data(data))
}

async fn nothing(_: Arc<Echo>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::empty())
}

async fn accepted(_: Arc<Echo>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::empty().accepted())
}

async fn accepted_envelope(_: Arc<Echo>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::warning("it goes on").accepted())
}

async fn missing(_: Arc<Echo>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::data(Map::new()).missing())
}

async fn raw(_: Arc<Echo>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::new(ReplyBody::Raw(Raw { content_type: "application/x-thing", bytes: b"thing".to_vec() })))
}

async fn slow(_: Arc<Echo>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    cx.clock.sleep(Ttl::hours(1).to_duration()).await;
    Ok(Reply::empty())
}

async fn fails(_: Arc<Echo>, _: Ctx, input: Whole) -> Result<Reply, ApiError> {
    let kind = match input.path.as_str() {
        "invalid" => ErrorKind::Invalid,
        "denied" => ErrorKind::Denied,
        "not-found" => ErrorKind::NotFound,
        "unsupported" => ErrorKind::Unsupported,
        "too-large" => ErrorKind::TooLarge,
        "media-type" => ErrorKind::MediaType,
        "limited" => return Err(ApiError::new(ErrorKind::Limited, "a <b> & c").retry_after(Ttl::seconds(7))),
        "upstream" => ErrorKind::Upstream,
        "sealed" => ErrorKind::Sealed,
        "data" => {
            let Value::Object(data) = json!({ "x": 1 }) else { return Ok(Reply::empty()) };
            return Err(ApiError::invalid("bad").with_data(data));
        }
        "internal" => return Err(ApiError::internal("a disk is on fire")),
        _ => return Err(ApiError::missing()),
    };
    Err(ApiError::new(kind, "bad"))
}

/// Has no endpoints. Stands where every server has its identities.
#[derive(Debug)]
struct Silent;

impl Plugin for Silent {
    const KIND: &'static str = "identity";
    const ABOUT: &'static str = "Nothing.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }

    fn endpoints(_: &mut Table<Self>) {}
}
