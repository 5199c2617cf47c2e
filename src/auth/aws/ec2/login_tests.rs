//! Logins with a document, what they give, and how they are refused.

use std::collections::BTreeMap;

use serde_json::json;

use super::notary::{Notary, Style, document, encoded};
use super::rig::{IMAGE, INSTANCE, Scene, T1, T2, is};
use crate::aws::sandbox::{Effect, Machine};
use crate::base::Ttl;

#[tokio::test]
async fn a_login_gives_what_the_role_says_and_a_second_one_needs_the_nonce() {
    let scene = Scene::new(json!({ "policies": "webapp-policy", "max_ttl": "500h" })).await;
    let grant = scene.login(json!({})).await.unwrap();
    assert_eq!((grant.policies, grant.max_ttl), (vec!["webapp-policy".to_owned()], Ttl::hours(500)));
    let metadata = grant.metadata.unwrap();
    let expected = [("account_id", "123456789012"), ("auth_type", "ec2"), ("role", "web"), ("role_tag_max_ttl", "0s")];
    assert_eq!(metadata, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(grant.alias.unwrap().metadata.len(), 2);
    assert_eq!((grant.display_name.as_str(), grant.renewable), ("", true));
    assert_eq!(grant.internal["instance_id"], INSTANCE);

    scene.login(json!({})).await.unwrap();
    for nonce in [json!("abd"), json!(null)] {
        assert!(is(&scene.refused(json!({ "nonce": nonce })).await, "nonce_mismatch", "client nonce mismatch"));
    }
    let entry = scene.entry().await;
    assert_eq!((entry["role"].as_str(), entry["client_nonce"].as_str()), (Some("web"), Some("abc")));
    assert_eq!((entry["pending_time"].as_str(), entry["disallow_reauthentication"].as_bool()), (Some(T1), Some(false)));
}

#[tokio::test]
async fn the_tutorials_role_reads_back_as_it_is_meant() {
    let scene = Scene::bare().await;
    let role = json!({
        "auth_type": "ec2", "policies": "webapp-policy", "max_ttl": "500h", "bound_instance_ids": INSTANCE,
    });
    scene.bench.post("role/ec2-webapp", role).await.is_empty();
    let shown = scene.bench.get("role/ec2-webapp").await;
    let shown = shown.ok();
    assert_eq!((&shown["max_ttl"], &shown["bound_ec2_instance_id"]), (&json!(1_800_000), &json!([INSTANCE])));
    scene.login(json!({ "role": "EC2-webapp" })).await.unwrap();
}

#[tokio::test]
async fn all_three_forms_of_a_document_log_in() {
    let scene = Scene::new(json!({})).await;
    let rsa = Notary::rsa(2);
    let add = |form: &str| json!({ "aws_public_cert": rsa.pem(), "type": form });
    let text = document(INSTANCE, IMAGE, T1);
    let (identity, signature) = rsa.pair(&text);
    let pair = json!({ "pkcs7": null, "identity": identity, "signature": signature });

    let told = scene.refused(json!({ "pkcs7": rsa.pkcs7(&text) })).await;
    assert!(is(&told, "document_certificate_unknown", "failed to verify the signature: pkcs7: No certificate for signer"));
    let told = scene.refused(pair.clone()).await;
    let words = "instance identity verification using SHA256 RSA signature is unsuccessful";
    assert!(is(&told, "document_certificate_unknown", words));

    scene.bench.post("config/certificate/rsa", add("pkcs7")).await.is_empty();
    scene.login(json!({ "pkcs7": rsa.pkcs7(&text) })).await.unwrap();
    // Registered for the other form, it is not used.
    assert_eq!(scene.refused(pair.clone()).await.0, "document_certificate_unknown");
    scene.bench.post("config/certificate/rsa", add("Identity")).await.is_empty();
    scene.login(pair).await.unwrap();
    assert_eq!(scene.refused(json!({ "pkcs7": rsa.pkcs7(&text) })).await.0, "document_certificate_unknown");
}

#[tokio::test]
async fn a_document_that_is_not_true_logs_nobody_in() {
    let scene = Scene::new(json!({})).await;
    let text = document(INSTANCE, IMAGE, T1);
    let tampered = Some(text.replace(INSTANCE, "i-0b").into_bytes());
    let field = encoded(&scene.notary.container(text.as_bytes(), &Style { sha1: true, tampered, ..Style::default() }));
    assert_eq!(scene.refused(json!({ "pkcs7": field })).await.0, "document_signature");
    for (data, text) in [
        (json!({ "pkcs7": "%" }), "failed to decode the PEM encoded PKCS#7 signature"),
        (json!({ "pkcs7": "" }), "either pkcs7 or a tuple containing the instance identity document"),
        (json!({ "identity": "e30=", "signature": "AA==" }), "both pkcs7 and a tuple containing the instance identity document"),
        (json!({ "pkcs7": null, "identity": "", "signature": "AA==" }), "missing instance identity document"),
        (json!({ "pkcs7": null, "identity": "e30=", "signature": "" }), "missing SHA256 RSA signature of the instance"),
        (
            json!({ "pkcs7": null, "identity": "%", "signature": "AA==" }),
            "failed to base64 decode the instance identity document",
        ),
        (json!({ "pkcs7": null, "identity": "e30=", "signature": "%" }), "failed to base64 decode the SHA256 RSA signature of"),
        (json!({ "pkcs7": null, "identity": "e30=" }), "didn't supply required authentication values"),
        (json!({ "role": "none" }), "entry for role \"none\" not found"),
    ] {
        let told = scene.refused(data.clone()).await;
        assert!(is(&told, "", text), "{data}: {told:?}");
    }
    assert_eq!(scene.bench.tokens_made(), 0);
    assert_eq!(scene.bench.list("identity-accesslist").await.status, 404);
}

#[tokio::test]
async fn without_a_role_the_image_names_it() {
    let scene = Scene::bare().await;
    let told = scene.refused(json!({ "role": null })).await;
    assert!(is(&told, "", "entry for role \"ami-1\" not found"), "{told:?}");
    scene.role(IMAGE, json!({})).await;
    scene.login(json!({ "role": null })).await.unwrap();
}

#[tokio::test]
async fn an_address_and_a_type_are_looked_at_before_ec2_is_asked() {
    let scene = Scene::new(json!({ "token_bound_cidrs": "10.0.0.0/8" })).await;
    let told = scene.refused(json!({})).await;
    assert_eq!(told, ("cidr".to_owned(), "permission denied".to_owned()));
    let role = json!({ "auth_type": "iam", "bound_iam_principal_arn": "arn:aws:iam::123456789012:role/x*" });
    scene.bench.post("role/other", role).await.is_empty();
    let told = scene.refused(json!({ "role": "other" })).await;
    assert!(is(&told, "", "auth method ec2 not allowed for role other"));
    assert_eq!(scene.sandbox.count(), 0);
}

#[tokio::test]
async fn only_an_instance_that_runs_logs_in() {
    let scene = Scene::new(json!({})).await;
    let mut machine = Machine::running(INSTANCE, IMAGE);
    machine.state = "stopped".to_owned();
    scene.sandbox.put_instance(machine);
    let told = scene.refused(json!({})).await;
    assert!(is(&told, "instance_not_running", "failed to verify instance ID: instance is not in 'running' state"), "{told:?}");
    scene.sandbox.remove_instance(INSTANCE);
    let told = scene.refused(json!({})).await;
    assert!(is(&told, "instance_unknown", "failed to verify instance ID: error fetching description for instance ID \"i-0a\": "));
    let denied = crate::aws::sandbox::Failure::new(403, "UnauthorizedOperation", "You are not authorized");
    scene.sandbox.faults().next("DescribeInstances", Effect::Refuse(denied));
    assert_eq!(scene.refused(json!({})).await.0, "server_permission");
}

#[tokio::test]
async fn another_account_is_not_asked_with_our_keys() {
    let scene = Scene::new(json!({})).await;
    scene.login(json!({})).await.unwrap();
    let text = document(INSTANCE, IMAGE, T1).replace("123456789012", "999999999999");
    let told = scene.refused(json!({ "pkcs7": scene.notary.pkcs7(&text) })).await;
    assert!(is(&told, "account_not_bound", "999999999999"), "{told:?}");
}

#[tokio::test]
async fn a_nonce_is_made_where_none_is_sent() {
    let scene = Scene::new(json!({})).await;
    let grant = scene.login(json!({ "nonce": null })).await.unwrap();
    let metadata = grant.metadata.unwrap();
    // Not told to the identity store.
    assert!(!grant.alias.unwrap().metadata.contains_key("nonce"));
    let again = scene.login(json!({ "nonce": metadata["nonce"] })).await.unwrap();
    assert!(!again.metadata.unwrap().contains_key("nonce"));
    assert_eq!(scene.refused(json!({ "nonce": null })).await.0, "nonce_mismatch");
}

#[tokio::test]
async fn an_instance_that_logs_in_once_stays_out_until_its_entry_is_gone() {
    let scene = Scene::new(json!({ "disallow_reauthentication": true })).await;
    assert!(!scene.login(json!({ "nonce": null })).await.unwrap().metadata.unwrap().contains_key("nonce"));
    assert_eq!(scene.entry().await["client_nonce"], "");
    scene.role("web", json!({ "disallow_reauthentication": false })).await;
    for nonce in [json!("abc"), json!(null), json!("reauthentication-disabled-nonce")] {
        assert_eq!(scene.refused(json!({ "nonce": nonce })).await.0, "reauthentication_disabled");
    }
    scene.bench.delete(&format!("identity-whitelist/{INSTANCE}")).await.is_empty();
    scene.login(json!({ "nonce": "" })).await.unwrap();
    assert_eq!(scene.refused(json!({})).await.0, "reauthentication_disabled");
    scene.bench.delete(&format!("identity-accesslist/{INSTANCE}")).await.is_empty();
    let long = "x".repeat(129);
    let told = scene.refused(json!({ "nonce": long })).await;
    assert!(is(&told, "", "client nonce exceeding the limit of 128 characters"), "{told:?}");
    scene.login(json!({})).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_was_started_anew_may_bring_another_nonce() {
    let scene = Scene::new(json!({ "allow_instance_migration": true })).await;
    scene.login(json!({})).await.unwrap();
    assert_eq!(scene.refused(json!({ "nonce": "new" })).await.0, "nonce_mismatch");
    let anew = scene.started(T2);
    scene.login(json!({ "nonce": "new", "pkcs7": anew })).await.unwrap();
    scene.login(json!({ "nonce": "new", "pkcs7": anew })).await.unwrap();
    assert_eq!(scene.refused(json!({ "nonce": "abc", "pkcs7": anew })).await.0, "nonce_mismatch");
    let told = scene.refused(json!({ "nonce": "new" })).await;
    assert!(is(&told, "document_older", "instance meta-data is older than the one used for previous login"));
    let entry = scene.entry().await;
    assert_eq!((entry["client_nonce"].as_str(), entry["pending_time"].as_str()), (Some("new"), Some(T2)));
}

#[tokio::test]
async fn the_alias_and_the_metadata_are_chosen() {
    let scene = Scene::new(json!({})).await;
    let role_id = scene.bench.get("role/web").await.text("role_id");
    for (alias, name) in [("role_id", role_id.as_str()), ("instance_id", INSTANCE), ("image_id", IMAGE)] {
        let config = json!({ "ec2_alias": alias, "ec2_metadata": ["instance_id", "ami_id", "region"] });
        scene.bench.post("config/identity", config).await.is_empty();
        let alias = scene.login(json!({})).await.unwrap().alias.unwrap();
        assert_eq!((alias.name.as_str(), alias.metadata["region"].as_str()), (name, "eu-central-1"));
        assert_eq!((alias.metadata["instance_id"].as_str(), alias.metadata["ami_id"].as_str()), (INSTANCE, IMAGE));
    }
}

#[tokio::test]
async fn a_renewal_needs_the_instance_and_its_entry() {
    let scene = Scene::new(json!({ "token_ttl": "1h", "token_max_ttl": "20h" })).await;
    let grant = scene.login(json!({})).await.unwrap();
    scene.role("web", json!({ "token_ttl": "2h", "token_period": "3h" })).await;
    let renewal = scene.bench.renew(grant.internal.clone()).await.unwrap();
    assert_eq!((renewal.ttl, renewal.max_ttl, renewal.period), (Ttl::hours(2), Ttl::hours(20), Ttl::hours(3)));

    let mut stopped = Machine::running(INSTANCE, IMAGE);
    stopped.state = "stopping".to_owned();
    scene.sandbox.put_instance(stopped);
    let error = scene.bench.renew(grant.internal.clone()).await.unwrap_err();
    assert!(error.text.starts_with("failed to verify instance ID \"i-0a\": instance is not in"), "{error}");
    scene.sandbox.put_instance(Machine::running(INSTANCE, IMAGE));
    scene.bench.delete(&format!("identity-accesslist/{INSTANCE}")).await.is_empty();
    let error = scene.bench.renew(grant.internal.clone()).await.unwrap_err();
    assert!(error.text.contains("failed to verify the access list identity entry"), "{error}");
    scene.login(json!({ "nonce": "other" })).await.unwrap();
    scene.bench.delete("role/web").await.is_empty();
    let error = scene.bench.renew(grant.internal).await.unwrap_err();
    assert_eq!(error.text, "role entry not found");
    let kind = BTreeMap::from([("auth_type".to_owned(), "ec2".to_owned())]);
    let error = scene.bench.renew(kind).await.unwrap_err();
    assert_eq!(error.text, "\"instance_id\" not found in auth metadata");
}

#[tokio::test]
async fn the_doctor_tells_each_check_and_writes_nothing() {
    let scene = Scene::new(json!({})).await;
    let before = scene.bench.keys("").len();
    let found = scene.bench.post("doctor", scene.login_data(json!({}))).await;
    let found = found.ok();
    assert_eq!(found["verdict"], "ok");
    let names: Vec<&str> = found["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    let expected = ["fields", "type", "document", "role", "cidr", "auth_type", "instance", "bound_region", "bounds", "nonce"];
    assert_eq!(names[..10], expected);
    assert_eq!((scene.bench.keys("").len(), scene.bench.tokens_made()), (before, 0));

    scene.sandbox.remove_instance(INSTANCE);
    scene.role("web", json!({ "bound_region": "eu-west-1" })).await;
    let found = scene.bench.post("doctor", scene.login_data(json!({}))).await;
    let found = found.ok();
    assert_eq!(found["verdict"], "instance_unknown");
    let result = |name: &str| {
        let checks = found["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["result"].as_str().unwrap().to_owned()
    };
    let results = ["instance", "bound_region", "bounds", "nonce", "role_tag"].map(result);
    assert_eq!(results, ["fail", "fail", "skipped", "pass", "skipped"]);
}

#[tokio::test]
async fn a_document_says_what_it_says_in_every_form_of_json() {
    let scene = Scene::new(json!({})).await;
    let text = format!(
        r#"{{"instanceId":"{INSTANCE}","imageId":"{IMAGE}","accountId":"123456789012","region":"eu-central-1","pendingTime":"{T1}",
        "marketplaceProductCodes":["a"],"x":{{"y":null}}}}"#
    );
    scene.login(json!({ "pkcs7": scene.notary.pkcs7(&text) })).await.unwrap();
}
