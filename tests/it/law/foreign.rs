//! What others did to our users: things hung on them, users deleted by hand, and a holder who makes keys as fast as they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use leasehold::aws::sandbox::{Phase, Sandbox};
use leasehold::policy::Operation;
use serde_json::json;

use super::operation::{Deed, Said};
use super::stage::{Stage, on_stage};
use super::world::World;

async fn lent(stage: &Arc<Stage>, title: &str) -> (World, String) {
    let mut world = World::new(stage, title.to_owned(), 1800).await;
    world.prepare(&[Deed::Revoke]).await;
    let user = stage.sandbox.users().remove(0);
    (world, user)
}

fn put(sandbox: &Sandbox, user: &str, action: &str, fields: &[(&str, &str)]) {
    let mut all = vec![("UserName", user)];
    all.extend(fields);
    sandbox.prepare(action, &all).unwrap();
}

/// All there is.
fn hang_on(sandbox: &Sandbox, user: &str) {
    put(sandbox, user, "CreateAccessKey", &[]);
    for n in ["1", "2", "3"] {
        let name = format!("extra-{user}-{n}");
        let arn = sandbox.create_policy(&name, POLICY).unwrap();
        put(sandbox, user, "AttachUserPolicy", &[("PolicyArn", &arn)]);
        put(sandbox, user, "PutUserPolicy", &[("PolicyName", &name), ("PolicyDocument", POLICY)]);
    }
    for n in ["1", "2"] {
        let name = format!("group-{user}-{n}");
        sandbox.create_group(&name, &[], &[]).unwrap();
        put(sandbox, user, "AddUserToGroup", &[("GroupName", &name)]);
        sandbox.give_mfa_device(user, &format!("phone-{n}-{user}")).unwrap();
    }
    put(sandbox, user, "CreateLoginProfile", &[("Password", "correct-Horse-7")]);
    put(sandbox, user, "UploadSSHPublicKey", &[("SSHPublicKeyBody", SSH)]);
    put(sandbox, user, "UploadSigningCertificate", &[("CertificateBody", CERTIFICATE)]);
    put(sandbox, user, "CreateServiceSpecificCredential", &[("ServiceName", "codecommit.amazonaws.com")]);
}

#[test]
fn whatever_hangs_on_a_user_goes_with_it_page_by_page() {
    on_stage(|stage| async move {
        stage.sandbox.limit_pages(1);
        let (mut world, user) = lent(&stage, "everything hangs on it").await;
        hang_on(&stage.sandbox, &user);
        let doing = world.begin(Deed::Revoke).await;
        assert_eq!(world.complete(doing).await, Said::Done);
        assert!(stage.sandbox.users().is_empty(), "in one attempt");
        world.end().await;
    });
}

#[test]
fn each_kind_alone_does_not_keep_a_user() {
    type Hang = fn(&Sandbox, &str);
    let kinds: [(&str, Hang); 6] = [
        ("a password", |sandbox, user| put(sandbox, user, "CreateLoginProfile", &[("Password", "correct-Horse-7")])),
        ("a second factor", |sandbox, user| drop(sandbox.give_mfa_device(user, user).unwrap())),
        ("an SSH key", |sandbox, user| put(sandbox, user, "UploadSSHPublicKey", &[("SSHPublicKeyBody", SSH)])),
        ("a certificate", |sandbox, user| {
            put(sandbox, user, "UploadSigningCertificate", &[("CertificateBody", CERTIFICATE)]);
        }),
        ("a password for a service", |sandbox, user| {
            put(sandbox, user, "CreateServiceSpecificCredential", &[("ServiceName", "codecommit.amazonaws.com")]);
        }),
        ("a second key", |sandbox, user| put(sandbox, user, "CreateAccessKey", &[])),
    ];
    on_stage(|stage| async move {
        for (name, hang) in kinds {
            let (mut world, user) = lent(&stage, name).await;
            hang(&stage.sandbox, &user);
            let doing = world.begin(Deed::Revoke).await;
            assert_eq!(world.complete(doing).await, Said::Done, "{name}");
            assert!(stage.sandbox.users().is_empty(), "{name}");
            world.end().await;
        }
    });
}

