//! What a command is: one entry of a table that parsing, usage and completion share.

use super::cx::Cx;
use super::flags::{Flag, Group};
use super::output::{OUTPUT, OUTPUT_FIELD};
use super::settings::HTTP;
use super::stop::Outcome;

/// A command, or a group of them.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub name: &'static str,
    /// What stands after the name: `PATH [K=V...]`.
    pub usage: &'static str,
    /// One line.
    pub about: &'static str,
    /// More lines of usage, or empty.
    pub details: &'static str,
    pub flags: &'static [Flag],
    pub groups: &'static [&'static Group],
    pub args: Args,
    pub body: Body,
    pub complete: Complete,
}

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Args {
    Exactly(usize),
    Range(usize, usize),
    AtLeast(usize),
    /// At least so many; told as if exactly, since what follows has its own errors.
    From(usize),
    /// The command counts itself.
    Any,
}

/// What a command does.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    Run(fn(&mut Cx<'_>) -> Outcome),
    Group(&'static [Command]),
    /// Handed to the hook with its words unread.
    Server,
    /// Not part of this program; the text says what to use.
    Absent(&'static str),
}

/// What an argument of a command may be completed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    Nothing,
    Path,
    Mounts,
    AuthMounts,
    Policies,
    Files,
}

impl Command {
    pub(crate) const fn new(
        name: &'static str,
        usage: &'static str,
        about: &'static str,
        run: fn(&mut Cx<'_>) -> Outcome,
    ) -> Self {
        Self {
            name,
            usage,
            about,
            details: "",
            flags: &[],
            groups: &[&HTTP],
            args: Args::Any,
            body: Body::Run(run),
            complete: Complete::Nothing,
        }
    }

    pub(crate) const fn group(name: &'static str, about: &'static str, members: &'static [Command]) -> Self {
        Self {
            name,
            usage: "SUBCOMMAND [flags] [arguments]",
            about,
            details: "",
            flags: &[],
            groups: &[],
            args: Args::Any,
            body: Body::Group(members),
            complete: Complete::Nothing,
        }
    }

    pub(crate) const fn absent(name: &'static str, about: &'static str, advice: &'static str) -> Self {
        let mut command = Self::group(name, about, &[]);
        command.body = Body::Absent(advice);
        command
    }

    pub(crate) const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    pub(crate) const fn flags(mut self, flags: &'static [Flag]) -> Self {
        self.flags = flags;
        self
    }

    /// With `-format`.
    pub(crate) const fn formats(mut self) -> Self {
        self.groups = &[&HTTP, &OUTPUT];
        self
    }

    /// With `-format` and `-field`.
    pub(crate) const fn fields(mut self) -> Self {
        self.groups = &[&HTTP, &OUTPUT_FIELD];
        self
    }

    /// Without any flags of a connection.
    pub(crate) const fn offline(mut self, groups: &'static [&'static Group]) -> Self {
        self.groups = groups;
        self
    }

    pub(crate) const fn args(mut self, args: Args) -> Self {
        self.args = args;
        self
    }

    pub(crate) const fn complete(mut self, complete: Complete) -> Self {
        self.complete = complete;
        self
    }

    pub(crate) const fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Its subcommands; none when it is not a group.
    pub(crate) fn members(&self) -> &'static [Self] {
        match self.body {
            Body::Group(members) => members,
            Body::Run(_) | Body::Server | Body::Absent(_) => &[],
        }
    }

    /// Every flag it takes.
    pub(crate) fn table(&self) -> Vec<&'static Flag> {
        self.flags.iter().chain(self.groups.iter().flat_map(|group| group.flags)).collect()
    }
}

impl Args {
    /// Why `count` arguments are not right.
    pub(crate) fn check(self, count: usize) -> Result<(), String> {
        let (least, most, expected) = match self {
            Self::Exactly(number) => (number, number, number.to_string()),
            Self::Range(least, most) => (least, most, format!("{least}-{most}")),
            Self::AtLeast(least) => (least, usize::MAX, format!("at least {least}")),
            Self::From(least) => (least, usize::MAX, least.to_string()),
            Self::Any => return Ok(()),
        };
        if count < least {
            return Err(format!("Not enough arguments (expected {expected}, got {count})"));
        }
        if count > most {
            return Err(format!("Too many arguments (expected {expected}, got {count})"));
        }
        Ok(())
    }
}
