//! A block of a configuration, and how its values are read: with their places, in each form Vault takes.

use std::collections::HashSet;
use std::time::Duration;

use super::error::{ConfigError, Place, Warning};
use super::keys::{self, How, Keys};
use crate::base::Ttl;
use crate::base::hcl::{Body, Item, Value};
use crate::base::time::parse_nanos;

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A document, or a block in one.
#[derive(Clone, Debug)]
pub(super) struct Stanza<'a> {
    /// The document's name.
    pub(super) source: &'a str,
    /// Where it begins, from 1; 0 for a document.
    pub(super) line: u32,
    /// What errors call it.
    pub(super) name: String,
    pub(super) body: &'a Body,
}

impl<'a> Stanza<'a> {
    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        Place::new(self.source, self.line)
    }

    fn place_of(&self, item: &Item) -> Place {
        Place::new(self.source, item.line)
    }

    /// Something that is wrong with it as a whole.
    pub(super) fn invalid(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { place: self.place(), message: format!("{}: {}", self.name, message.into()) }
    }

    /// Holds each key against those there are.
    ///
    /// # Errors
    /// For a key nobody knows, and one whose absence would do harm.
    pub(super) fn check(&self, keys: Keys<'_>, warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
        for item in self.body.items() {
            let place = self.place_of(item);
            match keys::find(keys, &item.key) {
                Some(How::Idle(reason)) => {
                    warnings.push(Warning::new(place, format!("{} has no effect here: {reason}", item.key)));
                }
                Some(How::Refused(reason)) if is_set(&item.value) => {
                    return Err(ConfigError::Refused { place, what: item.key.clone(), reason: reason.to_owned() });
                }
                Some(How::Read | How::Refused(_)) => {}
                None => {
                    let hint = keys::hint(keys, &item.key);
                    return Err(ConfigError::UnknownKey { place, key: item.key.clone(), stanza: self.name.clone(), hint });
                }
            }
        }
        if let Some(item) = self.body.repeated().filter(|item| !matches!(item.value, Value::List(_))) {
            warnings.push(Warning::new(self.place_of(item), format!("{} is set twice: the last value counts", item.key)));
        }
        Ok(())
    }

    /// The blocks `key` with so many labels (0 or 1), and the label.
    pub(super) fn blocks(&self, key: &'a str, labels: usize) -> Result<Vec<(&'a str, Stanza<'a>)>, ConfigError> {
        let blocks = self.body.blocks(key, labels).map_err(|error| ConfigError::of_document(self.source, &error))?;
        let stanza = |block: crate::base::hcl::Block<'a>| {
            let label = block.labels.first().copied().unwrap_or_default();
            let name = if labels == 0 { key.to_owned() } else { format!("{key} \"{label}\"") };
            (label, Stanza { source: self.source, line: block.line, name, body: block.body })
        };
        Ok(blocks.into_iter().map(stanza).collect())
    }

    /// Its keys, each once, in the order they were written.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        self.body.items().iter().map(|item| item.key.as_str()).filter(|key| seen.insert(*key)).collect()
    }

    /// A text; an empty one counts as not set.
    pub(super) fn text(&self, key: &str) -> Result<Option<Spot<String>>, ConfigError> {
        let text = self.read(key, "a text", Value::to_text)?;
        Ok(text.filter(|spot| !spot.value.is_empty()))
    }

    /// A truth value.
    pub(super) fn switch(&self, key: &str) -> Result<Option<Spot<bool>>, ConfigError> {
        self.read(key, "true or false", Value::to_bool)
    }

    /// A whole number.
    pub(super) fn number(&self, key: &str) -> Result<Option<Spot<i64>>, ConfigError> {
        self.read(key, "a whole number", Value::to_int)
    }

    /// A bound above zero; zero counts as not set.
    pub(super) fn bound(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        let number = self.read(key, "a whole number, zero or above", |value| u64::try_from(value.to_int()?).ok())?;
        Ok(number.map(|spot| spot.value).filter(|number| *number != 0))
    }

    /// A duration in whole seconds.
    pub(super) fn ttl(&self, key: &str) -> Result<Option<Spot<Ttl>>, ConfigError> {
        self.read(key, DURATION, |value| value.to_ttl().ok())
    }

    /// A duration with its fractions; zero counts as not set.
    pub(super) fn timeout(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let duration = |value: &Value| {
            let text = if matches!(value, Value::Bool(_)) { None } else { value.to_text() };
            u64::try_from(parse_nanos(&text?).ok()?).ok().map(Duration::from_nanos)
        };
        Ok(self.read(key, DURATION, duration)?.map(|spot| spot.value).filter(|duration| !duration.is_zero()))
    }

    /// The last value of `key` as `convert` reads it; JSON's `null` counts as not set.
    pub(super) fn read<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<Spot<T>>, ConfigError> {
        let Some(item) = self.body.get(key).filter(|item| item.value != Value::Null) else { return Ok(None) };
        let place = self.place_of(item);
        match convert(&item.value) {
            Some(value) if item.labels.is_empty() => Ok(Some(Spot { value, place })),
            _ => Err(wrong(place, key, &item.value.to_json().to_string(), expected)),
        }
    }
}

/// The documents of a configuration, or the blocks of one name in them: what comes later counts.
#[derive(Debug)]
pub(super) struct Layers<'a>(pub(super) Vec<Stanza<'a>>);

impl<'a> Layers<'a> {
    /// Checks each layer, see [`Stanza::check`].
    pub(super) fn check(&self, keys: Keys<'_>, warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
        self.0.iter().try_for_each(|stanza| stanza.check(keys, warnings))
    }

    /// What the last layer says that says anything; the values of all are read, so that none is wrong unseen.
    pub(super) fn last<T>(&self, read: impl Fn(&Stanza<'a>) -> Result<Option<T>, ConfigError>) -> Result<Option<T>, ConfigError> {
        self.0.iter().try_fold(None, |found, stanza| Ok(read(stanza)?.or(found)))
    }

    /// The last text.
    pub(super) fn text(&self, key: &str) -> Result<Option<Spot<String>>, ConfigError> {
        self.last(|stanza| stanza.text(key))
    }

    /// The last truth value.
    pub(super) fn switch(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        Ok(self.last(|stanza| stanza.switch(key))?.map(|spot| spot.value))
    }

    /// The last duration.
    pub(super) fn ttl(&self, key: &str) -> Result<Option<Spot<Ttl>>, ConfigError> {
        self.last(|stanza| stanza.ttl(key))
    }

    /// The blocks of all layers.
    pub(super) fn blocks(&self, key: &'a str, labels: usize) -> Result<Vec<(&'a str, Stanza<'a>)>, ConfigError> {
        let mut all = Vec::new();
        for stanza in &self.0 {
            all.extend(stanza.blocks(key, labels)?);
        }
        Ok(all)
    }
}

/// The error of a value that is not what it should be.
pub(super) fn wrong(place: Place, key: &str, value: &str, expected: &str) -> ConfigError {
    let mut shown: String = value.chars().take(SHOWN).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    ConfigError::Value { place, key: key.to_owned(), value: shown, expected: expected.to_owned() }
}

/// Whether a value asks for something: neither empty nor off.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::List(values) => values.iter().any(is_set),
        Value::Object(_) => true,
        other => other.to_bool() != Some(false),
    }
}

/// The longest value an error shows, in characters.
const SHOWN: usize = 60;

const DURATION: &str = "a duration, such as \"90s\" or \"768h\"";
