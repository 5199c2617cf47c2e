#[path = "look_tests.rs"]
mod look;
#[path = "rotate_tests.rs"]
mod rotate;
#[path = "static_tests.rs"]
mod static_roles;
#[path = "world_tests.rs"]
mod world;

use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::sandbox::{Effect, Failure, Rule, When};
use crate::base::Clock as _;
use crate::base::Ttl;
use crate::lease::When as Until;
use crate::mount::{Body, ErrorKind};
use crate::policy::Operation;

use world::World;

const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;

async fn world_with(role: Value) -> World {
    let world = World::new().await;
    world.write("roles/deploy", role).await.unwrap();
    world
}

async fn plain() -> World {
    world_with(json!({ "credential_type": "iam_user", "policy_document": DOCUMENT })).await
}

#[tokio::test]
async fn a_user_is_made_with_everything_its_role_says() {
    let world = world_with(json!({
        "credential_type": "iam_user", "policy_document": DOCUMENT, "policy_arns": ADMIN, "iam_groups": "g1,g2",
        "iam_tags": { "k": "v" }, "user_path": "/p/", "permissions_boundary_arn": ADMIN,
    }))
    .await;
    for group in ["g1", "g2"] {
        world.sandbox.create_group(group, &[], &[]).unwrap();
    }
    let before = world.sandbox.count();
    let (lease, data) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(
        world.actions(before),
        ["CreateUser", "AttachUserPolicy", "PutUserPolicy", "AddUserToGroup", "AddUserToGroup", "CreateAccessKey"]
    );
    let names = world.sandbox.users();
    let user = world.sandbox.user(&names[0]).unwrap();
    assert!(user.name.starts_with("vault--deploy-"), "{}", user.name);
    assert_eq!((user.path.as_str(), user.attached.as_slice(), user.groups.len()), ("/p/", &[ADMIN.to_owned()][..], 2));
    assert_eq!((user.inline["deploy"].as_str(), user.boundary.as_deref()), (DOCUMENT, Some(ADMIN)));
    assert_eq!((user.tags["k"].as_str(), user.tags["leasehold:role"].as_str()), ("v", "deploy"));
    assert_eq!(user.tags["leasehold:lease"], lease.id.suffix());
    assert!(user.keys.contains_key(data["access_key"].as_str().unwrap()));
    assert_eq!((&data["security_token"], &data["session_token"]), (&Value::Null, &Value::Null));
    assert!(lease.terms.renewable && lease.id.as_str().starts_with("aws/creds/deploy/"));
}

#[tokio::test]
async fn a_revocation_deletes_the_known_key_first_and_the_user_last() {
    let world = plain().await;
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    let before = world.sandbox.count();
    world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap();
    assert_eq!(
        world.actions(before),
        [
            "DeleteAccessKey",
            "ListAccessKeys",
            "ListGroupsForUser",
            "ListAttachedUserPolicies",
            "ListUserPolicies",
            "DeleteUserPolicy",
            "DeleteUser"
        ]
    );
    assert_eq!((world.sandbox.users().len(), world.lease_keys()), (0, 0));
}

#[tokio::test]
async fn everything_that_others_hung_on_a_user_goes_with_it() {
    let world = plain().await;
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    let user = world.sandbox.users().remove(0);
    world.sandbox.limit_pages(1);
    for group in ["a", "b"] {
        world.sandbox.create_group(group, &[], &[]).unwrap();
        world.sandbox.prepare("AddUserToGroup", &[("UserName", &user), ("GroupName", group)]).unwrap();
    }
    world.sandbox.prepare("CreateAccessKey", &[("UserName", &user)]).unwrap();
    world.sandbox.prepare("CreateLoginProfile", &[("UserName", &user), ("Password", "correct-Horse-7")]).unwrap();
    world.sandbox.give_mfa_device(&user, "phone").unwrap();
    world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap();
    assert_eq!((world.sandbox.users().len(), world.lease_keys()), (0, 0));
    assert!(world.times("DeleteVirtualMFADevice") > 0);
}

#[tokio::test]
async fn a_refused_creation_leaves_nothing() {
    let world = plain().await;
    world.sandbox.faults().next("CreateUser", Effect::Refuse(Failure::new(409, "LimitExceeded", "too many users")));
    let error = world.refused("creds/deploy").await;
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Invalid, "Error creating IAM user: LimitExceeded: too many users"));
    assert_eq!((world.times("CreateUser"), world.lease_keys()), (1, 0));
}

