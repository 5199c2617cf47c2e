//! The usual layout of a policy file: two blanks of indentation, lists on one line, blocks apart, comments kept.
//!
//! It works on words, not on a policy's meaning: what it does not know it leaves as it is.

use std::fmt::Write as _;

/// Lays out a document anew. The result lays out to itself.
///
/// # Errors
/// `At LINE:COLUMN: …` where the text is not of the language.
pub(super) fn format(text: &str) -> Result<String, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("At 1:1: longer than {MAX_TEXT} bytes"));
    }
    let words = split(text)?;
    let mut writer = Writer { words: &words, at: 0, out: String::new() };
    writer.body(0, true)?;
    let mut out = writer.out.trim_end_matches('\n').to_owned();
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A name, number or boolean.
    Bare,
    /// A quoted text, quotes included.
    Quoted,
    /// A heredoc, from `<<` to the line of its mark.
    Heredoc,
    /// A comment that runs to the end of its line.
    Comment,
    /// A comment between marks.
    Inline,
    /// One of `= { } [ ] , :`.
    Mark(char),
    End,
}

#[derive(Debug, Clone)]
struct Word {
    kind: Kind,
    text: String,
    line: usize,
    column: usize,
    /// Empty lines before it.
    gap: bool,
    /// Whether it is the first of its line.
    first: bool,
}

fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut scanner = Scanner { rest: text.trim_start_matches('\u{feff}'), line: 1, column: 1 };
    let mut words: Vec<Word> = Vec::new();
    let mut last_line = 0;
    loop {
        scanner.skip_blanks();
        let (line, column) = (scanner.line, scanner.column);
        let (kind, text) = scanner.word()?;
        let is_end = kind == Kind::End;
        words.push(Word { kind, text, line, column, gap: last_line != 0 && line > last_line + 1, first: line != last_line });
        last_line = scanner.line;
        if is_end {
            return Ok(words);
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Scanner<'a> {
    fn skip_blanks(&mut self) {
        let end = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
        self.take(end);
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for letter in taken.chars() {
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    fn word(&mut self) -> Result<(Kind, String), String> {
        let Some(first) = self.rest.chars().next() else { return Ok((Kind::End, String::new())) };
        let (kind, end) = match first {
            '=' | '{' | '}' | '[' | ']' | ',' | ':' => (Kind::Mark(first), 1),
            '#' => (Kind::Comment, self.line_end()),
            '/' if self.rest.starts_with("//") => (Kind::Comment, self.line_end()),
            '/' if self.rest.starts_with("/*") => {
                let end = self.rest.find("*/").ok_or_else(|| self.wrong("comment not terminated"))?;
                (Kind::Inline, end + 2)
            }
            '"' => (Kind::Quoted, self.quoted_end()?),
            '<' if self.rest.starts_with("<<") => (Kind::Heredoc, self.heredoc_end()?),
            c if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+') => {
                let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
                (Kind::Bare, self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len()))
            }
            other => return Err(self.wrong(&format!("illegal character '{other}'"))),
        };
        let text = self.take(end).trim_end().to_owned();
        Ok((kind, text))
    }

    fn line_end(&self) -> usize {
        self.rest.find('\n').unwrap_or(self.rest.len())
    }

    fn quoted_end(&self) -> Result<usize, String> {
        let (mut escaped, mut depth, mut last) = (false, 0_usize, ' ');
        for (at, letter) in self.rest.char_indices().skip(1) {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '{' if last == '$' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '"' if depth == 0 => return Ok(at + 1),
                '\n' if depth == 0 => break,
                _ => {}
            }
            last = letter;
        }
        Err(self.wrong("literal not terminated"))
    }

    fn heredoc_end(&self) -> Result<usize, String> {
        let mut lines = self.rest.split_inclusive('\n');
        let head = lines.next().unwrap_or_default();
        let mark = head.trim_start_matches("<<").trim_start_matches('-').trim();
        let mut end = head.len();
        if !mark.is_empty() {
            for line in lines {
                if line.trim() == mark {
                    return Ok(end + line.trim_end().len());
                }
                end += line.len();
            }
        }
        Err(self.wrong("heredoc not terminated"))
    }

    fn wrong(&self, what: &str) -> String {
        format!("At {}:{}: {what}", self.line, self.column)
    }
}

