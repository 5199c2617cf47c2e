//! Many at once, and readers that are late.

use std::sync::Arc;

use leasehold::base::Ttl;
use leasehold::token::{NewToken, Renewal, TokenError};

use super::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_who_want_ten_uses_get_ten() {
    let world = World::new().await;
    let made = world.make(&NewToken { num_uses: 10, ..world.service() }).await.unwrap();
    let info = world.find(&made).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (tokens, info) = (Arc::clone(&world.tokens), Arc::clone(&info));
            world.tasks.spawn(async move { tokens.spend(&info).await })
        })
        .collect();
    let mut left = Vec::new();
    let mut last = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(spent) => {
                left.push(spent.left);
                last += u32::from(spent.last);
            }
            Err(error) => assert!(matches!(error, TokenError::Ended), "{error}"),
        }
    }
    left.sort_unstable();
    assert_eq!((left, last), ((0..10).collect(), 1));
}

#[tokio::test]
async fn a_reader_that_is_late_fills_nothing() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    let mut held = world.storage.hold_get(format!("token/id/{}", made.info.key));
    let (tokens, token) = (Arc::clone(&world.tokens), made.token.clone());
    let late = world.tasks.spawn(async move { tokens.find(token.expose()).await });
    held.reached().await;
    world.tokens.revoke(&made.info.key).await.unwrap();
    held.release();
    // It asked before the answer to the revocation; nobody who asks after it is served.
    assert!(late.await.unwrap().unwrap().is_some());
    assert!(!world.is_live(&made).await);
}

#[tokio::test]
async fn a_change_is_seen_by_who_asks_after_it() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    for minutes in 61..100 {
        let end = world.now().plus(Ttl::minutes(minutes));
        assert!(world.is_live(&made).await);
        world.tokens.renew(&made.info.key, &Renewal { end, internal_meta: None }).await.unwrap();
        assert_eq!(world.find(&made).await.unwrap().end, Some(end));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_child_made_while_its_parent_is_revoked_does_not_escape() {
    for _ in 0..30 {
        let world = Arc::new(World::new().await);
        let parent = world.make(&world.service()).await.unwrap();
        let info = world.find(&parent).await.unwrap();
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let (other, info) = (Arc::clone(&world), Arc::clone(&info));
                world.tasks.spawn(async move {
                    let mut made = Vec::new();
                    while let Ok(child) = other.make(&other.child_of(&info)).await {
                        made.push(child);
                    }
                    made
                })
            })
            .collect();
        tokio::task::yield_now().await;
        world.tokens.revoke(&info.key).await.unwrap();
        for maker in makers {
            for child in maker.await.unwrap() {
                assert!(!world.is_live(&child).await);
            }
        }
        world.leases.settled().await;
        world.assert_clean("the parent was revoked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_revoke_one_tree_at_once_all_succeed() {
    let world = World::new().await;
    let root = world.make(&world.service()).await.unwrap();
    let top = world.find(&root).await.unwrap();
    let mut keys = vec![top.key];
    for _ in 0..30 {
        let child = world.find(&world.make(&world.child_of(&top)).await.unwrap()).await.unwrap();
        keys.push(child.key);
        world.lend(&child).await.unwrap();
        for _ in 0..3 {
            keys.push(world.make(&world.child_of(&child)).await.unwrap().info.key);
        }
    }
    let tasks: Vec<_> = keys
        .iter()
        .map(|key| {
            let (tokens, key) = (Arc::clone(&world.tokens), *key);
            world.tasks.spawn(async move { tokens.revoke(&key).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    world.leases.settled().await;
    world.assert_clean("revoked from everywhere");
}
