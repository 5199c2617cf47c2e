//! Endpoints that answer while sealed.

use leasehold::http::App as _;
use serde_json::{Value, json};

use super::{Edge, Got};

impl Edge {
    async fn shown(&self, path: &str) -> Value {
        self.get(path).send().await.is(200).body()
    }

    async fn submit(&self, path: &str, key: &str, nonce: &str) -> Got {
        self.post(path).json(&json!({ "key": key, "nonce": nonce })).send().await
    }
}

const WRONG: &str = "abababababababababababababababababababababababababababababababab";

#[tokio::test]
async fn a_fresh_server_is_initialised_once() {
    let mut edge = Edge::fresh();
    assert_eq!(edge.shown("sys/init").await, json!({ "initialized": false }));
    for (body, text) in [
        (json!({}), "invalid seal configuration: shares must be at least one"),
        (
            json!({ "secret_shares": 5, "secret_threshold": 1 }),
            "invalid seal configuration: threshold must be greater than one for multiple shares",
        ),
        (
            json!({ "secret_shares": 3, "secret_threshold": 2, "recovery_shares": 1 }),
            "parameters recovery_shares not applicable to seal type shamir",
        ),
    ] {
        edge.post("sys/init").json(&body).send().await.fails(400, text);
    }
    let broken = edge.post("sys/init").body("[]").send().await.is(400);
    assert!(broken.text.contains("failed to parse JSON input: "), "{broken:?}");
    let wrong = edge.post("sys/init").json(&json!({ "secret_shares": "three" })).send().await.is(400);
    assert!(wrong.text.contains("failed to parse JSON input: "), "{wrong:?}");
    edge.initialize(3, 2).await;
    assert_eq!(edge.keys.len(), 3);
    assert_eq!(edge.shown("sys/init").await, json!({ "initialized": true }));
    let again = edge.ask("PUT", "sys/init").json(&json!({ "secret_shares": 1, "secret_threshold": 1 })).send().await;
    again.fails(400, "Vault is already initialized");
}

#[tokio::test]
async fn shares_unseal_and_the_status_tells_how_far() {
    let mut edge = Edge::fresh();
    let fresh = edge.shown("sys/seal-status").await;
    assert_eq!(
        (&fresh["initialized"], &fresh["sealed"], &fresh["t"], &fresh["n"]),
        (&json!(false), &json!(true), &json!(0), &json!(0))
    );
    edge.post("sys/unseal").json(&json!({ "key": WRONG })).send().await.fails(400, "Vault is not initialized");
    edge.post("sys/unseal").json(&json!({ "reset": true })).send().await.is(200);
    edge.initialize(3, 2).await;
    let keys = edge.keys.clone();
    let missing = "'key' must be specified in request body as JSON, or 'reset' set to true";
    edge.post("sys/unseal").send().await.fails(400, missing);
    edge.post("sys/unseal").json(&json!({})).send().await.fails(400, missing);
    edge.post("sys/unseal").json(&json!({ "key": "zz!!" })).send().await.fails(400, "'key' must be a valid hex or base64 string");
    for _twice in 0..2 {
        let one = edge.post("sys/unseal").json(&json!({ "key": keys[0] })).send().await.is(200).body();
        assert_eq!((&one["progress"], &one["t"], &one["n"], &one["sealed"]), (&json!(1), &json!(2), &json!(3), &json!(true)));
        assert_eq!(one["nonce"].as_str().unwrap().len(), 36);
        assert_eq!(one.get("cluster_id"), None);
    }
    let wrong = edge.post("sys/unseal").json(&json!({ "key": WRONG })).send().await.is(400);
    assert!(wrong.text.contains("unable to retrieve stored keys: "), "{wrong:?}");
    assert_eq!(edge.shown("sys/seal-status").await["progress"], 0);
    edge.post("sys/unseal").json(&json!({ "key": keys[2] })).send().await.is(200);
    let open = edge.post("sys/unseal").json(&json!({ "key": keys[1] })).send().await.is(200).body();
    assert_eq!((&open["sealed"], &open["progress"], &open["nonce"]), (&json!(false), &json!(0), &json!("")));
    assert_eq!(open["cluster_id"].as_str().unwrap().len(), 36);
    assert_eq!((&open["type"], &open["storage_type"], &open["migration"]), (&json!("shamir"), &json!("inmem"), &json!(false)));
    edge.post("sys/unseal").json(&json!({ "key": keys[1] })).send().await.is(200);
    edge.post("sys/unseal").json(&json!({ "reset": true })).send().await.fails(400, "vault is unsealed");
}

