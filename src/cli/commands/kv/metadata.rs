//! `kv metadata get`, `put`, `patch`, `delete`.

use serde_json::{Map, Value, json};

use super::{MOUNT, Place, path_block, place, titled};
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::commands::read::{delete_with, nothing_at};
use crate::cli::commands::write;
use crate::cli::cx::Cx;
use crate::cli::duration;
use crate::cli::flags::Flag;
use crate::cli::output::FIELD;
use crate::cli::stop::{OK, Outcome, Stop};

const MAX_VERSIONS: Flag = Flag::number("max-versions", "Versions to keep; 0: as the mount says.");
const CAS_REQUIRED: Flag = Flag::switch("cas-required", "Writes must name the version they follow.");
const DELETE_AFTER: Flag = Flag::duration("delete-version-after", "Versions are deleted after this long.");
const CUSTOM: Flag = Flag::pairs("custom-metadata", "Metadata of your own; repeat for more.");
const REMOVE_CUSTOM: Flag = Flag::list("remove-custom-metadata", "KEY", "Metadata of your own to remove; repeat for more.");

pub(super) const METADATA: Command =
    Command::group("metadata", "Shows and changes what is kept about a secret.", &[GET, PUT, PATCH, DELETE]);

const GET: Command = Command::new("get", "[flags] KEY", "Shows a secret's metadata and versions.", get)
    .flags(&[MOUNT])
    .fields()
    .args(Args::Exactly(1))
    .complete(Complete::Path);
const PUT: Command = Command::new("put", "[flags] KEY", "Sets a secret's metadata.", put)
    .flags(&[MOUNT, MAX_VERSIONS, CAS_REQUIRED, DELETE_AFTER, CUSTOM])
    .formats()
    .args(Args::Exactly(1))
    .complete(Complete::Path);
const PATCH: Command = Command::new("patch", "[flags] KEY", "Changes a part of a secret's metadata.", patch)
    .flags(&[MOUNT, MAX_VERSIONS, CAS_REQUIRED, DELETE_AFTER, CUSTOM, REMOVE_CUSTOM])
    .formats()
    .args(Args::Exactly(1))
    .complete(Complete::Path);
const DELETE: Command = Command::new("delete", "[flags] KEY", "Deletes a secret with all its versions.", delete)
    .flags(&[MOUNT])
    .formats()
    .args(Args::Exactly(1))
    .complete(Complete::Path);

fn versioned(cx: &mut Cx<'_>) -> Result<Place, Stop> {
    let place = place(cx)?;
    if place.versioned { Ok(place) } else { Err(Stop::local("Metadata not supported on KV Version 1")) }
}

fn get(cx: &mut Cx<'_>) -> Outcome {
    let path = versioned(cx)?.at("metadata");
    let envelope = cx.look_up(&Request::get(&path), &format!("Error reading {path}"))?.ok_or_else(|| nothing_at(&path))?;
    let plain = !cx.is_table() || cx.flags.has(&FIELD) || envelope.wrap_info().is_some();
    let Some(data) = envelope.data().filter(|_| !plain) else { return cx.show(&envelope) };
    let mut metadata = data.clone();
    let versions = metadata.remove("versions");
    let mut text = path_block("Metadata Path", &path);
    text.push_str(&titled("Metadata", &metadata));
    let mut numbered: Vec<(u64, &Map<String, Value>)> = versions
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(number, version)| Some((number.parse().ok()?, version.as_object()?)))
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    for (number, version) in numbered {
        text.push('\n');
        text.push_str(&titled(&format!("Version {number}"), version));
    }
    cx.print(&text)?;
    cx.warn_all(&envelope.warnings());
    Ok(OK)
}

fn put(cx: &mut Cx<'_>) -> Outcome {
    let path = versioned(cx)?.at("metadata");
    let body = settings(cx);
    write::send(cx, &Request::put(&path, Value::Object(body)), &path)
}

fn patch(cx: &mut Cx<'_>) -> Outcome {
    let path = versioned(cx)?.at("metadata");
    let mut body = settings(cx);
    if cx.flags.has(&REMOVE_CUSTOM) {
        let custom = body.entry("custom_metadata").or_insert_with(|| json!({}));
        if let Value::Object(custom) = custom {
            custom.extend(cx.flags.list(&REMOVE_CUSTOM).iter().map(|key| (key.clone(), Value::Null)));
        }
    }
    write::send(cx, &Request::patch(&path, Value::Object(body)), &path)
}

/// Only the flags given.
fn settings(cx: &Cx<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(number) = cx.flags.number(&MAX_VERSIONS) {
        body.insert("max_versions".to_owned(), json!(number));
    }
    if let Some(on) = cx.flags.switch(&CAS_REQUIRED) {
        body.insert("cas_required".to_owned(), json!(on));
    }
    if let Some(nanos) = cx.flags.nanos(&DELETE_AFTER) {
        body.insert("delete_version_after".to_owned(), json!(duration::go(nanos)));
    }
    if cx.flags.has(&CUSTOM) {
        body.insert("custom_metadata".to_owned(), json!(cx.flags.pairs(&CUSTOM)));
    }
    body
}

fn delete(cx: &mut Cx<'_>) -> Outcome {
    let path = versioned(cx)?.at("metadata");
    delete_with(cx, &Request::delete(&path), &path)
}
