//! `write` and `patch` (spec `cli.md` §5, data).

use serde_json::{Map, Value};

use super::read::done_or_show;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::cx::Cx;
use crate::cli::data;
use crate::cli::flags::Flag;
use crate::cli::output::{Envelope, Format};
use crate::cli::stop::{OK, Outcome, Stop};

const FORCE: Flag = Flag::switch("force", "Write without data.").or("f");

pub(super) const WRITE: Command = Command::new("write", "[flags] PATH [DATA...]", "Writes data to a path.", write)
    .details(DATA)
    .flags(&[FORCE])
    .fields()
    .args(Args::From(1))
    .complete(Complete::Path);

pub(super) const PATCH: Command = Command::new("patch", "[flags] PATH [DATA...]", "Changes a part of what is at a path.", patch)
    .details(DATA)
    .flags(&[FORCE])
    .fields()
    .args(Args::From(1))
    .complete(Complete::Path);

const DATA: &str = "DATA is any of: k=v (a text), k=@file (a file's content), k=- (standard input), @file or - (a JSON object). \
                    A key given twice becomes a list.";

fn write(cx: &mut Cx<'_>) -> Outcome {
    let (path, data) = path_and_data(cx)?;
    let request = Request::put(&path, Value::Object(data));
    send(cx, &request, &path)
}

fn patch(cx: &mut Cx<'_>) -> Outcome {
    let (path, data) = path_and_data(cx)?;
    let request = Request::patch(&path, Value::Object(data));
    send(cx, &request, &path)
}

fn path_and_data(cx: &mut Cx<'_>) -> Result<(String, Map<String, Value>), Stop> {
    let path = cx.path(0);
    let words = cx.args.get(1..).unwrap_or_default().to_vec();
    let data = data::parse(cx, &words)?;
    if words.is_empty() && !cx.flags.is(&FORCE) {
        return Err(Stop::local("Must supply data or use -force"));
    }
    Ok((path, data))
}

/// Sends a write and shows its reply under the name `path`.
pub(super) fn send(cx: &mut Cx<'_>, request: &Request, path: &str) -> Outcome {
    let envelope = cx.send_for(request, &format!("Error writing data to {path}"))?;
    let only_warnings = envelope.as_ref().is_some_and(|envelope| envelope.rows().is_empty() && envelope.is_useful());
    if only_warnings && matches!(cx.format, Format::Table) && !cx.flags.has(&crate::cli::output::FIELD) {
        cx.warn_all(&envelope.as_ref().map(Envelope::warnings).unwrap_or_default());
        return Ok(OK);
    }
    done_or_show(cx, envelope.as_ref(), &format!("Success! Data written to: {path}"))
}
