//! Roles, by the spec and the recorded replies of `tests/golden/http/approle-login.json`; what all tests of the method share.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::builtin;
use crate::base::Ttl;
use crate::mount::harness::{Answer, Bench, Rig};
use crate::mount::{Class, Registry};
use crate::policy::Operation;

/// A fresh mount.
pub(super) async fn bench() -> Bench {
    Rig::new().await.mount(&registry(), Class::Auth, "approle", &[]).await.unwrap()
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    builtin(&mut registry);
    registry
}

/// The same mount, as the next process opens it.
pub(super) async fn reopened(bench: &Bench) -> Bench {
    bench.rig.open(&registry(), Arc::clone(&bench.entry)).await.unwrap()
}

/// A mount with the role `web` as `data` says.
pub(super) async fn with_role(data: Value) -> Bench {
    let bench = bench().await;
    bench.post("role/web", data).await.is_empty();
    bench
}

impl Bench {
    pub(super) async fn role_id(&self, role: &str) -> String {
        self.get(&format!("role/{role}/role-id")).await.text("role_id")
    }

    /// Generates a secret id; the answer has it and its accessor.
    pub(super) async fn secret_id(&self, role: &str, data: Value) -> Answer {
        let answer = self.post(&format!("role/{role}/secret-id"), data).await;
        answer.ok();
        answer
    }

    pub(super) async fn field(&self, name: &str) -> Value {
        self.get("role/web").await.ok()[name].clone()
    }
}

const UUID: usize = 36;

#[tokio::test]
async fn a_role_of_nothing_has_the_defaults() {
    let bench = with_role(json!({})).await;
    let expected = json!({
        "bind_secret_id": true, "secret_id_bound_cidrs": null, "secret_id_num_uses": 0, "secret_id_ttl": 0,
        "local_secret_ids": false, "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
        "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0, "token_policies": [], "token_ttl": 0,
        "token_type": "default",
    });
    assert_eq!(*bench.get("role/web").await.ok(), expected);
    let role_id = bench.role_id("web").await;
    assert_eq!((role_id.len(), role_id.matches('-').count()), (UUID, 4));
}

#[tokio::test]
async fn an_update_touches_supplied_fields_only() {
    let bench = with_role(json!({ "token_ttl": "1h", "token_max_ttl": "4h", "bind_secret_id": "true" })).await;
    let role_id = bench.role_id("web").await;
    bench.post("role/web", json!({ "token_policies": "a", "secret_id_ttl": "10m", "token_ttl": null })).await.is_empty();
    let role = bench.get("role/web").await;
    assert_eq!((&role.ok()["token_ttl"], &role.ok()["token_policies"]), (&json!(3600), &json!(["a"])));
    assert_eq!(role.ok()["secret_id_ttl"], json!(600));
    assert_eq!(bench.role_id("web").await, role_id);
}

#[tokio::test]
async fn names_differ_in_more_than_case() {
    let bench = bench().await;
    bench.post("role/Web", json!({})).await.is_empty();
    let role_id = bench.role_id("wEB").await;
    bench.post("role/WEB", json!({ "token_ttl": 60 })).await.is_empty();
    assert_eq!(*bench.list("role").await.ok(), json!({ "keys": ["web"] }));
    assert_eq!(bench.role_id("web").await, role_id);
    let secret = bench.secret_id("WEB", json!({})).await.text("secret_id");
    assert_eq!(bench.list("role/weB/secret-id").await.ok()["keys"].as_array().unwrap().len(), 1);
    let grant = bench.login(json!({ "role_id": role_id, "secret_id": secret })).await.unwrap();
    assert_eq!(grant.metadata.unwrap()["role_name"], "web");
    bench.delete("role/WeB").await.is_empty();
    assert_eq!(bench.get("role/web").await.status, 404);
    assert_eq!(bench.list("role").await.status, 404);
}

