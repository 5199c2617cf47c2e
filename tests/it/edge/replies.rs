//! Statuses, headers and forms of replies.

use serde_json::{Value, json};

use super::Edge;

#[tokio::test]
async fn a_read_is_an_envelope() {
    let edge = Edge::open().await;
    let got = edge.get("cubbyhole/a").root().send().await.is(200);
    assert_eq!((got.header("content-type"), got.header("cache-control")), ("application/json", "no-store"));
    let body = got.body();
    assert_eq!(body["request_id"].as_str().unwrap().len(), 36);
    assert_eq!((&body["lease_id"], &body["renewable"], &body["auth"]), (&json!(""), &json!(false), &Value::Null));
    assert!(got.text.ends_with("}\n"));
}

#[tokio::test]
async fn nothing_is_204_of_a_write_and_404_of_a_read() {
    let edge = Edge::open().await;
    for method in ["POST", "DELETE"] {
        let got = edge.ask(method, "cubbyhole/nothing").root().send().await.is(204);
        assert_eq!(
            (got.text.as_str(), got.header("content-type"), got.header("cache-control")),
            ("", "application/json", "no-store")
        );
    }
    edge.get("cubbyhole/nothing").root().send().await.fails_silently(404);
}

#[tokio::test]
async fn what_goes_on_is_202_with_or_without_a_body() {
    let edge = Edge::open().await;
    let got = edge.post("cubbyhole/accepted").root().send().await.is(202);
    assert_eq!(got.text, "");
    let got = edge.post("cubbyhole/accepted-envelope").root().send().await.is(202);
    assert_eq!(got.body()["warnings"], json!(["it goes on"]));
}

#[tokio::test]
async fn what_is_missing_may_say_more() {
    let edge = Edge::open().await;
    let got = edge.get("cubbyhole/missing").root().send().await.is(404);
    assert_eq!(got.body()["data"], json!({}));
}

#[tokio::test]
async fn bytes_of_their_own_type_are_sent_as_they_are() {
    let edge = Edge::open().await;
    let got = edge.get("cubbyhole/raw").root().send().await.is(200);
    assert_eq!((got.text.as_str(), got.header("content-type")), ("thing", "application/x-thing"));
    assert_eq!(got.header("cache-control"), "no-store");
}

#[tokio::test]
async fn each_kind_of_failure_has_its_status() {
    let edge = Edge::open().await;
    for (kind, status) in [
        ("invalid", 400),
        ("denied", 403),
        ("not-found", 404),
        ("unsupported", 405),
        ("too-large", 413),
        ("media-type", 415),
        ("upstream", 502),
        ("sealed", 503),
    ] {
        edge.get(&format!("cubbyhole/fails/{kind}")).root().send().await.fails(status, "bad");
    }
    edge.get("cubbyhole/fails/silently").root().send().await.fails_silently(404);
    edge.get("cubbyhole/fails/internal").root().send().await.fails(500, "1 error occurred:\n\t* internal error\n\n");
}

#[tokio::test]
async fn a_limit_says_when_to_come_back_and_texts_are_safe_in_html() {
    let edge = Edge::open().await;
    let got = edge.get("cubbyhole/fails/limited").root().send().await.is(429);
    assert_eq!((got.header("retry-after"), got.text.as_str()), ("7", "{\"errors\":[\"a \\u003cb\\u003e \\u0026 c\"]}\n"));
}

#[tokio::test]
async fn a_failure_may_have_data_beside_its_text() {
    let edge = Edge::open().await;
    let got = edge.get("cubbyhole/fails/data").root().send().await.is(400);
    assert_eq!(got.body(), json!({ "errors": ["bad"], "data": { "x": 1 } }));
}

#[tokio::test]
async fn without_a_token_and_with_a_wrong_one_permission_is_denied() {
    let edge = Edge::open().await;
    edge.get("sys/mounts").send().await.fails(403, "permission denied");
    edge.get("sys/mounts").token("hvs.unknownunknownunknownunk").send().await.fails(403, "permission denied");
    let token = edge.token(&["none"]).await;
    edge.get("sys/mounts").token(&token).send().await.fails(403, "1 error occurred:\n\t* permission denied\n\n");
}