#[test]
fn a_holder_who_makes_a_key_after_each_deletion_is_followed() {
    on_stage(|stage| async move {
        let (mut world, user) = lent(&stage, "a holder makes keys").await;
        let (sandbox, left) = (stage.sandbox.clone(), AtomicU32::new(5));
        stage.sandbox.faults().on_call(Arc::new(move |action, phase| {
            let is_left = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            if action == "DeleteAccessKey" && phase == Phase::After && is_left() {
                sandbox.prepare("CreateAccessKey", &[("UserName", &user)]).unwrap();
            }
        }));
        let doing = world.begin(Deed::Revoke).await;
        world.complete(doing).await;
        world.live(Duration::from_mins(2)).await;
        assert!(stage.sandbox.users().is_empty());
        world.end().await;
    });
}

/// The user goes by hand, so many seconds after the issue; the lease ends with it, within so many seconds.
async fn by_hand(stage: &Arc<Stage>, age: u64, within: u64) {
    let (mut world, user) = lent(stage, &format!("deleted by hand after {age} s")).await;
    world.live(Duration::from_secs(age)).await;
    assert!(stage.sandbox.remove_user(&user));
    let doing = world.begin(Deed::Revoke).await;
    let said = world.complete(doing).await;
    assert_eq!(said == Said::Done, within == 0);
    world.live(Duration::from_secs(within)).await;
    assert!(world.store.disk.keys("lease/id/aws/").is_empty(), "deleted by hand after {age} s");
    world.end().await;
}

#[test]
fn a_user_deleted_by_hand_ends_its_lease_once_that_can_be_believed() {
    on_stage(|stage| async move {
        by_hand(&stage, 1, 360).await;
        by_hand(&stage, 240, 120).await;
        by_hand(&stage, 301, 0).await;
    });
}

#[test]
fn a_healthy_revocation_takes_nine_calls_the_first_of_which_kills_the_key() {
    on_stage(|stage| async move {
        stage.sandbox.create_group("team", &[], &[]).unwrap();
        let (mut world, user) = lent(&stage, "a healthy revocation").await;
        let arn = stage.sandbox.create_policy("own", POLICY).unwrap();
        put(&stage.sandbox, &user, "AttachUserPolicy", &[("PolicyArn", &arn)]);
        put(&stage.sandbox, &user, "AddUserToGroup", &[("GroupName", "team")]);
        let before = usize::try_from(stage.sandbox.count()).unwrap();
        let doing = world.begin(Deed::Revoke).await;
        assert_eq!(world.complete(doing).await, Said::Done);
        world.live(Duration::from_mins(30)).await;
        let calls: Vec<_> = stage.sandbox.calls().into_iter().skip(before).map(|call| call.action).collect();
        assert_eq!(
            calls,
            [
                "DeleteAccessKey",
                "ListAccessKeys",
                "ListGroupsForUser",
                "RemoveUserFromGroup",
                "ListAttachedUserPolicies",
                "DetachUserPolicy",
                "ListUserPolicies",
                "DeleteUserPolicy",
                "DeleteUser"
            ]
        );
        world.end().await;
    });
}

#[test]
fn what_may_not_be_taken_away_is_named_and_the_key_is_dead() {
    on_stage(|stage| async move {
        let (mut world, user) = lent(&stage, "a password that may not be deleted").await;
        put(&stage.sandbox, &user, "CreateLoginProfile", &[("Password", "correct-Horse-7")]);
        let denied =
            leasehold::aws::sandbox::Failure::new(403, "AccessDenied", "not authorized to perform: iam:DeleteLoginProfile");
        stage.sandbox.faults().every("DeleteLoginProfile", leasehold::aws::sandbox::Effect::Refuse(denied));
        let doing = world.begin(Deed::Revoke).await;
        assert_eq!(world.complete(doing).await, Said::Refused);
        let root = stage.root.clone();
        let status = world.finish(world.request(&root, Operation::Read, "aws/status", json!({}))).await.body;
        let failure = &status["data"]["oldest_failure"];
        assert_eq!((&failure["code"], &failure["attempts"]), (&json!("AccessDenied"), &json!(1)), "{status}");
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains("iam:DeleteLoginProfile is needed") && message.contains("deleted already"), "{message}");
        assert_eq!(status["data"]["leases"]["waiting"], 1, "{status}");
        assert_eq!(stage.sandbox.key_count(), 0);
        world.end().await;
    });
}

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;

/// No key anybody could use.
const SSH: &str = "ssh-rsa AAAAB3NzaC1yc2F4eHh4eHh4eHh4eHh4eHh4eHh4eA==";

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMANhYmM=\n-----END CERTIFICATE-----\n";
