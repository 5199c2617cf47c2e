//! What is due is ended: races, outages, absence that proves nothing, order, bounds.

use std::time::Duration;

use leasehold::base::{MountId, Ttl};
use leasehold::lease::{How, LeaseError, Owner, State, When};

use super::world::{LIMITS, START, Session, User, World, name_of, terms};

#[tokio::test]
async fn a_renewal_that_commits_first_wins_over_the_claim() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    let held = world.storage.hold_after(0);
    world.clock.advance(Duration::from_secs(59));
    let renewal = world.manager.renew(&lease.id, Ttl::seconds(600), LIMITS, None);
    tokio::pin!(renewal);
    tokio::select! { result = &mut renewal => panic!("{result:?}"), () = held.waiting(1) => {} }
    world.clock.advance(Duration::from_secs(1));
    held.waiting(2).await;
    held.release();
    renewal.await.unwrap();
    world.manager.settled().await;
    assert!(world.outside.has(&name_of(&lease)));
    assert_eq!(world.outside.calls(), 0);
    world.assert_consistent().await;
    world.advance(599).await;
    world.assert_clean("after the renewed end");
}

#[tokio::test]
async fn a_batch_that_commits_first_wins_over_the_renewal() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    let held = world.storage.hold_after(0);
    let ending = world.manager.revoke_prefix("aws", How::Queued);
    tokio::pin!(ending);
    tokio::select! { result = &mut ending => panic!("{result:?}"), () = held.waiting(1) => {} }
    let renewal = world.manager.renew(&lease.id, Ttl::seconds(600), LIMITS, None);
    tokio::pin!(renewal);
    tokio::select! { result = &mut renewal => panic!("{result:?}"), () = held.waiting(2) => {} }
    held.release();
    assert!(matches!(renewal.await, Err(LeaseError::Expired)));
    assert_eq!(ending.await.unwrap(), 1);
    world.manager.settled().await;
    world.assert_clean("revoked first");
}

#[tokio::test]
async fn what_is_claimed_is_revoking_before_the_outside_is_called() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().hangs = true;
    world.clock.advance(Duration::from_mins(1));
    while world.outside.calls() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.manager.lookup(&lease.id).await.unwrap().state, State::Revoking);
    assert!(matches!(world.manager.renew(&lease.id, Ttl::ZERO, LIMITS, None).await, Err(LeaseError::Expired)));
    world.outside.answer();
    world.manager.settled().await;
    world.assert_clean("answered");
}

#[tokio::test]
async fn absence_is_believed_after_its_time_only() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    // The answer to the creation is lost; it takes effect much later.
    world.outside.state().late.push((START.plus(Ttl::minutes(15)), pending.what().name.clone()));
    drop(pending);
    world.live(14 * 60, 10).await;
    assert!(!world.lease_keys().is_empty());
    let looks = world.outside.calls();
    assert!((15..40).contains(&looks), "1, 2, 4 … 60 s apart: {looks}");
    world.live(3 * 60, 10).await;
    world.assert_clean("seen and deleted");
}

#[tokio::test]
async fn an_intent_nobody_ever_sees_is_forgotten_at_the_horizon() {
    let world = World::new().await;
    drop(world.begin(Owner::default()).await.unwrap());
    world.live(17 * 60, 10).await;
    assert!(!world.lease_keys().is_empty());
    world.live(2 * 60 + 10, 10).await;
    world.assert_clean("behind the horizon");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_makes_no_absence_believable() {
    let world = World::new().await;
    drop(world.begin(Owner::default()).await.unwrap());
    world.manager.settled().await;
    world.clock.jump_forward(Duration::from_hours(48));
    world.live(10 * 60, 10).await;
    assert!(!world.lease_keys().is_empty());
    world.live(10 * 60, 10).await;
    world.assert_clean("behind the horizon of the other clock");
}

#[tokio::test]
async fn after_a_start_absence_has_to_settle_again() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 24 * 3600).await.unwrap();
    world.clock.jump_forward(Duration::from_hours(30));
    world.outside.state().users.remove(&name_of(&lease));
    let world = world.crash().await;
    world.live(4 * 60, 10).await;
    assert!(!world.lease_keys().is_empty());
    world.live(2 * 60 + 10, 10).await;
    world.assert_clean("five minutes after the start");
}

#[tokio::test]
async fn an_outage_writes_nothing_however_long_it_lasts() {
    let world = World::new().await;
    for _ in 0..300 {
        world.issue(Owner::default(), 60).await.unwrap();
    }
    world.outside.state().is_down = true;
    world.live(120, 10).await;
    let (commits, calls) = (world.storage.commits(), world.outside.calls());
    world.live(3600, 10).await;
    assert_eq!(world.storage.commits(), commits, "retries wrote something");
    let probes = world.outside.calls() - calls;
    assert!((200..=360).contains(&probes), "one probe a rest of five to ten seconds: {probes}");
    assert_eq!(world.manager.irrevocable(10).await.unwrap().0, []);
    world.outside.state().is_down = false;
    world.advance(10).await;
    world.assert_clean("as soon as the outside answers");
}

