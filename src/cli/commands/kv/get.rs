//! `kv get` and `kv list`.

use serde_json::Value;

use super::{MOUNT, one_key, path_block, place, titled};
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::commands::read::{list_at, nothing_at};
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::output::{Envelope, FIELD};
use crate::cli::stop::{OK, Outcome, Stop};

const VERSION: Flag = Flag::number("version", "Which version; by default the latest.");

pub(super) const GET: Command = Command::new("get", "[flags] KEY", "Shows a secret.", get)
    .flags(&[MOUNT, VERSION])
    .fields()
    .args(Args::Exactly(1))
    .complete(Complete::Path);

pub(super) const LIST: Command = Command::new("list", "[flags] [PATH]", "Lists the names below a path.", list)
    .flags(&[MOUNT])
    .formats()
    .args(Args::Range(0, 1))
    .complete(Complete::Path);

fn get(cx: &mut Cx<'_>) -> Outcome {
    let place = place(cx)?;
    let path = place.at("data");
    let mut request = Request::get(&path);
    if let Some(version) = cx.flags.number(&VERSION).filter(|version| place.versioned && *version > 0) {
        request = request.query("version", &version.to_string());
    }
    let envelope = cx.look_up(&request, &format!("Error reading {path}"))?.ok_or_else(|| nothing_at(&path))?;
    if envelope.wrap_info().is_some() {
        return cx.show(&envelope);
    }
    if !place.versioned {
        return show_plain(cx, &envelope);
    }
    let part = |name: &str| envelope.data().and_then(|data| data.get(name)).and_then(Value::as_object).cloned();
    let (data, metadata) = (part("data"), part("metadata"));
    if let Some(name) = cx.flags.text(&FIELD).map(str::to_owned) {
        let value = if name == "data" {
            data.clone().map(Value::Object)
        } else {
            data.as_ref().and_then(|data| data.get(&name)).cloned()
        };
        return match value.filter(|value| !value.is_null()) {
            Some(value) => cx.show_field(&value),
            None => Err(Stop::Local(format!("Field \"{name}\" not present in map"))),
        };
    }
    if !cx.is_table() {
        return cx.show(&envelope);
    }
    let mut text = path_block("Secret Path", &path);
    if let Some(metadata) = metadata {
        text.push_str(&titled("Metadata", &metadata));
        text.push('\n');
    }
    if let Some(data) = data {
        text.push_str(&titled("Data", &data));
    }
    cx.print(&text)?;
    cx.warn_all(&envelope.warnings());
    Ok(OK)
}

fn show_plain(cx: &mut Cx<'_>, envelope: &Envelope) -> Outcome {
    match envelope.data() {
        Some(data) if cx.is_table() && !cx.flags.has(&FIELD) => {
            cx.print(&titled("Data", data))?;
            cx.warn_all(&envelope.warnings());
            Ok(OK)
        }
        _ => cx.show(envelope),
    }
}

fn list(cx: &mut Cx<'_>) -> Outcome {
    if cx.args.is_empty() && !cx.flags.has(&MOUNT) {
        one_key(cx)?;
    }
    let place = place(cx)?;
    list_at(cx, &place.at("metadata"))
}
