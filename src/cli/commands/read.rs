//! `read`, `list`, `delete`, `unwrap`, `path-help` (spec `cli.md` §5, data).

use serde_json::{Value, json};

use crate::cli::client::{Fault, Request};
use crate::cli::command::{Args, Command, Complete};
use crate::cli::cx::Cx;
use crate::cli::data;
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, Envelope, Format, table};
use crate::cli::stop::{OK, Outcome, REMOTE, Stop};

const DETAILED: Flag = Flag::switch("detailed", "Show what the server tells about each key. [VAULT_DETAILED]");

pub(super) const READ: Command = Command::new("read", "[flags] PATH [K=V...]", "Reads what is at a path.", read)
    .details("K=V words are sent as the query. -format=raw prints the reply's body as it came.")
    .fields()
    .args(Args::From(1))
    .complete(Complete::Path);

pub(super) const LIST: Command = Command::new("list", "[flags] PATH", "Lists the names below a path.", list)
    .flags(&[DETAILED])
    .formats()
    .args(Args::Exactly(1))
    .complete(Complete::Path);

pub(super) const DELETE: Command = Command::new("delete", "[flags] PATH [K=V...]", "Deletes what is at a path.", delete)
    .fields()
    .args(Args::AtLeast(1))
    .complete(Complete::Path);

pub(super) const UNWRAP: Command = Command::new("unwrap", "[flags] [TOKEN]", "Shows what a wrapping token holds, once.", unwrap)
    .fields()
    .args(Args::Range(0, 1));

pub(super) const PATH_HELP: Command = Command::new("path-help", "[flags] PATH", "Shows the server's help for a path.", path_help)
    .formats()
    .args(Args::Exactly(1))
    .complete(Complete::Path);

fn read(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    let words = cx.args.get(1..).unwrap_or_default().to_vec();
    let mut request = Request::get(&path);
    request.query = data::parse_pairs(cx, &words)?;
    let attempt = format!("Error reading {path}");
    if cx.format == Format::Raw {
        return read_raw(cx, &request, &path, &attempt);
    }
    match cx.look_up(&request, &attempt)? {
        Some(envelope) => cx.show(&envelope),
        None => Err(nothing_at(&path)),
    }
}

fn read_raw(cx: &mut Cx<'_>, request: &Request, path: &str, attempt: &str) -> Outcome {
    match cx.try_send(request)? {
        Ok(reply) => {
            cx.io.out_bytes(&reply.body).map_err(|error| Stop::Local(crate::cli::io::reason(&error)))?;
            Ok(OK)
        }
        Err(fault) if fault.status() == Some(404) => Err(nothing_at(path)),
        Err(fault) => Err(fault.about(attempt)),
    }
}

fn list(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    list_at(cx, &path)
}

/// Lists a path and shows its names.
pub(super) fn list_at(cx: &mut Cx<'_>, path: &str) -> Outcome {
    let envelope = cx.look_up(&Request::list(path), &format!("Error listing {path}"))?;
    let Some(envelope) = envelope else { return nothing_listed(cx, path) };
    if envelope.wrap_info().is_some() {
        return cx.show(&envelope);
    }
    let Some(keys) = envelope.keys().filter(|keys| !keys.is_empty()) else {
        cx.warn_all(&envelope.warnings());
        return nothing_listed(cx, path);
    };
    let info = envelope.data().and_then(|data| data.get("key_info")).and_then(Value::as_object);
    let outcome = match info.filter(|_| is_detailed(cx)) {
        Some(info) => show_detailed(cx, &keys, info, &envelope),
        None => cx.show_names(&keys, Some("Keys")),
    };
    if cx.format != Format::Json {
        cx.warn_all(&envelope.warnings());
    }
    outcome
}

fn is_detailed(cx: &Cx<'_>) -> bool {
    let from_env = cx.io.var("VAULT_DETAILED").and_then(crate::cli::flags::parse_bool);
    cx.flags.switch(&DETAILED).or(from_env).unwrap_or(false)
}

