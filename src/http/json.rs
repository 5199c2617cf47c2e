//! The JSON of a body, bounded while it is read: no byte of depth on the stack, and nothing is built past a limit.
//!
//! Numbers keep their digits, and an exponent gets the sign that the type which keeps them wants. The last of several entries
//! of one name counts, what follows the first value is not looked at (spec `http-api.md` §2 and §6). The usual parser is not
//! used: it stops at a depth of its own, and takes an object with a certain name for a number.

use serde_json::{Map, Number, Value};

use crate::base::json::MOST_LEVELS;
use crate::config::JsonLimits;

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, from this byte on.
    #[error("the text is not JSON (byte {0})")]
    Malformed(usize),
    /// JSON, and not an object.
    #[error("the JSON is not an object")]
    NotAnObject,
    /// More of something than the listener takes.
    #[error("the JSON has too {0}")]
    Exceeds(&'static str),
}

/// The object of a body. No text at all, and `null`, are no data.
///
/// # Errors
/// Of the first thing that is wrong, in the order of the text.
pub fn object(bytes: &[u8], limits: &JsonLimits) -> Result<Map<String, Value>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::Malformed(error.valid_up_to()))?;
    let mut reader = Reader { text, at: 0, limits, tokens: 0 };
    reader.skip_blanks();
    match reader.peek() {
        None => return Ok(Map::new()),
        Some(b'{' | b'n') => {}
        Some(_) => return Err(if reader.value().is_ok() { JsonError::NotAnObject } else { reader.malformed() }),
    }
    match reader.value()? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(JsonError::NotAnObject),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    limits: &'a JsonLimits,
    tokens: u64,
}

/// What is not closed yet.
enum Open {
    /// With the name whose value comes next, and how many entries were begun.
    Object(Map<String, Value>, String, u64),
    Array(Vec<Value>),
}

/// What stands at some place.
enum Begun {
    Value(Value),
    Open(Open),
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value, JsonError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.begin(open.len())? {
                Begun::Value(value) => value,
                Begun::Open(one) => {
                    open.push(one);
                    continue;
                }
            };
            // Closes all that end with this value.
            loop {
                let Some(holder) = open.pop() else { return Ok(value) };
                match self.put(holder, value)? {
                    Begun::Value(whole) => value = whole,
                    Begun::Open(holder) => {
                        open.push(holder);
                        break;
                    }
                }
            }
        }
    }

    /// A value that is complete, or the beginning of one.
    fn begin(&mut self, depth: usize) -> Result<Begun, JsonError> {
        self.skip_blanks();
        self.token()?;
        let Some(byte) = self.peek() else { return Err(self.malformed()) };
        match byte {
            b'{' => {
                self.enter(depth)?;
                if self.skip(b'}') {
                    return self.close(Value::Object(Map::new()));
                }
                let name = self.name()?;
                Ok(Begun::Open(Open::Object(Map::new(), name, 1)))
            }
            b'[' => {
                self.enter(depth)?;
                if self.skip(b']') {
                    return self.close(Value::Array(Vec::new()));
                }
                Ok(Begun::Open(Open::Array(Vec::new())))
            }
            b'"' => Ok(Begun::Value(Value::String(self.string()?))),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => Ok(Begun::Value(Value::Number(self.number()?))),
        }
    }

    /// Puts a value where it belongs; that is then complete, or waits for the next.
    fn put(&mut self, holder: Open, value: Value) -> Result<Begun, JsonError> {
        match holder {
            Open::Object(mut map, name, count) => {
                map.insert(name, value);
                self.skip_blanks();
                if self.skip(b'}') {
                    return self.close(Value::Object(map));
                }
                if !self.skip(b',') {
                    return Err(self.malformed());
                }
                if count >= self.limits.object_entries {
                    return Err(JsonError::Exceeds("many entries in one object"));
                }
                let name = self.name()?;
                Ok(Begun::Open(Open::Object(map, name, count + 1)))
            }
            Open::Array(mut items) => {
                items.push(value);
                self.skip_blanks();
                if self.skip(b']') {
                    return self.close(Value::Array(items));
                }
                if !self.skip(b',') {
                    return Err(self.malformed());
                }
                if u64::try_from(items.len()).unwrap_or(u64::MAX) >= self.limits.array_elements {
                    return Err(JsonError::Exceeds("many elements in one array"));
                }
                Ok(Begun::Open(Open::Array(items)))
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        if u64::try_from(depth).unwrap_or(u64::MAX) >= self.limits.depth.min(MOST_LEVELS as u64) {
            return Err(JsonError::Exceeds("many levels"));
        }
        self.skip_blanks();
        Ok(())
    }

    fn close(&mut self, value: Value) -> Result<Begun, JsonError> {
        self.token()?;
        Ok(Begun::Value(value))
    }

    /// The name of an entry, with its colon.
    fn name(&mut self) -> Result<String, JsonError> {
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        self.token()?;
        let name = self.string()?;
        self.skip_blanks();
        if self.skip(b':') { Ok(name) } else { Err(self.malformed()) }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Begun, JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(Begun::Value(value))
    }

    fn number(&mut self) -> Result<Number, JsonError> {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let digits = end.map_or(Some(rest), |end| rest.get(..end)).unwrap_or_default();
        // Judged by the type that keeps it, which allows what JSON does and no more.
        let number = digits.parse::<Number>().map_err(|_| self.malformed())?;
        self.check_length(digits.len())?;
        self.at += digits.len();
        Ok(number)
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let plain = self.plain()?;
        if self.skip(b'"') {
            self.check_length(plain.len())?;
            return Ok(plain.to_owned());
        }
        let mut out = plain.to_owned();
        loop {
            self.check_length(out.len())?;
            match self.next() {
                Some(b'"') => return Ok(out),
                Some(b'\\') => out.push(self.escaped()?),
                _ => return Err(self.malformed()),
            }
            out.push_str(self.plain()?);
        }
    }

    /// Text up to the next byte that means something.
    fn plain(&mut self) -> Result<&'a str, JsonError> {
        let rest: &'a str = self.text.get(self.at..).unwrap_or_default();
        let Some(end) = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ') else {
            return Err(self.malformed());
        };
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default())
    }

    fn escaped(&mut self) -> Result<char, JsonError> {
        Ok(match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.code_unit_pair()?,
            _ => return Err(self.malformed()),
        })
    }

    /// Halves of a pair that stand alone become the replacement character, as Go reads them.
    fn code_unit_pair(&mut self) -> Result<char, JsonError> {
        let first = self.code_unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        if self.rest().starts_with("\\u") {
            self.at += 2;
            let second = self.code_unit()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.malformed())?;
        }
        Ok(code)
    }

    fn check_length(&self, length: usize) -> Result<(), JsonError> {
        match self.limits.string_length {
            Some(limit) if u64::try_from(length).unwrap_or(u64::MAX) > limit => Err(JsonError::Exceeds("long a text")),
            _ => Ok(()),
        }
    }

    fn token(&mut self) -> Result<(), JsonError> {
        self.tokens += 1;
        if self.tokens > self.limits.tokens { Err(JsonError::Exceeds("many parts")) } else { Ok(()) }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn malformed(&self) -> JsonError {
        JsonError::Malformed(self.at)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
