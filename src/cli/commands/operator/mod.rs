//! `operator`: what the people who run the server need (spec `cli.md` §5).

mod cluster;
mod generate_root;
mod init;
mod keys;
mod rekey;
mod rekey_show;

use serde_json::Value;

use crate::cli::command::Command;
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::output::table;
use crate::cli::stop::Stop;

pub(super) const OPERATOR: Command = Command::group(
    "operator",
    "Initialises, unseals, seals and rekeys the server.",
    &[
        init::INIT,
        keys::UNSEAL,
        keys::SEAL,
        keys::KEY_STATUS,
        keys::ROTATE,
        keys::STEP_DOWN,
        rekey::REKEY,
        generate_root::GENERATE_ROOT,
        cluster::MEMBERS,
        cluster::RAFT,
        super::server::DIAGNOSE,
        Command::absent("migrate", "Copies one storage to another.", "Stop the server and copy its storage file instead."),
    ],
);

/// A member of a reply as a cell shows it; empty when it is not there.
fn text(value: &Value, name: &str) -> String {
    value.get(name).filter(|value| !value.is_null()).map_or_else(String::new, table::cell)
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    let all = value.get(name).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Refuses flags that nothing stands behind.
fn refuse(cx: &Cx<'_>, flags: &[Flag], why: &str) -> Result<(), Stop> {
    match flags.iter().find(|flag| cx.flags.has(flag)) {
        Some(flag) => Err(Stop::Local(format!("-{} is not supported: {why}", flag.name))),
        None => Ok(()),
    }
}

/// A key share: the argument, `-` for the first line of standard input, or asked for after `prompt_line`.
fn key_share(cx: &mut Cx<'_>, prompt_line: Option<&str>) -> Result<String, Stop> {
    match cx.arg(0).trim().to_owned().as_str() {
        "-" => cx.stdin_line().map_err(Stop::Local),
        "" => {
            if let Some(line) = prompt_line.filter(|_| cx.io.terminal.stdin) {
                cx.note(line);
            }
            cx.ask("Unseal Key (will be hidden): ", "unseal key")
        }
        given => Ok(given.to_owned()),
    }
}

const NO_PGP: &str = "this program does not encrypt by PGP";
