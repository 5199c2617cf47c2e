//! Roles as operators write them.

use serde_json::json;

use super::world::{ACCOUNT, World};

async fn refused(world: &World, body: serde_json::Value) -> String {
    world.write("auth/aws/role/r", body).await.is(400).error().to_owned()
}

#[tokio::test]
async fn a_role_reads_back_with_all_its_fields() {
    let world = World::new().await;
    world.user("bob");
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/bob");
    world.role("FOO", json!({ "bound_iam_principal_arn": arn, "ttl": "1h", "policies": "B,a" })).await;
    let mut data = world.read("auth/aws/role/foo").await.is(200).body["data"].clone();
    let id = data["bound_iam_principal_id"][0].as_str().unwrap().to_owned();
    assert!(id.starts_with("AIDA"), "{id}");
    data.as_object_mut().unwrap().remove("role_id").unwrap();
    let expected = json!({
        "auth_type": "iam", "bound_ami_id": [], "bound_account_id": [], "bound_ec2_instance_id": [],
        "bound_iam_principal_arn": [arn], "bound_iam_principal_id": [id], "bound_iam_role_arn": [],
        "bound_iam_instance_profile_arn": [], "bound_region": [], "bound_subnet_id": [], "bound_vpc_id": [],
        "inferred_entity_type": "", "inferred_aws_region": "", "resolve_aws_unique_ids": true, "role_tag": "",
        "allow_instance_migration": false, "disallow_reauthentication": false,
        "token_ttl": 3600, "token_max_ttl": 0, "token_explicit_max_ttl": 0, "token_period": 0, "token_policies": ["a", "b"],
        "token_bound_cidrs": [], "token_no_default_policy": false, "token_num_uses": 0, "token_type": "default",
        "ttl": 3600, "policies": ["a", "b"],
    });
    assert_eq!(data, expected);
    assert_eq!(world.ask("LIST", "auth/aws/roles", None).await.is(200).body["data"]["keys"], json!(["foo"]));
    world.ask("DELETE", "auth/aws/role/Foo", None).await.is(204);
    world.read("auth/aws/role/foo").await.is(404);
}

