//! Entities and aliases written by hand.

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::{World, text};

#[tokio::test]
async fn an_entity_reads_as_it_was_written() {
    let world = World::new().await;
    let made =
        world.write("identity/entity", json!({ "name": "Bob", "metadata": { "k": "v" }, "policies": ["B", "a", "b"] })).await;
    let id = text(&made.data()["id"]);
    assert_eq!(made.data(), &json!({ "id": id, "name": "Bob", "aliases": null }));
    for path in [format!("identity/entity/id/{id}"), "identity/entity/name/bOB".to_owned()] {
        let shown = world.read(&path).await;
        let shown = shown.data();
        for (field, expected) in [
            ("id", json!(id)),
            ("name", json!("Bob")),
            ("metadata", json!({ "k": "v" })),
            ("policies", json!(["a", "b"])),
            ("disabled", json!(false)),
            ("aliases", json!([])),
            ("group_ids", json!([])),
            ("direct_group_ids", json!([])),
            ("inherited_group_ids", json!([])),
            ("merged_entity_ids", Value::Null),
            ("namespace_id", json!("root")),
            ("creation_time", shown["last_update_time"].clone()),
        ] {
            assert_eq!(shown[field], expected, "{field}");
        }
    }
    // Only what is said changes; metadata as a whole.
    world.write("identity/entity", json!({ "name": "BOB", "metadata": { "x": "y" } })).await.is(204);
    let shown = world.read(&format!("identity/entity/id/{id}")).await;
    assert_eq!((&shown.data()["metadata"], &shown.data()["name"]), (&json!({ "x": "y" }), &json!("BOB")));
    assert_eq!(shown.data()["policies"], json!(["a", "b"]));
    for data in [json!({ "id": id }), json!({ "name": "bob" })] {
        assert_eq!(world.write("identity/lookup/entity", data).await.data()["id"], json!(id));
    }
    world.write(&format!("identity/entity/id/{id}"), json!({ "name": "Robert" })).await.is(204);
    world.read("identity/entity/name/bob").await.is(404);
    world.read("identity/entity/name/robert").await.is(200);
    world.delete("identity/entity/name/ROBERT").await.is(204);
    world.delete("identity/entity/name/ROBERT").await.is(204);
    world.read(&format!("identity/entity/id/{id}")).await.is(404);
    assert!(world.keys("identity/").is_empty(), "{:?}", world.keys("identity/"));
}

#[tokio::test]
async fn names_are_unique_in_more_than_case() {
    let world = World::new().await;
    let (bob, eve) =
        (world.made("identity/entity", json!({ "name": "bob" })).await, world.made("identity/entity", json!({})).await);
    let refused = world.write(&format!("identity/entity/id/{eve}"), json!({ "name": "BOB" })).await;
    refused.refused(400, "entity name is already in use");
    let shown = world.read(&format!("identity/entity/id/{eve}")).await;
    let name = text(&shown.data()["name"]);
    assert!(name.starts_with("entity_") && name.len() == 15, "{name}");
    world.write("identity/entity/id/x", json!({})).await.refused(400, "entity not found from id");
    for data in [json!({ "policies": "root" }), json!({ "policies": ["a", " ROOT "] })] {
        world.write(&format!("identity/entity/id/{bob}"), data).await.refused(400, "policies cannot contain root");
    }
    let refused = world.write("identity/entity", json!({ "metadata": { "": "x" } })).await;
    refused.refused(400, "invalid entity metadata: key \"\" is blank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_given_at_once_makes_one_entity() {
    let world = World::new().await;
    let writes = (0..30).map(|_| world.write("identity/entity", json!({ "name": "bob" })));
    let mut created = 0;
    for got in futures_util::future::join_all(writes).await {
        assert!(matches!(got.status, 200 | 204), "{got:?}");
        created += u32::from(got.status == 200);
    }
    assert_eq!(created, 1);
    assert_eq!(world.list("identity/entity/name/").await.data()["keys"], json!(["bob"]));
}

#[tokio::test]
async fn a_thousand_are_removed_at_once() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..1000 {
        ids.push(world.made("identity/entity", json!({ "name": format!("e{number}") })).await);
    }
    assert_eq!(world.list("identity/entity/id/").await.data()["keys"].as_array().unwrap().len(), 1000);
    ids.push("unknown".to_owned());
    world.write("identity/entity/batch-delete", json!({ "entity_ids": ids })).await.is(204);
    world.list("identity/entity/id/").await.is(404);
    assert!(world.keys("identity/").is_empty());
    world.write("identity/entity/batch-delete", json!({})).await.refused(400, "missing entity ids to delete");
}

