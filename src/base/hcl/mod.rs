//! Documents in HCL of the first version, or in JSON: policies, password policies, the server's configuration.
//!
//! Vault reads HCL 1, which takes many forms the second version refuses (quoted keys, commas between attributes, several
//! attributes on a line, numbers in hex, …). Both notations end in one model: a [`Body`] of [`Item`]s in the order they were
//! written, keys that occur twice included; who reads the document decides what that means.

mod json;
mod layout;
mod lexer;
mod model;
mod parser;

use std::borrow::Cow;
use std::fmt::{Display, Formatter, Result as Written};

pub use layout::fmt;
pub use model::{Block, Body, Item, Value};

/// Reads a document: JSON when its first visible character is `{`, else HCL.
///
/// # Errors
/// When it is neither, is longer than [`MAX_LEN`] or deeper than [`MAX_DEPTH`] ([`MAX_JSON_DEPTH`] as JSON); with line and column.
pub fn parse(text: &str) -> Result<Body, HclError> {
    if text.len() > MAX_LEN {
        return Err(HclError::at(0, format!("the document is longer than {MAX_LEN} bytes")));
    }
    if is_json(text) { json::parse(text.strip_prefix(BOM).unwrap_or(text)) } else { parser::parse(&normal(text)) }
}

/// Whether a document is to be read as JSON.
pub fn is_json(text: &str) -> bool {
    text.strip_prefix(BOM).unwrap_or(text).trim_start().starts_with('{')
}

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HclError {
    line: u32,
    column: u32,
    message: String,
}

impl HclError {
    /// An error of a line (from 1; 0 for the whole document), found by who reads the document.
    pub fn at(line: u32, message: impl Into<String>) -> Self {
        Self { line, column: 0, message: message.into() }
    }

    /// An error at a byte of the text.
    fn at_offset(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        Self { line: narrow(line), column: narrow(column), message: message.into() }
    }

    /// The line, from 1; 0 when it is about the whole document.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl std::error::Error for HclError {}

impl Display for HclError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.message),
            (line, 0) => write!(f, "line {line}: {}", self.message),
            (line, column) => write!(f, "At {line}:{column}: {}", self.message),
        }
    }
}

/// The text without byte order mark and with `\n` at the end of each line.
fn normal(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    if !text.contains("\r\n") {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    Cow::Owned(lines.join("\n"))
}

/// Lines and columns fit: a document has at most [`MAX_LEN`] of either.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Bound on a document in bytes. The largest policies in use have some tens of kilobytes.
pub const MAX_LEN: usize = 1024 * 1024;

/// Bound on objects and lists inside each other: the reader goes down a stack. Real documents need five.
pub const MAX_DEPTH: usize = 64;

/// The same for the JSON form, where the document is an object itself and what stands there twice under one name is in a list:
/// each document has a JSON form that is read again.
pub const MAX_JSON_DEPTH: usize = 2 * MAX_DEPTH + 1;

const BOM: char = '\u{feff}';

#[cfg(test)]
mod tests;