#[tokio::test]
async fn a_refusal_on_the_way_ends_the_user_within_seconds() {
    for (action, text) in [
        ("PutUserPolicy", "Error putting user policy: MalformedPolicyDocument: no"),
        ("CreateAccessKey", "Error creating access keys: MalformedPolicyDocument: no"),
    ] {
        let world = plain().await;
        world.sandbox.faults().next(action, Effect::Refuse(Failure::new(400, "MalformedPolicyDocument", "no")));
        let error = world.refused("creds/deploy").await;
        assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Invalid, text));
        world.until(10, |world| world.sandbox.users().is_empty() && world.lease_keys() == 0).await;
    }
}

#[tokio::test]
async fn a_policy_that_is_not_there_is_a_refusal_at_once() {
    let arns = "arn:aws:iam::123456789012:policy/nosuch";
    let world = world_with(json!({ "credential_type": "iam_user", "policy_arns": arns })).await;
    let error = world.refused("creds/deploy").await;
    assert!(error.text.starts_with("Error attaching user policy: NoSuchEntity: "), "{}", error.text);
    assert_eq!(world.times("AttachUserPolicy"), 1);
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_found_and_goes_on() {
    let world = plain().await;
    world.sandbox.faults().next("CreateUser", Effect::ExecuteThenDropReply);
    let (_, data) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert!(data["access_key"].is_string());
    assert_eq!((world.times("CreateUser"), world.times("GetUser"), world.sandbox.users().len()), (1, 1, 1));
}

#[tokio::test]
async fn a_creation_that_is_not_seen_is_never_repeated_and_its_intent_kept_to_the_horizon() {
    let world = plain().await;
    world.sandbox.faults().next("CreateUser", Effect::DropBefore);
    let error = world.refused("creds/deploy").await;
    assert_eq!(error.kind, ErrorKind::Upstream);
    assert_eq!((world.times("CreateUser"), world.times("GetUser")), (1, 3));
    world.manager.settled().await;
    assert!(world.lease_keys() > 0);
    world.clock.advance(Duration::from_mins(17));
    world.manager.settled().await;
    assert!(world.lease_keys() > 0, "absence was believed too early");
    world.clock.advance(Duration::from_mins(2));
    world.until(5, |world| world.lease_keys() == 0).await;
    assert_eq!(world.times("CreateUser"), 1);
}

#[tokio::test]
async fn a_creation_that_takes_effect_late_is_ended_soon_after() {
    let world = plain().await;
    world.sandbox.faults().next("CreateUser", Effect::LateEffect { after: Duration::from_secs(6) });
    assert_eq!(world.refused("creds/deploy").await.kind, ErrorKind::Upstream);
    world.until(30, |world| world.times("DeleteUser") > 0 && world.sandbox.users().is_empty() && world.lease_keys() == 0).await;
}

#[tokio::test]
async fn a_key_whose_answer_is_lost_dies_with_its_user() {
    let world = plain().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::ExecuteThenDropReply);
    let error = world.refused("creds/deploy").await;
    assert_eq!(error.kind, ErrorKind::Upstream);
    assert!(error.text.starts_with("Error creating access keys: "), "{}", error.text);
    assert_eq!(world.times("CreateAccessKey"), 1);
    world.until(10, |world| world.sandbox.users().is_empty() && world.lease_keys() == 0).await;
}

#[tokio::test]
async fn an_issue_that_is_throttled_for_ever_is_given_up_with_a_hint() {
    let world = plain().await;
    world.sandbox.faults().every("CreateUser", Effect::Throttle);
    let before = world.clock.elapsed();
    let error = world.refused("creds/deploy").await;
    assert_eq!(error.kind, ErrorKind::Upstream);
    assert!(error.text.starts_with("Error creating IAM user: Throttling: "), "{}", error.text);
    assert!(error.retry_after.is_some() && world.lease_keys() == 0);
    assert!(world.clock.elapsed() <= before + Duration::from_secs(27) && world.times("CreateUser") > 2);
}

#[tokio::test]
async fn throttled_steps_are_asked_again() {
    let world = plain().await;
    for action in ["CreateUser", "PutUserPolicy", "CreateAccessKey"] {
        world.sandbox.faults().next(action, Effect::Throttle);
    }
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!((world.times("CreateUser"), world.times("PutUserPolicy"), world.times("CreateAccessKey")), (2, 2, 2));
}

