//! What is wrong with a configuration, or has no effect in it, and where.

use std::fmt;

use crate::base::hcl::HclError;

/// Where something was said: a file and its line, or the name of a variable of the environment or of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    source: String,
    line: u32,
}

impl Place {
    /// A line of a file, from 1; 0 means the file as a whole.
    pub fn new(source: impl Into<String>, line: u32) -> Self {
        Self { source: source.into(), line }
    }

    /// A variable or a flag, which have no lines.
    pub fn named(source: impl Into<String>) -> Self {
        Self::new(source, 0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.source),
            line => write!(f, "{}:{line}", self.source),
        }
    }
}

/// Why a server does not start with a configuration. Values are shown only of keys that hold no secret.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// There is nothing to start with.
    #[error("Must specify at least one config path using -config")]
    Nothing,
    /// A file or folder that cannot be read.
    #[error("error loading configuration from {path}: {reason}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// Why.
        reason: String,
    },
    /// Neither HCL nor JSON, or a block in a form no block has.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// A key nobody knows.
    #[error("{place}: unknown key \"{key}\" in {stanza}{hint}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What it stands in.
        stanza: String,
        /// What may have been meant; begins with `: ` or is empty.
        hint: String,
    },
    /// A value of the wrong kind.
    #[error("{place}: {key} = {value} is not {expected}")]
    Value {
        /// Where.
        place: Place,
        /// Whose value.
        key: String,
        /// The value, as JSON, cut when it is long.
        value: String,
        /// What it should be, for example `a duration`.
        expected: String,
    },
    /// Something we do not have, and without which the server would be less safe, or lose data.
    #[error("{place}: {what} is not available: {reason}")]
    Refused {
        /// Where.
        place: Place,
        /// The key or block.
        what: String,
        /// What would go wrong, or what there is instead.
        reason: String,
    },
    /// Values that do not go together, or something that is missing.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
}

impl ConfigError {
    /// The error of a document, with the document's name.
    pub(super) fn of_document(source: &str, error: &HclError) -> Self {
        Self::Syntax { place: Place::new(source, error.line()), message: error.message().to_owned() }
    }
}

/// Something in a configuration that has no effect here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    place: Place,
    message: String,
}

impl Warning {
    /// A warning about something at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
