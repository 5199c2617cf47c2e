//! Two mounts on one account have its rates: what one learns, the other keeps to.

use std::time::Duration;

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::client::Reply;
use super::stage::on_stage;
use super::world::World;

/// Does something that has to succeed.
async fn must(world: &World, path: &str, body: Value) {
    let asked = world.request(&world.stage.root, Operation::Update, path, body);
    let reply = world.finish(asked).await;
    assert!(reply.is_ok, "{path}: {}", reply.text);
}

/// A mount with these credentials and a role `r`.
async fn mount(world: &World, path: &str, root: &Value) {
    must(world, &format!("sys/mounts/{path}"), json!({ "type": "aws" })).await;
    must(world, &format!("{path}/config/root"), root.clone()).await;
    let role = json!({ "credential_type": "iam_user", "policy_document": POLICY });
    must(world, &format!("{path}/roles/r"), role).await;
}

/// So many issues of each of these mounts at once; how many succeeded.
async fn issue(world: &World, mounts: &[&str], each: usize) -> usize {
    let ask = |path: &str| world.request(&world.stage.root, Operation::Read, &format!("{path}/creds/r"), json!({}));
    let asked: Vec<_> = (0..each).flat_map(|_| mounts.iter().map(|path| ask(path))).collect();
    let mut done = 0;
    for asked in asked {
        let Reply { is_ok, text, .. } = world.finish(asked).await;
        assert!(is_ok || text.contains("Throttling"), "{text}");
        done += usize::from(is_ok);
    }
    done
}

/// What `status` of a mount says of `CreateUser`.
async fn rate(world: &World, mount: &str) -> Value {
    let asked = world.request(&world.stage.root, Operation::Read, &format!("{mount}/status"), json!({}));
    world.finish(asked).await.body["data"]["rates"]["iam:CreateUser"].clone()
}

#[test]
fn a_mount_keeps_to_what_another_one_on_its_account_has_learnt() {
    on_stage(|stage| async move {
        let world = World::new(&stage, "two mounts on an account, and one on another".to_owned(), 7200).await;
        let sandbox = &stage.sandbox;
        mount(&world, "second", &stage.roots.second_key).await;
        mount(&world, "elsewhere", &stage.roots.other_account).await;
        sandbox.limit_calls(Some(5.0));
        issue(&world, &["aws"], 40).await;
        let (first, second, other) = (rate(&world, "aws").await, rate(&world, "second").await, rate(&world, "elsewhere").await);
        assert!(first["allowed"].as_f64().is_some_and(|allowed| allowed < 10.0), "{first}");
        assert_eq!(first, second, "with another key of the same account");
        assert_eq!(other["allowed"], json!(null), "another account has rates of its own: {other}");

        // Both at once are no more than one.
        let before = sandbox.throttling();
        let began = sandbox.users().len();
        let mut done = 0;
        for _ in 0..2 {
            done += issue(&world, &["aws", "second"], 20).await;
        }
        let after = sandbox.throttling();
        let (passed, refused) = (after.passed - before.passed, after.refused - before.refused);
        println!("{done} of 80 issues over two mounts: {refused} of {} calls were too many", passed + refused);
        assert!(done >= 70, "{done}");
        assert!(refused * 20 <= passed + refused, "{refused} of {}", passed + refused);
        assert_eq!(sandbox.users().len() - began, done);
        sandbox.limit_calls(None);
        for path in ["second", "elsewhere"] {
            let asked = world.request(&stage.root, Operation::Delete, &format!("sys/mounts/{path}"), json!({}));
            let reply = world.finish(asked).await;
            assert!(reply.is_ok, "{}", reply.text);
        }
        world.live(Duration::from_secs(1)).await;
        world.end().await;
    });
}

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
