//! YAML of JSON values: keys sorted, strings that could be read as another type quoted (spec `cli.md` §4).

use std::fmt::Write as _;

use serde_json::Value;

/// The text of a value, with a newline at its end.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        other => {
            out.push_str(&scalar(other, 0));
            out.push('\n');
        }
    }
    out
}

fn write_map(out: &mut String, map: &serde_json::Map<String, Value>, depth: usize) {
    for (index, (name, value)) in map.iter().enumerate() {
        if index > 0 || out.ends_with('\n') || out.is_empty() {
            indent(out, depth);
        }
        out.push_str(&key(name));
        out.push(':');
        write_member(out, value, depth, depth + 1);
    }
}

fn write_list(out: &mut String, items: &[Value], depth: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || out.ends_with('\n') || out.is_empty() {
            indent(out, depth);
        }
        out.push('-');
        match item {
            Value::Object(map) if !map.is_empty() => {
                out.push(' ');
                write_map(out, map, depth + 1);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push(' ');
                write_list(out, items, depth + 1);
            }
            other => {
                out.push(' ');
                out.push_str(&scalar(other, depth + 1));
                out.push('\n');
            }
        }
    }
}

/// What follows `key:`. Lists stand as deep as their key.
fn write_member(out: &mut String, value: &Value, list_depth: usize, map_depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write_map(out, map, map_depth);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write_list(out, items, list_depth);
        }
        other => {
            out.push(' ');
            out.push_str(&scalar(other, map_depth));
            out.push('\n');
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn scalar(value: &Value, depth: usize) -> String {
    match value {
        Value::String(text) if text.contains('\n') && fits_block(text) => block(text, depth),
        Value::String(text) => quoted(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn key(name: &str) -> String {
    quoted(name)
}

/// A string that is plain where it can be, single-quoted where it must be, double-quoted where that does not suffice
/// or it looks like another type.
fn quoted(text: &str) -> String {
    if looks_otherwise(text)
        || text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        return double_quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() && u32::from(letter) < 0x100 => {
                let _ = write!(out, "\\x{:02X}", u32::from(letter));
            }
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Whether a plain scalar of this text would be read as something else than a string.
fn looks_otherwise(text: &str) -> bool {
    const WORDS: &[&str] =
        &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".nan", ".inf", "-.inf", "+.inf", "<<", "="];
    let lower = text.to_lowercase();
    if text.is_empty() || WORDS.contains(&lower.as_str()) {
        return true;
    }
    let body = lower.trim_start_matches(['+', '-']).replace('_', "");
    let number = body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (body.parse::<f64>().is_ok()
            || is_in_base(&body, "0x", 16)
            || is_in_base(&body, "0o", 8)
            || is_in_base(&body, "0b", 2)
            || body.contains(':')
                && body.split(':').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == '.')));
    number || is_time(text)
}

/// Whether a text is a mark and digits of that base behind it, as many as a number has.
fn is_in_base(text: &str, mark: &str, base: u32) -> bool {
    let digits = text.strip_prefix(mark).filter(|digits| digits.chars().all(|digit| digit.is_digit(base)));
    digits.is_some_and(|digits| u64::from_str_radix(digits, base).is_ok())
}

/// `2006-01-02`, alone or with a time of day behind it.
fn is_time(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (year, month, rest) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    let day_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, after) = rest.split_at(day_end);
    digits(year, 4)
        && year.is_some_and(|year| year.len() == 4)
        && digits(month, 2)
        && digits(Some(day), 2)
        && (after.is_empty() || after.starts_with(['T', 't', ' ']))
}

fn is_plain(text: &str) -> bool {
    let starts_ill = text.starts_with(|c: char| " ,[]{}#&*!|>'\"%@`".contains(c))
        || (text.starts_with(['-', '?', ':']) && text.chars().nth(1).is_none_or(|next| next == ' '));
    let ends_ill = text.ends_with([' ', ':']);
    !(starts_ill || ends_ill || text.contains(": ") || text.contains(" #") || text.starts_with("---") || text.starts_with("..."))
}

/// Whether the text survives as a literal block: nothing but printable lines, the first not indented.
fn fits_block(text: &str) -> bool {
    let printable =
        text.chars().all(|c| c == '\n' || (!c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')));
    printable && !text.starts_with([' ', '\n']) && !text.lines().any(|line| line.ends_with(' '))
}

fn block(text: &str, depth: usize) -> String {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    let mark = match ends {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let mut out = mark.to_owned();
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(&mut out, depth.max(1));
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_that_look_like_something_else_are_quoted() {
        for (value, yaml) in [
            ("n", "\"n\""),
            ("5", "\"5\""),
            ("-1.5e3", "\"-1.5e3\""),
            ("0x1f", "\"0x1f\""),
            ("-0b101", "\"-0b101\""),
            ("0b89b569-4a3a-4302-b4b3-105bc3cbce5c", "0b89b569-4a3a-4302-b4b3-105bc3cbce5c"),
            ("0o8", "0o8"),
            ("0x", "0x"),
            ("1:30", "\"1:30\""),
            ("null", "\"null\""),
            ("", "\"\""),
            ("2026-01-02T03:04:05Z", "\"2026-01-02T03:04:05Z\""),
            ("2026-01-02", "\"2026-01-02\""),
            ("[1,2]", "'[1,2]'"),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("'x", "'''x'"),
            ("- x", "'- x'"),
            ("-x", "-x"),
            ("1.2.3", "1.2.3"),
            ("1.14.10", "1.14.10"),
            ("a\tb", "\"a\\tb\""),
            ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
        ] {
            assert_eq!(quoted(value), yaml);
        }
    }

    #[test]
    fn maps_lists_and_texts_nest() {
        let value = json!({"b": [1, {"x": [], "y": "t"}, ["z"]], "a": {}, "n": null, "t": "l1\nl2\n", "u": "p\n\nq"});
        assert_eq!(
            text(&value),
            "a: {}\nb:\n- 1\n- x: []\n  \"y\": t\n- - z\n\"n\": null\nt: |\n  l1\n  l2\nu: |-\n  p\n\n  q\n"
        );
        assert_eq!(text(&json!([])), "[]\n");
        assert_eq!(text(&json!(["a"])), "- a\n");
    }
}
