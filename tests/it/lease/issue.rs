//! From the intent to the active lease, its renewals, and what clients see of it.

use std::time::Duration;

use leasehold::base::{LeaseId, Ttl};
use leasehold::lease::{LeaseError, Limits, Owner, State, Terms, When};

use super::world::{LIMITS, START, Session, User, World, name_of, terms};

#[tokio::test]
async fn an_intent_is_durable_before_anything_is_created() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    let pending = world.begin(world.owner(&token).await).await.unwrap();
    let keys = world.lease_keys();
    for folder in ["lease/id/aws/creds/deploy/", "lease/due/", "lease/open/", &format!("lease/token/{token}/")] {
        let found = keys.iter().filter(|key| key.starts_with(folder) && key.ends_with(pending.id().suffix())).count();
        assert_eq!(found, 1, "{folder} in {keys:?}");
    }
    drop(pending);
}

#[tokio::test]
async fn clients_do_not_see_intents() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let id = pending.id().clone();
    assert!(matches!(world.manager.lookup(&id).await, Err(LeaseError::NotFound)));
    assert!(matches!(world.manager.renew(&id, Ttl::ZERO, LIMITS, None).await, Err(LeaseError::NotFound)));
    assert_eq!(world.manager.children("").await.unwrap(), Vec::<String>::new());
    assert_eq!(world.manager.children("aws/creds/deploy/").await.unwrap(), Vec::<String>::new());
    let lease = world.issue(Owner::default(), 60).await.unwrap();
    assert_eq!(world.manager.children("").await.unwrap(), ["aws/"]);
    assert_eq!(world.manager.children("aws/creds/deploy/").await.unwrap(), [lease.id.suffix()]);
    drop(pending);
}

#[tokio::test]
async fn an_active_lease_is_found_and_listed_and_lives_to_its_end() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    let lease = world.issue(world.owner(&token).await, 60).await.unwrap();
    let found = world.manager.lookup(&lease.id).await.unwrap();
    assert_eq!((found.state, found.end, found.path.as_str()), (State::Active, START.plus(Ttl::seconds(60)), "aws/creds/deploy"));
    assert_eq!(found.owner, Some(token));
    world.advance(59).await;
    assert!(world.outside.has(&name_of(&lease)));
    world.advance(1).await;
    assert!(!world.outside.has(&name_of(&lease)));
    assert!(matches!(world.manager.lookup(&lease.id).await, Err(LeaseError::NotFound)));
    world.end_token(&token).await.unwrap();
    world.assert_clean("after its end");
}

#[tokio::test]
async fn the_mount_bounds_what_the_issuer_asks_for() {
    let world = World::new().await;
    let issued = world.leases(Owner::default()).lend(Session, terms(9000 * 3600)).unwrap();
    let mut txn = world.barrier.txn();
    let activation = world.manager.activate(issued, LIMITS, &mut txn).unwrap();
    assert_eq!(
        activation.warnings,
        [r#"TTL of "9000h" exceeded the effective max_ttl of "768h"; TTL value is capped accordingly"#]
    );
    assert_eq!(activation.lease.ttl(START), Ttl::hours(768));
}

#[tokio::test]
async fn time_spent_issuing_is_not_taken_from_the_lease() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    let user = pending.what().clone();
    let issued = pending.fulfil(user, Terms { ttl: Ttl::hours(768), ..terms(0) });
    let mut txn = world.barrier.txn();
    let activation = world.manager.activate(issued, LIMITS, &mut txn).unwrap();
    assert_eq!(activation.warnings, Vec::<String>::new());
    assert_eq!(activation.lease.ttl(START.plus(Ttl::seconds(30))), Ttl::hours(768));
    txn.commit().await.unwrap();
    activation.settled();
}

#[tokio::test]
async fn leases_of_a_batch_token_end_with_it() {
    let world = World::new().await;
    let ends = Some(START.plus(Ttl::seconds(100)));
    let owner = Owner { ends, ..Owner::default() };
    let lease = world.issue(owner, 3600).await.unwrap();
    assert_eq!(Some(lease.end), ends);
    let (renewed, _) = world.manager.renew(&lease.id, Ttl::hours(2), LIMITS, None).await.unwrap();
    assert_eq!(Some(renewed.end), ends);
    world.advance(100).await;
    world.assert_clean("after the batch token's end");
    assert!(matches!(world.begin(Owner { ends, ..Owner::default() }).await, Err(LeaseError::OwnerEnded)));
}

#[tokio::test]
async fn a_last_use_carries_no_lease() {
    let world = World::new().await;
    let owner = Owner { last_use: true, ..Owner::default() };
    let refused = world.begin(owner.clone()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked."
    );
    assert!(matches!(world.leases(owner).lend(Session, terms(60)), Err(LeaseError::LastUse)));
    world.assert_clean("nothing was begun");
}

