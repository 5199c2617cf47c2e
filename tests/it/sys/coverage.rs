//! Every operation of every endpoint is asked for by a recorded scenario (`tests/golden/http`), and answers nobody without a token
//! unless it is open. The table is that of the server itself: its OpenAPI document.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::World;

/// Operations of a type of mount that a scenario must ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Operation {
    kind: String,
    /// Within the mount: `roles/{name}`.
    path: String,
    method: &'static str,
}

#[derive(Debug)]
struct Table {
    /// Each with whether it needs no token.
    operations: BTreeMap<Operation, bool>,
    mounts: BTreeMap<String, String>,
}

/// A server with one mount of each type.
async fn everything() -> World {
    let world = World::start().await;
    let catalog = world.get("sys/plugins/catalog").await.data();
    for (class, below) in [("secret", "sys/mounts"), ("auth", "sys/auth")] {
        for kind in catalog[class].as_array().unwrap() {
            let path = format!("{below}/all-{}", kind.as_str().unwrap());
            world.post(&path, json!({ "type": kind })).await.is(204);
        }
    }
    world
}

async fn table(world: &World) -> Table {
    let mut mounts = BTreeMap::new();
    for (list, below) in [("sys/mounts", ""), ("sys/auth", "auth/")] {
        for (path, mount) in world.get(list).await.data().as_object().unwrap() {
            let kind = match (mount["type"].as_str().unwrap(), mount["options"]["version"].as_str()) {
                ("kv", Some("2")) => "kv-v2",
                (kind, _) => kind,
            };
            mounts.insert(format!("{below}{path}"), format!("{}{kind}", if below.is_empty() { "" } else { "auth/" }));
        }
    }
    let document = world.get("sys/internal/specs/openapi").await.is(200).json();
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.trim_start_matches('/');
        let with_slash = format!("{path}/");
        let mount = mounts.keys().filter(|mount| with_slash.starts_with(mount.as_str())).max_by_key(|mount| mount.len()).unwrap();
        let rest = with_slash[mount.len()..].trim_end_matches('/').to_owned();
        let is_open = item["x-vault-unauthenticated"] == true;
        for (verb, call) in item.as_object().unwrap() {
            for method in methods(verb, call) {
                operations.insert(Operation { kind: mounts[mount].clone(), path: rest.clone(), method }, is_open);
            }
        }
    }
    Table { operations, mounts }
}

/// What a call of the document stands for; one that reads may list as well.
fn methods(verb: &str, call: &Value) -> Vec<&'static str> {
    let list = call["parameters"].as_array().and_then(|all| all.iter().find(|parameter| parameter["name"] == "list"));
    match (verb, list.map(|list| list["required"] == true)) {
        ("get", None) => vec!["GET"],
        ("get", Some(false)) => vec!["GET", "LIST"],
        ("get", Some(true)) => vec!["LIST"],
        ("post", _) => vec!["POST"],
        ("delete", _) => vec!["DELETE"],
        ("patch", _) => vec!["PATCH"],
        _ => Vec::new(),
    }
}

/// What all scenarios ask for: method and path, with the types of the mounts they make.
fn asked() -> Vec<(String, String, BTreeMap<String, String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/http");
    let mut asked = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let scenario: Value = serde_json::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        let mut mounts: BTreeMap<String, String> =
            BTreeMap::from(BUILT_IN.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
        let mut requests = Vec::new();
        for step in scenario["steps"].as_array().unwrap() {
            let request = &step["request"];
            let Some(path) = request["path"].as_str().and_then(|path| path.strip_prefix("/v1/")) else { continue };
            let (bare, query) = path.split_once('?').unwrap_or((path, ""));
            let mut method = request["method"].as_str().unwrap().replace("PUT", "POST");
            if method == "GET" && query.contains("list=true") {
                "LIST".clone_into(&mut method);
            }
            note_mount(&mut mounts, bare, &request["body"]);
            requests.push((method, bare.trim_end_matches('/').to_owned()));
        }
        asked.extend(requests.into_iter().map(|(method, path)| (method, path, mounts.clone())));
    }
    asked
}

fn note_mount(mounts: &mut BTreeMap<String, String>, path: &str, body: &Value) {
    if path == "sys/remount"
        && let (Some(from), Some(to)) = (body["from"].as_str(), body["to"].as_str())
        && let Some(kind) = mounts.get(&format!("{}/", from.trim_matches('/'))).cloned()
    {
        mounts.insert(format!("{}/", to.trim_matches('/')), kind);
        return;
    }
    let Some(kind) = body["type"].as_str() else { return };
    let of_version = match (kind, body["options"]["version"].to_string().trim_matches('"')) {
        ("kv", "2") | ("kv-v2", _) => "kv-v2",
        ("kv-v1" | "generic", _) => "kv",
        (kind, _) => kind,
    };
    if let Some(path) = path.strip_prefix("sys/mounts/") {
        mounts.insert(format!("{path}/"), of_version.to_owned());
    } else if let Some(path) = path.strip_prefix("sys/auth/") {
        mounts.insert(format!("auth/{path}/"), format!("auth/{kind}"));
    }
}

