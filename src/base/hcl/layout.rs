//! The usual layout of a document: two blanks of indentation, one attribute a line, lists on one line, blocks apart.
//! Values keep their spelling, comments stay; a comment inside an item goes before it.

use super::lexer::{Kind, Lexer, Token};
use super::{HclError, is_json, normal, parse};

/// Lays out a document anew. The result says the same, and lays out to itself.
///
/// # Errors
/// When [`parse`] refuses the document, or it is JSON, which has no layout here.
pub fn fmt(text: &str) -> Result<String, HclError> {
    if is_json(text) {
        return Err(HclError::at_offset(text, 0, "the document is JSON; only HCL is laid out"));
    }
    // From here on it is known to be right, and not deep.
    parse(text)?;
    let text = normal(text);
    let mut lexer = Lexer::new(&text);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let is_end = token.kind == Kind::End;
        tokens.push(token);
        if is_end {
            break;
        }
    }
    let mut layout = Layout { text: &text, tokens, at: 0, out: String::with_capacity(text.len() + text.len() / 4) };
    layout.body(0);
    Ok(layout.out)
}

struct Layout<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    out: String,
}

/// What stands before the item at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Comment,
    Attribute,
    Block,
}

impl<'a> Layout<'a> {
    /// Items up to the closing brace or the end, each ending its line.
    fn body(&mut self, depth: usize) {
        let mut before = Before::Nothing;
        loop {
            match self.kind() {
                Kind::Close | Kind::End => return,
                Kind::Comma => self.at += 1,
                Kind::Comment if self.is_beside() => {
                    self.out.truncate(self.out.trim_end_matches('\n').len());
                    self.push(&[" ", self.word(), "\n"]);
                    self.at += 1;
                }
                Kind::Comment => {
                    self.start(depth, before != Before::Nothing && (self.is_apart() || before == Before::Block));
                    self.push(&[self.word(), "\n"]);
                    self.at += 1;
                    before = Before::Comment;
                }
                _ => {
                    let is_block = self.is_block();
                    let apart = match before {
                        Before::Nothing => false,
                        Before::Comment => self.is_apart(),
                        Before::Attribute => is_block || self.is_apart(),
                        Before::Block => true,
                    };
                    self.start(depth, apart);
                    self.item(depth);
                    before = if is_block { Before::Block } else { Before::Attribute };
                }
            }
        }
    }

    fn item(&mut self, depth: usize) {
        let mut start = self.out.len() - 2 * depth;
        let mut is_first = true;
        loop {
            match self.kind() {
                Kind::Comment => {
                    let line = format!("{}{}\n", "  ".repeat(depth), self.word());
                    self.out.insert_str(start, &line);
                    start += line.len();
                }
                Kind::Assign => self.push(&[" ="]),
                Kind::Open => {
                    self.push(&[" "]);
                    self.object(depth);
                    break;
                }
                Kind::Ident | Kind::String(_) if !self.follows_assign() => {
                    self.push(&[if is_first { "" } else { " " }, self.word()]);
                }
                _ => {
                    self.push(&[" "]);
                    self.value(depth);
                    break;
                }
            }
            is_first = false;
            self.at += 1;
        }
        self.push(&["\n"]);
    }

    /// The value at hand, and nothing behind it.
    fn value(&mut self, depth: usize) {
        match self.kind() {
            Kind::Open => self.object(depth),
            Kind::ListOpen => self.list(depth),
            _ => {
                self.push(&[self.word()]);
                self.at += 1;
            }
        }
    }

    fn object(&mut self, depth: usize) {
        self.at += 1;
        if *self.kind() == Kind::Close {
            self.push(&["{}"]);
        } else {
            self.push(&["{\n"]);
            self.body(depth + 1);
            self.indent(depth);
            self.push(&["}"]);
        }
        self.at += 1;
    }

