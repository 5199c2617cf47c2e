//! Several entities become one.

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::{World, text};

#[tokio::test]
async fn old_tokens_of_merged_entities_work_and_logins_lead_to_the_one_that_stays() {
    let world = World::new().await;
    world.lets_read("p", "kv/p").await;
    let ((one, from), (two, to)) = (world.token("one", "bob").await, world.token("two", "rob").await);
    world.write(&format!("identity/entity/id/{from}"), json!({ "policies": ["q"], "metadata": { "k": "v" } })).await.is(204);
    world.write(&format!("identity/entity/id/{to}"), json!({ "policies": ["p"] })).await.is(204);
    let group = world.made("identity/group", json!({ "member_entity_ids": [from] })).await;
    world.write("identity/entity/merge", json!({ "from_entity_ids": from, "to_entity_id": to })).await.is(204);
    let check = async |world: &World| {
        for token in [&one, &two] {
            assert_eq!(world.capabilities(token, "kv/p").await, json!(["read"]));
            let shown = world.ask(token, Operation::Read, "auth/token/lookup-self", Value::Null).await;
            assert_eq!(shown.data()["identity_policies"], json!(["p"]));
        }
        assert_eq!(world.token("one", "bob").await.1, to);
        assert_eq!(world.token("two", "rob").await.1, to);
    };
    check(&world).await;
    world.read(&format!("identity/entity/id/{from}")).await.is(404);
    let shown = world.read(&format!("identity/entity/id/{to}")).await;
    let shown = shown.data();
    assert_eq!((&shown["merged_entity_ids"], &shown["metadata"]), (&json!([from]), &Value::Null));
    assert_eq!(shown["direct_group_ids"], json!([group]));
    let moved = shown["aliases"].as_array().unwrap().iter().find(|alias| alias["name"] == "bob").unwrap();
    assert_eq!((&moved["canonical_id"], &moved["merged_from_canonical_ids"]), (&json!(to), &json!([from])));
    assert_eq!(world.read(&format!("identity/group/id/{group}")).await.data()["member_entity_ids"], json!([to]));
    // Nobody remembers it but storage.
    let world = world.restart().await;
    check(&world).await;
    // Merged once more, both old ids lead to the last one.
    let last = world.made("identity/entity", json!({ "policies": ["p"] })).await;
    world.write("identity/entity/merge", json!({ "from_entity_ids": [to], "to_entity_id": last })).await.is(204);
    assert_eq!(world.capabilities(&one, "kv/p").await, json!(["read"]));
    assert_eq!(world.read(&format!("identity/entity/id/{last}")).await.data()["merged_entity_ids"], json!([from, to]));
    world.delete(&format!("identity/entity/id/{last}")).await.is(204);
    for token in [&one, &two] {
        world.ask(token, Operation::Read, "auth/token/lookup-self", Value::Null).await.is(403);
    }
    assert!(world.keys("identity/merged/").is_empty());
}

#[tokio::test]
async fn two_aliases_on_one_mount_clash_until_it_is_said_which_one_stays() {
    let world = World::new().await;
    for keeps_source in [true, false] {
        let ((_, from), (_, to)) = (world.token("one", "bob").await, world.token("one", "rob").await);
        let alias_of = async |entity: &str| {
            let shown = world.read(&format!("identity/entity/id/{entity}")).await;
            (text(&shown.data()["aliases"][0]["id"]), text(&shown.data()["name"]))
        };
        let ((source, from_name), (target, to_name)) = (alias_of(&from).await, alias_of(&to).await);
        let merge = json!({ "from_entity_ids": [from], "to_entity_id": to });
        let refused = world.write("identity/entity/merge", merge.clone()).await;
        refused.is(400);
        assert!(refused.error().contains("aliases with the same mount accessor"), "{refused:?}");
        let shown = |alias: &str, entity: &str, id: &str| json!({ "alias": alias, "entity": entity, "entity_id": id, "mount": "idp", "mount_path": "auth/one/" });
        assert_eq!(refused.body["data"], json!([shown(&source, &from_name, &from), shown(&target, &to_name, &to)]));
        let (kept, name, lost) = if keeps_source { (&source, "bob", &target) } else { (&target, "rob", &source) };
        let mut merge = merge;
        merge["conflicting_alias_ids_to_keep"] = json!([kept]);
        world.write("identity/entity/merge", merge).await.is(204);
        assert_eq!(world.token("one", name).await.1, to);
        world.read(&format!("identity/entity-alias/id/{lost}")).await.is(404);
        world.delete(&format!("identity/entity/id/{to}")).await.is(204);
        assert!(world.keys("identity/alias").is_empty(), "{:?}", world.keys("identity/alias"));
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let (one, two) = (world.made("identity/entity", json!({})).await, world.made("identity/entity", json!({})).await);
    for (data, text) in [
        (json!({ "from_entity_ids": [one] }), "missing entity id to merge to"),
        (json!({ "to_entity_id": one }), "missing entity ids to merge from"),
        (json!({ "from_entity_ids": [one, two], "to_entity_id": one }), "to_entity_id should not be present in from_entity_ids"),
        (json!({ "from_entity_ids": [one, "x"], "to_entity_id": two }), "entity id to merge from is invalid"),
        (json!({ "from_entity_ids": [one], "to_entity_id": "x" }), "entity id to merge to is invalid"),
    ] {
        world.write("identity/entity/merge", data).await.refused(400, text);
    }
}
