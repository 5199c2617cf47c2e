//! `audit enable`, `list`, `disable` (spec `cli.md` §5).

use serde_json::{Map, Value, json};

use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::{Cx, clean};
use crate::cli::data;
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome, REMOTE, Stop};

pub(super) const AUDIT: Command = Command::group(
    "audit",
    "Manages audit devices.",
    &[
        Command::new("enable", "[flags] TYPE [K=V...]", "Enables an audit device.", enable).flags(&[PATH, DESCRIPTION, LOCAL]),
        Command::new("list", "[flags]", "Lists the audit devices.", list).flags(&[DETAILED]).formats().args(Args::Exactly(0)),
        Command::new("disable", "[flags] PATH", "Disables an audit device.", disable).args(Args::Exactly(1)),
    ],
);

const PATH: Flag = Flag::text("path", "PATH", "Where to enable it. Default: its type.");
const DESCRIPTION: Flag = Flag::text("description", "TEXT", "What it is for.");
const LOCAL: Flag = Flag::switch("local", "Not replicated.");
const DETAILED: Flag = Flag::switch("detailed", "Show options too.");

fn enable(cx: &mut Cx<'_>) -> Outcome {
    let kind = cx.arg(0).trim().to_owned();
    if kind.is_empty() {
        return Err(Stop::local(
            "Error enabling audit device: audit type missing. Valid types include 'file', 'socket' and 'syslog'.",
        ));
    }
    let path = cx.flags.text(&PATH).map_or_else(|| clean(&kind), clean);
    let words = cx.args.get(1..).unwrap_or_default().to_vec();
    let options: Map<String, Value> =
        data::parse_pairs(cx, &words)?.into_iter().map(|(key, value)| (key, json!(value))).collect();
    let body = json!({
        "type": kind,
        "description": cx.flags.text(&DESCRIPTION).unwrap_or_default(),
        "local": cx.flags.is(&LOCAL),
        "options": options,
    });
    cx.send(&Request::put(&format!("sys/audit/{path}"), body).unwrapped(), "Error enabling audit device")?;
    cx.say(&format!("Success! Enabled the {kind} audit device at: {path}/"))?;
    Ok(OK)
}

fn list(cx: &mut Cx<'_>) -> Outcome {
    let detailed = cx.flags.is(&DETAILED);
    let envelope = cx.send_for(&Request::get("sys/audit"), "Error listing audits")?.unwrap_or_default();
    if envelope.wrap_info().is_some() {
        return cx.show(&envelope);
    }
    let devices = envelope.data().cloned().unwrap_or_default();
    if devices.is_empty() && cx.is_table() {
        cx.say("No audit devices are enabled.")?;
        return Ok(REMOTE);
    }
    let doc = Doc::Value(Value::Object(devices.clone()));
    cx.show_doc(&doc, || {
        let text =
            |device: &Value, name: &str| device.get(name).filter(|value| !value.is_null()).map_or_else(String::new, table::cell);
        let rows: Vec<Vec<String>> = devices
            .iter()
            .map(|(path, device)| {
                let mut row = vec![path.clone(), text(device, "type"), text(device, "description")];
                if detailed {
                    let local = device.get("local").and_then(Value::as_bool).unwrap_or(false);
                    let options = device.get("options").and_then(Value::as_object).into_iter().flatten();
                    let options: Vec<_> = options.map(|(key, value)| format!("{key}={}", table::cell(value))).collect();
                    row.extend([if local { "local" } else { "replicated" }.to_owned(), options.join(" ")]);
                }
                row
            })
            .collect();
        let heads = ["Path", "Type", "Description", "Replication", "Options"];
        table::with_head(heads.get(..if detailed { 5 } else { 3 }).unwrap_or_default(), &rows)
    })
}

fn disable(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    cx.send(&Request::delete(&format!("sys/audit/{path}")).unwrapped(), "Error disabling audit device")?;
    cx.say(&format!("Success! Disabled audit device (if it was enabled) at: {path}/"))?;
    Ok(OK)
}
