//! Nobody learns from a refusal whether something is there: for every endpoint of the table that takes the name of something, in
//! its path or in its body, a caller without a capability gets the same answer, after the same reads, for what is there and for
//! what is not.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Machine, Sandbox};
use leasehold::base::time::{SystemClock, timeout};
use leasehold::base::{Clock, Shutdown, Tasks};
use leasehold::config::ListenerLimits;
use leasehold::core::Settings;
use serde_json::{Map, Value, json};

use super::{Got, World};
use crate::auth_aws::ec2::notary::{Notary, document};

/// Names that are there, by the beginning of the path and the parameter or the field; the first that fits counts.
struct There(Vec<(&'static str, &'static str, Value)>);

impl There {
    fn find(&self, path: &str, name: &str) -> Option<&Value> {
        self.0.iter().find(|(beginning, called, _)| path.starts_with(beginning) && *called == name).map(|(_, _, value)| value)
    }
}

/// What an answer shows, and how often each kind of read was made.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
    reads: BTreeMap<String, usize>,
}

impl World {
    async fn make(&self, path: &str, body: Value) {
        let got = self.post(path, body).await;
        assert!(got.status < 300, "{path}: {} {}", got.status, got.text);
    }

    async fn id_of(&self, path: &str, body: Value) -> Value {
        self.post(path, body).await.data()["id"].clone()
    }

    /// Makes what has a name of its own in the identity store, for the user `bob` of `userpass`.
    async fn furnish_identity(&self) -> Vec<(&'static str, &'static str, Value)> {
        let mount = self.get("sys/auth/userpass").await.data()["accessor"].clone();
        let entity = self.id_of("identity/entity", json!({ "name": "there" })).await;
        let alias = json!({ "name": "bob", "mount_accessor": mount, "canonical_id": entity });
        let alias = self.id_of("identity/entity-alias", alias).await;
        let group = self.id_of("identity/group", json!({ "name": "there", "type": "external" })).await;
        let named = json!({ "name": "there", "mount_accessor": mount, "canonical_id": group });
        let group_alias = self.id_of("identity/group-alias", named).await;
        let key = json!({ "algorithm": "EdDSA", "allowed_client_ids": "*" });
        self.make("identity/oidc/key/there", key).await;
        self.make("identity/oidc/role/there", json!({ "key": "there" })).await;
        let there = || json!("there");
        vec![
            ("identity/lookup/group", "id", group.clone()),
            ("identity/lookup/group", "alias_id", group_alias.clone()),
            ("identity/lookup/", "id", entity.clone()),
            ("identity/lookup/", "alias_id", alias.clone()),
            ("identity/lookup/group", "alias_name", there()),
            ("identity/lookup/", "alias_name", json!("bob")),
            ("identity/lookup/", "alias_mount_accessor", mount.clone()),
            ("identity/group-alias", "id", group_alias),
            ("identity/group-alias", "canonical_id", group.clone()),
            ("identity/group-alias", "name", there()),
            ("identity/group", "id", group.clone()),
            ("identity/group", "member_group_ids", json!([group])),
            ("identity/group", "member_entity_ids", json!([entity])),
            ("identity/entity-alias", "name", json!("bob")),
            ("identity/alias", "name", json!("bob")),
            ("identity/persona", "name", json!("bob")),
            ("identity/entity-alias", "id", alias.clone()),
            ("identity/alias", "id", alias.clone()),
            ("identity/persona", "id", alias.clone()),
            ("identity/entity/", "entity_ids", json!([entity])),
            ("identity/entity/", "from_entity_ids", json!([entity])),
            ("identity/entity/", "to_entity_id", entity.clone()),
            ("identity/entity/", "conflicting_alias_ids_to_keep", json!([alias])),
            ("identity/entity", "id", entity.clone()),
            ("identity/", "canonical_id", entity.clone()),
            ("identity/", "entity_id", entity),
            ("identity/", "mount_accessor", mount),
            ("identity/oidc/role/", "key", there()),
            ("identity/", "name", there()),
        ]
    }

