//! A template's text to its words.

use super::TemplateError;

/// A word of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Outside of braces.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `random`, `if`, `true`.
    Word(String),
    /// `.Type`, without the dot.
    Field(String),
    /// `"text"` or `` `text` ``.
    Quoted(String),
    /// `42`.
    Number(i64),
    /// `(`.
    Left,
    /// `)`.
    Right,
    /// `|`.
    Pipe,
}

/// Takes the text apart.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut eats = false;
    while let Some((before, inside)) = rest.split_once("{{") {
        let (inside, eats_before) = match inside.strip_prefix("- ") {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        push_text(&mut tokens, before, eats, eats_before);
        tokens.push(Token::Open);
        let mut inner = Inner { rest: inside };
        while let Some(token) = inner.next()? {
            tokens.push(token);
        }
        tokens.push(Token::Close);
        (rest, eats) = match inner.rest.strip_prefix("-}}") {
            Some(after) => (after, true),
            None => (inner.rest.strip_prefix("}}").unwrap_or_default(), false),
        };
    }
    push_text(&mut tokens, rest, eats, false);
    Ok(tokens)
}

fn push_text(tokens: &mut Vec<Token>, text: &str, eats_front: bool, eats_back: bool) {
    let text = if eats_front { text.trim_start() } else { text };
    let text = if eats_back { text.trim_end() } else { text };
    if !text.is_empty() {
        tokens.push(Token::Text(text.to_owned()));
    }
}

/// What is between two pairs of braces.
struct Inner<'t> {
    rest: &'t str,
}

impl Inner<'_> {
    /// The next word; none at the closing braces.
    fn next(&mut self) -> Result<Option<Token>, TemplateError> {
        let bare = self.rest.trim_start();
        let has_blank = bare.len() < self.rest.len();
        self.rest = bare;
        if bare.starts_with("}}") || (has_blank && bare.starts_with("-}}")) {
            return Ok(None);
        }
        let Some(first) = bare.chars().next() else { return Err(TemplateError::new("unclosed action")) };
        let token = match first {
            '(' => self.one(Token::Left),
            ')' => self.one(Token::Right),
            '|' => self.one(Token::Pipe),
            '"' => self.quoted()?,
            '`' => self.raw()?,
            '.' => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                Token::Field(self.word())
            }
            '-' | '0'..='9' => {
                let (sign, digits) = self.rest.split_at(usize::from(first == '-'));
                self.rest = digits;
                let number = format!("{sign}{}", self.word());
                let bad = |_| TemplateError::new(format!("bad number syntax: \"{number}\""));
                Token::Number(number.parse().map_err(bad)?)
            }
            c if c.is_alphabetic() || c == '_' => Token::Word(self.word()),
            c => return Err(TemplateError::new(format!("unexpected {c:?} in command"))),
        };
        Ok(Some(token))
    }

    fn one(&mut self, token: Token) -> Token {
        self.rest = self.rest.get(1..).unwrap_or_default();
        token
    }

    fn word(&mut self) -> String {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn quoted(&mut self) -> Result<Token, TemplateError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(Token::Quoted(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => return Err(TemplateError::new("invalid syntax in a quoted text")),
                },
                '\n' => break,
                c => text.push(c),
            }
        }
        Err(TemplateError::new("unterminated quoted string"))
    }

    fn raw(&mut self) -> Result<Token, TemplateError> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let (text, rest) = inside.split_once('`').ok_or_else(|| TemplateError::new("unterminated raw quoted string"))?;
        self.rest = rest;
        Ok(Token::Quoted(text.to_owned()))
    }
}
