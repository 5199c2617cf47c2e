//! `policy write`, `read`, `list`, `delete`, `fmt` (spec `cli.md` §5).

use serde_json::json;

use super::policy_fmt;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::cx::Cx;
use crate::cli::io::read_file;
use crate::cli::output::Doc;
use crate::cli::stop::{OK, Outcome, Stop};

pub(super) const POLICY: Command =
    Command::group("policy", "Writes, shows and formats policies.", &[WRITE, READ, LIST, DELETE, FMT]);

const WRITE: Command =
    Command::new("write", "[flags] NAME FILE|-", "Writes a policy from a file, or from standard input.", write)
        .args(Args::Exactly(2))
        .complete(Complete::Files);
const READ: Command =
    Command::new("read", "[flags] NAME", "Shows a policy.", read).formats().args(Args::Exactly(1)).complete(Complete::Policies);
const LIST: Command = Command::new("list", "[flags]", "Lists the policies.", list).formats().args(Args::Exactly(0));
const DELETE: Command =
    Command::new("delete", "[flags] NAME", "Deletes a policy.", delete).args(Args::Exactly(1)).complete(Complete::Policies);
const FMT: Command = Command::new("fmt", "[flags] FILE", "Rewrites a policy file in the usual layout.", fmt)
    .offline(&[])
    .args(Args::Exactly(1))
    .complete(Complete::Files);

fn write(cx: &mut Cx<'_>) -> Outcome {
    let given = cx.arg(0).trim().to_owned();
    let name = given.to_lowercase();
    let path = cx.arg(1).trim().to_owned();
    let bytes = match path.as_str() {
        "-" => cx.stdin().map_err(Stop::Remote)?,
        path => read_file(path).map_err(|error| Stop::Remote(format!("Error opening policy file: {error}")))?,
    };
    let text = String::from_utf8(bytes).map_err(|_| Stop::Local(format!("Error reading policy: {path} is not UTF-8 text")))?;
    if name != given {
        cx.note(&format!("Policy name was converted to \"{name}\""));
    }
    cx.send(&Request::put(&at(&name), json!({ "policy": text })).unwrapped(), "Error uploading policy")?;
    cx.say(&format!("Success! Uploaded policy: {name}"))?;
    Ok(OK)
}

fn read(cx: &mut Cx<'_>) -> Outcome {
    let name = cx.arg(0).trim().to_lowercase();
    let envelope = cx.look_up(&Request::get(&at(&name)), &format!("Error reading policy named {name}"))?;
    if let Some(envelope) = envelope.as_ref().filter(|envelope| envelope.wrap_info().is_some()) {
        return cx.show(envelope);
    }
    let text = envelope.as_ref().and_then(|envelope| envelope.data()?.get("policy")?.as_str()).unwrap_or_default();
    if text.is_empty() {
        return Err(Stop::Remote(format!("No policy named: {name}")));
    }
    let doc = Doc::object([("policy", json!(text))]);
    cx.show_doc(&doc, || text.trim().to_owned())
}

fn list(cx: &mut Cx<'_>) -> Outcome {
    let envelope = cx.look_up(&Request::list("sys/policies/acl"), "Error listing policies")?.unwrap_or_default();
    if envelope.wrap_info().is_some() {
        return cx.show(&envelope);
    }
    cx.show_names(&envelope.keys().unwrap_or_default(), None)
}

fn delete(cx: &mut Cx<'_>) -> Outcome {
    let name = cx.arg(0).trim().to_lowercase();
    cx.send(&Request::delete(&at(&name)).unwrapped(), &format!("Error deleting {name}"))?;
    cx.say(&format!("Success! Deleted policy: {name}"))?;
    Ok(OK)
}

fn fmt(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.arg(0).to_owned();
    let bytes = read_file(&path).map_err(|error| Stop::Local(format!("Error reading source file: {error}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Stop::Local(format!("Error reading source file: {path} is not UTF-8 text")))?;
    let done = policy_fmt::format(&text).map_err(|error| Stop::Local(format!("failed to parse policy: {error}")))?;
    if done != text {
        std::fs::write(&path, done)
            .map_err(|error| Stop::Local(format!("Error writing file: open {path}: {}", crate::cli::io::reason(&error))))?;
    }
    cx.say(&format!("Success! Formatted policy: {path}"))?;
    Ok(OK)
}

fn at(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}
