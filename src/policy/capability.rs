//! The words of a rule's `capabilities`, as a set.

use std::fmt;

use super::Operation;

/// A set of capabilities (spec `policies.md` §1).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// `create`
    pub const CREATE: Self = Self(1);
    /// `delete`
    pub const DELETE: Self = Self(1 << 1);
    /// `deny`
    pub const DENY: Self = Self(1 << 2);
    /// `list`
    pub const LIST: Self = Self(1 << 3);
    /// `patch`
    pub const PATCH: Self = Self(1 << 4);
    /// `read`
    pub const READ: Self = Self(1 << 5);
    /// `recover`
    pub const RECOVER: Self = Self(1 << 6);
    /// `subscribe`
    pub const SUBSCRIBE: Self = Self(1 << 7);
    /// `sudo`
    pub const SUDO: Self = Self(1 << 8);
    /// `update`
    pub const UPDATE: Self = Self(1 << 9);

    /// The capability of a name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(capability, _)| *capability)
    }

    /// What an operation needs; nothing for help.
    pub const fn needed(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::CREATE,
            Operation::Read => Self::READ,
            Operation::Update | Operation::Renew | Operation::Revoke | Operation::Rollback => Self::UPDATE,
            Operation::Patch => Self::PATCH,
            Operation::Delete => Self::DELETE,
            Operation::List => Self::LIST,
            Operation::Help => Self::NONE,
        }
    }

    /// Those of either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    pub const fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether something may be done with it: it is neither empty nor `deny`.
    pub const fn grants(self) -> bool {
        self.0 != 0 && !self.holds(Self::DENY)
    }

    /// The names, in alphabetical order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(capability, _)| self.holds(*capability)).map(|(_, name)| *name)
    }

    /// Each capability of the set by itself.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(capability, _)| *capability).filter(move |capability| self.holds(*capability))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// In alphabetical order, as the capabilities endpoints list them (spec `policies.md` §8).
const NAMES: [(Capabilities, &str); 10] = [
    (Capabilities::CREATE, "create"),
    (Capabilities::DELETE, "delete"),
    (Capabilities::DENY, "deny"),
    (Capabilities::LIST, "list"),
    (Capabilities::PATCH, "patch"),
    (Capabilities::READ, "read"),
    (Capabilities::RECOVER, "recover"),
    (Capabilities::SUBSCRIBE, "subscribe"),
    (Capabilities::SUDO, "sudo"),
    (Capabilities::UPDATE, "update"),
];
