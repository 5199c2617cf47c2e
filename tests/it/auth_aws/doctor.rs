//! Misconfigurations, each with its own code; the doctor names the check that fails and leaves nothing behind; the operator
//! reads what became of a login.

use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Failure, Machine};
use serde_json::{Value, json};

use super::ec2::notary::{Notary, document};
use super::signer::{Login, Wish};
use super::world::{ACCOUNT, World};

/// The login fails with the code, the doctor at the check; nothing is left of either.
async fn fails(world: &World, login: &Login, code: &str, check: &str) {
    let shown = refused(world, &Value::Object(login.data()), code, check).await;
    for (name, value) in &login.headers {
        if name == "authorization" || name == "x-amz-security-token" {
            assert!(!shown.contains(value[0].as_str().unwrap()), "{shown}");
        }
    }
}

/// The same of what is sent; returns what trace and diagnosis say.
async fn refused(world: &World, login: &Value, code: &str, check: &str) -> String {
    let (tokens, access) = (world.tokens().await, access_list(world).await);
    let got = world.write("auth/aws/login", login.clone()).await.is(400);
    assert_eq!(got.code(), code, "{got:?}");
    let trace = world.read(&format!("auth/aws/logins/{}", got.request())).await.is(200).body["data"].clone();
    assert_eq!(trace["outcome"], code);
    // Meanwhile a fault that strikes once is over: what is seeded strikes always.
    let diagnosis = world.write("auth/aws/doctor", login.clone()).await.is(200).body["data"].clone();
    assert_eq!(diagnosis["verdict"], code, "{diagnosis}");
    let failed: Vec<&Value> = diagnosis["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "fail").collect();
    assert_eq!(failed.len(), 1, "{diagnosis}");
    assert_eq!((failed[0]["name"].as_str(), failed[0]["code"].as_str()), (Some(check), Some(code)));
    assert_eq!(world.tokens().await, tokens);
    assert_eq!(access_list(world).await, access);
    format!("{trace}{diagnosis}")
}

/// All entries, as they are shown.
async fn access_list(world: &World) -> Vec<Value> {
    let listed = world.ask("LIST", "auth/aws/identity-accesslist", None).await;
    let mut all = Vec::new();
    for id in listed.body["data"]["keys"].as_array().into_iter().flatten() {
        let path = format!("auth/aws/identity-accesslist/{}", id.as_str().unwrap());
        all.push(json!([id, world.read(&path).await.is(200).body["data"]]));
    }
    all
}

#[tokio::test]
async fn every_misconfiguration_has_its_own_code_and_the_doctor_names_the_check() {
    let world = World::new().await;
    let bob = world.user("bob");
    let bound = |arn: String| json!({ "bound_iam_principal_arn": arn });
    world.role("bob", bound(format!("arn:aws:iam::{ACCOUNT}:user/bob"))).await;
    world.write("auth/aws/config/client", json!({ "max_retries": 0 })).await.is(204);
    let wish = Wish::post("us-east-1");
    let login = |wish: &Wish| world.signed(&bob, wish).role("bob");

    let late = wish.signed(&bob, world.now() - Duration::from_hours(1)).role("bob");
    fails(&world, &late, "clock_skew", "sts").await;
    let unsigned = login(&wish).authorization(|text| text.replace(";host;", ";"));
    fails(&world, &unsigned, "host_unsigned", "signature").await;

    let url = world.sandbox.url();
    world.write("auth/aws/config/client", json!({ "sts_endpoint": "" })).await.is(204);
    let elsewhere = login(&Wish::post("us-west-2").url("https://sts.amazonaws.com/"));
    fails(&world, &elsewhere, "region_scope", "endpoint").await;
    world.write("auth/aws/config/client", json!({ "sts_endpoint": url })).await.is(204);

    world.write("auth/aws/config/client", json!({ "iam_server_id_header_value": "vault.example.com" })).await.is(204);
    fails(&world, &login(&wish), "server_id_missing", "server_id").await;
    let other = login(&wish.clone().header("x-vault-aws-iam-server-id", "dev.example.com"));
    fails(&world, &other, "server_id_mismatch", "server_id").await;
    let added = login(&wish).header("x-vault-aws-iam-server-id", json!("vault.example.com"));
    fails(&world, &added, "server_id_unsigned", "server_id").await;
    world.write("auth/aws/config/client", json!({ "iam_server_id_header_value": "" })).await.is(204);

    world.sandbox.create_role("web", None, &[]).unwrap();
    let session = world.assume("web", "i-0123").await;
    let second = world.sandbox.second_account();
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:root"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    second.create_role("web", Some(&trust), &[]).unwrap();
    world.clock.advance(Duration::from_secs(1));
    let foreign = world.assume_in(second.account(), "web", "s-1").await;
    world.role("all", bound(format!("arn:aws:iam::{ACCOUNT}:role/*"))).await;
    fails(&world, &world.signed(&foreign, &wish).role("all"), "account_not_bound", "bound_principal").await;
    let eve = world.user("eve");
    fails(&world, &world.signed(&eve, &wish).role("bob"), "principal_not_bound", "bound_principal").await;

    let infers = json!({
        "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:role/web"),
        "inferred_entity_type": "ec2_instance", "inferred_aws_region": "us-east-1", "bound_account_id": "1",
    });
    world.role("instance", infers).await;
    let as_instance = |world: &World| world.signed(&session, &wish).role("instance");
    fails(&world, &as_instance(&world), "instance_unknown", "instance").await;
    let machine = Machine::running("i-0123", "ami-1");
    world.sandbox.put_instance(Machine { state: "stopped".to_owned(), ..machine.clone() });
    fails(&world, &as_instance(&world), "instance_not_running", "instance").await;
    world.sandbox.put_instance(machine);
    fails(&world, &as_instance(&world), "account_not_bound", "bounds").await;
    world.write("auth/aws/role/instance", json!({ "bound_account_id": ACCOUNT, "bound_ami_id": "ami-2" })).await.is(204);
    fails(&world, &as_instance(&world), "bound_mismatch", "bounds").await;
    world.write("auth/aws/role/instance", json!({ "bound_ami_id": "ami-1" })).await.is(204);
    let got = world.log_in(&as_instance(&world)).await.is(200);
    world.renew(got.token()).await.is(200);

    world.sandbox.remove_user("bob");
    let bob_anew = world.user("bob");
    fails(&world, &world.signed(&bob_anew, &wish).role("bob"), "principal_recreated", "bound_principal").await;

    world.sandbox.faults().every("GetCallerIdentity", Effect::Fail500);
    fails(&world, &world.signed(&eve, &wish).role("bob"), "sts_unreachable", "sts").await;
    world.sandbox.faults().clear();

    let weak = world.user("weak");
    world.role("users", bound(format!("arn:aws:iam::{ACCOUNT}:user/*"))).await;
    world.write("auth/aws/config/client", json!({ "access_key": weak.id, "secret_key": weak.secret })).await.is(204);
    let got = world.log_in(&world.signed(&eve, &wish).role("users")).await.is(400);
    assert!(got.body["errors"][1].as_str().unwrap().contains("iam:GetUser"), "{got:?}");
    fails(&world, &world.signed(&eve, &wish).role("users"), "server_permission", "bound_principal").await;
    world.write("auth/aws/config/client", json!({ "secret_key": "wrong" })).await.is(204);
    fails(&world, &world.signed(&eve, &wish).role("users"), "server_credentials", "bound_principal").await;

    let (access_key, secret_key) = world.sandbox.root_keys();
    let keys = json!({ "access_key": access_key, "secret_key": secret_key.expose() });
    world.write("auth/aws/config/client", keys).await.is(204);
    world.sandbox.faults().every("GetUser", Effect::Throttle);
    let got = world.log_in(&world.signed(&eve, &wish).role("users")).await.is(400);
    assert_eq!(got.code(), "throttled", "{got:?}");
    world.sandbox.faults().clear();

    let text = "Credential should be scoped to a valid region, not 'us-east-1'. ";
    let refusal = Failure::new(403, "SignatureDoesNotMatch", text);
    world.sandbox.faults().every("GetCallerIdentity", Effect::Refuse(refusal));
    fails(&world, &world.signed(&eve, &wish).role("users"), "region_scope", "sts").await;
    world.sandbox.faults().clear();

    world.clock.advance(Duration::from_hours(13));
    fails(&world, &world.signed(&session, &wish).role("instance"), "client_credentials_expired", "sts").await;
}

