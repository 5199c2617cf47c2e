//! Rate-limit quotas: which rule holds, for whom, and what replies tell (spec `sys.md` §13).

use std::time::Duration;

use serde_json::{Value, json};

use super::{Got, World};

impl World {
    async fn from(&self, peer: &str, path: &str) -> Got {
        self.send("GET", path, &self.root, Value::Null, &[("peer", peer)]).await
    }
}

async fn world() -> World {
    let world = World::start().await;
    world.post("sys/mounts/kv", json!({ "type": "kv" })).await.is(204);
    world
}

#[tokio::test]
async fn a_client_over_its_rate_is_refused_until_the_interval_has_passed() {
    let world = world().await;
    let rule = json!({ "rate": 2, "interval": "10s", "path": "kv" });
    world.post("sys/quotas/rate-limit/kv", rule).await.is(204);
    for _ in 0..2 {
        world.get("kv/a").await.is(404);
    }
    let refused = world.get("kv/a").await.is(429);
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(refused.error(), "request path \"kv/a\": rate limit quota exceeded");
    world.from("198.51.100.1:1", "kv/a").await.is(404);
    world.get("sys/mounts").await.is(200);
    world.clock.advance(Duration::from_secs(5));
    world.get("kv/a").await.is(404);
    world.get("kv/a").await.is(429);
}

#[tokio::test]
async fn the_most_specific_rule_decides_alone() {
    let world = world().await;
    for (name, path, rate) in [("mount", "kv/", 2), ("glob", "kv/many/*", 3), ("one", "kv/many/x", 4), ("all", "", 1)] {
        world
            .post(&format!("sys/quotas/rate-limit/{name}"), json!({ "rate": rate, "path": path, "interval": "1h" }))
            .await
            .is(204);
    }
    for (path, passes) in [("kv/many/x", 4), ("kv/many/y", 3), ("kv/many/x/y", 0), ("kv/z", 2)] {
        for _ in 0..passes {
            world.from("198.51.100.9:1", path).await.is(404);
        }
        world.from("198.51.100.9:1", path).await.is(429);
    }
    world.from("198.51.100.9:1", "sys/mounts").await.is(200);
    world.from("198.51.100.9:1", "sys/mounts").await.is(429);
    world.from("198.51.100.9:1", "sys/health").await.is(200);
}

#[tokio::test]
async fn a_rule_of_a_role_holds_for_its_logins() {
    let world = world().await;
    world.post("sys/auth/approle", json!({ "type": "approle" })).await.is(204);
    let mut ids = Vec::new();
    for role in ["web", "batch"] {
        world
            .post(&format!("auth/approle/role/{role}"), json!({ "bind_secret_id": false, "token_bound_cidrs": "0.0.0.0/0" }))
            .await;
        let id = world.get(&format!("auth/approle/role/{role}/role-id")).await.data()["role_id"].as_str().unwrap().to_owned();
        ids.push(id);
    }
    let rule = json!({ "rate": 1, "interval": "1h", "path": "auth/approle", "role": "web" });
    world.post("sys/quotas/rate-limit/web", rule).await.is(204);
    world.post("sys/quotas/rate-limit/rest", json!({ "rate": 3, "interval": "1h", "path": "auth/approle" })).await.is(204);
    let login = |id: usize| {
        let body = json!({ "role_id": ids[id] });
        let world = &world;
        async move { world.send("POST", "auth/approle/login", "", body, &[]).await.status }
    };
    assert_eq!([login(0).await, login(0).await], [200, 429]);
    assert_eq!([login(1).await, login(1).await, login(1).await, login(1).await], [200, 200, 200, 429]);
    let wrong = json!({ "rate": 1, "path": "kv", "role": "web" });
    assert_eq!(
        world.post("sys/quotas/rate-limit/x", wrong).await.is(400).error(),
        "Mount path \"kv/\" is not a valid auth method and therefore unsuitable for use with role-based quotas"
    );
}

#[tokio::test]
async fn headers_tell_the_rate_when_they_are_asked_to() {
    let world = world().await;
    world.post("sys/quotas/config", json!({ "enable_rate_limit_response_headers": true })).await.is(204);
    let config = world.get("sys/quotas/config").await.data();
    assert_eq!(config["rate_limit_exempt_paths"], json!([]), "a write replaces all of it");
    let rule = json!({ "rate": 1, "interval": "30s", "block_interval": "60s", "path": "kv/a" });
    world.post("sys/quotas/rate-limit/a", rule).await.is(204);
    let first = world.get("kv/a").await.is(404);
    let told =
        ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| first.header(name).map(str::to_owned));
    assert_eq!(told, ["1", "0", "30"].map(|text| Some(text.to_owned())));
    let refused = world.get("kv/a").await.is(429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(world.get("kv/b").await.header("x-ratelimit-limit"), None);
    world.clock.advance(Duration::from_secs(59));
    world.get("kv/a").await.is(429);
    world.clock.advance(Duration::from_secs(1));
    world.get("kv/a").await.is(404);
}

