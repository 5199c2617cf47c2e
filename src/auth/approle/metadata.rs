//! What is told about a secret id when it is generated, and goes with each login (spec `approle.md` §4, "Metadata").

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::mount::ApiError;

/// Reads an object of texts, or `k=v,k2=v2`, either as it is or in base64.
///
/// # Errors
/// 400 that says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let text = text.trim();
    let unpacked = STANDARD.decode(text).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = unpacked.as_deref().unwrap_or(text);
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let pairs = match object(text) {
        Some(pairs) => pairs,
        None => listed(text).map_err(|error| failed(&format!("failed to parse the input: {error}")))?,
    };
    match pairs.iter().find(|(key, value)| !key.is_empty() && value.is_empty()) {
        Some((key, _)) => Err(failed(&format!("invalid value for key {key:?}"))),
        None => Ok(pairs),
    }
}

fn object(text: &str) -> Option<BTreeMap<String, String>> {
    let map: Map<String, Value> = serde_json::from_str(text).ok()?;
    let pair = |(key, value)| match value {
        Value::String(value) => Some((key, value)),
        Value::Null => Some((key, String::new())),
        _ => None,
    };
    map.into_iter().map(pair).collect()
}

fn listed(text: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let items = text.split(',').map(|item| item.trim().to_lowercase()).filter(|item| !item.is_empty());
    items
        .map(|item| match item.split('=').collect::<Vec<_>>().as_slice() {
            [key, value] if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err("invalid <key,value> format"),
        })
        .collect()
}

fn failed(why: &str) -> ApiError {
    ApiError::invalid(format!("failed to parse metadata: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().text
    }

    #[test]
    fn metadata_is_an_object_or_a_list() {
        assert_eq!(parse("").unwrap(), pairs(&[]));
        assert_eq!(parse(" {} ").unwrap(), pairs(&[]));
        assert_eq!(parse(r#"{"Tag":"Prod"}"#).unwrap(), pairs(&[("Tag", "Prod")]));
        assert_eq!(parse("a=b, C=D").unwrap(), pairs(&[("a", "b"), ("c", "d")]));
    }

    #[test]
    fn metadata_may_come_in_base64() {
        assert_eq!(parse(&STANDARD.encode(r#"{"a":"b"}"#)).unwrap(), pairs(&[("a", "b")]));
        assert_eq!(parse(&STANDARD.encode("a=b")).unwrap(), pairs(&[("a", "b")]));
    }

    #[test]
    fn other_metadata_is_refused_in_the_known_words() {
        let format = "failed to parse metadata: failed to parse the input: invalid <key,value> format";
        assert_eq!(refused(r#"{"a":{"n":1}}"#), format);
        assert_eq!(refused(r#"{"a":1}"#), format);
        assert_eq!(refused("a"), format);
        assert_eq!(refused("a=b=c"), format);
        assert_eq!(refused("=b"), format);
        assert_eq!(refused(r#"{"k":""}"#), "failed to parse metadata: invalid value for key \"k\"");
        assert_eq!(refused("k="), "failed to parse metadata: invalid value for key \"k\"");
    }
}
