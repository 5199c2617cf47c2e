//! Many at once: one winner for each number, no version lost, and readers that never see half of a change.

use std::sync::Arc;

use serde_json::json;

use super::tests::bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_writers_with_the_same_number_wins() {
    let kv = Arc::new(bench().await);
    for number in 0..12_u64 {
        let tasks: Vec<_> = (0..20)
            .map(|writer| {
                let kv = Arc::clone(&kv);
                let tasks = kv.rig.tasks.clone();
                tasks.spawn(async move {
                    let body = json!({ "data": { "writer": writer }, "options": { "cas": number } });
                    (writer, kv.post("data/a", body).await)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            let (writer, answer) = task.await.unwrap();
            match answer.status {
                200 => winners.push((writer, answer.data["version"].clone())),
                _ => answer.is_error(400, "check-and-set parameter did not match the current version"),
            }
        }
        let [(winner, version)] = winners.as_slice() else { panic!("{winners:?} won number {number}") };
        assert_eq!(*version, json!(number + 1));
        assert_eq!(kv.get("data/a").await.ok()["data"], json!({ "writer": winner }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_without_a_number_get_one_each() {
    let kv = Arc::new(bench().await);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let kv = Arc::clone(&kv);
            let tasks = kv.rig.tasks.clone();
            tasks.spawn(async move { kv.post("data/a", json!({ "data": {} })).await.ok()["version"].as_u64().unwrap() })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=50).collect::<Vec<_>>());
    assert_eq!(kv.keys("v2/data/").len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_versions_while_old_ones_fall_off() {
    let kv = Arc::new(bench().await);
    kv.post("config", json!({ "max_versions": 1 })).await.is_empty();
    kv.post("data/a", json!({ "data": { "n": 1 } })).await;
    let writing = {
        let kv = Arc::clone(&kv);
        let tasks = kv.rig.tasks.clone();
        tasks.spawn(async move {
            for number in 2..=200 {
                assert_eq!(kv.post("data/a", json!({ "data": { "n": number } })).await.ok()["version"], json!(number));
            }
        })
    };
    let mut last = 0;
    while !writing.is_finished() {
        let answer = kv.get("data/a").await;
        let (number, version) = (&answer.ok()["data"]["n"], &answer.ok()["metadata"]["version"]);
        assert_eq!(number, version);
        assert!(version.as_u64().unwrap() >= last, "versions never go back");
        last = version.as_u64().unwrap();
    }
    writing.await.unwrap();
}
