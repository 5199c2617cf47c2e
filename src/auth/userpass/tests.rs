//! By the recorded replies of `tests/golden/http/userpass.json` and the spec.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::auth::builtin;
use crate::base::Ttl;
use crate::mount::harness::{Bench, Rig, refusal};
use crate::mount::{ApiError, Body, Class, ErrorKind, Grant, GrantType, Registry, TokenRenewal};
use crate::policy::Operation;

use super::bcrypt::Hashed;

async fn bench() -> Bench {
    let mut registry = Registry::new();
    builtin(&mut registry);
    Rig::new().await.mount(&registry, Class::Auth, "userpass", &[]).await.unwrap()
}

/// Writes a user with this password, whose hash costs little: what is tested here is not the work.
async fn user(bench: &Bench, name: &str, password: &str, mut data: Value) {
    data["password_hash"] = json!(Hashed::of_cost(password, 4).text().expose());
    bench.post(&format!("users/{name}"), data).await.is_empty();
}

async fn log_in(bench: &Bench, name: &str, password: &str) -> Result<Grant, ApiError> {
    let reply = bench.call(Operation::Update, &format!("login/{name}"), json!({ "password": password })).await?;
    let Body::Login(grant) = reply.body else { panic!("a login gives a token") };
    Ok(*grant)
}

fn named(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("username".to_owned(), name.to_owned())])
}

#[tokio::test]
async fn a_user_reads_as_he_was_written_without_his_password() {
    let bench = bench().await;
    let data = json!({ "password": "pw1", "token_policies": "default", "token_ttl": "30m", "token_max_ttl": "1h" });
    bench.post("users/Bob", data).await.is_empty();
    let expected = json!({
        "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 3600, "token_no_default_policy": false,
        "token_num_uses": 0, "token_period": 0, "token_policies": ["default"], "token_ttl": 1800, "token_type": "default",
    });
    for name in ["bob", "BOB"] {
        assert_eq!(*bench.get(&format!("users/{name}")).await.ok(), expected);
    }
    assert_eq!(*bench.list("users").await.ok(), json!({ "keys": ["bob"] }));
    assert_eq!(bench.keys(""), ["user/bob"]);
    assert_eq!(bench.get("users/absent").await.status, 404);
    bench.get("users").await.is_error(405, "unsupported operation");
    bench.get("users/a@b").await.is_error(404, "unsupported path");
    // Hashed by ourselves: the only comparison here that costs what it should.
    assert!(log_in(&bench, "bob", "pw1").await.is_ok());
    assert!(!bench.get("users/bob").await.data.to_string().contains("$2b$"));
}

#[tokio::test]
async fn a_login_gives_what_the_user_is_worth() {
    let bench = bench().await;
    let fields = json!({ "token_policies": "b,a", "token_ttl": "30m", "token_max_ttl": "1h", "token_type": "batch" });
    user(&bench, "bob", "pw", fields).await;
    let grant = log_in(&bench, "BOB", "pw").await.unwrap();
    assert_eq!(grant.display_name, "bob");
    assert_eq!((grant.metadata, grant.internal), (Some(named("bob")), named("bob")));
    let alias = grant.alias.unwrap();
    assert_eq!((alias.name.as_str(), alias.metadata), ("bob", named("bob")));
    assert_eq!(
        (grant.policies, grant.ttl, grant.max_ttl),
        (vec!["b".to_owned(), "a".to_owned()], Ttl::minutes(30), Ttl::hours(1))
    );
    assert_eq!((grant.token_type, grant.renewable), (GrantType::Batch, true));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let bench = bench().await;
    user(&bench, "bob", "pw", json!({})).await;
    let wrong = log_in(&bench, "bob", "bad").await.unwrap_err();
    let unknown = log_in(&bench, "absent", "bad").await.unwrap_err();
    for error in [&wrong, &unknown] {
        assert_eq!(
            (error.kind, error.text.as_str(), error.is_listed),
            (ErrorKind::Invalid, "invalid username or password", false)
        );
        assert_eq!(error.audited, Some("invalid credentials"));
    }
    // Only somebody who is there can be locked out.
    assert!(wrong.is_bad_credentials && !unknown.is_bad_credentials);
    let missing = bench.post("login/bob", json!({})).await;
    missing.is_error(400, "missing password");
    bench.post("login/absent", json!({ "password": "" })).await.is_error(400, "missing password");
    bench.get("login/bob").await.is_error(405, "unsupported operation");
}

#[tokio::test]
async fn a_password_that_goes_on_behind_the_right_one_is_wrong() {
    let bench = bench().await;
    let longest = "x".repeat(72);
    user(&bench, "bob", &longest, json!({})).await;
    assert!(log_in(&bench, "bob", &longest).await.is_ok());
    let error = log_in(&bench, "bob", &"x".repeat(73)).await.unwrap_err();
    assert_eq!(error.text, "invalid username or password");
    let long = bench.post("users/long", json!({ "password": "x".repeat(73) })).await;
    long.is_error(500, "bcrypt: password length exceeds 72 bytes");
    assert_eq!(bench.keys(""), ["user/bob"]);
}

#[tokio::test]
async fn what_is_no_password_is_refused() {
    let bench = bench().await;
    let hash = Hashed::of_cost("pw", 4).text();
    for (data, text) in [
        (json!({}), "missing password"),
        (json!({ "password": "" }), "missing password"),
        (json!({ "token_ttl": "1h" }), "missing password"),
        (json!({ "password": "x", "password_hash": hash.expose() }), "only one of password or password_hash may be provided"),
        (json!({ "password_hash": "plain" }), "password_hash is not a valid bcrypt hash"),
        (json!({ "password_hash": hash.expose().replace("$04$", "$15$") }), "password_hash is not a valid bcrypt hash"),
    ] {
        bench.post("users/dora", data).await.is_error(400, text);
    }
    user(&bench, "dora", "pw", json!({})).await;
    bench.post("users/dora", json!({ "password": "" })).await.is_error(400, "missing password");
    bench.post("users/dora/password", json!({})).await.is_error(400, "missing password");
    assert!(log_in(&bench, "dora", "pw").await.is_ok());
    assert_eq!(bench.keys(""), ["user/dora"]);
}

