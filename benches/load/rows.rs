//! What is measured: each row gives one script per connection.

use serde_json::{Value, json};

use crate::Failed;
use crate::client::{Operator, Script, always, request};
use crate::server::Server;

/// One kind of work.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Most of the bare server's CPU time it may take, and what we reach for (architecture §15).
    pub(crate) target: Option<(f64, f64)>,
    /// Whether a file audit device is on meanwhile.
    pub(crate) audited: bool,
    /// What the connection of this number asks.
    script: fn(&World, usize) -> Result<Script, Failed>,
}

impl Row {
    const fn new(name: &'static str, target: (f64, f64), script: fn(&World, usize) -> Result<Script, Failed>) -> Self {
        Self { name, target: Some(target), audited: false, script }
    }

    /// The same beside a file audit device; its target is an addition in microseconds, and not a ratio.
    const fn audited(name: &'static str, script: fn(&World, usize) -> Result<Script, Failed>) -> Self {
        Self { name, target: None, audited: true, script }
    }

    /// One script for each connection.
    pub(crate) fn scripts(&self, world: &World) -> Result<Vec<Script>, Failed> {
        (0..world.tokens.len()).map(|lane| (self.script)(world, lane)).collect()
    }
}

/// In the order in which they are measured and shown.
pub(crate) const ALL: &[Row] = &[
    Row::new("health", (1.5, 1.2), |_, _| Ok(get("sys/health", ""))),
    Row::new("seal-status", (1.5, 1.2), |_, _| Ok(get("sys/seal-status", ""))),
    Row::new("lookup-self", (2.5, 1.6), |world, lane| Ok(get("auth/token/lookup-self", world.token(lane)))),
    Row::new("kv1-read", (2.5, 1.6), |world, lane| Ok(get(&format!("kv1/fixed/{lane}"), world.token(lane)))),
    Row::new("kv2-read", (2.9, 1.8), |world, lane| Ok(get(&format!("kv2/data/fixed/{lane}"), world.token(lane)))),
    Row::new("lease-lookup", (2.9, 1.8), lease_lookup),
    Row::audited("kv1-read-audited", |world, lane| Ok(get(&format!("kv1/fixed/{lane}"), world.token(lane)))),
    Row::new("kv1-write", (3.6, 2.2), |world, lane| Ok(writes(world, lane, &format!("kv1/load/{lane}-"), &secret()))),
    Row::new("kv2-write", (4.6, 2.8), |world, lane| {
        Ok(writes(world, lane, &format!("kv2/data/load/{lane}-"), &json!({"data": secret()})))
    }),
    Row::new("approle-login", (5.0, 3.5), |world, _| {
        Ok(always(request("POST", "auth/approle/login", "", world.login.as_ref().map_err(Clone::clone)?)))
    }),
    Row::new("token-create-revoke", (6.0, 4.0), |world, lane| Ok(create_and_revoke(world.token(lane).to_owned()))),
];

/// What the rows work on.
pub(crate) struct World {
    /// A client's token for each connection.
    tokens: Vec<String>,
    /// Leases of tokens.
    leases: Result<Vec<String>, String>,
    /// The body of an `AppRole` login.
    login: Result<String, String>,
}

