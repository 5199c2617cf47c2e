//! CORS and the headers of the user interface, with effect (spec `http-api.md` §10, `sys.md` §10).

use serde_json::{Value, json};

use super::World;

const ORIGIN: &str = "https://page.example";

#[tokio::test]
async fn nobody_is_told_anything_until_origins_are_allowed() {
    let world = World::start().await;
    assert_eq!(world.get("sys/config/cors").await.data(), json!({ "enabled": false }));
    let plain = world.send("GET", "sys/health", "", Value::Null, &[("Origin", ORIGIN)]).await.is(200);
    assert_eq!(plain.header("access-control-allow-origin"), None);
    let refused = world.post("sys/config/cors", json!({})).await.is(500);
    assert!(refused.error().contains("at least one origin or the wildcard must be provided"));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_and_others_may_not() {
    let world = World::start().await;
    world.post("sys/config/cors", json!({ "allowed_origins": [ORIGIN], "allowed_headers": "X-Mine" })).await.is(204);
    let config = world.get("sys/config/cors").await.is(200).json();
    assert_eq!((&config["enabled"], &config["data"]["allowed_origins"]), (&json!(true), &json!([ORIGIN])));
    let allowed = world.send("GET", "sys/health", "", Value::Null, &[("Origin", ORIGIN)]).await.is(200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    let other = world.send("GET", "sys/health", "", Value::Null, &[("Origin", "https://evil.example")]).await.is(403);
    assert_eq!(other.error(), "origin not allowed");
    let ask = |method: &'static str| {
        let headers = [("Origin", ORIGIN), ("Access-Control-Request-Method", method)];
        let world = &world;
        async move { world.send("OPTIONS", "secret/a", "", Value::Null, &headers).await }
    };
    let preflight = ask("LIST").await.is(200);
    assert_eq!(preflight.text, "");
    assert_eq!(preflight.header("access-control-allow-methods"), Some("DELETE,GET,OPTIONS,POST,PUT,LIST"));
    assert_eq!(preflight.header("access-control-max-age"), Some("300"));
    assert!(preflight.header("access-control-allow-headers").unwrap().ends_with("X-Vault-Token,X-Mine"));
    ask("PATCH").await.is(405);
    world.ask("DELETE", "sys/config/cors", Value::Null).await.is(204);
    assert_eq!(world.crashed().await.get("sys/config/cors").await.data(), json!({ "enabled": false }));
}

#[tokio::test]
async fn headers_of_the_user_interface_are_kept_and_sent() {
    let world = World::start().await;
    let path = "sys/config/ui/headers/X-Frame-Options";
    world.get(path).await.is(404);
    let written = world.post(path, json!({ "values": ["DENY", "SAMEORIGIN"] })).await.is(200).json();
    assert_eq!(written["data"], Value::Null);
    assert_eq!(world.get(path).await.data(), json!({ "value": "DENY" }));
    assert_eq!(world.get(&format!("{path}?multivalue=true")).await.data(), json!({ "values": ["DENY", "SAMEORIGIN"] }));
    assert_eq!(world.ask("LIST", "sys/config/ui/headers", Value::Null).await.data()["keys"], json!(["x-frame-options"]));
    assert_eq!(world.post(path, json!({})).await.is(400).error(), "header and values must be specified");
    let own = world.post("sys/config/ui/headers/X-Vault-Foo", json!({ "values": "a" })).await.is(400);
    assert_eq!(own.error(), "X-Vault headers cannot be set");
    let policy = world.post("sys/config/ui/headers/Content-Security-Policy", json!({ "values": "default-src 'self'" })).await;
    assert!(policy.is(200).json()["warnings"][0].as_str().unwrap().contains("Content-Security-Policy"));
    world.ask("DELETE", path, Value::Null).await.is(204);
    world.get(path).await.is(404);
}
