use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Map<String, Value>, JsonError> {
    object(text.as_bytes(), &JsonLimits::default())
}

fn malformed(text: &str) -> bool {
    matches!(read(text), Err(JsonError::Malformed(_)))
}

#[test]
fn an_object_is_read_with_all_its_kinds_of_values() {
    let text = r#" { "a" : [1, -2.50e+3, true, false, null, "x\n\"\\\/\b\f\r\t"], "é\u00e9": {"": {}}, "l": [[], [ ]] } "#;
    let expected = json!({ "a": [1, Value::Null, true, false, null, "x\n\"\\/\u{8}\u{c}\r\t"], "éé": { "": {} }, "l": [[], []] });
    let mut read = read(text).unwrap();
    assert_eq!(read["a"][1].to_string(), "-2.50e+3");
    read["a"][1] = Value::Null;
    assert_eq!(Value::Object(read), expected);
}

#[test]
fn numbers_keep_their_text() {
    let read = read(r#"{"n":12345678901234567890123,"d":1.10,"e":1E400,"z":-0}"#).unwrap();
    assert_eq!(read["n"].to_string(), "12345678901234567890123");
    assert_eq!(read["d"].to_string(), "1.10");
    assert_eq!(read["z"].to_string(), "-0");
}

#[test]
fn an_object_with_the_name_of_a_number_is_an_object() {
    let text = r#"{"a":{"$serde_json::private::Number":"1"}}"#;
    assert!(read(text).unwrap()["a"].is_object());
}

#[test]
fn no_text_and_null_are_no_data() {
    for text in ["", " \n\t", "null", " null "] {
        assert_eq!(read(text), Ok(Map::new()), "{text:?}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["[1,2]", "\"text\"", "1", "true"] {
        assert_eq!(read(text), Err(JsonError::NotAnObject), "{text}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "{not json",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":1-2}",
        "{\"a\":nul}",
        "{\"a\":NaN}",
        "{\"a\":\"x}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\n\"}",
        "{'a':1}",
        "nope",
        "}",
        "\"x",
    ] {
        assert!(malformed(text), "{text}");
    }
    assert!(matches!(object(b"{\"a\":\"\xff\"}", &JsonLimits::default()), Err(JsonError::Malformed(6))));
}

#[test]
fn what_follows_the_first_value_is_not_looked_at() {
    assert_eq!(Value::Object(read("{\"a\":1} trailing").unwrap()), json!({ "a": 1 }));
}

#[test]
fn of_several_entries_of_one_name_the_last_counts() {
    assert_eq!(Value::Object(read(r#"{"a":{"b":1},"a":{"c":2}}"#).unwrap()), json!({ "a": { "c": 2 } }));
}

#[test]
fn pairs_of_code_units_make_a_character_and_lone_ones_none() {
    let read = read(r#"{"a":"\ud83d\ude00","b":"\ud83dx","c":"\ude00","d":"\ud83d\u0041","e":"\ud83d\ud83d\ude00"}"#).unwrap();
    assert_eq!(Value::Object(read), json!({ "a": "😀", "b": "\u{fffd}x", "c": "\u{fffd}", "d": "\u{fffd}A", "e": "\u{fffd}😀" }));
}

#[test]
fn each_limit_holds_exactly() {
    let limits = JsonLimits { depth: 3, string_length: Some(4), object_entries: 2, array_elements: 3, tokens: 13 };
    let read = |text: &str| object(text.as_bytes(), &limits).map(drop);
    for (fits, exceeds, what) in [
        (r#"{"a":[{}]}"#, r#"{"a":[[[]]]}"#, "many levels"),
        (r#"{"a":"1234"}"#, r#"{"a":"12345"}"#, "long a text"),
        (r#"{"a":"12\u00e9"}"#, r#"{"a":"123\u00e9"}"#, "long a text"),
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2,"c":3}"#, "many entries in one object"),
        (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2,"a":3}"#, "many entries in one object"),
        (r#"{"a":[1,2,3]}"#, r#"{"a":[1,2,3,4]}"#, "many elements in one array"),
        (r#"{"a":[1,2,3],"b":[1,2]}"#, r#"{"a":[1,2,3],"b":[1,2,3]}"#, "many parts"),
    ] {
        assert_eq!(read(fits), Ok(()), "{fits}");
        assert_eq!(read(exceeds), Err(JsonError::Exceeds(what)), "{exceeds}");
    }
}

#[test]
fn depth_without_limit_costs_no_stack_and_ends() {
    let limits = JsonLimits { depth: u64::MAX, tokens: u64::MAX, ..JsonLimits::default() };
    let text = "{\"a\":".to_owned() + &"[".repeat(1_000_000);
    assert_eq!(object(text.as_bytes(), &limits), Err(JsonError::Exceeds("many levels")));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such number", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(value in value()) {
        let text = serde_json::to_string_pretty(&json!({ "v": value })).unwrap();
        prop_assert_eq!(&read(&text).unwrap()["v"], &value);
    }

    #[test]
    fn any_text_is_judged_as_the_usual_parser_judges_it(text in "[{}\\[\\],:\"\\\\a-f0-9eE.+ untrls-]{0,24}") {
        // The usual parser reads to the end, refuses lone halves of pairs, and has one name of its own.
        let usual = serde_json::from_str::<Value>(&text);
        if let Ok(Value::Object(map)) = usual {
            prop_assert_eq!(read(&text), Ok(map));
        } else if let Ok(map) = read(&text) {
            let is_blank = text.trim().is_empty() || text.trim_start().starts_with("null");
            let has_more = serde_json::Deserializer::from_str(&text).into_iter::<Value>().next().is_some_and(|first| first.is_ok());
            prop_assert!(is_blank || has_more || text.contains("\\ud"), "{:?} read as {:?}", text, map);
        }
    }
}
