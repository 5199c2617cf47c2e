//! The law: whenever the power fails, once everything has ended no key is left; and what was refused once is refused for ever.

use leasehold::base::Ttl;
use leasehold::storage::memory::MemoryStorage;
use leasehold::token::{Made, NewToken, Renewal, TokenError};

use super::world::World;

/// What happened before the power failed.
#[derive(Default)]
struct Seen {
    made: Vec<Made>,
    /// Revocations that were answered.
    revoked: Vec<Made>,
    orphans: Vec<Made>,
}

/// Everything a token can go through; stops at the first error, as a process does that loses power.
async fn story(world: &World, seen: &mut Seen) -> Result<(), TokenError> {
    let top = world.make(&NewToken { ttl: Ttl::hours(3), ..world.service() }).await?;
    seen.made.push(top.clone());
    let mut below = Vec::new();
    for _ in 0..3 {
        let info = world.tokens.find_key(&top.info.key).await?.ok_or(TokenError::Ended)?;
        let child = world.make(&world.child_of(&info)).await?;
        let info = world.tokens.find_key(&child.info.key).await?.ok_or(TokenError::Ended)?;
        below.push(world.make(&world.child_of(&info)).await?);
        world.lend(&info).await?;
        world.keep(&info, "mine").await?;
        below.push(child);
    }
    seen.made.extend(below.iter().cloned());
    let end = world.now().plus(Ttl::hours(2));
    world.tokens.renew(&top.info.key, &Renewal { end, internal_meta: None }).await?;
    let limited = world.make(&NewToken { num_uses: 1, ..world.service() }).await?;
    let info = world.tokens.find_key(&limited.info.key).await?.ok_or(TokenError::Ended)?;
    world.keep(&info, "response").await?;
    world.tokens.spend(&info).await?;
    seen.revoked.push(limited.clone());
    world.tokens.revoke(&limited.info.key).await?;

    // One that leaves orphans.
    let parent = world.make(&world.service()).await?;
    let info = world.tokens.find_key(&parent.info.key).await?.ok_or(TokenError::Ended)?;
    for _ in 0..2 {
        seen.orphans.push(world.make(&world.child_of(&info)).await?);
    }
    world.lend(&info).await?;
    world.tokens.revoke_orphan(&parent.info.key).await?;
    seen.revoked.push(parent);

    world.tokens.revoke(&top.info.key).await?;
    seen.revoked.push(top);
    seen.revoked.extend(below);
    Ok(())
}

async fn check(world: &World, seen: &Seen, when: &str) {
    for made in &seen.revoked {
        assert!(!world.is_live(made).await, "a revoked token lives: {when}");
    }
    for orphan in &seen.orphans {
        assert!(world.is_live(orphan).await, "an orphan was ended: {when}");
    }
    world.advance(180).await;
    world.advance(4 * 3600).await;
    for made in &seen.made {
        assert!(!world.is_live(made).await, "a token lives beyond its end: {when}");
    }
    // What rests a minute after an error comes round.
    world.advance(120).await;
    world.assert_clean(when);
}

#[tokio::test]
async fn without_a_crash_nothing_is_left() {
    let world = World::new().await;
    let mut seen = Seen::default();
    story(&world, &mut seen).await.unwrap();
    check(&world, &seen, "no crash").await;
}

#[tokio::test]
async fn whenever_the_power_fails_nothing_is_left() {
    // Without the commit, and with it but without an answer.
    for fault in [MemoryStorage::lose_power_after, MemoryStorage::lose_power_answering] {
        let mut n = 0;
        loop {
            let world = World::new().await;
            fault(&world.storage, n);
            let mut seen = Seen::default();
            let done = story(&world, &mut seen).await.is_ok();
            let died = world.storage.is_dead();
            let world = world.crash().await;
            check(&world, &seen, &format!("the power failed after commit {n}")).await;
            if done && !died {
                assert!(n > 30, "the story has more commits than {n}");
                break;
            }
            n += 1;
        }
    }
}

#[tokio::test]
async fn whenever_an_answer_is_lost_nothing_is_left() {
    for n in 0..60 {
        let world = World::new().await;
        world.storage.lose_answer_after(n);
        let mut seen = Seen::default();
        let _ = story(&world, &mut seen).await;
        check(&world, &seen, &format!("the answer to commit {n} was lost")).await;
    }
}

#[tokio::test]
async fn a_revocation_that_was_cut_goes_on_by_itself() {
    let world = World::new().await;
    let top = world.make(&NewToken { ttl: Ttl::ZERO, ..world.root() }).await.unwrap();
    let info = world.find(&top).await.unwrap();
    for _ in 0..300 {
        let child = world.find(&world.make(&world.child_of(&info)).await.unwrap()).await.unwrap();
        world.lend(&child).await.unwrap();
    }
    world.storage.lose_power_after(100);
    assert!(world.tokens.revoke(&info.key).await.is_err());
    let world = world.crash().await;
    world.assert_clean("a start was enough");
}
