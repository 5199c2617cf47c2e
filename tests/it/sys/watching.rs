//! What the server tells of itself: metrics, requests under way, the machine, who is locked out (spec `sys.md` §12, §17).

use std::sync::Arc;

use leasehold::base::time::ManualClock;
use leasehold::base::{Timestamp, Ttl};
use leasehold::config::log::{Log, LogSettings};
use leasehold::config::{ListenerLimits, Telemetry};
use leasehold::core::Settings;
use serde_json::{Value, json};

use super::World;

#[tokio::test]
async fn metrics_count_the_requests_of_each_mount_in_both_forms() {
    let world = World::start().await;
    world.post("sys/mounts/kv", json!({ "type": "kv" })).await.is(204);
    world.post("kv/a", json!({ "x": 1 })).await.is(204);
    world.get("kv/a").await.is(200);
    world.get("kv/b").await.is(404);
    let page = world.get("sys/metrics?format=prometheus").await.is(200);
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in ["vault_route_read_kv__count 2", "vault_route_update_kv__count 1", "vault_core_unsealed 1"] {
        assert!(page.text.lines().any(|found| found == line), "{line} is not in\n{}", page.text);
    }
    let failures = "vault_route_failures{mount_point=\"kv/\",operation=\"read\",type=\"kv\"} 1";
    assert!(page.text.contains(failures), "{}", page.text);
    let json = world.get("sys/metrics").await.is(200).json();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Counters", "Gauges", "Points", "Samples", "Timestamp"]);
    let read = json["Samples"].as_array().unwrap().iter().find(|sample| sample["Name"] == "vault.route.read.kv-");
    assert_eq!(read.unwrap()["Count"], json!(2));
    let unknown = world.get("sys/metrics?format=xml").await.is(400);
    assert_eq!(unknown.text, "metric response format \"xml\" unknown");
}

#[tokio::test]
async fn without_a_retention_prometheus_is_not_served() {
    let telemetry = Telemetry { prometheus_retention: Ttl::ZERO, ..Telemetry::default() };
    let world = World::with(Settings { telemetry, ..Settings::default() }, ListenerLimits::default()).await;
    assert_eq!(world.get("sys/metrics?format=prometheus").await.is(400).error(), "prometheus is not enabled");
    world.get("sys/metrics").await.is(200);
}

#[tokio::test]
async fn a_listener_may_tell_metrics_to_everybody_also_while_sealed() {
    let open = ListenerLimits { unauthenticated_metrics: true, ..ListenerLimits::default() };
    let world = World::with(Settings::default(), open).await;
    world.send("GET", "sys/metrics", "", Value::Null, &[]).await.is(200);
    world.post("sys/seal", Value::Null).await.is(204);
    let page = world.send("GET", "sys/metrics?format=prometheus", "", Value::Null, &[]).await.is(200);
    assert!(page.text.contains("vault_core_unsealed 0"), "{}", page.text);
    let closed = World::start().await;
    closed.send("GET", "sys/metrics", "", Value::Null, &[]).await.is(403);
}

