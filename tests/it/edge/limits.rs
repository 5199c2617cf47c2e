//! What a listener holds its requests to.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use leasehold::base::Ttl;
use leasehold::config::{JsonLimits, ListenerLimits};
use serde_json::json;

use super::Edge;

async fn small() -> Edge {
    let json = JsonLimits { depth: 3, string_length: Some(64), object_entries: 3, array_elements: 3, tokens: 19 };
    let limits =
        ListenerLimits { max_request_size: Some(120), max_request_duration: Ttl::seconds(5), json, ..ListenerLimits::default() };
    Edge::with(limits).opened(1, 1).await
}

#[tokio::test]
async fn a_body_above_the_limit_is_413() {
    let edge = small().await;
    let body = |size: usize| format!("{{\"a\":\"b\"{}}}", " ".repeat(size - 9));
    edge.post("cubbyhole/a").root().body(body(120)).send().await.is(200);
    edge.post("cubbyhole/a").root().body(body(121)).send().await.fails(413, "http: request body too large");
    edge.post("sys/init").body(body(121)).send().await.fails(413, "http: request body too large");
}

#[tokio::test]
async fn a_body_that_does_not_tell_its_length_is_counted() {
    let edge = small().await;
    let pieces = |count: usize| {
        let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"a\":1}"))]);
        Body::from_stream(start.chain(stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"          "))))))
    };
    edge.post("cubbyhole/a").root().body(pieces(11)).send().await.is(200);
    edge.post("cubbyhole/a").root().body(pieces(12)).send().await.fails(413, "http: request body too large");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let edge = small().await;
    let broken = stream::iter([Ok(Bytes::from_static(b"{\"a\":")), Err(std::io::Error::other("gone"))]);
    let got = edge.post("cubbyhole/a").root().body(Body::from_stream(broken)).send().await;
    got.fails(400, "the body of the request could not be read");
}

#[tokio::test]
async fn a_body_without_bound_is_taken_when_the_operator_says_so() {
    let edge = Edge::with(ListenerLimits { max_request_size: None, ..ListenerLimits::default() }).opened(1, 1).await;
    let text = "x".repeat(33 * 1024 * 1024);
    edge.post("cubbyhole/nothing").root().json(&json!({ "a": text })).send().await.is(204);
}

#[tokio::test]
async fn json_that_is_too_much_is_refused_with_the_reason() {
    let edge = small().await;
    for (body, why) in [
        ("{\"a\":[[[1]]]}".to_owned(), "many levels"),
        (format!("{{\"a\":\"{}\"}}", "x".repeat(65)), "long a text"),
        ("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}".to_owned(), "many entries in one object"),
        ("{\"a\":[1,2,3,4]}".to_owned(), "many elements in one array"),
        ("{\"a\":[1,2,3],\"b\":[1,2,3],\"c\":[1,2,3]}".to_owned(), "many parts"),
    ] {
        let text = format!("error parsing JSON: the JSON has too {why}");
        edge.post("cubbyhole/a").root().body(body).send().await.fails(400, &text);
    }
}

#[tokio::test]
async fn a_form_has_as_many_entries_as_an_object() {
    let edge = small().await;
    let form = |body: &'static str| {
        edge.post("cubbyhole/a").root().header("Content-Type", "application/x-www-form-urlencoded").body(body)
    };
    form("a=1&b=2&c=3").send().await.is(200);
    form("a=1&b=2&c=3&d=4").send().await.fails(400, "error parsing form data");
}

#[tokio::test]
async fn a_request_ends_with_its_time() {
    let edge = small().await;
    let (got, ()) = tokio::join!(edge.get("cubbyhole/slow").root().send(), async {
        tokio::task::yield_now().await;
        edge.clock.advance(Duration::from_secs(6));
    });
    got.fails(500, "1 error occurred:\n\t* context deadline exceeded\n\n");
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let edge = small().await;
    let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
    let body = Body::from_stream(start.chain(stream::pending()));
    let (got, ()) = tokio::join!(edge.post("sys/unseal").body(body).send(), async {
        tokio::task::yield_now().await;
        edge.clock.advance(Duration::from_secs(6));
    });
    got.fails(500, "context deadline exceeded");
}
