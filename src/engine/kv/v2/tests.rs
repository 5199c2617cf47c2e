//! By the recorded replies of `tests/golden/http/kv-v2.json` and the spec.

use serde_json::{Value, json};

use crate::base::Ttl;
use crate::engine::builtin;
use crate::mount::harness::{Answer, Bench, Rig};
use crate::mount::{Body, Class, Registry};
use crate::policy::Operation;

pub(super) async fn bench() -> Bench {
    let mut registry = Registry::new();
    builtin(&mut registry);
    Rig::new().await.mount(&registry, Class::Secret, "kv-v2", &[("version", "2")]).await.unwrap()
}

/// Writes a version, and fails unless it has this number.
async fn put(kv: &Bench, path: &str, object: Value, number: u64) {
    let answer = kv.post(&format!("data/{path}"), json!({ "data": object })).await;
    assert_eq!(answer.ok()["version"], json!(number));
}

async fn cas(kv: &Bench, path: &str, number: Value) -> Answer {
    kv.post(&format!("data/{path}"), json!({ "data": { "v": 1 }, "options": { "cas": number } })).await
}

async fn version(kv: &Bench, path: &str, number: u64) -> Answer {
    kv.ask(Operation::Read, &format!("data/{path}"), json!({ "version": number.to_string() })).await
}

/// A patch, and the status of its answer, which may be without an envelope.
async fn patch(kv: &Bench, path: &str, data: Value) -> (u16, Value) {
    match kv.call(Operation::Patch, path, data).await {
        Ok(reply) if matches!(reply.body, Body::Raw(_)) => (if reply.is_missing { 404 } else { 204 }, json!("empty")),
        Ok(reply) => {
            let status = if reply.is_missing { 404 } else { 200 };
            match reply.body {
                Body::Data(data) => (status, Value::Object(data)),
                Body::Null => (status, json!(reply.warnings)),
                other => panic!("{other:?}"),
            }
        }
        Err(error) => (400, json!(error.text)),
    }
}

const MISMATCH: &str = "check-and-set parameter did not match the current version";
const REQUIRED: &str = "check-and-set parameter required for this call";

#[tokio::test]
async fn a_version_reads_exactly_as_it_was_written() {
    let kv = bench().await;
    let exact = r#"{"big":9007199254740993,"deep":{"x":[1,{"y":null}]},"f":1.0,"nul":null,"path":"p"}"#;
    put(&kv, "a", serde_json::from_str(exact).unwrap(), 1).await;
    let answer = kv.get("data/a").await;
    assert_eq!(answer.ok()["data"].to_string(), exact);
    let mut metadata = answer.ok()["metadata"].clone();
    assert!(metadata["created_time"].take().as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "created_time": null, "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1,
    });
    assert_eq!((metadata, answer.lease_duration), (expected, 0));
}

#[tokio::test]
async fn versions_count_up_and_the_last_one_is_read() {
    let kv = bench().await;
    assert_eq!(kv.get("data/a").await.status, 404);
    for number in 1..=3 {
        put(&kv, "a", json!({ "n": number }), number).await;
    }
    assert_eq!(kv.get("data/a").await.ok()["data"], json!({ "n": 3 }));
    assert_eq!(version(&kv, "a", 0).await.ok()["data"], json!({ "n": 3 }));
    assert_eq!(version(&kv, "a", 1).await.ok()["data"], json!({ "n": 1 }));
    assert_eq!((version(&kv, "a", 4).await.status, version(&kv, "a", 4).await.data), (404, Value::Null));
    let bad = kv.ask(Operation::Read, "data/a", json!({ "version": "abc" })).await;
    let text = "Field validation failed: error converting input for field \"version\": '' cannot parse value as 'int': \
                strconv.ParseInt: invalid syntax";
    bad.is_error(400, text);
    kv.ask(Operation::Read, "data/a", json!({ "version": "-1" })).await.is_error(400, "'version' cannot be negative");
    kv.ask(Operation::Read, "subkeys/a", json!({ "depth": "-1" })).await.is_error(400, "'depth' cannot be negative");
}

