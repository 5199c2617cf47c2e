//! `version`, `version-history`, `print token`.

use serde_json::{Value, json};

use super::read::nothing_at;
use crate::base::version;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::output::{Doc, Format, OUTPUT, table};
use crate::cli::stop::{OK, Outcome};

pub(super) const VERSION: Command = Command::new("version", "[flags]", "Prints the version.", print).offline(&[&OUTPUT]);

pub(super) const HISTORY: Command = Command::new("version-history", "[flags]", "Shows the versions the server has run.", history)
    .formats()
    .args(Args::Exactly(0));

pub(super) const PRINT: Command = Command::group("print", "Prints what the command line uses.", &[TOKEN]);

const TOKEN: Command = Command::new("token", "", "Prints the token in use.", token).offline(&[]).args(Args::Exactly(0));

/// The version's line; more of it in json and yaml.
pub(in crate::cli) fn print(cx: &mut Cx<'_>) -> Outcome {
    if !matches!(cx.format, Format::Json | Format::Yaml) {
        return cx.say(&version::line()).map(|()| OK);
    }
    let doc = Doc::object([
        ("version", json!(version::API_LEVEL)),
        ("commit", json!(version::COMMIT)),
        ("build_date", json!(version::BUILD_DATE)),
        ("program", json!("leasehold")),
        ("program_version", json!(version::VERSION)),
    ]);
    cx.show_doc(&doc, String::new)
}

fn history(cx: &mut Cx<'_>) -> Outcome {
    let path = "sys/version-history";
    let envelope = cx.look_up(&Request::list(path), "Error listing version history")?;
    let Some((keys, info)) = envelope.as_ref().and_then(|envelope| Some((envelope.keys()?, envelope.data()?.get("key_info")?)))
    else {
        return Err(nothing_at(path));
    };
    let doc = Doc::Value(Value::Object(envelope.as_ref().and_then(|envelope| envelope.data()).cloned().unwrap_or_default()));
    let text = |key: &str, name: &str| {
        info.get(key).and_then(|one| one.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut rows = vec![row("Version", "Installation Time", "Build Date"), row("-------", "-----------------", "----------")];
    rows.extend(keys.iter().map(|key| row(key, &text(key, "timestamp_installed"), &text(key, "build_date"))));
    if cx.is_table() {
        cx.note("Only versions this server has been upgraded to since it began to record them are listed.");
    }
    cx.show_doc(&doc, || table::columns(&rows, 2))
}

fn row(version: &str, installed: &str, built: &str) -> Vec<String> {
    vec![version.to_owned(), installed.to_owned(), built.to_owned()]
}

fn token(cx: &mut Cx<'_>) -> Outcome {
    let token = cx.token()?;
    cx.say(token.as_ref().map_or("", |token| token.expose().as_str()))?;
    Ok(OK)
}
