//! What hangs on a token ends with it.

use std::sync::Arc;

use leasehold::base::Ttl;
use leasehold::token::{Made, NewToken, TokenError, TokenInfo};

use super::world::World;

/// The token, read anew.
async fn info(world: &World, made: &Made) -> Arc<TokenInfo> {
    world.find(made).await.unwrap()
}

#[tokio::test]
async fn revoking_twice_succeeds_and_unknown_ones_have_ended() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    world.tokens.revoke(&made.info.key).await.unwrap();
    world.tokens.revoke(&made.info.key).await.unwrap();
    assert!(!world.is_live(&made).await);
    world.assert_clean("revoked twice");
}

#[tokio::test]
async fn a_token_that_has_nothing_goes_in_one_batch() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    let before = world.storage.commits();
    world.tokens.revoke(&made.info.key).await.unwrap();
    assert_eq!(world.storage.commits() - before, 1);
    world.assert_clean("revoked");
}

#[tokio::test]
async fn two_thousand_below_a_token_end_with_it() {
    let world = World::new().await;
    let root = world.make(&world.service()).await.unwrap();
    let top = info(&world, &root).await;
    let mut all = Vec::new();
    for branch in 0..40 {
        let made = world.make(&world.child_of(&top)).await.unwrap();
        let parent = info(&world, &made).await;
        all.push(made);
        for leaf in 0..49 {
            let made = world.make(&world.child_of(&parent)).await.unwrap();
            if (branch + leaf) % 10 == 0 {
                world.lend(&*info(&world, &made).await).await.unwrap();
            }
            all.push(made);
        }
    }
    assert_eq!(all.len(), 2000);
    world.tokens.revoke(&top.key).await.unwrap();
    for made in &all {
        assert!(!world.is_live(made).await);
    }
    world.leases.settled().await;
    world.assert_clean("the tree is gone");
}

#[tokio::test]
async fn a_long_line_of_children_needs_no_deep_stack() {
    let world = World::new().await;
    let first = world.make(&world.service()).await.unwrap();
    let mut last = info(&world, &first).await;
    for _ in 0..3000 {
        last = info(&world, &world.make(&world.child_of(&last)).await.unwrap()).await;
    }
    world.tokens.revoke(&first.info.key).await.unwrap();
    assert!(world.tokens.find_key(&last.key).await.unwrap().is_none());
    world.leases.settled().await;
    world.assert_clean("the line is gone");
}

#[tokio::test]
async fn children_of_an_orphaned_token_live_on_as_orphans() {
    let world = World::new().await;
    let grandparent = world.make(&world.service()).await.unwrap();
    let parent = world.make(&world.child_of(&*info(&world, &grandparent).await)).await.unwrap();
    let parent_info = info(&world, &parent).await;
    let mut children = Vec::new();
    for _ in 0..300 {
        children.push(world.make(&world.child_of(&parent_info)).await.unwrap());
    }
    let grandchild = world.make(&world.child_of(&*info(&world, &children[0]).await)).await.unwrap();
    world.lend(&parent_info).await.unwrap();
    assert!(world.tokens.revoke_orphan(&parent_info.key).await.unwrap());
    assert!(!world.tokens.revoke_orphan(&parent_info.key).await.unwrap());
    assert!(!world.is_live(&parent).await);
    for child in &children {
        assert!(info(&world, child).await.is_orphan());
    }
    world.tokens.revoke(&grandparent.info.key).await.unwrap();
    assert!(world.is_live(&children[0]).await);
    assert!(!info(&world, &grandchild).await.is_orphan());
    world.tokens.revoke(&children[0].info.key).await.unwrap();
    assert!(!world.is_live(&grandchild).await);
    world.advance(3600).await;
    world.assert_clean("all have ended");
}

#[tokio::test]
async fn nothing_hangs_on_a_token_that_has_ended() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    let known = info(&world, &made).await;
    world.tokens.revoke(&made.info.key).await.unwrap();
    assert!(matches!(world.make(&world.child_of(&known)).await, Err(TokenError::ParentEnded)));
    assert!(world.lend(&known).await.is_err());
    assert!(world.keep(&known, "x").await.unwrap_err().is_conflict());
    world.assert_clean("refused");
}

#[tokio::test]
async fn a_child_outlives_no_parent_however_long_it_was_given() {
    let world = World::new().await;
    let parent = world.make(&NewToken { ttl: Ttl::minutes(1), ..world.service() }).await.unwrap();
    let child = NewToken { ttl: Ttl::ZERO, ..world.root() };
    let child = world.make(&NewToken { parent: Some(parent.info.key), ..child }).await.unwrap();
    assert!(world.is_live(&child).await);
    world.advance(60).await;
    assert!(!world.is_live(&child).await);
    world.assert_clean("with its parent");
}

#[tokio::test]
async fn an_entry_of_the_tree_that_is_not_true_is_cut() {
    let world = World::new().await;
    let first = world.make(&world.service()).await.unwrap();
    let other = world.make(&world.service()).await.unwrap();
    let view = world.barrier.view("token/");
    // To nobody, to somebody who is no child, and to itself.
    let nobody = world.tokens.key("nobody");
    for child in [nobody, other.info.key, first.info.key] {
        view.put(&format!("child/{}/{child}", first.info.key), "").await.unwrap();
    }
    world.tokens.revoke(&first.info.key).await.unwrap();
    assert!(!world.is_live(&first).await);
    assert!(world.is_live(&other).await);
    world.advance(3600).await;
    world.assert_clean("the ties are cut");
}
