//! Usage texts, drawn from the command tables.

use std::fmt::Write as _;

use super::command::{Body, Command};
use super::flags::{Flag, Kind};
use super::output::table::fold;

/// Usage of the whole program.
pub(crate) fn program(program: &str, commands: &[Command]) -> String {
    let shown = |absent: bool| commands.iter().filter(move |command| matches!(command.body, Body::Absent(_)) == absent);
    let mut text = format!("Usage: {program} COMMAND [SUBCOMMAND] [flags] [arguments]\n\nCommands:\n");
    text.push_str(&listing(shown(false)));
    text.push_str("\n\nNot part of this program (each says what to use instead):\n");
    let names: Vec<_> = shown(true).map(|command| command.name).collect();
    text.push_str(&fold(&names.join(", "), 2));
    text.push_str("\n\n");
    text.push_str(&fold(
        &format!("\"{program} COMMAND -h\" shows the flags of a command, \"{program} version\" the version."),
        0,
    ));
    text
}

/// Usage of a command or a group; `path` is all of its words.
pub(crate) fn command(program: &str, path: &str, command: &Command) -> String {
    let mut text = format!("Usage: {program} {path} {}\n\n{}", command.usage, fold(command.about, 2));
    if !command.details.is_empty() {
        text.push_str("\n\n");
        text.push_str(&fold(command.details, 2));
    }
    if let Body::Absent(advice) = command.body {
        text.push_str("\n\n");
        text.push_str(&fold(&format!("This program does not support it. {advice}"), 2));
    }
    if !command.members().is_empty() {
        text.push_str("\n\nSubcommands:\n");
        text.push_str(&listing(command.members().iter()));
    }
    if !command.flags.is_empty() {
        text.push_str("\n\nFlags:\n");
        text.push_str(&flags(command.flags));
    }
    for group in command.groups {
        let _ = write!(text, "\n\n{}:\n{}", group.title, flags(group.flags));
    }
    text
}

fn listing<'a>(commands: impl Iterator<Item = &'a Command> + Clone) -> String {
    let width = commands.clone().map(|command| command.name.len()).max().unwrap_or(0);
    commands.map(|command| format!("  {:width$}    {}", command.name, command.about)).collect::<Vec<_>>().join("\n")
}

fn flags(flags: &[Flag]) -> String {
    let mut sorted: Vec<_> = flags.iter().collect();
    sorted.sort_by_key(|flag| flag.name);
    let lines = sorted.iter().map(|flag| {
        let alias = if flag.alias.is_empty() { String::new() } else { format!(", -{}", flag.alias) };
        let value = match flag.kind {
            Kind::Switch => String::new(),
            Kind::List | Kind::Pairs => format!("={}…", flag.hint),
            Kind::Text | Kind::Number | Kind::Duration => format!("={}", flag.hint),
        };
        format!("  -{}{alias}{value}\n{}", flag.name, fold(flag.about, 6))
    });
    lines.collect::<Vec<_>>().join("\n")
}