#[tokio::test]
async fn lists_say_what_is_known_of_each() {
    let world = World::new().await;
    let accessor = world.accessor("one").await;
    let (_, entity) = world.token("one", "bob").await;
    for path in ["identity/entity/id/", "identity/entity/name/"] {
        let listed = world.list(path).await;
        let info = &listed.data()["key_info"][&entity];
        assert_eq!(info["aliases"][0]["name"], json!("bob"));
        assert_eq!(info["aliases"][0]["mount_accessor"], json!(accessor));
        assert_eq!(info["aliases"][0]["mount_path"], json!("auth/one/"));
    }
    let listed = world.list("identity/entity-alias/id/").await;
    let alias = text(&listed.data()["keys"][0]);
    let info = &listed.data()["key_info"][&alias];
    assert_eq!((&info["canonical_id"], &info["name"], &info["local"]), (&json!(entity), &json!("bob"), &json!(false)));
    assert_eq!(world.list("identity/persona/id/").await.data()["keys"], json!([alias]));
}

#[tokio::test]
async fn an_entity_has_one_alias_for_each_mount() {
    let world = World::new().await;
    let (one, two) = (world.accessor("one").await, world.accessor("two").await);
    let path = "identity/entity-alias";
    let bob = world.write(path, json!({ "name": "bob", "mount_accessor": one })).await;
    let (alias, entity) = (text(&bob.data()["id"]), text(&bob.data()["canonical_id"]));
    world.write(path, json!({ "name": "BOB", "mount_accessor": one })).await.is(200);
    world.write(path, json!({ "name": "BOB", "mount_accessor": one })).await.is(204);
    let second = json!({ "name": "rob", "mount_accessor": one, "canonical_id": entity });
    world.write(path, second).await.refused(400, "Alias already exists for requested entity and mount accessor");
    let other = world.write(path, json!({ "name": "rob", "mount_accessor": one })).await;
    let (rob, robs) = (text(&other.data()["id"]), text(&other.data()["canonical_id"]));
    let by_id = format!("{path}/id/{rob}");
    for (data, text) in [
        (json!({ "name": "bob" }), "alias with combination of mount accessor and name already exists"),
        (json!({ "canonical_id": entity }), "Alias cannot be updated as the given entity already has an alias for this mount "),
        (json!({ "canonical_id": "x" }), "given 'canonical_id' is not associated with an entity"),
        (json!({ "mount_accessor": "x" }), "invalid mount accessor \"x\""),
        (
            json!({ "custom_metadata": { "k": "" } }),
            "custom_metadata validation failed: length of value for key \"k\" is 0 but must be 0 < len(value) <= 512",
        ),
    ] {
        world.write(&by_id, data).await.refused(400, text);
    }
    world.write(path, json!({ "name": "x" })).await.refused(400, "'id' or 'mount_accessor' and 'name' must be provided");
    world.write(&format!("{path}/id/x"), json!({ "name": "x" })).await.refused(400, "invalid alias ID provided");
    let orphan = json!({ "name": "x", "mount_accessor": one, "canonical_id": "y" });
    world.write(path, orphan).await.refused(400, "invalid canonical ID");
    // On the other mount there is room.
    let moved = world.write(&by_id, json!({ "mount_accessor": two, "canonical_id": entity })).await;
    assert_eq!(moved.data(), &json!({ "id": rob, "canonical_id": entity }));
    assert_eq!(world.token("two", "rob").await.1, entity);
    assert_ne!(world.token("one", "rob").await.1, robs);
    assert_eq!(world.read(&format!("identity/entity/id/{robs}")).await.data()["aliases"], json!([]));
    for data in [json!({ "alias_id": alias }), json!({ "alias_name": "boB", "alias_mount_accessor": one })] {
        assert_eq!(world.write("identity/lookup/entity", data).await.data()["id"], json!(entity));
    }
    world.delete(&format!("{path}/id/{alias}")).await.is(204);
    world.delete(&format!("{path}/id/{alias}")).await.is(204);
    world.read(&format!("{path}/id/{alias}")).await.is(404);
}

#[tokio::test]
async fn a_lookup_needs_one_thing_to_look_for() {
    let world = World::new().await;
    let path = "identity/lookup/entity";
    for (data, text) in [
        (json!({}), "query parameter not supplied"),
        (json!({ "id": "a", "name": "b" }), "query parameter conflict; please supply distinct set of query parameters"),
        (json!({ "alias_name": "a" }), "both 'alias_name' and 'alias_mount_accessor' needs to be set"),
    ] {
        world.write(path, data).await.refused(400, text);
    }
    world.write(path, json!({ "name": "nobody" })).await.is(204);
    world.write(path, json!({ "alias_name": "a", "alias_mount_accessor": "b" })).await.is(204);
}

#[tokio::test]
async fn every_endpoint_needs_its_capability_and_what_is_not_there_is_unsupported() {
    let world = World::new().await;
    let (token, _) = world.token("one", "bob").await;
    for path in ["identity/entity/id/x", "identity/group/name/x", "identity/oidc/key/x", "identity/oidc/token/x"] {
        world.ask(&token, Operation::Read, path, Value::Null).await.is(403);
        world.ask("", Operation::Read, path, Value::Null).await.is(403);
    }
    for path in ["identity/oidc/provider/x", "identity/oidc/client/x", "identity/oidc/scope/x", "identity/mfa/method/x"] {
        let got = world.read(path).await;
        assert!(got.status == 404 && got.error().contains("unsupported path"), "{path}: {got:?}");
    }
}