#[tokio::test]
async fn an_account_that_forbids_marks_gets_users_without() {
    let world = plain().await;
    let text = "User: x is not authorized to perform: iam:TagUser on resource: y";
    world.sandbox.faults().next("CreateUser", Effect::Refuse(Failure::new(403, "AccessDenied", text)));
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert!(world.sandbox.user(&world.sandbox.users()[0]).unwrap().tags.is_empty());
    assert_eq!(world.read("status").await["birth_marks"], json!(false));
    world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(world.times("CreateUser"), 3);
}

#[tokio::test]
async fn a_name_without_chance_that_is_taken_is_refused_and_its_user_left_alone() {
    let world = plain().await;
    world.write("config/root", json!({ "username_template": "fixed" })).await.unwrap();
    let (first, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    let error = world.refused("creds/deploy").await;
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.text.starts_with("Error creating IAM user: EntityAlreadyExists: "), "{}", error.text);
    world.manager.settled().await;
    assert_eq!(world.sandbox.users(), ["fixed"]);
    world.drive(world.manager.revoke(&first.id, Until::Waited)).await.unwrap();
    assert_eq!((world.sandbox.users().len(), world.lease_keys()), (0, 0));
}

#[tokio::test]
async fn a_user_deleted_by_hand_is_believed_gone_only_when_old_enough() {
    let world = plain().await;
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert!(world.sandbox.remove_user(&world.sandbox.users()[0]));
    let error = world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap_err();
    assert!(error.to_string().contains("not shown yet"), "{error}");
    world.clock.advance(Duration::from_mins(6));
    world.until(70, |world| world.lease_keys() == 0).await;
}

#[tokio::test]
async fn a_denied_deletion_says_what_is_missing_and_that_the_key_is_dead() {
    let world = plain().await;
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    world.sandbox.faults().every("DeleteUser", Effect::Refuse(Failure::new(403, "AccessDenied", "no")));
    let error = world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap_err();
    assert_eq!(error.to_string(), "AccessDenied: no (iam:DeleteUser is needed); its access key is deleted already");
    world.sandbox.faults().clear();
    world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap();
    assert_eq!((world.sandbox.users().len(), world.lease_keys()), (0, 0));
}

#[tokio::test]
async fn a_role_is_assumed_for_as_long_as_asked() {
    let world = World::new().await;
    let arn = world.sandbox.create_role("target", None, &[ADMIN]).unwrap();
    let role = json!({ "credential_type": "assumed_role", "role_arns": arn, "max_sts_ttl": 7200 });
    world.write("roles/target", role).await.unwrap();
    let (lease, data) = world.issue("sts/target", json!({ "ttl": "3h", "role_session_name": "a b" })).await.unwrap();
    assert_eq!(data["arn"], "arn:aws:sts::123456789012:assumed-role/target/a_b");
    assert!((7195..=7200).contains(&data["ttl"].as_u64().unwrap()), "{}", data["ttl"]);
    assert_eq!(data["security_token"], data["session_token"]);
    assert!(data["security_token"].is_string() && !lease.terms.renewable);
    let before = world.sandbox.count();
    world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap();
    assert_eq!((world.sandbox.count(), world.lease_keys()), (before, 0));
}

#[tokio::test]
async fn a_federation_token_needs_a_policy_of_the_role_or_its_groups() {
    let world = World::new().await;
    world.write("roles/none", json!({ "credential_type": "federation_token" })).await.unwrap();
    let error = world.refused("creds/none").await;
    assert!(error.text.starts_with("must specify at least one of policy_arns or policy_document"), "{}", error.text);
    assert_eq!(world.times("GetFederationToken"), 0);
    world.sandbox.create_group("g", &[ADMIN], &[("p", DOCUMENT)]).unwrap();
    world.write("roles/some", json!({ "credential_type": "federation_token", "iam_groups": "g" })).await.unwrap();
    let (_, data) = world.issue("creds/some", Value::Null).await.unwrap();
    assert!(data["session_token"].is_string() && !data.contains_key("arn"));
}

#[tokio::test]
async fn a_session_token_has_both_names_for_its_token() {
    let world = World::new().await;
    world.write("roles/session", json!({ "credential_type": "session_token" })).await.unwrap();
    let (_, data) = world.issue("creds/session", json!({ "ttl": 900 })).await.unwrap();
    assert_eq!(data["security_token"], data["session_token"]);
    assert!(data["ttl"].as_u64().unwrap() <= 900);
}