#[tokio::test]
async fn one_lane_at_rest_stalls_no_other() {
    let world = World::new().await;
    world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().is_down = true;
    world.advance(60).await;
    let path = leasehold::base::ApiPath::parse("other/creds/x").unwrap();
    let other = world.manager.leases(MountId::fresh(), &path, Owner::default()).lend(Session, terms(10)).unwrap();
    let other = world.activate(other).await.unwrap();
    world.advance(10).await;
    assert!(matches!(world.manager.lookup(&other.id).await, Err(LeaseError::NotFound)));
}

#[tokio::test]
async fn a_lease_that_is_refused_is_retried_for_ever_and_shown_after_the_sixth_time() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    let name = name_of(&lease);
    world.outside.state().refuses.insert(name.clone());
    world.advance(60).await;
    for failures in 1..=6 {
        let now = world.manager.lookup(&lease.id).await.unwrap();
        assert_eq!((now.failures, now.irrevocable.is_some()), (failures, failures == 6));
        // At most one and a half of 10 s doubled.
        world.advance(15 << (failures - 1)).await;
    }
    assert_eq!(world.manager.count_irrevocable().await.unwrap(), [(world.mount.clone(), 1)].into());
    let (stuck, more) = world.manager.irrevocable(10).await.unwrap();
    assert_eq!(stuck.len(), 1);
    assert_eq!((&stuck[0].id, &stuck[0].mount, more), (&lease.id, &world.mount, false));
    assert_eq!(stuck[0].error, format!("{name} may not be deleted"));
    assert!(matches!(world.manager.renew(&lease.id, Ttl::ZERO, LIMITS, None).await, Err(LeaseError::Irrevocable)));
    world.assert_consistent().await;
    let calls = world.outside.calls();
    world.live(24 * 3600, 600).await;
    assert!(world.outside.calls() - calls >= 15, "at most an hour and a half apart");
    world.outside.state().refuses.clear();
    world.live(2 * 3600, 600).await;
    world.assert_clean("no longer refused");
}

#[tokio::test]
async fn refusals_of_one_do_not_delay_the_others() {
    let world = World::new().await;
    let mut names = Vec::new();
    for _ in 0..20 {
        names.push(name_of(&world.issue(Owner::default(), 60).await.unwrap()));
    }
    world.outside.state().refuses.insert(names[0].clone());
    world.advance(60).await;
    assert_eq!(world.outside.state().users.len(), 1);
}

#[tokio::test]
async fn a_revocation_that_panics_or_hangs_is_tried_again() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().panics = true;
    world.advance(60).await;
    assert_eq!(world.manager.lookup(&lease.id).await.unwrap().failures, 1);
    world.outside.state().panics = false;
    world.outside.state().hangs = true;
    let calls = world.outside.calls();
    world.clock.advance(Duration::from_secs(15));
    while world.outside.calls() == calls {
        tokio::task::yield_now().await;
    }
    // The answer never comes: after the deadline the lane rests.
    world.advance(90).await;
    assert_eq!(world.manager.lookup(&lease.id).await.unwrap().failures, 1);
    world.outside.answer();
    world.advance(10).await;
    world.assert_clean("answered at last");
}

#[tokio::test]
async fn what_was_put_off_is_hastened() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().refuses.insert(name_of(&lease));
    world.advance(60).await;
    world.live(3600, 60).await;
    world.outside.state().refuses.clear();
    world.leases(Owner::default()).hasten();
    while !world.lease_keys().is_empty() {
        tokio::task::yield_now().await;
    }
    world.assert_clean("no time has passed");
}

#[tokio::test]
async fn many_ends_at_once_are_ended_in_pages() {
    let world = World::new().await;
    for count in 0..1500_u64 {
        let lent = world.leases(Owner::default()).lend(Session, terms(60 + count % 7)).unwrap();
        world.activate(lent).await.unwrap();
    }
    let commits = world.storage.commits();
    world.advance(120).await;
    world.assert_clean("all at once");
    assert!(world.storage.commits() - commits < 40, "{}", world.storage.commits() - commits);
}

#[tokio::test]
async fn due_keys_that_lead_nowhere_or_elsewhere_are_removed() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    let view = world.barrier.view("lease/");
    let soon = START.seconds() + 10;
    let mount = &world.mount;
    view.put(&format!("due/{mount}/{soon:010x}/{}", lease.id.suffix()), &lease.id).await.unwrap();
    view.put(&format!("due/{mount}/{soon:010x}/gone"), "aws/creds/deploy/gone").await.unwrap();
    view.put(&format!("due/token/{soon:010x}/{}", world.token(None).await.unwrap()), "x").await.unwrap();
    world.advance(10).await;
    assert!(world.outside.has(&name_of(&lease)));
    let due: Vec<_> = world.lease_keys().into_iter().filter(|key| key.contains(&format!("due/{mount}/"))).collect();
    assert_eq!(due.len(), 1, "{due:?}");
    world.advance(590).await;
    assert!(!world.outside.has(&name_of(&lease)));
}