    /// Makes what both AWS plugins name. AWS is the stand-in.
    async fn furnish_aws(&self, sandbox: &Sandbox) -> Vec<(&'static str, &'static str, Value)> {
        let ((key, secret), url) = (sandbox.root_keys(), sandbox.url());
        sandbox.create_user("there").unwrap();
        sandbox.put_instance(Machine::running("i-0a", "ami-1"));
        let notary = Notary::rsa(1);
        let client = json!({
            "access_key": key, "secret_key": secret.expose(), "endpoint": url, "iam_endpoint": url, "sts_endpoint": url,
            "sts_region": "us-east-1",
        });
        self.make("aws/config/root", client.clone()).await;
        self.make("auth/aws/config/client", client).await;
        let role = json!({ "credential_type": "iam_user", "policy_arns": "arn:aws:iam::aws:policy/AdministratorAccess" });
        self.make("aws/roles/there", role).await;
        // The first key is proven, which takes its time.
        let role = json!({ "username": "there", "rotation_period": "1h" });
        let real = SystemClock::new();
        let mut made = pin!(self.make("aws/static-roles/there", role));
        while timeout(&real, Duration::from_millis(5), &mut made).await.is_none() {
            self.clock.advance(Duration::from_millis(50));
        }
        self.post("auth/aws/role/there", json!({ "auth_type": "ec2", "bound_ami_id": "ami-1", "role_tag": "there" }))
            .await
            .is(204);
        let tag = self.post("auth/aws/role/there/tag", json!({})).await.data()["tag_value"].as_str().unwrap().to_owned();
        self.make(&format!("auth/aws/roletag-denylist/{}", tag.replace('/', "%2F")), json!({})).await;
        self.make("auth/aws/config/sts/111122223333", json!({ "sts_role": "arn:aws:iam::111122223333:role/x" })).await;
        self.make("auth/aws/config/certificate/there", json!({ "aws_public_cert": notary.pem() })).await;
        self.make("auth/aws/role/instances", json!({ "auth_type": "ec2", "bound_ami_id": "ami-1" })).await;
        let pkcs7 = notary.pkcs7(&document("i-0a", "ami-1", "2023-01-01T00:00:00Z"));
        let login = json!({ "role": "instances", "pkcs7": pkcs7, "nonce": "n" });
        let login = self.send("POST", "auth/aws/login", "", login, &[]).await.is(200).json()["request_id"].clone();
        let lease = self.get("aws/creds/there").await.is(200).json()["lease_id"].clone();
        vec![
            ("auth/aws/", "role", json!("there")),
            ("auth/aws/", "cert_name", json!("there")),
            ("auth/aws/", "account_id", json!("111122223333")),
            ("auth/aws/", "role_tag", json!(tag.replace('/', "%2F"))),
            ("auth/aws/", "instance_id", json!("i-0a")),
            ("auth/aws/", "request_id", login),
            ("aws/", "name", json!("there")),
            ("aws/", "username", json!("there")),
            ("sys/leases/lookup/", "prefix", json!("aws/creds/there")),
            ("sys/", "prefix", json!("aws/creds/there")),
            ("sys/", "lease_id", lease.clone()),
            ("sys/", "url_lease_id", lease),
        ]
    }