#[tokio::test]
async fn only_supplied_fields_change() {
    let bench = bench().await;
    user(&bench, "bob", "pw", json!({ "token_policies": "a" })).await;
    bench.post("users/bob", json!({ "token_ttl": "20m" })).await.is_empty();
    let grant = log_in(&bench, "bob", "pw").await.unwrap();
    assert_eq!((grant.ttl, grant.policies), (Ttl::minutes(20), vec!["a".to_owned()]));
    let new = json!({ "password_hash": Hashed::of_cost("new", 4).text().expose() });
    bench.post("users/bob/password", new).await.is_empty();
    assert!(log_in(&bench, "bob", "pw").await.is_err());
    assert_eq!(log_in(&bench, "bob", "new").await.unwrap().ttl, Ttl::minutes(20));
    bench.post("users/bob/policies", json!({ "token_policies": "b,c" })).await.is_empty();
    bench.post("users/bob/policies", json!({})).await.is_empty();
    assert_eq!(bench.get("users/bob").await.ok()["token_policies"], json!(["b", "c"]));
}

#[tokio::test]
async fn nobody_has_no_password_and_no_policies() {
    let bench = bench().await;
    bench.post("users/absent/password", json!({ "password": "x" })).await.is_error(404, "username does not exist");
    bench.post("users/absent/policies", json!({ "policies": "x" })).await.is_error(404, "username does not exist");
    bench.delete("users/absent").await.is_empty();
    assert_eq!(bench.list("users").await.status, 404);
}

#[tokio::test]
async fn old_names_set_both_and_are_shown_until_the_new_one_is_set() {
    let bench = bench().await;
    let old = json!({ "policies": "B,a", "ttl": "5m", "max_ttl": "10m", "bound_cidrs": "127.0.0.1/32" });
    user(&bench, "carl", "pw", old).await;
    let shown = bench.get("users/carl").await.data;
    for (name, value) in
        [("policies", json!(["a", "b"])), ("ttl", json!(300)), ("max_ttl", json!(600)), ("bound_cidrs", json!(["127.0.0.1"]))]
    {
        assert_eq!((&shown[name], &shown[format!("token_{name}")]), (&value, &value), "{name}");
    }
    bench.post("users/carl", json!({ "token_ttl": "6m", "policies": "x", "token_policies": "y" })).await.is_empty();
    let shown = bench.get("users/carl").await.data;
    assert_eq!((&shown["ttl"], &shown["token_ttl"]), (&Value::Null, &json!(360)));
    assert_eq!((&shown["policies"], &shown["token_policies"]), (&json!(["y"]), &json!(["y"])));
    bench.post("users/carl/policies", json!({ "policies": "z" })).await.is_empty();
    assert_eq!(bench.get("users/carl").await.data["token_policies"], json!(["z"]));
    bench.post("users/carl", json!({ "ttl": -1 })).await.is_error(400, "'ttl' cannot be negative");
    let text = "'token_ttl' cannot be greater than 'token_max_ttl'";
    bench.post("users/carl", json!({ "ttl": "2h", "max_ttl": "1h" })).await.is_error(400, text);
}

#[tokio::test]
async fn who_comes_from_elsewhere_is_denied_after_his_password() {
    let bench = bench().await;
    user(&bench, "far", "pw", json!({ "token_bound_cidrs": "10.9.9.9/32" })).await;
    let denied = log_in(&bench, "far", "pw").await.unwrap_err();
    assert_eq!((denied.kind, denied.shown(true).as_str()), (ErrorKind::Denied, "permission denied"));
    assert_eq!(log_in(&bench, "far", "bad").await.unwrap_err().text, "invalid username or password");
    bench.come_from("10.9.9.9");
    assert!(log_in(&bench, "far", "pw").await.is_ok());
}

#[tokio::test]
async fn a_renewal_goes_by_the_user_as_he_is_now() {
    let bench = bench().await;
    // The harness renews a token with the policy `root`.
    let fields = json!({ "token_policies": "Root,default", "token_ttl": "20m", "token_max_ttl": "2h", "token_period": "1h" });
    user(&bench, "bob", "pw", fields).await;
    let renewal = bench.renew(named("bob")).await.unwrap();
    let expected = TokenRenewal { ttl: Ttl::minutes(20), max_ttl: Ttl::hours(2), period: Ttl::hours(1), is_nothing: false };
    assert_eq!(renewal, expected);
    bench.post("users/bob/policies", json!({ "token_policies": "other" })).await.is_empty();
    let error = bench.renew(named("bob")).await.unwrap_err();
    assert_eq!((refusal(&error).status, error.text.as_str()), (500, "policies have changed, not renewing"));
    bench.delete("users/bob").await.is_empty();
    assert!(bench.renew(named("bob")).await.unwrap().is_nothing);
    assert!(log_in(&bench, "bob", "pw").await.is_err());
}

#[tokio::test]
async fn the_name_in_the_path_is_who_is_locked_out() {
    let bench = bench().await;
    let name = |path: &str| bench.plugin.login_name(path, &serde_json::Map::new());
    assert_eq!(name("login/Bob"), Some("bob".to_owned()));
    assert_eq!(name("users/bob"), None);
}
