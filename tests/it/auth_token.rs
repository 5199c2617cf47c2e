//! `auth/token/` behind the whole way of a request, against the recorded replies and the words of the spec.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use leasehold::barrier::{Barrier, Locked, View};
use leasehold::base::time::ManualClock;
use leasehold::base::{ApiPath, Secret, Timestamp, Ttl};
use leasehold::core::{AnswerBody, Core, InitInput, Settings};
use leasehold::mount::{ApiError, Asked, Deps, ErrorKind, Plugin, Registry, Remote, Request, Table};
use leasehold::policy::{Operation, PolicyStore};
use leasehold::seal::{self, SealConfig};
use leasehold::storage::memory::MemoryStorage;
use serde_json::{Map, Value, json};

/// Stands in for what every server mounts.
#[derive(Debug)]
struct Cubbyhole;

/// See [`Cubbyhole`].
#[derive(Debug)]
struct Identity;

impl Plugin for Cubbyhole {
    const KIND: &'static str = "cubbyhole";
    const ABOUT: &'static str = "nothing";
    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }
    fn endpoints(_: &mut Table<Self>) {}
}

impl Plugin for Identity {
    const KIND: &'static str = "identity";
    const ABOUT: &'static str = "nothing";
    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }
    fn endpoints(_: &mut Table<Self>) {}
}

struct Server {
    core: Arc<Core>,
    clock: Arc<ManualClock>,
    policies: Arc<PolicyStore>,
    _barrier: Arc<Barrier>,
    root: String,
}

/// Status and body of a reply.
type Reply = (u16, Value);

