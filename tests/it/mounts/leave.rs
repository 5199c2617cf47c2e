//! Mounts go and move.

use std::sync::Arc;

use leasehold::base::Tasks;
use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::World;

async fn lender() -> World {
    let world = World::new().await;
    world.write("sys/mounts/a", json!({ "type": "lender" })).await.unwrap();
    world.write("a/box/x/y", json!({ "kept": 1 })).await.unwrap();
    world
}

fn assert_gone(world: &World) {
    assert_eq!(world.users(), [""; 0]);
    for prefix in ["logical/", "core/gone/", "lease/id/a/", "lease/open/"] {
        assert_eq!(world.keys(prefix), [""; 0], "{prefix}");
    }
    assert_eq!(world.keys("core/mounts/").len(), 4);
}

#[tokio::test]
async fn a_mount_goes_with_its_leases_and_its_storage() {
    let world = lender().await;
    for name in ["ann", "bob", "cid"] {
        world.read(&format!("a/lend/{name}")).await.unwrap();
    }
    assert_eq!(world.delete("sys/mounts/a").await.unwrap(), Value::Null);
    assert_eq!(world.users(), [""; 0]);
    assert!(world.read("a/box/x/y").await.unwrap_err().starts_with("NotFound"));
    world.live(60, 10).await;
    assert_gone(&world);
    assert_eq!(world.delete("sys/mounts/a").await.unwrap(), Value::Null);
    world.write("sys/mounts/a", json!({ "type": "lender" })).await.unwrap();
    assert!(world.read("a/box/x/y").await.unwrap_err().starts_with("NotFound"));
}

#[tokio::test]
async fn what_every_server_has_stays() {
    let world = World::new().await;
    for path in ["sys", "cubbyhole", "identity"] {
        let error = world.delete(&format!("sys/mounts/{path}")).await.unwrap_err();
        assert_eq!(error, format!("Invalid cannot unmount \"{path}/\""));
    }
    assert_eq!(world.delete("sys/auth/token").await.unwrap_err(), "Invalid token credential backend cannot be disabled");
}

#[tokio::test]
async fn a_refusal_is_told_and_the_mount_goes_when_it_ends() {
    let world = lender().await;
    world.read("a/lend/ann").await.unwrap();
    world.outside.state().refuses = true;
    let error = world.delete("sys/mounts/a").await.unwrap_err();
    assert!(error.starts_with("Invalid failed to revoke \"a/lend/ann/"), "{error}");
    assert!(error.ends_with("(1 / 1): the user is still needed"), "{error}");
    // Tainted: listed, taken, and closed.
    assert!(world.read("sys/mounts/a").await.is_ok());
    assert!(world.read("a/lend/bob").await.unwrap_err().starts_with("NotFound no handler for route \"a/lend/bob\""));
    assert!(world.write("sys/mounts/a", json!({ "type": "kv" })).await.is_err());
    // Again, with the same outcome.
    assert!(world.delete("sys/mounts/a").await.is_err());
    world.outside.state().refuses = false;
    world.live(3600, 60).await;
    assert!(world.read("sys/mounts/a").await.is_err());
    assert_gone(&world);
}

#[tokio::test]
async fn a_second_delete_waits_again() {
    let world = lender().await;
    world.read("a/lend/ann").await.unwrap();
    world.outside.state().refuses = true;
    assert!(world.delete("sys/mounts/a").await.is_err());
    world.outside.state().refuses = false;
    assert_eq!(world.delete("sys/mounts/a").await.unwrap(), Value::Null);
    world.live(60, 10).await;
    assert_gone(&world);
}

#[tokio::test]
async fn a_tainted_mount_goes_after_a_restart() {
    let world = lender().await;
    world.read("a/lend/ann").await.unwrap();
    world.outside.state().refuses = true;
    assert!(world.delete("sys/mounts/a").await.is_err());
    let world = world.crash().await;
    assert!(world.read("a/box/x/y").await.unwrap_err().starts_with("NotFound"));
    world.outside.state().refuses = false;
    world.live(3600, 60).await;
    assert_gone(&world);
}

