//! Completion of command lines: from the command tables, and from the server where it can be reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::client::Request;
use super::command::{Args, Body, Command, Complete};
use super::commands::ALL;
use super::cx::Cx;
use super::flags::{self, Kind};
use super::io::reason;
use super::output::Envelope;
use super::stop::{LOCAL, OK, Outcome, Stop};

pub(super) const COMPLETION: Command =
    Command::new("completion", "bash|zsh|fish", "Prints a script that completes command lines.", script)
        .offline(&[])
        .args(Args::Exactly(1));

/// Prints the completions of `line`, one a line. A server that does not answer leaves out what it knows.
pub(super) fn answer(cx: &mut Cx<'_>, line: &str) -> i32 {
    let at = cx.io.var("COMP_POINT").and_then(|point| point.parse::<usize>().ok()).unwrap_or(line.len());
    let line = line.get(..at).unwrap_or(line);
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let last = if line.ends_with(char::is_whitespace) { String::new() } else { words.pop().unwrap_or_default() };
    let mut found = candidates(cx, words.get(1..).unwrap_or_default(), &last);
    found.retain(|candidate| candidate.starts_with(&last));
    found.sort();
    found.dedup();
    for candidate in found {
        if cx.say(&candidate).is_err() {
            return LOCAL;
        }
    }
    OK
}

fn candidates(cx: &mut Cx<'_>, words: &[String], last: &str) -> Vec<String> {
    let (mut members, mut rest) = (ALL, words);
    while let Some((word, after)) = rest.split_first() {
        let Some(command) = members.iter().find(|command| command.name == word.as_str()) else { return Vec::new() };
        rest = after;
        if !matches!(command.body, Body::Group(_)) {
            return of_command(cx, command, rest, last);
        }
        members = command.members();
    }
    members.iter().map(|command| command.name.to_owned()).collect()
}