impl Server {
    async fn start() -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)));
        let mut registry = Registry::new();
        registry.secrets::<Cubbyhole>().secrets::<Identity>();
        let core = Core::new(storage.clone(), Settings::default(), registry, clock.clone());
        let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
        let made = core.initialize(&input).await.unwrap();
        // Policies are written beside the server, through a barrier of our own.
        let config = SealConfig::stored(&*storage).await.unwrap().unwrap();
        let root_key = seal::open(&*storage, &config.collect(&made.shares).unwrap()).await.unwrap();
        let barrier = Locked::new(storage.clone()).unlock(&root_key).await.unwrap();
        let policies = PolicyStore::open(&barrier).await.unwrap();
        core.unseal(&hex::encode(made.shares[0].expose())).await.unwrap();
        let server = Self { core, clock, policies, _barrier: barrier, root: made.root_token.expose().clone() };
        server.policy("mgr", "path \"auth/token/*\" { capabilities = [\"create\", \"read\", \"update\"] }").await;
        server
    }

    async fn policy(&self, name: &str, text: &str) {
        self.policies.write(name, text).await.unwrap();
    }

    async fn ask(&self, operation: Operation, path: &str, token: &str, body: Value) -> Reply {
        let data = match body {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let token = (!token.is_empty()).then(|| Secret::from(token));
        let remote = Remote { ip: "127.0.0.1".parse().ok(), port: 1 };
        let asked = Asked { remote, ..Asked::new(operation, ApiPath::parse(path).unwrap(), token) };
        match Box::pin(self.core.handle(Request { asked, data }, Ttl::seconds(90))).await {
            Ok(answer) => {
                let status = if answer.is_accepted { 202 } else { 200 };
                match answer.body {
                    AnswerBody::Nothing => (if operation == Operation::Read { 404 } else { 204 }, Value::Null),
                    AnswerBody::Envelope(envelope) => (status, serde_json::from_slice(&envelope.to_json()).unwrap()),
                    AnswerBody::Raw(raw) => (status, serde_json::from_slice(&raw.bytes).unwrap()),
                    AnswerBody::Flow(flow) => panic!("{flow:?}"),
                }
            }
            Err(refusal) => {
                let status = match refusal.kind {
                    ErrorKind::Invalid => 400,
                    ErrorKind::Denied => 403,
                    ErrorKind::NotFound => 404,
                    ErrorKind::Unsupported => 405,
                    _ => 500,
                };
                (status, json!({ "errors": refusal.text.map_or_else(Vec::new, |text| vec![text]) }))
            }
        }
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.ask(Operation::Update, &format!("auth/token/{path}"), token, body).await
    }

    async fn get(&self, path: &str, token: &str) -> Reply {
        self.ask(Operation::Read, &format!("auth/token/{path}"), token, Value::Null).await
    }

    /// By root, which may do all.
    async fn root(&self, path: &str, body: Value) -> Reply {
        self.post(path, &self.root, body).await
    }

    /// A new token, made by root.
    async fn token(&self, body: Value) -> String {
        let (status, reply) = self.root("create", body).await;
        assert_eq!(status, 200, "{reply}");
        text(&reply["auth"]["client_token"])
    }

    async fn lookup(&self, token: &str) -> Value {
        let (status, mut reply) = self.root("lookup", json!({ "token": token })).await;
        assert_eq!(status, 200, "{reply}");
        reply["data"].take()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn error(reply: &Reply) -> (u16, &str) {
    (reply.0, reply.1["errors"][0].as_str().unwrap_or_default())
}

/// Whether a reply is as recorded; placeholders in angle brackets stand for values of their form.
fn agrees(recorded: &Value, real: &Value, at: &str) -> Result<(), String> {
    match (recorded, real) {
        (Value::String(form), real) if form.starts_with('<') => {
            let fits = match form.trim_matches(['<', '>']) {
                "list:string" => real.is_array(),
                kind if kind.starts_with("int") => real.is_number(),
                _ => real.is_string(),
            };
            if fits { Ok(()) } else { Err(format!("{at}: {form} is {real}")) }
        }
        (Value::Object(recorded), Value::Object(real)) => {
            let keys: Vec<_> = recorded.keys().chain(real.keys()).collect();
            for key in keys {
                match (recorded.get(key), real.get(key)) {
                    (Some(recorded), Some(real)) => agrees(recorded, real, &format!("{at}.{key}"))?,
                    (one, other) => return Err(format!("{at}.{key}: {one:?} recorded, {other:?} real")),
                }
            }
            Ok(())
        }
        (Value::Array(recorded), Value::Array(real)) if recorded.len() == real.len() => {
            recorded.iter().zip(real).try_for_each(|(recorded, real)| agrees(recorded, real, at))
        }
        (recorded, real) if recorded == real => Ok(()),
        (recorded, real) => Err(format!("{at}: {recorded} recorded, {real} real")),
    }
}

#[tokio::test]
async fn creating_tokens_answers_as_recorded() {
    let server = Server::start().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/http/token-create.json");
    let scenario: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut saved = BTreeMap::from([("root".to_owned(), server.root.clone())]);
    let mut wrong = Vec::new();
    let steps = scenario["steps"].as_array().unwrap();
    assert!(steps.len() > 60);
    for step in steps {
        let fill = |value: &Value| {
            let mut text = value.to_string();
            for (name, value) in &saved {
                text = text.replace(&format!("${{{name}}}"), value);
            }
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let request = fill(&step["request"]);
        let path = text(&request["path"]);
        if let Some(policy) = path.strip_prefix("/v1/sys/policies/acl/") {
            server.policy(policy, request["body"]["policy"].as_str().unwrap()).await;
            continue;
        }
        let operation = if request["method"] == "GET" { Operation::Read } else { Operation::Update };
        let token = request["token"].as_str().unwrap_or_default();
        let (status, body) = server.ask(operation, path.trim_start_matches("/v1/"), token, request["body"].clone()).await;
        let recorded = &step["response"];
        if recorded["status"] != status {
            wrong.push(format!("step {}: {status} {body}, recorded {}", step["step"], recorded["status"]));
        } else if let Err(error) = agrees(&fill(&recorded["body"]), &body, "body") {
            wrong.push(format!("step {}: {error}", step["step"]));
        }
        for (name, from) in step["save"].as_object().into_iter().flatten() {
            let place = format!("/{}", from.as_str().unwrap().replace('.', "/"));
            saved.insert(name.clone(), body.pointer(&place).and_then(Value::as_str).unwrap_or_default().to_owned());
        }
        // What is ended behind an answer is ended before the next.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn lookups_of_what_is_not_there_are_refused() {
    let server = Server::start().await;
    assert_eq!(error(&server.root("lookup", json!({ "token": "nosuchtoken" })).await), (403, "bad token"));
    let missing = server.root("lookup-accessor", json!({})).await;
    assert_eq!(error(&missing), (400, "1 error occurred:\n\t* missing accessor\n\n"));
    let unknown = server.root("lookup-accessor", json!({ "accessor": "x" })).await;
    assert_eq!(error(&unknown), (400, "1 error occurred:\n\t* invalid accessor\n\n"));
    let own = server.root("lookup", json!({})).await;
    assert_eq!(own.1["data"]["id"], server.root.as_str());
    assert_eq!(own.1["data"].get("renewable"), None);
}

#[tokio::test]
async fn a_renewal_counts_from_now() {
    let server = Server::start().await;
    let token = server.token(json!({ "policies": ["default"], "ttl": "1h" })).await;
    server.clock.advance(Duration::from_mins(10));
    let (status, reply) = server.post("renew-self", &token, json!({})).await;
    assert_eq!((status, &reply["auth"]["lease_duration"], &reply["auth"]["client_token"]), (200, &json!(3600), &json!(token)));
    let (_, reply) = server.root("renew", json!({ "token": token, "increment": "30m" })).await;
    assert_eq!(reply["auth"]["lease_duration"], 1800);
    let data = server.lookup(&token).await;
    assert_eq!((&data["ttl"], &data["creation_ttl"]), (&json!(1800), &json!(3600)));
    assert_eq!(data["last_renewal_time"], json!(1_800_000_600));
    let (_, reply) = server.root("renew-accessor", json!({ "accessor": data["accessor"] })).await;
    assert_eq!((&reply["auth"]["client_token"], &reply["auth"]["lease_duration"]), (&json!(""), &json!(3600)));
}

#[tokio::test]
async fn what_cannot_be_renewed_is_not() {
    let server = Server::start().await;
    assert_eq!(error(&server.root("renew", json!({})).await), (400, "missing token ID"));
    assert_eq!(error(&server.root("renew", json!({ "token": "x" })).await), (400, "token not found"));
    assert_eq!(error(&server.root("renew-self", json!({})).await), (400, "invalid lease ID"));
    let endless = server.token(json!({})).await;
    assert_eq!(error(&server.post("renew-self", &endless, json!({})).await), (400, "lease is not renewable"));
    let fixed = server.token(json!({ "policies": ["default"], "ttl": "1h", "renewable": false })).await;
    assert_eq!(error(&server.post("renew-self", &fixed, json!({})).await), (400, "lease is not renewable"));
    let batch = server.token(json!({ "policies": ["default"], "ttl": "1h", "type": "batch" })).await;
    assert_eq!(error(&server.post("renew-self", &batch, json!({})).await), (400, "batch tokens cannot be renewed"));
    let capped = server.token(json!({ "policies": ["default"], "ttl": "1h", "explicit_max_ttl": "2h" })).await;
    server.clock.advance(Duration::from_mins(50));
    let (_, reply) = server.root("renew", json!({ "token": capped, "increment": "3h" })).await;
    assert_eq!(reply["auth"]["lease_duration"], 7200 - 3000);
    let warning = r#"TTL of "3h" exceeded the effective max_ttl of "1h10m"; TTL value is capped accordingly"#;
    assert_eq!(reply["warnings"], json!([warning]));
}

#[tokio::test]
async fn batch_tokens_can_do_little() {
    let server = Server::start().await;
    let batch = server.token(json!({ "policies": ["mgr"], "ttl": "1h", "type": "batch" })).await;
    assert!(batch.starts_with("hvb."));
    let made = server.post("create", &batch, json!({})).await;
    assert_eq!(error(&made), (400, "batch tokens cannot create more tokens"));
    assert_eq!(error(&server.root("revoke", json!({ "token": batch })).await), (400, "batch tokens cannot be revoked"));
    let limited = server.root("create", json!({ "type": "batch", "policies": ["default"], "num_uses": 3 })).await;
    assert_eq!(error(&limited), (400, "batch tokens cannot have \"num_uses\" set"));
    let root = server.root("create", json!({ "type": "batch", "policies": ["root"], "ttl": "1h" })).await;
    assert_eq!(error(&root), (400, "batch tokens cannot be root tokens"));
    let (_, reply) = server.get("lookup-self", &batch).await;
    assert_eq!((&reply["data"]["type"], &reply["data"]["accessor"]), (&json!("batch"), &json!("")));
}

#[tokio::test]
async fn revoking_ends_the_tree_and_orphaning_does_not() {
    let server = Server::start().await;
    let top = server.token(json!({ "policies": ["mgr"] })).await;
    let (_, reply) = server.post("create", &top, json!({})).await;
    let child = text(&reply["auth"]["client_token"]);
    let (_, reply) = server.post("create", &child, json!({})).await;
    let grandchild = text(&reply["auth"]["client_token"]);
    let refused = server.post("revoke-orphan", &top, json!({ "token": child })).await;
    assert_eq!(error(&refused), (400, "root or sudo privileges required to revoke and orphan"));
    assert_eq!(server.root("revoke-orphan", json!({ "token": child })).await.0, 204);
    assert_eq!(server.lookup(&grandchild).await["orphan"], true);
    let again = server.root("revoke-orphan", json!({ "token": child })).await;
    assert_eq!(error(&again), (400, "token to revoke not found"));
    let (_, reply) = server.post("create", &top, json!({})).await;
    let other = text(&reply["auth"]["client_token"]);
    assert_eq!(server.root("revoke", json!({ "token": top })).await.0, 204);
    assert_eq!(server.root("revoke", json!({ "token": top })).await.0, 204);
    assert_eq!(error(&server.get("lookup-self", &other).await), (403, "permission denied"));
    assert_eq!(server.get("lookup-self", &grandchild).await.0, 200);
    assert_eq!(server.post("revoke-self", &grandchild, json!({})).await.0, 204);
    assert_eq!(server.get("lookup-self", &grandchild).await.0, 403);
    assert_eq!(error(&server.root("revoke", json!({})).await), (400, "missing token ID"));
}

#[tokio::test]
async fn revoking_by_accessor_tells_what_it_did() {
    let server = Server::start().await;
    let token = server.token(json!({ "policies": ["default"] })).await;
    let accessor = server.lookup(&token).await["accessor"].take();
    let (_, list) = server.ask(Operation::List, "auth/token/accessors/", &server.root, Value::Null).await;
    assert!(list["data"]["keys"].as_array().unwrap().contains(&accessor));
    assert_eq!(server.root("revoke-accessor", json!({ "accessor": accessor })).await.0, 204);
    let (status, reply) = server.root("revoke-accessor", json!({ "accessor": accessor })).await;
    assert_eq!((status, &reply["warnings"]), (200, &json!(["No token found with this accessor"])));
    let missing = server.root("revoke-accessor", json!({})).await;
    assert_eq!(error(&missing), (400, "1 error occurred:\n\t* missing accessor\n\n"));
    let manager = server.token(json!({ "policies": ["mgr"] })).await;
    assert_eq!(server.ask(Operation::List, "auth/token/accessors/", &manager, Value::Null).await.0, 403);
}

#[tokio::test]
async fn roles_are_kept_as_written() {
    let server = Server::start().await;
    let write = json!({
        "allowed_policies": "dev, Test", "orphan": true, "token_period": "1h", "token_bound_cidrs": ["127.0.0.1", "10.0.0.0/8"],
        "token_num_uses": 4, "path_suffix": "edge-1", "allowed_entity_aliases": "Web-*"
    });
    assert_eq!(server.root("roles/ci", write).await.0, 204);
    assert_eq!(server.root("roles/ci", json!({ "renewable": false })).await.0, 204);
    let (_, reply) = server.get("roles/ci", &server.root).await;
    let expected = json!({
        "name": "ci", "allowed_policies": ["dev", "test"], "disallowed_policies": [], "allowed_policies_glob": [],
        "disallowed_policies_glob": [], "orphan": true, "renewable": false, "path_suffix": "edge-1", "period": 0,
        "token_period": 3600, "explicit_max_ttl": 0, "token_explicit_max_ttl": 0, "token_type": "default-service",
        "allowed_entity_aliases": ["web-*"], "token_no_default_policy": false, "token_bound_cidrs": ["127.0.0.1", "10.0.0.0/8"],
        "token_num_uses": 4
    });
    assert_eq!(reply["data"], expected);
    let (_, list) = server.ask(Operation::List, "auth/token/roles/", &server.root, Value::Null).await;
    assert_eq!(list["data"]["keys"], json!(["ci"]));
    let (_, reply) = server.root("roles/ci", json!({ "token_period": 60, "period": 30 })).await;
    let warning = "Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value";
    assert_eq!(reply["warnings"], json!([warning]));
    for (body, text) in [
        (json!({ "token_type": "x" }), "invalid 'token_type' value \"x\""),
        (
            json!({ "token_type": "batch", "orphan": false }),
            "'token_type' cannot be 'batch' when role is set to generate non-orphan tokens",
        ),
        (json!({ "token_type": "batch" }), "'token_type' cannot be 'batch' when role is set to generate periodic tokens"),
        (json!({ "path_suffix": "a/../b" }), "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w"),
    ] {
        assert_eq!(error(&server.root("roles/ci", body).await), (400, text));
    }
    let remove = server.ask(Operation::Delete, "auth/token/roles/ci", &server.root, Value::Null).await;
    assert_eq!(remove.0, 204);
    assert_eq!(server.get("roles/ci", &server.root).await.0, 404);
}

#[tokio::test]
async fn a_role_shapes_its_tokens_and_their_renewals() {
    let server = Server::start().await;
    let role =
        json!({ "allowed_policies": "dev", "orphan": true, "token_period": "1h", "path_suffix": "edge-1", "token_num_uses": 9 });
    server.root("roles/ci", role).await;
    let (status, reply) = server.root("create/ci", json!({ "period": "2h", "num_uses": 12 })).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["auth"]["policies"], json!(["default", "dev"]));
    assert_eq!(reply["auth"]["lease_duration"], 3600);
    assert_eq!((&reply["auth"]["orphan"], &reply["auth"]["num_uses"]), (&json!(true), &json!(9)));
    let lesser = "Period specified both during creation call and in role; using the lesser value of 3600 seconds";
    assert_eq!(reply["warnings"], json!(["Policy \"dev\" does not exist", lesser]));
    let token = text(&reply["auth"]["client_token"]);
    let data = server.lookup(&token).await;
    assert_eq!((&data["role"], &data["path"]), (&json!("ci"), &json!("auth/token/create/ci/edge-1")));
    server.root("roles/ci", json!({ "token_period": "10m" })).await;
    let (_, reply) = server.root("renew", json!({ "token": token })).await;
    assert_eq!(reply["auth"]["lease_duration"], 600);
    server.ask(Operation::Delete, "auth/token/roles/ci", &server.root, Value::Null).await;
    let gone = server.root("renew", json!({ "token": token })).await;
    let text = "1 error occurred:\n\t* failed to renew entry: original token role \"ci\" could not be found, not renewing\n\n";
    assert_eq!(error(&gone), (500, text));
    assert_eq!(error(&server.root("create/ci", json!({})).await), (400, "unknown role ci"));
}

#[tokio::test]
async fn an_entity_is_chosen_by_alias_where_a_role_allows_it() {
    let server = Server::start().await;
    server.root("roles/ci", json!({ "allowed_entity_aliases": "web-*" })).await;
    let refused = server.root("create/ci", json!({ "policies": ["default"], "entity_alias": "db-1" })).await;
    assert_eq!(error(&refused), (400, "invalid 'entity_alias' value"));
    let mut entities = Vec::new();
    for alias in ["web-1", "web-1", "web-2"] {
        let (status, reply) = server.root("create/ci", json!({ "policies": ["default"], "entity_alias": alias })).await;
        assert_eq!(status, 200, "{reply}");
        entities.push(text(&reply["auth"]["entity_id"]));
    }
    assert!(!entities[0].is_empty());
    assert_eq!(entities[0], entities[1]);
    assert_ne!(entities[0], entities[2]);
}

#[tokio::test]
async fn tidying_is_accepted() {
    let server = Server::start().await;
    let (status, reply) = server.root("tidy", json!({})).await;
    assert_eq!(status, 202);
    assert!(reply["warnings"][0].as_str().unwrap().starts_with("Tidy operation successfully started."));
}
