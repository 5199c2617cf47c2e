//! `kv delete`, `undelete`, `destroy`, `rollback`, `enable-versioning`.

use serde_json::{Value, json};

use super::{MOUNT, place};
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::commands::read::{delete_with, nothing_at};
use crate::cli::commands::write;
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::stop::{OK, Outcome, Stop};

const VERSIONS: Flag = Flag::list("versions", "N,N", "Which versions; repeat or separate by commas.");
const VERSION: Flag = Flag::number("version", "Which version.");

pub(super) const DELETE: Command = command("delete", "Deletes the latest version of a secret, or the given ones.", delete);
pub(super) const UNDELETE: Command = command("undelete", "Brings deleted versions back.", undelete);
pub(super) const DESTROY: Command = command("destroy", "Destroys versions for good.", destroy);

pub(super) const ROLLBACK: Command =
    Command::new("rollback", "[flags] KEY", "Writes an old version's data as a new version.", rollback)
        .flags(&[MOUNT, VERSION])
        .fields()
        .args(Args::Exactly(1))
        .complete(Complete::Path);

pub(super) const ENABLE_VERSIONING: Command =
    Command::new("enable-versioning", "[flags] MOUNT", "Turns a plain mount into one that keeps versions.", enable_versioning)
        .args(Args::Exactly(1))
        .complete(Complete::Mounts);

const fn command(name: &'static str, about: &'static str, run: fn(&mut Cx<'_>) -> Outcome) -> Command {
    Command::new(name, "[flags] KEY", about, run)
        .flags(&[MOUNT, VERSIONS])
        .fields()
        .args(Args::Exactly(1))
        .complete(Complete::Path)
}

fn versions(cx: &Cx<'_>) -> Vec<String> {
    let all = cx.flags.list(&VERSIONS).iter().flat_map(|list| list.split(','));
    all.map(|version| version.trim().to_owned()).filter(|version| !version.is_empty()).collect()
}

fn delete(cx: &mut Cx<'_>) -> Outcome {
    let versions = versions(cx);
    let place = place(cx)?;
    let path = place.at("data");
    let request = if place.versioned && !versions.is_empty() {
        Request::put(&place.at("delete"), json!({ "versions": versions }))
    } else {
        Request::delete(&path)
    };
    delete_with(cx, &request, &path)
}

fn undelete(cx: &mut Cx<'_>) -> Outcome {
    change(cx, "undelete", "Undelete")
}

fn destroy(cx: &mut Cx<'_>) -> Outcome {
    change(cx, "destroy", "Destroy")
}

fn change(cx: &mut Cx<'_>, part: &str, title: &str) -> Outcome {
    let versions = versions(cx);
    if versions.is_empty() {
        return Err(Stop::Local(format!("No versions provided, use the \"-versions\" flag to specify the version to {part}.")));
    }
    let place = place(cx)?;
    if !place.versioned {
        return Err(Stop::Local(format!("{title} not supported on KV Version 1")));
    }
    let path = place.at(part);
    write::send(cx, &Request::put(&path, json!({ "versions": versions })), &path)
}

fn rollback(cx: &mut Cx<'_>) -> Outcome {
    let Some(wanted) = cx.flags.number(&VERSION) else {
        return Err(Stop::local("Version flag must be specified"));
    };
    if wanted <= 0 {
        return Err(Stop::Local(format!("Invalid value {wanted} for the version flag")));
    }
    let place = place(cx)?;
    if !place.versioned {
        return Err(Stop::remote("K/V engine mount must be version 2 for rollback support"));
    }
    let path = place.at("data");
    let attempt = format!("Error reading {path}");
    let latest = cx.look_up(&Request::get(&path).unwrapped(), &attempt)?.ok_or_else(|| nothing_at(&path))?;
    let cas = latest.data().and_then(|data| data.get("metadata")?.get("version")?.as_i64());
    let request = Request::get(&path).query("version", &wanted.to_string()).unwrapped();
    let old = cx.look_up(&request, &attempt)?.ok_or_else(|| nothing_at(&path))?;
    let metadata = old.data().and_then(|data| data.get("metadata")).cloned().unwrap_or(Value::Null);
    if metadata.get("destroyed").and_then(Value::as_bool).unwrap_or(false) {
        return Err(Stop::remote("Cannot roll back to a version that has been destroyed"));
    }
    if metadata.get("deletion_time").and_then(Value::as_str).is_some_and(|time| !time.is_empty()) {
        return Err(Stop::remote("Cannot roll back to a version that has been deleted"));
    }
    let data = old.data().and_then(|data| data.get("data")).cloned().unwrap_or(Value::Null);
    let body = match cas {
        Some(cas) => json!({ "data": data, "options": { "cas": cas } }),
        None => json!({ "data": data, "options": {} }),
    };
    let envelope = cx.send_for(&Request::put(&path, body), &format!("Error writing data to {path}"))?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn enable_versioning(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    let body = json!({ "options": { "version": "2" } });
    cx.send(
        &Request::post(&format!("sys/mounts/{path}/tune"), body).unwrapped(),
        &format!("Error tuning secrets engine {path}/"),
    )?;
    cx.say(&format!("Success! Tuned the secrets engine at: {path}/"))?;
    Ok(OK)
}