    /// On one line, unless a comment or a heredoc in it needs the end of its line.
    fn list(&mut self, depth: usize) {
        self.at += 1;
        let broken = self.list_needs_lines();
        let mut is_first = true;
        self.push(&["["]);
        loop {
            match self.kind() {
                Kind::ListClose | Kind::End => break,
                Kind::Comma => self.at += 1,
                Kind::Comment => {
                    if self.is_beside() {
                        self.push(&[" "]);
                    } else {
                        self.push(&["\n"]);
                        self.indent(depth + 1);
                    }
                    self.push(&[self.word()]);
                    self.at += 1;
                }
                kind => {
                    let is_heredoc = matches!(kind, Kind::Heredoc(_));
                    if broken {
                        self.push(&["\n"]);
                        self.indent(depth + 1);
                    } else if !is_first {
                        self.push(&[", "]);
                    }
                    self.value(if broken { depth + 1 } else { depth });
                    if broken {
                        // The mark of a heredoc is alone on its line.
                        self.push(&[if is_heredoc { "\n," } else { "," }]);
                    }
                    is_first = false;
                }
            }
        }
        if broken {
            self.push(&["\n"]);
            self.indent(depth);
        }
        self.push(&["]"]);
        self.at += 1;
    }

    /// Whether there is a comment or heredoc in the list at hand, objects in it aside.
    fn list_needs_lines(&self) -> bool {
        let (mut lists, mut objects) = (1_usize, 0_usize);
        for token in self.tokens.iter().skip(self.at) {
            match token.kind {
                Kind::Comment | Kind::Heredoc(_) if objects == 0 => return true,
                Kind::Open => objects += 1,
                Kind::Close => objects = objects.saturating_sub(1),
                Kind::ListOpen => lists += 1,
                Kind::ListClose if lists == 1 => return false,
                Kind::ListClose => lists -= 1,
                _ => {}
            }
        }
        false
    }

    /// Whether the item at hand has a brace and no `=`.
    fn is_block(&self) -> bool {
        let mut kinds = self.tokens.iter().skip(self.at).map(|token| &token.kind);
        kinds.find(|kind| !matches!(kind, Kind::Ident | Kind::String(_) | Kind::Comment)) == Some(&Kind::Open)
    }

    fn follows_assign(&self) -> bool {
        let mut before = self.tokens.iter().take(self.at).rev().filter(|token| token.kind != Kind::Comment);
        before.next().is_some_and(|token| token.kind == Kind::Assign)
    }

    /// Whether the token at hand begins on the line on which the one before it ends, commas aside.
    fn is_beside(&self) -> bool {
        self.lines_since_last() == Some(0)
    }

    /// Whether there is an empty line before the token at hand.
    fn is_apart(&self) -> bool {
        self.lines_since_last().is_some_and(|lines| lines > 1)
    }

    fn lines_since_last(&self) -> Option<usize> {
        let last = self.tokens.iter().take(self.at).rfind(|token| token.kind != Kind::Comma)?;
        let between = self.text.get(last.end..self.tokens.get(self.at)?.start)?;
        Some(between.bytes().filter(|&byte| byte == b'\n').count())
    }

    /// Begins a line of its own.
    fn start(&mut self, depth: usize, apart: bool) {
        if apart && !self.out.ends_with("\n\n") {
            self.push(&["\n"]);
        }
        self.indent(depth);
    }

