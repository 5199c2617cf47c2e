//! `operator unseal`, `seal`, `key-status`, `rotate`, `step-down`.

use serde_json::{Value, json};

use super::{key_share, text};
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::commands::status;
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome};

const RESET: Flag = Flag::switch("reset", "Forget the shares given so far.");
const MIGRATE: Flag = Flag::switch("migrate", "The share belongs to a move from one seal to another.");

pub(super) const UNSEAL: Command = Command::new("unseal", "[flags] [KEY | -]", "Gives one share of the unseal key.", unseal)
    .flags(&[RESET, MIGRATE])
    .formats()
    .args(Args::Range(0, 1));
pub(super) const SEAL: Command =
    Command::new("seal", "[flags]", "Seals the server: it forgets its keys and answers nothing.", seal).args(Args::Exactly(0));
pub(super) const KEY_STATUS: Command =
    Command::new("key-status", "[flags]", "Shows the encryption key in use.", key_status).formats().args(Args::Exactly(0));
pub(super) const ROTATE: Command =
    Command::new("rotate", "[flags]", "Makes a new encryption key for what is written from now on.", rotate)
        .formats()
        .args(Args::Exactly(0));
pub(super) const STEP_DOWN: Command =
    Command::new("step-down", "[flags]", "Lets another node become active.", step_down).args(Args::Exactly(0));

fn unseal(cx: &mut Cx<'_>) -> Outcome {
    let path = "sys/unseal";
    let seal = if cx.flags.is(&RESET) {
        let request = Request::put(path, json!({ "reset": true }));
        cx.send_bare(&request.anonymous().unwrapped(), "Error resetting unseal process")?
    } else {
        let key = key_share(cx, None)?;
        let request = Request::put(path, json!({ "key": key, "migrate": cx.flags.is(&MIGRATE) }));
        cx.send_bare(&request.anonymous().unwrapped(), "Error unsealing")?
    };
    let leader = cx.try_send(&Request::get("sys/leader").anonymous().unwrapped())?;
    let leader = leader.ok().and_then(|reply| reply.json().ok().flatten()).unwrap_or(Value::Null);
    status::show(cx, &seal, &leader)
}

fn seal(cx: &mut Cx<'_>) -> Outcome {
    cx.send(&Request::poke("sys/seal").unwrapped(), "Error sealing")?;
    cx.say("Success! Vault is sealed.")?;
    Ok(OK)
}

fn key_status(cx: &mut Cx<'_>) -> Outcome {
    let envelope = cx.send_for(&Request::get("sys/key-status").unwrapped(), "Error reading key status")?.unwrap_or_default();
    let status = Value::Object(envelope.data().cloned().unwrap_or_default());
    show_keys(cx, &status, "")
}

fn rotate(cx: &mut Cx<'_>) -> Outcome {
    cx.send(&Request::post("sys/rotate", json!({})).unwrapped(), "Error rotating key")?;
    let envelope = cx.send_for(&Request::get("sys/key-status").unwrapped(), "Error reading key status")?.unwrap_or_default();
    let status = Value::Object(envelope.data().cloned().unwrap_or_default());
    show_keys(cx, &status, "Success! Rotated key\n\n")
}

fn show_keys(cx: &mut Cx<'_>, status: &Value, front: &str) -> Outcome {
    let installed = text(status, "install_time");
    let shown = chrono::DateTime::parse_from_rfc3339(&installed)
        .map_or_else(|_| installed.clone(), |time| time.to_utc().format("%d %b %y %H:%M UTC").to_string());
    let member = |name: &str| status.get(name).cloned().unwrap_or(Value::Null);
    let doc =
        Doc::object([("term", member("term")), ("install_time", member("install_time")), ("encryptions", member("encryptions"))]);
    cx.show_doc(&doc, || {
        let rows =
            [("Key Term", text(status, "term")), ("Install Time", shown), ("Encryption Count", text(status, "encryptions"))];
        let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
        format!("{front}{}", table::columns(&rows, 4))
    })
}

fn step_down(cx: &mut Cx<'_>) -> Outcome {
    cx.send(&Request::poke("sys/step-down").unwrapped(), "Error stepping down")?;
    let address = cx.client()?.settings.address.origin.clone();
    cx.say(&format!("Success! Stepped down: {address}"))?;
    Ok(OK)
}
