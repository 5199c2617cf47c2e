//! What entities and groups put into paths of policies.

use serde_json::json;

use super::world::{World, text};

#[tokio::test]
async fn a_path_is_filled_in_from_who_asks() {
    let world = World::new().await;
    let accessor = world.accessor("one").await;
    let auth = world.log_in("one", json!({ "name": "bob", "metadata": { "team": "blue" }, "policies": ["p"] })).await;
    let (token, entity) = (text(&auth["client_token"]), text(&auth["entity_id"]));
    let group = json!({ "name": "ops", "member_entity_ids": [entity], "metadata": { "site": "north" } });
    let group = world.made("identity/group", group).await;
    world.write(&format!("identity/entity/id/{entity}"), json!({ "name": "robert", "metadata": { "desk": "7" } })).await.is(204);
    let alias = world.read(&format!("identity/entity/id/{entity}")).await;
    let alias = text(&alias.data()["aliases"][0]["id"]);
    let path = format!("identity/entity-alias/id/{alias}");
    world.write(&path, json!({ "custom_metadata": { "shift": "late" } })).await.is(200);
    for (directive, value) in [
        ("identity.entity.id".to_owned(), entity.clone()),
        ("identity.entity.name".to_owned(), "robert".to_owned()),
        ("identity.entity.metadata.desk".to_owned(), "7".to_owned()),
        (format!("identity.entity.aliases.{accessor}.id"), alias.clone()),
        (format!("identity.entity.aliases.{accessor}.name"), "bob".to_owned()),
        (format!("identity.entity.aliases.{accessor}.metadata.team"), "blue".to_owned()),
        (format!("identity.entity.aliases.{accessor}.custom_metadata.shift"), "late".to_owned()),
        (format!("identity.groups.ids.{group}.name"), "ops".to_owned()),
        (format!("identity.groups.ids.{group}.metadata.site"), "north".to_owned()),
        ("identity.groups.names.ops.id".to_owned(), group.clone()),
    ] {
        world.lets_read("p", &format!("kv/{{{{ {directive} }}}}/x")).await;
        assert_eq!(world.capabilities(&token, &format!("kv/{value}/x")).await, json!(["read"]), "{directive}");
        assert_eq!(world.capabilities(&token, "kv/other/x").await, json!(["deny"]), "{directive}");
    }
    // Of a token that is nobody's, and of a group he is not in, nothing is known.
    world.lets_read("p", "kv/{{identity.groups.names.ops.id}}/x").await;
    world.write(&format!("identity/group/id/{group}"), json!({ "member_entity_ids": [] })).await.is(204);
    assert_eq!(world.capabilities(&token, &format!("kv/{group}/x")).await, json!(["deny"]));
}

#[tokio::test]
async fn what_is_missing_or_a_wildcard_grants_nothing() {
    let world = World::new().await;
    let auth = world.log_in("one", json!({ "name": "bob", "policies": ["p", "q"] })).await;
    let (token, entity) = (text(&auth["client_token"]), text(&auth["entity_id"]));
    world.lets_read("q", "kv/fixed").await;
    let path = format!("identity/entity/id/{entity}");
    for value in ["*", "+", "a*", "x/+/y", ""] {
        world.write(&path, json!({ "metadata": { "k": value } })).await.is(204);
        world.lets_read("p", "kv/{{identity.entity.metadata.k}}/x").await;
        for asked in ["kv/anything/x", "kv/*/x", "kv/+/x", "kv/{{identity.entity.metadata.k}}/x", "kv//x", "kv/x/z/y/x"] {
            assert_eq!(world.capabilities(&token, asked).await, json!(["deny"]), "{value:?} {asked}");
        }
        assert_eq!(world.capabilities(&token, "kv/fixed").await, json!(["read"]));
    }
    world.write(&path, json!({ "metadata": {} })).await.is(204);
    assert_eq!(world.capabilities(&token, "kv//x").await, json!(["deny"]));
    let refused = world.write("sys/policies/acl/r", json!({ "policy": "path \"a/{{identity.entity.id\" {}" })).await;
    assert!(refused.error().contains("unbalanced templating characters"), "{refused:?}");
}

#[tokio::test]
async fn the_policies_of_an_entity_are_not_frozen_into_its_tokens() {
    let world = World::new().await;
    let (token, entity) = world.token("one", "bob").await;
    for name in ["a", "b"] {
        world.lets_read(name, &format!("kv/{name}")).await;
    }
    let path = format!("identity/entity/id/{entity}");
    world.write(&path, json!({ "policies": ["a"] })).await.is(204);
    assert_eq!(world.capabilities(&token, "kv/a").await, json!(["read"]));
    world.write(&path, json!({ "policies": ["b"] })).await.is(204);
    assert_eq!(world.capabilities(&token, "kv/a").await, json!(["deny"]));
    assert_eq!(world.capabilities(&token, "kv/b").await, json!(["read"]));
    world.policy("b", "path \"kv/b\" { capabilities = [\"deny\"] }").await;
    assert_eq!(world.capabilities(&token, "kv/b").await, json!(["deny"]));
    // A child has them as well; an orphan does not.
    world.write(&path, json!({ "policies": ["a", "making"] })).await.is(204);
    world.policy("making", "path \"auth/token/create*\" { capabilities = [\"sudo\", \"create\", \"update\"] }").await;
    let child =
        world.ask(&token, leasehold::policy::Operation::Update, "auth/token/create", json!({ "policies": ["default"] })).await;
    assert_eq!(child.body["auth"]["identity_policies"], json!(["a", "making"]), "{child:?}");
    let child = text(&child.body["auth"]["client_token"]);
    assert_eq!(world.capabilities(&child, "kv/a").await, json!(["read"]));
    let orphan = world
        .ask(&token, leasehold::policy::Operation::Update, "auth/token/create-orphan", json!({ "policies": ["default"] }))
        .await;
    let orphan = text(&orphan.body["auth"]["client_token"]);
    assert_eq!(world.capabilities(&orphan, "kv/a").await, json!(["deny"]));
}