#[tokio::test]
async fn a_sealed_server_says_so_to_everybody() {
    let mut edge = Edge::fresh();
    edge.get("sys/mounts").send().await.fails(503, "Vault is sealed");
    edge.get("sys/rekey/init").send().await.fails(400, "server is not yet initialized");
    edge.initialize(1, 1).await;
    for path in ["sys/mounts", "auth/token/lookup-self", "cubbyhole/a", "sys/generate-root/attempt", "sys/rekey/init"] {
        edge.get(path).root().send().await.fails(503, "Vault is sealed");
    }
    edge.ask("HELP", "sys/mounts").root().send().await.fails(503, "Vault is sealed");
    edge.post("sys/seal").send().await.is(204);
    edge.post("sys/step-down").send().await.is(204);
}

#[tokio::test]
async fn health_is_a_status_that_can_be_chosen() {
    let mut edge = Edge::fresh();
    let fresh = edge.get("sys/health").send().await.is(501).body();
    assert_eq!((&fresh["initialized"], &fresh["sealed"], &fresh["standby"]), (&json!(false), &json!(true), &json!(true)));
    edge.get("sys/health?uninitcode=299").send().await.is(299);
    edge.initialize(1, 1).await;
    let sealed = edge.get("sys/health").send().await.is(503).body();
    assert_eq!((&sealed["initialized"], &sealed["replication_dr_mode"]), (&json!(true), &json!("unknown")));
    edge.get("sys/health?sealedcode=298").send().await.is(298);
    let key = edge.keys[0].clone();
    edge.post("sys/unseal").json(&json!({ "key": key })).send().await.is(200);
    let active = edge.get("sys/health").send().await.is(200).body();
    assert_eq!(
        (&active["sealed"], &active["standby"], &active["server_time_utc"]),
        (&json!(false), &json!(false), &json!(1_700_000_000))
    );
    assert_eq!((&active["replication_performance_mode"], active["cluster_id"].as_str().unwrap().len()), (&json!("disabled"), 36));
    for (query, status) in
        [("activecode=297", 297), ("standbyok", 200), ("standbyok=true&perfstandbyok=1", 200), ("activecode=", 200)]
    {
        edge.get(&format!("sys/health?{query}")).send().await.is(status);
    }
    for query in ["activecode=x", "sealedcode=99", "uninitcode=1000", "activecode=101", "standbyok=maybe", "standbycode=-1"] {
        edge.get(&format!("sys/health?{query}")).send().await.fails_silently(400);
    }
    assert_eq!(edge.get("sys/health?activecode=204").send().await.is(204).text, "");
    let head = edge.ask("HEAD", "sys/health").send().await.is(200);
    assert_eq!((head.text.as_str(), head.header("content-type")), ("", "application/json"));
}

#[tokio::test]
async fn a_server_that_stands_alone_has_no_leader() {
    let edge = Edge::fresh();
    let expected = json!({
        "ha_enabled": false, "is_self": false, "active_time": "0001-01-01T00:00:00Z", "leader_address": "",
        "leader_cluster_address": "", "performance_standby": false, "performance_standby_last_remote_wal": 0
    });
    assert_eq!(edge.shown("sys/leader").await, expected);
}

#[tokio::test]
async fn each_of_these_endpoints_has_its_methods() {
    let edge = Edge::open().await;
    for (method, path) in [
        ("GET", "sys/unseal"),
        ("GET", "sys/seal"),
        ("GET", "sys/step-down"),
        ("POST", "sys/health"),
        ("POST", "sys/leader"),
        ("DELETE", "sys/init"),
        ("LIST", "sys/seal-status"),
        ("GET", "sys/generate-root/update"),
        ("PATCH", "sys/generate-root/attempt"),
        ("GET", "sys/rekey/update"),
        ("LIST", "sys/rekey/verify"),
        ("GET", "sys/rekey-recovery-key/update"),
    ] {
        edge.ask(method, path).root().send().await.fails_silently(405);
    }
}

