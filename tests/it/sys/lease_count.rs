//! Lease-count quotas: never one lease too many, and a count that is true after races and crashes (spec `sys.md` §13).

use std::sync::Arc;

use leasehold::base::Tasks;
use serde_json::{Value, json};

use super::World;

impl World {
    async fn limit(&self, name: &str, path: &str, max: u64) {
        self.post(&format!("sys/quotas/lease-count/{name}"), json!({ "path": path, "max_leases": max })).await.is(204);
    }

    async fn counter(&self, name: &str) -> u64 {
        self.get(&format!("sys/quotas/lease-count/{name}")).await.data()["counter"].as_u64().unwrap()
    }

    /// Waits until what works behind the operator has counted so many.
    async fn counts(&self, name: &str, wanted: u64) {
        for _ in 0..10_000 {
            if self.counter(name).await == wanted {
                return;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(self.counter(name).await, wanted, "{name}");
    }

    async fn token(&self) -> Result<String, String> {
        let got = self.post("auth/token/create", json!({ "policies": ["default"], "ttl": "1h", "no_parent": true })).await;
        match got.status {
            200 => Ok(got.json()["auth"]["client_token"].as_str().unwrap().to_owned()),
            429 => Err(got.error()),
            status => panic!("{status}: {}", got.text),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_requests_at_once_get_exactly_as_many_tokens_as_there_may_be() {
    let world = Arc::new(World::start().await);
    world.limit("tokens", "auth/token", 7).await;
    let tasks = Tasks::default();
    let asks: Vec<_> = (0..40)
        .map(|_| {
            let world = Arc::clone(&world);
            tasks.spawn(async move { world.token().await })
        })
        .collect();
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for ask in asks {
        match ask.await.unwrap() {
            Ok(token) => made.push(token),
            Err(text) => refused.push(text),
        }
    }
    assert_eq!((made.len(), refused.len()), (7, 33));
    assert!(refused.iter().all(|text| text == "request path \"auth/token/create\": lease count quota exceeded"), "{refused:?}");
    assert_eq!(world.counter("tokens").await, 7);
    for token in made.iter().take(3) {
        world.post("auth/token/revoke", json!({ "token": token })).await.is(204);
    }
    assert_eq!(world.counter("tokens").await, 4);
    let again = world.crashed().await;
    assert_eq!(again.counter("tokens").await, 4);
    for _ in 0..3 {
        again.token().await.unwrap();
    }
    again.token().await.unwrap_err();
    assert_eq!(again.crashed().await.counter("tokens").await, 7);
}

#[tokio::test]
async fn tokens_that_end_by_themselves_make_room() {
    let world = World::start().await;
    world.limit("tokens", "auth/token/", 1).await;
    world.token().await.unwrap();
    world.token().await.unwrap_err();
    world.clock.advance(std::time::Duration::from_secs(3601));
    world.counts("tokens", 0).await;
    world.token().await.unwrap();
}

#[tokio::test]
async fn what_was_lent_before_a_rule_counts_under_it_also_after_a_crash() {
    let world = World::start().await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(world.token().await.unwrap());
    }
    world.limit("tokens", "auth/token", 4).await;
    world.counts("tokens", 3).await;
    world.token().await.unwrap();
    world.token().await.unwrap_err();
    world.limit("exact", "auth/token/create", 9).await;
    world.counts("exact", 4).await;
    world.counts("tokens", 0).await;
    let again = world.crashed().await;
    again.counts("exact", 4).await;
    again.post("auth/token/revoke", json!({ "token": tokens[0] })).await.is(204);
    again.ask("DELETE", "sys/quotas/lease-count/exact", Value::Null).await.is(204);
    again.counts("tokens", 3).await;
}

#[tokio::test]
async fn batch_and_root_tokens_do_not_count() {
    let world = World::start().await;
    world.limit("all", "", 1).await;
    for _ in 0..2 {
        let batch = json!({ "type": "batch", "policies": ["default"], "no_parent": true, "ttl": "1h" });
        world.post("auth/token/create", batch).await.is(200);
        world.post("auth/token/create", json!({ "policies": ["root"] })).await.is(200);
    }
    assert_eq!(world.counter("all").await, 0);
}

#[tokio::test]
async fn a_login_counts_under_the_rule_of_its_role() {
    let world = World::start().await;
    world.post("sys/auth/approle", json!({ "type": "approle" })).await.is(204);
    world.post("auth/approle/role/web", json!({ "bind_secret_id": false, "token_bound_cidrs": "0.0.0.0/0" })).await.is(204);
    let id = world.get("auth/approle/role/web/role-id").await.data()["role_id"].clone();
    let rule = json!({ "path": "auth/approle", "role": "web", "max_leases": 1 });
    world.post("sys/quotas/lease-count/web", rule).await.is(204);
    let login = || world.send("POST", "auth/approle/login", "", json!({ "role_id": id }), &[]);
    login().await.is(200);
    assert_eq!(login().await.is(429).error(), "request path \"auth/approle/login\": lease count quota exceeded");
    world.post("sys/leases/revoke-prefix/auth/approle/login", json!({})).await.is(204);
    assert_eq!(world.counter("web").await, 0);
    login().await.is(200);
}

#[tokio::test]
async fn a_lower_limit_revokes_nothing_and_rules_are_refused_as_those_of_rates() {
    let world = World::start().await;
    world.limit("tokens", "auth/token", 3).await;
    let token = world.token().await.unwrap();
    world.token().await.unwrap();
    world.limit("tokens", "auth/token", 1).await;
    assert_eq!(world.counter("tokens").await, 2);
    world.send("GET", "auth/token/lookup-self", &token, Value::Null, &[]).await.is(200);
    world.token().await.unwrap_err();
    let refuse = |body: Value| {
        let world = &world;
        async move { world.post("sys/quotas/lease-count/other", body).await.is(400).error() }
    };
    assert_eq!(refuse(json!({ "path": "auth/token" })).await, "'max_leases' is invalid");
    assert_eq!(refuse(json!({ "path": "no", "max_leases": 1 })).await, "invalid mount path \"no\"");
    let twin = "quota rule with similar properties exists under the name \"tokens\"";
    assert_eq!(refuse(json!({ "path": "auth/token/", "max_leases": 1 })).await, twin);
    world.ask("DELETE", "sys/quotas/lease-count/tokens", Value::Null).await.is(204);
    world.get("sys/quotas/lease-count/tokens").await.is(404);
    world.token().await.unwrap();
}

#[tokio::test]
async fn a_rule_follows_its_mount_and_goes_with_it() {
    let world = World::start().await;
    world.post("sys/auth/approle", json!({ "type": "approle" })).await.is(204);
    world.post("auth/approle/role/web", json!({ "bind_secret_id": false, "token_bound_cidrs": "0.0.0.0/0" })).await.is(204);
    let id = world.get("auth/approle/role/web/role-id").await.data()["role_id"].clone();
    world.limit("logins", "auth/approle", 1).await;
    let login = async |world: &World| world.send("POST", "auth/moved/login", "", json!({ "role_id": id }), &[]).await.status;
    world.send("POST", "auth/approle/login", "", json!({ "role_id": id }), &[]).await.is(200);
    world.post("sys/remount", json!({ "from": "auth/approle", "to": "auth/moved" })).await.is(200);
    assert_eq!(world.get("sys/quotas/lease-count/logins").await.data()["path"], "auth/moved/");
    // What was lent under the old path has ended.
    world.counts("logins", 0).await;
    assert_eq!((login(&world).await, login(&world).await), (200, 429));
    let world = world.crashed().await;
    assert_eq!((world.counter("logins").await, login(&world).await), (1, 429));
    world.ask("DELETE", "sys/auth/moved", Value::Null).await.is(204);
    world.get("sys/quotas/lease-count/logins").await.is(404);
    assert!(world.storage.inner.keys("core/quota/count/").is_empty());
}
