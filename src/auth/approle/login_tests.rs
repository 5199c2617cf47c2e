//! Logins, what they cost, and renewals.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::tests::{bench, with_role};
use crate::base::Ttl;
use crate::mount::harness::{Bench, refusal};
use crate::mount::{ErrorKind, GrantType};
use crate::policy::Operation;
use crate::token::BoundCidr;

const REFUSED: &str = "invalid role or secret ID";

async fn refused(bench: &Bench, data: Value) -> (u16, String, bool) {
    let error = bench.login(data).await.map(|_| ()).unwrap_err();
    (refusal(&error).status, error.text.clone(), error.is_bad_credentials)
}

/// The data of a login with a secret id that was generated as `data` says.
async fn credentials(bench: &Bench, data: Value) -> Value {
    let secret = bench.secret_id("web", data).await.text("secret_id");
    json!({ "role_id": bench.role_id("web").await, "secret_id": secret })
}

/// How many uses are left; none when it is gone.
async fn uses(bench: &Bench, login: &Value) -> Option<Value> {
    let answer = bench.post("role/web/secret-id/lookup", json!({ "secret_id": login["secret_id"] })).await;
    (answer.status == 200).then(|| answer.data["secret_id_num_uses"].clone())
}

#[tokio::test]
async fn a_login_gives_what_the_role_says() {
    let bench = with_role(json!({
        "token_policies": "app", "token_ttl": "20m", "token_max_ttl": "30m", "token_explicit_max_ttl": "40m", "token_num_uses": 3,
        "token_type": "service", "token_bound_cidrs": "10.0.0.1", "token_no_default_policy": true, "role_id": "r",
    }))
    .await;
    let login = credentials(&bench, json!({ "metadata": r#"{"tag1":"production","role_name":"admin"}"# })).await;
    let grant = bench.login(login).await.unwrap();
    let metadata = BTreeMap::from([("role_name", "web"), ("tag1", "production")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!((grant.policies, grant.no_default_policy), (vec!["app".to_owned()], true));
    assert_eq!((grant.ttl, grant.max_ttl, grant.explicit_max_ttl), (Ttl::minutes(20), Ttl::minutes(30), Ttl::minutes(40)));
    assert_eq!((grant.num_uses, grant.token_type, grant.renewable), (3, GrantType::Service, true));
    assert_eq!(grant.bound_cidrs, [BoundCidr::parse("10.0.0.1/32").unwrap()]);
    assert_eq!(grant.metadata.as_ref(), Some(&metadata));
    assert_eq!(grant.internal, BTreeMap::from([("role_name".to_owned(), "web".to_owned())]));
    let alias = grant.alias.unwrap();
    assert_eq!((alias.name.as_str(), alias.metadata), ("r", metadata));
    assert_eq!(grant.display_name, "");
}

#[tokio::test]
async fn blanks_around_what_is_shown_do_not_count() {
    let bench = with_role(json!({})).await;
    let login = credentials(&bench, json!({})).await;
    let blank = |field: &str| format!(" {}\n", login[field].as_str().unwrap());
    bench.login(json!({ "role_id": blank("role_id"), "secret_id": blank("secret_id") })).await.unwrap();
}

#[tokio::test]
async fn a_wrong_role_id_and_a_wrong_secret_id_look_the_same() {
    let bench = with_role(json!({})).await;
    bench.post("role/other", json!({})).await.is_empty();
    let login = credentials(&bench, json!({})).await;
    let (role_id, secret) = (&login["role_id"], &login["secret_id"]);
    let wrong = |bad: bool| (400, REFUSED.to_owned(), bad);
    // Only a wrong secret id counts towards a lock.
    assert_eq!(refused(&bench, json!({ "role_id": role_id, "secret_id": "wrong" })).await, wrong(true));
    assert_eq!(refused(&bench, json!({ "role_id": "wrong", "secret_id": secret })).await, wrong(false));
    assert_eq!(refused(&bench, json!({ "role_id": bench.role_id("other").await, "secret_id": secret })).await, wrong(true));
    let missing = |field: &str| (400, format!("missing {field}"), false);
    assert_eq!(refused(&bench, json!({ "role_id": role_id })).await, missing("secret_id"));
    assert_eq!(refused(&bench, json!({ "role_id": role_id, "secret_id": " " })).await, missing("secret_id"));
    assert_eq!(refused(&bench, json!({ "secret_id": secret })).await, missing("role_id"));
    assert_eq!(refused(&bench, json!({})).await, missing("role_id"));
    let read = bench.call(Operation::Read, "login", json!({})).await.map(|_| ()).unwrap_err();
    assert_eq!((read.kind, read.text.as_str()), (ErrorKind::Invalid, "missing role_id"));
    // The audit log does not tell which of them it was.
    let audited = |data: Value| async { bench.login(data).await.map(|_| ()).unwrap_err().audited };
    assert_eq!(audited(json!({ "role_id": role_id, "secret_id": "wrong" })).await, Some("invalid credentials"));
    assert_eq!(audited(json!({ "role_id": "wrong", "secret_id": secret })).await, Some("invalid credentials"));
}

#[tokio::test]
async fn uses_are_counted_down_to_nothing() {
    let bench = with_role(json!({})).await;
    let login = credentials(&bench, json!({ "num_uses": 2 })).await;
    assert_eq!(uses(&bench, &login).await, Some(json!(2)));
    bench.rig.advance(Ttl::seconds(5));
    bench.login(login.clone()).await.unwrap();
    let known = bench.post("role/web/secret-id/lookup", json!({ "secret_id": login["secret_id"] })).await;
    assert_eq!(known.ok()["secret_id_num_uses"], json!(1));
    assert_eq!(known.text("creation_time"), "2027-01-15T08:00:00Z");
    assert_eq!(known.text("last_updated_time"), "2027-01-15T08:00:05Z");
    bench.login(login.clone()).await.unwrap();
    assert_eq!(refused(&bench, login).await, (400, REFUSED.to_owned(), true));
    assert_eq!((bench.keys("secret_id/").len(), bench.keys("accessor/").len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_get_exactly_as_many_tokens_as_there_are_uses() {
    for uses in [1, 10] {
        let bench = Arc::new(with_role(json!({})).await);
        let login = credentials(&bench, json!({ "num_uses": uses })).await;
        let tasks = (0..50).map(|_| {
            let (bench, login) = (Arc::clone(&bench), login.clone());
            bench.rig.tasks.clone().spawn(async move { bench.login(login).await.map(|_| ()) })
        });
        let results = futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().map(Result::unwrap).partition(Result::is_ok);
        assert_eq!((won.len(), bench.tokens_made()), (uses, uses));
        assert!(lost.iter().all(|lost| lost.as_ref().is_err_and(|error| error.text == REFUSED)), "{lost:?}");
        assert_eq!(bench.list("role/web/secret-id").await.status, 404);
        assert_eq!(bench.keys("accessor/"), [""; 0]);
    }
}

#[tokio::test]
async fn a_use_and_its_token_are_one_batch() {
    let bench = with_role(json!({})).await;
    let login = credentials(&bench, json!({ "num_uses": 2 })).await;
    let commits = bench.rig.storage.commits();
    bench.login(login.clone()).await.unwrap();
    assert_eq!(bench.rig.storage.commits(), commits + 1);
    // A login whose token is not made costs nothing.
    let reply = bench.call(Operation::Update, "login", login.clone()).await.unwrap();
    drop(reply);
    assert_eq!((bench.rig.storage.commits(), uses(&bench, &login).await), (commits + 1, Some(json!(1))));
    // Nor does one that the disk has no room for.
    bench.rig.storage.set_full(true);
    bench.login(login.clone()).await.map(|_| ()).unwrap_err();
    bench.rig.storage.set_full(false);
    assert_eq!(uses(&bench, &login).await, Some(json!(1)));
    bench.login(login).await.unwrap();
}

#[tokio::test]
async fn a_login_from_a_wrong_address_burns_a_use() {
    let bench = with_role(json!({ "secret_id_bound_cidrs": "127.0.0.0/8" })).await;
    let login = credentials(&bench, json!({ "num_uses": 2, "cidr_list": "127.0.0.1/32" })).await;
    bench.come_from("127.0.0.2");
    let text = "source address \"127.0.0.2\" unauthorized by CIDR restrictions on the secret ID";
    assert_eq!(refused(&bench, login.clone()).await, (400, text.to_owned(), false));
    assert_eq!(uses(&bench, &login).await, Some(json!(1)));
    bench.come_from("10.0.0.1");
    refused(&bench, login.clone()).await;
    assert_eq!(uses(&bench, &login).await, None);
    assert_eq!((bench.tokens_made(), bench.keys("accessor/").len()), (0, 0));
}

#[tokio::test]
async fn addresses_of_the_secret_id_and_of_the_role_both_count() {
    let bench = with_role(json!({ "secret_id_bound_cidrs": ["127.0.0.0/8", "fd00::/8"] })).await;
    let narrow = credentials(&bench, json!({ "cidr_list": "127.0.0.1/32" })).await;
    let wide = credentials(&bench, json!({})).await;
    bench.login(narrow.clone()).await.unwrap();
    bench.come_from("fd00::1");
    bench.login(wide.clone()).await.unwrap();
    let text = "source address \"fd00::1\" unauthorized through CIDR restrictions on the secret ID";
    assert_eq!(refused(&bench, narrow.clone()).await, (400, text.to_owned(), false));
    for (from, shown) in [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("", "")] {
        bench.come_from(from);
        let text = format!("source address {shown:?} unauthorized by CIDR restrictions on the role");
        assert_eq!(refused(&bench, wide.clone()).await, (400, text, false));
    }
    // The role was narrowed after the secret id was made.
    bench.come_from("127.0.0.1");
    bench.post("role/web/secret-id-bound-cidrs", json!({ "secret_id_bound_cidrs": "10.0.0.0/8" })).await.is_empty();
    let (status, text, _) = refused(&bench, narrow).await;
    assert!(status == 500 && text.starts_with("failed to verify subset relationship"), "{status} {text}");
}

#[tokio::test]
async fn where_a_token_may_be_used_is_not_asked_at_login() {
    let bench = with_role(json!({ "token_bound_cidrs": ["10.9.0.0/16"] })).await;
    let login = credentials(&bench, json!({})).await;
    assert_eq!(bench.login(login).await.unwrap().bound_cidrs, [BoundCidr::parse("10.9.0.0/16").unwrap()]);
    let login = credentials(&bench, json!({ "token_bound_cidrs": "10.9.9.0/24" })).await;
    assert_eq!(bench.login(login).await.unwrap().bound_cidrs, [BoundCidr::parse("10.9.9.0/24").unwrap()]);
}

#[tokio::test]
async fn a_role_may_do_without_secret_ids() {
    let bench = with_role(json!({ "secret_id_bound_cidrs": "127.0.0.1/32" })).await;
    let login = credentials(&bench, json!({ "num_uses": 2 })).await;
    bench.post("role/web", json!({ "bind_secret_id": false })).await.is_empty();
    let role_id = bench.role_id("web").await;
    for secret in [json!(null), json!("wrong"), login["secret_id"].clone()] {
        let grant = bench.login(json!({ "role_id": role_id, "secret_id": secret })).await.unwrap();
        assert_eq!(grant.metadata.unwrap(), BTreeMap::from([("role_name".to_owned(), "web".to_owned())]));
    }
    // Nor was one used.
    assert_eq!(uses(&bench, &login).await, Some(json!(2)));
    bench.come_from("127.0.0.2");
    assert_eq!(refused(&bench, json!({ "role_id": role_id })).await.0, 400);
}

#[tokio::test]
async fn what_has_expired_is_refused() {
    let bench = with_role(json!({})).await;
    let login = credentials(&bench, json!({ "ttl": "1m", "num_uses": 5 })).await;
    bench.rig.advance(Ttl::seconds(59));
    bench.login(login.clone()).await.unwrap();
    bench.rig.advance(Ttl::seconds(1));
    assert_eq!(refused(&bench, login).await, (400, REFUSED.to_owned(), true));
}

#[tokio::test]
async fn a_secret_id_destroyed_while_a_login_waits_is_refused() {
    let bench = with_role(json!({})).await;
    let login = credentials(&bench, json!({ "num_uses": 5 })).await;
    // Holds the turn until it is let go.
    let first = bench.call(Operation::Update, "login", login.clone()).await.unwrap();
    let destroy = bench.post("role/web/secret-id/destroy", json!({ "secret_id": login["secret_id"] }));
    let second = bench.login(login.clone());
    let done = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    let (destroyed, second, ()) = futures_util::future::join3(destroy, second, done).await;
    destroyed.is_empty();
    let error = second.map(|_| ()).unwrap_err();
    assert_eq!((error.text.as_str(), error.is_bad_credentials), (REFUSED, false));
}

#[tokio::test]
async fn a_renewal_goes_by_the_role_as_it_is_now() {
    let bench = with_role(json!({ "token_ttl": "1h" })).await;
    let grant = bench.login(credentials(&bench, json!({ "num_uses": 1 })).await).await.unwrap();
    bench.post("role/web", json!({ "token_ttl": "2h", "token_max_ttl": "3h", "token_period": "4h" })).await.is_empty();
    let renewal = bench.renew(grant.internal.clone()).await.unwrap();
    assert_eq!((renewal.ttl, renewal.max_ttl, renewal.period), (Ttl::hours(2), Ttl::hours(3), Ttl::hours(4)));
    bench.delete("role/web").await.is_empty();
    let error = bench.renew(grant.internal).await.unwrap_err();
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Internal, "role \"web\" does not exist during renewal"));
}

#[tokio::test]
async fn batch_roles_give_batch_tokens() {
    let bench = with_role(json!({ "token_type": "batch", "token_ttl": "5m" })).await;
    let grant = bench.login(credentials(&bench, json!({})).await).await.unwrap();
    assert_eq!((grant.token_type, grant.ttl), (GrantType::Batch, Ttl::minutes(5)));
    assert_eq!(bench.post("role/web", json!({ "token_period": 1 })).await.status, 400);
    assert_eq!(bench.post("role/web/token-num-uses", json!({ "token_num_uses": 1 })).await.status, 400);
}

#[tokio::test]
async fn only_logins_need_no_token() {
    let bench = bench().await;
    let open: Vec<_> = bench.plugin.specs().into_iter().filter(|spec| spec.is_login).map(|spec| spec.pattern).collect();
    assert_eq!(open, ["login"]);
}
