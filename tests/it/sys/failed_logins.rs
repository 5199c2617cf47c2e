//! A login that must fail tells nobody who is there: who is known and who is not get the same answer after the same reads, with
//! nothing at hand of what is stored and with all of it. How often passwords are compared is counted beside `userpass` itself.

use serde_json::{Value, json};

use super::World;

/// What a login shows to who sends it, and how often it made storage read.
async fn seen(world: &World, path: &str, body: Value) -> (u16, String, usize) {
    world.storage.reads();
    let got = world.send("POST", path, "", body, &[]).await;
    (got.status, got.text, world.storage.reads().len())
}

/// A server with both methods; a role id and a user name of it.
async fn furnished() -> (World, Value) {
    let world = World::start().await;
    for kind in ["approle", "userpass"] {
        world.post(&format!("sys/auth/{kind}"), json!({ "type": kind })).await.is(204);
    }
    world.post("auth/userpass/users/bob", json!({ "password": "a password" })).await.is(204);
    world.post("auth/approle/role/web", json!({ "token_policies": "default" })).await.is(204);
    let id = world.get("auth/approle/role/web/role-id").await.data()["role_id"].clone();
    (world, id)
}

#[tokio::test]
async fn a_role_id_that_is_unknown_costs_and_says_what_a_known_one_does() {
    let (first, known) = furnished().await;
    let world = first.crashed().await;
    drop(first);
    let secret = world.post("auth/approle/role/web/secret-id", json!({})).await.data()["secret_id"].clone();
    let login = |role_id: &Value, secret_id: &Value| json!({ "role_id": role_id, "secret_id": secret_id });
    let refusal = (400, "{\"errors\":[\"invalid role or secret ID\"]}\n".to_owned(), 3);
    // The first time nothing is at hand, afterwards the role is; a right login keeps the secret id at hand as well.
    for round in ["cold", "warm", "after a right login"] {
        for id in [&known, &json!("unknown")] {
            assert_eq!(seen(&world, "auth/approle/login", login(id, &json!("wrong"))).await, refusal, "{round} {id}");
        }
        if round == "warm" {
            world.send("POST", "auth/approle/login", "", login(&known, &secret), &[]).await.is(200);
        }
    }
    let missing = (400, "{\"errors\":[\"missing secret_id\"]}\n".to_owned(), 3);
    for id in [&known, &json!("unknown")] {
        assert_eq!(seen(&world, "auth/approle/login", login(id, &json!(" "))).await, missing, "{id}");
    }
    // The right one waits for none of this.
    world.storage.reads();
    world.send("POST", "auth/approle/login", "", login(&known, &secret), &[]).await.is(200);
    let reads = world.storage.reads();
    assert!(reads.iter().all(|read| !read.starts_with("get auth/")), "{reads:?}");
}

/// Such a rule has the role looked up before the login is judged.
#[tokio::test]
async fn a_rule_for_a_role_does_not_tell_which_role_ids_there_are() {
    let (world, known) = furnished().await;
    for kind in ["rate-limit", "lease-count"] {
        let rule = json!({ "path": "auth/approle", "role": "other", "rate": 1_000_000, "max_leases": 1_000_000 });
        world.post(&format!("sys/quotas/{kind}/other"), rule).await.is(204);
    }
    let login = |role_id: &Value| json!({ "role_id": role_id, "secret_id": "wrong" });
    let cold = seen(&world, "auth/approle/login", login(&known)).await;
    assert_eq!((cold.0, cold.1.as_str()), (400, "{\"errors\":[\"invalid role or secret ID\"]}\n"));
    for id in [&json!("unknown"), &known, &json!("unknown")] {
        assert_eq!(seen(&world, "auth/approle/login", login(id)).await, cold, "{id}");
    }
}

#[tokio::test]
async fn a_user_name_that_is_unknown_costs_and_says_what_a_known_one_does() {
    let (first, _) = furnished().await;
    let world = first.crashed().await;
    drop(first);
    let refusal = (400, "{\"errors\":[\"invalid username or password\"]}\n".to_owned(), 1);
    for round in ["cold", "warm"] {
        for name in ["bob", "eve"] {
            let path = format!("auth/userpass/login/{name}");
            assert_eq!(seen(&world, &path, json!({ "password": "wrong" })).await, refusal, "{round} {name}");
        }
    }
}
