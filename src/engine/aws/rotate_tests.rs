use std::time::Duration;

use serde_json::{Value, json};

use super::super::config::{ROOT, Root};
use super::world::World;
use crate::aws::sandbox::{Effect, Failure};
use crate::base::{MountId, MountPath};
use crate::mount::{ApiError, Body, ErrorKind};

const ADMIN: &str = "leasehold-admin";

async fn rotate(world: &World) -> Result<String, ApiError> {
    rotate_with(world, Value::Null).await
}

async fn rotate_with(world: &World, body: Value) -> Result<String, ApiError> {
    match world.write("config/rotate-root", body).await?.body {
        Body::Data(data) => Ok(data["access_key"].as_str().unwrap().to_owned()),
        other => panic!("{other:?}"),
    }
}

async fn stored(world: &World) -> String {
    world.read("config/root").await["access_key"].as_str().unwrap().to_owned()
}

/// The one key there is is the stored one, and it signs.
async fn is_sound(world: &World) {
    assert_eq!(world.keys_of(ADMIN), [stored(world).await]);
    world.write("roles/r", json!({ "credential_type": "iam_user" })).await.unwrap();
    world.issue("creds/r", Value::Null).await.unwrap();
}

fn denied() -> Effect {
    Effect::Refuse(Failure::new(403, "AccessDenied", "not authorized"))
}

#[tokio::test]
async fn the_key_of_the_configuration_is_replaced_and_the_next_client_signs_with_the_new_one() {
    let world = World::new().await;
    let (old, before) = (stored(&world).await, world.sandbox.count());
    let status = world.read("status").await;
    let new = rotate(&world).await.unwrap();
    assert_ne!(new, old);
    let after = world.read("status").await;
    assert!(!status["preflight"]["checked_at"].is_null());
    assert_eq!((&after["preflight"], &after["account"]), (&status["preflight"], &status["account"]), "it is the same user");
    assert_eq!(stored(&world).await, new);
    let identity = "GetCallerIdentity";
    assert_eq!(
        world.actions(before),
        ["GetUser", "ListAccessKeys", "CreateAccessKey", identity, identity, identity, "ListAccessKeys", "DeleteAccessKey"]
    );
    is_sound(&world).await;
    assert_eq!(world.sandbox.calls().last().unwrap().access_key, Some(new));
    assert_eq!(world.read("status").await["rotation"], Value::Null);
}

#[tokio::test]
async fn without_a_key_pair_there_is_nothing_to_rotate() {
    let world = World::new().await;
    world.write("config/root", json!({ "access_key": "", "secret_key": "" })).await.unwrap();
    let error = rotate(&world).await.unwrap_err();
    let text = "Cannot call config/rotate-root when either access_key or secret_key is empty";
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Invalid, text));
    world.forget_configuration().await;
    let error = rotate(&world).await.unwrap_err();
    assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Internal, "no configuration found for config/root"));
}

#[tokio::test]
async fn an_old_key_that_cannot_be_deleted_goes_by_itself() {
    let world = World::new().await;
    let old = stored(&world).await;
    world.sandbox.faults().next("DeleteAccessKey", denied());
    let error = rotate(&world).await.unwrap_err();
    assert_eq!(error.text, "error deleting old access key: AccessDenied: not authorized");
    assert_ne!(stored(&world).await, old);
    let status = world.read("status").await;
    assert_eq!(status["rotation"]["phase"], "retiring");
    assert_eq!(status["rotation"]["error"], error.text.as_str());
    world.until(30, |world| world.keys_of(ADMIN).len() == 1).await;
    is_sound(&world).await;
}

#[tokio::test]
async fn a_rotation_at_once_finishes_the_one_before() {
    let world = World::new().await;
    world.sandbox.faults().next("DeleteAccessKey", denied());
    rotate(&world).await.unwrap_err();
    let new = stored(&world).await;
    assert_eq!(rotate(&world).await.unwrap(), new);
    is_sound(&world).await;
}

#[tokio::test]
async fn a_crash_after_any_call_leaves_a_key_that_works_and_the_next_rotation_works_at_once() {
    for k in 1..=8 {
        let world = World::new().await;
        world.sandbox.faults().add(crate::aws::sandbox::Rule {
            action: None,
            user: None,
            when: crate::aws::sandbox::When::Nth(k),
            effect: Effect::ExecuteThenHang,
        });
        let hung = {
            let asked = rotate(&world);
            tokio::select! {
                _ = asked => false,
                () = world.sandbox.faults().until_hanging(1) => true,
            }
        };
        assert!(hung, "there is no call {k}");
        let world = world.crash().await;
        world.sandbox.faults().release();
        assert!(world.keys_of(ADMIN).contains(&stored(&world).await), "call {k}");
        rotate(&world).await.unwrap();
        is_sound(&world).await;
    }
}

