//! Certificates, the access list and its tidying, through the endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::notary::{Notary, document};
use super::rig::{IMAGE, INSTANCE, Scene, T1};
use crate::aws::sandbox::Machine;
use crate::base::Ttl;

#[tokio::test]
async fn certificates_come_and_go() {
    let scene = Scene::bare().await;
    let (bench, pem) = (&scene.bench, scene.notary.pem());
    assert_eq!(*bench.get("config/certificate/test").await.ok(), json!({ "aws_public_cert": pem, "type": "pkcs7" }));
    bench.post("config/certificate/b64", json!({ "aws_public_cert": BASE64.encode(&pem), "type": "IDENTITY" })).await.is_empty();
    assert_eq!(*bench.get("config/certificate/b64").await.ok(), json!({ "aws_public_cert": pem, "type": "identity" }));
    assert_eq!(bench.list("config/certificates").await.data["keys"], json!(["b64", "test"]));
    for (data, text) in [
        (json!({}), "missing aws_public_cert"),
        (json!({ "type": "pkcs7" }), "missing aws_public_cert"),
        (json!({ "aws_public_cert": "%" }), "invalid aws_public_cert"),
        (json!({ "aws_public_cert": pem, "type": "x" }), "invalid certificate type \"x\""),
        (json!({ "aws_public_cert": format!("{pem}{pem}") }), "invalid certificate; should be one PEM block only"),
        (
            json!({ "aws_public_cert": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" }),
            "invalid certificate; it is not X.509",
        ),
    ] {
        bench.post("config/certificate/x", data).await.is_error(400, text);
    }
    bench.delete("config/certificate/b64").await.is_empty();
    bench.delete("config/certificate/b64").await.is_empty();
    assert_eq!(bench.get("config/certificate/b64").await.status, 404);
}

#[tokio::test]
async fn aws_own_certificates_can_be_left_out() {
    let scene = Scene::new(json!({})).await;
    let path = "config/certificate-trust";
    assert_eq!(*scene.bench.get(path).await.ok(), json!({ "only_configured": false }));
    scene.bench.post(path, json!({ "only_configured": true })).await.is_empty();
    assert_eq!(*scene.bench.get(path).await.ok(), json!({ "only_configured": true }));
    scene.login(json!({})).await.unwrap();
    // It is no certificate, whatever its path begins with.
    assert_eq!(scene.bench.list("config/certificates").await.data["keys"], json!(["test"]));
}

#[tokio::test]
async fn only_keys_that_aws_could_have_are_taken() {
    let scene = Scene::bare().await;
    for notary in [Notary::rsa(3), Notary::dsa(4), Notary::another_rsa(5)] {
        scene.bench.post("config/certificate/x", json!({ "aws_public_cert": notary.pem() })).await.is_empty();
    }
    // An elliptic curve is none of AWS's.
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
    let answer = scene.bench.post("config/certificate/x", json!({ "aws_public_cert": pem })).await;
    assert!(answer.error.contains("its key is neither RSA"), "{answer:?}");
}

async fn log_in(scene: &Scene, instance: &str) {
    scene.sandbox.put_instance(Machine::running(instance, IMAGE));
    let pkcs7 = scene.notary.pkcs7(&document(instance, IMAGE, T1));
    scene.login(json!({ "pkcs7": pkcs7 })).await.unwrap();
}

async fn listed(scene: &Scene) -> Value {
    scene.bench.list("identity-accesslist").await.data["keys"].clone()
}

#[tokio::test]
async fn what_is_over_is_tidied_and_what_is_within_the_buffer_stays() {
    let scene = Scene::new(json!({})).await;
    log_in(&scene, INSTANCE).await;
    let most = scene.bench.limits.max_ttl;
    scene.bench.rig.advance(Ttl::hours(60));
    log_in(&scene, "i-0b").await;
    // The first one is over for fifty hours, the second for none.
    scene.bench.rig.advance(Ttl::seconds(most.as_seconds() - 10 * 3600));
    for path in ["tidy/identity-accesslist", "tidy/identity-whitelist"] {
        let answer = scene.bench.post(path, json!({})).await;
        assert_eq!(answer.status, 202);
        assert!(answer.warnings[0].starts_with("Tidy operation successfully started."), "{answer:?}");
        scene.bench.rig.tasks.drained().await;
        assert_eq!(listed(&scene).await, json!([INSTANCE, "i-0b"]));
    }
    scene.bench.post("tidy/identity-accesslist", json!({ "safety_buffer": "49h" })).await;
    scene.bench.rig.tasks.drained().await;
    assert_eq!(listed(&scene).await, json!(["i-0b"]));
    // The next login of it is the first one.
    scene.login(json!({ "nonce": "another" })).await.unwrap();
}

#[tokio::test]
async fn tidying_is_configured_and_done_once_an_hour() {
    let scene = Scene::new(json!({})).await;
    let bench = &scene.bench;
    for (path, alias, buffer) in [
        ("config/tidy/identity-accesslist", "config/tidy/identity-whitelist", 259_200),
        ("config/tidy/roletag-denylist", "config/tidy/roletag-blacklist", 15_552_000),
    ] {
        assert_eq!(bench.get(path).await.status, 404);
        bench.post(path, json!({})).await.is_empty();
        let shown = json!({ "safety_buffer": buffer, "disable_periodic_tidy": false });
        assert_eq!(*bench.get(alias).await.ok(), shown);
        bench.post(alias, json!({ "safety_buffer": "1h", "disable_periodic_tidy": true })).await.is_empty();
        assert_eq!(*bench.get(path).await.ok(), json!({ "safety_buffer": 3600, "disable_periodic_tidy": true }));
        bench.post(path, json!({ "safety_buffer": -1 })).await.is_error(400, "'safety_buffer' cannot be negative");
    }
    log_in(&scene, INSTANCE).await;
    bench.rig.advance(Ttl::seconds(bench.limits.max_ttl.as_seconds() + 2 * 3600));
    bench.plugin.tick().await;
    assert_eq!(listed(&scene).await, json!([INSTANCE]));
    bench.delete("config/tidy/identity-accesslist").await.is_empty();
    bench.post("config/tidy/identity-accesslist", json!({ "safety_buffer": "1h" })).await.is_empty();
    bench.plugin.tick().await;
    assert_eq!(listed(&scene).await, json!([INSTANCE]), "the hour is not over");
    bench.rig.advance(Ttl::hours(1));
    bench.plugin.tick().await;
    assert_eq!(listed(&scene).await, Value::Null);
}
