//! What user interfaces and the command line ask first.

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::World;

async fn get(world: &World, token: &str, path: &str) -> Result<Value, String> {
    world.ask(token, Operation::Read, path, json!({})).await
}

/// A server with mounts, and a token that may read below `a/`.
async fn prepared() -> (World, String) {
    let world = World::new().await;
    world.write("sys/mounts/a", json!({ "type": "kv-v2" })).await.unwrap();
    world.write("sys/mounts/b", json!({ "type": "kv" })).await.unwrap();
    world.write("sys/mounts/c", json!({ "type": "kv", "config": { "listing_visibility": "unauth" } })).await.unwrap();
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    let policy = "path \"a/data/deep/x\" { capabilities = [\"read\"] }";
    world.write("sys/policies/acl/lending", json!({ "policy": policy })).await.unwrap();
    let login = world.ask("", Operation::Update, "auth/x/login", json!({})).await.unwrap();
    let token = login["auth"]["client_token"].as_str().unwrap().to_owned();
    (world, token)
}

#[tokio::test]
async fn without_a_token_only_what_lists_itself_is_shown() {
    let (world, token) = prepared().await;
    let shown = get(&world, "", "sys/internal/ui/mounts").await.unwrap();
    assert_eq!(shown["data"]["secret"], json!({ "c/": { "type": "kv", "description": "", "options": {} } }));
    assert_eq!(shown["data"]["auth"], json!({}));
    let shown = get(&world, &token, "sys/internal/ui/mounts").await.unwrap();
    let names: Vec<_> = shown["data"]["secret"].as_object().unwrap().keys().collect();
    assert!(names.contains(&&"a/".to_owned()) && names.contains(&&"c/".to_owned()) && !names.contains(&&"b/".to_owned()));
    assert_eq!(get(&world, "hvs.nobody", "sys/internal/ui/mounts").await.unwrap_err(), "Denied permission denied");
}

#[tokio::test]
async fn the_mount_of_any_path_below_is_found() {
    let (world, token) = prepared().await;
    for path in ["a", "a/", "a/any/path"] {
        let shown = get(&world, &token, &format!("sys/internal/ui/mounts/{path}")).await.unwrap();
        assert_eq!((&shown["data"]["path"], &shown["data"]["options"]["version"]), (&json!("a/"), &json!("2")), "{path}");
    }
    let shown = get(&world, &world.root, "sys/internal/ui/mounts/auth/x").await.unwrap();
    assert_eq!(shown["data"]["path"], "x/");
}

#[tokio::test]
async fn a_mount_that_is_not_there_answers_as_one_out_of_reach() {
    let (world, token) = prepared().await;
    let text = "Denied preflight capability check returned 403, please ensure client's policies grant access to path";
    assert_eq!(get(&world, &token, "sys/internal/ui/mounts/b").await.unwrap_err(), format!("{text} \"b/\""));
    assert_eq!(get(&world, &world.root, "sys/internal/ui/mounts/none/x").await.unwrap_err(), format!("{text} \"none/x/\""));
    assert_eq!(get(&world, "", "sys/internal/ui/mounts/a").await.unwrap_err(), "Denied permission denied");
    assert_eq!(get(&world, &token, "sys/internal/ui/mounts/").await.unwrap_err(), "Invalid path not set");
}

#[tokio::test]
async fn the_rest_of_the_interface_answers() {
    let (world, token) = prepared().await;
    assert_eq!(get(&world, "", "sys/internal/ui/feature-flags").await.unwrap(), json!({ "feature_flags": [] }));
    assert_eq!(get(&world, &world.root, "sys/internal/ui/resultant-acl").await.unwrap()["data"], json!({ "root": true }));
    let acl = get(&world, &token, "sys/internal/ui/resultant-acl").await.unwrap();
    assert_eq!(acl["data"]["exact_paths"]["a/data/deep/x"], json!({ "capabilities": ["read"] }));
    assert_eq!(get(&world, &world.root, "sys/internal/ui/version").await.unwrap()["data"], json!({ "version": "1.14.10" }));
    assert_eq!(get(&world, &token, "sys/internal/ui/namespaces").await.unwrap()["data"], json!({ "keys": [""] }));
    assert!(get(&world, &world.root, "identity/entity/id").await.unwrap_err().starts_with("Unsupported"));
}