#[tokio::test]
async fn nothing_begins_on_a_token_that_has_ended() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    let owner = world.owner(&token).await;
    world.end_token(&token).await.unwrap();
    assert!(matches!(world.begin(owner.clone()).await, Err(LeaseError::OwnerEnded)));
    let lent = world.leases(owner).lend(Session, terms(60)).unwrap();
    assert!(matches!(world.activate(lent).await, Err(LeaseError::OwnerEnded)));
    world.manager.settled().await;
    world.assert_clean("nothing was begun");
}

#[tokio::test]
async fn a_token_that_changed_meanwhile_is_read_again() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    let other = world.token(None).await.unwrap();
    let stale = Owner { version: world.owner(&other).await.version, ..world.owner(&token).await };
    let lease = world.issue(stale.clone(), 60).await.unwrap();
    assert_eq!(lease.owner, Some(token));
    let lent = world.leases(stale).lend(Session, terms(60)).unwrap();
    assert!(world.activate(lent).await.is_ok());
    let without = Owner { version: None, ..world.owner(&token).await };
    assert!(world.issue(without, 60).await.is_ok());
}

#[tokio::test]
async fn a_begin_that_meets_the_end_of_its_token_is_refused() {
    let world = World::new().await;
    let token = world.token(None).await.unwrap();
    let owner = world.owner(&token).await;
    let held = world.storage.hold_after(0);
    let end = async {
        let ending = world.end_token(&token);
        tokio::pin!(ending);
        tokio::select! { result = &mut ending => return result, () = held.waiting(1) => {} }
        let beginning = world.begin(owner);
        tokio::pin!(beginning);
        tokio::select! { result = &mut beginning => panic!("{result:?}"), () = held.waiting(2) => {} }
        held.release();
        assert!(matches!(beginning.await, Err(LeaseError::OwnerEnded)));
        ending.await
    };
    end.await.unwrap();
    world.manager.settled().await;
    world.assert_clean("the token won");
}

#[tokio::test]
async fn what_is_abandoned_leaves_nothing() {
    let world = World::new().await;
    world.begin(Owner::default()).await.unwrap().abandon().await.unwrap();
    world.manager.settled().await;
    world.assert_clean("abandoned");
    assert_eq!(world.outside.calls(), 0);
}

#[tokio::test]
async fn an_intent_that_is_dropped_is_ended_at_once() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    world.outside.state().users.insert(pending.what().name.clone());
    drop(pending);
    world.manager.settled().await;
    world.assert_clean("dropped");
}

#[tokio::test]
async fn an_intent_that_is_revoked_and_dropped_within_a_second_is_not_overlooked() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    world.outside.state().users.insert(pending.what().name.clone());
    world.manager.revoke(pending.id(), When::Soon).await.unwrap();
    world.manager.settled().await;
    drop(pending);
    world.manager.settled().await;
    world.assert_clean("revoked and dropped");
}

#[tokio::test]
async fn what_was_issued_and_dropped_is_ended_at_once() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    // The engine learnt another name than the intent had: only what it fulfilled with says so.
    let user = User { name: "renamed".to_owned(), acknowledged: true };
    world.outside.state().users.insert(user.name.clone());
    drop(pending.fulfil(user, terms(60)));
    world.manager.settled().await;
    world.assert_clean("dropped");
}

#[tokio::test]
async fn an_intent_in_hand_is_left_alone_even_when_it_is_due() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let user = pending.what().clone();
    world.outside.state().users.insert(user.name.clone());
    world.clock.jump_forward(Duration::from_hours(24));
    world.advance(3600).await;
    assert!(world.outside.has(&user.name));
    let lease = world.activate(pending.fulfil(user, terms(60))).await.unwrap();
    world.advance(59).await;
    assert!(world.outside.has(&name_of(&lease)));
    world.advance(1).await;
    world.assert_clean("after its end");
}

#[tokio::test]
async fn an_activation_that_was_revoked_meanwhile_fails_and_is_ended() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let user = User { name: "renamed".to_owned(), acknowledged: true };
    world.outside.state().users.insert(user.name.clone());
    world.manager.revoke(pending.id(), When::Waited).await.unwrap();
    world.manager.settled().await;
    assert!(world.outside.has("renamed"), "it is in its issuer's hand");
    let result = world.activate(pending.fulfil(user, terms(60))).await;
    assert!(matches!(result, Err(LeaseError::Revoked)), "{result:?}");
    world.manager.settled().await;
    world.assert_clean("revoked while issued");
}

#[tokio::test]
async fn an_activation_whose_record_vanished_gets_one_again() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let user = pending.what().clone();
    world.outside.state().users.insert(user.name.clone());
    for key in world.lease_keys() {
        world.barrier.view("").delete(&key).await.unwrap();
    }
    assert!(world.activate(pending.fulfil(user, terms(60))).await.is_err());
    world.manager.settled().await;
    world.assert_clean("put back and ended");
    assert_eq!(world.outside.calls(), 1);
}