#[tokio::test]
async fn an_instance_that_may_not_log_in_is_told_why_and_leaves_its_entry_alone() {
    let world = World::new().await;
    let (notary, stranger) = (Notary::rsa(1), Notary::rsa(2));
    world.sandbox.put_instance(Machine::running("i-0a", "ami-1"));
    world.write("auth/aws/config/certificate/test", json!({ "aws_public_cert": notary.pem() })).await.is(204);
    world.role("web", json!({ "auth_type": "ec2", "bound_ami_id": "ami-1" })).await;
    let shown = document("i-0a", "ami-1", "2026-01-01T00:00:00Z");
    let login = |notary: &Notary, nonce: &str| json!({ "role": "web", "pkcs7": notary.pkcs7(&shown), "nonce": nonce });
    // Before the first login, and after it.
    refused(&world, &login(&stranger, "nonce-1"), "document_certificate_unknown", "document").await;
    world.write("auth/aws/login", login(&notary, "nonce-1")).await.is(200);
    refused(&world, &login(&stranger, "nonce-1"), "document_certificate_unknown", "document").await;
    let shown = refused(&world, &login(&notary, "nonce-2"), "nonce_mismatch", "nonce").await;
    assert!(!shown.contains("nonce-2") && !shown.contains("nonce-1"), "{shown}");
    world.write("auth/aws/role/web", json!({ "bound_account_id": "1" })).await.is(204);
    refused(&world, &login(&notary, "nonce-1"), "account_not_bound", "bounds").await;
    world.write("auth/aws/role/web", json!({ "bound_account_id": "", "bound_region": "us-west-2" })).await.is(204);
    refused(&world, &login(&notary, "nonce-1"), "bound_mismatch", "bound_region").await;
    world.write("auth/aws/role/web", json!({ "bound_region": "" })).await.is(204);
    world.sandbox.put_instance(Machine { state: "stopped".to_owned(), ..Machine::running("i-0a", "ami-1") });
    refused(&world, &login(&notary, "nonce-1"), "instance_not_running", "instance").await;
    world.sandbox.put_instance(Machine::running("i-0a", "ami-1"));
    world.sandbox.faults().every("DescribeInstances", Effect::Fail500);
    world.write("auth/aws/config/client", json!({ "max_retries": 0 })).await.is(204);
    refused(&world, &login(&notary, "nonce-1"), "ec2_unreachable", "instance").await;
    world.sandbox.faults().clear();
    // Whatever was refused or looked at, the nonce of the first login is the one that counts.
    world.write("auth/aws/login", login(&notary, "nonce-1")).await.is(200);
}

