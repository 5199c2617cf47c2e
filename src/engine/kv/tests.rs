//! Version 1, by the recorded replies of `tests/golden/http/kv-v1.json` and the spec.

use serde_json::json;

use crate::base::MountPath;
use crate::engine::builtin;
use crate::mount::harness::{Bench, Rig};
use crate::mount::{Class, MountEntry, Registry};
use crate::policy::Operation;

use super::kind_of;

async fn bench() -> Bench {
    open(&[("version", "1")]).await.unwrap()
}

async fn open(options: &[(&str, &str)]) -> Result<Bench, crate::mount::ApiError> {
    let mut registry = Registry::new();
    builtin(&mut registry);
    Rig::new().await.mount(&registry, Class::Secret, "kv", options).await
}

#[tokio::test]
async fn an_object_reads_as_it_was_written() {
    let kv = bench().await;
    let exact = r#"{"i":12345678901234567890,"f":1.10,"deep":{"x":[1,{"y":null}]},"path":"a","nul":null}"#;
    kv.post("a", serde_json::from_str(exact).unwrap()).await.is_empty();
    let answer = kv.get("a").await;
    let text = answer.ok().to_string();
    assert_eq!(text, r#"{"deep":{"x":[1,{"y":null}]},"f":1.10,"i":12345678901234567890,"nul":null,"path":"a"}"#);
    assert_eq!(answer.lease_duration, 2_764_800);
}

#[tokio::test]
async fn a_write_replaces_the_whole_object() {
    let kv = bench().await;
    kv.post("a", json!({ "v": "1", "w": "1" })).await.is_empty();
    kv.post("a", json!({ "v": "2" })).await.is_empty();
    assert_eq!(*kv.get("a").await.ok(), json!({ "v": "2" }));
}

#[tokio::test]
async fn a_ttl_in_the_data_is_how_long_to_keep_it() {
    let kv = bench().await;
    for (data, seconds) in [
        (json!({ "ttl": "30m" }), 1800),
        (json!({ "ttl": 90 }), 90),
        (json!({ "ttl": "90" }), 90),
        (json!({ "lease": "1h" }), 3600),
        (json!({ "ttl": "1m", "lease": "1h" }), 60),
        (json!({ "ttl": "abc", "lease": "1h" }), 2_764_800),
        (json!({ "ttl": "-5s" }), 2_764_800),
        (json!({ "ttl": ["1h"] }), 2_764_800),
        (json!({ "v": "x" }), 2_764_800),
    ] {
        kv.post("a", data.clone()).await.is_empty();
        let answer = kv.get("a").await;
        assert_eq!((answer.ok(), answer.lease_duration), (&data, seconds));
    }
}

#[tokio::test]
async fn a_list_has_the_children_in_order_of_bytes() {
    let kv = bench().await;
    for path in ["b", "dir", "dir/x", "dir/sub/y", "dir-a", "A", "ä ö", "a%2fb", "x y"] {
        kv.post(path, json!({ "v": 1 })).await.is_empty();
    }
    let names = ["A", "a%2fb", "b", "dir", "dir-a", "dir/", "x y", "ä ö"];
    assert_eq!(*kv.list("").await.ok(), json!({ "keys": names }));
    assert_eq!(*kv.list("dir").await.ok(), json!({ "keys": ["sub/", "x"] }));
    assert_eq!(kv.list("b").await.status, 404);
    assert_eq!(kv.list("absent").await.status, 404);
    // Also when the last slash is missing.
    assert_eq!(*kv.ask(Operation::List, "dir", json!({})).await.ok(), json!({ "keys": ["sub/", "x"] }));
}

#[tokio::test]
async fn a_path_is_one_key_below_the_mount() {
    let kv = bench().await;
    for path in ["v1/x", "a//b", "a b\u{fc}"] {
        kv.post(path, json!({ "at": path })).await.is_empty();
        assert_eq!(*kv.get(path).await.ok(), json!({ "at": path }));
    }
    assert_eq!(kv.keys(""), ["v1/a b\u{fc}", "v1/a//b", "v1/v1/x"]);
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_deleting_succeeds_twice() {
    let kv = bench().await;
    kv.post("dir/a", json!({ "v": 1 })).await.is_empty();
    kv.post("dir/a/b", json!({ "v": 1 })).await.is_empty();
    kv.delete("dir/a").await.is_empty();
    kv.delete("dir/a").await.is_empty();
    assert_eq!(kv.get("dir/a").await.status, 404);
    assert_eq!(*kv.list("dir").await.ok(), json!({ "keys": ["a/"] }));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let kv = bench().await;
    kv.post("e", json!({})).await.is_error(400, "missing data fields");
    kv.post("", json!({ "a": 1 })).await.is_error(400, "missing path");
    assert_eq!(kv.get("").await.status, 404);
    kv.ask(Operation::Patch, "e", json!({ "v": 3 })).await.is_error(405, "unsupported operation");
    assert_eq!(kv.keys(""), [""; 0]);
}

#[tokio::test]
async fn a_write_says_whether_it_creates() {
    let kv = bench().await;
    kv.post("a", json!({ "v": 1 })).await.is_empty();
    let cx = |path| (kv.plugin.find(path).unwrap(), kv.context(Operation::Update, path));
    let data = serde_json::Map::new();
    for (path, there) in [("a", true), ("b", false), ("a/", false)] {
        let (found, cx) = cx(path);
        assert_eq!(kv.plugin.exists(&cx, &found, &data).await.unwrap(), Some(there), "{path}");
    }
}

#[tokio::test]
async fn versions_that_are_not_there_do_not_open() {
    for options in [&[][..], &[("version", "1")], &[("version", "")]] {
        assert!(open(options).await.is_ok());
    }
    let error = open(&[("version", "3")]).await.map(|_| ()).unwrap_err();
    assert_eq!(error.text, "invalid version provided: 3");
}

#[test]
fn the_option_names_the_plugin_of_a_mount() {
    let mut entry = MountEntry::new(Class::Secret, MountPath::parse("kv").unwrap(), "kv");
    assert_eq!(kind_of(&entry), "kv");
    for (version, kind) in [("", "kv"), ("1", "kv"), ("2", "kv-v2"), ("3", "kv")] {
        entry.options = Some([("version".to_owned(), version.to_owned())].into());
        assert_eq!(kind_of(&entry), kind, "{version:?}");
    }
    entry.kind = "other".to_owned();
    assert_eq!(kind_of(&entry), "other");
}
