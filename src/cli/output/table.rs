//! Tables: columns padded to their widest cell, four blanks between them.

use serde_json::Value;

use crate::cli::duration;

/// Rows of two columns under `Key` and `Value`.
pub(crate) fn key_value(rows: &[(String, String)]) -> String {
    let rows: Vec<_> = rows.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    with_head(&["Key", "Value"], &rows)
}

/// Rows under underlined heads.
pub(crate) fn with_head(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut all = vec![
        heads.iter().map(|&head| head.to_owned()).collect::<Vec<_>>(),
        heads.iter().map(|head| "-".repeat(width(head).max(MIN_RULE))).collect(),
    ];
    all.extend(rows.iter().cloned());
    columns(&all, 4)
}

/// Rows with `gap` blanks between columns; empty cells are `n/a`.
pub(crate) fn columns(rows: &[Vec<String>], gap: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| match row.get(column).map(String::as_str) {
        None => String::new(),
        Some("") => "n/a".to_owned(),
        Some(text) => text.to_owned(),
    };
    let widths: Vec<usize> =
        (0..count).map(|column| rows.iter().map(|row| width(&cell(row, column))).max().unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (column, size) in widths.iter().enumerate() {
            let text = cell(row, column);
            line.push_str(&text);
            if column + 1 < count {
                line.extend(std::iter::repeat_n(' ', size + gap - width(&text)));
            }
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Columns a text takes on a terminal, near enough: its characters.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// A value as a cell shows it: `<nil>`, `[a b]`, `map[k:v]`.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(cell).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let members: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", cell(value))).collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// The cell of a value under `key`: numbers of seconds are shown as durations where the name says so.
pub(crate) fn cell_under(key: &str, value: &Value) -> String {
    match value {
        Value::Number(number) if is_duration(key) => number.as_i64().map_or_else(|| number.to_string(), duration::short),
        other => cell(other),
    }
}

/// One row for each member.
pub(crate) fn rows(map: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    map.iter().map(|(key, value)| (key.clone(), cell_under(key, value))).collect()
}

/// `==== Title ====` over a table or path whose longest key or line has `length` characters.
pub(crate) fn title(text: &str, length: usize) -> String {
    let rest = match length.saturating_sub(width(text) + 2) {
        0 => 4,
        rest => rest + rest % 2,
    };
    let rule = "=".repeat(rest / 2);
    format!("{rule} {text} {rule}")
}

/// Folds a text at [`LINE`] columns, each line indented by `indent`.
pub(crate) fn fold(text: &str, indent: usize) -> String {
    let room = LINE - indent;
    let pad = " ".repeat(indent);
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && width(&line) + 1 + width(word) > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

fn is_duration(key: &str) -> bool {
    matches!(key, "ttl" | "period" | "duration" | "lease_max" | "ttl_max")
        || ["_ttl", "_period", "_duration"].iter().any(|end| key.ends_with(end))
}

/// Columns of folded text.
const LINE: usize = 78;
/// Dashes under the shortest head.
const MIN_RULE: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_print_as_go_prints_values() {
        for (value, text) in [
            (json!(null), "<nil>"),
            (json!("a b"), "a b"),
            (json!([1, true, null, "x"]), "[1 true <nil> x]"),
            (json!({"b": {"c": []}, "a": null}), "map[a:<nil> b:map[c:[]]]"),
        ] {
            assert_eq!(cell(&value), text);
        }
    }

    #[test]
    fn only_numbers_under_the_right_names_are_durations() {
        assert_eq!(cell_under("token_ttl", &json!(5400)), "1h30m");
        assert_eq!(cell_under("ttl", &json!("5400")), "5400");
        assert_eq!(cell_under("num", &json!(5400)), "5400");
        assert_eq!(cell_under("ttl", &json!(1.5)), "1.5");
    }

    #[test]
    fn tables_align_and_empty_cells_say_so() {
        let rows = [("a".to_owned(), String::new()), ("longer".to_owned(), "x".to_owned())];
        assert_eq!(key_value(&rows), "Key       Value\n---       -----\na         n/a\nlonger    x");
    }

    #[test]
    fn titles_have_the_length_of_what_they_head() {
        assert_eq!(title("Secret Path", "kvc/data/a".len()), "== Secret Path ==");
        assert_eq!(title("Metadata", "custom_metadata".len() + 9), "======= Metadata =======");
        assert_eq!(title("Data", "foo".len() + 9), "=== Data ===");
        assert_eq!(title("Version 1", "deletion_time".len() + 9), "====== Version 1 ======");
        assert_eq!(title("Metadata", "delete_version_after".len() + 9), "========== Metadata ==========");
    }

    #[test]
    fn warnings_are_folded() {
        let text = "* Detected use of legacy role or policy parameter. Please upgrade to use the new parameters.";
        assert_eq!(
            fold(text, 2),
            "  * Detected use of legacy role or policy parameter. Please upgrade to use the\n  new parameters."
        );
    }
}
