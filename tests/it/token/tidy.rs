//! What somebody took from storage is mended, and what leads nowhere is removed.

use super::world::World;

#[tokio::test]
async fn a_tidy_store_is_left_alone() {
    let world = World::new().await;
    let parent = world.make(&world.service()).await.unwrap();
    let info = world.find(&parent).await.unwrap();
    world.make(&world.child_of(&info)).await.unwrap();
    world.make(&world.root()).await.unwrap();
    world.lend(&info).await.unwrap();
    world.keep(&info, "mine").await.unwrap();
    let before = world.all_keys();
    world.tokens.tidy().await.unwrap();
    assert_eq!(world.all_keys(), before);
}

#[tokio::test]
async fn missing_keys_are_written_again() {
    let world = World::new().await;
    let parent = world.make(&world.service()).await.unwrap();
    let child = world.make(&world.child_of(&world.find(&parent).await.unwrap())).await.unwrap();
    let before = world.all_keys();
    let root = world.barrier.view("");
    for key in before.iter().filter(|key| !key.starts_with("token/id/")) {
        root.delete(key).await.unwrap();
    }
    world.tokens.tidy().await.unwrap();
    assert_eq!(world.all_keys(), before);
    world.tokens.revoke(&parent.info.key).await.unwrap();
    assert!(!world.is_live(&child).await);
    world.assert_clean("mended and revoked");
}

#[tokio::test]
async fn what_is_left_of_a_vanished_token_goes() {
    let world = World::new().await;
    let parent = world.make(&world.service()).await.unwrap();
    let info = world.find(&parent).await.unwrap();
    let child = world.make(&world.child_of(&info)).await.unwrap();
    world.lend(&info).await.unwrap();
    world.keep(&info, "mine").await.unwrap();
    world.barrier.view("").delete(&format!("token/id/{}", info.key)).await.unwrap();
    world.tokens.tidy().await.unwrap();
    assert!(!world.is_live(&child).await);
    world.advance(3600).await;
    let left: Vec<_> = world.all_keys().into_iter().filter(|key| !key.starts_with("lease/id/auth/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn two_do_not_tidy_at_once() {
    let world = World::new().await;
    assert!(world.tokens.start_tidy());
    assert!(!world.tokens.start_tidy());
    while !world.tokens.start_tidy() {
        tokio::task::yield_now().await;
    }
}