struct Writer<'a> {
    words: &'a [Word],
    at: usize,
    out: String,
}

impl Writer<'_> {
    fn peek(&self) -> &Word {
        static END: Word = Word { kind: Kind::End, text: String::new(), line: 0, column: 0, gap: false, first: true };
        self.words.get(self.at).unwrap_or(&END)
    }

    fn next(&mut self) -> Word {
        let word = self.peek().clone();
        self.at += 1;
        word
    }

    fn wrong(&self, what: &str) -> String {
        format!("At {}:{}: {what}", self.peek().line, self.peek().column)
    }

    /// Items until the end of the block or the document.
    fn body(&mut self, depth: usize, is_root: bool) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("nested too deep"));
        }
        let mut last = Item::None;
        loop {
            let word = self.peek().clone();
            match word.kind {
                Kind::End if is_root => return Ok(()),
                Kind::Mark('}') if !is_root => return Ok(()),
                Kind::Mark(',') => {
                    self.next();
                }
                Kind::Comment | Kind::Inline => {
                    if last == Item::None || word.first {
                        let apart = last != Item::None && (word.gap || last == Item::Block);
                        self.start(depth, apart);
                        last = Item::Comment;
                    } else {
                        self.out.truncate(self.out.trim_end_matches('\n').len());
                        self.out.push(' ');
                    }
                    self.out.push_str(&word.text);
                    self.out.push('\n');
                    self.next();
                }
                Kind::Bare | Kind::Quoted => {
                    let is_block = self.is_block();
                    let after_comment = last == Item::Comment && !word.gap;
                    let apart = last != Item::None && !after_comment && (word.gap || is_block || last == Item::Block);
                    self.start(depth, apart);
                    self.item(depth)?;
                    last = if is_block { Item::Block } else { Item::Attribute };
                }
                Kind::End => return Err(self.wrong("object expected closing brace, got end of file")),
                Kind::Heredoc | Kind::Mark(_) => return Err(self.wrong(&format!("unexpected \"{}\"", word.text))),
            }
        }
    }

    fn start(&mut self, depth: usize, apart: bool) {
        if apart && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    /// Whether the item at hand is `name "label" {`.
    fn is_block(&self) -> bool {
        let mut marks = self.words.iter().skip(self.at).map(|word| &word.kind);
        marks.find(|kind| !matches!(kind, Kind::Bare | Kind::Quoted | Kind::Inline)) == Some(&Kind::Mark('{'))
    }

    fn item(&mut self, depth: usize) -> Result<(), String> {
        let first = self.next();
        self.out.push_str(&first.text);
        loop {
            let word = self.peek().clone();
            match word.kind {
                Kind::Quoted | Kind::Bare | Kind::Inline => {
                    let _ = write!(self.out, " {}", word.text);
                    self.next();
                }
                Kind::Mark('{') => {
                    self.out.push(' ');
                    self.object(depth)?;
                    self.out.push('\n');
                    return Ok(());
                }
                Kind::Mark('=' | ':') => {
                    self.next();
                    self.out.push_str(" = ");
                    self.value(depth)?;
                    self.out.push('\n');
                    return Ok(());
                }
                _ => {
                    return Err(
                        self.wrong(&format!("key \"{}\" expected start of object ('{{') or assignment ('=')", first.text))
                    );
                }
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        let word = self.peek().clone();
        match word.kind {
            Kind::Bare | Kind::Quoted | Kind::Heredoc => {
                self.out.push_str(&word.text);
                self.next();
                Ok(())
            }
            Kind::Mark('{') => self.object(depth),
            Kind::Mark('[') => self.list(depth),
            Kind::Inline => {
                self.out.push_str(&word.text);
                self.out.push(' ');
                self.next();
                self.value(depth)
            }
            _ => Err(self.wrong("value expected")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.next();
        if self.peek().kind == Kind::Mark('}') {
            self.next();
            self.out.push_str("{}");
            return Ok(());
        }
        self.out.push_str("{\n");
        self.body(depth + 1, false)?;
        self.next();
        self.out.extend(std::iter::repeat_n("  ", depth));
        self.out.push('}');
        Ok(())
    }

    /// A list on one line; on several when a comment or heredoc in it needs its line's end.
    fn list(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("nested too deep"));
        }
        self.next();
        let broken = self.list_needs_lines();
        self.out.push('[');
        let mut is_first = true;
        loop {
            let word = self.peek().clone();
            match word.kind {
                Kind::Mark(']') => break,
                Kind::Mark(',') => {
                    self.next();
                }
                Kind::Comment => {
                    let beside = !word.first && !is_first;
                    if beside {
                        self.out.push(' ');
                    } else {
                        self.break_line(depth + 1);
                    }
                    self.out.push_str(&word.text);
                    self.next();
                }
                Kind::End => return Err(self.wrong("list expected closing bracket, got end of file")),
                _ => {
                    if broken {
                        self.break_line(depth + 1);
                    } else if !is_first {
                        self.out.push_str(", ");
                    }
                    self.value(depth + 1)?;
                    if broken {
                        self.out.push_str(
                            if self.words.get(self.at.wrapping_sub(1)).is_some_and(|word| word.kind == Kind::Heredoc) {
                                "\n,"
                            } else {
                                ","
                            },
                        );
                    }
                    is_first = false;
                }
            }
        }
        if broken {
            self.break_line(depth);
        }
        self.next();
        self.out.push(']');
        Ok(())
    }

    fn break_line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    fn list_needs_lines(&self) -> bool {
        let mut depth = 1_usize;
        for word in self.words.iter().skip(self.at) {
            match word.kind {
                Kind::Comment | Kind::Heredoc => return true,
                Kind::Mark('[') => depth += 1,
                Kind::Mark(']') if depth == 1 => return false,
                Kind::Mark(']') => depth -= 1,
                _ => {}
            }
        }
        false
    }
}

/// What stands before the item at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    None,
    Comment,
    Attribute,
    Block,
}

/// Bytes of a policy: far above what a server takes.
const MAX_TEXT: usize = 4 * 1024 * 1024;
/// Blocks and lists within each other; policies have three.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_made_usual_and_stays() {
        let text = "# top\npath \"a/*\" { capabilities=[\"read\",\n\"list\"] }\npath \"b\" {\n policy=\"write\" # why\n\n\n// next\n  allowed_parameters = { \"k\"=[] \n \"l\" = [\"x\"]}\n}\n";
        let want = "# top\npath \"a/*\" {\n  capabilities = [\"read\", \"list\"]\n}\n\npath \"b\" {\n  policy = \"write\" # why\n\n  // next\n  allowed_parameters = {\n    \"k\" = []\n    \"l\" = [\"x\"]\n  }\n}\n";
        assert_eq!(format(text).unwrap(), want);
        assert_eq!(format(want).unwrap(), want);
    }

    #[test]
    fn comments_and_heredocs_survive() {
        let text = "a = [ # one\n  \"x\", # two\n  \"y\"\n]\nb = <<EOT\n  raw = [ 1,2 ]\nEOT\n/* all */ c = \"${f(\"x\")}\"\n";
        let once = format(text).unwrap();
        for piece in ["# one", "# two", "  raw = [ 1,2 ]\nEOT\n", "/* all */", "c = \"${f(\"x\")}\""] {
            assert!(once.contains(piece), "{once}");
        }
        assert_eq!(format(&once).unwrap(), once);
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, start) in [
            ("path \"x\" {", "At 1:11: "),
            ("path \"x {\n}", "At 1:6: "),
            ("a = ", "At 1:5: "),
            ("path \"x\" {\n  a ! b\n}", "At 2:5: "),
            ("a = [1", "At 1:7: "),
            ("}", "At 1:1: "),
            ("a", "At 1:2: "),
        ] {
            let error = format(text).unwrap_err();
            assert!(error.starts_with(start), "{text:?}: {error}");
        }
        assert!(format(&"a {".repeat(100)).is_err());
    }
}
