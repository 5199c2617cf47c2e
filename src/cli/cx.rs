//! One call of a command: its flags and arguments, its streams, its client.

use std::io::Read as _;

use serde_json::Value;

use super::client::{Client, Fault, Reply, Request};
use super::flags::Values;
use super::helper;
use super::io::{Colour, Io, MAX_FILE, reason};
use super::output::{Envelope, Format};
use super::settings::{NON_INTERACTIVE, Settings};
use super::stop::Stop;
use crate::base::Secret;

/// One call of a command.
pub(crate) struct Cx<'a> {
    pub io: Io,
    /// The name the program was called by.
    pub program: String,
    pub flags: Values,
    pub args: Vec<String>,
    pub format: Format,
    /// Runs the server with the words after `server`.
    pub server: &'a dyn Fn(&[String]) -> i32,
    client: Option<Client>,
    stdin_taken: bool,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(io: Io, program: &str, server: &'a dyn Fn(&[String]) -> i32) -> Self {
        let (flags, args, format) = (Values::default(), Vec::new(), Format::Table);
        Self { io, program: program.to_owned(), flags, args, format, server, client: None, stdin_taken: false }
    }

    /// The argument at `index`, or an empty text.
    pub(crate) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// The argument at `index` as a path: without `/` at its ends.
    pub(crate) fn path(&self, index: usize) -> String {
        clean(self.arg(index))
    }

    /// A line of the result.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.print(&format!("{text}\n"))
    }

    /// A piece of the result, as it is.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Stop> {
        self.io.out(text).map_err(|error| Stop::Local(format!("write to standard output: {}", reason(&error))))
    }

    /// A line that is not the result: on standard error.
    pub(crate) fn note(&mut self, text: &str) {
        self.io.err(text, Colour::None);
    }

    /// A warning on standard error, folded.
    pub(crate) fn warn(&mut self, text: &str) {
        self.io.err(&super::output::table::fold(&format!("WARNING! {text}"), 0), Colour::Yellow);
    }

    /// Whether results are tables: only then `Success!` lines of commands with a format are printed.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// The client, made at its first use.
    pub(crate) fn client(&mut self) -> Result<&mut Client, Stop> {
        if self.client.is_none() {
            let settings = Settings::read(&self.flags, &self.io)?;
            let token = self.token()?;
            let made = Client::new(settings, token, std::sync::Arc::clone(&self.io.clock));
            self.client = Some(made.map_err(|error| Stop::Remote(format!("failed to setup TLS config: {error}")))?);
        }
        self.client.as_mut().ok_or(Stop::Code(super::stop::LOCAL))
    }

    /// The token in use: `VAULT_TOKEN`, else the helper's.
    pub(crate) fn token(&self) -> Result<Option<Secret<String>>, Stop> {
        if let Some(token) = self.io.var("VAULT_TOKEN") {
            return Ok(Some(Secret::from(token.trim())));
        }
        helper::load(&self.io).map_err(|error| Stop::Local(format!("failed to get token from token helper: {error}")))
    }

    /// Sends a request; `attempt` stands in front of an error: `Error reading x`.
    pub(crate) fn send(&mut self, request: &Request, attempt: &str) -> Result<Reply, Stop> {
        self.client()?.send(request).map_err(|fault| fault.about(attempt))
    }

    /// Sends a request, whose refusal the caller looks at.
    pub(crate) fn try_send(&mut self, request: &Request) -> Result<Result<Reply, Fault>, Stop> {
        Ok(self.client()?.send(request))
    }

    /// Sends a request and reads the reply's envelope.
    pub(crate) fn send_for(&mut self, request: &Request, attempt: &str) -> Result<Option<Envelope>, Stop> {
        let reply = self.send(request, attempt)?;
        Envelope::of(&reply).map_err(|error| Stop::Remote(format!("{attempt}: {error}")))
    }

    /// Sends a read or list, for which 404 means nothing is there unless its body says more.
    pub(crate) fn look_up(&mut self, request: &Request, attempt: &str) -> Result<Option<Envelope>, Stop> {
        match self.try_send(request)? {
            Ok(reply) => Envelope::of(&reply).map_err(|error| Stop::Remote(format!("{attempt}: {error}"))),
            Err(Fault::Refused(reply)) if reply.status == 404 => {
                Ok(Envelope::of(&reply).ok().flatten().filter(Envelope::is_useful))
            }
            Err(fault) => Err(fault.about(attempt)),
        }
    }

    /// Sends a request whose reply is a bare JSON object.
    pub(crate) fn send_bare(&mut self, request: &Request, attempt: &str) -> Result<Value, Stop> {
        let reply = self.send(request, attempt)?;
        let body = reply.json().map_err(|error| Stop::Remote(format!("{attempt}: {error}")))?;
        Ok(body.unwrap_or(Value::Null))
    }

    /// Sends a request and prints its reply as it comes.
    pub(crate) fn stream(&mut self, request: &Request, attempt: &str) -> Result<(), Stop> {
        self.client()?;
        let Some(client) = self.client.as_mut() else { return Err(Stop::Code(super::stop::LOCAL)) };
        let io = &mut self.io;
        let mut sink = |chunk: &[u8]| io.out_bytes(chunk).map_err(|error| reason(&error));
        client.stream(request, &mut sink).map_err(|fault| fault.about(attempt))
    }

    /// All of standard input. It can be had once.
    pub(crate) fn stdin(&mut self) -> Result<Vec<u8>, String> {
        if self.stdin_taken {
            return Err("stdin already consumed".to_owned());
        }
        self.stdin_taken = true;
        let mut bytes = Vec::new();
        let read = (&mut self.io.stdin).take(MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("read standard input: {}", reason(&error)))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!("standard input is larger than {MAX_FILE} bytes"));
        }
        Ok(bytes)
    }

    /// Standard input as text.
    pub(crate) fn stdin_text(&mut self) -> Result<String, String> {
        String::from_utf8(self.stdin()?).map_err(|_| "standard input is not UTF-8 text".to_owned())
    }

    /// The first line of standard input.
    pub(crate) fn stdin_line(&mut self) -> Result<String, String> {
        Ok(self.stdin_text()?.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Asks for a secret on the terminal.
    pub(crate) fn ask(&mut self, prompt: &str, what: &str) -> Result<String, Stop> {
        if self.flags.is(&NON_INTERACTIVE) {
            return Err(Stop::Local(format!("'{what}' not supplied and refusing to pull from stdin")));
        }
        self.io.ask_hidden(prompt).map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => Stop::Code(super::stop::INTERRUPTED),
            _ => Stop::Local(format!(
                "could not ask for the {what}: {}; pass it as an argument instead, or \"-\" to read it from stdin",
                reason(&error)
            )),
        })
    }
}

/// A path without `/` at its ends and without blanks around.
pub(crate) fn clean(path: &str) -> String {
    path.trim().trim_matches('/').to_owned()
}
