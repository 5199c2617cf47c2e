//! Text to tokens. Comments are tokens too, for the formatter; blanks and the ends of lines mean nothing.

use super::{HclError, narrow};

/// A piece of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// First byte, and the byte after the last.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The line of the first byte, from 1.
    pub(super) line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Ident,
    /// Quoted, escapes resolved.
    String(String),
    /// Between `<<MARK` and `MARK`.
    Heredoc(String),
    /// In JSON's notation.
    Number(serde_json::Number),
    Bool(bool),
    Open,
    Close,
    ListOpen,
    ListClose,
    Comma,
    Assign,
    Comment,
    End,
}

/// Walks over a text with `\n` as end of lines.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The text between two bytes.
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// An error at a byte.
    pub(super) fn error_at<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, HclError> {
        Err(HclError::at_offset(self.text, offset, message))
    }

    /// The next token; [`Kind::End`] at the end, again and again.
    pub(super) fn next(&mut self) -> Result<Token, HclError> {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.line += usize::from(byte == b'\n');
            self.at += 1;
        }
        let (start, line) = (self.at, narrow(self.line));
        let kind = self.kind()?;
        Ok(Token { kind, start, end: self.at, line })
    }

    fn kind(&mut self) -> Result<Kind, HclError> {
        let Some(first) = self.rest().chars().next() else { return Ok(Kind::End) };
        match first {
            '{' => Ok(self.single(Kind::Open)),
            '}' => Ok(self.single(Kind::Close)),
            '[' => Ok(self.single(Kind::ListOpen)),
            ']' => Ok(self.single(Kind::ListClose)),
            ',' => Ok(self.single(Kind::Comma)),
            '=' => Ok(self.single(Kind::Assign)),
            '"' => self.string().map(Kind::String),
            '#' => Ok(self.line_comment()),
            '/' => self.comment(),
            '<' => self.heredoc().map(Kind::Heredoc),
            '0'..='9' | '-' | '.' => self.number().map(Kind::Number),
            c if is_letter(c) => Ok(self.ident()),
            c => self.error_at(self.at, format!("unexpected character {c:?}")),
        }
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    fn ident(&mut self) -> Kind {
        let part = |c: char| is_letter(c) || c.is_numeric() || c == '-' || c == '.';
        let rest = self.rest();
        let word = rest.get(..rest.find(|c| !part(c)).unwrap_or(rest.len())).unwrap_or_default();
        self.at += word.len();
        match word {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            _ => Kind::Ident,
        }
    }

    fn line_comment(&mut self) -> Kind {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        Kind::Comment
    }

    fn comment(&mut self) -> Result<Kind, HclError> {
        if self.rest().starts_with("//") {
            return Ok(self.line_comment());
        }
        let Some(inner) = self.rest().strip_prefix("/*") else {
            return self.error_at(self.at, "unexpected character '/'; comments begin with #, // or /*");
        };
        let Some(len) = inner.find("*/") else { return self.error_at(self.at, "the comment is not closed") };
        self.line += inner.bytes().take(len).filter(|&byte| byte == b'\n').count();
        self.at += len + 4;
        Ok(Kind::Comment)
    }

    /// A quoted text. What is between `${` and its `}` is taken as it stands, quotes and ends of lines included.
    fn string(&mut self) -> Result<String, HclError> {
        let start = self.at;
        let mut out = Vec::new();
        let mut braces = 0_usize;
        self.at += 1;
        loop {
            let at = self.at;
            let Some(byte) = self.bump() else { return self.error_at(start, "the quoted text is not closed") };
            match byte {
                b'"' if braces == 0 => break,
                b'\n' if braces == 0 => return self.error_at(start, "the quoted text is not closed on its line"),
                0 => return self.error_at(at, "unexpected null character"),
                b'\n' => self.line += 1,
                b'\\' if braces == 0 => {
                    self.escape(at, &mut out)?;
                    continue;
                }
                b'$' if braces == 0 && self.peek() == Some(b'{') => {
                    out.push(b'$');
                    self.at += 1;
                    braces = 1;
                    out.push(b'{');
                    continue;
                }
                b'{' if braces > 0 => braces += 1,
                b'}' if braces > 0 => braces -= 1,
                _ => {}
            }
            out.push(byte);
        }
        // Only escapes of bytes can break it: `"\xff"`.
        String::from_utf8(out).or_else(|_| self.error_at(start, "the escapes do not make a valid text"))
    }

    /// What follows a backslash at `at`.
    fn escape(&mut self, at: usize, out: &mut Vec<u8>) -> Result<(), HclError> {
        let byte = match self.bump() {
            Some(b'a') => 0x07,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(same @ (b'\\' | b'"')) => same,
            Some(b'x') => self.digits(at, 2, 16).and_then(|value| self.byte(at, value))?,
            Some(b'0'..=b'7') => {
                self.at -= 1;
                self.digits(at, 3, 8).and_then(|value| self.byte(at, value))?
            }
            Some(kind @ (b'u' | b'U')) => {
                let value = self.digits(at, if kind == b'u' { 4 } else { 8 }, 16)?;
                let Some(c) = char::from_u32(value) else { return self.error_at(at, "the escape names no character") };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return self.error_at(at, "unknown escape; write \\\\ for a backslash"),
        };
        out.push(byte);
        Ok(())
    }

    fn digits(&mut self, at: usize, count: usize, radix: u32) -> Result<u32, HclError> {
        let digits = self.text.get(self.at..self.at + count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(value) = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()) else {
            return self.error_at(at, format!("the escape needs {count} digits"));
        };
        self.at += count;
        Ok(value)
    }

    fn byte(&self, at: usize, value: u32) -> Result<u8, HclError> {
        u8::try_from(value).or_else(|_| self.error_at(at, "the escape is larger than a byte"))
    }

    /// `<<MARK` and the lines to the one that is `MARK` alone, blanks before it aside. With `<<-`, the blanks before the
    /// last mark are taken from all lines, if all have them.
    fn heredoc(&mut self) -> Result<String, HclError> {
        let start = self.at;
        let Some(head) = self.rest().strip_prefix("<<") else { return self.error_at(start, "unexpected character '<'") };
        let (head, indented) = head.strip_prefix('-').map_or((head, false), |head| (head, true));
        let mark = head.get(..head.find(|c: char| !is_letter(c) && !c.is_numeric()).unwrap_or(head.len())).unwrap_or_default();
        if mark.is_empty() {
            return self.error_at(start, "<< needs a mark, such as <<EOF");
        }
        let Some(mut rest) = head.get(mark.len()..).and_then(|rest| rest.strip_prefix('\n')) else {
            return self.error_at(start, format!("nothing may follow <<{mark} on its line"));
        };
        let mut lines = Vec::new();
        loop {
            self.line += 1;
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            let marked = line.trim_end_matches('\r');
            if let Some(blanks) = marked.strip_suffix(mark).filter(|blanks| blanks.trim().is_empty()) {
                self.at = self.text.len() - rest.len() + marked.len();
                let strip = indented && lines.iter().all(|line: &&str| line.starts_with(blanks));
                let cut = if strip { blanks.len() } else { 0 };
                return Ok(lines.iter().flat_map(|line| [line.get(cut..).unwrap_or_default(), "\n"]).collect());
            }
            if line.len() == rest.len() {
                return self.error_at(start, format!("no line is {mark} alone: the text is not closed"));
            }
            lines.push(line);
            rest = after;
        }
    }

    /// `12`, `-3`, `0x1F`, `017`, `1.5`, `.5`, `2e9`.
    fn number(&mut self) -> Result<serde_json::Number, HclError> {
        let start = self.at;
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let is_hex = digits.starts_with("0x") || digits.starts_with("0X");
        let mut before = None;
        let end = rest.find(|c: char| {
            let may_sign = before.is_none_or(|before| matches!(before, 'e' | 'E') && !is_hex);
            before = Some(c);
            !(is_letter(c) || c.is_numeric() || c == '.' || (matches!(c, '-' | '+') && may_sign))
        });
        let end = end.unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        self.at += end;
        parse_number(word).map_or_else(
            || {
                let shown: String = word.chars().take(SHOWN).collect();
                self.error_at(start, format!("\"{shown}\" is no number; put quotes around it"))
            },
            Ok,
        )
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn parse_number(word: &str) -> Option<serde_json::Number> {
    let (sign, digits) = word.strip_prefix('-').map_or(("", word), |digits| ("-", digits));
    let whole = |digits: &str, radix| {
        let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(serde_json::Number::from)
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return whole(hex, 16);
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return whole(digits, 8);
    }
    // JSON wants a digit on both sides of the point.
    let (mantissa, exponent) = digits.find(['e', 'E']).map_or((digits, ""), |at| digits.split_at(at));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if before.is_empty() && (after.is_empty() || !sign.is_empty()) {
        return None;
    }
    let before = before.trim_start_matches('0');
    let before = if before.is_empty() { "0" } else { before };
    let point = if after.is_empty() { "" } else { "." };
    serde_json::from_str(&format!("{sign}{before}{point}{after}{exponent}")).ok()
}

/// Characters of a wrong number that an error repeats.
const SHOWN: usize = 40;
