//! The headers of the signed request as clients send them (spec `aws-auth-method.md` §12.1): a JSON object, that as text, that
//! in base64, or a list of `Name:value`. Values are texts, numbers or lists of texts.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::client_config::canonical;

/// Names in their usual spelling, each with its values in order, in the order of their first mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::auth::aws) struct HeaderField(pub(super) Vec<(String, Vec<String>)>);

impl HeaderField {
    /// All values of a header; the name in its usual spelling.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.0.iter().find(|(own, _)| own == name).map(|(_, values)| values.as_slice()).unwrap_or_default()
    }

    fn add(&mut self, name: &str, value: String) {
        let name = canonical(name);
        match self.0.iter_mut().find(|(own, _)| *own == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    fn of_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Object(map) => {
                let mut headers = Self::default();
                for (name, value) in map {
                    headers.add_values(&name, value)?;
                }
                Ok(headers)
            }
            Value::String(text) => Self::of_text(&text),
            Value::Array(lines) => Self::of_lines(lines),
            _ => Err("headers must be an object, a list, or text".to_owned()),
        }
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > LONGEST {
            return Err("headers are too large".to_owned());
        }
        let decoded = if text.starts_with('{') { text.as_bytes().to_vec() } else { BASE64.decode(text).map_err(|_| NO_TEXT)? };
        let mut reader = serde_json::Deserializer::from_slice(&decoded);
        let headers = Mentions.deserialize(&mut reader).map_err(|error| error.to_string())?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(headers)
    }

    fn of_lines(lines: Vec<Value>) -> Result<Self, String> {
        let mut headers = Self::default();
        for line in lines {
            let pair = line.as_str().and_then(|line| line.split_once(':'));
            let Some((name, value)) = pair else { return Err("a header in a list must be \"Name:value\"".to_owned()) };
            headers.add(name.trim(), value.trim().to_owned());
        }
        Ok(headers)
    }

    fn add_values(&mut self, name: &str, value: Value) -> Result<(), String> {
        match value {
            Value::Array(values) => {
                for value in values {
                    self.add(name, scalar(value).ok_or(NO_VALUE)?);
                }
                Ok(())
            }
            value => {
                self.add(name, scalar(value).ok_or(NO_VALUE)?);
                Ok(())
            }
        }
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Reads an object; a name that is there twice has two values, where a map would keep one of them.
struct Mentions;

impl<'de> DeserializeSeed<'de> for Mentions {
    type Value = HeaderField;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<HeaderField, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Mentions {
    type Value = HeaderField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderField, A::Error> {
        let mut headers = HeaderField::default();
        while let Some((name, OneOrMany(values))) = map.next_entry::<String, OneOrMany>()? {
            for value in values {
                headers.add(&name, value);
            }
        }
        Ok(headers)
    }
}

/// One scalar, or a flat list of them: what is nested is refused before it is read.
struct OneOrMany(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(NO_VALUE)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![number.to_string()]))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![number.to_string()]))
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![number.to_string()]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                // A number in its own text, or an object.
                let value = Value::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                scalar(value).map(|text| OneOrMany(vec![text])).ok_or_else(|| A::Error::custom(NO_VALUE))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut values = Vec::new();
                while let Some(item) = items.next_element::<Value>()? {
                    values.push(scalar(item).ok_or_else(|| A::Error::custom(NO_VALUE))?);
                }
                Ok(OneOrMany(values))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for HeaderField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for HeaderField {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "object", "array"] })
    }
}

/// Bytes of the text of all headers; what is allowed in them is much less.
const LONGEST: usize = 128 << 10;

const NO_VALUE: &str = "a header's value must be a string, a number, or a list of strings";
const NO_TEXT: &str = "headers must be a JSON object, or that in base64";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<HeaderField, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn all_forms_say_the_same() {
        let object = json!({ "x-amz-date": "20260101T000000Z", "Content-Length": 43, "Accept": ["a", "b"] });
        let expected = read(object.clone()).unwrap();
        assert_eq!(expected.values("Accept"), ["a", "b"]);
        assert_eq!(expected.values("X-Amz-Date"), ["20260101T000000Z"]);
        assert_eq!(expected.values("Content-Length"), ["43"]);
        let text = object.to_string();
        let same = |headers: &HeaderField| {
            let mut sorted = headers.0.clone();
            sorted.sort();
            sorted
        };
        for form in [
            json!(text),
            json!(BASE64.encode(&text)),
            json!(["X-Amz-Date: 20260101T000000Z", "content-length:43", "accept: a", "Accept:b"]),
        ] {
            assert_eq!(same(&read(form).unwrap()), same(&expected));
        }
    }

    #[test]
    fn a_name_that_is_there_twice_has_both_values() {
        let twice = read(json!(r#"{"Authorization":"a","authorization":"b","Authorization":["c"]}"#)).unwrap();
        assert_eq!(twice.values("Authorization"), ["a", "b", "c"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for value in [
            json!(5),
            json!("%%%"),
            json!("[1]"),
            json!("{\"a\":{\"b\":\"c\"}}"),
            json!("{\"a\":[[\"b\"]]}"),
            json!("{\"a\":true}"),
            json!("{\"a\":null}"),
            json!("{\"a\":\"b\"} x"),
            json!({ "a": { "b": 1 } }),
            json!(["no colon"]),
            json!(BASE64.encode("not json")),
        ] {
            assert!(read(value.clone()).is_err(), "{value}");
        }
        assert_eq!(read(json!("")).unwrap(), HeaderField::default());
    }
}
