//! Faults, as the official client meets them; the edge of the stand-in.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_iam::error::ProvideErrorMetadata as _;

use super::world_tests::{Keys, NO_ANSWER, World, refusal};
use super::{Effect, Failure, Phase, Rule, Sandbox, When};
use crate::base::Clock;

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// What the creator of a user hears under a fault: a code, or `done`.
async fn creating(world: &World, name: &str) -> String {
    match world.iam().create_user().user_name(name).send().await {
        Ok(_) => "done".to_owned(),
        Err(error) => error.code().unwrap_or(NO_ANSWER).to_owned(),
    }
}

#[tokio::test]
async fn each_effect_does_or_does_not_and_answers_or_not() {
    let refused = Failure::new(403, "AccessDenied", "not iam:TagUser");
    for (effect, heard, is_done) in [
        (Effect::Refuse(refused), "AccessDenied", false),
        (Effect::Throttle, "Throttling", false),
        (Effect::Fail500, "ServiceFailure", false),
        (Effect::DropBefore, NO_ANSWER, false),
        (Effect::ExecuteThen500, "ServiceFailure", true),
        (Effect::ExecuteThenDropReply, NO_ANSWER, true),
    ] {
        let world = World::new().await;
        world.sandbox.faults().next("CreateUser", effect.clone());
        assert_eq!(creating(&world, "app").await, heard, "{effect:?}");
        assert_eq!(world.sandbox.user("app").is_some(), is_done, "{effect:?}");
        assert_eq!(world.sandbox.faults().pending(), 0);
        assert_eq!(creating(&world, "next").await, "done", "{effect:?}");
    }
}

#[tokio::test]
async fn a_refusal_has_the_status_of_the_rule() {
    let world = World::new().await;
    world.sandbox.faults().next("GetUser", Effect::Throttle);
    let error = world.iam().get_user().send().await.unwrap_err();
    assert_eq!((error.raw_response().unwrap().status().as_u16(), error.message()), (400, Some("Rate exceeded")));
    world.sandbox.faults().next("GetUser", Effect::Fail500);
    let error = world.iam().get_user().send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
}

#[tokio::test]
async fn the_third_call_is_struck_and_no_other() {
    let world = World::new().await;
    world.sandbox.faults().nth(3, "CreateUser", Effect::Throttle);
    let mut heard = Vec::new();
    for name in ["a", "b", "c", "d"] {
        heard.push(creating(&world, name).await);
    }
    assert_eq!(heard, ["done", "done", "Throttling", "done"]);
}

#[tokio::test]
async fn a_rule_may_be_for_one_user() {
    let world = World::new().await;
    let rule = Rule { action: None, user: Some("b".to_owned()), when: When::Every, effect: Effect::Throttle };
    world.sandbox.faults().add(rule);
    assert_eq!((creating(&world, "a").await.as_str(), creating(&world, "b").await.as_str()), ("done", "Throttling"));
    world.sandbox.faults().clear();
    assert_eq!(creating(&world, "b").await, "done");
}

#[tokio::test]
async fn a_call_hangs_until_it_is_released() {
    let world = World::new().await;
    for (effect, heard, is_done) in [(Effect::Hang, "ServiceUnavailable", false), (Effect::ExecuteThenHang, "done", true)] {
        world.sandbox.faults().next("CreateUser", effect);
        let iam = world.iam();
        let call = world.tasks.spawn(async move { iam.create_user().user_name("app").send().await });
        world.sandbox.faults().until_hanging(1).await;
        assert_eq!((world.sandbox.user("app").is_some(), call.is_finished()), (is_done, false));
        world.sandbox.faults().release();
        let answer = call.await.unwrap();
        assert_eq!(answer.map_or_else(|error| error.code().unwrap().to_owned(), |_| "done".to_owned()), heard);
        assert_eq!(world.sandbox.faults().hanging(), 0);
    }
}

#[tokio::test]
async fn a_hanging_call_ends_when_its_client_leaves() {
    let world = World::new().await;
    world.sandbox.faults().next("CreateUser", Effect::Hang);
    let iam = world.iam();
    let call = world.tasks.spawn(async move { iam.create_user().user_name("app").send().await });
    world.sandbox.faults().until_hanging(1).await;
    call.abort();
    world.sandbox.faults().until_none_hanging().await;
    assert!(world.sandbox.users().is_empty());
}

#[tokio::test]
async fn a_hidden_user_is_missing_until_its_time_has_come() {
    let world = World::new().await;
    let iam = world.iam();
    world.sandbox.faults().next("CreateUser", Effect::HideUser { lasting: TEN_SECONDS });
    assert_eq!(creating(&world, "app").await, "done");
    assert_eq!(refusal(iam.get_user().user_name("app").send()).await, "NoSuchEntity");
    assert_eq!(refusal(iam.create_access_key().user_name("app").send()).await, "NoSuchEntity");
    assert_eq!(refusal(iam.delete_user().user_name("app").send()).await, "NoSuchEntity");
    assert_eq!(world.listed_users().await, ["leasehold-admin"]);
    assert_eq!(creating(&world, "app").await, "EntityAlreadyExists");
    world.clock.advance(TEN_SECONDS);
    iam.get_user().user_name("app").send().await.unwrap();
    assert_eq!(world.listed_users().await.len(), 2);
}