#[tokio::test]
async fn an_unknown_role_is_a_mistake_of_the_caller() {
    let error = World::new().await.refused("creds/absent").await;
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Invalid, "Role \"absent\" not found"));
}

#[tokio::test]
async fn half_a_key_pair_is_told_at_the_first_use() {
    let world = plain().await;
    world.write("config/root", json!({ "secret_key": "" })).await.unwrap();
    let error = world.refused("creds/deploy").await;
    assert!(error.kind == ErrorKind::Invalid && error.text.contains("not both"), "{}", error.text);
}

#[tokio::test]
async fn new_credentials_are_used_by_the_next_issue() {
    let world = plain().await;
    world.issue("creds/deploy", Value::Null).await.unwrap();
    world.write("config/root", json!({ "access_key": "AKIAWRONG0000000000A", "secret_key": "x" })).await.unwrap();
    let error = world.refused("creds/deploy").await;
    assert!(error.text.starts_with("Error creating IAM user: InvalidClientTokenId"), "{}", error.text);
    assert!(world.read("status").await["identity_error"].as_str().unwrap().contains("InvalidClientTokenId"));
}

#[tokio::test]
async fn clocks_that_differ_are_corrected_once() {
    let world = World::with_clocks_apart(1200).await;
    world.write("roles/deploy", json!({ "credential_type": "iam_user" })).await.unwrap();
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!((world.times("GetCallerIdentity"), world.times("CreateUser")), (2, 1));
    assert!(lease.issued.since(world.clock.now()) == Ttl::ZERO);
}

#[tokio::test]
async fn renewals_go_by_what_is_configured_then() {
    let world = plain().await;
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(lease.end.since(lease.issued), Ttl::hours(768));
    world.write("config/lease", json!({ "lease": "30m", "lease_max": "12h" })).await.unwrap();
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    assert_eq!(lease.end.since(lease.issued), Ttl::minutes(30));
    assert_eq!(lease.terms.max_ttl, Ttl::hours(12));
}

#[tokio::test]
async fn roles_are_listed_read_and_deleted() {
    let world = plain().await;
    let Body::List(names, _) = world.ask(Operation::List, "roles/", Value::Null).await.unwrap().body else { panic!() };
    assert_eq!(names, ["deploy"]);
    assert_eq!(world.read("roles/deploy").await["credential_type"], "iam_user");
    for _ in 0..2 {
        let reply = world.ask(Operation::Delete, "roles/deploy", Value::Null).await.unwrap();
        assert!(matches!(reply.body, Body::Empty));
    }
    assert!(matches!(world.ask(Operation::Read, "roles/deploy", Value::Null).await.unwrap().body, Body::Empty));
}

#[tokio::test]
async fn a_user_half_made_when_the_server_dies_is_gone_soon_after_it_starts() {
    for action in ["CreateUser", "PutUserPolicy", "CreateAccessKey"] {
        let world = plain().await;
        world.sandbox.faults().next(action, Effect::ExecuteThenHang);
        let world = world.issue_until_it_hangs("creds/deploy").await.unwrap();
        assert_eq!(world.sandbox.users().len(), 1);
        let world = world.crash().await;
        world.until(10, |world| world.sandbox.users().is_empty() && world.lease_keys() == 0).await;
    }
}

#[tokio::test]
async fn credentials_outlive_a_restart_and_end_after_it() {
    let world = plain().await;
    let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
    let world = world.crash().await;
    world.manager.settled().await;
    assert_eq!(world.sandbox.users().len(), 1);
    world.drive(world.manager.revoke(&lease.id, Until::Waited)).await.unwrap();
    assert_eq!((world.sandbox.users().len(), world.lease_keys()), (0, 0));
}

