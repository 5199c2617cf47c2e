//! Names of users and sessions by template: the part of Go's `text/template` that such templates use (`aws-secrets-engine.md`
//! §8.3). What is not known is refused when `config/root` is written, not when a name is needed.
//!
//! | form | meaning |
//! |---|---|
//! | `text`, `{{ … }}`, `{{- … -}}` | as it is; a pipeline's value; the same, eating blanks around it |
//! | `{{ if P }} … {{ else if P }} … {{ else }} … {{ end }}` | one of them |
//! | `.DisplayName`, `.PolicyName`, `.Type` | what the name is for |
//! | `"text"`, `` `text` ``, `42`, `(P)`, `f a b`, `P \| f a` | as in Go; a pipe hands on its value as last argument |
//! | `random n`, `uuid`, `unix_time`, `unix_time_millis` | chance and time |
//! | `truncate n`, `truncate_sha256 n`, `lowercase`, `uppercase`, `replace a b`, `sha256`, `base64`, `hex` | of a text |
//! | `printf "%s-%d" …`, `eq a b …`, `ne a b`, `and`, `or`, `not` | as in Go; verbs `%s`, `%v`, `%d`, `%%` |
//!
//! A text knows which of its characters came by chance: a name without any may be somebody else's user.

mod lexer;
mod parser;
mod run;

use chrono::{DateTime, Utc};

use parser::Node;

/// A template that was understood.
#[derive(Clone, Debug)]
pub(in crate::engine::aws) struct Template {
    nodes: Vec<Node>,
}

/// What a name is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::aws) struct Subject<'a> {
    /// `IAM` for users and assumed roles, `STS` for federation.
    pub(in crate::engine::aws) kind: &'static str,
    pub(in crate::engine::aws) display_name: &'a str,
    pub(in crate::engine::aws) policy_name: &'a str,
    pub(in crate::engine::aws) now: DateTime<Utc>,
}

/// A name, and how much of it nobody could have guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::aws) struct Name {
    pub(in crate::engine::aws) text: String,
    /// Characters of chance in it.
    pub(in crate::engine::aws) chance: usize,
}

/// Why a template is none, or makes no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::engine::aws) struct TemplateError(String);

impl TemplateError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Template {
    /// Reads a template, and tries both of its uses: arguments that do not fit show then.
    pub(in crate::engine::aws) fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > LONGEST {
            return Err(TemplateError::new(format!("longer than {LONGEST} bytes")));
        }
        let template = Self { nodes: parser::parse(lexer::lex(text)?)? };
        for kind in ["IAM", "STS"] {
            let (display_name, policy_name) = if kind == "IAM" { ("token", "role") } else { ("", "") };
            template.name(Subject { kind, display_name, policy_name, now: DateTime::<Utc>::MIN_UTC })?;
        }
        Ok(template)
    }

    /// Makes a name.
    pub(in crate::engine::aws) fn name(&self, subject: Subject<'_>) -> Result<Name, TemplateError> {
        run::run(&self.nodes, subject)
    }
}

/// Used where none is configured (§8.2).
pub(in crate::engine::aws) const DEFAULT: &str = r#"{{ if (eq .Type "STS") }}{{ printf "vault-%s-%s"  (unix_time) (random 20) | truncate 32 }}{{ else }}{{ printf "vault-%s-%s-%s" (printf "%s-%s" (.DisplayName) (.PolicyName) | truncate 42) (unix_time) (random 20) | truncate 64 }}{{ end }}"#;

/// Bytes of a template.
const LONGEST: usize = 4096;

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