impl World {
    /// Mounts, a policy, some keys, and a client's token for each connection.
    pub(crate) async fn prepare(server: &Server, connections: usize) -> Result<Self, Failed> {
        let operator = server.operator().await?;
        operator.ask("POST", "sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}})).await?;
        operator.ask("POST", "sys/mounts/kv2", &json!({"type": "kv", "options": {"version": "2"}})).await?;
        operator.ask("PUT", "sys/policies/acl/load", &json!({"policy": POLICY})).await?;
        let mut tokens = Vec::new();
        for lane in 0..connections {
            operator.ask("PUT", &format!("kv1/fixed/{lane}"), &secret()).await?;
            operator.ask("PUT", &format!("kv2/data/fixed/{lane}"), &json!({"data": secret()})).await?;
            let reply = operator.ask("POST", "auth/token/create", &json!({"policies": ["load"], "ttl": "24h"})).await?;
            tokens.push(reply.text("client_token").ok_or("no token was created")?.to_owned());
        }
        let leases = leases(&operator).await.map_err(|error| error.to_string());
        let login = login(&operator).await.map_err(|error| error.to_string());
        Ok(Self { tokens, leases, login })
    }

    /// The token of one connection.
    fn token(&self, lane: usize) -> &str {
        self.tokens.get(lane).map_or("", String::as_str)
    }
}

/// What the bare server is asked.
pub(crate) fn constant(connections: usize) -> Vec<Script> {
    (0..connections).map(|_| get("constant", "")).collect()
}

/// Switches a file audit device on or off.
pub(crate) async fn audit(operator: &Operator, file: Option<&str>) -> Result<(), Failed> {
    match file {
        Some(file) => {
            let body = json!({"type": "file", "options": {"file_path": file}});
            operator.ask("PUT", "sys/audit/load", &body).await?
        }
        None => operator.ask("DELETE", "sys/audit/load", &Value::Null).await?,
    };
    Ok(())
}

fn get(path: &str, token: &str) -> Script {
    always(request("GET", path, token, ""))
}

/// Writes the same keys again and again, a thousand a connection.
fn writes(world: &World, lane: usize, prefix: &str, body: &Value) -> Script {
    let (token, prefix, body) = (world.token(lane).to_owned(), prefix.to_owned(), body.to_string());
    let mut number = 0;
    Box::new(move |_| {
        number = (number + 1) % 1000;
        request("PUT", &format!("{prefix}{number}"), &token, &body)
    })
}

fn create_and_revoke(token: String) -> Script {
    Box::new(move |last| match last.and_then(|reply| reply.text("client_token")) {
        Some(created) => request("POST", "auth/token/revoke-self", created, ""),
        None => request("POST", "auth/token/create", &token, r#"{"policies":["load"],"ttl":"1h"}"#),
    })
}

fn lease_lookup(world: &World, lane: usize) -> Result<Script, Failed> {
    let leases = world.leases.as_ref().map_err(Clone::clone)?;
    let lease = leases.get(lane % leases.len().max(1)).ok_or("no lease is listed")?;
    let body = json!({"lease_id": format!("auth/token/create/{lease}")}).to_string();
    Ok(always(request("PUT", "sys/leases/lookup", world.token(lane), &body)))
}

async fn leases(operator: &Operator) -> Result<Vec<String>, Failed> {
    let listed = operator.ask("LIST", "sys/leases/lookup/auth/token/create", &Value::Null).await?.json()?;
    let keys = listed.pointer("/data/keys").and_then(Value::as_array).ok_or("no lease is listed")?;
    Ok(keys.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

async fn login(operator: &Operator) -> Result<String, Failed> {
    operator.ask("POST", "sys/auth/approle", &json!({"type": "approle"})).await?;
    operator.ask("POST", "auth/approle/role/load", &json!({"token_policies": "load", "token_ttl": "1h"})).await?;
    let role = operator.ask("GET", "auth/approle/role/load/role-id", &Value::Null).await?;
    let role = role.text("role_id").ok_or("no role id")?;
    let secret = operator.ask("POST", "auth/approle/role/load/secret-id", &Value::Null).await?;
    let secret = secret.text("secret_id").ok_or("no secret id")?;
    Ok(json!({"role_id": role, "secret_id": secret}).to_string())
}

fn secret() -> Value {
    json!({"username": "application", "password": "x".repeat(180)})
}

const POLICY: &str = r#"
path "kv1/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "kv2/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "auth/token/create" { capabilities = ["create", "update"] }
path "sys/leases/lookup" { capabilities = ["create", "update"] }
"#;
