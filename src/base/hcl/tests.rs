use serde_json::json;

use super::*;

fn read(text: &str) -> serde_json::Value {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).to_json()
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(body) => panic!("{text:?} was read as {}", body.to_json()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_form_of_the_first_version_is_read() {
    let read_list = json!({ "path": { "a": { "capabilities": ["read"] } } });
    for text in [
        r#"path "a" { capabilities = ["read"] }"#,
        r#"path "a" { capabilities = ["read"], }"#,
        r#""path" "a" { "capabilities" = ["read"] }"#,
        "path \"a\" {\n  capabilities = [\"read\"] }",
        "path \"a\" { capabilities\n=\n[\"read\"]\n}",
        "path \"a\"\n{\n  capabilities =\n    [\"read\"]\n}",
        "path\n\"a\" {\n  capabilities = [\n    \"read\", # why\n  ]\n}",
        "path \"a\" {\r\n  capabilities = [\"read\"]\r\n}\r\n",
        "/* one\ntwo */ path \"a\" { // three\n capabilities = [\"read\"] # four\n}",
        "\u{feff}path \"a\" { capabilities = [\"read\"] }",
        r#"path = { "a" = { capabilities = ["read"] } }"#,
        r#"path { a { capabilities = ["read"] } }"#,
        r#"{"path": {"a": {"capabilities": ["read"]}}}"#,
        "  \n\u{20}{\"path\": {\"a\": {\"capabilities\": [\"read\"]}}}",
    ] {
        assert_eq!(read(text), read_list, "{text:?}");
    }
    for (text, expected) in [
        ("", json!({})),
        ("# only a comment", json!({})),
        ("a = 1 b = 2, c = 3", json!({ "a": 1, "b": 2, "c": 3 })),
        ("a {} b {}, c {}", json!({ "a": {}, "b": {}, "c": {} })),
        (r#"a { "x" = [] } "#, json!({ "a": { "x": [] } })),
        (r#"a "b" "c" { d = true }"#, json!({ "a": { "b": { "c": { "d": true } } } })),
        ("a.b-c_d = false", json!({ "a.b-c_d": false })),
        ("größe = 1", json!({ "größe": 1 })),
        ("a = { b = 1, c { d = 2 } }", json!({ "a": { "b": 1, "c": { "d": 2 } } })),
        ("a = [1, [2, []], {b = 3}, true, ]", json!({ "a": [1, [2, []], { "b": 3 }, true] })),
        ("a = [{b = 1},\n {b = 2}]", json!({ "a": [{ "b": 1 }, { "b": 2 }] })),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn numbers_in_every_notation() {
    for (text, expected) in [
        ("0", "0"),
        ("12", "12"),
        ("-12", "-12"),
        ("0x1F", "31"),
        ("-0x10", "-16"),
        ("017", "15"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1.", "1"),
        ("08.5", "8.5"),
        ("2e9", "2e9"),
        ("-2.5E-3", "-2.5e-3"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ] {
        let value = read(&format!("a = {text}\n"))["a"].to_string();
        assert!(value.replace("e+", "e") == expected, "{text}: {value}");
    }
    for text in ["1d", "1h30m", "09", "0x", "0xg", "-", ".", "-.5", "1.2.3", "1e", "--1", "+1", "0x8000000000000000"] {
        refused(&format!("a = {text}"));
    }
}

#[test]
fn quoted_texts_keep_or_resolve_what_they_hold() {
    for (text, expected) in [
        (r#""""#, ""),
        (r#""a\n\t\\\"b""#, "a\n\t\\\"b"),
        (r#""\x41\101\u0042\U0001F600""#, "AAB\u{1f600}"),
        (r#""\xc3\xa9""#, "é"),
        (r#""100%{x} %{y""#, "100%{x} %{y"),
        (r#""{{identity.entity.id}}""#, "{{identity.entity.id}}"),
        (r#""(&(cn=${user})(x=$y))""#, "(&(cn=${user})(x=$y))"),
        (r#""${lookup("a", "\n")}b\n""#, "${lookup(\"a\", \"\\n\")}b\n"),
        ("\"${a\n{b}}c\"", "${a\n{b}}c"),
        (r#""$${a}""#, "$${a}"),
    ] {
        assert_eq!(read(&format!("a = {text}")), json!({ "a": expected }), "{text}");
    }
    assert_eq!(read(r#"path "x/${y}" {}"#), json!({ "path": { "x/${y}": {} } }));
    for text in
        [r#""a"#, "\"a\nb\"", r#""\q""#, r#""\x4""#, r#""\400""#, r#""\18z""#, r#""\ud800""#, r#""\xff""#, r#""${a""#, "\"\0\""]
    {
        refused(&format!("a = {text}"));
    }
}

#[test]
fn heredocs_end_at_their_mark() {
    for (text, expected) in [
        ("a = <<EOF\nb\n c\nEOF\n", "b\n c\n"),
        ("a = <<EOF\nEOF", ""),
        ("a = <<EOF\nb EOF\nEOFx\n  EOF\n", "b EOF\nEOFx\n"),
        ("a = <<EOF\r\nb\r\nEOF\r\n", "b\n"),
        ("a = <<-EOF\n    b\n      c\n    EOF\n", "b\n  c\n"),
        ("a = <<-EOF\n  b\n    c\n    EOF\n", "  b\n    c\n"),
        ("a = <<-EOF\n\tb\n\tEOF\n", "b\n"),
        ("a = <<E1\n\"${x}\\n\nE1\n", "\"${x}\\n\n"),
    ] {
        assert_eq!(read(text), json!({ "a": expected }), "{text:?}");
    }
    assert_eq!(read("a = [<<EOF\nb\nEOF\n, \"c\"]\nd = 1"), json!({ "a": ["b\n", "c"], "d": 1 }));
    for text in ["a = <<EOF\nb\n", "a = <<EOF b\nEOF\n", "a = <<\nb\n", "a = <EOF", "a = <<EOF", "<<EOF\nEOF\n = 1"] {
        refused(text);
    }
}

#[test]
fn what_the_first_version_refuses_is_refused_with_its_place() {
    for (text, error) in [
        ("a = foo", "At 1:5: a word is no value; put quotes around it"),
        ("a = foo(\"b\")", "At 1:5: a word is no value; put quotes around it"),
        ("path \"x\" = {}", "At 1:10: a key with labels takes no =; write key \"label\" { … }"),
        ("\n\npath \"x\" {", "At 3:10: this brace is not closed"),
        ("a = {\n b = [1", "At 2:6: this bracket is not closed"),
        ("a =", "At 1:4: expected a value, found the end"),
        ("a", "At 1:2: expected = or { after the key, found the end"),
        ("= 1", "At 1:1: expected a key, found ="),
        ("{", "At 1:1: invalid JSON: EOF while parsing an object"),
        ("a = 1\n}", "At 2:1: expected a key, found }"),
        ("a = 1,, b = 2", "At 1:7: expected a key, found ,"),
        (", a = 1", "At 1:1: expected a key, found ,"),
        ("a = [1 2]", "At 1:8: expected , or ] in the list, found a number"),
        ("a = [1,,2]", "At 1:8: expected a value, found ,"),
        ("a = {b: 1}", "At 1:7: unexpected character ':'"),
        ("true = 1", "At 1:1: expected a key, found a truth value"),
        ("a = 1 /* x", "At 1:7: the comment is not closed"),
        ("a = 1 / 2", "At 1:7: unexpected character '/'; comments begin with #, // or /*"),
        ("é = \"\n", "At 1:5: the quoted text is not closed on its line"),
        ("a = 1d", "At 1:5: \"1d\" is no number; put quotes around it"),
    ] {
        assert_eq!(refused(text), error, "{text:?}");
    }
}

#[test]
fn json_is_strict_and_exact() {
    assert_eq!(refused("{\"a\": 1,\n \"a\": 2}"), "line 2: the key \"a\" is used twice");
    assert_eq!(refused("{\"a\": {\n\"b\": 1, \"\\u0062\": 2}}"), "line 2: the key \"b\" is used twice");
    assert_eq!(refused("{\"a\": 1} x"), "At 1:10: invalid JSON: trailing characters");
    assert!(refused("{\"a\": [1,\n,]}").starts_with("At 2:1: invalid JSON: expected value"));
    assert!(refused(r#"{"a": "\ud800"}"#).contains("invalid JSON"));
    assert_eq!(read(r#"{"a": 1.000000000000000000001}"#)["a"].to_string(), "1.000000000000000000001");
    assert_eq!(read(r#"{"$serde_json::private::Number": "x"}"#)["$serde_json::private::Number"], "x");
    let body = parse("{\n\"a\":\n {\"b\": null}, \"c\": [\n1]}").unwrap();
    assert_eq!(body.items().iter().map(|item| (item.key.as_str(), item.line)).collect::<Vec<_>>(), [("a", 3), ("c", 3)]);
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("a = [", "]"), ("a {", "}"), ("a = {", "}")] {
        let text = |depth| match open {
            "a = [" => format!("a = {}", nested("[", "]", depth)),
            _ => nested(open, close, depth),
        };
        assert!(parse(&text(MAX_DEPTH)).is_ok());
        assert!(refused(&text(MAX_DEPTH + 1)).contains("nested deeper than 64"));
        assert!(refused(&text(100_000)).contains("nested deeper than 64"));
    }
    assert!(refused(&format!("{} {{}}", "a ".repeat(100_000))).contains("nested deeper than 64"));
    let json = |depth| format!("{{\"a\":{}}}", nested("[", "]", depth));
    assert!(parse(&json(MAX_JSON_DEPTH - 1)).is_ok());
    assert_eq!(refused(&json(MAX_JSON_DEPTH)), "line 1: nested deeper than 129");
    assert_eq!(refused(&json(200_000)), "line 1: nested deeper than 129");
    assert!(parse(&format!("#{}", " ".repeat(MAX_LEN - 1))).is_ok());
    assert_eq!(refused(&" ".repeat(MAX_LEN + 1)), "the document is longer than 1048576 bytes");
}

#[test]
fn items_keep_order_lines_and_repetitions() {
    let body = parse("a = 1\nb \"x\" {\n  c = 2\n}\n/*\n*/ a = <<E\n1\nE\nd = \"${\n}\"\na = 3").unwrap();
    let places: Vec<_> = body.items().iter().map(|item| (item.key.as_str(), item.line)).collect();
    assert_eq!(places, [("a", 1), ("b", 2), ("a", 6), ("d", 9), ("a", 11)]);
    assert_eq!(body.repeated().map(|item| item.line), Some(6));
    assert_eq!(body.get("a").map(|item| item.line), Some(11));
    assert_eq!(body.all("a").count(), 3);
    assert_eq!(parse("a {} a {} b { c = 1 } d { c = 1 }").unwrap().repeated(), None);
}

#[test]
fn blocks_are_found_in_every_form() {
    for text in [
        "l \"tcp\" { n = 1 }\nl \"unix\" { n = 2 }",
        "l { tcp { n = 1 } unix { n = 2 } }",
        "l = { tcp = { n = 1 }, unix = { n = 2 } }",
        "l = [{ tcp { n = 1 } }, { unix = { n = 2 } }]",
        r#"{"l": {"tcp": {"n": 1}, "unix": {"n": 2}}}"#,
        r#"{"l": [{"tcp": {"n": 1}}, {"unix": [{"n": 2}]}]}"#,
    ] {
        let body = parse(text).unwrap();
        let blocks = body.blocks("l", 1).unwrap();
        let found: Vec<_> = blocks.iter().map(|block| (block.labels[0], block.body.get("n").unwrap().value.to_int())).collect();
        assert_eq!(found, [("tcp", Some(1)), ("unix", Some(2))], "{text}");
    }
    let error = |text: &str, labels| parse(text).unwrap().blocks("l", labels).unwrap_err().to_string();
    assert_eq!(error("\nl { n = 1 }", 1), "line 2: \"l\" needs a label before its brace");
    assert_eq!(error("l \"a\" \"b\" { n = 1 }", 1), "line 1: \"l\" has too many labels");
    assert_eq!(error("l \"a\" {}", 0), "line 1: \"l\" has too many labels");
    assert_eq!(error("l = 1", 1), "line 1: \"l\" must be a block");
    assert_eq!(parse("l {}\nl {}").unwrap().blocks("l", 0).unwrap().len(), 2);
    assert_eq!(parse("a = 1").unwrap().blocks("l", 0), Ok(vec![]));
}

#[test]
fn values_convert_as_settings_need_them() {
    let body = parse(r#"a = [true, "true", 1, "1", "t", false, "false", 0, "", "yes", 2, []]"#).unwrap();
    let bools: Vec<_> = body.items()[0].value.as_list().iter().map(Value::to_bool).collect();
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(bools, [yes, yes, yes, yes, yes, no, no, no, no, None, None, None]);
    let body = parse(r#"a = [7, "7", " -7 ", "", 1.5, "x", true]"#).unwrap();
    let ints: Vec<_> = body.items()[0].value.as_list().iter().map(Value::to_int).collect();
    assert_eq!(ints, [Some(7), Some(7), Some(-7), Some(0), None, None, None]);
    let body = parse(r#"a = [90, "90", "1m30s"], b = -1, c = true, d = "x""#).unwrap();
    assert!(body.items()[0].value.as_list().iter().all(|value| value.to_ttl() == Ok(crate::base::Ttl::seconds(90))));
    assert!(body.items()[1..].iter().all(|item| item.value.to_ttl().is_err()));
    assert_eq!(parse("a = \"x\"").unwrap().items()[0].value.to_texts(), Some(vec!["x".to_owned()]));
    assert_eq!(parse("a = [\"x\", {}]").unwrap().items()[0].value.to_texts(), None);
}

/// A second opinion: where hcl-rs, which reads the second version, accepts a document, it says the same.
#[test]
fn agrees_with_the_second_version_where_both_read() {
    let mut compared = 0;
    for text in [
        "path \"secret/*\" {\n  capabilities = [\"read\", \"list\"]\n}\n",
        "# a\n// b\n/* c */\npath \"a\" {\n  policy = \"write\"\n}\npath \"b\" {\n  min_wrapping_ttl = \"1m\"\n}\n",
        "a = 1\nb = -2\nc = 1.5\nd = true\ne = \"x\\ty\"\nf = [1, \"2\", [3]]\n",
        "a = {\n  \"b\" = 1\n  c = [\n    2, # two\n    3,\n  ]\n}\n",
        "a = <<EOF\nline\n  line\nEOF\n",
        "a = <<-EOF\n  line\n    line\n  EOF\n",
        "listener \"tcp\" {\n  address = \"127.0.0.1:8200\"\n  telemetry {\n    x = true\n  }\n}\n",
        "path \"{{identity.entity.id}}/+/x\" {\n  capabilities = []\n}\n",
        "a \"b\" \"c\" {\n  d = 1\n}\n",
        "a = \"\\u00e9\"\n",
        "path \"a\" { capabilities = [\"read\"] }\n",
        "",
    ] {
        let theirs: serde_json::Value = hcl::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read(text), theirs, "{text}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

/// The usual layout takes away most of what the second version does not read.
#[test]
fn agrees_with_the_second_version_on_the_kept_documents_laid_out() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/hcl");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        // What libFuzzer found is bytes, not documents: `tests/it/fuzz` drives it.
        if entry.file_name().to_string_lossy().starts_with("found-") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let Ok(laid_out) = fmt(&text) else { continue };
        if let Ok(theirs) = hcl::from_str::<serde_json::Value>(&laid_out) {
            assert_eq!(read(&text), theirs, "{laid_out}");
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared}");
}
