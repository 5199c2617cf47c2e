use std::time::Duration;

use serde_json::{Map, Value, json};

use super::world::World;
use crate::aws::sandbox::{Effect, Failure, Rule, When};
use crate::base::Clock as _;
use crate::mount::{ApiError, Body, ErrorKind};
use crate::policy::Operation;

const HOUR: Duration = Duration::from_hours(1);

async fn world() -> World {
    let world = World::new().await;
    world.sandbox.prepare("CreateUser", &[("UserName", "app")]).unwrap();
    world.tick().await;
    world
}

async fn write(world: &World, name: &str, body: Value) -> Result<Map<String, Value>, ApiError> {
    match world.write(&format!("static-roles/{name}"), body).await?.body {
        Body::Data(data) => Ok(data),
        other => panic!("{other:?}"),
    }
}

async fn create(world: &World) -> Result<Map<String, Value>, ApiError> {
    write(world, "r", json!({ "username": "app", "rotation_period": "1h" })).await
}

/// The key in use, and when it ends.
async fn creds(world: &World, name: &str) -> Option<(String, String)> {
    let reply = world.ask(Operation::Read, &format!("static-creds/{name}"), Value::Null).await.unwrap();
    let Body::Data(data) = reply.body else { return None };
    let text = |field: &str| data[field].as_str().unwrap().to_owned();
    assert_eq!(data.len(), 3);
    assert!(!text("secret_key").is_empty());
    Some((text("access_key"), text("expiration")))
}

async fn in_use(world: &World) -> String {
    creds(world, "r").await.unwrap().0
}

async fn delete(world: &World, name: &str) -> Result<(), ApiError> {
    world.ask(Operation::Delete, &format!("static-roles/{name}"), Value::Null).await.map(drop)
}

fn strangers_key(world: &World) -> String {
    let before = world.keys_of("app");
    world.sandbox.prepare("CreateAccessKey", &[("UserName", "app")]).unwrap();
    world.keys_of("app").into_iter().find(|key| !before.contains(key)).unwrap()
}

async fn is_there(world: &World, path: &str) -> bool {
    !matches!(world.ask(Operation::Read, path, Value::Null).await.unwrap().body, Body::Empty)
}

fn denied() -> Effect {
    Effect::Refuse(Failure::new(403, "AccessDenied", "not authorized"))
}

#[tokio::test]
async fn a_user_who_has_no_key_gets_one_and_his_role_is_shown() {
    let world = world().await;
    let shown = create(&world).await.unwrap();
    let id = world.sandbox.user("app").unwrap().id;
    let expected = json!({
        "name": "r", "id": id, "username": "app", "rotation_period": 3600,
        "assume_role_arn": "", "assume_role_session_name": "", "external_id": "",
    });
    assert_eq!((Value::Object(shown), Value::Object(world.read("static-roles/r").await)), (expected.clone(), expected));
    let (key, expiration) = creds(&world, "r").await.unwrap();
    assert_eq!(world.keys_of("app"), [key]);
    let ends: chrono::DateTime<chrono::Utc> = expiration.parse().unwrap();
    let left = ends.timestamp() - world.clock.precise().timestamp();
    assert!((3590..=3600).contains(&left), "{left}");
}

#[tokio::test]
async fn mistakes_of_the_caller_are_told_and_nothing_is_stored() {
    let world = world().await;
    for (body, text) in [
        (json!({ "rotation_period": 3600 }), "missing \"username\" parameter"),
        (json!({ "username": "app" }), "missing \"rotation_period\" parameter"),
        (
            json!({ "username": "app", "rotation_period": 45 }),
            "role rotation period out of range: must be greater than 60.00 seconds",
        ),
        (json!({ "username": "nobody", "rotation_period": 60 }), "unable to validate username \"nobody\": NoSuchEntity"),
        (
            json!({ "username": "app", "rotation_period": 60, "assume_role_arn": "arn:aws:iam::1:role/r" }),
            "cross-account static roles are only supported in Vault Enterprise",
        ),
    ] {
        let error = write(&world, "r", body).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.text.starts_with(text), "{}", error.text);
    }
    assert!(!is_there(&world, "static-roles/r").await && creds(&world, "r").await.is_none());
    assert!(world.keys_of("app").is_empty());
    write(&world, "r", json!({ "username": "app", "rotation_period": 60 })).await.unwrap();
}