fn show_detailed(cx: &mut Cx<'_>, keys: &[String], info: &serde_json::Map<String, Value>, envelope: &Envelope) -> Outcome {
    let mut heads: Vec<&str> =
        info.values().filter_map(Value::as_object).flat_map(|one| one.keys().map(String::as_str)).collect();
    heads.sort_unstable();
    heads.dedup();
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let one = info.get(key).and_then(Value::as_object);
            let cells = heads
                .iter()
                .map(|head| one.and_then(|one| one.get(*head)).map_or_else(String::new, |value| table::cell_under(head, value)));
            std::iter::once(key.clone()).chain(cells).collect()
        })
        .collect();
    let heads: Vec<&str> = std::iter::once("Keys").chain(heads.iter().copied()).collect();
    let doc = Doc::Value(envelope.data().cloned().map_or(Value::Null, Value::Object));
    cx.show_doc(&doc, || table::with_head(&heads, &rows))
}

fn nothing_listed(cx: &mut Cx<'_>, path: &str) -> Outcome {
    if cx.is_table() {
        return Err(nothing_at(path));
    }
    cx.show_doc(&Doc::Value(json!({})), String::new)?;
    Ok(REMOTE)
}

/// `No value found at P`, exit 2.
pub(super) fn nothing_at(path: &str) -> Stop {
    Stop::Remote(format!("No value found at {path}"))
}

fn delete(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    let words = cx.args.get(1..).unwrap_or_default().to_vec();
    let mut request = Request::delete(&path);
    request.query = data::parse_pairs(cx, &words)?;
    delete_with(cx, &request, &path)
}

/// Sends a delete and tells of it under the name `path`.
pub(super) fn delete_with(cx: &mut Cx<'_>, request: &Request, path: &str) -> Outcome {
    let envelope = cx.send_for(request, &format!("Error deleting {path}"))?;
    done_or_show(cx, envelope.as_ref(), &format!("Success! Data deleted (if it existed) at: {path}"))
}

/// Shows a reply, or in tables the line that stands for its absence.
pub(super) fn done_or_show(cx: &mut Cx<'_>, envelope: Option<&Envelope>, line: &str) -> Outcome {
    match envelope {
        Some(envelope) => cx.show(envelope),
        None if cx.flags.has(&crate::cli::output::FIELD) => cx.show(&Envelope::default()),
        None if cx.is_table() => cx.say(line).map(|()| OK),
        None => Ok(OK),
    }
}

fn unwrap(cx: &mut Cx<'_>) -> Outcome {
    let path = "sys/wrapping/unwrap";
    let token = cx.arg(0).trim().to_owned();
    let request = match token.as_str() {
        "" => Request::poke(path),
        given => {
            let request = Request::put(path, json!({ "token": given }));
            if cx.token()?.is_some() { request } else { request.with_token(given) }
        }
    };
    match cx.send_for(&request.unwrapped(), "Error unwrapping")? {
        Some(envelope) => cx.show(&envelope),
        None => Ok(OK),
    }
}

fn path_help(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    let request = Request::get(&path).query("help", "1");
    let reply = match cx.try_send(&request)? {
        Ok(reply) => reply,
        Err(fault @ Fault::Instead(_)) => return Err(fault.bare()),
        Err(fault) => return Err(fault.about("Error retrieving help")),
    };
    let body = reply.json().map_err(|error| Stop::Remote(format!("Error retrieving help: {error}")))?.unwrap_or(Value::Null);
    let text = body.get("help").and_then(Value::as_str).unwrap_or_default().trim_end().to_owned();
    let document = body.get("openapi").cloned().unwrap_or(Value::Null);
    if text.is_empty() {
        return Err(Stop::Remote(format!("Error retrieving help: the server has none for {path}")));
    }
    match cx.format {
        Format::Json | Format::Pretty => cx.say(&document.to_string())?,
        Format::Yaml => cx.print(&crate::cli::output::yaml::text(&document))?,
        Format::Table | Format::Raw => cx.say(&text)?,
    }
    Ok(OK)
}
