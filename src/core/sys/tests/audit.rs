//! Audit devices, and what holds when they fail.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use serde_json::json;

use super::{LISTENERS, Operation, Server, Told, internal_error, refused};
use crate::core::Settings;

#[tokio::test]
async fn the_table_of_devices_survives_sealing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("below/audit.log");
    let server = Server::start().await;
    let device = json!({ "type": "file", "description": "d", "options": { "file_path": file } });
    assert_eq!(server.write("sys/audit/main", device.clone()).await, Told::Nothing);
    let shown = server.read("sys/audit").await.data();
    let expected = json!({
        "main/": { "type": "file", "path": "main/", "description": "d", "options": { "file_path": file }, "local": false },
    });
    assert_eq!(shown, expected);
    let hash = server.write("sys/audit-hash/main", json!({ "input": "x" })).await.data();
    server.core.seal().await;
    server.unseal().await;
    assert_eq!(server.read("sys/audit").await.data(), expected);
    assert_eq!(server.write("sys/audit-hash/main", json!({ "input": "x" })).await.data(), hash);
    assert_eq!(server.write("sys/audit/main/below", device).await, refused("path already in use"));
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"path\":\"sys/audit-hash/main\""));
    assert_eq!(server.delete("sys/audit/main").await, Told::Nothing);
    assert_eq!(server.delete("sys/audit/main").await, Told::Nothing);
    server.core.seal().await;
    server.unseal().await;
    assert_eq!(server.read("sys/audit").await.data(), json!({}));
}

#[tokio::test]
async fn a_device_that_cannot_be_is_refused_and_not_kept() {
    let server = Server::start().await;
    assert_eq!(server.write("sys/audit/x", json!({})).await, refused("unknown backend type: \"\""));
    assert_eq!(server.write("sys/audit/x", json!({ "type": "file" })).await, refused("file_path is required"));
    assert_eq!(server.read("sys/audit").await.data(), json!({}));
    let told = server.write("sys/audit-hash/x", json!({ "input": "y" })).await;
    assert_eq!(told, refused("unknown audit backend \"x/\""));
    assert_eq!(server.write("sys/audit-hash/x", json!({})).await, refused("the \"input\" parameter is empty"));
}

#[tokio::test]
async fn nothing_runs_when_no_device_takes_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Server::start().await;
    let device = json!({ "type": "socket", "options": { "socket_type": "unix", "address": path } });
    assert_eq!(server.write("sys/audit/main", device).await, Told::Nothing);
    let notes = server.active().routes.load().at("lend/").unwrap().view.clone();
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(server.write("lend/note", json!({})).await, internal_error());
    assert!(!notes.exists("called").await.unwrap());
    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(server.write("lend/note", json!({})).await, Told::Nothing);
    assert!(notes.exists("called").await.unwrap());
}

#[tokio::test]
async fn a_login_whose_reply_cannot_be_audited_leaves_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket").to_str().unwrap().to_owned();
    LISTENERS.lock().unwrap().insert(path.clone(), UnixListener::bind(&path).unwrap());
    let environment = Arc::new([("closes".to_owned(), path.clone())].into());
    let server = Server::with(Settings { environment, ..Settings::default() }).await;
    let device = json!({ "type": "socket", "options": { "socket_type": "unix", "address": path } });
    assert_eq!(server.write("sys/audit/main", device).await, Told::Nothing);
    let before = server.active().tokens.accessors().await.unwrap().accessors;
    let told = server.ask(Operation::Update, "lend/login", "", json!({})).await;
    assert_eq!(told, Told::Refused(super::ErrorKind::Internal, "internal error".to_owned()));
    assert!(!LISTENERS.lock().unwrap().contains_key(&path), "the login ran");
    assert_eq!(server.active().tokens.accessors().await.unwrap().accessors, before);
}

#[tokio::test]
async fn audited_headers_are_kept_in_lower_case() {
    let server = Server::start().await;
    let root = "sys/config/auditing/request-headers";
    assert_eq!(server.write(&format!("{root}/X-Web"), json!({ "hmac": true })).await, Told::Nothing);
    let shown = server.read(&format!("{root}/X-WEB")).await.body();
    assert_eq!(shown["data"], json!({ "X-WEB": { "hmac": true } }));
    assert_eq!(shown["X-WEB"], json!({ "hmac": true }));
    assert_eq!(server.read(root).await.data()["headers"]["x-web"], json!({ "hmac": true }));
    assert_eq!(server.delete(&format!("{root}/x-web")).await, Told::Nothing);
    assert_eq!(server.read(&format!("{root}/x-web")).await, refused("Could not find header in config"));
}
