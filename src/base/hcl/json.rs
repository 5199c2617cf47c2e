//! The JSON form of a document. Strict: a key used twice in one object is an error, numbers stay exact.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Body, HclError, Item, MAX_JSON_DEPTH, Value, narrow};

/// Reads a document that begins with `{`.
pub(super) fn parse(text: &str) -> Result<Body, HclError> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| foreign(&error))?;
    let lines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at).collect();
    Reader { start: text.as_ptr() as usize, lines }.body(whole, 0)
}

/// Knows where in the document a value stands.
struct Reader {
    start: usize,
    lines: Vec<usize>,
}

impl Reader {
    fn value(&self, raw: &RawValue, depth: usize) -> Result<Value, HclError> {
        let read = |error| foreign_at(self.line(raw), &error);
        match raw.get().as_bytes().first() {
            Some(b'{') => self.body(raw, depth).map(Value::Object),
            Some(b'[') => self.list(raw, depth),
            Some(b'"') => serde_json::from_str(raw.get()).map(Value::String).map_err(read),
            Some(b't') => Ok(Value::Bool(true)),
            Some(b'f') => Ok(Value::Bool(false)),
            Some(b'n') => Ok(Value::Null),
            _ => serde_json::from_str(raw.get()).map(Value::Number).map_err(read),
        }
    }

    fn list(&self, raw: &RawValue, depth: usize) -> Result<Value, HclError> {
        self.check_depth(raw, depth)?;
        let values: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|error| foreign_at(self.line(raw), &error))?;
        values.into_iter().map(|value| self.value(value, depth + 1)).collect::<Result<_, _>>().map(Value::List)
    }

    fn body(&self, raw: &RawValue, depth: usize) -> Result<Body, HclError> {
        self.check_depth(raw, depth)?;
        let entries = serde_json::Deserializer::from_str(raw.get())
            .deserialize_map(Entries)
            .map_err(|error| foreign_at(self.line(raw), &error))?;
        let mut seen = std::collections::HashSet::new();
        if let Some((key, value)) = entries.iter().find(|(key, _)| !seen.insert(key.clone())) {
            return Err(HclError::at(self.line(value), format!("the key {key:?} is used twice")));
        }
        let item = |(key, value): (String, &RawValue)| {
            let line = self.line(value);
            Ok(Item { key, labels: Vec::new(), value: self.value(value, depth + 1)?, line })
        };
        entries.into_iter().map(item).collect::<Result<_, HclError>>().map(|items| Body { items })
    }

    fn check_depth(&self, raw: &RawValue, depth: usize) -> Result<(), HclError> {
        if depth < MAX_JSON_DEPTH {
            Ok(())
        } else {
            Err(HclError::at(self.line(raw), format!("nested deeper than {MAX_JSON_DEPTH}")))
        }
    }

    /// The line of a value, which is a piece of the document.
    fn line(&self, raw: &RawValue) -> u32 {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(self.start);
        narrow(self.lines.partition_point(|&end| end < offset) + 1)
    }
}

/// The entries of an object in their order, not read yet.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// An error of the whole document, with its own place.
fn foreign(error: &serde_json::Error) -> HclError {
    HclError { line: narrow(error.line()), column: narrow(error.column()), message: reason(error) }
}

/// An error in a piece of the document that begins on `line`.
fn foreign_at(line: u32, error: &serde_json::Error) -> HclError {
    HclError::at(line.saturating_add(narrow(error.line()).saturating_sub(1)), reason(error))
}

/// Why, without the place at its end, which counts from the piece.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!("invalid JSON: {}", text.strip_suffix(&place).unwrap_or(&text))
}
