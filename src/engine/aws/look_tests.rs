//! What a mount finds out about its credentials, by asking and by being refused.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{plain, world::World};
use crate::aws::sandbox::{Effect, Failure, Phase, RawReply};
use crate::base::Clock as _;
use crate::lease::When as Until;
use crate::mount::Body;

fn refused(status: u16, code: &str, text: &str) -> Effect {
    Effect::Refuse(Failure::new(status, code, text))
}

/// What IAM says of each action: denied or not.
fn simulated(decisions: &[(&str, &str)]) -> Effect {
    let result = |(action, decision): &(&str, &str)| {
        format!("<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision></member>")
    };
    let results: String = decisions.iter().map(result).collect();
    let body = format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><SimulatePrincipalPolicyResult>\
         <IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>\
         </SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    );
    let headers = vec![("content-type".to_owned(), "text/xml".to_owned())];
    Effect::Raw(RawReply { status: 200, headers, body: body.into_bytes() })
}

#[tokio::test]
async fn each_action_that_is_denied_is_warned_of_by_its_name() {
    let world = World::new().await;
    let decisions = [("iam:CreateUser", "allowed"), ("iam:TagUser", "implicitDeny"), ("iam:DeleteAccessKey", "explicitDeny")];
    world.sandbox.faults().every("SimulatePrincipalPolicy", simulated(&decisions));
    let reply = world.write("config/root", json!({ "max_retries": 1 })).await.unwrap();
    let resource = "arn:aws:iam::123456789012:user/vault-probe";
    assert_eq!(
        reply.warnings,
        [
            format!("credentials lack iam:DeleteAccessKey on {resource}, needed for iam_user"),
            format!("credentials lack iam:TagUser on {resource}, needed for birth marks"),
        ]
    );
    let preflight = &world.read("status").await["preflight"];
    assert_eq!(preflight["missing"], json!(["iam:DeleteAccessKey", "iam:TagUser"]));
    assert_eq!(preflight["unchecked"], json!([]));
}

#[tokio::test]
async fn the_look_holds_up_the_write_for_a_second_at_most() {
    let world = World::new().await;
    world.sandbox.faults().every("GetCallerIdentity", Effect::Hang);
    let before = world.clock.elapsed();
    let reply = world.write("config/root", json!({ "max_retries": 1 })).await.unwrap();
    let took = world.clock.elapsed().saturating_sub(before);
    assert!(matches!(reply.body, Body::Empty) && reply.warnings.is_empty(), "{:?}", reply.warnings);
    assert!(took.as_millis() <= 1200, "{took:?}");
    assert_eq!(world.read("status").await["preflight"]["unchecked"], json!(["no answer within 1 s"]));
    assert_eq!(world.read("config/root").await["max_retries"], 1);
}

#[tokio::test]
async fn that_marks_are_forbidden_is_remembered_for_an_hour_or_until_the_configuration_is_written() {
    let world = plain().await;
    let forbidden = || refused(403, "AccessDenied", "User: x is not authorized to perform: iam:TagUser on resource: y");
    let marks = async |world: &World| world.read("status").await["birth_marks"].clone();
    world.sandbox.faults().next("CreateUser", forbidden());
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(marks(&world).await, false);
    world.clock.advance(std::time::Duration::from_secs(3599));
    assert_eq!(marks(&world).await, false);
    world.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(marks(&world).await, true);
    world.sandbox.faults().next("CreateUser", forbidden());
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(marks(&world).await, false);
    world.write("config/root", json!({ "max_retries": 1 })).await.unwrap();
    assert_eq!(marks(&world).await, true);
    let before = world.times("CreateUser");
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(world.times("CreateUser") - before, 1);
    let marked = world.sandbox.users().into_iter().filter(|name| !world.sandbox.user(name).unwrap().tags.is_empty());
    assert_eq!(marked.count(), 1);
}

#[tokio::test]
async fn a_user_whose_tags_are_not_valid_is_made_without_ours() {
    let world = plain().await;
    let text = "1 validation error detected: Value at 'tags.1.member.value' failed to satisfy constraint";
    world.sandbox.faults().next("CreateUser", refused(400, "ValidationError", text));
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!((world.times("CreateUser"), world.read("status").await["birth_marks"].clone()), (2, json!(false)));
}

#[tokio::test]
async fn a_creation_that_somebody_on_the_way_sent_twice_is_found_and_goes_on() {
    let world = plain().await;
    world.write("config/root", json!({ "username_template": "fixed" })).await.unwrap();
    // Its twin is carried out first.
    let sandbox = world.sandbox.clone();
    world.sandbox.faults().on_call(Arc::new(move |action, phase| {
        if action == "CreateUser" && phase == Phase::Before {
            sandbox.prepare("CreateUser", &[("UserName", "fixed")]).unwrap();
        }
    }));
    let (lease, data) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(world.keys_of("fixed"), [data["access_key"].as_str().unwrap()]);
    world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap();
    assert_eq!((world.sandbox.users().len(), world.lease_keys()), (0, 0));
}

#[tokio::test]
async fn status_has_every_field_whatever_is_known() {
    const FIELDS: [&str; 13] = [
        "account",
        "birth_marks",
        "caller_arn",
        "estimated_drain_seconds",
        "identity_error",
        "lane",
        "leases",
        "oldest_failure",
        "partition",
        "preflight",
        "rates",
        "rotation",
        "static_roles",
    ];
    let world = plain().await;
    let names = |status: &serde_json::Map<String, Value>| {
        let mut names: Vec<String> = status.keys().cloned().collect();
        names.sort();
        names
    };
    world.issue("creds/deploy", Value::Null).await.unwrap();
    let before = world.sandbox.count();
    let status = world.read("status").await;
    assert_eq!(world.sandbox.count(), before, "nobody is asked");
    assert_eq!(names(&status), FIELDS);
    assert_eq!((&status["account"], &status["partition"]), (&json!("123456789012"), &json!("aws")));
    assert!(status["caller_arn"].as_str().unwrap().ends_with(":user/leasehold-admin"));
    assert_eq!(status["leases"], json!({ "open": 0, "due": 0, "waiting": 0, "irrevocable": 0, "other_account": 0 }));
    assert_eq!(status["lane"], json!({ "state": "running", "resting_until": null, "last_success": null }));
    assert_eq!(status["rates"]["iam:CreateUser"]["allowed"], json!(null));
    assert!(status["rates"]["iam:CreateUser"]["used"].as_u64().is_some());
    let world = World::new().await.crash().await;
    assert_eq!(names(&world.read("status").await), FIELDS, "before anything was asked");
}
