//! One line of the log: what is known about an event, and its two forms.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use serde_json::{Map, Number, Value};
use tracing::field::{Field, Visit};

use super::{LogFormat, LogLevel};

/// An event with everything a line says about it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: LogLevel,
    time: DateTime<Utc>,
    pub(super) module: String,
    fields: Fields,
}

/// The message and the named values of an event or a span.
#[derive(Debug, Default)]
pub(super) struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

impl Line {
    pub(super) fn new(time: DateTime<Utc>, level: LogLevel, target: &str, fields: Fields) -> Self {
        Self { level, time, module: part_of(target), fields }
    }

    /// The text, with its newline.
    pub(super) fn render(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Standard => self.standard(),
            LogFormat::Json => self.json(),
        }
    }

    fn standard(&self) -> String {
        let mut text = String::with_capacity(160);
        let level = format!("[{}]", self.level.as_str().to_ascii_uppercase());
        let time = self.time.format("%Y-%m-%dT%H:%M:%S%.3fZ");
        // Writing to a String does not fail.
        let _ = write!(text, "{time} {level:<7} {}: ", self.module);
        push_plain(&mut text, &self.fields.message);
        let mut separator = ": ";
        for (name, value) in &self.fields.values {
            let _ = write!(text, "{separator}{name}=");
            match value {
                Value::String(value) if value.is_empty() || value.contains([' ', '"', '=', '\\']) => {
                    text.push('"');
                    push_plain(&mut text, &value.replace('\\', "\\\\").replace('"', "\\\""));
                    text.push('"');
                }
                Value::String(value) => push_plain(&mut text, value),
                other => _ = write!(text, "{other}"),
            }
            separator = " ";
        }
        text.push('\n');
        text
    }

    fn json(&self) -> String {
        let mut object: Map<String, Value> =
            self.fields.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        for (name, text) in [
            ("@timestamp", self.time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
            ("@level", self.level.as_str().to_owned()),
            ("@module", self.module.clone()),
            ("@message", self.fields.message.clone()),
        ] {
            object.insert(name.to_owned(), Value::String(text));
        }
        let mut text = Value::Object(object).to_string();
        text.push('\n');
        text
    }
}

/// The part of the server, or of another crate, that an event's target names: `engine.aws.issue`.
pub(super) fn part_of(target: &str) -> String {
    let module = target.strip_prefix(super::OURS).map_or(target, |rest| rest.trim_start_matches("::"));
    let module = if module.is_empty() { super::OURS } else { module };
    module.replace("::", ".")
}

impl Fields {
    /// A message without values.
    pub(super) fn message(message: String) -> Self {
        Self { message, values: Vec::new() }
    }

    /// Adds what a span around the event says; the event's own values stay.
    pub(super) fn inherit(&mut self, span: &Self) {
        for (name, value) in &span.values {
            if !self.values.iter().any(|(own, _)| own == name) {
                self.values.push((name, value.clone()));
            }
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.values.retain(|(known, _)| *known != name);
                self.values.push((name, value));
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Number::from_f64(value).map_or(Value::Null, Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Bounded::default();
        let _ = text.write_str(value);
        self.put(field, Value::String(text.0));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded::default();
        let _ = write!(text, "{value:?}");
        self.put(field, Value::String(text.0));
    }
}

/// Text that stops growing at [`VALUE_BYTES`].
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = VALUE_BYTES.saturating_sub(self.0.len());
        if text.len() <= left {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(text.get(..text.floor_char_boundary(left)).unwrap_or_default());
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// Appends `text` without characters that could end the line or command a terminal.
fn push_plain(to: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() {
            to.extend(character.escape_default());
        } else {
            to.push(character);
        }
    }
}

/// Longest value in a line, in bytes: a path of the greatest length still shows in part, and a line of all 32 fields
/// stays small against the queue.
const VALUE_BYTES: usize = 4096;
