//! `custom_metadata`: what owners of keys note, within limits (spec `kv.md` §3).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::mount::ApiError;

/// Reads a whole map.
///
/// # Errors
/// 400 that names all that is wrong.
pub(super) fn whole(given: &Map<String, Value>) -> Result<BTreeMap<String, String>, ApiError> {
    let read = |(key, value): (&String, &Value)| Ok((key.clone(), text(key, value)?));
    checked(given.iter().map(read).collect::<Result<_, ApiError>>()?)
}

/// Merges a patch into what is there; `null` removes a key. What comes of it is held to the limits.
///
/// # Errors
/// As above.
pub(super) fn patched(
    stored: &BTreeMap<String, String>,
    patch: &Map<String, Value>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut merged = stored.clone();
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(key);
        } else {
            merged.insert(key.clone(), text(key, value)?);
        }
    }
    checked(merged)
}

fn text(key: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(if *flag { "1" } else { "0" }.to_owned()),
        // An empty text, which is refused as one.
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(ApiError::invalid(format!(
            "{FAILED}the value for key {key:?} is nested: only texts, numbers and booleans are kept"
        ))),
    }
}

fn checked(map: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    let wrong = wrong(&map);
    if wrong.is_empty() {
        return Ok(map);
    }
    let mut text = match wrong.len() {
        1 => "1 error occurred:".to_owned(),
        count => format!("{count} errors occurred:"),
    };
    for one in wrong {
        text.push_str("\n\t* ");
        text.push_str(FAILED);
        text.push_str(&one);
    }
    text.push_str("\n\n");
    Err(ApiError::invalid(text))
}

fn wrong(map: &BTreeMap<String, String>) -> Vec<String> {
    if map.len() > MOST_KEYS {
        return vec![format!("payload must contain at most {MOST_KEYS} keys, provided {}", map.len())];
    }
    let mut wrong = Vec::new();
    for (key, value) in map {
        if key.is_empty() || key.len() > LONGEST_KEY {
            wrong.push(format!("length of key {key:?} is {} but must be 0 < len(key) <= {LONGEST_KEY}", key.len()));
        }
        if value.is_empty() || value.len() > LONGEST_VALUE {
            let len = value.len();
            wrong.push(format!("length of value for key {key:?} is {len} but must be 0 < len(value) <= {LONGEST_VALUE}"));
        }
        if !key.chars().all(is_printable) {
            wrong.push(format!("key {key:?} ({key}) contains unprintable characters"));
        }
        if !value.chars().all(is_printable) {
            wrong.push(format!("value for key {key:?} contains unprintable characters"));
        }
    }
    wrong
}

/// Whether the standard library prints a character as it is. The letter before it is for marks, which only there need none.
fn is_printable(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || ['a', c].iter().collect::<String>().escape_debug().eq(['a', c])
}

const FAILED: &str = "custom_metadata validation failed: ";
const MOST_KEYS: usize = 64;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 512;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("{value} is no object") };
        map
    }

    fn refused(value: Value) -> String {
        whole(&object(value)).unwrap_err().text
    }

    fn keys(count: usize) -> Map<String, Value> {
        (0..count).map(|number| (format!("k{number}"), json!("v"))).collect()
    }

    #[test]
    fn what_is_within_the_limits_is_kept_as_text() {
        let given = json!({ "a".repeat(128): "v".repeat(512), "n": 1.50, "b": true, "ü \"'\\": "na\u{308}ïve 漢字 🎉" });
        let kept = whole(&object(given)).unwrap();
        assert_eq!((kept["n"].as_str(), kept["b"].as_str(), kept.len()), ("1.5", "1", 4));
        assert_eq!(whole(&keys(64)).unwrap().len(), 64);
        assert!(whole(&Map::new()).unwrap().is_empty());
    }

    #[test]
    fn what_is_beyond_them_is_named() {
        let one = |text: &str| format!("1 error occurred:\n\t* custom_metadata validation failed: {text}\n\n");
        let text = whole(&keys(65)).unwrap_err().text;
        assert_eq!(text, one("payload must contain at most 64 keys, provided 65"));
        let key = "k".repeat(129);
        assert_eq!(
            refused(json!({ &key: "v" })),
            one(&format!("length of key \"{key}\" is 129 but must be 0 < len(key) <= 128"))
        );
        let empty = one("length of value for key \"k\" is 0 but must be 0 < len(value) <= 512");
        assert_eq!(refused(json!({ "k": "" })), empty);
        assert_eq!(refused(json!({ "k": null })), empty);
        let long = one("length of value for key \"k\" is 513 but must be 0 < len(value) <= 512");
        assert_eq!(refused(json!({ "k": "v".repeat(513) })), long);
        assert_eq!(refused(json!({ "k": "a\nb" })), one("value for key \"k\" contains unprintable characters"));
        assert_eq!(refused(json!({ "k\u{a0}": "v" })), one("key \"k\\u{a0}\" (k\u{a0}) contains unprintable characters"));
        assert_eq!(refused(json!({ "": "v" })), one("length of key \"\" is 0 but must be 0 < len(key) <= 128"));
    }

    #[test]
    fn all_that_is_wrong_is_in_one_text() {
        let text = refused(json!({ "a": "", "b": "\u{7}" }));
        let expected = "2 errors occurred:\n\t* custom_metadata validation failed: length of value for key \"a\" is 0 but must be \
                        0 < len(value) <= 512\n\t* custom_metadata validation failed: value for key \"b\" contains unprintable \
                        characters\n\n";
        assert_eq!(text, expected);
        assert!(refused(json!({ "k": { "n": 1 } })).starts_with("custom_metadata validation failed: the value for key \"k\""));
    }

    #[test]
    fn a_patch_removes_with_null_and_its_result_is_checked() {
        let stored = whole(&object(json!({ "a": "1", "b": "2" }))).unwrap();
        let patched_with = |patch| patched(&stored, &object(patch));
        let merged = patched_with(json!({ "a": null, "c": 3, "absent": null })).unwrap();
        assert_eq!(merged, BTreeMap::from([("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]));
        let text = patched(&whole(&keys(64)).unwrap(), &object(json!({ "more": "v" }))).unwrap_err().text;
        assert!(text.contains("at most 64 keys, provided 65"), "{text}");
        assert!(patched(&whole(&keys(64)).unwrap(), &object(json!({ "k1": null, "more": "v" }))).is_ok());
    }
}