    /// Makes what `sys/` and the other mounts name.
    async fn furnish(&self, sandbox: &Sandbox) -> There {
        for kind in ["approle", "userpass", "aws"] {
            self.make(&format!("sys/auth/{kind}"), json!({ "type": kind })).await;
        }
        self.make("sys/mounts/aws", json!({ "type": "aws" })).await;
        self.make("sys/mounts/kv2", json!({ "type": "kv", "options": { "version": "2" } })).await;
        self.make("sys/mounts/kv", json!({ "type": "kv" })).await;
        self.make("sys/mounts/leaves", json!({ "type": "kv" })).await;
        let moved = self.post("sys/remount", json!({ "from": "leaves", "to": "left" })).await.data()["migration_id"].clone();
        self.make("kv2/data/there", json!({ "data": { "a": "b" } })).await;
        self.make("kv/there", json!({ "a": "b" })).await;
        self.make("left/there", json!({ "a": "b" })).await;
        self.make("cubbyhole/there", json!({ "a": "b" })).await;
        self.make("sys/policies/acl/there", json!({ "policy": "path \"x\" { capabilities = [\"read\"] }" })).await;
        let policy = json!({ "policy": "length = 20\nrule \"charset\" { charset = \"abc\" }" });
        self.make("sys/policies/password/there", policy).await;
        self.make("sys/quotas/rate-limit/there", json!({ "path": "kv", "rate": 1_000_000 })).await;
        self.make("sys/quotas/lease-count/there", json!({ "path": "aws", "max_leases": 1_000_000 })).await;
        self.make("sys/config/auditing/request-headers/there", json!({ "hmac": false })).await;
        self.make("sys/config/ui/headers/there", json!({ "values": ["a"] })).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let device = json!({ "type": "file", "options": { "file_path": file.path() } });
        self.make("sys/audit/there", device).await;
        self.make("auth/userpass/users/bob", json!({ "password": "a password" })).await;
        self.make("auth/token/roles/there", json!({})).await;
        let token = self.post("auth/token/create", json!({ "ttl": "1h" })).await.is(200).json()["auth"].clone();
        self.make("auth/approle/role/there", json!({ "token_policies": "default" })).await;
        let id = self.get("auth/approle/role/there/role-id").await.data()["role_id"].clone();
        let secret = self.post("auth/approle/role/there/secret-id", json!({})).await.data();
        let mut there = self.furnish_identity().await;
        there.extend(self.furnish_aws(sandbox).await);
        let mount = self.get("sys/auth/userpass").await.data()["accessor"].clone();
        // Its file is gone with this function.
        self.ask("DELETE", "sys/audit/there", Value::Null).await.is(204);
        self.make("sys/audit/there", json!({ "type": "file", "options": { "file_path": "discard" } })).await;
        there.extend([
            ("auth/approle/", "role_name", json!("there")),
            ("auth/approle/", "role_id", id),
            ("auth/approle/", "secret_id", secret["secret_id"].clone()),
            ("auth/approle/", "secret_id_accessor", secret["secret_id_accessor"].clone()),
            ("auth/userpass/", "username", json!("bob")),
            ("auth/token/", "role_name", json!("there")),
            ("auth/token/", "entity_alias", json!("bob")),
            ("", "accessor", token["accessor"].clone()),
            ("", "token", token["client_token"].clone()),
            ("", "id", token["client_token"].clone()),
            ("kv2/", "path", json!("there")),
            ("kv/", "path", json!("there")),
            ("cubbyhole/", "path", json!("there")),
            ("left/", "path", json!("there")),
            ("sys/capabilities", "path", json!("kv/there")),
            ("sys/mounts/", "path", json!("kv")),
            ("sys/internal/ui/mounts/", "path", json!("kv")),
            ("sys/auth/", "path", json!("userpass")),
            ("sys/raw/", "path", json!("core/mounts")),
            ("sys/quotas/", "path", json!("kv")),
            ("sys/quotas/", "role", json!("there")),
            ("sys/tools/", "urlalgorithm", json!("sha2-256")),
            ("sys/tools/", "source", json!("all")),
            ("sys/tools/", "urlbytes", json!("8")),
            ("sys/audit", "path", json!("there")),
            ("sys/remount/", "migration_id", moved),
            ("sys/remount", "from", json!("kv")),
            ("sys/remount", "to", json!("kv2")),
            ("sys/internal/inspect/", "tag", json!("root")),
            ("sys/config/", "header", json!("there")),
            ("sys/plugins/catalog/auth/", "type", json!("auth")),
            ("sys/plugins/", "type", json!("auth")),
            ("sys/plugins/", "name", json!("approle")),
            ("sys/plugins/", "plugin", json!("approle")),
            ("sys/plugins/", "mounts", json!(["kv"])),
            ("sys/locked-users/", "mount_accessor", mount),
            ("sys/locked-users/", "alias_identifier", json!("bob")),
            ("sys/loggers/", "name", json!("core")),
            ("sys/", "name", json!("there")),
        ]);
        There(there)
    }

    /// What somebody sees who asks, with what only names what he asked for taken out.
    async fn seen(&self, token: &str, method: &str, path: &str, body: &Value, name: &str) -> Seen {
        let body = if method == "POST" || method == "PATCH" { body.clone() } else { Value::Null };
        let headers = [("Content-Type", "application/merge-patch+json")];
        let headers = if method == "PATCH" { &headers[..] } else { &[] };
        self.storage.reads();
        let got: Got = self.send(method, path, token, body, headers).await;
        let reads = self.storage.reads().into_iter().fold(BTreeMap::new(), |mut counts, read| {
            *counts.entry(read.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
            counts
        });
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let told = got.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
        let mut shown: Value = serde_json::from_str(&got.text.replace(name, "…")).unwrap_or(Value::Null);
        if let Some(shown) = shown.as_object_mut() {
            shown.remove("request_id");
        }
        Seen {
            status: got.status,
            headers: told.map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: shown,
            reads,
        }
    }
}

/// One question: about what is there, and about what is not.
struct Question {
    method: &'static str,
    known: (String, Value, String),
    unknown: (String, Value, String),
}

/// A path template with its parameters replaced, and the last name; the names of parameters there is nothing for.
fn filled(template: &str, name: impl Fn(&str) -> Option<String>) -> Result<(String, String), String> {
    let mut last = String::new();
    let mut pieces = Vec::new();
    for piece in template.split('/') {
        match piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) {
            Some(parameter) => {
                last = name(parameter).ok_or_else(|| format!("{template}: {parameter}"))?;
                pieces.push(last.clone());
            }
            None => pieces.push(piece.to_owned()),
        }
    }
    Ok((pieces.join("/"), last))
}