/// The operation a request is of, when the path fits more than one the one with the most words of its own.
fn operation_of(table: &Table, method: &str, path: &str, mounts: &BTreeMap<String, String>) -> Option<Operation> {
    let with_slash = format!("{path}/");
    let mount = mounts.keys().filter(|mount| with_slash.starts_with(mount.as_str())).max_by_key(|mount| mount.len())?;
    let rest = with_slash[mount.len()..].trim_end_matches('/');
    let fits = table.operations.keys().filter(|operation| operation.kind == mounts[mount] && operation.method == method);
    let fits = fits.filter_map(|operation| Some((fit(&operation.path, rest)?, operation)));
    fits.max_by_key(|(words, _)| *words).map(|(_, operation)| operation.clone())
}

/// How many words of a template a path has, when it fits. A piece in braces may take several segments: which do is not told.
fn fit(template: &str, path: &str) -> Option<usize> {
    let mut pieces = template.split('/').filter(|piece| !piece.is_empty());
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
    let mut words = 0;
    let mut pending: Vec<&str> = pieces.by_ref().collect();
    pending.reverse();
    while let Some(piece) = pending.pop() {
        let segment = segments.next()?;
        if piece.starts_with('{') {
            // The rest, up to what stands behind it.
            while segments.peek().is_some() && segments.clone().count() > pending.len() {
                segments.next();
            }
        } else if piece == segment {
            words += 2;
        } else {
            return None;
        }
    }
    segments.next().is_none().then_some(words)
}

#[tokio::test]
async fn every_operation_is_asked_for_by_a_scenario() {
    let world = everything().await;
    let table = table(&world).await;
    let exercised: BTreeSet<Operation> =
        asked().iter().filter_map(|(method, path, mounts)| operation_of(&table, method, path, mounts)).collect();
    let missing: Vec<String> = table
        .operations
        .keys()
        .filter(|operation| !exercised.contains(operation))
        .map(|operation| format!("{} {} of {}", operation.method, operation.path, operation.kind))
        .collect();
    assert!(missing.is_empty(), "{} operations that no scenario asks for:\n{}", missing.len(), missing.join("\n"));
}

#[tokio::test]
async fn without_a_token_only_what_is_open_answers() {
    let world = everything().await;
    let table = table(&world).await;
    let mut wrong = Vec::new();
    for (operation, is_open) in &table.operations {
        let mount = table.mounts.iter().find(|(_, kind)| **kind == operation.kind).map(|(path, _)| path).unwrap();
        let path = format!("{mount}{}", operation.path).replace(['{', '}'], "");
        let is_write = operation.method == "POST" || operation.method == "PATCH";
        // A write to a path that ends in a slash is refused before anybody is asked who he is.
        let path = if is_write { path.trim_end_matches('/').to_owned() } else { path };
        let body = if is_write { json!({}) } else { Value::Null };
        let headers = [("Content-Type", "application/merge-patch+json")];
        let headers = if operation.method == "PATCH" { &headers[..] } else { &[] };
        let got = world.send(operation.method, &path, "", body, headers).await;
        let text = got.text.clone();
        // These look at the token themselves.
        let looks_itself = path.starts_with("sys/internal/ui/") || path.starts_with("sys/wrapping/");
        let is_refused = got.status == 403 && (looks_itself || text == "{\"errors\":[\"permission denied\"]}\n");
        if *is_open == is_refused && !looks_itself {
            wrong.push(format!("{} {path}: {} {text}", operation.method, got.status));
        }
    }
    assert!(table.operations.len() > 150, "{}", table.operations.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_template_fits_its_paths_only() {
    assert_eq!(fit("roles/{name}", "roles/a"), Some(2));
    assert_eq!(fit("roles/{name}", "roles"), None);
    assert_eq!(fit("mounts/{path}/tune", "mounts/a/b/tune"), Some(4));
    assert_eq!(fit("mounts/{path}", "mounts/a/b"), Some(2));
    assert_eq!(fit("mounts/{path}/tune", "mounts/a/b"), None);
    assert_eq!(fit("", ""), Some(0));
}

/// Mounts every server has.
const BUILT_IN: [(&str, &str); 4] =
    [("sys/", "system"), ("cubbyhole/", "cubbyhole"), ("identity/", "identity"), ("auth/token/", "auth/token")];