#[tokio::test]
async fn a_write_needs_an_object() {
    let kv = bench().await;
    for body in [json!({}), json!({ "foo": "bar" })] {
        kv.post("data/a", body).await.is_error(400, "no data provided");
    }
    let text =
        "error converting input for field \"data\": '' expected type 'map[string]interface {}', got unconvertible type 'string'";
    kv.post("data/a", json!({ "data": "text" })).await.is_error(400, text);
    assert_eq!(kv.keys(""), [""; 0]);
    put(&kv, "a", Value::Null, 1).await;
    assert_eq!(kv.get("data/a").await.ok()["data"], json!({}));
    put(&kv, "a", json!({}), 2).await;
    let answer = kv.post("data/a", json!({ "data": {}, "more": 1 })).await;
    assert_eq!(
        (answer.status, answer.warnings),
        (200, vec!["Endpoint ignored these unrecognized parameters: [more]".to_owned()])
    );
}

#[tokio::test]
async fn check_and_set_compares_with_the_current_version_whatever_became_of_it() {
    let kv = bench().await;
    cas(&kv, "a", json!(1)).await.is_error(400, MISMATCH);
    assert_eq!(cas(&kv, "a", json!(0)).await.ok()["version"], json!(1));
    for wrong in [json!(0), json!(2), json!(-1), json!("-1")] {
        cas(&kv, "a", wrong).await.is_error(400, MISMATCH);
    }
    assert_eq!(cas(&kv, "a", json!("1")).await.ok()["version"], json!(2));
    assert_eq!(cas(&kv, "a", Value::Null).await.ok()["version"], json!(3));
    for bad in [json!("abc"), json!(1.5), json!(true), json!([3]), json!(""), json!(1e30)] {
        cas(&kv, "a", bad).await.is_error(400, "error parsing check-and-set parameter");
    }
    kv.delete("data/a").await.is_empty();
    cas(&kv, "a", json!(0)).await.is_error(400, MISMATCH);
    assert_eq!(cas(&kv, "a", json!(3)).await.ok()["version"], json!(4));
    kv.post("destroy/a", json!({ "versions": 4 })).await.is_empty();
    cas(&kv, "a", json!(0)).await.is_error(400, MISMATCH);
    assert_eq!(cas(&kv, "a", json!(4)).await.ok()["version"], json!(5));
    kv.delete("metadata/a").await.is_empty();
    assert_eq!(cas(&kv, "a", json!(0)).await.ok()["version"], json!(1));
    kv.post("metadata/made", json!({ "max_versions": 3 })).await.is_empty();
    assert_eq!(cas(&kv, "made", json!(0)).await.ok()["version"], json!(1));
}

#[tokio::test]
async fn check_and_set_is_required_by_the_mount_or_by_the_key() {
    let kv = bench().await;
    kv.post("metadata/a", json!({ "cas_required": true })).await.is_empty();
    kv.post("data/a", json!({ "data": {} })).await.is_error(400, REQUIRED);
    assert_eq!(patch(&kv, "data/a", json!({ "data": {} })).await, (400, json!(REQUIRED)));
    put(&kv, "b", json!({}), 1).await;
    assert!(cas(&kv, "a", json!(0)).await.ok()["version"].is_number());
    kv.post("metadata/a", json!({ "cas_required": "false" })).await.is_empty();
    put(&kv, "a", json!({}), 2).await;
    kv.post("config", json!({ "cas_required": true })).await.is_empty();
    kv.post("data/b", json!({ "data": {}, "options": {} })).await.is_error(400, REQUIRED);
    let warned = kv.post("metadata/b", json!({ "cas_required": false })).await;
    let text = "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.";
    assert_eq!((warned.status, warned.data, warned.warnings), (200, Value::Null, vec![text.to_owned()]));
    assert_eq!(patch(&kv, "metadata/b", json!({ "cas_required": false })).await, (200, json!([text])));
}

