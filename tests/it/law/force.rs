//! Removing leases by force: one short attempt, then the record goes, and the operator is told what may be left.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Rule, When};
use leasehold::base::Clock;
use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::operation::{Deed, Said};
use super::stage::{Stage, on_stage};
use super::world::World;

/// Where force may leave something behind.
async fn begin(stage: &Arc<Stage>, title: &str) -> World {
    let mut world = World::new(stage, title.to_owned(), 1800).await;
    world.force_may_leave = true;
    world
}

async fn issue(world: &World) -> Value {
    let asked = world.request(&world.stage.root, Operation::Read, "aws/creds/r", json!({}));
    world.finish(asked).await.body
}

/// Has everything of the role removed; how long that took.
async fn force(world: &mut World) -> Duration {
    let before = world.clock.elapsed();
    let doing = world.begin(Deed::Force).await;
    assert_eq!(world.complete(doing).await, Said::Done);
    world.clock.elapsed().saturating_sub(before)
}

/// Neither leases nor intents of the mount.
fn nothing_is_known(world: &World) -> bool {
    ["lease/id/aws/", "lease/open/", "lease/failing/"].iter().all(|folder| world.store.disk.keys(folder).is_empty())
}

fn every(stage: &Stage, effect: Effect) {
    stage.sandbox.faults().add(Rule { action: None, user: None, when: When::Every, effect });
}

/// The users that an operator finds by their marks.
fn marked(stage: &Stage) -> Vec<String> {
    let all = stage.sandbox.users().into_iter();
    all.filter(|name| stage.sandbox.user(name).unwrap().tags.contains_key("leasehold:cluster")).collect()
}

#[test]
fn what_force_may_leave_is_named_in_the_log_without_a_secret() {
    on_stage(|stage| async move {
        let mut world = begin(&stage, "force while AWS is silent").await;
        let mut issued = Vec::new();
        for _ in 0..3 {
            issued.push(issue(&world).await);
        }
        every(&stage, Effect::Hang);
        let took = force(&mut world).await;
        assert!(took <= Duration::from_secs(11), "ten seconds a lease, side by side: {took:?}");
        assert!(nothing_is_known(&world));
        let forgotten = stage.log.forgotten();
        assert_eq!(forgotten.len(), 3);
        for answer in &issued {
            let lease = answer["lease_id"].as_str().unwrap();
            let told = forgotten.iter().find(|told| told.lease == lease).unwrap();
            let user = stage.sandbox.user(&told.user).unwrap();
            assert!(user.keys.contains_key(answer["data"]["access_key"].as_str().unwrap()), "it names the user it is about");
            let line = &told.line;
            assert!(told.is_warning && line.contains(stage.sandbox.account()), "{line}");
            assert!(line.contains("no answer within 10 s"), "{line}");
            let secrets = [&answer["data"]["secret_key"], &stage.roots.first["secret_key"]];
            assert!(secrets.iter().all(|secret| !line.contains(secret.as_str().unwrap())), "{line}");
        }
        let mut found = marked(&stage);
        let mut told: Vec<_> = forgotten.into_iter().map(|told| told.user).collect();
        found.sort();
        told.sort();
        assert_eq!(found, told);
        world.end().await;
    });
}

#[test]
fn force_says_why_aws_refused() {
    on_stage(|stage| async move {
        let mut world = begin(&stage, "force while the account denies").await;
        issue(&world).await;
        let denied = leasehold::aws::sandbox::Failure::new(403, "AccessDenied", "not authorized to perform: iam:DeleteUser");
        stage.sandbox.faults().every("DeleteUser", Effect::Refuse(denied));
        force(&mut world).await;
        let told = stage.log.forgotten().remove(0);
        assert!(told.line.contains("iam:DeleteUser is needed") && told.line.contains("deleted already"), "{}", told.line);
        assert_eq!(stage.sandbox.key_count(), 0);
        assert_eq!(marked(&stage), [told.user]);
        world.end().await;
    });
}

#[test]
fn force_that_could_end_everything_has_nothing_to_say() {
    on_stage(|stage| async move {
        let mut world = World::new(&stage, "force while all is well".to_owned(), 1800).await;
        issue(&world).await;
        force(&mut world).await;
        assert!(stage.sandbox.users().is_empty() && stage.log.forgotten().is_empty());
        world.end().await;
    });
}

#[test]
fn force_takes_intents_and_names_the_user_that_appears_later() {
    on_stage(|stage| async move {
        let mut world = begin(&stage, "force on an intent in doubt").await;
        stage.sandbox.faults().next("CreateUser", Effect::LateEffect { after: Duration::from_mins(10) });
        let answer = world.finish(world.issue()).await.unwrap();
        assert!(answer.is_none() && !world.store.disk.keys("lease/open/").is_empty());
        force(&mut world).await;
        assert!(nothing_is_known(&world));
        let told = stage.log.forgotten().remove(0);
        assert!(told.line.contains("may still appear"), "{}", told.line);
        world.live(Duration::from_mins(15)).await;
        let left = stage.sandbox.users();
        assert_eq!((left.len(), &left[0]), (1, &told.user), "nobody is left to end it");
        assert_eq!(marked(&stage), [told.user]);
        world.end().await;
    });
}

#[test]
fn force_under_other_credentials_names_the_account_the_user_is_in() {
    on_stage(|stage: Arc<Stage>| async move {
        let mut world = begin(&stage, "force with the credentials of another account").await;
        issue(&world).await;
        world.set_root(&stage.roots.other_account).await;
        let before = stage.sandbox.count();
        force(&mut world).await;
        assert_eq!(stage.sandbox.count(), before, "nobody is asked with them");
        let told = stage.log.forgotten().remove(0);
        assert!(told.line.contains("AccountMismatch") && told.line.contains(stage.other.account()), "{}", told.line);
        assert!(told.line.contains(stage.sandbox.account()), "{}", told.line);
        world.set_root(&stage.roots.first).await;
        world.end().await;
    });
}
