//! Objects within objects: merging a patch (RFC 7396), and their structure without values. Both go as deep as the JSON of a
//! request, which its reader bounds.

use serde_json::{Map, Value};

/// Merges a patch: objects by their keys, `null` removes, all else replaces.
pub(super) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(key)),
            Value::Object(patch) => {
                let slot = target.entry(key.as_str()).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(target) = slot {
                    merge(target, patch);
                }
            }
            value => drop(target.insert(key.clone(), value.clone())),
        }
    }
}

/// The keys of an object, so many levels of them; zero: all. What is no object, or one without keys, is `null`.
pub(super) fn subkeys(object: &Map<String, Value>, depth: u64) -> Map<String, Value> {
    let below = |value: &Value| match value {
        Value::Object(inner) if !inner.is_empty() && depth != 1 => Value::Object(subkeys(inner, depth.saturating_sub(1))),
        _ => Value::Null,
    };
    object.iter().map(|(key, value)| (key.clone(), below(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("{value} is no object") };
        map
    }

    #[test]
    fn patches_merge_as_in_the_rfc() {
        // Appendix A, those of objects.
        for (target, patch, expected) in [
            (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
            (json!({ "a": "b" }), json!({ "a": null }), json!({})),
            (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
            (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
            (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
            (json!({ "a": [{ "b": "c" }] }), json!({ "a": [1] }), json!({ "a": [1] })),
            (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
            (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
        ] {
            let mut merged = object(target.clone());
            merge(&mut merged, &object(patch.clone()));
            assert_eq!(Value::Object(merged), expected, "{target} with {patch}");
        }
    }

    #[test]
    fn structure_is_shown_to_a_depth() {
        let data = object(json!({ "a": 1, "b": { "c": { "d": 1 }, "e": [1, { "f": 2 }], "g": {} } }));
        for (depth, expected) in [
            (0, json!({ "a": null, "b": { "c": { "d": null }, "e": null, "g": null } })),
            (1, json!({ "a": null, "b": null })),
            (2, json!({ "a": null, "b": { "c": null, "e": null, "g": null } })),
            (3, json!({ "a": null, "b": { "c": { "d": null }, "e": null, "g": null } })),
            (u64::MAX, json!({ "a": null, "b": { "c": { "d": null }, "e": null, "g": null } })),
        ] {
            assert_eq!(Value::Object(subkeys(&data, depth)), expected, "{depth}");
        }
    }
}
