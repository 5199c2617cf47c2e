//! `kv put` and `kv patch`.

use serde_json::{Map, Value, json};

use super::{MOUNT, Place, place, show_written};
use crate::cli::client::{Fault, Request};
use crate::cli::command::{Args, Command, Complete};
use crate::cli::commands::read::nothing_at;
use crate::cli::commands::write;
use crate::cli::cx::Cx;
use crate::cli::data;
use crate::cli::flags::Flag;
use crate::cli::output::Envelope;
use crate::cli::stop::{OK, Outcome, Stop};

const CAS: Flag = Flag::number("cas", "Write only if this is the latest version; 0: if there is none.");
const METHOD: Flag = Flag::text("method", "patch|rw", "Patch on the server, or read and write.");
const REMOVE: Flag = Flag::list("remove-data", "KEY", "Key to remove; repeat for more.");

pub(super) const PUT: Command = Command::new("put", "[flags] KEY DATA...", "Writes a secret, in whole.", put)
    .flags(&[MOUNT, CAS])
    .fields()
    .args(Args::From(1))
    .complete(Complete::Path);

pub(super) const PATCH: Command = Command::new("patch", "[flags] KEY [DATA...]", "Changes a part of a secret.", patch)
    .flags(&[MOUNT, CAS, METHOD, REMOVE])
    .fields()
    .args(Args::From(1))
    .complete(Complete::Path);

fn put(cx: &mut Cx<'_>) -> Outcome {
    let words = cx.args.get(1..).unwrap_or_default().to_vec();
    let data = data::parse(cx, &words)?;
    if words.is_empty() {
        return Err(Stop::local("Must supply data"));
    }
    let place = place(cx)?;
    let path = place.at("data");
    if !place.versioned {
        return write::send(cx, &Request::put(&path, Value::Object(data)), &path);
    }
    let request = Request::put(&path, body(data, cx.flags.number(&CAS)));
    let envelope = cx.send_for(&request, &format!("Error writing data to {path}"))?;
    envelope.map_or(Ok(OK), |envelope| show_written(cx, &envelope, &path))
}

fn body(data: Map<String, Value>, cas: Option<i64>) -> Value {
    let data = Value::Object(data);
    // A negative number is what scripts write for "not given".
    match cas.filter(|cas| *cas >= 0) {
        Some(cas) => json!({ "data": data, "options": { "cas": cas } }),
        None => json!({ "data": data, "options": {} }),
    }
}

fn patch(cx: &mut Cx<'_>) -> Outcome {
    let method = cx.flags.text(&METHOD).unwrap_or_default().to_owned();
    if !matches!(method.as_str(), "" | "patch" | "rw") {
        return Err(Stop::Remote(format!("Unsupported method provided to -method flag: {method}")));
    }
    let words = cx.args.get(1..).unwrap_or_default().to_vec();
    let mut data = data::parse(cx, &words)?;
    data.extend(cx.flags.list(&REMOVE).iter().map(|key| (key.clone(), Value::Null)));
    if data.is_empty() {
        return Err(Stop::local("Must supply data"));
    }
    let place = place(cx)?;
    if !place.versioned {
        return Err(Stop::remote("K/V engine mount must be version 2 for patch support"));
    }
    let path = place.at("data");
    if method == "rw" {
        return read_and_write(cx, &place, data);
    }
    let request = Request::patch(&path, body(data.clone(), cx.flags.number(&CAS)));
    match cx.try_send(&request)? {
        Ok(reply) => {
            let envelope = Envelope::of(&reply).map_err(Stop::Remote)?;
            envelope.map_or(Ok(OK), |envelope| show_written(cx, &envelope, &path))
        }
        Err(fault) if fault.status() == Some(404) => Err(nothing_at(&path)),
        Err(fault) if method.is_empty() && fault.status() == Some(405) => read_and_write(cx, &place, data),
        Err(fault @ Fault::Refused(_)) if method.is_empty() && fault.status() == Some(403) => {
            let outcome = read_and_write(cx, &place, data)?;
            cx.warn("The token has no \"patch\" capability at this path, so the secret was read and written instead. Granting \"patch\" is recommended.");
            Ok(outcome)
        }
        Err(fault) => Err(fault.about(&format!("Error writing data to {path}"))),
    }
}

/// Merges on this side, and writes on the condition that nobody wrote in between.
fn read_and_write(cx: &mut Cx<'_>, place: &Place, changes: Map<String, Value>) -> Outcome {
    let path = place.at("data");
    let latest =
        cx.look_up(&Request::get(&path).unwrapped(), &format!("Error reading {path}"))?.ok_or_else(|| nothing_at(&path))?;
    let part = |name: &str| latest.data().and_then(|data| data.get(name)).and_then(Value::as_object).cloned();
    let Some(mut data) = part("data") else {
        return Err(Stop::Remote(format!("No data found at {path}; the latest version is deleted")));
    };
    let version = part("metadata").and_then(|metadata| metadata.get("version").and_then(Value::as_i64));
    for (key, change) in changes {
        merge(&mut data, key, change);
    }
    let cas = cx.flags.number(&CAS).filter(|cas| *cas >= 0).or(version);
    let request = Request::put(&path, body(data, cas));
    let envelope = cx.send_for(&request, &format!("Error writing data to {path}"))?;
    envelope.map_or(Ok(OK), |envelope| show_written(cx, &envelope, &path))
}

/// JSON merge patch: null removes, objects merge, the rest replaces.
fn merge(data: &mut Map<String, Value>, key: String, change: Value) {
    match (change, data.get_mut(&key)) {
        (Value::Null, _) => {
            data.remove(&key);
        }
        (Value::Object(changes), Some(Value::Object(old))) => {
            for (key, change) in changes {
                merge(old, key, change);
            }
        }
        (change, _) => {
            data.insert(key, change);
        }
    }
}