#[tokio::test]
async fn the_doctor_of_a_sound_login_passes_every_check_and_of_nonsense_fails_the_first() {
    let world = World::new().await;
    let bob = world.user("bob");
    world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") })).await;
    let login = world.signed(&bob, &Wish::post("us-east-1"));
    let tokens = world.tokens().await;
    let diagnosis = world.diagnose(&login).await;
    assert_eq!(diagnosis["verdict"], "ok");
    let names: Vec<_> = diagnosis["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "fields",
            "type",
            "request",
            "server_id",
            "headers",
            "signature",
            "endpoint",
            "sts",
            "principal",
            "role",
            "cidr",
            "auth_type",
            "bound_principal",
            "instance",
            "bounds"
        ]
    );
    assert_eq!(world.tokens().await, tokens);
    for (body, check) in [
        (json!({}), "type"),
        (json!({ "iam_http_request_method": {} }), "fields"),
        (
            json!({ "iam_http_request_method": "PUT", "iam_request_url": "", "iam_request_body": "", "iam_request_headers": "" }),
            "request",
        ),
    ] {
        let data = world.write("auth/aws/doctor", body).await.is(200).body["data"].clone();
        assert_eq!(data["verdict"], "refused");
        let first = data["checks"].as_array().unwrap().iter().find(|check| check["result"] == "fail").unwrap();
        assert_eq!(first["name"], check, "{data}");
    }
    // Two faults of one login are both named.
    world.write("auth/aws/config/client", json!({ "iam_server_id_header_value": "x" })).await.is(204);
    let eve = world.user("eve");
    let data = world.diagnose(&world.signed(&eve, &Wish::post("us-east-1")).role("bob")).await;
    assert_eq!(data["verdict"], "server_id_missing");
    let codes: Vec<_> = data["checks"].as_array().unwrap().iter().filter_map(|check| check["code"].as_str()).collect();
    assert_eq!(codes, ["server_id_missing", "principal_not_bound"]);
}

#[tokio::test]
async fn what_became_of_a_login_is_kept_for_an_hour() {
    let world = World::new().await;
    let bob = world.user("bob");
    world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") })).await;
    let login = world.signed(&bob, &Wish::post("us-east-1"));
    let got = world.log_in(&login).await.is(200);
    let path = format!("auth/aws/logins/{}", got.body["request_id"].as_str().unwrap());
    let trace = world.read(&path).await.is(200).body["data"].clone();
    assert_eq!((&trace["outcome"], &trace["type"], &trace["role"]), (&json!("ok"), &json!("iam"), &json!("bob")));
    assert_eq!((&trace["peer"], &trace["aws_error"]), (&json!("192.0.2.7"), &Value::Null));
    assert_eq!(trace["principal"], format!("arn:aws:iam::{ACCOUNT}:user/bob"));
    world.sandbox.remove_user("bob");
    let got = world.log_in(&login).await.is(400);
    let trace = world.read(&format!("auth/aws/logins/{}", got.request())).await.is(200).body["data"].clone();
    assert_eq!(trace["aws_error"]["code"], "InvalidClientTokenId");
    assert!(!trace["aws_error"]["request_id"].as_str().unwrap().is_empty());
    world.read("auth/aws/logins/nobody").await.is(404);
    world.clock.advance(Duration::from_secs(3601));
    world.read(&path).await.is(404);
}