#[tokio::test]
async fn a_user_with_one_key_gets_a_second_and_one_with_two_is_refused() {
    let world = world().await;
    let theirs = strangers_key(&world);
    create(&world).await.unwrap();
    assert!(world.keys_of("app").len() == 2 && world.keys_of("app").contains(&theirs));
    let world = self::world().await;
    let both = [strangers_key(&world), strangers_key(&world)];
    let error = create(&world).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.text.starts_with("user \"app\" already has two access keys: "), "{}", error.text);
    assert!(both.iter().all(|key| error.text.contains(key)), "{}", error.text);
    assert!(!is_there(&world, "static-roles/r").await);
    assert_eq!(world.keys_of("app").len(), 2);
}

#[tokio::test]
async fn a_user_is_of_one_role() {
    let world = world().await;
    create(&world).await.unwrap();
    let error = write(&world, "s", json!({ "username": "app", "rotation_period": 60 })).await.unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.text.contains("static role \"r\""), "{}", error.text);
    delete(&world, "r").await.unwrap();
    write(&world, "s", json!({ "username": "app", "rotation_period": 60 })).await.unwrap();
}

#[tokio::test]
async fn a_key_is_rotated_when_it_is_due_and_the_one_before_stays_for_one_period() {
    let world = world().await;
    world.sandbox.prepare("CreateUser", &[("UserName", "later")]).unwrap();
    create(&world).await.unwrap();
    write(&world, "later", json!({ "username": "later", "rotation_period": "2h" })).await.unwrap();
    let (first, later) = (in_use(&world).await, creds(&world, "later").await);
    world.clock.advance(Duration::from_mins(59));
    world.tick().await;
    world.until(20, |_| true).await;
    assert_eq!(in_use(&world).await, first);
    world.until(120, |world| world.keys_of("app").len() == 2).await;
    world.settle().await;
    let second = in_use(&world).await;
    assert_ne!(second, first);
    assert!(world.keys_of("app").contains(&first));
    assert_eq!(creds(&world, "later").await, later, "it is not due");
    world.clock.advance(HOUR);
    world.until(120, |world| !world.keys_of("app").contains(&first)).await;
    world.settle().await;
    let third = in_use(&world).await;
    assert!(world.keys_of("app").contains(&second) && world.keys_of("app").contains(&third) && third != second);
}

#[tokio::test]
async fn a_role_that_fails_is_shown_and_tried_again_and_others_go_on() {
    let world = world().await;
    world.sandbox.prepare("CreateUser", &[("UserName", "other")]).unwrap();
    create(&world).await.unwrap();
    write(&world, "other", json!({ "username": "other", "rotation_period": "1h" })).await.unwrap();
    let first = in_use(&world).await;
    let rule =
        |effect| Rule { action: Some("CreateAccessKey".to_owned()), user: Some("app".to_owned()), when: When::Every, effect };
    world.sandbox.faults().add(rule(denied()));
    world.clock.advance(HOUR);
    world.until(60, |world| world.keys_of("other").len() == 2).await;
    world.settle().await;
    assert_eq!(in_use(&world).await, first);
    let failing = world.read("status").await["static_roles"].clone();
    assert_eq!((failing[0]["name"].as_str(), failing[0]["code"].as_str()), (Some("r"), Some("AccessDenied")));
    assert_eq!(failing.as_array().unwrap().len(), 1);
    let tries = world.times("CreateAccessKey");
    world.until(40, |world| world.times("CreateAccessKey") > tries).await;
    world.sandbox.faults().clear();
    world.until(60, |world| world.keys_of("app").len() == 2).await;
    world.settle().await;
    assert_ne!(in_use(&world).await, first);
    assert_eq!(world.read("status").await["static_roles"], json!([]));
}

#[tokio::test]
async fn a_changed_period_counts_from_now() {
    let world = world().await;
    create(&world).await.unwrap();
    for period in [120, 7200] {
        write(&world, "r", json!({ "rotation_period": period })).await.unwrap();
        let ends: chrono::DateTime<chrono::Utc> = creds(&world, "r").await.unwrap().1.parse().unwrap();
        let left = ends.timestamp() - world.clock.precise().timestamp();
        assert!((period - 5..=period).contains(&left), "{left}");
    }
    let key = in_use(&world).await;
    write(&world, "r", json!({ "rotation_period": 60 })).await.unwrap();
    assert_eq!(in_use(&world).await, key);
    world.until(80, |world| world.keys_of("app").len() == 2).await;
}

#[tokio::test]
async fn a_role_that_is_overdue_after_a_restart_is_rotated_at_the_first_tick() {
    let world = world().await;
    create(&world).await.unwrap();
    let world = world.crash().await;
    world.clock.advance(HOUR * 5);
    world.tick().await;
    world.until(20, |world| world.keys_of("app").len() == 2).await;
}