fn of_command(cx: &mut Cx<'_>, command: &Command, words: &[String], last: &str) -> Vec<String> {
    if last.starts_with('-') {
        let with_value = |kind| if kind == Kind::Switch { "" } else { "=" };
        return command.table().iter().map(|flag| format!("-{}{}", flag.name, with_value(flag.kind))).collect();
    }
    let Ok((values, arguments)) = flags::parse(&command.table(), &[], words) else { return Vec::new() };
    cx.flags = values;
    match command.complete {
        Complete::Path if arguments.is_empty() => paths(cx, last),
        Complete::Mounts if arguments.len() < 2 => mounts(cx, "sys/mounts"),
        Complete::AuthMounts if arguments.len() < 2 => mounts(cx, "sys/auth"),
        Complete::Policies if arguments.is_empty() => {
            ask(cx, &Request::list("sys/policies/acl")).and_then(|found| found.keys()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Mounts, or the names below what is typed so far.
fn paths(cx: &mut Cx<'_>, last: &str) -> Vec<String> {
    let Some((folder, _)) = last.rsplit_once('/') else { return mounts(cx, "sys/internal/ui/mounts") };
    let mut found = ask(cx, &Request::list(folder)).and_then(|found| found.keys()).unwrap_or_default();
    for name in &mut found {
        *name = format!("{folder}/{name}");
    }
    found
}

fn mounts(cx: &mut Cx<'_>, path: &str) -> Vec<String> {
    let Some(found) = ask(cx, &Request::get(path)) else { return Vec::new() };
    let data = found.data().cloned().unwrap_or_default();
    let listed = data.get("secret").and_then(Value::as_object).cloned().unwrap_or(data);
    listed.keys().filter(|name| name.ends_with('/')).cloned().collect()
}

/// One quick question.
fn ask(cx: &mut Cx<'_>, request: &Request) -> Option<Envelope> {
    let client = cx.client().ok()?;
    client.settings.timeout = PATIENCE;
    client.settings.retries.most = 0;
    let reply = client.send(&request.clone().unwrapped()).ok()?;
    Envelope::of(&reply).ok().flatten()
}

fn script(cx: &mut Cx<'_>) -> Outcome {
    let name = cx.program.clone();
    let text = match cx.arg(0) {
        "bash" => format!("complete -o nospace -C {name} {name}"),
        "zsh" => format!("autoload -U +X bashcompinit && bashcompinit\ncomplete -o nospace -C {name} {name}"),
        "fish" => fish(&name, &name),
        other => return Err(Stop::Local(format!("\"{other}\" is not a shell known here; the shells are bash, zsh and fish"))),
    };
    cx.say(&text)?;
    Ok(OK)
}

fn fish(name: &str, path: &str) -> String {
    format!(
        "function __complete_{name}\n    set -lx COMP_LINE (commandline -cp)\n    test -z (commandline -ct)\n    and set COMP_LINE \"$COMP_LINE \"\n    {path}\nend\ncomplete -f -c {name} -a \"(__complete_{name})\""
    )
}

/// Start files of the shells that are there.
fn start_files(cx: &Cx<'_>) -> Vec<(&'static str, PathBuf)> {
    let Some(home) = cx.io.var("HOME") else { return Vec::new() };
    let home = Path::new(home);
    let config = cx.io.var("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let mut found = Vec::new();
    for (shell, path) in [("bash", home.join(".bashrc")), ("bash", home.join(".bash_profile")), ("zsh", home.join(".zshrc"))] {
        if path.is_file() && !found.iter().any(|(known, _)| *known == shell) {
            found.push((shell, path));
        }
    }
    if config.join("fish").is_dir() {
        found.push(("fish", config.join("fish/completions").join(format!("{}.fish", cx.program))));
    }
    found
}

fn lines(cx: &Cx<'_>, shell: &str) -> String {
    let name = &cx.program;
    let path = std::env::current_exe().map_or_else(|_| name.clone(), |path| path.display().to_string());
    match shell {
        "zsh" => format!("autoload -U +X bashcompinit && bashcompinit\ncomplete -o nospace -C {path} {name}\n"),
        "fish" => format!("{}\n", fish(name, &path)),
        _ => format!("complete -C {path} {name}\n"),
    }
}

/// Writes the completion into the shells' start files.
pub(super) fn install(cx: &mut Cx<'_>) -> Outcome {
    let files = start_files(cx);
    if files.is_empty() {
        return Err(Stop::local(
            "No start file of bash, zsh or fish was found; see \"completion -h\" for a script to place yourself",
        ));
    }
    for (shell, path) in files {
        let wanted = lines(cx, shell);
        let old = fs::read_to_string(&path).unwrap_or_default();
        if old.contains(&wanted) {
            cx.say(&format!("already in {}", path.display()))?;
            continue;
        }
        let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
        write(&path, &format!("{old}{gap}{wanted}"))?;
        cx.say(&format!("written to {}", path.display()))?;
    }
    Ok(OK)
}

/// Takes it out again.
pub(super) fn uninstall(cx: &mut Cx<'_>) -> Outcome {
    let mut removed = 0;
    for (shell, path) in start_files(cx) {
        let ours = lines(cx, shell);
        let Ok(old) = fs::read_to_string(&path) else { continue };
        if !old.contains(&ours) {
            continue;
        }
        write(&path, &old.replace(&ours, ""))?;
        cx.say(&format!("removed from {}", path.display()))?;
        removed += 1;
    }
    if removed == 0 {
        return Err(Stop::local("No start file of bash, zsh or fish holds the completion"));
    }
    Ok(OK)
}

fn write(path: &Path, text: &str) -> Result<(), Stop> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| fs::write(path, text))
        .map_err(|error| Stop::Local(format!("write {}: {}", path.display(), reason(&error))))
}

/// Longer than this nobody waits for a completion.
const PATIENCE: Duration = Duration::from_secs(2);
