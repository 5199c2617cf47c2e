//! Logins find or make entities.

use std::collections::BTreeSet;

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::{World, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_first_logins_at_once_make_one_entity() {
    let world = World::new().await;
    let logins = (0..50).map(|number| {
        let name = if number % 2 == 0 { "bob" } else { "BOB" };
        world.log_in("one", json!({ "name": name }))
    });
    let all = futures_util::future::join_all(logins).await;
    let ids: BTreeSet<_> = all.iter().map(|auth| text(&auth["entity_id"])).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.list("identity/entity/id/").await.data()["keys"], json!(ids));
    assert_eq!(world.list("identity/entity-alias/id/").await.data()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn another_mount_makes_another_entity() {
    let world = World::new().await;
    let ((_, one), (_, two)) = (world.token("one", "bob").await, world.token("two", "bob").await);
    assert_ne!(one, two);
    assert_eq!(world.token("one", "Bob").await.1, one);
}

#[tokio::test]
async fn a_login_without_a_name_is_refused() {
    let world = World::new().await;
    world.ask("", Operation::Update, "auth/one/login", json!({})).await.refused(500, "missing name in alias");
}

#[tokio::test]
async fn an_alias_made_before_is_picked_up_by_the_login() {
    let world = World::new().await;
    let accessor = world.accessor("one").await;
    let entity = world.made("identity/entity", json!({ "name": "robert", "policies": "ops" })).await;
    let alias = json!({ "name": "Bob", "mount_accessor": accessor, "canonical_id": entity, "custom_metadata": { "k": "v" } });
    let id = world.made("identity/entity-alias", alias).await;
    let auth = world.log_in("one", json!({ "name": "bob", "metadata": { "team": "a" } })).await;
    assert_eq!(auth["entity_id"], json!(entity));
    assert_eq!(auth["policies"], json!(["default", "ops"]));
    assert_eq!((&auth["token_policies"], &auth["identity_policies"]), (&json!(["default"]), &json!(["ops"])));
    let shown = world.read(&format!("identity/entity-alias/id/{id}")).await;
    let shown = shown.data();
    assert_eq!((&shown["metadata"], &shown["custom_metadata"]), (&json!({ "team": "a" }), &json!({ "k": "v" })));
    assert_eq!((&shown["name"], &shown["mount_type"], &shown["mount_path"]), (&json!("Bob"), &json!("idp"), &json!("auth/one/")));
    // Metadata is the mount's: it is replaced, not merged.
    world.log_in("one", json!({ "name": "bob", "metadata": { "color": "red" } })).await;
    let shown = world.read(&format!("identity/entity-alias/id/{id}")).await;
    assert_eq!(shown.data()["metadata"], json!({ "color": "red" }));
    assert_eq!(shown.data()["custom_metadata"], json!({ "k": "v" }));
}

#[tokio::test]
async fn a_login_that_changes_nothing_writes_nothing_of_the_entity() {
    let world = World::new().await;
    let (_, entity) = world.token("one", "bob").await;
    let before = world.read(&format!("identity/entity/id/{entity}")).await;
    world.pass(60).await;
    world.token("one", "bob").await;
    assert_eq!(world.read(&format!("identity/entity/id/{entity}")).await.data(), before.data());
}

#[tokio::test]
async fn a_disabled_entity_is_refused_until_it_is_enabled() {
    let world = World::new().await;
    let (token, entity) = world.token("one", "bob").await;
    let path = format!("identity/entity/id/{entity}");
    let batch = text(&world.log_in("one", json!({ "name": "bob", "batch": true })).await["client_token"]);
    let child = world.ask(&world.root, Operation::Update, "auth/token/create", json!({})).await;
    assert_eq!(child.body["auth"]["entity_id"], json!(""));
    world.write(&path, json!({ "disabled": true })).await.is(204);
    for token in [&token, &batch] {
        world.ask(token, Operation::Read, "auth/token/lookup-self", Value::Null).await.refused(403, "permission denied");
    }
    let again = world.ask("", Operation::Update, "auth/one/login", json!({ "name": "bob" })).await;
    again.refused(403, "permission denied");
    world.write(&path, json!({ "disabled": false })).await.is(204);
    for token in [&token, &batch] {
        world.ask(token, Operation::Read, "auth/token/lookup-self", Value::Null).await.is(200);
    }
}

#[tokio::test]
async fn the_tokens_of_a_deleted_entity_are_dead() {
    let world = World::new().await;
    let (token, entity) = world.token("one", "bob").await;
    let made = world.ask(&token, Operation::Read, "auth/token/lookup-self", Value::Null).await;
    assert_eq!(made.data()["entity_id"], json!(entity));
    world.delete(&format!("identity/entity/id/{entity}")).await.is(204);
    world.ask(&token, Operation::Read, "auth/token/lookup-self", Value::Null).await.refused(403, "permission denied");
    assert!(world.keys("identity/").is_empty(), "{:?}", world.keys("identity/"));
    // Who logs in again is somebody else.
    assert_ne!(world.token("one", "bob").await.1, entity);
}

#[tokio::test]
async fn a_mount_that_is_disabled_takes_its_aliases_along() {
    let world = World::new().await;
    let (accessor, other) = (world.accessor("one").await, world.accessor("two").await);
    let (_, entity) = world.token("one", "bob").await;
    let kept = json!({ "name": "bob", "mount_accessor": other, "canonical_id": entity });
    let kept = world.made("identity/entity-alias", kept).await;
    world.made("identity/group-alias", json!({ "name": "devs", "mount_accessor": accessor })).await;
    world.delete("sys/auth/one").await.is(204);
    world.pass(1).await;
    let shown = world.read(&format!("identity/entity/id/{entity}")).await;
    let left: Vec<_> = shown.data()["aliases"].as_array().unwrap().iter().map(|alias| text(&alias["id"])).collect();
    assert_eq!(left, [kept]);
    world.list("identity/group-alias/id/").await.is(404);
    let bad = json!({ "name": "x", "mount_accessor": accessor });
    let refused = world.write("identity/entity-alias", bad).await;
    refused.refused(400, &format!("invalid mount accessor \"{accessor}\""));
}

#[tokio::test]
async fn a_secrets_mount_that_goes_takes_its_aliases_along() {
    let world = World::new().await;
    let accessor = text(&world.read("sys/mounts").await.data()["kv/"]["accessor"]);
    let alias = world.made("identity/entity-alias", json!({ "name": "x", "mount_accessor": accessor })).await;
    world.read(&format!("identity/entity-alias/id/{alias}")).await.is(200);
    world.delete("sys/mounts/kv").await.is(204);
    world.pass(1).await;
    world.read(&format!("identity/entity-alias/id/{alias}")).await.is(404);
}

#[tokio::test]
async fn a_token_may_be_made_for_somebodys_alias() {
    let world = World::new().await;
    let accessor = world.accessor("token").await;
    let role = json!({ "allowed_entity_aliases": "bob", "orphan": true });
    world.write("auth/token/roles/r", role).await.is(204);
    let made = world.write("auth/token/create/r", json!({ "entity_alias": "bob" })).await;
    let entity = text(&made.body["auth"]["entity_id"]);
    let found = json!({ "alias_name": "bob", "alias_mount_accessor": accessor });
    assert_eq!(world.write("identity/lookup/entity", found).await.data()["id"], json!(entity));
}
