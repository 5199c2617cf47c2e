//! Honest logins: every form that clients send, every region, and what the token says of it.

use serde_json::{Value, json};

use super::signer::{Keys, Wish, host};
use super::world::{ACCOUNT, Got, World};

async fn world() -> (World, Keys) {
    let world = World::new().await;
    let keys = world.user("bob");
    world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob"), "policies": "app" })).await;
    (world, keys)
}

#[tokio::test]
async fn a_signed_post_and_a_presigned_get_log_in_from_every_region_with_and_without_session() {
    let (world, keys) = world().await;
    world.sandbox.create_role("web", None, &[]).unwrap();
    let session = world.assume("web", "session-1").await;
    world.role("web", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:role/web") })).await;
    for region in ["us-east-1", "us-west-2", "cn-north-1"] {
        for wish in [Wish::post(region), Wish::presigned(region)] {
            for (keys, role) in [(&keys, "bob"), (&session, "web")] {
                let got = world.log_in(&world.signed(keys, &wish).role(role)).await.is(200);
                assert_eq!(got.body["auth"]["metadata"]["auth_type"], "iam", "{region} {role}");
            }
        }
    }
}

#[tokio::test]
async fn the_token_says_who_it_is_for() {
    let (world, keys) = world().await;
    let login = world.signed(&keys, &Wish::post("us-east-1"));
    // The role of the principal's name is the default.
    let got = world.log_in(&login).await.is(200);
    let auth = &got.body["auth"];
    assert_eq!(auth["policies"], json!(["app", "default"]));
    let role = world.read("auth/aws/role/bob").await.body["data"].clone();
    assert_eq!(auth["metadata"], json!({ "account_id": ACCOUNT, "auth_type": "iam", "role_id": role["role_id"] }));
    let token = world.write("auth/token/lookup", json!({ "token": got.token() })).await.is(200);
    assert_eq!(token.body["data"]["display_name"], "aws-bob");
    assert_eq!(token.body["data"]["path"], "auth/aws/login");
}

#[tokio::test]
async fn alias_and_metadata_are_those_that_were_chosen() {
    let (world, keys) = world().await;
    let config = json!({ "iam_alias": "canonical_arn", "iam_metadata": ["client_arn", "canonical_arn", "client_user_id"] });
    world.write("auth/aws/config/identity", config).await.is(204);
    let got = world.log_in(&world.signed(&keys, &Wish::post("us-east-1"))).await.is(200);
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/bob");
    assert_eq!(
        (&got.body["auth"]["metadata"]["client_arn"], &got.body["auth"]["metadata"]["canonical_arn"]),
        (&json!(arn), &json!(arn))
    );
    // What is not shown is still known: the token can be renewed.
    assert_eq!(got.body["auth"]["metadata"]["auth_type"], Value::Null);
    world.renew(got.token()).await.is(200);
}

#[tokio::test]
async fn every_form_of_headers_says_the_same() {
    let (world, keys) = world().await;
    let login = world.signed(&keys, &Wish::post("us-east-1"));
    let object: serde_json::Map<String, Value> = login.headers.iter().cloned().collect();
    let lines: Vec<String> = login.headers.iter().map(|(name, value)| format!("{name}:{}", value[0].as_str().unwrap())).collect();
    let plain: serde_json::Map<String, Value> =
        login.headers.iter().map(|(name, value)| (name.clone(), value[0].clone())).collect();
    // As hvac sends it: the host is among them.
    let mut with_host = plain.clone();
    with_host.insert("Host".to_owned(), json!(host("us-east-1")));
    with_host.insert("Content-Length".to_owned(), json!("43"));
    for headers in [json!(object), json!(Value::Object(object.clone()).to_string()), json!(lines), json!(plain), json!(with_host)]
    {
        let mut data = login.data();
        data.insert("iam_request_headers".to_owned(), headers);
        world.write("auth/aws/login", Value::Object(data)).await.is(200);
    }
}

#[tokio::test]
async fn a_server_id_that_is_signed_is_taken() {
    let (world, keys) = world().await;
    world.write("auth/aws/config/client", json!({ "iam_server_id_header_value": "vault.example.com" })).await.is(204);
    let wish = Wish::post("us-east-1").header("x-vault-aws-iam-server-id", "vault.example.com");
    world.log_in(&world.signed(&keys, &wish)).await.is(200);
    let wish = Wish { headers: wish.headers[1..].to_vec(), ..Wish::presigned("us-east-1") };
    world.log_in(&world.signed(&keys, &wish)).await.is(200);
}

#[tokio::test]
async fn an_extra_header_is_taken_once_it_is_allowed() {
    let (world, keys) = world().await;
    let login = world.signed(&keys, &Wish::post("us-east-1").header("x-amz-mallory-header", "x"));
    assert_eq!(world.log_in(&login).await.is(400).error(), "invalid request header: X-Amz-Mallory-Header");
    world.write("auth/aws/config/client", json!({ "allowed_sts_header_values": "x-amz-mallory-header" })).await.is(204);
    world.log_in(&login).await.is(200);
}

#[tokio::test]
async fn a_wildcard_is_looked_up_once_and_then_known() {
    let (world, _) = world().await;
    let fields = [("RoleName", "web"), ("Path", "/team/"), ("AssumeRolePolicyDocument", TRUST), ("MaxSessionDuration", "43200")];
    world.sandbox.prepare("CreateRole", &fields).unwrap();
    let keys = world.assume("team/web", "s-1").await;
    world.role("team", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:role/team/*") })).await;
    let calls = |world: &World| world.sandbox.calls().iter().filter(|call| call.action == "GetRole").count();
    let before = calls(&world);
    for _ in 0..3 {
        world.log_in(&world.signed(&keys, &Wish::post("us-east-1")).role("team")).await.is(200);
    }
    assert_eq!(calls(&world), before + 1);
}

#[tokio::test]
async fn without_resolving_the_canonical_arn_is_compared() {
    let (world, keys) = world().await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/bob");
    world.role("by-name", json!({ "bound_iam_principal_arn": arn, "resolve_aws_unique_ids": false })).await;
    world.log_in(&world.signed(&keys, &Wish::post("us-east-1")).role("BY-NAME")).await.is(200);
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/path/bob");
    world.role("by-path", json!({ "bound_iam_principal_arn": arn, "resolve_aws_unique_ids": false })).await;
    let got = world.log_in(&world.signed(&keys, &Wish::post("us-east-1")).role("by-path")).await.is(400);
    assert_eq!(got.code(), "principal_not_bound");
}

#[tokio::test]
async fn renewing_asks_the_role_and_not_sts() {
    let (world, keys) = world().await;
    let token = world.log_in(&world.signed(&keys, &Wish::post("us-east-1"))).await.is(200).token().to_owned();
    let before = world.sandbox.count();
    world.write("auth/aws/role/bob", json!({ "token_ttl": "2h", "token_period": "3h" })).await.is(204);
    let got: Got = world.renew(&token).await.is(200);
    assert_eq!(got.body["auth"]["lease_duration"], 3 * 3600);
    assert_eq!(world.sandbox.count(), before);
    // The principal was made anew: whoever has the name now is somebody else.
    world.sandbox.remove_user("bob");
    world.user("bob");
    world
        .write("auth/aws/role/bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") }))
        .await
        .is(204);
    let got = world.renew(&token).await.is(500);
    assert!(got.error().contains("no longer bound to ARN"), "{got:?}");
    assert_eq!(got.code(), "principal_recreated");
    world.ask("DELETE", "auth/aws/role/bob", None).await.is(204);
    assert!(world.renew(&token).await.is(500).error().contains("role entry not found"));
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}"#;
