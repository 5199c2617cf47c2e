//! The table: enabling, reading, tuning.

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::World;

async fn refused(world: &World, path: &str, data: Value, expected: &str) {
    assert_eq!(world.write(path, data).await.unwrap_err(), format!("Invalid {expected}"), "{path}");
}

#[tokio::test]
async fn a_mount_is_listed_and_read_twice_over() {
    let world = World::new().await;
    world.write("sys/mounts/team/kv", json!({ "type": "kv", "description": "ours", "options": { "version": 2 } })).await.unwrap();
    let list = world.read("sys/mounts").await.unwrap();
    for data in [&list, &list["data"]] {
        assert_eq!(data["team/kv/"]["options"], json!({ "version": "2" }));
        assert_eq!(data["sys/"]["config"]["passthrough_request_headers"], json!(["Accept"]));
        assert_eq!(data["cubbyhole/"]["options"], Value::Null);
    }
    let one = world.read("sys/mounts/team/kv/").await.unwrap();
    let data = &one["data"];
    assert_eq!((&data["type"], &data["description"]), (&json!("kv"), &json!("ours")));
    assert_eq!(data["config"], json!({ "default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0 }));
    assert!(data["accessor"].as_str().unwrap().starts_with("kv_"));
    assert_eq!(world.read("team/kv/version").await.unwrap()["data"]["version"], "2");
    assert_eq!(world.read("sys/mounts/team").await.unwrap_err(), "Invalid No secret engine mount at team/");
}

#[tokio::test]
async fn a_table_outlives_the_process() {
    let world = World::new().await;
    world.write("sys/mounts/a", json!({ "type": "lender" })).await.unwrap();
    world.write("sys/auth/b", json!({ "type": "approle" })).await.unwrap();
    let before = (world.read("sys/mounts").await.unwrap()["data"].clone(), world.read("sys/auth").await.unwrap()["data"].clone());
    let world = world.crash().await;
    let after = (world.read("sys/mounts").await.unwrap()["data"].clone(), world.read("sys/auth").await.unwrap()["data"].clone());
    assert_eq!(before, after);
    assert_eq!(after.1["b/"]["config"]["token_type"], "default-service");
}

#[tokio::test]
async fn other_names_of_kv_are_kv() {
    let world = World::new().await;
    for (kind, version) in [("kv-v1", "1"), ("kv-v2", "2"), ("generic", "1")] {
        world.write(&format!("sys/mounts/{kind}"), json!({ "type": kind })).await.unwrap();
        let info = world.read(&format!("sys/mounts/{kind}")).await.unwrap();
        assert_eq!((&info["data"]["type"], &info["data"]["options"]["version"]), (&json!("kv"), &json!(version)), "{kind}");
    }
}

#[tokio::test]
async fn a_path_is_taken_from_above_and_below() {
    let world = World::new().await;
    world.write("sys/mounts/a/b", json!({ "type": "kv" })).await.unwrap();
    for path in ["a", "a/b", "a/b/c"] {
        refused(&world, &format!("sys/mounts/{path}"), json!({ "type": "kv" }), "path is already in use at a/b/").await;
    }
    world.write("sys/mounts/a/bc", json!({ "type": "kv" })).await.unwrap();
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    refused(&world, "sys/auth/x/y", json!({ "type": "approle" }), "path is already in use at x/").await;
}

#[tokio::test]
async fn what_cannot_be_mounted_says_why() {
    let world = World::new().await;
    for (path, data, expected) in [
        ("sys/mounts/a", json!({}), "backend type must be specified as a string"),
        ("sys/mounts/a", json!({ "type": "nothing" }), "plugin not found in the catalog: nothing"),
        ("sys/mounts/a", json!({ "type": "plugin" }), "plugin_name must be provided for plugin backend"),
        ("sys/mounts/a", json!({ "type": "system" }), "mount type of \"system\" is not mountable"),
        ("sys/mounts/sys/x", json!({ "type": "kv" }), "cannot mount \"sys/x/\""),
        ("sys/mounts/auth/x", json!({ "type": "kv" }), "cannot mount \"auth/x/\""),
        (
            "sys/mounts/a",
            json!({ "type": "lender", "options": { "version": "2" } }),
            "secrets engine \"lender\" does not allow setting a version",
        ),
        ("sys/mounts/a", json!({ "type": "kv", "options": { "version": "3" } }), "invalid version provided: 3"),
        (
            "sys/mounts/a",
            json!({ "type": "kv", "config": { "default_lease_ttl": "2h", "max_lease_ttl": 3600 } }),
            "given default lease TTL greater than given max lease TTL",
        ),
        (
            "sys/mounts/a",
            json!({ "type": "kv", "config": { "default_lease_ttl": 2_764_801 } }),
            "given default lease TTL greater than system max lease TTL of 2764800",
        ),
        (
            "sys/mounts/a",
            json!({ "type": "kv", "config": { "default_lease_ttl": "abc" } }),
            "unable to parse default TTL of abc: time: invalid duration \"abc\"",
        ),
        ("sys/mounts/a", json!({ "type": "kv", "config": { "listing_visibility": "loud" } }), "invalid listing_visibility loud"),
        ("sys/auth/a", json!({ "type": "token" }), "token credential backend cannot be instantiated"),
        (
            "sys/auth/a",
            json!({ "type": "approle", "options": { "version": "1" } }),
            "auth method \"approle\" does not allow setting a version",
        ),
        ("sys/auth/a", json!({ "type": "approle", "config": { "token_type": "odd" } }), "invalid value for 'token_type'"),
    ] {
        refused(&world, path, data, expected).await;
    }
    assert_eq!(world.keys("core/mounts/").len(), 4);
}

#[tokio::test]
async fn nulls_are_absent_and_what_a_plugin_refuses_is_not_mounted() {
    let world = World::new().await;
    let data =
        json!({ "type": "kv", "description": null, "config": { "max_lease_ttl": null }, "options": null, "plugin_name": null });
    world.write("sys/mounts/a", data).await.unwrap();
    world.outside.state().refuses = true;
    refused(&world, "sys/mounts/b", json!({ "type": "kv-v2" }), "not today").await;
    assert_eq!(world.read("sys/mounts/b").await.unwrap_err(), "Invalid No secret engine mount at b/");
}

#[tokio::test]
async fn tuning_is_kept_and_shown() {
    let world = World::new().await;
    world.write("sys/mounts/a/b", json!({ "type": "lender", "config": { "max_lease_ttl": "24h" } })).await.unwrap();
    let data = json!({
        "default_lease_ttl": "1h", "description": "tuned", "listing_visibility": "unauth", "audit_non_hmac_request_keys": "x,y",
        "nothing_known": 1,
    });
    assert_eq!(world.write("sys/mounts/a/b/tune", data).await.unwrap(), Value::Null);
    let world = world.crash().await;
    let tuned = world.read("sys/mounts/a/b/tune").await.unwrap();
    let expected = json!({
        "default_lease_ttl": 3600, "max_lease_ttl": 86400, "description": "tuned", "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["x", "y"], "force_no_cache": false,
    });
    assert_eq!(tuned["data"], expected);
    world
        .write("sys/mounts/a/b/tune", json!({ "max_lease_ttl": "system", "default_lease_ttl": "", "listing_visibility": "" }))
        .await
        .unwrap();
    let tuned = world.read("sys/mounts/a/b/tune").await.unwrap();
    assert_eq!((&tuned["max_lease_ttl"], &tuned["default_lease_ttl"]), (&json!(2_764_800), &json!(3600)));
    assert_eq!(tuned["data"]["listing_visibility"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_tuned_says_why() {
    let world = World::new().await;
    world.write("sys/mounts/a", json!({ "type": "kv-v2", "config": { "max_lease_ttl": 60 } })).await.unwrap();
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    for (path, data, expected) in [
        ("sys/mounts/sys/tune", json!({}), "cannot tune \"sys/\""),
        ("sys/mounts/none/tune", json!({}), "tune of path \"none/\" failed: no mount entry found"),
        (
            "sys/mounts/a/tune",
            json!({ "default_lease_ttl": 120 }),
            "backend max lease TTL of 60 would be less than backend default lease TTL of 120",
        ),
        ("sys/mounts/a/tune", json!({ "options": { "version": 1 } }), "cannot downgrade mount from version 2"),
        ("sys/mounts/a/tune", json!({ "options": { "version": 3 } }), "invalid version provided: 3"),
        ("sys/mounts/a/tune", json!({ "token_type": "batch" }), "'token_type' can only be modified on auth mounts"),
        (
            "sys/auth/token/tune",
            json!({ "token_type": "batch" }),
            "'token_type' cannot be set for 'token' or 'ns_token' auth mounts",
        ),
        (
            "sys/mounts/a/tune",
            json!({ "user_lockout_config": { "lockout_threshold": "3" } }),
            "tuning of user lockout configuration for auth type \"kv\" not allowed",
        ),
    ] {
        refused(&world, path, data, expected).await;
    }
    assert_eq!(world.read("sys/mounts/none/tune").await.unwrap_err(), "Invalid cannot fetch sysview for path \"none/\"");
}

#[tokio::test]
async fn an_auth_method_is_tuned_at_both_paths() {
    let world = World::new().await;
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    world
        .write("sys/auth/x/tune", json!({ "token_type": "batch", "user_lockout_config": { "lockout_threshold": "3" } }))
        .await
        .unwrap();
    world.write("sys/mounts/auth/x/tune", json!({ "user_lockout_config": { "lockout_disable": true } })).await.unwrap();
    let tuned = world.read("sys/auth/x/tune").await.unwrap();
    assert_eq!(tuned["data"], world.read("sys/mounts/auth/x/tune").await.unwrap()["data"]);
    assert_eq!((&tuned["token_type"], &tuned["user_lockout_threshold"]), (&json!("batch"), &json!(3)));
    assert_eq!((&tuned["user_lockout_disable"], &tuned["user_lockout_duration"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn a_new_version_opens_the_plugin_anew() {
    let world = World::new().await;
    world.write("sys/mounts/a", json!({ "type": "kv" })).await.unwrap();
    world.outside.state().refuses = true;
    refused(&world, "sys/mounts/a/tune", json!({ "options": { "version": "2" } }), "not today").await;
    assert_eq!(world.read("a/version").await.unwrap()["data"]["version"], "1");
    world.outside.state().refuses = false;
    let reply = world.write("sys/mounts/a/tune", json!({ "options": { "version": "2" } })).await.unwrap();
    assert!(reply["warnings"][0].as_str().unwrap().starts_with("Upgrading mount from version 1 to version 2."));
    assert_eq!(world.read("a/version").await.unwrap()["data"]["version"], "2");
    let world = world.crash().await;
    assert_eq!(world.read("a/version").await.unwrap()["data"]["version"], "2");
}

#[tokio::test]
async fn auth_methods_need_sudo_and_their_list_does_not() {
    let world = World::new().await;
    let policy = "path \"sys/auth*\" { capabilities = [\"read\", \"update\", \"delete\"] }";
    world.write("sys/policies/acl/lending", json!({ "policy": policy })).await.unwrap();
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    let login = world.ask("", Operation::Update, "auth/x/login", json!({})).await.unwrap();
    let token = login["auth"]["client_token"].as_str().unwrap();
    assert!(world.ask(token, Operation::Read, "sys/auth", json!({})).await.is_ok());
    for (operation, path) in [
        (Operation::Read, "sys/auth/x"),
        (Operation::Update, "sys/auth/y"),
        (Operation::Delete, "sys/auth/x"),
        (Operation::Update, "sys/auth/x/tune"),
    ] {
        let denied = world.ask(token, operation, path, json!({ "type": "approle" })).await.unwrap_err();
        assert!(denied.contains("permission denied"), "{path}: {denied}");
    }
}
