//! Kinds of work: each gives one script per connection.

use serde_json::{Value, json};

use crate::Failed;
use crate::client::{Script, always, request, request_wrapped};
use crate::world::{World, secret};

/// One kind of work.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Most of the bare server's CPU time it may take, and what we reach for (architecture §15).
    pub(crate) target: Option<(f64, f64)>,
    /// The strongest peer measured that way, in the bare server's CPU time.
    pub(crate) peer: &'static str,
    /// What the connection of this number asks.
    script: fn(&World, usize) -> Result<Script, Failed>,
}

impl Row {
    /// One script for each connection.
    pub(crate) fn scripts(&self, world: &World, connections: usize) -> Result<Vec<Script>, Failed> {
        (0..connections).map(|lane| (self.script)(world, lane)).collect()
    }
}

/// In the order in which they are measured and shown.
pub(crate) const ALL: &[Row] = &[
    Row { name: "health", target: Some((1.5, 1.2)), peer: "7", script: |_, _| Ok(get("sys/health", "")) },
    Row { name: "seal-status", target: Some((1.5, 1.2)), peer: "7", script: |_, _| Ok(get("sys/seal-status", "")) },
    Row { name: "lookup-self", target: Some((2.5, 1.6)), peer: "60", script: |world, lane| Ok(lookup_self(world.token(lane))) },
    Row { name: "kv1-read", target: Some((2.5, 1.6)), peer: "60", script: |world, lane| read(world, 1, lane) },
    Row { name: "kv2-read", target: Some((2.9, 1.8)), peer: "55–64", script: |world, lane| read(world, 2, lane) },
    Row { name: "lease-lookup", target: Some((2.9, 1.8)), peer: "55–64", script: lease_lookup },
    Row { name: "kv1-write", target: Some((3.6, 2.2)), peer: "73", script: kv1_write },
    Row { name: "kv2-write", target: Some((4.6, 2.8)), peer: "93", script: |world, lane| write(world, 2, lane) },
    Row { name: "approle-login", target: Some((5.0, 3.5)), peer: "100", script: |world, _| Ok(login(world.login()?)) },
    Row {
        name: "token-create-revoke",
        target: Some((6.0, 4.0)),
        peer: "150",
        script: |world, lane| Ok(create_and_revoke(world.token(lane))),
    },
    Row { name: "wrap-unwrap", target: None, peer: "", script: |world, lane| Ok(wrap_and_unwrap(world.token(lane))) },
    Row { name: "aws-issue", target: None, peer: "", script: aws_issue },
    Row { name: "aws-iam-login", target: None, peer: "", script: |world, _| Ok(world.aws_logins()?.iam()) },
    Row { name: "aws-ec2-login", target: None, peer: "", script: |world, lane| Ok(world.aws_logins()?.ec2(lane)) },
];

/// What the bare server is asked.
pub(crate) fn constant(connections: usize) -> Vec<Script> {
    (0..connections).map(|_| get("constant", "")).collect()
}

/// A token looks at itself.
pub(crate) fn lookup_self(token: &str) -> Script {
    get("auth/token/lookup-self", token)
}

/// Logins with this body.
pub(crate) fn login(body: &str) -> Script {
    always(request("POST", "auth/approle/login", "", body))
}

/// Tokens of this lifetime are made, and kept.
pub(crate) fn create(token: &str, ttl: &str) -> Script {
    always(request("POST", "auth/token/create", token, &json!({"policies": ["load"], "ttl": ttl}).to_string()))
}

/// Writes the same keys again and again, a thousand a connection.
pub(crate) fn kv1_write(world: &World, lane: usize) -> Result<Script, Failed> {
    write(world, 1, lane)
}

/// Of five requests one logs in, three read and one writes, the last two in version 2 of the engine.
pub(crate) fn mixed(world: &World, lane: usize) -> Result<Script, Failed> {
    let (mut login, mut read, mut write) = (login(world.login()?), read(world, 2, lane)?, write(world, 2, lane)?);
    // Connections begin at different places.
    let mut number = lane;
    Ok(Box::new(move |last| {
        number += 1;
        match number % 5 {
            0 => login(last),
            1 => write(last),
            _ => read(last),
        }
    }))
}

/// A token is made, and then ends itself.
pub(crate) fn create_and_revoke(token: &str) -> Script {
    let token = token.to_owned();
    Box::new(move |last| match last.and_then(|reply| reply.text("client_token")) {
        Some(created) => request("POST", "auth/token/revoke-self", created, ""),
        None => request("POST", "auth/token/create", &token, r#"{"policies":["load"],"ttl":"1h"}"#),
    })
}

/// A small secret is wrapped, and then opened by who holds the wrapping token; each counted.
fn wrap_and_unwrap(token: &str) -> Script {
    let wrap = request_wrapped("POST", "sys/wrapping/wrap", token, &secret().to_string());
    Box::new(move |last| match last.and_then(|reply| reply.text("token")) {
        Some(wrapping) => request("POST", "sys/wrapping/unwrap", wrapping, ""),
        None => wrap.clone(),
    })
}

fn get(path: &str, token: &str) -> Script {
    always(request("GET", path, token, ""))
}

fn read(world: &World, version: u8, lane: usize) -> Result<Script, Failed> {
    Ok(get(&world.fixed(version, lane)?, world.token(lane)))
}

fn write(world: &World, version: u8, lane: usize) -> Result<Script, Failed> {
    let token = world.token(lane).to_owned();
    let prefix = format!("{}load/{lane}-", world.mount(version)?);
    let body = if version == 1 { secret() } else { json!({"data": secret()}) };
    let (body, mut number) = (Value::to_string(&body), 0);
    Ok(Box::new(move |_| {
        number = (number + 1) % 1000;
        request("PUT", &format!("{prefix}{number}"), &token, &body)
    }))
}

fn lease_lookup(world: &World, lane: usize) -> Result<Script, Failed> {
    let body = json!({"lease_id": world.lease(lane)?}).to_string();
    Ok(always(request("PUT", "sys/leases/lookup", world.token(lane), &body)))
}

fn aws_issue(world: &World, lane: usize) -> Result<Script, Failed> {
    world.aws()?;
    Ok(get("aws/creds/load", world.token(lane)))
}
