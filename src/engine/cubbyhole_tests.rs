//! By the recorded replies of `tests/golden/http/cubbyhole.json` and the spec.

use serde_json::json;

use crate::engine::builtin;
use crate::mount::harness::{Bench, Rig};
use crate::mount::{Caller, Class, Registry};
use crate::policy::Operation;
use crate::token::TokenKind;

async fn bench() -> Bench {
    let mut registry = Registry::new();
    builtin(&mut registry);
    Rig::new().await.mount(&registry, Class::Secret, "cubbyhole", &[]).await.unwrap()
}

fn call_as(bench: &Bench, caller: &Caller) {
    *bench.caller.lock().unwrap() = caller.clone();
}

#[tokio::test]
async fn a_token_keeps_objects_for_itself() {
    let cubbyhole = bench().await;
    let mine = cubbyhole.caller.lock().unwrap().clone();
    let other = cubbyhole.rig.token(TokenKind::Service).await;
    cubbyhole.post("one", json!({ "k": "v", "n": { "deep": [1, 2] } })).await.is_empty();
    cubbyhole.post("dir/two", json!({ "k": "v2", "ttl": "1h" })).await.is_empty();
    assert_eq!(*cubbyhole.get("one").await.ok(), json!({ "k": "v", "n": { "deep": [1, 2] } }));
    assert_eq!(cubbyhole.get("dir/two").await.lease_duration, 0);
    assert_eq!(*cubbyhole.list("").await.ok(), json!({ "keys": ["dir/", "one"] }));
    assert_eq!(*cubbyhole.list("dir").await.ok(), json!({ "keys": ["two"] }));
    // Nobody else's, whatever its policies are, by no path.
    call_as(&cubbyhole, &other);
    let key = mine.key().unwrap().as_str();
    for path in ["one".to_owned(), format!("{key}/one")] {
        assert_eq!(cubbyhole.get(&path).await.status, 404);
    }
    assert_eq!(cubbyhole.list("").await.status, 404);
    cubbyhole.delete("one").await.is_empty();
    call_as(&cubbyhole, &mine);
    cubbyhole.get("one").await.ok();
    cubbyhole.delete("one").await.is_empty();
    cubbyhole.delete("one").await.is_empty();
    assert_eq!(cubbyhole.get("one").await.status, 404);
    // Where who ends a token looks for it.
    assert_eq!(cubbyhole.keys(""), [format!("{key}/dir/two")]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let cubbyhole = bench().await;
    cubbyhole.post("one", json!({})).await.is_error(400, "missing data fields");
    cubbyhole.post("", json!({ "k": "v" })).await.is_error(400, "missing path");
    assert_eq!(cubbyhole.get("").await.status, 404);
    cubbyhole.ask(Operation::Patch, "one", json!({ "a": 1 })).await.is_error(405, "unsupported operation");
    call_as(&cubbyhole, &Caller::default());
    cubbyhole.post("one", json!({ "k": "v" })).await.is_error(403, "permission denied");
    cubbyhole.get("one").await.is_error(403, "permission denied");
}

#[tokio::test]
async fn batch_tokens_have_none() {
    let cubbyhole = bench().await;
    let batch = cubbyhole.rig.token(TokenKind::Batch).await;
    call_as(&cubbyhole, &batch);
    for operation in [Operation::Read, Operation::List, Operation::Update, Operation::Delete] {
        let answer = cubbyhole.ask(operation, "one", json!({ "k": "v" })).await;
        answer.is_error(400, "cubbyhole operations are only supported by 'service' type tokens");
    }
}

#[tokio::test]
async fn a_write_finds_the_token_as_it_is_now() {
    let cubbyhole = bench().await;
    let key = *cubbyhole.caller.lock().unwrap().key().unwrap();
    // Renewed after the caller was read.
    cubbyhole.rig.put_token(&key, false).await;
    cubbyhole.post("one", json!({ "k": "v" })).await.is_empty();
    cubbyhole.get("one").await.ok();
}

#[tokio::test]
async fn nothing_is_kept_for_a_token_that_ends() {
    let cubbyhole = bench().await;
    let key = *cubbyhole.caller.lock().unwrap().key().unwrap();
    cubbyhole.rig.put_token(&key, true).await;
    cubbyhole.post("one", json!({ "k": "v" })).await.is_error(403, "permission denied");
    cubbyhole.rig.end_token(&key).await;
    cubbyhole.post("one", json!({ "k": "v" })).await.is_error(403, "permission denied");
    assert_eq!(cubbyhole.keys(""), [""; 0]);
}
