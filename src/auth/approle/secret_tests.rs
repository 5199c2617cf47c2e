//! Secret ids: generated, registered, listed, looked up, destroyed, tidied.

use serde_json::{Value, json};

use super::tests::{bench, with_role};
use crate::base::Ttl;
use crate::mount::harness::Bench;

const SUBSET: &str = "failed to verify subset relationship between CIDR blocks on the role";

async fn look_up(bench: &Bench, secret: &str) -> Value {
    let answer = bench.post("role/web/secret-id/lookup", json!({ "secret_id": secret })).await;
    answer.ok().clone()
}

#[tokio::test]
async fn a_secret_id_is_looked_up_by_itself_and_by_its_accessor() {
    let bench = with_role(json!({})).await;
    let made = bench.secret_id("web", json!({ "metadata": r#"{"tag1":"production"}"# })).await;
    assert_eq!((&made.data["secret_id_num_uses"], &made.data["secret_id_ttl"]), (&json!(0), &json!(0)));
    let (secret, accessor) = (made.text("secret_id"), made.text("secret_id_accessor"));
    assert_eq!((secret.len(), accessor.len()), (36, 36));
    let expected = json!({
        "secret_id_accessor": accessor, "secret_id_num_uses": 0, "secret_id_ttl": 0,
        "creation_time": "2027-01-15T08:00:00Z", "expiration_time": "0001-01-01T00:00:00Z",
        "last_updated_time": "2027-01-15T08:00:00Z", "metadata": { "tag1": "production" }, "cidr_list": [],
        "token_bound_cidrs": [],
    });
    assert_eq!(look_up(&bench, &secret).await, expected);
    let by_accessor = bench.post("role/web/secret-id-accessor/lookup/", json!({ "secret_id_accessor": accessor })).await;
    assert_eq!(*by_accessor.ok(), expected);
    assert_eq!(*bench.list("role/web/secret-id").await.ok(), json!({ "keys": [accessor] }));
}

#[tokio::test]
async fn what_is_not_found_has_a_shape_of_its_own() {
    let bench = with_role(json!({})).await;
    bench.post("role/other", json!({})).await.is_empty();
    let others = bench.secret_id("other", json!({})).await;
    bench.post("role/web/secret-id/lookup", json!({ "secret_id": "absent" })).await.is_empty();
    bench.post("role/web/secret-id/lookup", json!({ "secret_id": others.text("secret_id") })).await.is_empty();
    let absent = bench.post("role/web/secret-id-accessor/lookup", json!({ "secret_id_accessor": "absent" })).await;
    let text = "failed to find accessor entry for secret_id_accessor: \"absent\"";
    assert_eq!((absent.status, absent.data), (404, json!({ "error": text })));
    let of_other = json!({ "secret_id_accessor": others.text("secret_id_accessor") });
    bench.post("role/web/secret-id-accessor/lookup", of_other.clone()).await.is_empty();
    bench.post("role/web/secret-id/lookup", json!({})).await.is_error(400, "missing secret_id");
    bench.post("role/web/secret-id-accessor/lookup", json!({})).await.is_error(400, "missing secret_id_accessor");
    for path in ["secret-id/lookup", "secret-id/destroy"] {
        let answer = bench.post(&format!("role/absent/{path}"), json!({ "secret_id": "x" })).await;
        answer.is_error(404, "role \"absent\" does not exist");
    }
    bench.get("role/web/secret-id/lookup").await.is_error(405, "unsupported operation");
    bench.post("role/web/secret-id/destroy", json!({ "secret_id": "absent" })).await.is_empty();
    bench.post("role/web/secret-id/destroy", json!({})).await.is_error(400, "missing secret_id");
    bench.post("role/web/secret-id-accessor/destroy", json!({ "secret_id_accessor": "absent" })).await.is_error(404, text);
    bench.post("role/web/secret-id-accessor/destroy", of_other).await.is_error(403, "invalid secret id accessor");
    bench.post("role/absent/secret-id", json!({})).await.is_error(404, "role \"absent\" does not exist");
    bench.list("role/absent/secret-id").await.is_error(400, "role \"absent\" does not exist");
    assert_eq!(bench.list("role/web/secret-id").await.status, 404);
}

#[tokio::test]
async fn what_is_destroyed_is_gone_with_its_accessor() {
    let bench = with_role(json!({})).await;
    let (first, second) = (bench.secret_id("web", json!({})).await, bench.secret_id("web", json!({})).await);
    bench.post("role/web/secret-id/destroy", json!({ "secret_id": first.text("secret_id") })).await.is_empty();
    let accessor = json!({ "secret_id_accessor": first.text("secret_id_accessor") });
    assert_eq!(bench.post("role/web/secret-id-accessor/lookup", accessor).await.status, 404);
    let accessor = json!({ "secret_id_accessor": second.text("secret_id_accessor") });
    bench.post("role/web/secret-id-accessor/destroy", accessor.clone()).await.is_empty();
    assert_eq!(bench.post("role/web/secret-id-accessor/destroy", accessor).await.status, 404);
    bench.post("role/web/secret-id/lookup", json!({ "secret_id": second.text("secret_id") })).await.is_empty();
    assert_eq!((bench.keys("secret_id/").len(), bench.keys("accessor/").len()), (0, 0));
}

#[tokio::test]
async fn the_limits_of_the_role_are_ceilings() {
    for (of_role, asked, expected) in [
        (0, None, Some(0)),
        (0, Some(0), Some(0)),
        (0, Some(9), Some(9)),
        (5, None, Some(5)),
        (5, Some(0), None),
        (5, Some(3), Some(3)),
        (5, Some(5), Some(5)),
        (5, Some(9), None),
    ] {
        let bench = with_role(json!({ "secret_id_num_uses": of_role, "secret_id_ttl": of_role })).await;
        for (field, data_field, error) in [
            ("num_uses", "secret_id_num_uses", "num_uses cannot be higher than the role's secret_id_num_uses"),
            ("ttl", "secret_id_ttl", "ttl cannot be longer than the role's secret_id_ttl"),
        ] {
            let data = asked.map_or(json!({}), |asked| json!({ field: asked }));
            let answer = bench.post("role/web/secret-id", data).await;
            match expected {
                Some(expected) => assert_eq!(answer.ok()[data_field], json!(expected), "{field} {of_role} {asked:?}"),
                None => answer.is_error(400, error),
            }
        }
    }
    let bench = with_role(json!({})).await;
    bench.post("role/web/secret-id", json!({ "num_uses": -1 })).await.is_error(400, "num_uses cannot be negative");
}

#[tokio::test]
async fn limits_are_frozen_when_a_secret_id_is_made() {
    let bench = with_role(json!({ "secret_id_num_uses": 5, "secret_id_ttl": "1h" })).await;
    let secret = bench.secret_id("web", json!({})).await.text("secret_id");
    bench.post("role/web", json!({ "secret_id_num_uses": 1, "secret_id_ttl": "1m" })).await.is_empty();
    let known = look_up(&bench, &secret).await;
    assert_eq!((&known["secret_id_num_uses"], &known["secret_id_ttl"]), (&json!(5), &json!(3600)));
    assert_eq!(known["expiration_time"], json!("2027-01-15T09:00:00Z"));
}

#[tokio::test]
async fn the_mounts_maximum_caps_what_ends_and_nothing_else() {
    let bench = with_role(json!({})).await;
    let made = bench.secret_id("web", json!({ "ttl": "1000h" })).await;
    assert_eq!(made.data["secret_id_ttl"], json!(2_764_800));
    let known = look_up(&bench, &made.text("secret_id")).await;
    assert_eq!((&known["secret_id_ttl"], &known["expiration_time"]), (&json!(3_600_000), &json!("2027-02-16T08:00:00Z")));
    let made = bench.secret_id("web", json!({ "ttl": 0 })).await;
    assert_eq!(look_up(&bench, &made.text("secret_id")).await["expiration_time"], json!("0001-01-01T00:00:00Z"));
}

#[tokio::test]
async fn addresses_of_a_secret_id_lie_in_those_of_the_role() {
    let bench =
        with_role(json!({ "secret_id_bound_cidrs": "127.0.0.0/8", "token_bound_cidrs": ["127.0.0.0/8", "10.0.0.1"] })).await;
    for field in ["cidr_list", "token_bound_cidrs"] {
        let wide = bench.post("role/web/secret-id", json!({ field: "10.0.0.0/8" })).await;
        assert!(wide.status == 500 && wide.error.starts_with(SUBSET), "{wide:?}");
        bench.secret_id("web", json!({ field: " 127.0.0.1/32 " })).await;
    }
    bench.secret_id("web", json!({ "token_bound_cidrs": "10.0.0.1/32" })).await;
    let bare = bench.post("role/web/secret-id", json!({ "cidr_list": "10.0.0.1" })).await;
    bare.is_error(400, "failed to validate CIDR blocks: invalid CIDR address: 10.0.0.1");
    let bare = bench.post("role/web/secret-id", json!({ "token_bound_cidrs": "10.0.0.1" })).await;
    bare.is_error(400, "failed to validate token CIDR blocks: invalid CIDR address: 10.0.0.1");
    // A role without addresses takes all.
    bench.post("role/open", json!({})).await.is_empty();
    bench.secret_id("open", json!({ "cidr_list": "0.0.0.0/0", "token_bound_cidrs": "::/0" })).await;
}

#[tokio::test]
async fn metadata_is_a_text() {
    let bench = with_role(json!({})).await;
    let secret = bench.secret_id("web", json!({ "metadata": "a=b,c=D" })).await.text("secret_id");
    assert_eq!(look_up(&bench, &secret).await["metadata"], json!({ "a": "b", "c": "d" }));
    let object = bench.post("role/web/secret-id", json!({ "metadata": { "a": "b" } })).await;
    assert!(object.status == 400 && object.error.contains("error converting input for field \"metadata\""), "{object:?}");
    let nested = bench.post("role/web/secret-id", json!({ "metadata": r#"{"a":{"n":1}}"# })).await;
    nested.is_error(400, "failed to parse metadata: failed to parse the input: invalid <key,value> format");
}

#[tokio::test]
async fn a_secret_id_of_ones_own_is_registered_once_for_each_role() {
    let bench = with_role(json!({ "role_id": "r" })).await;
    bench.post("role/other", json!({})).await.is_empty();
    let custom = |role: &str, secret: &str| (format!("role/{role}/custom-secret-id"), json!({ "secret_id": secret }));
    let (path, data) = custom("web", " mine ");
    let made = bench.post(&path, data.clone()).await;
    assert_eq!(made.ok()["secret_id"], json!("mine"));
    bench.post(&path, data).await.is_error(400, "failed to store secret_id: SecretID is already registered");
    bench.login(json!({ "role_id": "r", "secret_id": "mine" })).await.unwrap();
    let (path, data) = custom("other", "mine");
    bench.post(&path, data).await.ok();
    for secret in ["", "  "] {
        let (path, data) = custom("web", secret);
        bench.post(&path, data).await.is_error(400, "missing secret_id");
    }
    let (path, data) = custom("web", &"x".repeat(4097));
    bench.post(&path, data).await.is_error(
        400,
        "failed to store secret_id: failed to create HMAC of secret ID: value is longer than maximum of 4096 bytes",
    );
    let (path, data) = custom("web", &"x".repeat(4096));
    bench.post(&path, data).await.ok();
}

#[tokio::test]
async fn what_has_expired_is_as_good_as_gone_and_makes_room() {
    let bench = with_role(json!({})).await;
    let data = json!({ "secret_id": "mine", "ttl": "1m" });
    let made = bench.post("role/web/custom-secret-id", data.clone()).await;
    bench.rig.advance(Ttl::seconds(59));
    look_up(&bench, "mine").await;
    bench.rig.advance(Ttl::seconds(1));
    bench.post("role/web/secret-id/lookup", json!({ "secret_id": "mine" })).await.is_empty();
    let accessor = json!({ "secret_id_accessor": made.text("secret_id_accessor") });
    assert_eq!(bench.post("role/web/secret-id-accessor/lookup", accessor).await.status, 404);
    assert_eq!(bench.list("role/web/secret-id").await.status, 404);
    bench.post("role/web/custom-secret-id", data).await.ok();
    look_up(&bench, "mine").await;
    assert_eq!((bench.keys("secret_id/").len(), bench.keys("accessor/").len()), (1, 1));
}

#[tokio::test]
async fn local_secret_ids_lie_apart_and_work_alike() {
    let bench = with_role(json!({ "local_secret_ids": true, "role_id": "r" })).await;
    let made = bench.secret_id("web", json!({ "num_uses": 2 })).await;
    assert_eq!((bench.keys("secret_id/").len(), bench.keys("secret_id_local/").len()), (0, 1));
    assert_eq!((bench.keys("accessor/").len(), bench.keys("accessor_local/").len()), (0, 1));
    let login = json!({ "role_id": "r", "secret_id": made.text("secret_id") });
    bench.login(login.clone()).await.unwrap();
    let accessor = json!({ "secret_id_accessor": made.text("secret_id_accessor") });
    let known = bench.post("role/web/secret-id-accessor/lookup", accessor).await;
    assert_eq!(known.ok()["secret_id_num_uses"], json!(1));
    bench.login(login).await.unwrap();
    assert_eq!((bench.keys("secret_id_local/").len(), bench.keys("accessor_local/").len()), (0, 0));
}

#[tokio::test]
async fn a_role_without_secret_ids_gets_none() {
    let bench = with_role(json!({ "bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1/32" })).await;
    bench.post("role/web/secret-id", json!({})).await.is_error(400, "bind_secret_id is not set on the role");
    let custom = json!({ "secret_id": "mine" });
    bench.post("role/web/custom-secret-id", custom).await.is_error(400, "bind_secret_id is not set on the role");
}

#[tokio::test]
async fn an_entry_without_accessor_is_removed_when_it_is_touched() {
    let bench = with_role(json!({ "role_id": "r" })).await;
    let login = |secret: &str| json!({ "role_id": "r", "secret_id": secret });
    let (first, second) = (bench.secret_id("web", json!({})).await, bench.secret_id("web", json!({ "num_uses": 3 })).await);
    for key in bench.keys("accessor/") {
        bench.view.delete(&key).await.unwrap();
    }
    let secret = first.text("secret_id");
    bench.post("role/web/secret-id/lookup", json!({ "secret_id": secret })).await.is_error(400, "invalid secret id");
    let error = bench.login(login(&second.text("secret_id"))).await.unwrap_err();
    assert_eq!((error.text.as_str(), error.is_bad_credentials), ("invalid role or secret ID", false));
    assert_eq!(bench.keys("secret_id/"), [""; 0]);
}

#[tokio::test]
async fn each_minute_what_is_of_no_use_is_removed() {
    let bench = with_role(json!({})).await;
    bench.post("role/gone", json!({})).await.is_empty();
    bench.secret_id("web", json!({ "ttl": "1m" })).await;
    bench.secret_id("gone", json!({})).await;
    let without_accessor = bench.secret_id("web", json!({})).await;
    let kept = bench.secret_id("web", json!({ "ttl": "1h", "num_uses": 1 })).await;
    // A crash after the first batch of a deletion; an index that leads nowhere; a record nobody can read.
    bench.view.delete("role/gone").await.unwrap();
    let orphan = bench
        .post("role/web/secret-id-accessor/lookup", json!({ "secret_id_accessor": without_accessor.text("secret_id_accessor") }));
    orphan.await.ok();
    for key in bench.keys("accessor/") {
        let place: Value = bench.view.read(&key).await.unwrap().unwrap();
        let entry: Value = bench.view.read(place["entry"].as_str().unwrap()).await.unwrap().unwrap();
        if entry["accessor"] == json!(without_accessor.text("secret_id_accessor")) {
            bench.view.delete(&key).await.unwrap();
        }
    }
    bench.view.put("accessor/nowhere", &json!({ "entry": "secret_id/a/b" })).await.unwrap();
    bench.view.put("secret_id/unreadable/x", &json!({ "not": "an entry" })).await.unwrap();
    bench.rig.advance(Ttl::minutes(2));
    bench.plugin.tick().await;
    bench.plugin.tick().await;
    assert_eq!((bench.keys("secret_id/").len(), bench.keys("accessor/").len()), (2, 1));
    look_up(&bench, &kept.text("secret_id")).await;
}

#[tokio::test]
async fn tidying_on_demand_answers_before_it_is_done() {
    let bench = bench().await;
    bench.post("role/web", json!({})).await.is_empty();
    for _ in 0..600 {
        bench.secret_id("web", json!({ "ttl": "1m" })).await;
    }
    bench.rig.advance(Ttl::minutes(2));
    let first = bench.post("tidy/secret-id", json!({})).await;
    assert_eq!((first.status, first.data, first.warnings.len()), (202, Value::Null, 1));
    assert!(first.warnings[0].starts_with("Tidy operation successfully started."), "{:?}", first.warnings);
    let second = bench.post("tidy/secret-id", json!({})).await;
    assert_eq!((second.status, second.warnings), (200, vec!["Tidy operation already in progress.".to_owned()]));
    bench.rig.tasks.drained().await;
    assert_eq!((bench.keys("secret_id/").len(), bench.keys("accessor/").len()), (0, 0));
    assert_eq!(bench.post("tidy/secret-id", json!({})).await.status, 202);
    bench.rig.tasks.drained().await;
}
