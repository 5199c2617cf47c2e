//! Data arguments.

use super::stub::Stub;

#[test]
fn words_become_texts_lists_and_objects() {
    let stub = Stub::start();
    stub.reply("PUT /v1/rw/a", 204, "");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "line\n").unwrap();
    let object = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(object.path(), r#"{"big":12345678901234567890.10,"deep":{"a":[1,true,null]}}"#).unwrap();
    let at = |path: &std::path::Path| format!("@{}", path.display());
    for (words, body) in [
        (vec!["n=5".to_owned(), "l=[1,2]".to_owned()], r#"{"l":"[1,2]","n":"5"}"#),
        (vec!["a=b=c".to_owned(), "e=".to_owned()], r#"{"a":"b=c","e":""}"#),
        (vec!["x=1".to_owned(), "x=2".to_owned(), "x=3".to_owned()], r#"{"x":["1","2","3"]}"#),
        (vec![format!("v={}", at(file.path()))], "{\"v\":\"line\\n\"}"),
        (vec!["v=\\@x".to_owned(), "w=\\-".to_owned()], r#"{"v":"@x","w":"-"}"#),
        (vec![at(object.path()), "k=v".to_owned()], r#"{"big":12345678901234567890.10,"deep":{"a":[1,true,null]},"k":"v"}"#),
        (vec!["v=-".to_owned()], "{\"v\":\"from stdin\\n\"}"),
    ] {
        let words: Vec<&str> = ["write", "rw/a"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let out = stub.call(&words).stdin("from stdin\n").run().ok();
        assert_eq!(out, "Success! Data written to: rw/a\n");
        assert_eq!(stub.last().body, body);
        assert_eq!(stub.last().header("content-type"), Some("application/json"));
    }
    stub.call(&["write", "/rw/a/", "-"]).stdin(r#"{"j":1.10}"#).run().ok();
    assert_eq!(stub.last().body, r#"{"j":1.10}"#);
}

#[test]
fn bad_words_are_named() {
    let stub = Stub::start();
    let binary = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(binary.path(), [0xff, 0xfe]).unwrap();
    let binary = format!("v=@{}", binary.path().display());
    for (words, text) in [
        (vec!["novalue"], "invalid key/value pair \"novalue\": format must be key=value".to_owned()),
        (vec!["v=-", "w=-"], "invalid key/value pair \"w=-\": stdin already consumed".to_owned()),
        (
            vec!["v=@notafile"],
            "invalid key/value pair \"v=@notafile\": error reading file: open notafile: no such file or directory".to_owned(),
        ),
        (vec![binary.as_str()], format!("invalid key/value pair \"{binary}\": error reading file: ")),
        (vec!["-"], "invalid key/value pair \"-\": not a JSON object: ".to_owned()),
    ] {
        let words: Vec<&str> = ["write", "rw/a"].into_iter().chain(words).collect();
        let told = stub.call(&words).stdin("[1]").run().fails(1);
        assert!(told.starts_with(&format!("Failed to parse K=V data: {text}")), "{told}");
    }
    assert!(stub.lines().is_empty());
}

#[test]
fn reads_and_deletes_send_words_as_query() {
    let stub = Stub::start();
    stub.data("GET /v1/aws/creds/x%20y?role=a%2Fb&ttl=1h", r#"{"k":"v"}"#).reply("DELETE /v1/kv/a?x=1&x=2", 204, "");
    stub.run(&["read", "aws/creds/x y", "ttl=1h", "role=a/b"]).ok();
    assert_eq!(stub.run(&["delete", "kv/a", "x=1", "x=2"]).ok(), "Success! Data deleted (if it existed) at: kv/a\n");
    assert_eq!(stub.last().body, "");
}

#[test]
fn a_patch_is_a_merge_patch() {
    let stub = Stub::start();
    stub.reply("PATCH /v1/rw/a", 204, "");
    stub.run(&["patch", "rw/a", "x=1"]).ok();
    assert_eq!(stub.last().header("content-type"), Some("application/merge-patch+json"));
}