/// What can be asked of an endpoint, and what it takes that nothing there has the name of.
fn questions(template: &str, item: &Map<String, Value>, there: &There) -> (Vec<Question>, Vec<String>) {
    let (mut asked, mut nameless) = (Vec::new(), Vec::new());
    let known = filled(template, |name| there.find(template, name).and_then(Value::as_str).map(str::to_owned));
    let (known, unknown) = match (known, filled(template, |_| Some(ELSEWHERE.to_owned()))) {
        (Ok(known), Ok(unknown)) => (known, unknown),
        (known, _) => {
            nameless.extend(known.err());
            return (asked, nameless);
        }
    };
    for (verb, method) in [("get", "GET"), ("get", "LIST"), ("post", "POST"), ("delete", "DELETE"), ("patch", "PATCH")] {
        let Some(call) = item.get(verb) else { continue };
        let case = |path: &(String, String), body: Value| (path.0.clone(), body, path.1.clone());
        if template.contains('{') {
            asked.push(Question { method, known: case(&known, json!({})), unknown: case(&unknown, json!({})) });
        }
        let fields = call.pointer("/requestBody/content/application~1json/schema/properties").and_then(Value::as_object);
        for field in fields.into_iter().flat_map(Map::keys).filter(|field| NAMES.contains(&field.as_str())) {
            let Some(value) = there.find(template, field) else {
                nameless.push(format!("{template}: {field}"));
                continue;
            };
            let other = if value.is_array() { json!([ELSEWHERE]) } else { json!(ELSEWHERE) };
            let bodies = [value.clone(), other].map(|value| Value::Object(Map::from_iter([(field.clone(), value)])));
            let [known_body, unknown_body] = bodies;
            asked.push(Question { method, known: case(&known, known_body), unknown: case(&known, unknown_body) });
        }
    }
    (asked, nameless)
}

#[tokio::test]
async fn a_refusal_is_the_same_for_what_is_there_and_for_what_is_not() {
    let settings = Settings { raw_storage_endpoint: true, introspection_endpoint: true, ..Settings::default() };
    let first = World::with(settings, ListenerLimits::default()).await;
    let (tasks, shutdown) = (Tasks::default(), Shutdown::new());
    let clock = Arc::clone(&first.clock) as Arc<dyn Clock>;
    let sandbox = Sandbox::start(clock, &tasks, &shutdown).await.unwrap();
    let there = first.furnish(&sandbox).await;
    let document = first.get("sys/internal/specs/openapi").await.is(200).json();
    let nothing = json!({ "policies": ["nothing"], "no_default_policy": true });
    let nobody =
        first.post("auth/token/create", nothing).await.is(200).json()["auth"]["client_token"].as_str().unwrap().to_owned();
    // Nothing is at hand yet of what is stored.
    let world = first.crashed().await;
    drop(first);
    world.send("GET", "auth/token/lookup-self", &nobody, Value::Null, &[]).await.is(403);
    let (mut looked_at, mut wrong, mut nameless) = (0, Vec::new(), Vec::new());
    for round in ["cold", "warm"] {
        for (template, item) in document["paths"].as_object().unwrap() {
            let template = template.trim_start_matches('/');
            let is_open = item.get("x-vault-unauthenticated").is_some();
            if is_open && !template.starts_with("sys/internal/ui/mounts/") {
                continue;
            }
            let (questions, missing) = questions(template, item.as_object().unwrap(), &there);
            nameless.extend(missing);
            for Question { method, known, unknown } in questions {
                let one = world.seen(&nobody, method, &known.0, &known.1, &known.2).await;
                let other = world.seen(&nobody, method, &unknown.0, &unknown.1, &unknown.2).await;
                looked_at += 1;
                // One that looks at the token itself does not list.
                let is_refused = one.status == 403 || is_open && method == "LIST" && one.status == 405;
                if one != other || !is_refused {
                    wrong.push(format!("{round} {method} {template} {} {}: {one:?} {other:?}", known.1, unknown.1));
                }
            }
        }
    }
    shutdown.cancel();
    nameless.sort();
    nameless.dedup();
    assert!(nameless.is_empty(), "endpoints that name something of which there is nothing here:\n{}\n", nameless.join("\n"));
    assert!(looked_at > 600, "{looked_at} questions");
    assert!(wrong.is_empty(), "{} of {looked_at}:\n{}\n", wrong.len(), wrong.join("\n"));
}

/// A name nothing has.
const ELSEWHERE: &str = "elsewhere";

/// Fields of bodies that name something.
const NAMES: [&str; 30] = [
    "accessor",
    "alias_id",
    "alias_mount_accessor",
    "alias_name",
    "canonical_id",
    "conflicting_alias_ids_to_keep",
    "entity_alias",
    "entity_id",
    "entity_ids",
    "from",
    "from_entity_ids",
    "id",
    "key",
    "lease_id",
    "member_entity_ids",
    "member_group_ids",
    "mount_accessor",
    "mounts",
    "name",
    "path",
    "plugin",
    "role",
    "role_id",
    "secret_id",
    "secret_id_accessor",
    "to",
    "to_entity_id",
    "token",
    "url_lease_id",
    "username",
];
