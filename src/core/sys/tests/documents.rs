//! Help, OpenAPI, tools, keys, and what an operator must switch on.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{ErrorKind, Operation, Server, Told, refused};
use crate::core::Settings;

fn unsupported_path() -> Told {
    Told::Refused(ErrorKind::NotFound, "1 error occurred:\n\t* unsupported path\n\n".to_owned())
}

#[tokio::test]
async fn help_on_a_path_shows_its_route_and_parameters() {
    let server = Server::start().await;
    let token = server.token(&[]).await;
    let body = server.ask(Operation::Help, "sys/leases/renew/a/b", &token, json!({})).await.body();
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["help", "openapi", "see_also"]);
    let text = body["help"].as_str().unwrap();
    let start = "Request:        leases/renew/a/b\nMatching Route: leases/renew/{url_lease_id}\n\nLets a lease live on.\n\n## PARAMETERS\n";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("    increment (duration (sec))\n"), "{text}");
    assert!(text.contains("## DESCRIPTION"), "{text}");
    assert_eq!(body["see_also"], json!(null));
    assert!(body["openapi"]["paths"]["/sys/leases/renew/{url_lease_id}"]["post"].is_object());
    assert_eq!(server.ask(Operation::Help, "sys/nosuch", &token, json!({})).await, unsupported_path());
}

#[tokio::test]
async fn help_on_a_mount_lists_its_paths() {
    let server = Server::start().await;
    let body = server.ask(Operation::Help, "sys", &server.root, json!({})).await.body();
    let text = body["help"].as_str().unwrap();
    assert!(text.starts_with("## DESCRIPTION\n\nThe system backend"), "{text}");
    assert!(text.contains("## PATHS"), "{text}");
    assert!(text.contains("    policies/acl/{name}\n        What a policy grants.\n"), "{text}");
}

