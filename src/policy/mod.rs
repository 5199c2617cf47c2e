//! May this caller do that: policies as operators write them, compiled to something that answers in a microsecond
//! (spec `policies.md`).
//!
//! A [`Policy`] is a parsed text. An [`Acl`] is what all policies of a token say together; it never changes.

mod acl;
pub mod builtin;
mod capability;
mod grants;
mod parse;
pub mod password;
mod pattern;
mod store;
mod template;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::Ttl;

pub use acl::Acl;
pub use capability::Capabilities;
pub use parse::{PathRule, Policy, PolicyError};
pub use store::{PolicyStore, PolicyStoreError};
pub use template::{AliasPart, Fact, GroupBy, GroupPart, NoEntity, TemplateSource};

/// What a request wants to do with a path (spec `http-api.md` §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Write what is not there yet.
    Create,
    /// Read.
    Read,
    /// Write what is there, or call a function.
    Update,
    /// Change parts of what is there.
    Patch,
    /// Remove.
    Delete,
    /// List names below a path.
    List,
    /// Describe a path.
    Help,
    /// Renew a lease, from inside.
    Renew,
    /// Revoke a lease, from inside.
    Revoke,
    /// Undo what was left half done, from inside.
    Rollback,
}

impl Operation {
    /// The word of the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Help => "help",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Rollback => "rollback",
        }
    }
}

/// What is asked of an [`Acl`].
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Relative to the API's root, without `/` at its start; with one at its end for lists.
    pub path: &'a str,
    /// What is to be done.
    pub operation: Operation,
    /// The request's data: body, or query.
    pub data: Option<&'a Map<String, Value>>,
    /// How long the reply's wrapping shall live, when wrapping is asked for.
    pub wrap_ttl: Option<Ttl>,
    /// Whether the path needs `sudo` besides the operation's capability.
    pub sudo_path: bool,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether it may be done.
    pub allowed: bool,
    /// Whether the policy `root` allowed it.
    pub is_root: bool,
    /// Whether the rule that decided holds `sudo`; always for `root`.
    pub sudo: bool,
    /// The policies that gave the capability, in order of their names; empty when denied and for help.
    pub granting: Arc<[Arc<str>]>,
}
