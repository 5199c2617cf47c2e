//! Fields as clients send them: weakly typed (spec `00-conventions.md` §1, "Field types"). An input type is made of these;
//! `Option` of one tells supplied from absent, and `null` is absent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::base::Secret;
use crate::base::time::{Ttl, parse_nanos};

/// Puts what was supplied over what is stored; absent fields keep their value.
pub fn keep<T>(field: &mut T, supplied: Option<T>) {
    if let Some(value) = supplied {
        *field = value;
    }
}

/// Makes a newtype that serde reads through a function of a JSON value.
macro_rules! field {
    ($(#[$doc:meta])* $name:ident($inner:ty), $read:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let read: fn(Value) -> Result<$inner, String> = $read;
                read(Value::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }

        impl Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }
    };
}

field!(
    /// A text: a string, a number or a boolean.
    Text(String),
    text,
    { "type": "string" }
);
field!(
    /// A text in lower case.
    LowerText(String),
    |value| text(value).map(|text| text.to_lowercase()),
    { "type": "string" }
);
field!(
    /// A boolean: `true`, `1`, `"true"`, `"1"`, `"t"`; an empty text is `false`.
    Flag(bool),
    flag,
    { "type": "boolean" }
);
field!(
    /// An integer: a number or its text; an empty text is 0.
    Int(i64),
    int,
    { "type": "integer" }
);
field!(
    /// Texts: an array, or one text parted by commas; trimmed, empty ones left out.
    CommaList(Vec<String>),
    comma_list,
    { "type": "array", "items": { "type": "string" } }
);
field!(
    /// Texts: an array; one text is one item, commas in it count for nothing.
    TextList(Vec<String>),
    text_list,
    { "type": "array", "items": { "type": "string" } }
);
field!(
    /// Integers: an array, a number, or a text parted by commas.
    IntList(Vec<i64>),
    int_list,
    { "type": "array", "items": { "type": "integer" } }
);
field!(
    /// Pairs of texts: an object of scalars, or an array of `key=value`.
    Pairs(BTreeMap<String, String>),
    pairs,
    { "type": "object" }
);
field!(
    /// A JSON object.
    Object(serde_json::Map<String, Value>),
    |value| match value {
        Value::Object(map) => Ok(map),
        other => Err(unconvertible("map[string]interface {}", &other)),
    },
    { "type": "object" }
);

/// A duration that may be below zero, in seconds (spec `00-conventions.md` §1: most fields refuse it themselves).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignedSeconds(pub i64);

impl SignedSeconds {
    /// The length of time, unless it is below zero.
    pub fn ttl(self) -> Option<Ttl> {
        u64::try_from(self.0).ok().map(Ttl::seconds)
    }
}

impl<'de> Deserialize<'de> for SignedSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(Value::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let nanos = parse_nanos(&text).map_err(D::Error::custom)?;
        i64::try_from(nanos / 1_000_000_000).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for SignedSeconds {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "seconds" })
    }
}

/// A secret text.
#[derive(Clone, Debug, Default)]
pub struct SecretText(pub Secret<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(Value::deserialize(deserializer)?).map(|text| Self(Secret::new(text))).map_err(D::Error::custom)
    }
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

impl Deref for SecretText {
    type Target = Secret<String>;
    fn deref(&self) -> &Secret<String> {
        &self.0
    }
}

/// Names a type as clients know it from error texts, without the value.
fn unconvertible(wanted: &str, got: &Value) -> String {
    let got = match got {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "json.Number",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    format!("'' expected type '{wanted}', got unconvertible type '{got}'")
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        // As Go's weak decoding prints them.
        Value::Bool(flag) => Ok(if flag { "1" } else { "0" }.to_owned()),
        other => Err(unconvertible("string", &other)),
    }
}

fn flag(value: Value) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => Ok(flag),
        Value::Number(number) => Ok(number.as_f64().is_none_or(|number| number != 0.0)),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err("'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax".to_owned()),
        },
        other => Err(unconvertible("bool", &other)),
    }
}

