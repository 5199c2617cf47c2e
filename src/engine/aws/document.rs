//! Policy documents as texts: made compact, and merged (`aws-secrets-engine.md` §7.2, §14.1).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::aws::Inline;

/// A JSON text without the blanks between its parts; the order of keys is kept. `None`: it is no JSON.
pub(super) fn compact(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len());
    let (mut is_text, mut is_escaped) = (false, false);
    for c in text.chars() {
        if is_text {
            out.push(c);
            (is_text, is_escaped) = (is_escaped || c != '"', !is_escaped && c == '\\');
        } else if !matches!(c, ' ' | '\t' | '\n' | '\r') {
            out.push(c);
            is_text = c == '"';
        }
    }
    Some(out)
}

/// One session policy out of those of groups and, last, the role's own. Without any of a group, the role's as it is.
///
/// # Errors
/// Which document cannot be read.
pub(super) fn merged(groups: &[Inline], own: &str) -> Result<String, String> {
    if groups.is_empty() {
        return Ok(own.to_owned());
    }
    let mut statements: Vec<Box<RawValue>> = Vec::new();
    for Inline { name, document } in groups {
        statements.extend(statements_of(document).map_err(|error| format!("policy \"{name}\" of a group: {error}"))?);
    }
    statements.extend(statements_of(own).map_err(|error| format!("policy_document of the role: {error}"))?);
    let statements: Vec<&str> = statements.iter().map(|statement| statement.get()).collect();
    Ok(format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(",")))
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Statement", default)]
    statement: Option<Box<RawValue>>,
}

fn statements_of(document: &str) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
    if document.trim().is_empty() {
        return Ok(Vec::new());
    }
    let Some(statement) = serde_json::from_str::<Document>(document)?.statement else { return Ok(Vec::new()) };
    match statement.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str(statement.get()),
        Some(b'n') => Ok(Vec::new()),
        _ => Ok(vec![statement]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(document: &str) -> Inline {
        Inline { name: "p".to_owned(), document: document.to_owned() }
    }

    #[test]
    fn blanks_go_and_order_stays() {
        let compacted = compact("{ \"b\": [1,  2],\n \"a\" : \"x \\\" y\\\\\" }").unwrap();
        assert_eq!(compacted, r#"{"b":[1,2],"a":"x \" y\\"}"#);
        assert_eq!(compact("{not json"), None);
        assert_eq!(compact("{} {}"), None);
    }

    #[test]
    fn without_documents_of_groups_the_roles_own_is_passed_as_it_is() {
        assert_eq!(merged(&[], r#"{"Id":"x"}"#).unwrap(), r#"{"Id":"x"}"#);
    }

    #[test]
    fn statements_are_joined_in_order_and_the_roles_come_last() {
        let groups =
            [inline(r#"{"Version":"2008-10-17","Statement":{"Effect":"Deny"}}"#), inline(r#"{"Statement":[{"a":1},{"a":2}]}"#)];
        let merged = merged(&groups, r#"{"Id":"own","Statement":[{"a":3}]}"#).unwrap();
        assert_eq!(merged, r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny"},{"a":1},{"a":2},{"a":3}]}"#);
    }

    #[test]
    fn empty_documents_are_passed_over_and_bad_ones_named() {
        let merged_empty = merged(&[inline("{}"), inline("")], "").unwrap();
        assert_eq!(merged_empty, r#"{"Version":"2012-10-17","Statement":[]}"#);
        assert!(merged(&[inline("{bad")], "").unwrap_err().contains("\"p\""));
    }
}
