//! Why a command ends early, and with which code (spec `cli.md` §1).

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A mistake on this side: stderr, exit 1.
    Local(String),
    /// The server's refusal, or none reached: stderr, exit 2.
    Remote(String),
    /// Printed on stdout in place of a request, exit 0.
    Instead(String),
    /// Everything is said already.
    Code(i32),
}

/// What a command comes to: its exit code.
pub(crate) type Outcome = Result<i32, Stop>;

/// Exit code of success.
pub(crate) const OK: i32 = 0;
/// Exit code of a mistake on this side.
pub(crate) const LOCAL: i32 = 1;
/// Exit code of a refusal, or of nothing found.
pub(crate) const REMOTE: i32 = 2;
/// Exit code of a prompt that a signal ended, as shells have it for an interrupt.
pub(crate) const INTERRUPTED: i32 = 130;
/// Exit code of an unknown command.
pub(crate) const UNKNOWN: i32 = 127;

impl Stop {
    pub(crate) fn local(text: &str) -> Self {
        Self::Local(text.to_owned())
    }

    pub(crate) fn remote(text: &str) -> Self {
        Self::Remote(text.to_owned())
    }

    /// The same, told with exit 1.
    pub(crate) fn into_local(self) -> Self {
        match self {
            Self::Remote(text) => Self::Local(text),
            other => other,
        }
    }
}
