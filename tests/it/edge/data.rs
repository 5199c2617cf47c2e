//! Queries, bodies and headers.

use serde_json::{Value, json};

use super::Edge;

#[tokio::test]
async fn a_query_is_the_data_of_what_has_no_body() {
    let edge = Edge::open().await;
    for method in ["GET", "DELETE", "LIST"] {
        let got =
            edge.ask(method, "cubbyhole/a?one=1&many=a&many=b%20c&flag&help=").root().body("{\"body\":1}").send().await.is(200);
        assert_eq!(got.echoed()["data"], json!({ "one": "1", "many": ["a", "b c"], "flag": "" }), "{method}");
    }
}

#[tokio::test]
async fn the_query_of_a_write_is_not_looked_at() {
    let edge = Edge::open().await;
    let got = edge.post("cubbyhole/a?one=1").root().json(&json!({ "b": 2 })).send().await.is(200);
    assert_eq!(got.echoed()["data"], json!({ "b": 2 }));
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused() {
    let edge = Edge::open().await;
    edge.get("cubbyhole/a?x=%zz").root().send().await.fails(400, "error parsing the query string");
}

#[tokio::test]
async fn json_needs_no_content_type_and_ignores_another() {
    let edge = Edge::open().await;
    for kind in ["", "text/plain", "application/json", "application/x-www-form-urlencoded"] {
        let got =
            edge.post("cubbyhole/a").root().header("Content-Type", kind).body(" {\"a\":\"b\"} trailing").send().await.is(200);
        assert_eq!(got.echoed()["data"], json!({ "a": "b" }), "{kind}");
    }
}

#[tokio::test]
async fn a_form_is_read_as_one() {
    let edge = Edge::open().await;
    for kind in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"] {
        let got = edge.post("cubbyhole/a").root().header("Content-Type", kind).body("a=1&b=two&b=th+ree").send().await.is(200);
        assert_eq!(got.echoed()["data"], json!({ "a": "1", "b": "two,th ree" }), "{kind}");
        let got = edge.post("cubbyhole/a").root().header("Content-Type", kind).body("a=%zz").send().await;
        got.fails(400, "error parsing form data");
    }
}

