//! From version 1 to version 2, also when it is cut short.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::Ttl;
use crate::engine::builtin;
use crate::mount::harness::{Bench, Rig};
use crate::mount::{Class, MountEntry, Registry};

/// A mount of version 1 with so many keys, and its entry once it is tuned to version 2.
async fn version_1(keys: usize) -> (Bench, Arc<MountEntry>) {
    let kv = Rig::new().await.mount(&registry(), Class::Secret, "kv", &[("version", "1")]).await.unwrap();
    for number in 0..keys {
        kv.post(&format!("dir/k{number}"), json!({ "n": number, "exact": 1.0 })).await.is_empty();
    }
    let mut entry = (*kv.entry).clone();
    entry.kind = "kv-v2".to_owned();
    (kv, Arc::new(entry))
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    builtin(&mut registry);
    registry
}

/// Waits for the task that takes keys over.
async fn done(kv: &Bench) {
    while kv.rig.tasks.running() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_key_becomes_a_first_version() {
    let (old, entry) = version_1(1000).await;
    old.post("dir", json!({ "also": "a key" })).await.is_empty();
    let kv = old.rig.open(&registry(), entry).await.unwrap();
    done(&kv).await;
    assert_eq!((kv.keys("v1/").len(), kv.keys("v2/meta/").len(), kv.keys("v2/data/").len()), (0, 1001, 1001));
    let answer = kv.get("data/dir/k17").await;
    assert_eq!(answer.ok()["data"].to_string(), r#"{"exact":1.0,"n":17}"#);
    assert_eq!(answer.ok()["metadata"]["version"], json!(1));
    let metadata = kv.get("metadata/dir/k17").await.data;
    assert_eq!(
        (&metadata["current_version"], &metadata["oldest_version"], &metadata["max_versions"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(kv.post("data/dir/k17", json!({ "data": {}, "options": { "cas": 1 } })).await.ok()["version"], json!(2));
    assert_eq!(*kv.list("metadata").await.ok(), json!({ "keys": ["dir", "dir/"] }));
}

#[tokio::test]
async fn nobody_is_let_in_before_the_last_key_is_over() {
    let (old, entry) = version_1(1000).await;
    let kv = old.rig.open(&registry(), entry).await.unwrap();
    // The task has not run yet; the clock runs ahead of it.
    let text = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will \
                resume service shortly.";
    let asked = async {
        tokio::task::yield_now().await;
        kv.rig.advance(Ttl::seconds(1));
    };
    let (answer, ()) = tokio::join!(kv.get("data/dir/k1"), asked);
    answer.is_error(400, text);
    done(&kv).await;
    assert_eq!(kv.get("data/dir/k1").await.status, 200);
}

#[tokio::test]
async fn a_small_mount_makes_nobody_wait() {
    let (old, entry) = version_1(3).await;
    let kv = old.rig.open(&registry(), entry).await.unwrap();
    assert_eq!(kv.get("data/dir/k1").await.status, 200);
}

#[tokio::test]
async fn an_upgrade_that_was_cut_short_goes_on() {
    let (old, entry) = version_1(1000).await;
    let kv = old.rig.open(&registry(), Arc::clone(&entry)).await.unwrap();
    // The server stops after a batch.
    while kv.keys("v1/").len() == 1000 {
        tokio::task::yield_now().await;
    }
    kv.rig.tasks.drained().await;
    let (left, over) = (kv.keys("v1/").len(), kv.keys("v2/meta/").len());
    assert!(left > 0 && over > 0 && left + over == 1000, "{left} left, {over} over");
    let again = kv.rig.open(&registry(), entry).await.unwrap();
    done(&again).await;
    assert_eq!((again.keys("v1/").len(), again.keys("v2/meta/").len(), again.keys("v2/data/").len()), (0, 1000, 1000));
    for number in [0, 500, 999] {
        assert_eq!(again.get(&format!("data/dir/k{number}")).await.ok()["data"]["n"], json!(number));
    }
}

#[tokio::test]
async fn two_that_upgrade_at_once_lose_nothing() {
    let (old, entry) = version_1(600).await;
    let first = old.rig.open(&registry(), Arc::clone(&entry)).await.unwrap();
    let second = old.rig.open(&registry(), entry).await.unwrap();
    done(&first).await;
    assert_eq!((first.keys("v1/").len(), first.keys("v2/meta/").len(), first.keys("v2/data/").len()), (0, 600, 600));
    for kv in [&first, &second] {
        assert_eq!(kv.get("data/dir/k599").await.ok()["data"]["n"], json!(599));
    }
}

#[tokio::test]
async fn the_minute_goes_on_with_what_stopped() {
    let (old, entry) = version_1(1000).await;
    let kv = old.rig.open(&registry(), entry).await.unwrap();
    while kv.keys("v1/").len() == 1000 {
        tokio::task::yield_now().await;
    }
    kv.rig.tasks.drained().await;
    assert!(!kv.keys("v1/").is_empty());
    kv.plugin.tick().await;
    done(&kv).await;
    assert_eq!((kv.keys("v1/").len(), kv.get("data/dir/k0").await.status), (0, 200));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_keeps_nobody_from_the_others() {
    let (old, entry) = version_1(3).await;
    let view = old.view.sub("v1/");
    let mut txn = view.txn();
    txn.put_bytes(&view, "dir/k1", b"no json").unwrap();
    txn.commit().await.unwrap();
    let kv = old.rig.open(&registry(), entry).await.unwrap();
    done(&kv).await;
    assert_eq!(kv.keys("v1/"), ["v1/dir/k1"]);
    assert_eq!((kv.get("data/dir/k0").await.status, kv.get("data/dir/k1").await.status), (200, 404));
    assert_eq!(kv.get("data/dir/k2").await.ok()["data"]["n"], Value::from(2));
}