#[tokio::test]
async fn a_deleted_version_is_a_404_that_tells_of_it() {
    let kv = bench().await;
    put(&kv, "a", json!({ "n": 1 }), 1).await;
    put(&kv, "a", json!({ "n": 2 }), 2).await;
    kv.delete("data/a").await.is_empty();
    let gone = kv.get("data/a").await;
    assert_eq!((gone.status, &gone.data["data"], &gone.error), (404, &Value::Null, &String::new()));
    let metadata = &gone.data["metadata"];
    assert_eq!((&metadata["version"], &metadata["destroyed"]), (&json!(2), &json!(false)));
    let deleted = metadata["deletion_time"].clone();
    assert_ne!(deleted, json!(""));
    // Twice is once.
    kv.rig.advance(Ttl::seconds(5));
    kv.delete("data/a").await.is_empty();
    kv.post("delete/a", json!({ "versions": "2" })).await.is_empty();
    assert_eq!(kv.get("data/a").await.data["metadata"]["deletion_time"], deleted);
    assert_eq!(version(&kv, "a", 1).await.ok()["data"], json!({ "n": 1 }));
    let subkeys = kv.get("subkeys/a").await;
    assert_eq!((subkeys.status, &subkeys.data["subkeys"], &subkeys.data["metadata"]["version"]), (404, &Value::Null, &json!(2)));
    kv.post("undelete/a", json!({ "versions": [2] })).await.is_empty();
    assert_eq!(kv.get("data/a").await.ok()["data"], json!({ "n": 2 }));
}

#[tokio::test]
async fn versions_are_deleted_and_come_back_by_number() {
    let kv = bench().await;
    for number in 1..=3 {
        put(&kv, "a", json!({ "n": number }), number).await;
    }
    kv.post("delete/a", json!({ "versions": "1, 2" })).await.is_empty();
    assert_eq!(
        (version(&kv, "a", 1).await.status, version(&kv, "a", 2).await.status, version(&kv, "a", 3).await.status),
        (404, 404, 200)
    );
    kv.post("undelete/a", json!({ "versions": [2, 3, 99, -1] })).await.is_empty();
    assert_eq!((version(&kv, "a", 1).await.status, version(&kv, "a", 2).await.status), (404, 200));
    for path in ["delete/absent", "undelete/absent", "destroy/absent"] {
        kv.post(path, json!({ "versions": [1] })).await.is_empty();
    }
    for body in [json!({}), json!({ "versions": [] }), json!({ "versions": "" })] {
        kv.post("delete/a", body.clone()).await.is_error(400, "No version number provided");
        kv.post("undelete/a", body.clone()).await.is_error(400, "No version number provided");
        kv.post("destroy/a", body).await.is_error(400, "no version number provided");
    }
    assert_eq!(kv.get("metadata/absent").await.status, 404);
}

#[tokio::test]
async fn what_is_destroyed_does_not_come_back() {
    let kv = bench().await;
    put(&kv, "a", json!({ "n": 1 }), 1).await;
    put(&kv, "a", json!({ "n": 2 }), 2).await;
    assert_eq!(kv.keys("v2/data/").len(), 2);
    kv.post("destroy/a", json!({ "versions": [1, 1, 7] })).await.is_empty();
    assert_eq!(kv.keys("v2/data/").len(), 1);
    for _ in 0..2 {
        let gone = version(&kv, "a", 1).await;
        let metadata = &gone.data["metadata"];
        assert_eq!((gone.status, &metadata["destroyed"], &metadata["deletion_time"]), (404, &json!(true), &json!("")));
        kv.post("undelete/a", json!({ "versions": [1] })).await.is_empty();
        kv.post("destroy/a", json!({ "versions": [1] })).await.is_empty();
    }
    assert_eq!(kv.get("metadata/a").await.ok()["versions"]["1"]["destroyed"], json!(true));
    assert_eq!(kv.get("data/a").await.ok()["data"], json!({ "n": 2 }));
}

/// That is what makes writing cheap: see `docs/architecture.md`, section 12.
#[tokio::test]
async fn objects_lie_in_order_of_their_writing_whatever_the_keys_are() {
    let kv = bench().await;
    let mut after = Vec::new();
    for (path, number) in [("z", 1), ("a", 1), ("m/n", 1), ("z", 2), ("a", 2)] {
        kv.rig.advance(Ttl::seconds(1));
        put(&kv, path, json!({ "of": path }), number).await;
        let keys = kv.keys("v2/data/");
        assert_eq!(keys[..after.len()], after, "a new one is the last one");
        after = keys;
    }
    for (path, number) in [("z", 1), ("a", 1), ("m/n", 1), ("z", 2), ("a", 2)] {
        assert_eq!(version(&kv, path, number).await.ok()["data"], json!({ "of": path }));
    }
}

