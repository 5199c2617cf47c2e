//! The number stays true under races, conflicts and failures.

use super::*;
use crate::barrier::{Barrier, Locked};
use crate::base::Timestamp;
use crate::storage::memory::MemoryStorage;
use crate::storage::{Storage, Version};

async fn barrier(storage: &Arc<MemoryStorage>) -> Arc<Barrier> {
    let root = crate::barrier::RootKey::generate();
    let locked = Locked::new(Arc::clone(storage) as _);
    let batch = locked.create(&root, Timestamp::from_seconds(1)).unwrap();
    storage.commit(batch).await.unwrap();
    locked.unlock(&root).await.unwrap()
}

async fn tally(barrier: &Arc<Barrier>) -> Arc<Tally> {
    Tally::open(barrier.view("n/")).await.unwrap()
}

#[tokio::test]
async fn a_hundred_tasks_never_pass_the_bound_and_what_is_stored_agrees() {
    let storage = Arc::new(MemoryStorage::new());
    let barrier = barrier(&storage).await;
    let number = tally(&barrier).await;
    let tasks = crate::base::Tasks::default();
    let runs: Vec<_> = (0..100)
        .map(|_| {
            let (barrier, number) = (Arc::clone(&barrier), Arc::clone(&number));
            tasks.spawn(async move {
                let mut txn = barrier.txn();
                let within = txn.add_within(&number, 40).unwrap();
                if within {
                    txn.commit().await.unwrap();
                }
                within
            })
        })
        .collect();
    let mut added = 0;
    for task in runs {
        added += u64::from(task.await.unwrap());
    }
    assert_eq!((added, number.count()), (40, 40));
    assert_eq!(tally(&barrier).await.count(), 40);
}

#[tokio::test]
async fn what_conflicts_or_is_dropped_never_counted() {
    let storage = Arc::new(MemoryStorage::new());
    let barrier = barrier(&storage).await;
    let (number, other) = (tally(&barrier).await, barrier.view("o/"));
    let mut txn = barrier.txn();
    txn.add(&number).unwrap();
    txn.add(&number).unwrap();
    txn.commit().await.unwrap();
    let mut conflicting = barrier.txn();
    conflicting.add(&number).unwrap();
    conflicting.expect_at(&other, "absent", Version::of(b"x"));
    assert_eq!(number.count(), 3);
    assert!(conflicting.commit().await.unwrap_err().is_conflict());
    let mut dropped = barrier.txn();
    dropped.add(&number).unwrap();
    dropped.take_away(&number).unwrap();
    drop(dropped);
    assert_eq!((number.count(), tally(&barrier).await.count()), (2, 2));
}

#[tokio::test]
async fn what_is_taken_away_counts_until_it_is_durable() {
    let storage = Arc::new(MemoryStorage::new());
    let barrier = barrier(&storage).await;
    let number = tally(&barrier).await;
    let mut txn = barrier.txn();
    txn.add(&number).unwrap();
    txn.commit().await.unwrap();
    let mut txn = barrier.txn();
    txn.take_away(&number).unwrap();
    assert!(!barrier.txn().add_within(&number, 1).unwrap());
    txn.commit().await.unwrap();
    assert_eq!((number.count(), tally(&barrier).await.count()), (0, 0));
}

#[tokio::test]
async fn a_commit_that_is_cut_is_read_again() {
    let storage = Arc::new(MemoryStorage::new());
    let barrier = barrier(&storage).await;
    let number = tally(&barrier).await;
    let mut txn = barrier.txn();
    txn.add(&number).unwrap();
    let mut held = txn.tallies.pop().unwrap();
    held.write(&mut txn).unwrap();
    // Nobody learns what becomes of it.
    drop(held);
    assert_eq!(number.count(), 1);
    drop(txn);
    number.mend().await.unwrap();
    assert_eq!(number.count(), 0);
    let mut txn = barrier.txn();
    assert!(txn.add_within(&number, 1).unwrap());
    txn.commit().await.unwrap();
    assert_eq!(tally(&barrier).await.count(), 1);
}