    fn indent(&mut self, depth: usize) {
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    fn push(&mut self, pieces: &[&str]) {
        self.out.extend(pieces.iter().copied());
    }

    fn kind(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    /// The token at hand as it was written.
    fn word(&self) -> &'a str {
        let word = self.tokens.get(self.at).and_then(|token| self.text.get(token.start..token.end));
        let word = word.unwrap_or_default();
        if *self.kind() == Kind::Comment { word.trim_end() } else { word }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lays_out(text: &str, expected: &str) {
        let once = fmt(text).unwrap();
        assert_eq!(once, expected);
        assert_eq!(fmt(&once).unwrap(), once);
        assert_eq!(parse(&once).unwrap().to_json(), parse(text).unwrap().to_json());
    }

    #[test]
    fn the_layout_is_made_usual_and_stays() {
        lays_out("", "");
        lays_out("\n\n# a\n\n\n\n# b", "# a\n\n# b\n");
        lays_out("a=1,b   = -0x1F\r\n\r\n\r\nc=\"\\x41${ f(\"x\") }\"", "a = 1\nb = -0x1F\n\nc = \"\\x41${ f(\"x\") }\"\n");
        lays_out(
            "# top\npath \"a/*\" { capabilities=[\"read\",\n\"list\"] }\n\"path\" \"b\"\n{\n policy\n=\n\"write\" # why\n\n\n// next\n  allowed_parameters { \"k\"=[] \n \"l\" = [\"x\",]}\n}\n",
            "# top\npath \"a/*\" {\n  capabilities = [\"read\", \"list\"]\n}\n\n\"path\" \"b\" {\n  policy = \"write\" # why\n\n  // next\n  allowed_parameters {\n    \"k\" = []\n    \"l\" = [\"x\"]\n  }\n}\n",
        );
        lays_out("a { b = 1 } c { } d = {e=1}\nf = 2", "a {\n  b = 1\n}\n\nc {}\n\nd = {\n  e = 1\n}\nf = 2\n");
        lays_out("a = [{b=1},\n{b=2}, [3, [ ]]]", "a = [{\n  b = 1\n}, {\n  b = 2\n}, [3, []]]\n");
    }

    #[test]
    fn comments_stay() {
        lays_out("a { # one\n b = 1 } # two\n# three", "a { # one\n  b = 1\n} # two\n\n# three\n");
        lays_out("a /* x */ \"b\" # y\n { }", "/* x */\n# y\na \"b\" {}\n");
        lays_out("x {\n  a = # y\n 1\n}", "x {\n  # y\n  a = 1\n}\n");
        lays_out(
            "a = [ # one\n  \"x\" # two\n , /* three */ \"y\"\n # four\n]",
            "a = [ # one\n  \"x\", # two\n  /* three */\n  \"y\",\n  # four\n]\n",
        );
        lays_out("/* all\n   of it */ a = 1 /* b */ c = 2 // d  ", "/* all\n   of it */\na = 1 /* b */\nc = 2 // d\n");
    }

    #[test]
    fn no_comment_of_the_kept_documents_is_lost() {
        let comments = |text: &str| {
            let text = normal(text);
            let mut lexer = Lexer::new(&text);
            let mut found = Vec::new();
            loop {
                match lexer.next().unwrap() {
                    Token { kind: Kind::End, .. } => break,
                    Token { kind: Kind::Comment, start, end, .. } => found.push(text[start..end].trim_end().to_owned()),
                    _ => {}
                }
            }
            found.sort();
            found
        };
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/hcl");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            // What libFuzzer found is bytes, not documents: `tests/it/fuzz` drives it.
            if entry.file_name().to_string_lossy().starts_with("found-") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            if let Ok(done) = fmt(&text) {
                assert_eq!(comments(&done), comments(&text), "{text}");
                seen += comments(&text).len();
            }
        }
        assert!(seen > 15);
    }

    #[test]
    fn heredocs_keep_their_lines() {
        lays_out("a { b = <<-E\n   x\n  E\n c = 1 }", "a {\n  b = <<-E\n   x\n  E\n  c = 1\n}\n");
        lays_out("a = [<<E\nx\nE\n, 1]", "a = [\n  <<E\nx\nE\n,\n  1,\n]\n");
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        assert_eq!(fmt("path \"x\" {").unwrap_err().to_string(), "At 1:10: this brace is not closed");
        assert_eq!(fmt("{}").unwrap_err().to_string(), "At 1:1: the document is JSON; only HCL is laid out");
    }
}
