//! Paths and methods.

use serde_json::json;

use super::Edge;

#[tokio::test]
async fn a_path_is_decoded_once_and_an_encoded_slash_parts_it() {
    let edge = Edge::open().await;
    for (sent, path) in
        [("a%20b+c", "a b+c"), ("x%2Fy", "x/y"), ("a%2520", "a%20"), ("a..b/.c", "a..b/.c"), ("caf%C3%A9", "café")]
    {
        let got = edge.get(&format!("cubbyhole/{sent}")).root().send().await.is(200);
        assert_eq!(got.echoed()["path"], path, "{sent}");
    }
}

#[tokio::test]
async fn control_characters_are_refused_without_a_word() {
    let edge = Edge::open().await;
    for path in ["/v1/cubbyhole/a%00", "/v1/cubbyhole/a%0Ab", "/else/%7f", "/v1/a%zz"] {
        let got = edge.raw("GET", path).root().send().await.is(400);
        assert_eq!((got.text.as_str(), got.header("cache-control")), ("", "no-store"), "{path}");
    }
}

#[tokio::test]
async fn a_path_with_empty_or_dot_segments_is_redirected_with_its_query() {
    let edge = Edge::open().await;
    for (sent, clean) in [
        ("/v1//cubbyhole/a", "/v1/cubbyhole/a"),
        ("/v1/cubbyhole/./a?x=1&y", "/v1/cubbyhole/a?x=1&y"),
        ("/v1/cubbyhole/b/../a/", "/v1/cubbyhole/a/"),
    ] {
        let got = edge.raw("PUT", sent).root().send().await.is(307);
        assert_eq!((got.header("location"), got.text.as_str()), (clean, ""), "{sent}");
        assert_eq!(got.header("content-type"), "");
    }
}

#[tokio::test]
async fn a_redirect_never_leads_out_of_the_api() {
    let edge = Edge::open().await;
    for path in ["/v1/../x", "/v1//../..//evil.example/", "/\\evil.example/..//x"] {
        edge.raw("GET", path).send().await.fails_silently(404);
    }
}

#[tokio::test]
async fn encoded_dots_are_refused() {
    let edge = Edge::open().await;
    for path in ["cubbyhole/%2e%2e/a", "cubbyhole%2F..%2Fa", "cubbyhole/%2E/a"] {
        edge.get(path).root().send().await.fails(400, "relative paths not supported");
    }
}

#[tokio::test]
async fn outside_of_the_api_there_is_nothing() {
    let edge = Edge::open().await;
    for path in ["/v2/foo", "/nothing", "/v1", "/ui/", "/robots.txt"] {
        edge.raw("GET", path).send().await.fails_silently(404);
    }
    let root = edge.raw("GET", "/").send().await.is(404);
    assert_eq!(root.text, "404 page not found\n");
    assert_eq!((root.header("content-type"), root.header("cache-control")), ("text/plain; charset=utf-8", "no-store"));
    let text = "Missing /v1/ prefix in path. Use vault path-help command to retrieve API help for paths";
    edge.raw("HELP", "/nothing").send().await.fails(404, text);
    edge.raw("GET", "/nothing?help=1").send().await.fails(404, text);
}

#[tokio::test]
async fn a_path_without_a_mount_is_told_to_those_who_may_know() {
    let edge = Edge::open().await;
    let text = "no handler for route \"doesnotexist/foo\". route entry not found.";
    edge.get("doesnotexist/foo").root().send().await.fails(404, text);
    edge.get("doesnotexist/foo").send().await.fails(403, "permission denied");
}

#[tokio::test]
async fn post_and_put_are_the_same() {
    let edge = Edge::open().await;
    for method in ["POST", "PUT"] {
        let got = edge.ask(method, "cubbyhole/a").root().json(&json!({ "x": 1 })).send().await.is(200);
        assert_eq!((&got.echoed()["operation"], &got.echoed()["data"]), (&json!("update"), &json!({ "x": 1 })), "{method}");
    }
}

#[tokio::test]
async fn list_is_a_method_or_a_parameter_and_ends_in_a_slash() {
    let edge = Edge::open().await;
    for (method, path) in [
        ("LIST", "cubbyhole/a"),
        ("LIST", "cubbyhole/a/"),
        ("GET", "cubbyhole/a?list=true"),
        ("GET", "cubbyhole/a/?list=1"),
        ("GET", "cubbyhole/a?list=T"),
    ] {
        let data = edge.ask(method, path).root().send().await.is(200).echoed();
        assert_eq!((&data["operation"], &data["path"], &data["data"]), (&json!("list"), &json!("a/"), &json!({})), "{path}");
    }
}

#[tokio::test]
async fn list_that_is_false_is_a_read_and_that_is_no_boolean_is_refused() {
    let edge = Edge::open().await;
    let data = edge.get("cubbyhole/a?list=false").root().send().await.is(200).echoed();
    assert_eq!((&data["operation"], &data["data"]), (&json!("read"), &json!({ "list": "false" })));
    edge.get("cubbyhole/a?list=maybe").root().send().await.fails_silently(400);
}

#[tokio::test]
async fn methods_that_nothing_is_done_by_are_refused() {
    let edge = Edge::open().await;
    for method in ["TRACE", "FOO", "OPTIONS", "SCAN"] {
        edge.ask(method, "sys/mounts").root().send().await.fails_silently(405);
    }
    let head = edge.ask("HEAD", "sys/mounts").root().send().await.is(405);
    assert_eq!(head.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_path_that_ends_in_a_slash_cannot_be_written() {
    let edge = Edge::open().await;
    for method in ["POST", "PUT"] {
        let got = edge.ask(method, "cubbyhole/x/").root().json(&json!({ "a": 1 })).send().await;
        got.fails(400, "cannot write to a path ending in '/'");
    }
}

#[tokio::test]
async fn help_is_a_method_or_a_parameter() {
    let edge = Edge::open().await;
    for (method, path) in [("HELP", "cubbyhole/a"), ("GET", "cubbyhole/a?help=1"), ("POST", "cubbyhole/a?help=yes")] {
        let got = edge.ask(method, path).root().send().await.is(200);
        assert!(got.body()["help"].as_str().unwrap().contains("Matching Route"), "{got:?}");
        edge.ask(method, path).send().await.fails(403, "permission denied");
    }
    let read = edge.get("cubbyhole/a?help=").root().send().await.is(200);
    assert_eq!((&read.echoed()["operation"], &read.echoed()["data"]), (&json!("read"), &json!({})));
}