#[tokio::test]
async fn sealing_takes_update_and_sudo() {
    let edge = Edge::open().await;
    let policy = |name: &str, text: &str| edge.post(&format!("sys/policies/acl/{name}")).root().json(&json!({ "policy": text }));
    policy("some", "path \"sys/seal\" { capabilities = [\"update\"] }").send().await.is(204);
    policy("all", "path \"sys/seal\" { capabilities = [\"update\", \"sudo\"] }").send().await.is(204);
    let (some, all) = (edge.token(&["some"]).await, edge.token(&["all"]).await);
    edge.post("sys/seal").send().await.fails(403, "permission denied");
    edge.post("sys/seal").token("hvs.none").send().await.fails(403, "permission denied");
    edge.post("sys/seal").token(&some).send().await.fails(403, "permission denied");
    edge.post("sys/step-down").token(&all).send().await.fails(403, "permission denied");
    edge.post("sys/step-down").root().send().await.is(204);
    edge.get("cubbyhole/a").root().send().await.is(200);
    edge.ask("PUT", "sys/seal").token(&all).send().await.is(204);
    edge.get("cubbyhole/a").root().send().await.fails(503, "Vault is sealed");
    assert_eq!(edge.get("sys/health").send().await.is(503).body()["sealed"], true);
    edge.post("sys/unseal").json(&json!({ "key": edge.keys[0] })).send().await.is(200);
    edge.get("cubbyhole/a").root().send().await.is(200);
}

#[tokio::test]
async fn shutting_down_seals() {
    let edge = Edge::open().await;
    edge.server.reload().await;
    edge.get("cubbyhole/a").root().send().await.is(200);
    edge.server.shutdown().await;
    edge.get("cubbyhole/a").root().send().await.fails(503, "Vault is sealed");
}

#[tokio::test]
async fn shares_make_a_root_token() {
    let edge = Edge::fresh().opened(3, 2).await;
    let (attempt, update) = ("sys/generate-root/attempt", "sys/generate-root/update");
    let none = edge.shown(attempt).await;
    assert_eq!((&none["started"], &none["required"], &none["otp_length"]), (&json!(false), &json!(2), &json!(28)));
    edge.submit(update, &edge.keys[0], "x").await.fails(400, "no root generation in progress");
    edge.post(attempt).json(&json!({ "otp": "short" })).send().await.fails(400, "OTP string has incorrect length");
    let otp = "0123456789012345678901234567";
    let begun = edge.post(attempt).json(&json!({ "otp": otp })).send().await.is(200).body();
    let nonce = begun["nonce"].as_str().unwrap().to_owned();
    edge.post(attempt).send().await.fails(400, "root generation already in progress");
    edge.post(update).json(&json!({ "nonce": nonce })).send().await.fails(400, "'key' must be specified in request body as JSON");
    let text = format!("incorrect nonce supplied; nonce for this root generation operation is \"{nonce}\"");
    edge.submit(update, &edge.keys[0], "bad").await.fails(400, &text);
    assert_eq!(edge.submit(update, &edge.keys[0], &nonce).await.is(200).body()["progress"], 1);
    let wrong = edge.submit(update, WRONG, &nonce).await.is(400);
    assert!(wrong.text.contains("root generation aborted: unable to authenticate: "), "{wrong:?}");
    edge.submit(update, &edge.keys[0], &nonce).await.is(200);
    let done = edge.submit(update, &edge.keys[1], &nonce).await.is(200).body();
    assert_eq!(
        (&done["complete"], &done["progress"], &done["encoded_token"]),
        (&json!(true), &json!(2), &done["encoded_root_token"])
    );
    let token = leasehold::seal::root_token::decode_token(done["encoded_token"].as_str().unwrap(), otp).unwrap();
    edge.get("cubbyhole/a").token(token.expose()).send().await.is(200);
    assert_eq!(edge.shown(attempt).await["started"], false);
    edge.ask("DELETE", attempt).send().await.is(204);
}