#[tokio::test]
async fn the_nightly_look_finds_what_lost_its_due_key() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    let view = world.barrier.view("lease/");
    let end = lease.end.seconds();
    view.delete(&format!("due/{}/{end:010x}/{}", world.mount, lease.id.suffix())).await.unwrap();
    view.put("stuck/gone", "aws/creds/deploy/gone").await.unwrap();
    world.advance(3600).await;
    assert!(world.outside.has(&name_of(&lease)));
    world.advance(24 * 3600).await;
    while !world.lease_keys().is_empty() {
        tokio::task::yield_now().await;
    }
    world.assert_clean("a night later");
}

#[tokio::test]
async fn the_look_ends_leases_whose_token_is_gone() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    world.issue(world.owner(&token).await, 600).await.unwrap();
    world.barrier.view("token/").delete(&format!("id/{token}")).await.unwrap();
    world.manager.tidy().await.unwrap();
    world.manager.settled().await;
    assert!(world.outside.state().users.is_empty());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_holds_up_nobody() {
    let world = World::new().await;
    let bad = world.issue(Owner::default(), 60).await.unwrap();
    world.issue(Owner::default(), 61).await.unwrap();
    world.barrier.view("lease/").put(&format!("id/{}", bad.id), "no record").await.unwrap();
    world.advance(61).await;
    assert_eq!(world.outside.state().users.len(), 1);
}

#[tokio::test]
async fn stopping_waits_for_the_attempt_under_way() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    world.outside.state().hangs = true;
    world.clock.advance(Duration::from_mins(1));
    while world.outside.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let outside = std::sync::Arc::clone(&world.outside);
    let stopped = world.stop();
    tokio::pin!(stopped);
    tokio::select! { biased; () = &mut stopped => panic!("it did not wait"), () = tokio::task::yield_now() => {} }
    outside.answer();
    stopped.await;
    assert!(!outside.has(&name_of(&lease)));
}

#[tokio::test]
async fn tokens_are_ended_with_what_hangs_on_them() {
    let world = World::new().await;
    let token = world.token(Some(100)).await.unwrap();
    let owner = world.owner(&token).await;
    for _ in 0..5 {
        world.issue(owner.clone(), 3600).await.unwrap();
    }
    let pending = world.begin(owner.clone()).await.unwrap();
    world.outside.state().users.insert(pending.what().name.clone());
    world.advance(99).await;
    assert_eq!(world.outside.state().users.len(), 6);
    world.advance(1).await;
    assert_eq!(world.outside.state().users.len(), 1, "one is in its issuer's hand");
    assert!(matches!(world.activate(pending.fulfil(user("late"), terms(60))).await, Err(LeaseError::Revoked)));
    world.outside.state().users.clear();
    world.live(20 * 60, 60).await;
    world.assert_clean("the token has ended");
}

#[tokio::test]
async fn a_token_that_was_renewed_lives_on() {
    let world = World::new().await;
    let token = world.token(Some(100)).await.unwrap();
    let lease = world.issue(world.owner(&token).await, 3600).await.unwrap();
    world.renew_token(&token, START.plus(Ttl::seconds(500))).await;
    world.advance(499).await;
    assert!(world.outside.has(&name_of(&lease)));
    world.advance(1).await;
    world.assert_clean("the token has ended");
}

#[tokio::test]
async fn leases_of_one_token_are_ended_in_pages() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    let owner = world.owner(&token).await;
    for _ in 0..2000 {
        let lent = world.leases(owner.clone()).lend(Session, terms(3600)).unwrap();
        world.activate(lent).await.unwrap();
    }
    let mut pages = 0;
    while world.manager.end_of_token(&token).await.unwrap() > 0 {
        pages += 1;
    }
    assert_eq!(pages, 4);
    world.manager.settled().await;
    assert_eq!(world.manager.children("aws/creds/deploy/").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn earlier_registrations_are_seen_behind_the_mark() {
    let world = World::new().await;
    for ttl in [100, 50, 25, 75, 60] {
        world.issue(Owner::default(), ttl).await.unwrap();
        world.advance(1).await;
    }
    for (second, left) in [(27_u64, 4_usize), (51, 3), (64, 2), (78, 1), (100, 0)] {
        let now = world.clock_now().since(START).as_seconds();
        world.advance(second - now).await;
        assert_eq!(world.outside.state().users.len(), left, "after {second} s");
    }
}

#[tokio::test]
async fn revoking_soon_is_enough() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.manager.revoke(&lease.id, When::Soon).await.unwrap();
    world.manager.settled().await;
    world.assert_clean("no time has passed");
    assert!(matches!(world.manager.revoke(&lease.id, When::Soon).await, Err(LeaseError::NotFound)));
}

#[tokio::test]
async fn an_empty_lane_is_waited_for() {
    let world = World::new().await;
    drop(world.begin(Owner::default()).await.unwrap());
    let empty = world.manager.lane_empty(&world.mount);
    tokio::pin!(empty);
    tokio::select! { biased; () = &mut empty => panic!("an intent is left"), () = world.advance(60) => {} }
    world.live(20 * 60, 60).await;
    empty.await;
}

fn user(name: &str) -> User {
    User { name: name.to_owned(), acknowledged: true }
}