#[tokio::test]
async fn a_request_finds_itself_under_way() {
    let world = World::start().await;
    let listed = world.get("sys/in-flight-req").await.is(200).json();
    let all = listed.as_object().unwrap();
    assert_eq!(all.len(), 1);
    let one = all.values().next().unwrap();
    assert_eq!((&one["request_path"], &one["request_method"]), (&json!("/v1/sys/in-flight-req"), &json!("GET")));
    assert_eq!(one["client_remote_address"], "192.0.2.7:4711");
    assert!(!one["client_id"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn who_is_locked_out_is_listed_and_let_in_again() {
    let world = World::start().await;
    world.post("sys/auth/userpass", json!({ "type": "userpass" })).await.is(204);
    world.post("auth/userpass/users/bob", json!({ "password": "right" })).await.is(204);
    let accessor = world.get("sys/auth/userpass").await.data()["accessor"].as_str().unwrap().to_owned();
    let nobody = json!([{ "namespace_id": "root", "namespace_path": "", "counts": 0, "mount_accessors": [] }]);
    assert_eq!(world.get("sys/locked-users").await.data(), json!({ "by_namespace": nobody, "total": 0 }));
    let login = |password: &'static str| {
        let world = &world;
        async move { world.send("POST", "auth/userpass/login/bob", "", json!({ "password": password }), &[]).await.status }
    };
    for _ in 0..5 {
        assert_eq!(login("wrong").await, 400);
    }
    assert_eq!(login("right").await, 403);
    let locked = world.get(&format!("sys/locked-users?mount_accessor={accessor}")).await.data();
    let mount = json!({ "mount_accessor": accessor, "counts": 1, "alias_identifiers": ["bob"] });
    assert_eq!((&locked["total"], &locked["by_namespace"][0]["mount_accessors"]), (&json!(1), &json!([mount])));
    let unknown = world.get("sys/locked-users?mount_accessor=nothing").await.data();
    let absent = json!([{ "mount_accessor": "nothing", "counts": 0, "alias_identifiers": null }]);
    assert_eq!(unknown["by_namespace"][0]["mount_accessors"], absent);
    world.post(&format!("sys/locked-users/{accessor}/unlock/bob"), Value::Null).await.is(204);
    world.post("sys/locked-users/nothing/unlock/nobody", Value::Null).await.is(204);
    assert_eq!(login("right").await, 200);
}

#[tokio::test]
async fn types_that_do_nothing_are_mounted_and_every_path_below_them_is_unsupported() {
    let world = World::start().await;
    for kind in ["github", "gcp"] {
        let mount = format!("sys/auth/{kind}");
        world.post(&mount, json!({ "type": kind })).await.is(204);
        assert_eq!(world.get("sys/auth").await.data()[format!("{kind}/")]["type"], kind);
        world.post(&format!("{mount}/tune"), json!({ "description": "tuned" })).await.is(204);
        let login = format!("auth/{kind}/login");
        let denied = world.send("POST", &login, "", json!({ "token": "x" }), &[]).await.is(403);
        assert_eq!(denied.error(), "permission denied");
        let unsupported = world.post(&login, json!({ "token": "x" })).await.is(404);
        assert_eq!(unsupported.error(), "1 error occurred:\n\t* unsupported path\n\n");
        let (from, to) = (format!("auth/{kind}"), format!("auth/{kind}2"));
        world.post("sys/remount", json!({ "from": from, "to": to })).await.is(200);
        world.ask("DELETE", &format!("{mount}2"), Value::Null).await.is(204);
    }
}

#[tokio::test]
async fn the_log_is_followed_until_the_server_is_sealed() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
    let log = Log::start(&LogSettings::default(), clock, std::io::sink()).unwrap();
    let _here = tracing::subscriber::set_default(log.subscriber());
    let world = World::with(Settings { log: Some(log), ..Settings::default() }, ListenerLimits::default()).await;
    assert_eq!(world.get("sys/monitor?log_level=loud").await.is(400).error(), "unknown log level");
    assert_eq!(world.get("sys/monitor?log_format=xml").await.is(400).error(), "unknown log format");
    let then = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        world.post("sys/mounts/kv", json!({ "type": "kv" })).await.is(204);
        world.post("sys/seal", Value::Null).await.is(204);
    };
    let (followed, ()) = tokio::join!(world.get("sys/monitor?log_format=json"), then);
    let lines: Vec<Value> = followed.is(200).text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["@message"] == "`kv/` is mounted"), "{lines:?}");
}

#[tokio::test]
async fn levels_of_parts_are_set_and_reset() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
    let log = Log::start(&LogSettings::default(), clock, std::io::sink()).unwrap();
    let world = World::with(Settings { log: Some(log), ..Settings::default() }, ListenerLimits::default()).await;
    let all = world.get("sys/loggers").await.is(200).json();
    assert_eq!((&all["data"]["core"], &all["warnings"]), (&json!("info"), &json!([])));
    world.post("sys/loggers/core", json!({ "level": "debug" })).await.is(204);
    let levels = world.get("sys/loggers").await.data();
    assert_eq!((&levels["core"], &levels["core.sys"], &levels["lease"]), (&json!("debug"), &json!("debug"), &json!("info")));
    world.post("sys/loggers", json!({ "level": "error" })).await.is(204);
    assert_eq!(world.get("sys/loggers/core").await.data(), json!({ "core": "error" }));
    world.ask("DELETE", "sys/loggers", Value::Null).await.is(204);
    assert_eq!(world.get("sys/loggers/core").await.data(), json!({ "core": "info" }));
    let bad = world.post("sys/loggers/core", json!({ "level": "loud" })).await.is(400);
    assert_eq!(bad.error(), "invalid level provided: unknown log level: loud");
    assert_eq!(world.post("sys/loggers/x", json!({ "level": "info" })).await.is(400).error(), "logger \"x\" not found");
}