fn int(value: Value) -> Result<i64, String> {
    let invalid = || "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax".to_owned();
    match value {
        Value::Bool(flag) => Ok(i64::from(flag)),
        Value::Number(number) => number.to_string().parse().map_err(|_| invalid()),
        Value::String(text) if text.is_empty() => Ok(0),
        Value::String(text) => text.parse().map_err(|_| invalid()),
        other => Err(unconvertible("int", &other)),
    }
}

fn comma_list(value: Value) -> Result<Vec<String>, String> {
    let trimmed = |items: Vec<String>| {
        let trimmed = items.into_iter().map(|item| item.trim().to_owned());
        trimmed.filter(|item| !item.is_empty()).collect()
    };
    match value {
        Value::String(text) => Ok(trimmed(text.split(',').map(str::to_owned).collect())),
        Value::Array(items) => items.into_iter().map(text).collect::<Result<Vec<_>, _>>().map(trimmed),
        other => text(other).map(|one| trimmed(vec![one])),
    }
}

fn text_list(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) => items.into_iter().map(text).collect(),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        other => text(other).map(|one| vec![one]),
    }
}

fn int_list(value: Value) -> Result<Vec<i64>, String> {
    match value {
        Value::Array(items) => items.into_iter().map(int).collect(),
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| int(item.into())).collect()
        }
        other => int(other).map(|one| vec![one]),
    }
}

fn pairs(value: Value) -> Result<BTreeMap<String, String>, String> {
    let split = |pair: &str| match pair.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("'' invalid key pair {pair:?}")),
    };
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| Ok((key, text(value)?))).collect(),
        Value::Array(items) => items.into_iter().map(|item| split(&text(item)?)).collect(),
        Value::String(text) if text.is_empty() => Ok(BTreeMap::new()),
        Value::String(text) => split(&text).map(|pair| BTreeMap::from([pair])),
        other => Err(unconvertible("map[string]string", &other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn booleans_come_in_every_form() {
        for (value, expected) in [
            (json!(true), true),
            (json!(1), true),
            (json!("t"), true),
            (json!("1"), true),
            (json!(""), false),
            (json!(0), false),
            (json!("false"), false),
        ] {
            assert_eq!(read::<Flag>(value.clone()), Ok(Flag(expected)), "{value}");
        }
        assert!(read::<Flag>(json!("maybe")).is_err());
        assert!(read::<Flag>(json!([true])).is_err());
    }

    #[test]
    fn numbers_come_as_text_too() {
        assert_eq!(read::<Int>(json!("5")), Ok(Int(5)));
        assert_eq!(read::<Int>(json!("")), Ok(Int(0)));
        assert_eq!(read::<Int>(json!(-7)), Ok(Int(-7)));
        assert!(read::<Int>(json!("five")).is_err());
        assert!(read::<Int>(json!(1.5)).is_err());
        assert_eq!(read::<Text>(json!(1.10)).unwrap().0, "1.1");
        assert!(read::<Text>(json!({})).is_err());
    }

    #[test]
    fn lists_are_arrays_or_parted_by_commas() {
        assert_eq!(read::<CommaList>(json!("a, b,,c ")).unwrap().0, ["a", "b", "c"]);
        assert_eq!(read::<CommaList>(json!(["a", " b"])).unwrap().0, ["a", "b"]);
        assert_eq!(read::<CommaList>(json!("")).unwrap().0, [""; 0]);
        assert_eq!(read::<TextList>(json!("a,b")).unwrap().0, ["a,b"]);
        assert_eq!(read::<IntList>(json!("1, 2")).unwrap().0, [1, 2]);
        assert_eq!(read::<IntList>(json!(3)).unwrap().0, [3]);
    }

    #[test]
    fn pairs_are_objects_or_lists() {
        let expected = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(read::<Pairs>(json!({ "a": 1 })).unwrap().0, expected);
        assert_eq!(read::<Pairs>(json!(["a=1"])).unwrap().0, expected);
        assert!(read::<Pairs>(json!({ "a": {} })).is_err());
        assert!(read::<Pairs>(json!(["a"])).is_err());
    }

    #[test]
    fn errors_do_not_quote_the_value() {
        let error = read::<Text>(json!({ "password": "hunter2" })).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