#[tokio::test]
async fn rules_are_kept_and_refused_as_the_api_says() {
    let world = world().await;
    let path = "sys/quotas/rate-limit/one";
    world.get(path).await.is(404);
    world.ask("DELETE", path, Value::Null).await.is(204);
    assert_eq!(world.post(path, json!({ "path": "kv" })).await.is(400).error(), "'rate' is invalid");
    assert_eq!(world.post(path, json!({ "rate": -1 })).await.is(400).error(), "'rate' is invalid");
    let missing = json!({ "rate": 1, "path": "nothing/*" });
    assert_eq!(world.post(path, missing).await.is(400).error(), "invalid mount path \"nothing/*\"");
    world.post(path, json!({ "rate": 16.7, "path": "kv/some/*", "burst": 3 })).await.is(204);
    let read = world.get(path).await.data();
    let expected = json!({
        "type": "rate-limit", "name": "one", "path": "kv/some/*", "role": "", "rate": 16.7, "interval": 1, "block_interval": 0,
    });
    assert_eq!(read, expected);
    let twin = world.post("sys/quotas/rate-limit/two", json!({ "rate": 5, "path": "kv/some/*" })).await.is(400);
    assert_eq!(twin.error(), "quota rule with similar properties exists under the name \"one\"");
    assert_eq!(world.ask("LIST", "sys/quotas/rate-limit", Value::Null).await.data()["keys"], json!(["one"]));
    let again = world.crashed().await;
    assert_eq!(again.get(path).await.data(), expected);
    again.ask("DELETE", path, Value::Null).await.is(204);
    again.get(path).await.is(404);
}

#[tokio::test]
async fn rules_follow_their_mount_when_it_moves() {
    let world = world().await;
    for (name, path, rate) in [("mount", "kv", 2), ("glob", "kv/many/*", 1), ("one", "kv/x", 3)] {
        let rule = json!({ "rate": rate, "path": path, "interval": "1h" });
        world.post(&format!("sys/quotas/rate-limit/{name}"), rule).await.is(204);
    }
    world.post("sys/remount", json!({ "from": "kv", "to": "team/kv" })).await.is(200);
    world.post("sys/mounts/kv", json!({ "type": "kv" })).await.is(204);
    let path = async |world: &World, name: &str| {
        world.get(&format!("sys/quotas/rate-limit/{name}")).await.data()["path"].as_str().unwrap().to_owned()
    };
    for world in [&world, &world.crashed().await] {
        assert_eq!(path(world, "mount").await, "team/kv/");
        assert_eq!(path(world, "glob").await, "team/kv/many/*");
        assert_eq!(path(world, "one").await, "team/kv/x");
        for (path, passes) in [("team/kv/a", 2), ("team/kv/many/a", 1), ("team/kv/x", 3)] {
            for _ in 0..passes {
                world.get(path).await.is(404);
            }
            world.get(path).await.is(429);
        }
        for _ in 0..4 {
            world.get("kv/x").await.is(404);
        }
    }
}

#[tokio::test]
async fn rules_go_with_their_mount_when_it_is_unmounted() {
    let world = world().await;
    let rule = json!({ "rate": 1, "path": "kv", "interval": "1h" });
    world.post("sys/quotas/rate-limit/kv", rule.clone()).await.is(204);
    world.post("sys/quotas/rate-limit/all", json!({ "rate": 1000 })).await.is(204);
    world.ask("DELETE", "sys/mounts/kv", Value::Null).await.is(204);
    world.get("sys/quotas/rate-limit/kv").await.is(404);
    world.post("sys/mounts/kv", json!({ "type": "kv" })).await.is(204);
    for _ in 0..3 {
        world.get("kv/a").await.is(404);
    }
    // Nothing is left that a new rule would be alike.
    world.post("sys/quotas/rate-limit/other", rule).await.is(204);
    assert_eq!(
        world.crashed().await.ask("LIST", "sys/quotas/rate-limit", Value::Null).await.data()["keys"],
        json!(["all", "other"])
    );
}