#[tokio::test]
async fn an_intent_that_may_still_appear_outlives_its_mount_and_holds_nobody_up() {
    let world = lender().await;
    assert!(world.read("a/lose/ann").await.is_err());
    assert_eq!(world.delete("sys/mounts/a").await.unwrap(), Value::Null);
    assert_eq!(world.keys("core/gone/").len(), 1);
    world.write("sys/mounts/a", json!({ "type": "kv" })).await.unwrap();
    let world = world.crash().await;
    assert_eq!(world.keys("lease/open/").len(), 1);
    // What was asked for takes effect late.
    world.outside.state().users.insert("ann".to_owned());
    world.live(120, 5).await;
    assert_eq!((world.users(), world.keys("core/gone/"), world.keys("logical/")), (vec![], vec![], vec![]));
    assert_eq!(world.read("a/version").await.unwrap()["data"]["version"], "1");
}

#[tokio::test]
async fn a_request_that_is_in_is_waited_for_and_its_lease_ended() {
    let world = Arc::new(lender().await);
    let tasks = Tasks::default();
    let slow = tasks.spawn({
        let world = Arc::clone(&world);
        async move { world.read("a/slow/ann").await }
    });
    world.outside.begun.notified().await;
    let leaving = tasks.spawn({
        let world = Arc::clone(&world);
        async move { world.delete("sys/mounts/a").await }
    });
    world.settle().await;
    assert!(!leaving.is_finished());
    assert!(world.read("a/lend/bob").await.is_err());
    world.outside.go_on.notify_one();
    assert!(slow.await.unwrap().is_ok());
    assert_eq!(leaving.await.unwrap().unwrap(), Value::Null);
    world.live(60, 10).await;
    assert_gone(&world);
}

#[tokio::test]
async fn an_auth_method_goes_with_its_tokens() {
    let world = World::new().await;
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    world.write("sys/mounts/a", json!({ "type": "lender" })).await.unwrap();
    world.write("sys/policies/acl/lending", json!({ "policy": "path \"a/*\" { capabilities = [\"read\"] }" })).await.unwrap();
    let login = world.ask("", Operation::Update, "auth/x/login", json!({})).await.unwrap();
    let token = login["auth"]["client_token"].as_str().unwrap();
    world.ask(token, Operation::Read, "a/lend/ann", json!({})).await.unwrap();
    assert_eq!(world.delete("sys/auth/x").await.unwrap(), Value::Null);
    assert_eq!(world.ask(token, Operation::Read, "a/lend/bob", json!({})).await.unwrap_err(), "Denied permission denied");
    assert_eq!(world.read("sys/auth/x").await.unwrap_err(), "Invalid No auth engine at x/");
    world.live(60, 10).await;
    assert_eq!(world.users(), [""; 0]);
    assert_eq!(world.keys("core/gone/"), [""; 0]);
}

#[tokio::test]
async fn a_mount_moves_before_the_reply_and_its_leases_end() {
    let world = lender().await;
    world.read("a/lend/ann").await.unwrap();
    let reply = world.write("sys/remount", json!({ "from": "a", "to": "b/c" })).await.unwrap();
    assert!(!reply["warnings"].as_array().unwrap().is_empty());
    let id = reply["migration_id"].as_str().unwrap();
    assert_eq!(world.users(), [""; 0]);
    assert_eq!(world.read("b/c/box/x/y").await.unwrap()["data"]["kept"], 1);
    let list = world.read("sys/mounts").await.unwrap();
    assert!(list.get("a/").is_none() && list.get("b/c/").is_some());
    let status = world.read(&format!("sys/remount/status/{id}")).await.unwrap();
    let info = json!({ "source_mount": "a/", "target_mount": "b/c/", "status": "success" });
    assert_eq!(status["data"], json!({ "migration_id": id, "migration_info": info }));
    let world = world.crash().await;
    assert_eq!(world.read("b/c/box/x/y").await.unwrap()["data"]["kept"], 1);
    assert_eq!(world.read("sys/remount/status/none").await.unwrap_err(), "NotFound ");
}

