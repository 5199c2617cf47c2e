//! Nobody learns from a refusal whether something is there: for every endpoint of the table whose path names something, a
//! caller without a capability gets the same answer, after the same reads, for what is there and for what is not.

use std::collections::BTreeMap;

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::{Got, World, text};

/// Names that are there, by the beginning of the path and the parameter.
struct There(Vec<(&'static str, BTreeMap<&'static str, String>)>);

impl There {
    fn name(&self, path: &str, parameter: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(beginning, _)| path.starts_with(beginning));
        found.find_map(|(_, names)| names.get(parameter)).map(String::as_str)
    }
}

/// Makes one of everything.
async fn furnish(world: &World) -> There {
    let accessor = world.accessor("one").await;
    let (_, entity) = world.token("one", "bob").await;
    let alias = text(&world.read(&format!("identity/entity/id/{entity}")).await.data()["aliases"][0]["id"]);
    let group = world.made("identity/group", json!({ "name": "there", "type": "external" })).await;
    let group_alias = json!({ "name": "there", "mount_accessor": accessor, "canonical_id": group });
    let group_alias = world.made("identity/group-alias", group_alias).await;
    world.write(&format!("identity/entity/id/{entity}"), json!({ "name": "there" })).await.is(204);
    world.write("identity/oidc/key/there", json!({ "algorithm": "EdDSA", "allowed_client_ids": "*" })).await.is(204);
    world.write("identity/oidc/role/there", json!({ "key": "there" })).await.is(204);
    world.write("sys/auth/approle", json!({ "type": "approle" })).await.is(204);
    world.write("auth/approle/role/there", json!({ "token_policies": "default" })).await.is(204);
    world.write("sys/auth/userpass", json!({ "type": "userpass" })).await.is(204);
    world.write("auth/token/roles/there", json!({})).await.is(204);
    world.write("sys/mounts/kv2", json!({ "type": "kv", "options": { "version": "2" } })).await.is(204);
    world.write("kv2/data/there", json!({ "data": { "a": "b" } })).await.is(200);
    world.write("kv/there", json!({ "a": "b" })).await.is(204);
    world.policy("there", "path \"x\" { capabilities = [\"read\"] }").await;
    let names = |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    There(vec![
        ("/identity/entity/", names(&[("id", &entity), ("name", "there")])),
        ("/identity/entity-alias/", names(&[("id", &alias)])),
        ("/identity/alias/", names(&[("id", &alias)])),
        ("/identity/persona/", names(&[("id", &alias)])),
        ("/identity/group/", names(&[("id", &group), ("name", "there")])),
        ("/identity/group-alias/", names(&[("id", &group_alias)])),
        ("/identity/oidc/", names(&[("name", "there")])),
        ("/auth/approle/", names(&[("role_name", "there")])),
        ("/auth/token/roles/", names(&[("role_name", "there")])),
        ("/auth/token/create/", names(&[("role_name", "there")])),
        ("/kv2/", names(&[("path", "there")])),
        ("/kv/", names(&[("path", "there")])),
        ("/sys/policy/", names(&[("name", "there")])),
        ("/sys/policies/acl/", names(&[("name", "there")])),
        ("/sys/mounts/", names(&[("path", "kv")])),
        ("/sys/auth/", names(&[("path", "one")])),
    ])
}

/// A path template with its parameters replaced; `None` when there is nothing for one.
fn filled(template: &str, name: impl Fn(&str) -> Option<String>) -> Option<String> {
    let pieces = template.trim_start_matches('/').split('/').map(|piece| {
        match piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) {
            Some(parameter) => name(parameter),
            None => Some(piece.to_owned()),
        }
    });
    pieces.collect::<Option<Vec<_>>>().map(|pieces| pieces.join("/"))
}

/// How often each kind of read was made.
fn counted(reads: Vec<String>) -> BTreeMap<String, usize> {
    reads.into_iter().fold(BTreeMap::new(), |mut counts, read| {
        *counts.entry(read.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn a_refusal_is_the_same_for_what_is_there_and_for_what_is_not() {
    let world = World::new().await;
    let there = furnish(&world).await;
    let made = world.write("auth/token/create", json!({ "policies": ["nothing"], "no_default_policy": true })).await;
    let nobody = text(&made.body["auth"]["client_token"]);
    world.ask(&nobody, Operation::Read, "auth/token/lookup-self", Value::Null).await.is(403);
    let document = world.read("sys/internal/specs/openapi").await;
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for (template, item) in document.body["paths"].as_object().unwrap() {
        if !template.contains('{') || item.get("x-vault-unauthenticated").is_some() {
            continue;
        }
        let Some(known) = filled(template, |parameter| there.name(template, parameter).map(str::to_owned)) else { continue };
        let Some(unknown) = filled(template, |_| Some("elsewhere".to_owned())) else { continue };
        for (method, operation) in
            [("get", Operation::Read), ("get", Operation::List), ("post", Operation::Update), ("delete", Operation::Delete)]
        {
            if item.get(method).is_none() {
                continue;
            }
            let ask = async |path: &str| -> (Got, BTreeMap<String, usize>) {
                let path = if operation == Operation::List { format!("{path}/") } else { path.to_owned() };
                world.storage.reads();
                let got = world.ask(&nobody, operation, &path, json!({})).await;
                (got, counted(world.storage.reads()))
            };
            let (one, other) = (ask(&known).await, ask(&unknown).await);
            looked_at += 1;
            if one != other || one.0.status != 403 {
                wrong.push(format!("{operation:?} {template}: {one:?} {other:?}"));
            }
        }
    }
    assert!(looked_at > 60, "{looked_at} operations");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