#[tokio::test]
async fn no_body_and_null_are_no_data() {
    let edge = Edge::open().await;
    for body in ["", "null", "{}", " \n"] {
        let got = edge.post("cubbyhole/a").root().body(body).send().await.is(200);
        assert_eq!(got.echoed()["data"], json!({}), "{body:?}");
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let edge = Edge::open().await;
    for body in ["{not json", "[1,2]", "\"text\"", "1", "{\"a\":"] {
        edge.post("cubbyhole/a").root().body(body).send().await.fails(400, "error parsing JSON");
    }
}

#[tokio::test]
async fn numbers_come_back_as_they_were_written() {
    let edge = Edge::open().await;
    let got = edge.post("cubbyhole/a").root().body("{\"n\":12345678901234567890123,\"d\":1.10}").send().await.is(200);
    assert!(got.text.contains("{\"d\":1.10,\"n\":12345678901234567890123}"), "{}", got.text);
}

#[tokio::test]
async fn a_patch_says_what_it_is() {
    let edge = Edge::open().await;
    let patch = |kind: Option<&str>| {
        let ask = edge.ask("PATCH", "cubbyhole/a").root().json(&json!({ "a": Value::Null }));
        match kind {
            Some(kind) => ask.header("Content-Type", kind),
            None => ask,
        }
    };
    for kind in ["application/merge-patch+json", "application/merge-patch+json; charset=utf-8"] {
        let got = patch(Some(kind)).send().await.is(200);
        assert_eq!((&got.echoed()["operation"], &got.echoed()["data"]), (&json!("patch"), &json!({ "a": null })));
    }
    patch(None).send().await.fails(400, "mime: no media type");
    patch(Some("")).send().await.fails(400, "mime: no media type");
    let text = "PATCH requires Content-Type of application/merge-patch+json, provided application/json";
    patch(Some("application/json")).send().await.fails(415, text);
}

#[tokio::test]
async fn the_token_header_wins_over_a_bearer() {
    let edge = Edge::open().await;
    let bearer = format!("Bearer {}", edge.root);
    edge.get("cubbyhole/a").header("Authorization", &bearer).send().await.is(200);
    edge.get("cubbyhole/a").header("Authorization", &format!("Bearer   {} ", edge.root)).send().await.is(200);
    edge.get("cubbyhole/a").header("X-Vault-Token", "").header("Authorization", &bearer).send().await.is(200);
    let both = edge.get("cubbyhole/a").header("X-Vault-Token", "hvs.none").header("Authorization", &bearer).send().await;
    both.fails(403, "permission denied");
    for other in [format!("bearer {}", edge.root), format!("Basic {}", edge.root), edge.root.clone(), "Bearer ".to_owned()] {
        edge.get("cubbyhole/a").header("Authorization", &other).send().await.fails(403, "permission denied");
    }
}

#[tokio::test]
async fn a_token_with_control_characters_is_refused() {
    let edge = Edge::open().await;
    let text = "the token holds characters that no token has";
    edge.get("cubbyhole/a").token("hvs.a\tb").send().await.fails(400, text);
    edge.get("cubbyhole/a").header("Authorization", "Bearer a\tb").send().await.fails(400, text);
}

#[tokio::test]
async fn endpoints_see_headers_without_the_token() {
    let edge = Edge::open().await;
    let got = edge.get("cubbyhole/a").root().header("Authorization", "Basic x").header("X-Thing", "a").header("x-thing", "b");
    let headers = got.header("Host", "h").header("User-Agent", "u").send().await.is(200).echoed()["headers"].clone();
    assert_eq!(headers, json!({ "x-thing": ["a", "b"], "user-agent": ["u"] }));
}

#[tokio::test]
async fn endpoints_see_where_a_request_came_from() {
    let edge = Edge::open().await;
    assert_eq!(edge.get("cubbyhole/a").root().send().await.echoed()["remote"], "192.0.2.7 4711");
}

#[tokio::test]
async fn a_reply_is_wrapped_as_long_as_the_header_says() {
    let edge = Edge::open().await;
    for (value, seconds) in [("60", 60), ("2m", 120), ("1h30m", 5400)] {
        let body = edge.get("cubbyhole/a").root().header("X-Vault-Wrap-TTL", value).send().await.is(200).body();
        assert_eq!((&body["wrap_info"]["ttl"], &body["request_id"], &body["data"]), (&json!(seconds), &json!(""), &Value::Null));
    }
    let plain = edge.get("cubbyhole/a").root().header("X-Vault-Wrap-TTL", "0").send().await.is(200);
    assert_eq!(plain.body()["wrap_info"], Value::Null);
    for (value, why) in [("soon", "time: invalid duration \"soon\""), ("-1s", "cannot provide negative value '-1s'")] {
        let got = edge.get("cubbyhole/a").root().header("X-Vault-Wrap-TTL", value).send().await;
        got.fails(400, &format!("error parsing X-Vault-Wrap-TTL header: {why}"));
    }
}

#[tokio::test]
async fn headers_that_make_no_sense_are_named() {
    let edge = Edge::open().await;
    edge.get("cubbyhole/a").root().header("X-Vault-Policy-Override", "true").send().await.is(200);
    let got = edge.get("cubbyhole/a").root().header("X-Vault-Policy-Override", "maybe").send().await;
    let text = "failed to parse X-Vault-Policy-Override header: strconv.ParseBool: parsing \"maybe\": invalid syntax";
    got.fails(400, text);
    edge.get("cubbyhole/a").root().header("X-Vault-MFA", "method:code").send().await.is(200);
    let got = edge.get("cubbyhole/a").root().header("X-Vault-MFA", ":code").send().await;
    got.fails(400, "failed to parse X-Vault-MFA header: a value names no method");
}

#[tokio::test]
async fn the_namespace_is_echoed_whatever_the_reply() {
    let edge = Edge::open().await;
    for path in ["/v1/cubbyhole/a", "/v1/sys/health", "/nothing", "/v1//x"] {
        let got = edge.raw("GET", path).header("X-Vault-Namespace", "ns1/").send().await;
        assert_eq!(got.header("x-vault-namespace"), "ns1/", "{path}");
    }
    let got = edge.get("sys/health").header("X-Vault-Namespace", "").send().await;
    assert!(!got.headers.contains_key("x-vault-namespace"));
}
