//! How results are laid out: tables, JSON, YAML, single fields (spec `cli.md` §4).

use std::fmt::Write as _;

pub(crate) mod envelope;
pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod yaml;

use serde_json::Value;

use super::cx::Cx;
use super::flags::{Flag, Group};
use super::io::Colour;
use super::stop::{OK, Outcome, Stop};
pub(crate) use envelope::Envelope;

pub(crate) const FORMAT: Flag = Flag::text("format", "FORMAT", "Layout of the result: table, json or yaml. [VAULT_FORMAT]");
pub(crate) const FIELD: Flag = Flag::text("field", "NAME", "Print only this field, without a newline.");

/// The flag of commands that show something.
pub(crate) const OUTPUT: Group = Group { title: "Output", flags: &[FORMAT] };
/// The flags of commands whose result has fields.
pub(crate) const OUTPUT_FIELD: Group = Group { title: "Output", flags: &[FIELD, FORMAT] };

/// Layout of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
    /// The data alone, as JSON.
    Pretty,
    /// The body as received; for `read`.
    Raw,
}

impl Format {
    /// The format of that name, in any case.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "table" => Some(Self::Table),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "pretty" => Some(Self::Pretty),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

/// JSON whose keys keep an order that is not the alphabet's.
#[derive(Clone, Debug)]
pub(crate) enum Doc {
    Value(Value),
    Object(Vec<(String, Doc)>),
}

impl Doc {
    /// An object with `first` in that order, as far as they are there, and the others after them.
    pub(crate) fn ordered(value: &Value, first: &[&str]) -> Self {
        let Value::Object(map) = value else { return Self::Value(value.clone()) };
        let known = first.iter().filter_map(|&name| map.get_key_value(name));
        let rest = map.iter().filter(|(name, _)| !first.contains(&name.as_str()));
        Self::Object(known.chain(rest).map(|(name, value)| (name.clone(), Self::Value(value.clone()))).collect())
    }

    /// An object of exactly these members.
    pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), Self::Value(value))).collect())
    }

    /// The same with its keys sorted.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Object(members) => members.iter().map(|(name, member)| (name.clone(), member.to_value())).collect(),
        }
    }
}

impl Cx<'_> {
    /// Prints one reply in the format asked for, or one field of it.
    pub(crate) fn show(&mut self, envelope: &Envelope) -> Outcome {
        if let Some(name) = self.flags.text(&FIELD).map(str::to_owned) {
            let value = envelope.field(&name).filter(|value| !value.is_null());
            return match value {
                Some(value) => self.show_field(&value),
                None => Err(Stop::Local(format!("Field \"{name}\" not present in secret"))),
            };
        }
        match self.format {
            Format::Table => {
                let rows = envelope.rows();
                if !rows.is_empty() {
                    self.say(&table::key_value(&rows))?;
                }
                self.warn_all(&envelope.warnings());
            }
            Format::Yaml => {
                self.print(&yaml::text(&envelope.doc().to_value()))?;
                self.warn_all(&envelope.warnings());
            }
            Format::Json | Format::Raw => self.say(&json::text(&envelope.doc()))?,
            Format::Pretty => match envelope.data() {
                Some(data) => self.say(&json::text(&Doc::Value(Value::Object(data.clone()))))?,
                None => return Err(Stop::local("Could not parse output: the reply holds no data")),
            },
        }
        Ok(OK)
    }

    /// Prints something that is not a reply's envelope: `rows` in a table, `doc` otherwise.
    pub(crate) fn show_doc(&mut self, doc: &Doc, table: impl FnOnce() -> String) -> Outcome {
        match self.format {
            Format::Table => {
                let text = table();
                if !text.is_empty() {
                    self.say(&text)?;
                }
            }
            Format::Yaml => self.print(&yaml::text(&doc.to_value()))?,
            Format::Json | Format::Pretty | Format::Raw => self.say(&json::text(doc))?,
        }
        Ok(OK)
    }

    /// Prints one value alone.
    pub(crate) fn show_field(&mut self, value: &Value) -> Outcome {
        let text = match self.format {
            Format::Json | Format::Pretty => json::text(&Doc::Value(value.clone())),
            Format::Yaml => yaml::text(value).trim_end_matches('\n').to_owned(),
            Format::Table | Format::Raw => table::cell(value),
        };
        self.print(&text)?;
        if self.io.terminal.stdout {
            self.print("\n")?;
        }
        Ok(OK)
    }

    /// Prints a list of names: one a line, or the bare array.
    pub(crate) fn show_names(&mut self, names: &[String], head: Option<&str>) -> Outcome {
        let doc = Doc::Value(names.iter().map(|name| Value::String(name.clone())).collect());
        self.show_doc(&doc, || match head {
            Some(head) => {
                let rows: Vec<_> = names.iter().map(|name| vec![name.clone()]).collect();
                table::with_head(&[head], &rows)
            }
            None => names.join("\n"),
        })
    }

    /// The server's warnings, folded, on standard error.
    pub(crate) fn warn_all(&mut self, warnings: &[String]) {
        if warnings.is_empty() {
            return;
        }
        let mut text = "WARNING! The following warnings were returned from Vault:\n".to_owned();
        for warning in warnings {
            let _ = write!(text, "\n{}\n", table::fold(&format!("* {warning}"), 2));
        }
        self.io.err(&text, Colour::Yellow);
    }
}
