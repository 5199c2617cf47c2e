//! Tokens to items.

use super::lexer::{Kind, Lexer, Token};
use super::{Body, HclError, Item, MAX_DEPTH, Value};

/// Reads a whole document with `\n` as end of lines.
pub(super) fn parse(text: &str) -> Result<Body, HclError> {
    let mut parser = Parser { lexer: Lexer::new(text), ahead: None };
    let mut items = Vec::new();
    loop {
        let token = parser.next()?;
        match token.kind {
            Kind::End => return Ok(Body { items }),
            _ => items.push(parser.item(token, 0)?),
        }
        parser.skip_comma()?;
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
}

impl Parser<'_> {
    /// The item whose first key is `token`.
    fn item(&mut self, first: Token, depth: usize) -> Result<Item, HclError> {
        let line = first.line;
        let mut labels = Vec::new();
        let key = self.key(first)?;
        let value = loop {
            let token = self.next()?;
            match token.kind {
                Kind::Open => break self.object(token.start, depth + labels.len())?,
                Kind::Assign if labels.is_empty() => break self.value(depth)?,
                Kind::Assign => {
                    return self.lexer.error_at(token.start, "a key with labels takes no =; write key \"label\" { … }");
                }
                Kind::Ident | Kind::String(_) => {
                    // A label is an object around the next, for who reads it.
                    self.check_depth(token.start, depth + labels.len())?;
                    labels.push(self.key(token)?);
                }
                kind => {
                    return self.lexer.error_at(token.start, format!("expected = or {{ after the key, found {}", kind.name()));
                }
            }
        };
        Ok(Item { key, labels, value, line })
    }

    fn key(&self, token: Token) -> Result<String, HclError> {
        match token.kind {
            Kind::Ident => Ok(self.lexer.slice(token.start, token.end).to_owned()),
            Kind::String(text) => Ok(text),
            kind => self.lexer.error_at(token.start, format!("expected a key, found {}", kind.name())),
        }
    }

    /// What follows a `=`.
    fn value(&mut self, depth: usize) -> Result<Value, HclError> {
        let token = self.next()?;
        self.value_from(token, depth)
    }

    fn value_from(&mut self, token: Token, depth: usize) -> Result<Value, HclError> {
        match token.kind {
            Kind::String(text) | Kind::Heredoc(text) => Ok(Value::String(text)),
            Kind::Number(number) => Ok(Value::Number(number)),
            Kind::Bool(value) => Ok(Value::Bool(value)),
            Kind::Open => self.object(token.start, depth),
            Kind::ListOpen => self.list(token.start, depth),
            Kind::Ident => self.lexer.error_at(token.start, "a word is no value; put quotes around it"),
            kind => self.lexer.error_at(token.start, format!("expected a value, found {}", kind.name())),
        }
    }

    /// What follows a `{` at `start`.
    fn object(&mut self, start: usize, depth: usize) -> Result<Value, HclError> {
        self.check_depth(start, depth)?;
        let mut items = Vec::new();
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::Close => return Ok(Value::Object(Body { items })),
                Kind::End => return self.lexer.error_at(start, "this brace is not closed"),
                _ => items.push(self.item(token, depth + 1)?),
            }
            self.skip_comma()?;
        }
    }

    /// What follows a `[` at `start`. A comma may stand behind the last value.
    fn list(&mut self, start: usize, depth: usize) -> Result<Value, HclError> {
        self.check_depth(start, depth)?;
        let mut values = Vec::new();
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::ListClose => return Ok(Value::List(values)),
                Kind::End => return self.lexer.error_at(start, "this bracket is not closed"),
                _ => values.push(self.value_from(token, depth + 1)?),
            }
            let token = self.next()?;
            match token.kind {
                Kind::Comma => {}
                Kind::ListClose => return Ok(Value::List(values)),
                Kind::End => return self.lexer.error_at(start, "this bracket is not closed"),
                kind => return self.lexer.error_at(token.start, format!("expected , or ] in the list, found {}", kind.name())),
            }
        }
    }

    fn check_depth(&self, at: usize, depth: usize) -> Result<(), HclError> {
        if depth < MAX_DEPTH { Ok(()) } else { self.lexer.error_at(at, format!("nested deeper than {MAX_DEPTH}")) }
    }

    /// Items may be parted by one comma.
    fn skip_comma(&mut self) -> Result<(), HclError> {
        let token = self.next()?;
        if token.kind != Kind::Comma {
            self.ahead = Some(token);
        }
        Ok(())
    }

    /// The next token that is no comment.
    fn next(&mut self) -> Result<Token, HclError> {
        if let Some(token) = self.ahead.take() {
            return Ok(token);
        }
        loop {
            let token = self.lexer.next()?;
            if token.kind != Kind::Comment {
                return Ok(token);
            }
        }
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Ident => "a word",
            Self::String(_) | Self::Heredoc(_) => "a text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Open => "{",
            Self::Close => "}",
            Self::ListOpen => "[",
            Self::ListClose => "]",
            Self::Comma => ",",
            Self::Assign => "=",
            Self::Comment => "a comment",
            Self::End => "the end",
        }
    }
}
