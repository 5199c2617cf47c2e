//! Query strings and forms.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Not pairs of names and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of names and values")]
pub(super) struct FormError;

/// A query as data: a name that comes once is a text, one that comes again a list of them (spec `http-api.md` §2).
pub(super) fn query(text: &str) -> Result<Map<String, Value>, FormError> {
    let mut data = Map::new();
    for pair in pairs(text) {
        let (name, value) = pair?;
        if name == "help" {
            continue;
        }
        let value = Value::String(value.into_owned());
        match data.get_mut(&*name) {
            None => drop(data.insert(name.into_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Ok(data)
}

/// A form as data: a name that comes again has its values joined by commas. At most `limit` pairs.
pub(super) fn body(bytes: &[u8], limit: u64) -> Result<Map<String, Value>, FormError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FormError)?;
    let mut data = Map::new();
    for (pair, before) in pairs(text).zip(0..) {
        let (name, value) = pair?;
        if before >= limit {
            return Err(FormError);
        }
        match data.get_mut(&*name) {
            Some(Value::String(values)) => {
                values.push(',');
                values.push_str(&value);
            }
            _ => drop(data.insert(name.into_owned(), Value::String(value.into_owned()))),
        }
    }
    Ok(data)
}

/// The first value of a name.
pub(super) fn first<'a>(text: &'a str, wanted: &str) -> Result<Option<Cow<'a, str>>, FormError> {
    for pair in pairs(text) {
        let (name, value) = pair?;
        if name == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A Go boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn pairs(text: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), FormError>> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        // A semicolon parted pairs once; who means which is not to be guessed.
        if pair.contains(';') {
            return Err(FormError);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    })
}

fn decoded(text: &str) -> Result<Cow<'_, str>, FormError> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    if !is_percent_encoded(text) {
        return Err(FormError);
    }
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| FormError)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

/// Whether two hex digits follow each `%`.
pub(super) fn is_percent_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    let _before = parts.next();
    parts.all(|part| part.as_bytes().first_chunk::<2>().is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_is_texts_and_lists_of_texts() {
        let data = query("a=1&b=x+y%2Bz&a=2&c&help=1&&a=%C3%A9").unwrap();
        assert_eq!(Value::Object(data), json!({ "a": ["1", "2", "é"], "b": "x y+z", "c": "" }));
    }

    #[test]
    fn a_form_joins_by_commas() {
        let data = body(b"a=1&b=two&b=three&c=%7B", 4).unwrap();
        assert_eq!(Value::Object(data), json!({ "a": "1", "b": "two,three", "c": "{" }));
        assert_eq!(body(b"a=1&b=2", 1), Err(FormError));
    }

    #[test]
    fn broken_encodings_are_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "%=1", "a=%ff", "a=1;b=2"] {
            assert_eq!(query(text), Err(FormError), "{text}");
            assert_eq!(body(text.as_bytes(), 9), Err(FormError), "{text}");
        }
        assert_eq!(body(b"a=\xff", 9), Err(FormError));
    }
}