#[tokio::test]
async fn the_openapi_document_shows_what_the_token_sees() {
    let server = Server::start().await;
    let ask = |token: &str, data: Value| {
        let token = token.to_owned();
        let server = &server;
        async move { server.ask(Operation::Read, "sys/internal/specs/openapi", &token, data).await.body() }
    };
    let nobody = ask("", json!({})).await;
    assert_eq!((&nobody["openapi"], &nobody["paths"]), (&json!("3.0.2"), &json!({})));
    let policy = json!({ "policy": "path \"sys/*\" { capabilities = [\"read\"] }" });
    assert_eq!(server.write("sys/policies/acl/reader", policy).await, Told::Nothing);
    let here = ask(&server.token(&["reader"]).await, json!({})).await;
    assert!(here["paths"]["/sys/policies/acl"].is_object());
    let elsewhere = ask(&server.bound_token(&["reader"], &["10.0.0.0/8"]).await, json!({})).await;
    assert_eq!(elsewhere["paths"], json!({}), "a token used from where it may not shows as much as none");
    let all = ask(&server.root, json!({ "context": "x" })).await;
    let lists = &all["paths"]["/sys/policies/acl"];
    assert_eq!(lists["get"]["parameters"][0]["name"], json!("list"));
    assert_eq!(lists["get"]["parameters"][0]["required"], json!(false));
    assert_eq!(all["paths"]["/sys/wrapping/lookup"]["x-vault-unauthenticated"], json!(true));
    assert_eq!(all["paths"]["/sys/audit/{path}"]["x-vault-sudo"], json!(true));
    let write = &all["paths"]["/sys/audit/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(write["properties"]["type"]["type"], json!("string"));
    assert_eq!(write["properties"].get("path"), None, "the path has it");
    let mut ids = HashSet::new();
    for (path, item) in all["paths"].as_object().unwrap() {
        for (_, call) in item.as_object().unwrap().iter().filter(|(_, call)| call.get("operationId").is_some()) {
            let id = call["operationId"].as_str().unwrap();
            assert!(id.ends_with("_x") && ids.insert(id.to_owned()), "{path}: {id}");
        }
    }
    let generic = ask(&server.root, json!({ "generic_mount_paths": true })).await;
    assert!(generic["paths"]["/sys/rotate"].is_object());
}

#[tokio::test]
async fn tools_make_random_bytes_and_hashes() {
    let server = Server::start().await;
    let hex = server.write("sys/tools/random/platform/8", json!({ "format": "hex" })).await.data();
    assert_eq!(hex["random_bytes"].as_str().unwrap().len(), 16);
    let sixteen = server.write("sys/tools/random/16", json!({})).await.data();
    assert_eq!(sixteen["random_bytes"].as_str().unwrap().len(), 24);
    for (path, data, text) in [
        ("sys/tools/random", json!({ "bytes": 0 }), "'bytes' cannot be less than 1"),
        ("sys/tools/random/131073", json!({}), "'bytes' should be less than 131072"),
        ("sys/tools/random", json!({ "format": "x" }), "unsupported encoding format \"x\"; must be \"hex\" or \"base64\""),
        (
            "sys/tools/hash",
            json!({ "input": "YQ==", "format": "x" }),
            "unsupported encoding format x; must be \"hex\" or \"base64\"",
        ),
        ("sys/tools/hash/md5", json!({ "input": "YQ==" }), "unsupported algorithm md5"),
    ] {
        assert_eq!(server.write(path, data).await, refused(text), "{path}");
    }
    // FIPS 180-2 and 202, of "abc".
    for (algorithm, sum) in [
        ("sha2-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("sha3-224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
    ] {
        let told = server.write(&format!("sys/tools/hash/{algorithm}"), json!({ "input": "YWJj" })).await.data();
        assert_eq!(told, json!({ "sum": sum }));
    }
}

#[tokio::test]
async fn a_rotated_key_has_the_next_term_and_old_values_stay_readable() {
    let server = Server::start().await;
    let first = server.read("sys/key-status").await.body();
    assert_eq!((&first["term"], &first["data"]["install_time"]), (&json!(1), &json!("2023-11-14T22:13:20Z")));
    assert_eq!(server.write("sys/rotate", json!({})).await, Told::Nothing);
    assert_eq!(server.read("sys/key-status").await.data()["term"], json!(2));
    assert!(server.read("sys/policies/acl/default").await.data()["policy"].is_string());
}

#[tokio::test]
async fn the_settings_of_rotation_have_bounds() {
    let server = Server::start().await;
    let by_default = json!({ "enabled": true, "max_operations": 3_865_470_566_u64, "interval": 0 });
    assert_eq!(server.read("sys/rotate/config").await.data(), by_default);
    let range = refused("max_operations must be in the range [1000000,3865470566]");
    assert_eq!(server.write("sys/rotate/config", json!({ "max_operations": 999_999 })).await, range);
    let short = refused("interval must be greater or equal to 24h0m0s");
    assert_eq!(server.write("sys/rotate/config", json!({ "interval": "23h" })).await, short);
    assert_eq!(server.write("sys/rotate/config", json!({ "interval": "24h", "enabled": false })).await, Told::Nothing);
    let changed = json!({ "enabled": false, "max_operations": 3_865_470_566_u64, "interval": "24h0m0s" });
    assert_eq!(server.read("sys/rotate/config").await.data(), changed);
}

#[tokio::test]
async fn raw_storage_is_there_only_when_it_was_switched_on() {
    let server = Server::start().await;
    assert_eq!(server.read("sys/raw/sys/policy/default").await, unsupported_path());
    assert_eq!(server.write("sys/raw/x", json!({ "value": "y" })).await, unsupported_path());
    let server = Server::with(Settings { raw_storage_endpoint: true, ..Settings::default() }).await;
    let value = server.read("sys/raw/sys/policy/default").await.data();
    assert!(value["value"].as_str().unwrap().starts_with("{\"text\":"));
    assert_eq!(server.write("sys/raw/x/y", json!({ "value": "AAE=", "encoding": "base64" })).await, Told::Nothing);
    assert_eq!(server.list("sys/raw/x/").await.data(), json!({ "keys": ["y"] }));
    let packed = server.ask(Operation::Read, "sys/raw/x/y", &server.root, json!({ "encoding": "base64" })).await.data();
    assert_eq!(packed, json!({ "value": "AAE=" }));
    assert_eq!(server.delete("sys/raw/x/y").await, Told::Nothing);
    assert_eq!(server.read("sys/raw/x/y").await, Told::Refused(ErrorKind::NotFound, String::new()));
    assert_eq!(server.read("sys/raw/core/keyring").await, refused("cannot read 'core/keyring'"));
    assert_eq!(server.write("sys/raw/core/cluster", json!({ "value": "x" })).await, refused("cannot write 'core/cluster'"));
    assert_eq!(server.delete("sys/raw/core/seal-config").await, refused("cannot delete 'core/seal-config'"));
}

#[tokio::test]
async fn the_router_is_shown_only_when_that_was_switched_on() {
    let off = "the Vault configuration must set \"introspection_endpoint\" to true to enable this endpoint";
    assert_eq!(Server::start().await.read("sys/internal/inspect/router/root").await, refused(off));
    let server = Server::with(Settings { introspection_endpoint: true, ..Settings::default() }).await;
    let shown = server.read("sys/internal/inspect/router/root").await.data();
    let paths: Vec<&str> = shown["root"].as_array().unwrap().iter().map(|one| one["mount_path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["auth/token/", "cubbyhole/", "identity/", "lend/", "sys/"]);
    assert_eq!(server.read("sys/internal/inspect/router/x").await, refused("invalid subtree tag"));
}

#[tokio::test]
async fn the_configuration_and_the_versions_that_ran_are_shown() {
    let sanitized = Arc::new(json!({ "log_level": "info" }));
    let server = Server::with(Settings { sanitized, version: "1.14.10".to_owned(), ..Settings::default() }).await;
    assert_eq!(server.read("sys/config/state/sanitized").await.data(), json!({ "log_level": "info" }));
    let versions = server.list("sys/version-history/").await.data();
    assert_eq!(versions["keys"], json!(["1.14.10"]));
    let info = &versions["key_info"]["1.14.10"];
    assert_eq!((&info["previous_version"], &info["timestamp_installed"]), (&json!(null), &json!("2023-11-14T22:13:20Z")));
}
