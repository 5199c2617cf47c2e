//! The command line: a client of the server's HTTP API, and nothing else (spec `cli.md`).
//!
//! [`run`] takes the words of the call, finds the command in the tables of `command`, reads its flags and runs it.
//! Everything of the outside comes in through [`Io`]. `server` is composed elsewhere and comes in as a hook.

mod client;
mod command;
mod commands;
mod complete;
mod cx;
mod data;
mod duration;
mod flags;
mod help;
mod helper;
mod io;
mod output;
mod preview;
mod prompt;
mod settings;
mod stop;

use std::ffi::OsString;

use command::{Body, Command};
use commands::ALL;
pub use commands::server::{ServerFlags, parse_server_flags};
use cx::Cx;
pub use helper::store_token;
use io::Colour;
pub use io::{Io, Terminal};
use output::{FORMAT, Format};
use stop::{LOCAL, OK, Outcome, REMOTE, Stop, UNKNOWN};

/// Runs one call of the program and gives its exit code. `args` starts with the program's name; `server` gets the
/// words after `server` and runs until that ends.
pub fn run(args: Vec<OsString>, mut io: Io, server: &dyn Fn(&[String]) -> i32) -> i32 {
    let mut words = Vec::with_capacity(args.len());
    for arg in args {
        let Ok(word) = arg.into_string() else {
            io.err("an argument is not UTF-8 text", Colour::Red);
            return LOCAL;
        };
        words.push(word);
    }
    let mut words = words.into_iter();
    let called = words.next().unwrap_or_default();
    let program = called.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("leasehold").to_owned();
    let words: Vec<String> = words.collect();
    let mut cx = Cx::new(io, &program, server);
    if let Some(line) = cx.io.env.get("COMP_LINE").cloned() {
        return complete::answer(&mut cx, &line);
    }
    let outcome = dispatch(&mut cx, &words);
    end(&mut cx, outcome)
}

/// Tells why the command stopped, and gives the code for it.
fn end(cx: &mut Cx<'_>, outcome: Outcome) -> i32 {
    match outcome {
        Ok(code) | Err(Stop::Code(code)) => code,
        Err(Stop::Instead(text)) => cx.say(&text).map_or(LOCAL, |()| OK),
        Err(Stop::Local(text)) => {
            cx.io.err(&text, Colour::Red);
            LOCAL
        }
        Err(Stop::Remote(text)) => {
            cx.io.err(&text, Colour::Red);
            REMOTE
        }
    }
}

fn dispatch(cx: &mut Cx<'_>, words: &[String]) -> Outcome {
    match words.first().map(String::as_str) {
        Some("-v" | "-version" | "--version") => return commands::version::print(cx),
        Some("-h" | "-help" | "--help") => {
            cx.say(&help::program(&cx.program.clone(), ALL))?;
            return Ok(OK);
        }
        Some("-autocomplete-install" | "--autocomplete-install") => return complete::install(cx),
        Some("-autocomplete-uninstall" | "--autocomplete-uninstall") => return complete::uninstall(cx),
        _ => {}
    }
    let mut path = Vec::new();
    let (mut members, mut rest) = (ALL, words);
    let mut group: Option<&Command> = None;
    while let Some((word, after)) = rest.split_first() {
        let Some(found) = members.iter().find(|command| command.name == word.as_str()) else { break };
        path.push(found.name);
        rest = after;
        if !matches!(found.body, Body::Group(_)) {
            return call(cx, found, &path.join(" "), rest);
        }
        (members, group) = (found.members(), Some(found));
    }
    no_command(cx, group, &path.join(" "), rest)
}

/// No command, an unknown one, or a group alone: usage, on the stream and with the code that fits.
fn no_command(cx: &mut Cx<'_>, group: Option<&Command>, path: &str, rest: &[String]) -> Outcome {
    let program = cx.program.clone();
    let usage = group.map_or_else(|| help::program(&program, ALL), |group| help::command(&program, path, group));
    if rest.iter().any(|word| is_help(word)) {
        cx.say(&usage)?;
        return Ok(OK);
    }
    let members = group.map_or(ALL, Command::members);
    let flag_first = rest.first().is_some_and(|word| word.starts_with('-'));
    if flag_first && rest.iter().any(|word| members.iter().any(|command| command.name == word.as_str())) {
        cx.note("Invalid flags before the subcommand. If these flags are for\nthe subcommand, please put them after the subcommand.\n");
        cx.note(&usage);
        return Ok(LOCAL);
    }
    cx.note(&usage);
    Ok(if group.is_some() { LOCAL } else { UNKNOWN })
}

/// Reads flags and arguments of one command and runs it.
fn call(cx: &mut Cx<'_>, command: &Command, path: &str, words: &[String]) -> Outcome {
    if words.iter().take_while(|word| word.as_str() != "--").any(|word| is_help(word)) {
        let text = help::command(&cx.program.clone(), path, command);
        cx.say(&text)?;
        return Ok(OK);
    }
    let run = match command.body {
        Body::Run(run) => run,
        Body::Server => return Ok((cx.server)(words)),
        Body::Absent(advice) => {
            return Err(Stop::Local(format!("\"{path}\" is not supported by this program. {advice}")));
        }
        Body::Group(_) => return Ok(LOCAL),
    };
    let table = command.table();
    (cx.flags, cx.args) = flags::parse(&table, ANYWHERE, words).map_err(Stop::Local)?;
    let has_format = table.iter().any(|flag| flag.name == FORMAT.name);
    let asked = cx.flags.text(&FORMAT).or_else(|| cx.io.var("VAULT_FORMAT")).unwrap_or("table").to_owned();
    let format = Format::parse(&asked).filter(|format| *format != Format::Raw || path == "read");
    let format = format.ok_or_else(|| Stop::Local(format!("Invalid output format: {asked}")))?;
    cx.format = if has_format { format } else { Format::Table };
    warn_of_late_flags(cx);
    command.args.check(cx.args.len()).map_err(Stop::Local)?;
    run(cx)
}

fn warn_of_late_flags(cx: &mut Cx<'_>) {
    let late: Vec<_> = cx.args.iter().filter(|word| word.starts_with('-') && *word != "-").cloned().collect();
    if cx.is_table() && !late.is_empty() {
        let text =
            "Command flags must be provided before positional arguments. The following arguments will not be parsed as flags:";
        cx.io.err(&format!("{text} [{}]", late.join(",")), Colour::Yellow);
    }
}

fn is_help(word: &str) -> bool {
    matches!(word, "-h" | "-help" | "--help")
}

/// Flags found wherever they stand.
const ANYWHERE: &[&str] = &["format", "output-curl-string", "output-policy"];
