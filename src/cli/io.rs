//! What the command line touches of the outside: streams, environment, terminal, clock. Tests hand in their own.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;

use super::prompt;
use crate::base::Clock;
use crate::base::time::SystemClock;

/// Streams and surroundings of one call.
pub struct Io {
    /// Standard input.
    pub stdin: Box<dyn Read>,
    /// Standard output.
    pub stdout: Box<dyn Write>,
    /// Standard error.
    pub stderr: Box<dyn Write>,
    /// The environment; variables that are not UTF-8 are left out.
    pub env: BTreeMap<String, String>,
    /// Which streams are terminals.
    pub terminal: Terminal,
    /// Waits and deadlines run on it.
    pub clock: Arc<dyn Clock>,
}

/// Which streams are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    /// Standard input: prompts are possible.
    pub stdin: bool,
    /// Standard output: a bare field is followed by a newline.
    pub stdout: bool,
    /// Standard error: warnings and errors may have colour.
    pub stderr: bool,
}

impl Io {
    /// The streams and the environment of this process.
    pub fn process() -> Self {
        let text =
            |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self {
            terminal: Terminal {
                stdin: io::stdin().is_terminal(),
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
            },
            stdin: Box::new(io::stdin()),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            env: std::env::vars_os().filter_map(text).collect(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// A variable of the environment; empty counts as not set.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Writes to standard output as it is. A reader that went away is not an error: there is nobody to tell.
    ///
    /// # Errors
    /// When the output cannot take it, as with a full disk.
    pub(crate) fn out(&mut self, text: &str) -> io::Result<()> {
        self.out_bytes(text.as_bytes())
    }

    /// The same for bytes that may not be text.
    pub(crate) fn out_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done,
        }
    }

    /// A line on standard error. There is no place to tell of a failure.
    pub(crate) fn err(&mut self, text: &str, colour: Colour) {
        let coloured = self.terminal.stderr && self.var("VAULT_CLI_NO_COLOR").is_none();
        let line = match colour {
            Colour::Red if coloured => format!("\u{1b}[31m{text}\u{1b}[0m\n"),
            Colour::Yellow if coloured => format!("\u{1b}[33m{text}\u{1b}[0m\n"),
            _ => format!("{text}\n"),
        };
        let _ = self.stderr.write_all(line.as_bytes()).and_then(|()| self.stderr.flush());
    }

    /// Asks on the terminal, without showing what is typed.
    ///
    /// # Errors
    /// When there is no terminal, or nothing was typed before its end; [`io::ErrorKind::Interrupted`] when a signal
    /// ended the wait. The terminal then shows again what is typed.
    pub(crate) fn ask_hidden(&mut self, prompt: &str) -> io::Result<String> {
        if !self.terminal.stdin {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "stdin is not a terminal"));
        }
        let _ = self.stderr.write_all(prompt.as_bytes()).and_then(|()| self.stderr.flush());
        let answer = prompt::read_hidden();
        self.err("", Colour::None);
        answer.map(|text| text.trim().to_owned())
    }
}

/// Colour of a line, used on terminals only.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    None,
    /// Errors.
    Red,
    /// Warnings.
    Yellow,
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

/// The reason of an input or output error as `open x: no such file or directory` has it at its end.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The text of a file, up to [`MAX_FILE`].
///
/// # Errors
/// `open F: no such file or directory` and the like.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, String> {
    let read = |path: &str| {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read(path).map_err(|error: io::Error| format!("open {path}: {}", reason(&error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("read {path}: larger than {MAX_FILE} bytes"));
    }
    Ok(bytes)
}

/// Bytes of a file or of standard input: twice what a server takes as one body by default.
pub(crate) const MAX_FILE: u64 = 64 * 1024 * 1024;
