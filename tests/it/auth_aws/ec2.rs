//! Instances that log in, when the power fails among fifty first logins: whoever was answered, or is stored, is the only one who
//! ever logs in.

use std::sync::Arc;

use axum::body::Body;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use leasehold::auth;
use leasehold::aws::sandbox::{Machine, Sandbox};
use leasehold::base::time::ManualClock;
use leasehold::base::{Clock, Shutdown, Tasks};
use leasehold::config::ListenerLimits;
use leasehold::core::{Core, Settings};
use leasehold::http::{App as _, ConnectInfo, Peer, Server};
use leasehold::mount::Registry;
use leasehold::storage::memory::MemoryStorage;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::world::START;

#[expect(dead_code, reason = "it is made for the tests beside it, which need more of it")]
#[path = "../../../src/auth/aws/ec2/notary.rs"]
pub(crate) mod notary;

use notary::{Notary, document};

/// What outlives the process.
struct Outside {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    notary: Notary,
    shutdown: Shutdown,
}

/// One process.
struct Process {
    storage: MemoryStorage,
    server: Server,
    root: String,
    key: String,
}

impl Outside {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let shutdown = Shutdown::new();
        let sandbox = Sandbox::start(Arc::clone(&clock) as Arc<dyn Clock>, &Tasks::default(), &shutdown).await.unwrap();
        sandbox.put_instance(Machine::running("i-0a", "ami-1"));
        Self { sandbox, clock, notary: Notary::rsa(1), shutdown }
    }

    fn start(&self, storage: MemoryStorage) -> Server {
        let mut registry = Registry::new();
        leasehold::engine::builtin(&mut registry);
        auth::builtin(&mut registry);
        Server::new(Core::new(Arc::new(storage), Settings::default(), registry, self.clock.clone()), Vec::new())
    }

    /// A process in which the instance may log in.
    async fn first(&self) -> Process {
        let storage = MemoryStorage::new();
        let server = self.start(storage.clone());
        let mut process = Process { storage, server, root: String::new(), key: String::new() };
        let made = process.write("sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await.1;
        process.root = made["root_token"].as_str().unwrap().to_owned();
        process.key = made["keys"][0].as_str().unwrap().to_owned();
        process.unseal().await;
        process.ok("sys/auth/aws", json!({ "type": "aws" })).await;
        let (access_key, secret_key) = self.sandbox.root_keys();
        let url = self.sandbox.url();
        let client = json!({
            "access_key": access_key, "secret_key": secret_key.expose(), "endpoint": url, "sts_endpoint": url, "sts_region": "us-east-1",
        });
        process.ok("auth/aws/config/client", client).await;
        process.ok("auth/aws/config/certificate/test", json!({ "aws_public_cert": self.notary.pem() })).await;
        let role = json!({ "auth_type": "ec2", "bound_instance_ids": "i-0a", "policies": "webapp-policy", "max_ttl": "500h" });
        process.ok("auth/aws/role/web", role).await;
        process
    }

    /// The process dies; another one starts on what is durable.
    async fn after(&self, process: Process) -> Process {
        let storage = process.storage.reopen();
        let server = self.start(storage.clone());
        let next = Process { storage, server, ..process };
        next.unseal().await;
        next
    }

    fn login(&self, nonce: &str) -> Value {
        let pkcs7 = self.notary.pkcs7(&document("i-0a", "ami-1", "2026-01-01T00:00:00Z"));
        json!({ "role": "web", "pkcs7": pkcs7, "nonce": nonce })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Process {
    async fn unseal(&self) {
        assert_eq!(self.write("sys/unseal", json!({ "key": self.key })).await.0, 200);
    }

    async fn ok(&self, path: &str, body: Value) {
        let (status, body) = self.write(path, body).await;
        assert!((200..300).contains(&status), "{path}: {body}");
    }

    async fn write(&self, path: &str, body: Value) -> (u16, Value) {
        self.send("POST", path, Body::from(body.to_string())).await
    }

    async fn log_in(&self, data: Value) -> (u16, Value) {
        self.write("auth/aws/login", data).await
    }

    async fn send(&self, method: &str, path: &str, body: Body) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(format!("/v1/{path}"));
        if !self.root.is_empty() && path != "auth/aws/login" {
            request = request.header("X-Vault-Token", &self.root);
        }
        let mut request = request.body(body).unwrap();
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        request.extensions_mut().insert(Arc::new(ConnectInfo { peer, tls: false, limits: Arc::new(ListenerLimits::default()) }));
        let response = self.server.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn the_tutorials_flow_through_the_router() {
    let outside = Outside::new().await;
    let process = outside.first().await;
    let (status, body) = process.log_in(outside.login("5defbf9e")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["auth"]["policies"], json!(["default", "webapp-policy"]));
    assert_eq!(process.log_in(outside.login("5defbf9e")).await.0, 200);
    let (status, body) = process.log_in(outside.login("another")).await;
    assert_eq!((status, body["errors"][0].as_str()), (400, Some("client nonce mismatch")));
    let advice = body["errors"][1].as_str().unwrap();
    assert!(advice.starts_with("[nonce_mismatch] the nonce is what the first login of this instance came with"), "{advice}");
    assert!(advice.contains("identity-accesslist"), "{advice}");
    // The operator finds it by the request that the refusal names, and reads neither nonce nor document there.
    let request = advice.rsplit("(request ").next().unwrap().trim_end_matches(')');
    let (status, trace) = process.send("GET", &format!("auth/aws/logins/{request}"), Body::empty()).await;
    assert_eq!((status, &trace["data"]["principal"], &trace["data"]["outcome"]), (200, &json!("i-0a"), &json!("nonce_mismatch")));
    assert!(!trace.to_string().contains("another") && !trace.to_string().contains("5defbf9e"));
    let (_, role) = process.send("GET", "auth/aws/role/web", Body::empty()).await;
    assert_eq!((&role["data"]["max_ttl"], &role["data"]["bound_ec2_instance_id"]), (&json!(1_800_000), &json!(["i-0a"])));
}

#[tokio::test]
async fn whenever_the_power_fails_among_fifty_first_logins_one_nonce_counts() {
    // Without the commit, and with it but without an answer.
    for fault in [MemoryStorage::lose_power_after, MemoryStorage::lose_power_answering] {
        for commits in 0..4 {
            let outside = Outside::new().await;
            let process = outside.first().await;
            fault(&process.storage, commits);
            let nonces: Vec<String> = (0..50).map(|n| format!("nonce-{n}")).collect();
            let answers = join_all(nonces.iter().map(|nonce| process.log_in(outside.login(nonce)))).await;
            let answered: Vec<&String> =
                nonces.iter().zip(&answers).filter(|(_, (status, _))| *status == 200).map(|(nonce, _)| nonce).collect();
            assert!(answered.len() <= 1, "{answered:?}");

            let process = outside.after(process).await;
            let (status, entry) = process.send("GET", "auth/aws/identity-accesslist/i-0a", Body::empty()).await;
            let stored = entry["data"]["client_nonce"].as_str().filter(|_| status == 200).map(str::to_owned);
            assert!(answered.is_empty() || answered.first().map(|nonce| nonce.as_str()) == stored.as_deref());
            // Where nothing was stored, the next one is the first.
            let winner = stored.unwrap_or_else(|| "nonce-7".to_owned());
            assert_eq!(process.log_in(outside.login(&winner)).await.0, 200);
            for nonce in &nonces {
                let expected = if *nonce == winner { 200 } else { 400 };
                assert_eq!(process.log_in(outside.login(nonce)).await.0, expected, "{nonce} after {commits}");
            }
        }
    }
}