#[tokio::test]
async fn a_reply_may_be_lost_and_the_user_hidden_too() {
    let world = World::new().await;
    world.sandbox.faults().next("CreateUser", Effect::ExecuteThenDropReply);
    world.sandbox.faults().next("CreateUser", Effect::HideUser { lasting: TEN_SECONDS });
    assert_eq!(creating(&world, "app").await, NO_ANSWER);
    assert_eq!(refusal(world.iam().get_user().user_name("app").send()).await, "NoSuchEntity");
    world.clock.advance(TEN_SECONDS);
    world.iam().get_user().user_name("app").send().await.unwrap();
}

#[tokio::test]
async fn a_hidden_key_is_refused_until_its_time_has_come() {
    let world = World::new().await;
    let iam = world.iam();
    iam.create_user().user_name("app").send().await.unwrap();
    world.sandbox.faults().next("CreateAccessKey", Effect::HideKeys { lasting: TEN_SECONDS, listed: false });
    let key = iam.create_access_key().user_name("app").send().await.unwrap().access_key.unwrap();
    let keys = Keys(key.access_key_id, key.secret_access_key, None);
    let listed = || async { iam.list_access_keys().user_name("app").send().await.unwrap().access_key_metadata.len() };
    assert_eq!((world.who(&keys).await.as_str(), listed().await), ("InvalidClientTokenId", 0));
    assert_eq!(refusal(iam.delete_user().user_name("app").send()).await, "DeleteConflict");
    world.clock.advance(TEN_SECONDS);
    assert_eq!((world.who(&keys).await.as_str(), listed().await), ("arn:aws:iam::123456789012:user/app", 1));
}

#[tokio::test]
async fn a_late_call_takes_effect_after_its_connection_was_cut() {
    let world = World::new().await;
    world.sandbox.faults().next("CreateUser", Effect::LateEffect { after: TEN_SECONDS });
    assert_eq!(creating(&world, "app").await, NO_ANSWER);
    assert_eq!((world.sandbox.users().len(), world.sandbox.faults().late()), (0, 1));
    world.clock.advance(TEN_SECONDS);
    world.sandbox.faults().until_none_late().await;
    assert_eq!(world.sandbox.users(), ["app"]);
}

#[tokio::test]
async fn an_observer_is_told_before_and_after() {
    let world = World::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (record, sandbox) = (Arc::clone(&told), world.sandbox.clone());
    world.sandbox.faults().on_call(Arc::new(move |action, phase| {
        record.lock().unwrap().push((action.to_owned(), phase, sandbox.users().len()));
    }));
    assert_eq!(creating(&world, "app").await, "done");
    world.sandbox.faults().next("CreateUser", Effect::DropBefore);
    assert_eq!(creating(&world, "app-2").await, NO_ANSWER);
    let action = "CreateUser".to_owned();
    let expected = [(action.clone(), Phase::Before, 0), (action.clone(), Phase::After, 1), (action, Phase::Before, 1)];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test]
async fn calls_are_recorded_whatever_becomes_of_them() {
    let world = World::new().await;
    world.sandbox.faults().next("CreateUser", Effect::DropBefore);
    creating(&world, "app").await;
    world.who(&Keys("AKIANOBODY".to_owned(), "x".to_owned(), None)).await;
    let calls = world.sandbox.calls();
    assert_eq!(world.sandbox.count(), 2);
    assert_eq!((calls[0].action.as_str(), calls[0].user.as_deref()), ("CreateUser", Some("app")));
    assert_eq!(calls[0].access_key, Some(world.sandbox.root_keys().0));
    assert_eq!((calls[1].action.as_str(), calls[1].access_key.as_deref()), ("GetCallerIdentity", Some("AKIANOBODY")));
    assert_eq!(calls[1].time, world.clock.now());
}

#[tokio::test]
async fn replies_have_the_date_of_the_clock() {
    let world = World::new().await;
    let error = world.iam().get_user().user_name("nobody").send().await.unwrap_err();
    let headers = error.raw_response().unwrap().headers();
    assert_eq!(headers.get("date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
    assert!(headers.get("x-amzn-requestid").is_some());
}

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    let world = World::new().await;
    let clock = || Arc::clone(&world.clock) as Arc<dyn Clock>;
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = Sandbox::start_on(address.parse().unwrap(), clock(), &world.tasks, &world.shutdown).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{address}");
    }
}

#[tokio::test]
async fn shutdown_ends_everything_also_what_hangs() {
    let world = World::new().await;
    let (client, faults) = (world.iam(), world.sandbox.faults());
    faults.next("GetUser", Effect::Hang);
    faults.next("CreateUser", Effect::LateEffect { after: TEN_SECONDS });
    assert_eq!(creating(&world, "app").await, NO_ANSWER);
    let (call, ()) = tokio::join!(client.get_user().send(), async {
        faults.until_hanging(1).await;
        world.shutdown.cancel();
    });
    assert_eq!(call.unwrap_err().code(), None);
    world.tasks.drained().await;
    assert!(world.sandbox.users().is_empty());
}