#[tokio::test]
async fn an_activation_of_unknown_fate_is_ended() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let user = pending.what().clone();
    world.outside.state().users.insert(user.name.clone());
    world.storage.lose_answer_after(0);
    assert!(world.activate(pending.fulfil(user, terms(60))).await.is_err());
    world.manager.settled().await;
    world.assert_clean("durable, but nobody was answered");
}

#[tokio::test]
async fn a_conflict_elsewhere_in_the_batch_gives_the_issue_back() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    let user = pending.what().clone();
    let (view, mut txn) = (world.barrier.view("other/"), world.barrier.txn());
    txn.expect_at(&view, "x", leasehold::storage::Version::of(b"never"));
    let activation = world.manager.activate(pending.fulfil(user, terms(60)), LIMITS, &mut txn).unwrap();
    assert!(txn.commit().await.unwrap_err().is_conflict());
    let issued = activation.conflicted().await.unwrap();
    assert!(world.activate(issued).await.is_ok());
}

#[tokio::test]
async fn a_renewal_counts_from_now_and_its_maximum_from_the_issue() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.advance(500).await;
    let (renewed, _) = world.manager.renew(&lease.id, Ttl::seconds(300), LIMITS, None).await.unwrap();
    assert_eq!(renewed.end, START.plus(Ttl::seconds(800)));
    assert_eq!(renewed.last_renewal, Some(START.plus(Ttl::seconds(500))));
    let (shorter, _) = world.manager.renew(&lease.id, Ttl::seconds(10), LIMITS, None).await.unwrap();
    assert_eq!(shorter.end, START.plus(Ttl::seconds(510)));
    let (own, _) = world.manager.renew(&lease.id, Ttl::ZERO, LIMITS, None).await.unwrap();
    assert_eq!(own.end, START.plus(Ttl::seconds(1100)));
    let limits = Limits { max_ttl: Ttl::seconds(700), ..LIMITS };
    let (capped, warnings) = world.manager.renew(&lease.id, Ttl::seconds(300), limits, None).await.unwrap();
    assert_eq!(capped.end, START.plus(Ttl::seconds(700)));
    assert_eq!(warnings, [r#"TTL of "5m" exceeded the effective max_ttl of "3m20s"; TTL value is capped accordingly"#]);
    let past = Limits { max_ttl: Ttl::seconds(400), ..LIMITS };
    let error = world.manager.renew(&lease.id, Ttl::ZERO, past, None).await.unwrap_err();
    assert_eq!(error.to_string(), "past the max TTL, cannot renew");
    world.assert_consistent().await;
    world.advance(200).await;
    world.assert_clean("after the last end given");
}

#[tokio::test]
async fn the_issuer_may_say_something_new_at_renewal() {
    let world = World::new().await;
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    let fresh = Terms { ttl: Ttl::seconds(60), max_ttl: Ttl::seconds(90), renewable: true };
    let (renewed, _) = world.manager.renew(&lease.id, Ttl::ZERO, LIMITS, Some(fresh)).await.unwrap();
    assert_eq!((renewed.end, renewed.terms), (START.plus(Ttl::seconds(60)), fresh));
}

#[tokio::test]
async fn renewal_is_refused_in_the_words_clients_know() {
    let world = World::new().await;
    let refusal = async |id: &LeaseId| world.manager.renew(id, Ttl::ZERO, LIMITS, None).await.unwrap_err().to_string();
    assert_eq!(refusal(&LeaseId::new("aws/creds/deploy/nothing")).await, "lease not found");
    let lease = world.issue(Owner::default(), 600).await.unwrap();
    world.outside.state().is_down = true;
    world.manager.revoke(&lease.id, When::Soon).await.unwrap();
    assert_eq!(refusal(&lease.id).await, "lease expired");
    let seen = world.manager.lookup(&lease.id).await.unwrap();
    assert_eq!(seen.ttl(world.clock_now()), Ttl::ZERO);
    assert!(!seen.is_renewable(world.clock_now()));
    let lent = world.leases(Owner::default()).lend(Session, Terms { renewable: false, ..terms(60) }).unwrap();
    let lent = world.activate(lent).await.unwrap();
    assert_eq!(refusal(&lent.id).await, "lease is not renewable");
    let token = world.token(Some(60)).await.unwrap();
    let id = LeaseId::new(format!("auth/token/create/{token}"));
    assert_eq!(refusal(&id).await, "tokens cannot be renewed through this endpoint");
    assert!(matches!(world.manager.lookup(&id).await, Err(LeaseError::OfToken(key)) if key == token));
    assert_eq!(world.manager.children("auth/token/create/").await.unwrap(), [token.as_str()]);
}

#[tokio::test]
async fn sessions_cost_one_commit_to_issue_and_no_call_to_end() {
    let world = World::new().await;
    let before = world.storage.commits();
    let lent = world.leases(Owner::default()).lend(Session, terms(60)).unwrap();
    world.activate(lent).await.unwrap();
    assert_eq!(world.storage.commits() - before, 1);
    world.advance(60).await;
    assert_eq!(world.storage.commits() - before, 2);
    world.assert_clean("after its end");
    assert_eq!(world.outside.calls(), 0);
}
