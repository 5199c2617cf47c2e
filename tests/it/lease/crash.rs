//! The law: whenever the power fails, once everything has ended nothing is left outside and no key inside.

use leasehold::base::Ttl;
use leasehold::lease::{How, LeaseError, Owner, When};
use leasehold::storage::memory::MemoryStorage;

use super::world::{LIMITS, User, World, terms};

/// Everything a lease can go through; stops at the first error, as a process does that loses power.
async fn story(world: &World) -> Result<(), LeaseError> {
    let token = world.token(Some(7200)).await?;
    let other = world.token(None).await?;
    let kept = world.issue(world.owner(&token).await, 600).await?;
    world.manager.renew(&kept.id, Ttl::seconds(1200), LIMITS, None).await?;
    let revoked = world.issue(world.owner(&other).await, 600).await?;
    world.manager.revoke(&revoked.id, When::Waited).await?;
    for _ in 0..3 {
        world.issue(world.owner(&other).await, 3600).await?;
    }
    // The answer to a creation is lost; it takes effect a while later.
    let lost = world.begin(world.owner(&token).await).await?;
    world.outside.state().late.push((world.clock_now().plus(Ttl::seconds(40)), lost.what().name.clone()));
    drop(lost);
    let refused = world.begin(Owner::default()).await?;
    refused.abandon().await?;
    let session = world.leases(world.owner(&token).await).lend(super::world::Session, terms(30))?;
    world.activate(session).await?;
    world.end_token(&other).await?;
    let early = world.begin(Owner::default()).await?;
    let user = User { acknowledged: true, ..early.what().clone() };
    world.outside.state().users.insert(user.name.clone());
    world.manager.revoke(early.id(), When::Soon).await?;
    assert!(world.activate(early.fulfil(user, terms(60))).await.is_err());
    world.issue(Owner::default(), 60).await?;
    world.manager.revoke_prefix("aws", How::Queued).await?;
    Ok(())
}

async fn settle(world: &World) {
    world.live(60, 5).await;
    world.live(4 * 3600, 60).await;
    // Tokens without end, and those who lived on.
    world.manager.revoke_prefix("auth", How::Sync).await.unwrap();
    world.live(30 * 60, 60).await;
}

#[tokio::test]
async fn without_a_crash_nothing_is_left() {
    let world = World::new().await;
    story(&world).await.unwrap();
    world.assert_consistent().await;
    settle(&world).await;
    world.assert_clean("no crash");
}

#[tokio::test]
async fn whenever_the_power_fails_nothing_is_left() {
    // Without the commit, and with it but without an answer.
    for fault in [MemoryStorage::lose_power_after, MemoryStorage::lose_power_answering] {
        after_each_commit(fault).await;
    }
}

async fn after_each_commit(fault: impl Fn(&MemoryStorage, u64)) {
    let mut n = 0;
    loop {
        let world = World::new().await;
        fault(&world.storage, n);
        let done = story(&world).await.is_ok();
        world.clock.advance(std::time::Duration::from_secs(1));
        let died = world.storage.is_dead();
        let world = world.crash().await;
        world.assert_consistent().await;
        settle(&world).await;
        world.assert_clean(&format!("the power failed after commit {n}"));
        if done && !died {
            assert!(n > 25, "the story has more commits than {n}");
            return;
        }
        n += 1;
    }
}

#[tokio::test]
async fn whenever_an_answer_is_lost_nothing_is_left() {
    for n in 0..60 {
        let world = World::new().await;
        world.storage.lose_answer_after(n);
        let _ = story(&world).await;
        settle(&world).await;
        world.assert_clean(&format!("the answer to commit {n} was lost"));
    }
}

#[tokio::test]
async fn a_full_disk_delays_and_loses_nothing() {
    let world = World::new().await;
    let token = world.token(Some(300)).await.unwrap();
    world.issue(world.owner(&token).await, 60).await.unwrap();
    let pending = world.begin(world.owner(&token).await).await.unwrap();
    world.outside.state().users.insert(pending.what().name.clone());
    world.storage.set_full(true);
    drop(pending);
    world.live(600, 30).await;
    world.storage.set_full(false);
    world.live(1200, 30).await;
    world.assert_clean("there is space again");
}

#[tokio::test]
async fn an_intent_of_an_earlier_run_is_due_at_once() {
    let world = World::new().await;
    let pending = world.begin(Owner::default()).await.unwrap();
    world.outside.state().users.insert(pending.what().name.clone());
    world.storage.lose_power_after(0);
    drop(pending);
    let world = world.crash().await;
    world.assert_clean("no time has passed");
}
