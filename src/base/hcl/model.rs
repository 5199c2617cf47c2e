//! What a document says, in either notation.

use serde_json::Number;

use crate::base::Ttl;
use crate::base::time::DurationError;

use super::HclError;

/// The items of a document or an object, in the order they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    pub(super) items: Vec<Item>,
}

/// A key with its value: `key = value`, `key { … }` or `key "label" { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The first key.
    pub key: String,
    /// Further keys between the first and the object.
    pub labels: Vec<String>,
    /// The value; an object for a block.
    pub value: Value,
    /// Where it begins, from 1.
    pub line: u32,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number in JSON's notation, exact; hex and octal ones became decimal.
    Number(Number),
    /// A text, escapes resolved.
    String(String),
    /// Values between brackets.
    List(Vec<Value>),
    /// Items between braces.
    Object(Body),
}

/// A block found by [`Body::blocks`].
#[derive(Clone, Debug, PartialEq)]
pub struct Block<'a> {
    /// Its labels, as many as were asked for.
    pub labels: Vec<&'a str>,
    /// What is between its braces.
    pub body: &'a Body,
    /// Where it begins, from 1.
    pub line: u32,
}

impl Body {
    /// The items in the order they were written.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The last item with this key, which is the one that counts where only one can.
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.items.iter().rfind(|item| item.key == key)
    }

    /// Every item with this key, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items.iter().filter(move |item| item.key == key)
    }

    /// The first attribute (an item whose value is no object) whose key was used before in this body; not in those below.
    pub fn repeated(&self) -> Option<&Item> {
        let mut seen = std::collections::HashSet::new();
        self.items.iter().find(|item| !matches!(item.value, Value::Object(_)) && !seen.insert(item.key.as_str()))
    }

    /// The blocks `key` with this number of labels, in whichever form they were written: `key "label" { … }`, the labels as
    /// keys of objects (`key = { "label" = { … } }`, which is JSON's form), either of them in lists.
    ///
    /// # Errors
    /// When something under `key` is no block or has another number of labels.
    pub fn blocks<'a>(&'a self, key: &'a str, labels: usize) -> Result<Vec<Block<'a>>, HclError> {
        let mut found = Vec::new();
        for item in self.all(key) {
            let search = Search { key, labels, line: item.line };
            search.item(&item.labels, &item.value, Vec::new(), &mut found)?;
        }
        Ok(found)
    }
}

/// What [`Body::blocks`] looks for, and the line errors name.
#[derive(Clone, Copy)]
struct Search<'a> {
    key: &'a str,
    labels: usize,
    line: u32,
}

impl<'a> Search<'a> {
    /// Looks at a value below the labels of its item; depth is bounded by the document's.
    fn item(
        self,
        more: &'a [String],
        value: &'a Value,
        mut labels: Vec<&'a str>,
        found: &mut Vec<Block<'a>>,
    ) -> Result<(), HclError> {
        labels.extend(more.iter().map(String::as_str));
        match value {
            _ if labels.len() > self.labels => Err(self.error("has too many labels")),
            Value::Object(body) if labels.len() == self.labels => {
                found.push(Block { labels, body, line: self.line });
                Ok(())
            }
            Value::Object(body) => body.items.iter().try_for_each(|item| {
                let mut labels = labels.clone();
                labels.push(&item.key);
                Search { line: item.line, ..self }.item(&item.labels, &item.value, labels, found)
            }),
            Value::List(values) => values.iter().try_for_each(|value| self.item(&[], value, labels.clone(), found)),
            // The last key was meant as an attribute: the label was forgotten.
            _ if !labels.is_empty() && more.is_empty() => Err(self.error("needs a label before its brace")),
            _ => Err(self.error("must be a block")),
        }
    }

    fn error(self, what: &str) -> HclError {
        HclError::at(self.line, format!("\"{}\" {what}", self.key))
    }
}

impl Value {
    /// The text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, when it is an object.
    pub fn as_object(&self) -> Option<&Body> {
        match self {
            Self::Object(body) => Some(body),
            _ => None,
        }
    }

    /// The values of a list; any other value as a list of one.
    pub fn as_list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            single => std::slice::from_ref(single),
        }
    }

    /// A text, or a number or truth value as text (spec `00-conventions.md` §1, field types).
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::String(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The texts of a list, or of a single text; `None` when something else is among them.
    pub fn to_texts(&self) -> Option<Vec<String>> {
        self.as_list().iter().map(Self::to_text).collect()
    }

    /// A truth value: `true`, `1`, `"true"`, `"1"`, `"t"`, … and their opposites; `""` is false.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => match self.to_text()?.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
                _ => None,
            },
        }
    }

    /// A whole number, as number or as text; `""` is zero.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            Self::String(text) if text.is_empty() => Some(0),
            Self::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A duration: whole seconds, or a text like `"1h30m"`.
    ///
    /// # Errors
    /// When it is none, or below zero.
    pub fn to_ttl(&self) -> Result<Ttl, DurationError> {
        match self {
            Self::String(text) => Ttl::parse(text),
            Self::Number(number) => Ttl::parse(&number.to_string()),
            other => Err(DurationError::Invalid(other.to_json().to_string())),
        }
    }

    /// As a value of JSON. Labels become nested objects. Of a key used twice the last value counts, but
    /// objects are united.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(number) => serde_json::Value::Number(number.clone()),
            Self::String(text) => text.as_str().into(),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
            Self::Object(body) => body.to_json(),
        }
    }
}

impl Body {
    /// As an object of JSON, see [`Value::to_json`].
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        for item in &self.items {
            let inner = item.value.to_json();
            let value = item.labels.iter().rfold(inner, |value, label| serde_json::json!({ label.as_str(): value }));
            unite(object.entry(item.key.clone()).or_insert(serde_json::Value::Null), value);
        }
        serde_json::Value::Object(object)
    }
}

/// Puts `new` in the place of `old`, or its entries among those of `old` when both are objects; depth is bounded by the
/// document's and the number of labels.
fn unite(old: &mut serde_json::Value, new: serde_json::Value) {
    match (old, new) {
        (serde_json::Value::Object(old), serde_json::Value::Object(new)) => {
            for (key, value) in new {
                unite(old.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}