#[tokio::test]
async fn the_articles_role_of_instances_is_taken() {
    let world = World::bare().await;
    let body = json!({ "auth_type": "ec2", "policies": "webapp-policy", "max_ttl": "500h", "bound_instance_ids": "i-1234" });
    world.role("ec2-webapp", body).await;
    let data = world.read("auth/aws/role/ec2-webapp").await.is(200).body["data"].clone();
    assert_eq!((&data["max_ttl"], &data["bound_ec2_instance_id"]), (&json!(1_800_000), &json!(["i-1234"])));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_the_known_words() {
    let world = World::bare().await;
    let wildcard = format!("arn:aws:iam::{ACCOUNT}:role/*");
    for (body, text) in [
        (json!({}), "at least one bound parameter should be specified on the role"),
        (json!({ "auth_type": "x" }), "unrecognized auth_type: x"),
        (json!({ "bound_ami_id": "a" }), "specified bound_ami_id but not specifying ec2 auth_type or inferring ec2_instance"),
        (json!({ "bound_region": "a" }), "specified bound_region but not specifying ec2 auth_type"),
        (
            json!({ "auth_type": "ec2", "bound_iam_principal_arn": wildcard }),
            "specified bound_iam_principal_arn but not specifying iam auth_type",
        ),
        (
            json!({ "auth_type": "ec2", "inferred_entity_type": "ec2_instance" }),
            "specified inferred_entity_type but didn't allow iam auth_type",
        ),
        (json!({ "inferred_entity_type": "x" }), "specified invalid inferred_entity_type: x"),
        (json!({ "inferred_entity_type": "ec2_instance" }), "specified inferred_entity_type but not inferred_aws_region"),
        (json!({ "inferred_aws_region": "x" }), "specified inferred_aws_region but not inferred_entity_type"),
        (
            json!({ "bound_iam_principal_arn": wildcard, "disallow_reauthentication": false }),
            "specified disallow_reauthentication when not using ec2 auth type",
        ),
        (
            json!({ "auth_type": "ec2", "bound_ami_id": "a", "allow_instance_migration": true, "disallow_reauthentication": true }),
            "cannot specify both disallow_reauthentication=true and allow_instance_migration=true",
        ),
        (
            json!({ "bound_iam_principal_arn": wildcard, "role_tag": "x" }),
            "tried to enable role_tag when not using ec2 auth method",
        ),
        (
            json!({ "auth_type": "ec2", "bound_ami_id": "a", "role_tag": "x".repeat(128) }),
            "length of role tag exceeds the EC2 key limit of 127 characters",
        ),
        (json!({ "bound_iam_principal_arn": wildcard, "ttl": 2, "max_ttl": 1 }), "ttl should be shorter than max ttl"),
        (
            json!({ "bound_iam_principal_arn": wildcard, "period": "800h" }),
            "period of \"800h0m0s\" is greater than the backend's maximum lease TTL of \"768h0m0s\"",
        ),
    ] {
        assert_eq!(refused(&world, body.clone()).await, text, "{body}");
    }
    let body = json!({ "bound_iam_principal_arn": wildcard, "max_ttl": "800h" });
    let got = world.write("auth/aws/role/r", body).await.is(200);
    assert!(got.body["warnings"][0].as_str().unwrap().starts_with("Given max ttl of 2880000 seconds greater"), "{got:?}");
    assert_eq!(refused(&world, json!({ "auth_type": "ec2" })).await, "changing auth_type on a role is not allowed");
    assert_eq!(
        refused(&world, json!({ "resolve_aws_unique_ids": false })).await,
        "changing resolve_aws_unique_ids from true to false is not allowed"
    );
    // Nobody was asked for the ids of a wildcard.
    assert_eq!(world.sandbox.count(), 0);
}

#[tokio::test]
async fn an_arn_that_cannot_be_resolved_is_named() {
    let world = World::new().await;
    let assumed = format!("arn:aws:sts::{ACCOUNT}:assumed-role/x/y");
    let text = refused(&world, json!({ "bound_iam_principal_arn": assumed })).await;
    assert!(text.starts_with(&format!("unable to resolve ARN \"{assumed}\" to internal ID: ")), "{text}");
    let foreign = "arn:aws:iam::999999999999:role/x";
    let text = refused(&world, json!({ "bound_iam_principal_arn": foreign })).await;
    assert!(text.contains("unable to fetch client for account ID \"999999999999\" -- default client is for account"), "{text}");
}

#[tokio::test]
async fn a_principal_that_iam_does_not_know_yet_is_asked_for_again_and_then_given_up() {
    let world = World::new().await;
    world.user("known");
    let calls = |world: &World| world.sandbox.calls().iter().filter(|call| call.action == "GetUser").count();
    let (clock, sandbox) = (world.clock.clone(), world.sandbox.clone());
    let body = json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/late") });
    let moving = async {
        for _ in 0..2 {
            let before = sandbox.count();
            while sandbox.count() == before || sandbox.calls().last().unwrap().action != "GetUser" {
                tokio::task::yield_now().await;
            }
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            clock.advance(std::time::Duration::from_secs(2));
        }
    };
    let (got, ()) = tokio::join!(world.write("auth/aws/role/late", body), moving);
    let got = got.is(400);
    assert!(got.error().contains("NoSuchEntity"), "{got:?}");
    assert!(got.body["errors"][1].as_str().unwrap().contains("takes some seconds"), "{got:?}");
    assert_eq!(calls(&world), 3);
}

#[tokio::test]
async fn another_account_is_reached_through_its_role() {
    let world = World::new().await;
    let second = world.sandbox.second_account();
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:root"}},"Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"xid"}}}}}}]}}"#
    );
    let reader = second.create_role("reader", Some(&trust), &["arn:aws:iam::aws:policy/AdministratorAccess"]).unwrap();
    let web = second.create_role("web", None, &[]).unwrap();
    let path = format!("auth/aws/config/sts/{}", second.account());
    assert_eq!(world.write(&path, json!({})).await.is(400).error(), "missing sts role");
    world.write(&path, json!({ "sts_role": reader })).await.is(204);
    // The role's trust policy asks for more.
    let got = world.write("auth/aws/role/web", json!({ "bound_iam_principal_arn": web })).await.is(400);
    assert!(got.error().contains("AccessDenied"), "{got:?}");
    world.write(&path, json!({ "external_id": "xid" })).await.is(204);
    world.role("web", json!({ "bound_iam_principal_arn": web })).await;
    let shown = world.read(&path).await.is(200).body["data"].clone();
    assert_eq!(shown, json!({ "sts_role": reader, "external_id": "xid" }));
    world.ask("DELETE", &path, None).await.is(204);
    let got = world.write("auth/aws/role/web", json!({ "bound_iam_principal_arn": web })).await.is(400);
    assert!(got.error().contains("unable to fetch client for account ID"), "{got:?}");
}