#[tokio::test]
async fn old_versions_fall_off_with_their_objects() {
    let kv = bench().await;
    for number in 1..=12 {
        put(&kv, "a", json!({ "n": number }), number).await;
    }
    let metadata = kv.get("metadata/a").await;
    assert_eq!((&metadata.ok()["oldest_version"], &metadata.ok()["current_version"]), (&json!(3), &json!(12)));
    assert_eq!(metadata.ok()["versions"].as_object().unwrap().len(), 10);
    assert_eq!((version(&kv, "a", 2).await.status, version(&kv, "a", 2).await.data), (404, Value::Null));
    assert_eq!(kv.keys("v2/data/").len(), 10);
    kv.post("config", json!({ "max_versions": 2 })).await.is_empty();
    assert_eq!(kv.keys("v2/data/").len(), 10, "a lower maximum waits for a write");
    put(&kv, "a", json!({ "n": 13 }), 13).await;
    assert_eq!(kv.keys("v2/data/").len(), 2);
    kv.post("metadata/a", json!({ "max_versions": 4 })).await.is_empty();
    for number in 14..=18 {
        put(&kv, "a", json!({ "n": number }), number).await;
    }
    assert_eq!(kv.keys("v2/data/").len(), 4, "the larger maximum counts");
    kv.delete("metadata/a").await.is_empty();
    kv.delete("metadata/a").await.is_empty();
    assert_eq!(kv.keys(""), ["v2/config"]);
    assert_eq!((kv.get("data/a").await.status, kv.get("metadata/a").await.status), (404, 404));
}

#[tokio::test]
async fn versions_are_deleted_by_time() {
    let kv = bench().await;
    kv.post("config", json!({ "delete_version_after": "10s" })).await.is_empty();
    kv.post("metadata/a", json!({ "delete_version_after": "4s" })).await.is_empty();
    put(&kv, "a", json!({ "n": 1 }), 1).await;
    put(&kv, "b", json!({ "n": 1 }), 1).await;
    let ahead = kv.get("data/a").await;
    assert_ne!(ahead.ok()["metadata"]["deletion_time"], json!(""));
    kv.rig.advance(Ttl::seconds(4));
    assert_eq!((kv.get("data/a").await.status, kv.get("data/b").await.status), (404, 200));
    kv.post("undelete/a", json!({ "versions": 1 })).await.is_empty();
    assert_eq!(kv.get("data/a").await.status, 200);
    kv.rig.advance(Ttl::seconds(4));
    assert_eq!(kv.get("data/a").await.status, 404, "what comes back goes again");
    // Deleting what would go anyway makes it now.
    let before = kv.get("data/b").await.ok()["metadata"]["deletion_time"].clone();
    kv.delete("data/b").await.is_empty();
    assert_ne!(kv.get("data/b").await.data["metadata"]["deletion_time"], before);
    kv.post("config", json!({ "delete_version_after": "-5m" })).await.is_empty();
    assert_eq!(kv.get("config").await.ok()["delete_version_after"], json!("-1s"));
    put(&kv, "a", json!({ "n": 2 }), 2).await;
    kv.rig.advance(Ttl::hours(1));
    assert_eq!(kv.get("data/a").await.ok()["metadata"]["deletion_time"], json!(""));
    kv.post("metadata/a", json!({ "delete_version_after": "-1s" }))
        .await
        .is_error(400, "'delete_version_after' cannot be negative");
}

#[tokio::test]
async fn the_configuration_keeps_what_is_not_supplied() {
    let kv = bench().await;
    let fresh = json!({ "cas_required": false, "delete_version_after": "0s", "max_versions": 0 });
    assert_eq!(*kv.get("config").await.ok(), fresh);
    kv.post("config", json!({ "max_versions": 5, "cas_required": true, "delete_version_after": "3h25m19s" })).await.is_empty();
    kv.post("config", json!({})).await.is_empty();
    kv.post("config", json!({ "max_versions": "7" })).await.is_empty();
    let set = json!({ "cas_required": true, "delete_version_after": "3h25m19s", "max_versions": 7 });
    assert_eq!(*kv.get("config").await.ok(), set);
    kv.post("config", json!({ "max_versions": -1 })).await.is_error(400, "'max_versions' cannot be negative");
    kv.post("config", json!({ "max_versions": 0, "cas_required": false, "delete_version_after": 0 })).await.is_empty();
    assert_eq!(*kv.get("config").await.ok(), fresh);
}