#[tokio::test]
async fn a_move_that_is_refused_goes_on() {
    let world = lender().await;
    world.read("a/lend/ann").await.unwrap();
    world.outside.state().refuses = true;
    let reply = world.write("sys/remount", json!({ "from": "a", "to": "b" })).await.unwrap();
    let id = reply["migration_id"].as_str().unwrap().to_owned();
    assert!(reply["warnings"][0].as_str().unwrap().ends_with("the user is still needed"));
    let status = |world: World| async {
        let read = world.read(&format!("sys/remount/status/{id}")).await.unwrap();
        (read["data"]["migration_info"]["status"].as_str().unwrap().to_owned(), world)
    };
    let (state, world) = status(world).await;
    assert_eq!(state, "in-progress");
    // Its way and its end are taken.
    assert_eq!(world.write("sys/mounts/b/x", json!({ "type": "kv" })).await.unwrap_err(), "Invalid path is already in use at b/");
    assert!(world.read("a/box/x/y").await.is_err());
    let world = world.crash().await;
    world.outside.state().refuses = false;
    world.live(3600, 60).await;
    let (state, world) = status(world).await;
    assert_eq!(state, "success");
    assert_eq!(world.read("b/box/x/y").await.unwrap()["data"]["kept"], 1);
}

#[tokio::test]
async fn a_mount_that_is_moving_can_be_removed() {
    let world = lender().await;
    world.read("a/lend/ann").await.unwrap();
    world.outside.state().refuses = true;
    let reply = world.write("sys/remount", json!({ "from": "a", "to": "b" })).await.unwrap();
    assert!(world.delete("sys/mounts/a").await.is_err());
    world.outside.state().refuses = false;
    world.live(3600, 60).await;
    assert_gone(&world);
    let id = reply["migration_id"].as_str().unwrap();
    let status = world.read(&format!("sys/remount/status/{id}")).await.unwrap();
    assert_eq!(status["data"]["migration_info"]["status"], "failure");
}

#[tokio::test]
async fn an_auth_method_moves_and_its_tokens_end() {
    let world = World::new().await;
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    let login = world.ask("", Operation::Update, "auth/x/login", json!({})).await.unwrap();
    let token = login["auth"]["client_token"].as_str().unwrap();
    world.write("sys/remount", json!({ "from": "auth/x", "to": "auth/y" })).await.unwrap();
    assert!(world.ask("", Operation::Update, "auth/y/login", json!({})).await.is_ok());
    assert_eq!(
        world.ask(token, Operation::Read, "auth/token/lookup-self", json!({})).await.unwrap_err(),
        "Denied permission denied"
    );
}

#[tokio::test]
async fn what_cannot_move_says_why() {
    let world = lender().await;
    world.write("sys/mounts/b", json!({ "type": "kv" })).await.unwrap();
    world.write("sys/auth/x", json!({ "type": "approle" })).await.unwrap();
    for (from, to, expected) in [
        ("none", "c", "no matching mount at \"none/\""),
        ("a", "b/c", "path already in use at \"b/\""),
        ("cubbyhole", "c", "cannot remount \"cubbyhole/\""),
        ("auth/token", "auth/c", "cannot remount \"auth/token/\""),
        ("a", "sys/c", "cannot remount to destination sys/c/"),
        ("a", "auth/c", "cannot remount to destination auth/c/"),
        ("auth/x", "c", "cannot remount auth mount to non-auth mount \"c/\""),
        ("a ", "c", "'from' path cannot contain trailing whitespace"),
        ("a", "../c", "invalid destination mount: relative paths not supported"),
        ("a", "", "both 'from' and 'to' path must be specified as a string"),
    ] {
        let error = world.write("sys/remount", json!({ "from": from, "to": to })).await.unwrap_err();
        assert_eq!(error, format!("Invalid {expected}"), "{from} {to}");
    }
}
