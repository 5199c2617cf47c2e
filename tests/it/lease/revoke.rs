//! Ending before the end: one, all below a path, a mount's; waited for, queued, by force.

use std::time::Duration;

use leasehold::base::{LeaseId, Ttl};
use leasehold::lease::{How, LeaseError, Owner, State, When};

use super::world::{START, Session, World, name_of, terms};

#[tokio::test]
async fn a_waited_revocation_answers_when_it_is_done() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.manager.revoke(&lease.id, When::Waited).await.unwrap();
    world.assert_clean("answered");
    assert!(matches!(world.manager.revoke(&lease.id, When::Waited).await, Err(LeaseError::NotFound)));
}

#[tokio::test]
async fn a_refusal_is_the_answer_and_the_lease_stays_due() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.outside.state().refuses.insert(name_of(&lease));
    let error = world.manager.revoke(&lease.id, When::Waited).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} may not be deleted", name_of(&lease)));
    let now = world.manager.lookup(&lease.id).await.unwrap();
    assert_eq!((now.state, now.end, now.failures), (State::Revoking, START, 1));
    world.outside.state().refuses.clear();
    world.advance(15).await;
    world.assert_clean("retried by itself");
}

#[tokio::test]
async fn who_waits_gets_one_attempt_even_while_the_lane_rests() {
    let world = World::new().await;
    let (first, second) = (world.issue(Owner::default(), 60).await.unwrap(), world.issue(Owner::default(), 6000).await.unwrap());
    world.outside.state().is_down = true;
    world.advance(60).await;
    let error = world.manager.revoke(&second.id, When::Waited).await.unwrap_err();
    assert_eq!(error.to_string(), "no route to the outside");
    world.outside.state().is_down = false;
    world.manager.revoke(&second.id, When::Waited).await.unwrap();
    assert!(!world.outside.has(&name_of(&second)));
    // The answer ends the rest of the lane as well.
    world.manager.settled().await;
    assert!(!world.outside.has(&name_of(&first)));
}

#[tokio::test]
async fn who_waits_goes_ahead_of_the_queue() {
    let world = World::new().await;
    for _ in 0..100 {
        world.issue(Owner::default(), 60).await.unwrap();
    }
    let lease = world.issue(Owner::default(), 6000).await.unwrap();
    world.outside.state().hangs = true;
    world.clock.advance(Duration::from_mins(1));
    while world.outside.calls() < 24 {
        tokio::task::yield_now().await;
    }
    let revoking = world.manager.revoke(&lease.id, When::Waited);
    tokio::pin!(revoking);
    while world.outside.calls() < 25 {
        tokio::select! { biased; _ = &mut revoking => panic!("the outside hangs"), () = tokio::task::yield_now() => {} }
    }
    assert_eq!(world.outside.calls(), 25, "24 places for the queue, eight for who waits");
    world.outside.answer();
    revoking.await.unwrap();
    world.manager.settled().await;
    world.assert_clean("answered");
}

#[tokio::test]
async fn who_waits_for_one_under_way_gets_its_result() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().hangs = true;
    world.clock.advance(Duration::from_mins(1));
    while world.outside.calls() < 1 {
        tokio::task::yield_now().await;
    }
    let revoking = world.manager.revoke(&lease.id, When::Waited);
    tokio::pin!(revoking);
    for _ in 0..100 {
        tokio::select! { biased; _ = &mut revoking => panic!("the outside hangs"), () = tokio::task::yield_now() => {} }
    }
    world.outside.answer();
    revoking.await.unwrap();
    assert_eq!(world.outside.calls(), 1);
    world.assert_clean("answered");
}

#[tokio::test]
async fn a_young_lease_that_is_not_seen_is_no_success_yet() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.outside.state().users.clear();
    assert!(matches!(world.manager.revoke(&lease.id, When::Waited).await, Err(LeaseError::Refused(_))));
    world.advance(301).await;
    world.manager.settled().await;
    world.live(60, 10).await;
    world.assert_clean("five minutes old");
}

#[tokio::test]
async fn a_prefix_ends_all_below_it_and_nothing_beside_it() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    let path = leasehold::base::ApiPath::parse("aws/creds/deploy2").unwrap();
    let beside = world.manager.leases(world.mount.clone(), &path, Owner::default()).lend(Session, terms(600)).unwrap();
    let beside = world.activate(beside).await.unwrap();
    assert_eq!(world.manager.revoke_prefix("aws/creds/deploy", How::Sync).await.unwrap(), 1);
    assert!(!world.outside.has(&name_of(&lease)));
    assert!(world.manager.lookup(&beside.id).await.is_ok());
    assert_eq!(world.manager.revoke_prefix(beside.id.as_str(), How::Sync).await.unwrap(), 1);
    assert_eq!(world.manager.revoke_prefix("aws", How::Sync).await.unwrap(), 0);
    world.assert_clean("all were ended");
}