#[tokio::test]
async fn a_patch_makes_a_version_of_what_it_merges() {
    let kv = bench().await;
    assert_eq!(patch(&kv, "data/a", json!({ "data": { "x": 1 } })).await, (404, json!("empty")));
    kv.post("metadata/made", json!({ "max_versions": 2 })).await.is_empty();
    assert_eq!(patch(&kv, "data/made", json!({ "data": { "x": 1 } })).await, (404, json!("empty")));
    put(&kv, "a", json!({ "keep": 1.0, "n": { "x": 1, "y": 2 }, "list": [1], "gone": 1 }), 1).await;
    kv.post("metadata/a", json!({ "custom_metadata": { "k": "v" } })).await.is_empty();
    let merge =
        json!({ "data": { "n": { "y": null, "z": {} }, "list": [2], "gone": null, "absent": null }, "options": { "cas": 1 } });
    let (status, shown) = patch(&kv, "data/a", merge).await;
    assert_eq!((status, &shown["version"], &shown["custom_metadata"]), (200, &json!(2), &json!({ "k": "v" })));
    let text = kv.get("data/a").await.ok()["data"].to_string();
    assert_eq!(text, r#"{"keep":1.0,"list":[2],"n":{"x":1,"z":{}}}"#);
    assert_eq!(patch(&kv, "data/a", json!({})).await, (400, json!("no data provided")));
    kv.delete("data/a").await.is_empty();
    let late = json!({ "data": {}, "options": { "cas": 1 } });
    assert_eq!(patch(&kv, "data/a", late).await, (400, json!(MISMATCH)));
    let (status, shown) = patch(&kv, "data/a", json!({ "data": { "x": 1 } })).await;
    assert_eq!((status, &shown["version"], &shown["destroyed"]), (404, &json!(2), &json!(false)));
    assert_eq!(shown.as_object().unwrap().len(), 5);
}

#[tokio::test]
async fn metadata_reads_as_it_was_set() {
    let kv = bench().await;
    kv.post("metadata/a", json!({})).await.is_empty();
    kv.post("metadata/a", json!({ "custom_metadata": null, "unknown": 1 })).await.is_empty();
    assert_eq!(kv.get("metadata/a").await.status, 404, "nothing was said of it");
    let settings = json!({
        "max_versions": "3", "cas_required": true, "delete_version_after": "3h25m19s", "custom_metadata": { "owner": "me", "n": 5 },
    });
    kv.post("metadata/a", settings).await.is_empty();
    let mut shown = kv.get("metadata/a").await.ok().clone();
    assert_eq!(shown["created_time"].take(), shown["updated_time"].take());
    let expected = json!({
        "cas_required": true, "created_time": null, "current_version": 0, "custom_metadata": { "n": "5", "owner": "me" },
        "delete_version_after": "3h25m19s", "max_versions": 3, "oldest_version": 0, "updated_time": null, "versions": {},
    });
    assert_eq!(shown, expected);
    assert_eq!((kv.get("data/a").await.status, kv.get("data/a").await.data), (404, Value::Null));
    kv.post("metadata/a", json!({ "custom_metadata": {} })).await.is_empty();
    assert_eq!(kv.get("metadata/a").await.ok()["custom_metadata"], Value::Null);
    let text = "error converting input for field \"custom_metadata\": '' expected type 'map[string]interface {}', got unconvertible \
                type 'string'";
    kv.post("metadata/a", json!({ "custom_metadata": "x" })).await.is_error(400, text);
}

#[tokio::test]
async fn a_patch_of_metadata_changes_what_it_names() {
    let kv = bench().await;
    assert_eq!(patch(&kv, "metadata/a", json!({ "max_versions": 2 })).await, (404, json!("empty")));
    let settings = json!({
        "max_versions": 3, "cas_required": true, "delete_version_after": "1h", "custom_metadata": { "owner": "me", "n": "5" },
    });
    kv.post("metadata/a", settings).await.is_empty();
    let change = json!({ "custom_metadata": { "owner": null, "two": 2 }, "cas_required": false, "current_version": 9 });
    assert_eq!(patch(&kv, "metadata/a", change).await, (204, json!("empty")));
    let shown = kv.get("metadata/a").await.data;
    assert_eq!((&shown["custom_metadata"], &shown["cas_required"]), (&json!({ "n": "5", "two": "2" }), &json!(false)));
    assert_eq!((&shown["max_versions"], &shown["current_version"]), (&json!(3), &json!(0)));
    let nulls = json!({ "custom_metadata": null, "max_versions": null, "delete_version_after": null });
    assert_eq!(patch(&kv, "metadata/a", nulls).await, (204, json!("empty")));
    let shown = kv.get("metadata/a").await.data;
    assert_eq!(shown["custom_metadata"], Value::Null);
    assert_eq!((&shown["max_versions"], &shown["delete_version_after"]), (&json!(0), &json!("0s")));
}

#[tokio::test]
async fn lists_have_the_names_of_keys_whatever_became_of_their_versions() {
    let kv = bench().await;
    for path in ["b", "dir", "dir/x", "dir/sub/y", "ä ö"] {
        put(&kv, path, json!({}), 1).await;
    }
    kv.delete("data/b").await.is_empty();
    kv.post("destroy/dir", json!({ "versions": 1 })).await.is_empty();
    assert_eq!(*kv.list("metadata").await.ok(), json!({ "keys": ["b", "dir", "dir/", "ä ö"] }));
    assert_eq!(*kv.list("metadata/dir").await.ok(), json!({ "keys": ["sub/", "x"] }));
    assert_eq!((kv.list("metadata/b").await.status, kv.list("metadata/absent").await.status), (404, 404));
    kv.list("data").await.is_error(405, "unsupported operation");
    kv.list("data/dir").await.is_error(405, "unsupported operation");
}

#[tokio::test]
async fn paths_that_are_none_say_what_to_do() {
    let kv = bench().await;
    for (operation, command) in [
        (Operation::Read, "get"),
        (Operation::Update, "put"),
        (Operation::Delete, "delete"),
        (Operation::Patch, "patch"),
        (Operation::List, "list"),
    ] {
        for path in ["foo", "foo/bar", ""] {
            let answer = kv.ask(operation, path, json!({ "a": 1 })).await;
            assert_eq!((answer.status, answer.data, answer.warnings.len()), (404, Value::Null, 1));
            assert!(
                answer.warnings[0].ends_with(&format!("use 'vault kv {command}' for this operation.")),
                "{:?}",
                answer.warnings
            );
        }
    }
    for path in ["data", "metadata", "delete", "undelete", "destroy", "data/"] {
        for operation in [Operation::Read, Operation::Update, Operation::Delete, Operation::Patch] {
            let answer = kv.ask(operation, path, json!({ "data": {} })).await;
            let warnings = ["Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned()];
            assert_eq!((answer.status, answer.warnings.as_slice()), (404, warnings.as_slice()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_write_updates_when_the_key_is_known() {
    let kv = bench().await;
    let exists = async |path: &str| {
        let found = kv.plugin.find(path).unwrap();
        kv.plugin.exists(&kv.context(Operation::Update, path), &found, &serde_json::Map::new()).await.unwrap()
    };
    assert_eq!((exists("data/a").await, exists("metadata/a").await, exists("config").await), (Some(false), Some(false), None));
    put(&kv, "a", json!({}), 1).await;
    kv.delete("data/a").await.is_empty();
    assert_eq!((exists("data/a").await, exists("metadata/a").await, exists("delete/a").await), (Some(true), Some(true), None));
}

#[tokio::test]
async fn structure_is_shown_without_values() {
    let kv = bench().await;
    put(&kv, "a", json!({ "a": 1, "b": { "c": { "d": 1 }, "g": {} } }), 1).await;
    let shown = kv.get("subkeys/a").await;
    assert_eq!(shown.ok()["subkeys"], json!({ "a": null, "b": { "c": { "d": null }, "g": null } }));
    assert_eq!(shown.ok()["metadata"]["version"], json!(1));
    let shown = kv.ask(Operation::Read, "subkeys/a", json!({ "depth": "1" })).await;
    assert_eq!(shown.ok()["subkeys"], json!({ "a": null, "b": null }));
    assert_eq!((kv.get("subkeys/absent").await.status, kv.get("subkeys/absent").await.data), (404, Value::Null));
}