#[tokio::test]
async fn a_deletion_takes_every_key_that_was_made_here_and_leaves_the_others() {
    let world = world().await;
    create(&world).await.unwrap();
    world.clock.advance(HOUR);
    world.until(60, |world| world.keys_of("app").len() == 2).await;
    world.settle().await;
    delete(&world, "r").await.unwrap();
    assert!(world.keys_of("app").is_empty());
    assert!(!is_there(&world, "static-roles/r").await && creds(&world, "r").await.is_none());
    assert_eq!(world.static_keys(), Vec::<String>::new());
    delete(&world, "r").await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_aws_refuses_keeps_the_role_and_can_be_repeated() {
    let world = world().await;
    create(&world).await.unwrap();
    let theirs = strangers_key(&world);
    world.sandbox.faults().next("DeleteAccessKey", denied());
    let error = delete(&world, "r").await.unwrap_err();
    let text = "failed to clean credentials while deleting role \"r\": couldn't delete from IAM: ";
    assert!(error.text.starts_with(text) && error.text.contains("AccessDenied"), "{}", error.text);
    assert!(is_there(&world, "static-roles/r").await && creds(&world, "r").await.is_some());
    delete(&world, "r").await.unwrap();
    assert_eq!(world.keys_of("app"), [theirs]);
}

#[tokio::test]
async fn a_lost_creation_is_healed_by_writing_the_role_again() {
    let world = world().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::ExecuteThenDropReply);
    let error = create(&world).await.unwrap_err();
    assert!(error.kind == ErrorKind::Upstream && error.text.starts_with("failed to create new credentials for role \"r\": "));
    assert!(creds(&world, "r").await.is_none());
    create(&world).await.unwrap();
    assert_eq!(world.keys_of("app"), [in_use(&world).await]);
}

#[tokio::test]
async fn a_lost_creation_is_healed_by_itself() {
    let world = world().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::ExecuteThenDropReply);
    create(&world).await.unwrap_err();
    world.until(40, |world| world.times("CreateAccessKey") == 2).await;
    world.settle().await;
    assert_eq!(world.keys_of("app"), [in_use(&world).await]);
}

#[tokio::test]
async fn a_key_that_appears_after_its_role_was_deleted_goes_and_that_of_a_new_role_stays() {
    let world = world().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::LateEffect { after: Duration::from_mins(5) });
    create(&world).await.unwrap_err();
    delete(&world, "r").await.unwrap();
    assert!(!is_there(&world, "static-roles/r").await && !world.static_keys().is_empty());
    write(&world, "s", json!({ "username": "app", "rotation_period": "2h" })).await.unwrap();
    let ours = creds(&world, "s").await.unwrap().0;
    world.clock.advance(Duration::from_mins(5));
    world.drive(world.sandbox.faults().until_none_late()).await;
    world.until(90, |world| world.keys_of("app") == [ours.clone()]).await;
    let world = self::world().await;
    world.sandbox.faults().next("CreateAccessKey", Effect::LateEffect { after: Duration::from_mins(5) });
    create(&world).await.unwrap_err();
    delete(&world, "r").await.unwrap();
    world.clock.advance(Duration::from_mins(5));
    world.drive(world.sandbox.faults().until_none_late()).await;
    world.until(90, |world| world.keys_of("app").is_empty()).await;
    world.clock.advance(Duration::from_mins(14));
    world.until(90, |world| world.static_keys().is_empty()).await;
}

#[tokio::test]
async fn whoever_unmounts_is_told_how_many_keys_stay() {
    let world = world().await;
    assert!(world.parting().await.is_empty());
    create(&world).await.unwrap();
    let words = world.parting().await;
    assert_eq!(words, ["1 static role went with the mount: its access keys stay valid at AWS, and are not rotated any more"]);
}

#[tokio::test]
async fn names_are_listed_and_what_is_not_there_is_not_found() {
    let world = world().await;
    create(&world).await.unwrap();
    let Body::List(names, _) = world.ask(Operation::List, "static-roles/", Value::Null).await.unwrap().body else { panic!() };
    assert_eq!(names, ["r"]);
    assert!(!is_there(&world, "static-roles/x").await && creds(&world, "x").await.is_none());
}

#[tokio::test]
async fn a_user_who_was_made_anew_is_another_one() {
    let world = world().await;
    create(&world).await.unwrap();
    world.sandbox.remove_user("app");
    world.sandbox.prepare("CreateUser", &[("UserName", "app")]).unwrap();
    let error = write(&world, "r", json!({ "username": "app" })).await.unwrap_err();
    assert!(error.text.starts_with("AWS GetUser returned a user, but the ID did not match: "), "{}", error.text);
}