#[tokio::test]
async fn a_write_says_whether_it_creates() {
    let bench = with_role(json!({})).await;
    let data = serde_json::Map::new();
    for (path, expected) in [("role/WEB", Some(true)), ("role/other", Some(false)), ("role/web/policies", None)] {
        let found = bench.plugin.find(path).unwrap();
        let cx = bench.context(Operation::Update, path);
        assert_eq!(bench.plugin.exists(&cx, &found, &data).await.unwrap(), expected, "{path}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let bench = with_role(json!({ "secret_id_num_uses": 7 })).await;
    bench.post("role/other", json!({ "role_id": "taken" })).await.is_empty();
    let keys = bench.keys("");
    for (data, error) in [
        (json!({ "token_ttl": "2h", "token_max_ttl": "1h" }), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({ "local_secret_ids": false }), "local_secret_ids can only be modified during role creation"),
        (json!({ "role_id": "" }), "invalid role_id supplied, or failed to generate a role_id"),
        (json!({ "secret_id_bound_cidrs": "10.0.0.1" }), "failed to validate CIDR blocks: invalid CIDR address: 10.0.0.1"),
        (json!({ "secret_id_num_uses": -1 }), "secret_id_num_uses cannot be negative"),
        (json!({ "period": "769h" }), "period of \"769h0m0s\" is greater than the backend's maximum lease TTL of \"768h0m0s\""),
        (json!({ "bind_secret_id": false }), "at least one constraint should be enabled on the role"),
        (json!({ "role_id": "taken" }), "role_id already in use"),
        // The first failure wins.
        (json!({ "token_type": "x", "role_id": "", "bind_secret_id": false }), "invalid 'token_type' value \"x\""),
    ] {
        bench.post("role/web", data).await.is_error(400, error);
    }
    let negative = bench.post("role/web", json!({ "secret_id_ttl": -1 })).await;
    assert!(negative.status == 400 && negative.error.ends_with("cannot provide negative value '-1'"), "{negative:?}");
    bench
        .post(&format!("role/{}", "a".repeat(4097)), json!({}))
        .await
        .is_error(400, "role_name is longer than maximum of 4096 bytes");
    assert_eq!(bench.get("role/-x").await.error, "unsupported path");
    assert_eq!(bench.keys(""), keys);
    assert_eq!(bench.field("secret_id_num_uses").await, json!(7));
}

#[tokio::test]
async fn a_maximum_beyond_the_mounts_is_taken_with_a_warning() {
    let bench = bench().await;
    let answer = bench.post("role/web", json!({ "token_max_ttl": "1000h", "token_type": "default-service" })).await;
    assert_eq!((answer.status, answer.warnings.len()), (200, 2));
    assert_eq!(answer.warnings[0], "default-service has no useful meaning; adjusting to service");
    assert!(answer.warnings[1].starts_with("token_max_ttl is greater than the backend mount's maximum TTL value"));
    assert_eq!(bench.field("token_max_ttl").await, json!(3_600_000));
}

#[tokio::test]
async fn old_names_of_fields_are_shown_while_they_are_used() {
    let bench = with_role(json!({ "policies": "B,a,b", "period": "1h", "bound_cidr_list": "10.0.0.0/8" })).await;
    let role = bench.get("role/web").await;
    for (field, value) in [
        ("policies", json!(["a", "b"])),
        ("token_policies", json!(["a", "b"])),
        ("period", json!(3600)),
        ("token_period", json!(3600)),
        ("secret_id_bound_cidrs", json!(["10.0.0.0/8"])),
    ] {
        assert_eq!(role.ok()[field], value, "{field}");
    }
    // Both: the new one wins, the old one follows. The new one alone clears the old one.
    bench.post("role/web", json!({ "policies": "x", "token_policies": "y", "token_period": 60 })).await.is_empty();
    let role = bench.get("role/web").await;
    assert_eq!((&role.ok()["policies"], &role.ok()["token_policies"]), (&json!(["y"]), &json!(["y"])));
    assert_eq!((role.ok().get("period"), &role.ok()["token_period"]), (None, &json!(60)));
    let both = json!({ "bound_cidr_list": "10.0.0.0/8", "secret_id_bound_cidrs": "11.0.0.0/8" });
    bench.post("role/web", both).await.is_empty();
    assert_eq!(bench.field("secret_id_bound_cidrs").await, json!(["11.0.0.0/8"]));
}

#[tokio::test]
async fn a_role_id_changes_at_once_and_is_nobody_elses() {
    let bench = with_role(json!({ "role_id": "first" })).await;
    let secret = bench.secret_id("web", json!({})).await.text("secret_id");
    bench.post("role/web/role-id", json!({})).await.is_error(400, "missing role_id");
    bench.post("role/absent/role-id", json!({ "role_id": "x" })).await.is_error(404, "unsupported path");
    bench.post("role/web/role-id", json!({ "role_id": "second" })).await.is_empty();
    bench.post("role/web/role-id", json!({ "role_id": "second" })).await.is_empty();
    assert_eq!(*bench.get("role/web/role-id").await.ok(), json!({ "role_id": "second" }));
    let login = |role_id: &str| json!({ "role_id": role_id, "secret_id": secret });
    assert_eq!(bench.login(login("first")).await.unwrap_err().text, "invalid role or secret ID");
    let grant = bench.login(login("second")).await.unwrap();
    assert_eq!(grant.alias.unwrap().name, "second");
    // The old one is free again, the new one is not.
    bench.post("role/other", json!({ "role_id": "second" })).await.is_error(400, "role_id already in use");
    bench.post("role/other", json!({ "role_id": "first" })).await.is_empty();
    bench.post("role/other/role-id", json!({ "role_id": "second" })).await.is_error(400, "role_id already in use");
    assert_eq!(bench.get("role/absent/role-id").await.status, 404);
}

#[tokio::test]
async fn of_many_who_want_one_role_id_one_gets_it() {
    let bench = Arc::new(bench().await);
    let tasks = (0..20).map(|number| {
        let bench = Arc::clone(&bench);
        bench
            .rig
            .tasks
            .clone()
            .spawn(async move { bench.post(&format!("role/r{number}"), json!({ "role_id": "x" })).await.status })
    });
    let statuses = futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
    assert_eq!(statuses.into_iter().filter(|status| *status.as_ref().unwrap() == 204).count(), 1);
    assert_eq!((bench.keys("role/").len(), bench.keys("role_id/").len()), (1, 1));
}

#[tokio::test]
async fn single_fields_are_read_set_and_set_back_to_their_defaults() {
    let bench = with_role(json!({ "token_bound_cidrs": "127.0.0.1" })).await;
    for (path, field, sent, shown, default, missing) in [
        ("policies", "token_policies", json!("B, a,b"), json!(["a", "b"]), json!([]), "token_policies"),
        ("secret-id-num-uses", "secret_id_num_uses", json!("5"), json!(5), json!(0), "secret_id_num_uses"),
        ("secret-id-ttl", "secret_id_ttl", json!("5m"), json!(300), json!(0), "secret_id_ttl"),
        ("token-ttl", "token_ttl", json!("5m"), json!(300), json!(0), "token_ttl"),
        ("token-max-ttl", "token_max_ttl", json!("5m"), json!(300), json!(0), "token_max_ttl"),
        ("token-num-uses", "token_num_uses", json!(3), json!(3), json!(0), "token_num_uses"),
        ("bind-secret-id", "bind_secret_id", json!(false), json!(false), json!(true), "bind_secret_id"),
        ("period", "token_period", json!("5m"), json!(300), json!(0), "period"),
        ("secret-id-bound-cidrs", "secret_id_bound_cidrs", json!("10.0.0.0/8"), json!(["10.0.0.0/8"]), Value::Null, ""),
    ] {
        let path = format!("role/web/{path}");
        bench.post(&path, json!({ field: sent })).await.is_empty();
        assert_eq!(*bench.get(&path).await.ok(), json!({ field: shown }), "{path}");
        assert_eq!(bench.field(field).await, shown, "{path}");
        bench.delete(&path).await.is_empty();
        assert_eq!(*bench.get(&path).await.ok(), json!({ field: default }), "{path}");
        if !missing.is_empty() {
            bench.post(&path, json!({})).await.is_error(400, &format!("missing {missing}"));
        }
        let absent = path.replace("web", "absent");
        assert_eq!(bench.get(&absent).await.status, 404);
        bench.post(&absent, json!({ field: sent })).await.is_error(404, "unsupported path");
        bench.delete(&absent).await.is_empty();
    }
    assert_eq!(*bench.get("role/web/local-secret-ids").await.ok(), json!({ "local_secret_ids": false }));
    bench.post("role/web/local-secret-ids", json!({})).await.is_error(405, "unsupported operation");
}

#[tokio::test]
async fn single_fields_check_what_the_whole_role_checks() {
    let bench = with_role(json!({ "token_ttl": "1h", "token_max_ttl": "2h" })).await;
    for (path, data, error) in [
        ("token-ttl", json!({ "token_ttl": "3h" }), "token_ttl should not be greater than token_max_ttl"),
        ("token-max-ttl", json!({ "token_max_ttl": "1m" }), "token_max_ttl should be greater than or equal to token_ttl"),
        ("secret-id-num-uses", json!({ "secret_id_num_uses": -1 }), "secret_id_num_uses cannot be negative"),
        ("bind-secret-id", json!({ "bind_secret_id": false }), "at least one constraint should be enabled on the role"),
        (
            "period",
            json!({ "token_period": "769h" }),
            "period of \"769h0m0s\" is greater than the backend's maximum lease TTL of \"768h0m0s\"",
        ),
        ("secret-id-bound-cidrs", json!({ "secret_id_bound_cidrs": "" }), "missing bound_cidr_list"),
        ("bound-cidr-list", json!({ "bound_cidr_list": [] }), "missing bound_cidr_list"),
        ("bound-cidr-list", json!({ "bound_cidr_list": "x" }), "failed to validate CIDR blocks: invalid CIDR address: x"),
        ("token-bound-cidrs", json!({ "token_bound_cidrs": "x" }), "failed to parse token_bound_cidrs: invalid address: x"),
    ] {
        bench.post(&format!("role/web/{path}"), data).await.is_error(400, error);
    }
}

#[tokio::test]
async fn the_last_constraint_of_a_role_stays() {
    let bench = with_role(json!({ "bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1/32" })).await;
    let error = "at least one constraint should be enabled on the role";
    bench.delete("role/web/secret-id-bound-cidrs").await.is_error(400, error);
    bench.delete("role/web/bound-cidr-list").await.is_error(400, error);
    assert_eq!(bench.field("secret_id_bound_cidrs").await, json!(["127.0.0.1/32"]));
    bench.post("role/web/token-bound-cidrs", json!({ "token_bound_cidrs": "10.0.0.1" })).await.is_empty();
    bench.delete("role/web/secret-id-bound-cidrs").await.is_empty();
    bench.delete("role/web/token-bound-cidrs").await.is_error(400, error);
    bench.delete("role/web/bind-secret-id").await.is_empty();
    bench.delete("role/web/token-bound-cidrs").await.is_empty();
    assert_eq!(*bench.get("role/web/token-bound-cidrs").await.ok(), json!({ "token_bound_cidrs": null }));
}

#[tokio::test]
async fn lists_of_addresses_do_not_reach_each_other() {
    let bench = with_role(json!({ "secret_id_bound_cidrs": "10.0.0.0/8", "token_bound_cidrs": "10.0.0.0/8" })).await;
    let all = json!({ "secret_id_bound_cidrs": "1.0.0.0/8", "token_bound_cidrs": "2.0.0.0/8", "bound_cidr_list": "3.0.0.0/8" });
    bench.post("role/web/token-bound-cidrs", all.clone()).await.is_empty();
    assert_eq!(bench.field("secret_id_bound_cidrs").await, json!(["10.0.0.0/8"]));
    assert_eq!(bench.field("token_bound_cidrs").await, json!(["2.0.0.0/8"]));
    bench.post("role/web/secret-id-bound-cidrs", all.clone()).await.is_empty();
    assert_eq!(bench.field("secret_id_bound_cidrs").await, json!(["1.0.0.0/8"]));
    bench.post("role/web/bound-cidr-list", all).await.is_empty();
    assert_eq!(bench.field("secret_id_bound_cidrs").await, json!(["3.0.0.0/8"]));
    assert_eq!(bench.field("token_bound_cidrs").await, json!(["2.0.0.0/8"]));
    // Nothing of one's own supplied: nothing happens.
    bench.post("role/web/secret-id-bound-cidrs", json!({ "token_bound_cidrs": "9.0.0.0/8" })).await.is_empty();
    bench.post("role/web/token-bound-cidrs", json!({})).await.is_empty();
    assert_eq!(bench.field("secret_id_bound_cidrs").await, json!(["3.0.0.0/8"]));
    let old = bench.get("role/web/bound-cidr-list").await;
    assert_eq!((&old.data, old.warnings.len()), (&json!({ "bound_cidr_list": ["3.0.0.0/8"] }), 1));
}

#[tokio::test]
async fn old_names_of_single_fields_follow_the_new_ones() {
    let bench = with_role(json!({})).await;
    bench.post("role/web/policies", json!({ "policies": "a" })).await.is_empty();
    assert_eq!(*bench.get("role/web/policies").await.ok(), json!({ "token_policies": ["a"], "policies": ["a"] }));
    bench.post("role/web/policies", json!({ "token_policies": "b" })).await.is_empty();
    assert_eq!(*bench.get("role/web/policies").await.ok(), json!({ "token_policies": ["b"] }));
    bench.post("role/web/period", json!({ "period": 60 })).await.is_empty();
    assert_eq!(*bench.get("role/web/period").await.ok(), json!({ "token_period": 60, "period": 60 }));
    bench.delete("role/web/period").await.is_empty();
    assert_eq!(*bench.get("role/web/period").await.ok(), json!({ "token_period": 0 }));
}

#[tokio::test]
async fn a_role_goes_with_its_secret_ids_and_does_not_come_back() {
    let bench = with_role(json!({ "role_id": "fixed" })).await;
    let secret = bench.secret_id("web", json!({})).await.text("secret_id");
    // More than one page of them.
    for _ in 0..300 {
        bench.secret_id("web", json!({ "num_uses": 1 })).await;
    }
    bench.delete("role/web").await.is_empty();
    bench.delete("role/web").await.is_empty();
    assert_eq!(bench.keys(""), ["salt"]);
    let login = json!({ "role_id": "fixed", "secret_id": secret });
    assert_eq!(bench.login(login.clone()).await.unwrap_err().text, "invalid role or secret ID");
    bench.post("role/web", json!({ "role_id": "fixed" })).await.is_empty();
    assert_eq!(bench.login(login).await.unwrap_err().text, "invalid role or secret ID");
    assert_eq!(bench.list("role/web/secret-id").await.status, 404);
}

#[tokio::test]
async fn a_mount_is_opened_again_with_all_it_had() {
    let bench = with_role(json!({ "token_ttl": "1h" })).await;
    let secret = bench.secret_id("web", json!({ "num_uses": 2 })).await.text("secret_id");
    let login = json!({ "role_id": bench.role_id("web").await, "secret_id": secret });
    bench.login(login.clone()).await.unwrap();
    let again = reopened(&bench).await;
    assert_eq!(again.login(login.clone()).await.unwrap().ttl, Ttl::hours(1));
    assert_eq!(again.login(login).await.unwrap_err().text, "invalid role or secret ID");
}

#[tokio::test]
async fn no_key_of_storage_and_no_record_tells_a_secret() {
    let bench = with_role(json!({ "role_id": "the-role-id" })).await;
    bench.post("role/web/custom-secret-id", json!({ "secret_id": "hunter2" })).await.ok();
    let keys = bench.keys("").join("\n");
    assert!(!keys.contains("hunter2") && !keys.contains("the-role-id"), "{keys}");
    for key in bench.keys("secret_id/").into_iter().chain(bench.keys("accessor/")) {
        let record = String::from_utf8(bench.view.read_bytes(&key).await.unwrap().unwrap()).unwrap();
        assert!(!record.contains("hunter2"), "{record}");
    }
}