#[tokio::test]
async fn a_prefix_of_many_answers_with_the_first_that_failed_and_all_are_due() {
    let world = World::new().await;
    let mut leases = Vec::new();
    for _ in 0..700 {
        leases.push(world.issue(Owner::default(), 6000).await.unwrap());
    }
    leases.sort_by(|a, b| a.id.cmp(&b.id));
    world.outside.state().refuses.insert(name_of(&leases[599]));
    let error = world.manager.revoke_prefix("aws", How::Sync).await.unwrap_err().to_string();
    // The queue works beside the walk: the place counts those it still found.
    assert!(error.starts_with(&format!("failed to revoke \"{}\" (", leases[599].id)), "{error}");
    assert!(error.ends_with(&format!(" / 700): {} may not be deleted", name_of(&leases[599]))), "{error}");
    world.manager.settled().await;
    assert_eq!(world.outside.state().users.len(), 1);
}

#[tokio::test]
async fn queued_ones_are_not_waited_for() {
    let world = World::new().await;
    for _ in 0..10 {
        world.issue(Owner::default(), 600).await.unwrap();
    }
    world.outside.state().is_down = true;
    assert_eq!(world.manager.revoke_prefix("aws/", How::Queued).await.unwrap(), 10);
    world.outside.state().is_down = false;
    world.advance(10).await;
    world.assert_clean("behind the answer");
}

#[tokio::test]
async fn force_removes_the_record_whatever_the_outside_says() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    let gone = world.issue(Owner::default(), 600).await.unwrap();
    world.outside.state().refuses.insert(name_of(&lease));
    assert_eq!(world.manager.revoke_prefix("aws", How::Force).await.unwrap(), 2);
    assert_eq!(world.lease_keys(), Vec::<String>::new());
    assert!(world.outside.has(&name_of(&lease)));
    assert!(!world.outside.has(&name_of(&gone)), "one attempt is made");
}

#[tokio::test]
async fn force_removes_what_is_stuck_and_what_hangs() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().refuses.insert(name_of(&lease));
    world.live(1800, 10).await;
    assert_eq!(world.manager.irrevocable(10).await.unwrap().0.len(), 1);
    world.outside.state().hangs = true;
    let forcing = world.manager.revoke_prefix("aws", How::Force);
    tokio::pin!(forcing);
    let calls = world.outside.calls();
    while world.outside.calls() == calls {
        tokio::select! { biased; _ = &mut forcing => panic!("the outside hangs"), () = tokio::task::yield_now() => {} }
    }
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(forcing.await.unwrap(), 1);
    assert_eq!(world.lease_keys(), Vec::<String>::new());
}

#[tokio::test]
async fn force_leaves_what_is_in_its_issuers_hand_to_him() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let user = pending.what().clone();
    world.outside.state().users.insert(user.name.clone());
    world.manager.revoke_prefix("aws", How::Force).await.unwrap();
    assert!(!world.lease_keys().is_empty());
    assert!(matches!(world.activate(pending.fulfil(user, terms(60))).await, Err(LeaseError::Revoked)));
    world.manager.settled().await;
    world.assert_clean("let go");
}

#[tokio::test]
async fn tokens_are_revoked_by_their_leases_and_by_prefix() {
    let world = World::new().await;
    let (token, other) = (world.token(Some(600)).await.unwrap(), world.token(None).await.unwrap());
    world.issue(world.owner(&token).await, 6000).await.unwrap();
    world.issue(world.owner(&other).await, 6000).await.unwrap();
    let id = LeaseId::new(format!("auth/token/create/{token}"));
    world.manager.revoke(&id, When::Waited).await.unwrap();
    assert!(matches!(world.manager.revoke(&id, When::Waited).await, Err(LeaseError::NotFound)));
    world.manager.settled().await;
    assert_eq!(world.outside.state().users.len(), 1);
    assert_eq!(world.manager.revoke_prefix("auth/token", How::Sync).await.unwrap(), 1);
    world.manager.settled().await;
    world.assert_clean("both tokens have ended");
}

#[tokio::test]
async fn a_mount_is_ended_with_its_intents_and_waits_for_no_horizon() {
    let world = World::new().await;
    for ttl in [60, 600, 6000] {
        world.issue(Owner::default(), ttl).await.unwrap();
    }
    let lent = world.leases(Owner::default()).lend(Session, terms(600)).unwrap();
    world.activate(lent).await.unwrap();
    let lost = world.begin(Owner::default()).await.unwrap();
    world.outside.state().late.push((START.plus(Ttl::minutes(10)), lost.what().name.clone()));
    drop(lost);
    world.manager.revoke_mount(&world.mount).await.unwrap();
    assert!(world.outside.state().users.is_empty());
    assert!(!world.manager.is_empty(&world.mount).await.unwrap(), "the intent waits for its horizon");
    world.live(20 * 60, 30).await;
    assert!(world.manager.is_empty(&world.mount).await.unwrap());
    world.assert_clean("behind the horizon");
}

#[tokio::test]
async fn a_mount_that_cannot_be_ended_says_why_and_goes_on() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.issue(Owner::default(), 600).await.unwrap();
    world.outside.state().refuses.insert(name_of(&lease));
    let error = world.manager.revoke_mount(&world.mount).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("failed to revoke \"{}\" (", lease.id)), "{error}");
    assert!(error.ends_with(&format!(" / 2): {} may not be deleted", name_of(&lease))), "{error}");
    world.outside.state().refuses.clear();
    world.manager.revoke_mount(&world.mount).await.unwrap();
    world.assert_clean("the second time");
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_stops() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    let manager = std::sync::Arc::clone(&world.manager);
    world.stop().await;
    assert!(matches!(manager.revoke(&lease.id, When::Waited).await, Err(LeaseError::Stopping)));
}