#[tokio::test]
async fn shares_are_replaced_at_once_or_after_they_were_shown() {
    let edge = Edge::fresh().opened(3, 2).await;
    let (init, update, verify) = ("sys/rekey/init", "sys/rekey/update", "sys/rekey/verify");
    edge.submit(update, &edge.keys[0], "x").await.fails(400, "no barrier rekey in progress");
    let bad = edge.post(init).json(&json!({ "secret_shares": 2, "secret_threshold": 3 })).send().await;
    bad.fails(500, "invalid rekey seal configuration: threshold cannot be larger than shares");
    let begin = json!({ "secret_shares": 2, "secret_threshold": 2, "require_verification": true });
    let begun = edge.post(init).json(&begin).send().await.is(200).body();
    assert_eq!(
        (&begun["started"], &begun["pgp_fingerprints"], &begun["verification_required"]),
        (&json!(true), &Value::Null, &json!(true))
    );
    let nonce = begun["nonce"].as_str().unwrap().to_owned();
    edge.post(init).json(&begin).send().await.fails(400, "rekey already in progress");
    edge.submit(update, "abcd", &nonce).await.fails(400, "key is shorter than minimum 16 bytes");
    edge.submit(update, &edge.keys[0], &nonce).await.is(200);
    let wrong = edge.submit(update, WRONG, &nonce).await.is(500);
    assert!(wrong.text.contains("failed to read root key: "), "{wrong:?}");
    assert_eq!(edge.shown(init).await["progress"], 0);
    edge.submit(update, &edge.keys[2], &nonce).await.is(200);
    let dealt = edge.submit(update, &edge.keys[0], &nonce).await.is(200).body();
    assert_eq!(
        (&dealt["complete"], &dealt["backup"], &dealt["verification_required"]),
        (&json!(true), &json!(false), &json!(true))
    );
    let new: Vec<&str> = dealt["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    let due = dealt["verification_nonce"].as_str().unwrap();
    assert_eq!(edge.shown(verify).await["nonce"], due);
    edge.submit(verify, new[0], due).await.is(200);
    let again = edge.ask("DELETE", verify).send().await.is(200).body();
    let due = again["nonce"].as_str().unwrap();
    assert_eq!(edge.shown("sys/seal-status").await["n"], 3, "the old shares still count");
    edge.submit(verify, new[0], due).await.is(200);
    assert_eq!(edge.submit(verify, new[1], due).await.is(200).body(), json!({ "nonce": due, "complete": true }));
    edge.get(verify).send().await.fails(400, "no rekey configuration found");
    assert_eq!(edge.shown("sys/seal-status").await["n"], 2);
    // And without: one share from now on.
    let begun = edge.post(init).json(&json!({ "secret_shares": 1, "secret_threshold": 1 })).send().await.is(200).body();
    let nonce = begun["nonce"].as_str().unwrap();
    edge.submit(update, new[0], nonce).await.is(200);
    let dealt = edge.submit(update, new[1], nonce).await.is(200).body();
    assert_eq!((dealt.get("verification_nonce"), &dealt["verification_required"]), (None, &json!(false)));
    edge.post("sys/seal").root().send().await.is(204);
    let open = edge.post("sys/unseal").json(&json!({ "key": dealt["keys_base64"][0] })).send().await.is(200).body();
    assert_eq!(open["sealed"], false);
    edge.get("cubbyhole/a").root().send().await.is(200);
}

#[tokio::test]
async fn a_rekey_can_be_given_up_and_sealing_forgets_it() {
    let edge = Edge::open().await;
    let begin = json!({ "secret_shares": 1, "secret_threshold": 1 });
    edge.post("sys/rekey/init").json(&begin).send().await.is(200);
    edge.ask("DELETE", "sys/rekey/init").send().await.is(204);
    assert_eq!(edge.shown("sys/rekey/init").await["started"], false);
    edge.post("sys/rekey/init").json(&begin).send().await.is(200);
    edge.post("sys/seal").root().send().await.is(204);
    edge.post("sys/unseal").json(&json!({ "key": edge.keys[0] })).send().await.is(200);
    assert_eq!(edge.shown("sys/rekey/init").await["started"], false);
}

#[tokio::test]
async fn there_are_no_recovery_keys() {
    let edge = Edge::open().await;
    for (method, path) in [("GET", "init"), ("POST", "init"), ("DELETE", "init"), ("POST", "update"), ("GET", "verify")] {
        let got = edge.ask(method, &format!("sys/rekey-recovery-key/{path}")).send().await;
        got.fails(400, "recovery rekeying not supported");
    }
}