#[tokio::test]
async fn what_was_open_at_a_crash_is_finished_without_anybody() {
    let world = World::new().await;
    let old = stored(&world).await;
    let hidden = Effect::HideKeys { lasting: Duration::from_secs(70), listed: true };
    world.sandbox.faults().next("CreateAccessKey", hidden);
    let error = rotate(&world).await.unwrap_err();
    assert!(error.text.starts_with("new access key not accepted yet: "), "{}", error.text);
    assert_eq!(stored(&world).await, old);
    let world = world.crash().await;
    world.tick().await;
    world.until(120, |world| world.keys_of(ADMIN).len() == 1).await;
    assert_ne!(stored(&world).await, old);
    is_sound(&world).await;
}

#[tokio::test]
async fn a_mount_with_the_same_key_is_named_unless_forced() {
    let world = World::new().await;
    let other = world.access_keys.join(&MountId::fresh(), &MountPath::parse("auth/aws/").unwrap());
    other.set(&stored(&world).await);
    let error = rotate(&world).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.text.contains("auth/aws/") && error.text.contains("force=true"), "{}", error.text);
    rotate_with(&world, json!({ "force": true })).await.unwrap();
    rotate(&world).await.unwrap();
}

#[tokio::test]
async fn another_key_written_meanwhile_is_never_touched_and_those_of_the_rotation_go() {
    let world = World::new().await;
    let hidden = Effect::HideKeys { lasting: Duration::from_hours(1), listed: true };
    world.sandbox.faults().next("CreateAccessKey", hidden);
    rotate(&world).await.unwrap_err();
    assert_eq!(world.keys_of(ADMIN).len(), 2);
    let (id, secret) = world.sandbox.create_user("other").unwrap();
    let admin = [("UserName", "other"), ("PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess")];
    world.sandbox.prepare("AttachUserPolicy", &admin).unwrap();
    world.write("config/root", json!({ "access_key": id, "secret_key": secret.expose() })).await.unwrap();
    world.until(60, |world| world.keys_of(ADMIN).len() == 1).await;
    assert_eq!(world.keys_of(ADMIN), [world.sandbox.root_keys().0], "the key of the operator is not ours to delete");
    assert_eq!((world.keys_of("other"), stored(&world).await), (vec![id.clone()], id.clone()));
    let new = rotate(&world).await.unwrap();
    assert_eq!(world.keys_of("other"), [new]);
}

#[tokio::test]
async fn a_change_of_other_settings_meanwhile_is_kept() {
    let world = World::new().await;
    let hidden = Effect::HideKeys { lasting: Duration::from_secs(20), listed: true };
    world.sandbox.faults().next("CreateAccessKey", hidden);
    let old = stored(&world).await;
    let change = async {
        world.until(10, |world| world.keys_of(ADMIN).len() == 2).await;
        world.write("config/root", json!({ "max_retries": 2, "verify": false })).await.unwrap();
    };
    let (rotated, ()) = tokio::join!(rotate(&world), change);
    assert_ne!(rotated.unwrap(), old);
    let root = world.read("config/root").await;
    assert_eq!(root["max_retries"], 2);
    is_sound(&world).await;
}

#[tokio::test]
async fn a_disk_that_is_full_costs_no_key() {
    let world = World::new().await;
    let old = stored(&world).await;
    let fill = async {
        world.sandbox.faults().until_hanging(1).await;
        world.storage.set_full(true);
        world.sandbox.faults().release();
    };
    world.sandbox.faults().next("CreateAccessKey", Effect::ExecuteThenHang);
    let (rotated, ()) = tokio::join!(rotate(&world), fill);
    let error = rotated.unwrap_err();
    assert!(error.text.starts_with("error saving new config/root: "), "{}", error.text);
    assert_eq!((world.keys_of(ADMIN), stored(&world).await), (vec![old.clone()], old));
    world.storage.set_full(false);
    rotate(&world).await.unwrap();
    is_sound(&world).await;
}

#[tokio::test]
async fn the_secret_is_stored_and_never_shown() {
    let world = World::new().await;
    rotate(&world).await.unwrap();
    let root: Root = world.stored(ROOT).await;
    let shown = format!("{:?} {:?}", world.read("config/root").await, world.read("status").await);
    assert!(!root.secret_key.expose().is_empty() && !shown.contains(root.secret_key.expose()));
}
