//! Whenever the power fails while a mount goes or moves, the next process brings it to its end.

use leasehold::storage::memory::MemoryStorage;
use serde_json::json;

use super::world::World;

/// A mount with leases, an intent nobody can believe gone, and something stored.
async fn prepared() -> World {
    let world = World::new().await;
    world.write("sys/mounts/a", json!({ "type": "lender" })).await.unwrap();
    world.write("a/box/x/y", json!({ "kept": 1 })).await.unwrap();
    for name in ["ann", "bob"] {
        world.read(&format!("a/lend/{name}")).await.unwrap();
    }
    assert!(world.read("a/lose/cid").await.is_err());
    world.settle().await;
    world
}

/// Runs `story` with the power failing after each of its commits; says in how many ways it failed.
async fn after_each_commit<F>(fault: fn(&MemoryStorage, u64), story: F)
where
    F: AsyncFn(&World),
{
    let mut n = 0;
    loop {
        let world = prepared().await;
        fault(&world.storage, n);
        let is_dead = {
            story(&world).await;
            world.storage.is_dead()
        };
        let world = world.crash().await;
        world.live(4000, 50).await;
        assert_eq!(world.users(), [""; 0], "after commit {n}");
        for prefix in ["lease/id/a/", "lease/open/", "core/gone/"] {
            assert_eq!(world.keys(prefix), [""; 0], "{prefix} after commit {n}");
        }
        check(&world, n).await;
        if !is_dead {
            assert!(n > 4, "the story has more commits than {n}");
            return;
        }
        n += 1;
    }
}

/// The mount is where it was, where it goes, or nowhere, and all of it.
async fn check(world: &World, n: u64) {
    let list = world.read("sys/mounts").await.unwrap();
    let places: Vec<_> = ["a/", "b/"].into_iter().filter(|path| list.get(*path).is_some()).collect();
    let stored = world.keys("core/mounts/").len();
    match places.as_slice() {
        [] => assert_eq!((stored, world.keys("logical/").len()), (4, 0), "after commit {n}"),
        [place] => {
            assert_eq!(stored, 5, "after commit {n}");
            assert_eq!(world.read(&format!("{place}box/x/y")).await.unwrap()["data"]["kept"], 1, "after commit {n}");
        }
        _ => panic!("in two places after commit {n}"),
    }
}

#[tokio::test]
async fn a_mount_that_goes_has_gone_or_not_begun() {
    for fault in [MemoryStorage::lose_power_after, MemoryStorage::lose_power_answering] {
        after_each_commit(fault, async |world| {
            let _ = world.delete("sys/mounts/a").await;
            world.live(120, 10).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_mount_that_moves_has_arrived_or_not_begun() {
    for fault in [MemoryStorage::lose_power_after, MemoryStorage::lose_power_answering] {
        after_each_commit(fault, async |world| {
            let _ = world.write("sys/remount", json!({ "from": "a", "to": "b" })).await;
            world.live(120, 10).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_published_table_as_the_stored_one() {
    for n in 0..12 {
        let world = World::new().await;
        world.storage.lose_answer_after(n);
        let _ = world.write("sys/mounts/a", json!({ "type": "lender" })).await;
        let _ = world.write("sys/mounts/a/tune", json!({ "description": "tuned" })).await;
        let _ = world.write("sys/remount", json!({ "from": "a", "to": "b" })).await;
        let _ = world.delete("sys/mounts/b").await;
        let _ = world.write("sys/mounts/c", json!({ "type": "kv" })).await;
        world.live(60, 10).await;
        let shown = world.read("sys/mounts").await.unwrap()["data"].clone();
        let world = world.crash().await;
        world.live(60, 10).await;
        let stored = world.read("sys/mounts").await.unwrap()["data"].clone();
        assert_eq!(shown, stored, "the answer to commit {n} was lost");
    }
}
