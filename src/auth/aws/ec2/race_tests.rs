//! Many at once: the first login of an instance, and an EC2 that does not answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::notary::{Notary, document};
use super::rig::{IMAGE, Scene, T1};
use crate::aws::sandbox::{Effect, Machine};
use crate::base::Clock as _;
use crate::base::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_first_logins_with_different_nonces_one_wins_two_hundred_times() {
    let scene = Arc::new(Scene::new(json!({})).await);
    let notary = Notary::rsa(2);
    scene.bench.post("config/certificate/rsa", json!({ "aws_public_cert": notary.pem() })).await.is_empty();
    for round in 0..200 {
        let id = format!("i-{round:04x}");
        scene.sandbox.put_instance(Machine::running(&id, IMAGE));
        let pkcs7 = notary.pkcs7(&document(&id, IMAGE, T1));
        let tries = (0..50).map(|n| {
            let (scene, pkcs7) = (Arc::clone(&scene), pkcs7.clone());
            let tasks = scene.bench.rig.tasks.clone();
            tasks.spawn(async move { scene.login(json!({ "pkcs7": pkcs7, "nonce": format!("nonce-{n}") })).await.map(|_| n) })
        });
        let won: Vec<i32> = join_all(tries).await.into_iter().filter_map(|result| result.unwrap().ok()).collect();
        let [winner] = won[..] else { panic!("round {round}: {won:?}") };
        let entry = scene.bench.get(&format!("identity-accesslist/{id}")).await;
        assert_eq!(entry.text("client_nonce"), format!("nonce-{winner}"));
    }
    assert_eq!(scene.bench.tokens_made(), 200);
}

#[tokio::test]
async fn two_hundred_logins_with_a_silent_ec2_end_within_ten_seconds_and_delay_nobody() {
    let scene = Arc::new(Scene::new(json!({})).await);
    scene.login(json!({})).await.unwrap();
    scene.sandbox.faults().every("DescribeInstances", Effect::Hang);
    let clock = Arc::clone(&scene.bench.rig.clock);
    let began = clock.elapsed();
    let login = || {
        let scene = Arc::clone(&scene);
        let tasks = scene.bench.rig.tasks.clone();
        tasks.spawn(async move { scene.login(json!({})).await.map(|_| ()) })
    };
    let logins: Vec<_> = (0..200).map(|_| login()).collect();
    scene.sandbox.faults().until_hanging(1).await;
    // No time passes, and another request is answered.
    assert_eq!(timeout(&*clock, Duration::from_millis(1), scene.bench.get("role/web")).await.unwrap().status, 200);
    while !logins.iter().all(tokio::task::JoinHandle::is_finished) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_millis(50));
    }
    let passed = clock.elapsed().saturating_sub(began);
    assert!(passed <= Duration::from_secs(10), "{passed:?}");
    for result in join_all(logins).await {
        let error = result.unwrap().unwrap_err();
        assert!(error.advice.as_deref().unwrap().starts_with("[ec2_unreachable] ec2 (http://127.0.0.1:"), "{error:?}");
    }
}

#[tokio::test]
async fn two_hundred_logins_of_one_instance_take_two_calls() {
    let scene = Arc::new(Scene::new(json!({})).await);
    scene.login(json!({})).await.unwrap();
    let before = asked(&scene, "DescribeInstances");
    scene.sandbox.faults().every("DescribeInstances", Effect::ExecuteThenHang);
    let login = || {
        let scene = Arc::clone(&scene);
        let tasks = scene.bench.rig.tasks.clone();
        tasks.spawn(async move { scene.login(json!({})).await.map(|_| ()) })
    };
    let first = login();
    scene.sandbox.faults().until_hanging(1).await;
    let rest: Vec<_> = (0..199).map(|_| login()).collect();
    // All of them wait for the answer by then: nothing else is left to do.
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
    }
    scene.sandbox.faults().clear();
    scene.sandbox.faults().release();
    first.await.unwrap().unwrap();
    for result in join_all(rest).await {
        result.unwrap().unwrap();
    }
    assert_eq!(asked(&scene, "DescribeInstances") - before, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_logins_of_a_server_that_knows_nothing_ask_once_whose_its_key_is() {
    let scene = Arc::new(Scene::new(json!({})).await);
    let before = asked(&scene, "GetCallerIdentity");
    let login = |_| {
        let scene = Arc::clone(&scene);
        let tasks = scene.bench.rig.tasks.clone();
        tasks.spawn(async move { scene.login(json!({})).await.map(|_| ()) })
    };
    for result in join_all((0..200).map(login)).await {
        result.unwrap().unwrap();
    }
    assert_eq!(asked(&scene, "GetCallerIdentity") - before, 1);
}

fn asked(scene: &Scene, action: &str) -> usize {
    scene.sandbox.calls().iter().filter(|call| call.action == action).count()
}
