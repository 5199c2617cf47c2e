//! Wrapped replies.

use serde_json::json;

use super::{ErrorKind, Operation, Server, Told, answer, refused, request};
use crate::base::Ttl;

/// How many of 20 requests at once got the reply; all others must have been refused.
async fn race(server: &Server, token: &str, data: serde_json::Value) -> usize {
    let racers = (0..20).map(|_| {
        let core = server.core.clone();
        let asked = request(Operation::Update, "sys/wrapping/unwrap", token, None, data.clone());
        server.active().tasks.spawn(async move { answer(&core, asked).await })
    });
    let racers: Vec<_> = racers.collect();
    let mut winners = 0;
    for racer in racers {
        match racer.await.unwrap() {
            Told::Body(body) => {
                assert_eq!(body["data"], json!({ "a": "b" }));
                winners += 1;
            }
            Told::Refused(ErrorKind::Invalid | ErrorKind::Denied, _) => {}
            other => panic!("{other:?}"),
        }
    }
    winners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_twenty_holders_of_a_wrapping_token_gets_the_reply() {
    let server = Server::start().await;
    for _ in 0..5 {
        let wrapped = server.wrap(Ttl::minutes(5), json!({ "a": "b" })).await;
        assert_eq!(race(&server, &wrapped, json!({})).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_twenty_third_parties_gets_the_reply() {
    let server = Server::start().await;
    for _ in 0..5 {
        let wrapped = server.wrap(Ttl::minutes(5), json!({ "a": "b" })).await;
        assert_eq!(race(&server, &server.root, json!({ "token": wrapped })).await, 1);
        assert!(server.active().tokens.find(&wrapped).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_wrapping_token_that_names_itself_in_the_body_is_its_own_first_party() {
    let server = Server::start().await;
    let wrapped = server.wrap(Ttl::minutes(5), json!({ "a": "b" })).await;
    let told = server.ask(Operation::Update, "sys/wrapping/unwrap", &wrapped, json!({ "token": wrapped })).await;
    assert_eq!(told.data(), json!({ "a": "b" }));
}

#[tokio::test]
async fn what_is_unwrapped_is_the_plain_reply() {
    let server = Server::start().await;
    let number: serde_json::Value = serde_json::from_str("{\"n\":12345678901234567890}").unwrap();
    let wrapped = server.wrap(Ttl::minutes(5), number.clone()).await;
    let body = server.write("sys/wrapping/unwrap", json!({ "token": wrapped })).await.body();
    assert_eq!(body["data"], number);
    assert_eq!(body.get("n"), None, "only the wrapping reply itself has its data at the top as well");
    assert_ne!(body["request_id"], json!(""));
    assert_eq!(body["wrap_info"], json!(null));
}

#[tokio::test]
async fn looking_at_a_wrapping_token_takes_no_use_of_it() {
    let server = Server::start().await;
    let wrapped = server.wrap(Ttl::minutes(5), json!({ "a": "b" })).await;
    for data in [json!({ "token": wrapped }), json!({ "token": wrapped })] {
        let told = server.ask(Operation::Update, "sys/wrapping/lookup", "", data).await.data();
        assert_eq!((&told["creation_ttl"], &told["creation_path"]), (&json!(300), &json!("sys/wrapping/wrap")));
    }
    let own = server.ask(Operation::Read, "sys/wrapping/lookup", &wrapped, json!({})).await.data();
    assert_eq!(own["creation_ttl"], json!(300));
    assert_eq!(server.write("sys/wrapping/unwrap", json!({ "token": wrapped })).await.data(), json!({ "a": "b" }));
    let gone = server.ask(Operation::Update, "sys/wrapping/lookup", "", json!({ "token": wrapped })).await;
    assert_eq!(gone, refused("wrapping token is not valid or does not exist"));
}

#[tokio::test]
async fn rewrapping_keeps_path_and_ttl_and_ends_the_old_token() {
    let server = Server::start().await;
    let old = server.wrap(Ttl::minutes(5), json!({ "a": "b" })).await;
    let info = server.write("sys/wrapping/rewrap", json!({ "token": old })).await.body()["wrap_info"].take();
    assert_eq!((&info["ttl"], &info["creation_path"]), (&json!(300), &json!("sys/wrapping/wrap")));
    let new = info["token"].as_str().unwrap();
    assert_ne!(new, old);
    for path in ["sys/wrapping/rewrap", "sys/wrapping/unwrap"] {
        let told = server.write(path, json!({ "token": old })).await;
        assert_eq!(told, refused("wrapping token is not valid or does not exist"), "{path}");
    }
    let facts = server.write("sys/wrapping/lookup", json!({ "token": new })).await.data();
    assert_eq!((&facts["creation_ttl"], &facts["creation_path"]), (&json!(300), &json!("sys/wrapping/wrap")));
    assert_eq!(server.write("sys/wrapping/unwrap", json!({ "token": new })).await.data(), json!({ "a": "b" }));
}

#[tokio::test]
async fn wrapping_needs_a_time_to_live() {
    let server = Server::start().await;
    let told = server.write("sys/wrapping/wrap", json!({ "a": "b" })).await;
    assert_eq!(told, refused("endpoint requires response wrapping to be used"));
}

#[tokio::test]
async fn an_ordinary_token_is_no_wrapping_token() {
    let server = Server::start().await;
    let told = server.write("sys/wrapping/unwrap", json!({})).await;
    assert_eq!(told, refused("wrapping token is not valid or does not exist"));
    let told = server.write("sys/wrapping/unwrap", json!({ "token": server.token(&["default"]).await })).await;
    assert_eq!(told, refused("wrapping token is not valid or does not exist"));
}
