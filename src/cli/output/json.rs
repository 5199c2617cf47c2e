//! JSON as Go writes it: two blanks, `<`, `>`, `&` escaped, numbers exact.

use std::fmt::Write as _;

use serde_json::Value;

use super::Doc;

/// The text of a document, without a newline at its end.
pub(crate) fn text(doc: &Doc) -> String {
    let mut out = String::new();
    write_doc(&mut out, doc, 0);
    out
}

fn write_doc(out: &mut String, doc: &Doc, depth: usize) {
    match doc {
        Doc::Value(value) => write_value(out, value, depth),
        Doc::Object(members) => {
            let members = members.iter().map(|(name, member)| (name.as_str(), member));
            write_object(out, depth, members, write_doc);
        }
    }
}

fn write_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            let members = map.iter().map(|(name, value)| (name.as_str(), value));
            write_object(out, depth, members, write_value);
        }
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "\n" } else { ",\n" });
                indent(out, depth + 1);
                write_value(out, item, depth + 1);
            }
            out.push('\n');
            indent(out, depth);
            out.push(']');
        }
        Value::String(text) => write_string(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn write_object<'a, T: 'a>(
    out: &mut String,
    depth: usize,
    members: impl ExactSizeIterator<Item = (&'a str, &'a T)>,
    write: impl Fn(&mut String, &T, usize),
) {
    if members.len() == 0 {
        out.push_str("{}");
        return;
    }
    out.push('{');
    for (index, (name, member)) in members.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        indent(out, depth + 1);
        write_string(out, name);
        out.push_str(": ");
        write(out, member, depth + 1);
    }
    out.push('\n');
    indent(out, depth);
    out.push('}');
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_exact_and_markup_is_escaped() {
        let value: Value = serde_json::from_str(r#"{"n":12345678901234567890.10,"e":[],"o":{},"s":"<a&b>\n\u0001é"}"#).unwrap();
        assert_eq!(
            text(&Doc::Value(value)),
            "{\n  \"e\": [],\n  \"n\": 12345678901234567890.10,\n  \"o\": {},\n  \"s\": \"\\u003ca\\u0026b\\u003e\\n\\u0001é\"\n}"
        );
    }
}
