//! Versions of the kv engine, as the table of mounts chooses between them.

use serde_json::json;

use crate::policy::Operation;

use super::{Server, Told};

#[tokio::test]
async fn a_mount_of_version_2_is_of_the_same_type_and_has_its_own_endpoints() {
    let server = Server::start().await;
    server.write("sys/mounts/two", json!({ "type": "kv-v2" })).await;
    let shown = server.read("sys/mounts/two").await.data();
    assert_eq!((&shown["type"], &shown["options"]), (&json!("kv"), &json!({ "version": "2" })));
    let written = server.write("two/data/a", json!({ "data": { "v": 1 } })).await.data();
    assert_eq!(written["version"], json!(1));
    server.core.seal().await;
    server.unseal().await;
    assert_eq!(server.read("two/data/a").await.data()["data"], json!({ "v": 1 }));
}

#[tokio::test]
async fn tuning_to_version_2_takes_keys_over_and_there_is_no_way_back() {
    let server = Server::start().await;
    server.write("sys/mounts/kv", json!({ "type": "kv" })).await;
    server.write("kv/dir/a", json!({ "v": 1 })).await;
    let told = server.write("sys/mounts/kv/tune", json!({ "options": { "version": 2 } })).await.body();
    assert!(told["warnings"][0].as_str().unwrap().starts_with("Upgrading mount from version 1 to version 2."), "{told}");
    let read = server.read("kv/data/dir/a").await.data();
    assert_eq!((&read["data"], &read["metadata"]["version"]), (&json!({ "v": 1 }), &json!(1)));
    let told = server.write("sys/mounts/kv/tune", json!({ "options": { "version": 1 } })).await;
    let Told::Refused(_, text) = told else { panic!("{told:?}") };
    assert!(text.contains("cannot downgrade mount from version 2"), "{text}");
    server.core.seal().await;
    server.unseal().await;
    assert_eq!(server.read("kv/data/dir/a").await.data()["data"], json!({ "v": 1 }));
}

#[tokio::test]
async fn who_may_only_create_cannot_write_over_what_was_deleted() {
    let server = Server::start().await;
    server.write("sys/mounts/two", json!({ "type": "kv-v2" })).await;
    let rules = r#"path "two/data/*" { capabilities = ["create", "delete"] }"#;
    server.write("sys/policies/acl/create", json!({ "policy": rules })).await;
    let token = server.token(&["create"]).await;
    let body = json!({ "data": { "v": 1 } });
    let write = async || Box::pin(server.ask(Operation::Update, "two/data/a", &token, body.clone())).await;
    assert_eq!(write().await.data()["version"], json!(1));
    assert_eq!(Box::pin(server.ask(Operation::Delete, "two/data/a", &token, json!({}))).await, Told::Nothing);
    assert!(matches!(write().await, Told::Refused(..)), "the key is still known");
    server.delete("two/metadata/a").await;
    assert_eq!(write().await.data()["version"], json!(1));
}

#[tokio::test]
async fn a_secret_as_deep_as_a_body_can_be_comes_back() {
    let server = Server::start().await;
    server.write("sys/mounts/one", json!({ "type": "kv" })).await;
    server.write("sys/mounts/two", json!({ "type": "kv-v2" })).await;
    let mut deep = json!("end");
    for _ in 0..crate::base::json::MOST_LEVELS {
        deep = json!([deep]);
    }
    server.write("one/a", json!({ "v": deep })).await;
    server.write("two/data/a", json!({ "data": { "v": deep } })).await;
    assert_eq!(server.read("one/a").await.data()["v"], deep);
    assert_eq!(server.read("two/data/a").await.data()["data"]["v"], deep);
}