/// Whatever goes wrong with one call, in the end nothing is left, outside or inside.
#[tokio::test]
async fn one_fault_anywhere_leaves_nothing_behind() {
    let effects = [
        Effect::DropBefore,
        Effect::ExecuteThenDropReply,
        Effect::ExecuteThen500,
        Effect::Fail500,
        Effect::Throttle,
        Effect::Refuse(Failure::new(403, "AccessDenied", "no")),
    ];
    let actions = [
        "GetCallerIdentity",
        "CreateUser",
        "AttachUserPolicy",
        "PutUserPolicy",
        "AddUserToGroup",
        "CreateAccessKey",
        "DeleteAccessKey",
        "ListAccessKeys",
        "ListGroupsForUser",
        "RemoveUserFromGroup",
        "ListAttachedUserPolicies",
        "DetachUserPolicy",
        "ListUserPolicies",
        "DeleteUserPolicy",
        "DeleteUser",
    ];
    let world = world_with(json!({
        "credential_type": "iam_user", "policy_document": DOCUMENT, "policy_arns": ADMIN, "iam_groups": "g",
    }))
    .await;
    world.sandbox.create_group("g", &[], &[]).unwrap();
    for action in actions {
        for effect in &effects {
            let before = world.times("CreateUser");
            world.sandbox.faults().next(action, effect.clone());
            if let Ok((lease, _)) = world.issue("creds/deploy", Value::Null).await {
                // What cannot be ended now is on its own.
                let _later = world.drive(world.manager.revoke(&lease.id, Until::Waited)).await;
            }
            world.live_until_clean().await;
            let created = world.times("CreateUser") - before;
            let most = if action == "CreateUser" && *effect == Effect::Throttle { 2 } else { 1 };
            assert!(created <= most, "{action}, {effect:?}: {created} creations");
            world.sandbox.faults().clear();
        }
    }
}

#[tokio::test]
async fn credentials_that_aws_refuses_are_warned_of_and_taken() {
    let world = World::new().await;
    let body = json!({ "access_key": "AKIAWRONG0000000000A", "secret_key": "x" });
    let reply = world.write("config/root", body.clone()).await.unwrap();
    assert!(reply.warnings[0].starts_with("AWS refuses the credentials: InvalidClientTokenId"), "{:?}", reply.warnings);
    let mut unseen = body;
    unseen["verify"] = json!(false);
    let reply = world.write("config/root", unseen).await.unwrap();
    assert!(matches!(reply.body, Body::Empty) && reply.warnings.is_empty());
    assert_eq!(world.read("config/root").await["access_key"], "AKIAWRONG0000000000A");
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_told_by_status_alone() {
    let world = World::new().await;
    world.sandbox.faults().every("SimulatePrincipalPolicy", Effect::Refuse(Failure::new(403, "AccessDenied", "no")));
    let reply = world.write("config/root", json!({ "max_retries": 1 })).await.unwrap();
    assert!(matches!(reply.body, Body::Empty) && reply.warnings.is_empty(), "{:?}", reply.warnings);
    let preflight = &world.read("status").await["preflight"];
    assert_eq!(preflight["unchecked"], json!(["iam:SimulatePrincipalPolicy: AccessDenied: no"]));
    assert!(preflight["checked_at"].is_string());
}

/// The server dies when its n-th call is carried out and not yet answered.
#[tokio::test]
async fn a_death_at_any_call_of_an_issue_leaves_nothing() {
    for n in 1.. {
        let world = plain().await;
        world.sandbox.faults().add(Rule { action: None, user: None, when: When::Nth(n), effect: Effect::ExecuteThenHang });
        let Some(world) = world.issue_until_it_hangs("creds/deploy").await else {
            assert_eq!(n, 4, "an issue has three calls");
            break;
        };
        let world = world.crash().await;
        world.live_until_clean().await;
    }
}

#[tokio::test]
async fn a_death_at_any_call_of_a_revocation_leaves_nothing() {
    for n in 1..=7 {
        let world = plain().await;
        let (lease, _) = world.issue("creds/deploy", Value::Null).await.unwrap();
        world.sandbox.faults().add(Rule { action: None, user: None, when: When::Nth(n), effect: Effect::ExecuteThenHang });
        world.manager.revoke(&lease.id, Until::Soon).await.unwrap();
        world.sandbox.faults().until_hanging(1).await;
        let world = world.crash().await;
        world.live_until_clean().await;
    }
}

#[tokio::test]
async fn without_a_key_nobody_is_asked_when_it_is_written() {
    let world = World::new().await;
    let before = world.sandbox.count();
    let reply = world.write("config/root", json!({ "access_key": "", "secret_key": "" })).await.unwrap();
    assert!(matches!(reply.body, Body::Empty) && reply.warnings.is_empty());
    assert_eq!(world.sandbox.count(), before);
    let unchecked = world.read("status").await["preflight"]["unchecked"].clone();
    assert_eq!(unchecked, json!(["credentials: no key is configured, those of the machine are used"]));
}
