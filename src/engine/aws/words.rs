//! Texts in the form Go prints them, which clients look into.

/// A text in double quotes, as Go's `%q` prints it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x80 && c.is_control() => out.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c if c.is_control() => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Several mistakes as one text.
pub(super) fn all_of(items: &[String]) -> String {
    let noun = if items.len() == 1 { "error" } else { "errors" };
    format!("{} {noun} occurred:\n\t* {}\n\n", items.len(), items.join("\n\t* "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_lines_are_escaped() {
        assert_eq!(quoted("a\"b\\c\nd\te\u{1}é"), "\"a\\\"b\\\\c\\nd\\te\\x01é\"");
    }

    #[test]
    fn mistakes_are_counted_and_listed() {
        assert_eq!(all_of(&["x".to_owned()]), "1 error occurred:\n\t* x\n\n");
        assert_eq!(all_of(&["x".to_owned(), "y".to_owned()]), "2 errors occurred:\n\t* x\n\t* y\n\n");
    }
}
