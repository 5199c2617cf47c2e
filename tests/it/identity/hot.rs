//! What a known token costs.

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::{World, text};

#[tokio::test]
async fn a_known_token_reads_no_storage_whatever_its_entity_is_in() {
    let world = World::new().await;
    world.lets_read("p", "kv/{{identity.entity.name}}").await;
    let auth = world.log_in("one", json!({ "name": "bob" })).await;
    let (token, entity) = (text(&auth["client_token"]), text(&auth["entity_id"]));
    let inner = json!({ "member_entity_ids": [entity], "policies": ["p"] });
    let inner = world.made("identity/group", inner).await;
    world.made("identity/group", json!({ "member_group_ids": [inner] })).await;
    let look = || world.ask(&token, Operation::Read, "auth/token/lookup-self", Value::Null);
    look().await.is(200);
    world.storage.reads();
    for _ in 0..3 {
        look().await.is(200);
        assert_eq!(world.storage.reads(), [""; 0]);
    }
    // Others who log in, and groups he is not in, change nothing of it but what is in memory.
    world.token("one", "eve").await;
    world.token("two", "eve").await;
    world.storage.reads();
    look().await.is(200);
    assert_eq!(world.storage.reads(), [""; 0]);
    world.made("identity/group", json!({ "policies": ["q"] })).await;
    world.storage.reads();
    look().await.is(200);
    assert_eq!(world.storage.reads(), [""; 0]);
}

#[tokio::test]
async fn a_merged_token_reads_no_storage_either() {
    let world = World::new().await;
    let ((token, from), (_, to)) = (world.token("one", "bob").await, world.token("two", "bob").await);
    world.write("identity/entity/merge", json!({ "from_entity_ids": [from], "to_entity_id": to })).await.is(204);
    let look = || world.ask(&token, Operation::Read, "auth/token/lookup-self", Value::Null);
    look().await.is(200);
    world.storage.reads();
    look().await.is(200);
    assert_eq!(world.storage.reads(), [""; 0]);
}

#[tokio::test]
async fn who_logs_in_again_is_known_until_his_alias_leads_elsewhere() {
    let world = World::new().await;
    let (_, first) = world.token("one", "bob").await;
    world.token("one", "bob").await;
    world.storage.reads();
    assert_eq!(world.token("one", "bob").await.1, first);
    let reads = world.storage.reads();
    assert!(reads.iter().all(|read| !read.contains(" identity/")), "{reads:?}");
    let alias = world.read(&format!("identity/entity/id/{first}")).await.data()["aliases"][0]["id"].clone();
    let other = world.made("identity/entity", json!({ "name": "robert" })).await;
    let path = format!("identity/entity-alias/id/{}", text(&alias));
    world.write(&path, json!({ "canonical_id": other })).await;
    assert_eq!(world.token("one", "bob").await.1, other);
    world.delete(&path).await.is(204);
    let third = world.token("one", "bob").await.1;
    assert!(third != first && third != other, "{third}");
}

#[tokio::test]
async fn a_start_reads_no_entities() {
    let world = World::new().await;
    for number in 0..20 {
        world.token("one", &format!("user{number}")).await;
    }
    let world = world.restart().await;
    let reads = world.storage.reads();
    assert!(!reads.is_empty());
    let entities: Vec<_> =
        reads.iter().filter(|read| read.contains(" identity/entity") || read.contains(" identity/alias")).collect();
    assert!(entities.is_empty(), "{entities:?}");
}

#[tokio::test]
async fn the_public_keys_cost_no_storage_read() {
    let world = World::new().await;
    world.write("identity/oidc/key/k", json!({ "algorithm": "EdDSA" })).await.is(204);
    let read = || world.ask("", Operation::Read, "identity/oidc/.well-known/keys", Value::Null);
    assert_eq!(read().await.body["keys"].as_array().unwrap().len(), 2);
    world.storage.reads();
    read().await.is(200);
    assert_eq!(world.storage.reads(), [""; 0]);
}
