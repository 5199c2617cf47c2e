//! `plugin`, `namespace`, `monitor`: small commands that ask the server one thing.

use serde_json::{Value, json};

use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome, Stop};

const SHA256: Flag = Flag::text("sha256", "HEX", "Hash of the program.");
const COMMAND: Flag = Flag::text("command", "NAME", "Name of the program.");
const PLUGIN: Flag = Flag::text("plugin", "NAME", "Reload every mount of this plugin.");
const MOUNTS: Flag = Flag::list("mounts", "PATH", "Reload this mount; repeat for more.");
const LOG_LEVEL: Flag = Flag::text("log-level", "LEVEL", "trace, debug, info, warn or error. Default info.");
const LOG_FORMAT: Flag = Flag::text("log-format", "FORMAT", "standard or json.");

pub(super) const PLUGIN_GROUP: Command = Command::group(
    "plugin",
    "Shows the types that can be mounted.",
    &[
        Command::new("list", "[flags] [auth|secret|database]", "Lists the types.", list).formats().args(Args::Range(0, 1)),
        Command::new("info", "[flags] TYPE NAME", "Shows one type.", info).fields().args(Args::Exactly(2)),
        Command::new("register", "[flags] TYPE NAME", "Asks the server to register a plugin.", register)
            .flags(&[SHA256, COMMAND])
            .args(Args::Exactly(2)),
        Command::new("deregister", "[flags] TYPE NAME", "Asks the server to forget a plugin.", deregister).args(Args::Exactly(2)),
        Command::new("reload", "[flags]", "Asks the server to start plugins anew.", reload)
            .flags(&[PLUGIN, MOUNTS])
            .args(Args::Exactly(0)),
    ],
);

pub(super) const NAMESPACE: Command = Command::group(
    "namespace",
    "Asks about namespaces.",
    &[
        Command::new("list", "[flags]", "Lists the namespaces.", namespaces).formats().args(Args::Exactly(0)),
        Command::new("lookup", "[flags] PATH", "Shows a namespace.", namespace_lookup).fields().args(Args::Exactly(1)),
        Command::new("create", "[flags] PATH", "Creates a namespace.", namespace_create).fields().args(Args::Exactly(1)),
        Command::new("delete", "[flags] PATH", "Deletes a namespace.", namespace_delete).args(Args::Exactly(1)),
    ],
);

pub(super) const MONITOR: Command = Command::new("monitor", "[flags]", "Shows the server's log as it is written.", monitor)
    .flags(&[LOG_LEVEL, LOG_FORMAT])
    .args(Args::Exactly(0));

fn list(cx: &mut Cx<'_>) -> Outcome {
    let wanted = match cx.arg(0) {
        "" | "all" => None,
        name @ ("auth" | "secret" | "database") => Some(name.to_owned()),
        other => {
            return Err(Stop::Local(format!("\"{other}\" is not a type of plugin; the types are auth, secret and database")));
        }
    };
    let envelope =
        cx.send_for(&Request::get("sys/plugins/catalog").unwrapped(), "Error listing available plugins")?.unwrap_or_default();
    let all = envelope.data().and_then(|data| data.get("detailed")).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown: Vec<&Value> = all.iter().filter(|one| wanted.as_ref().is_none_or(|wanted| text(one, "type") == *wanted)).collect();
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|one| match wanted {
            Some(_) => vec![text(one, "name"), text(one, "version")],
            None => vec![text(one, "name"), text(one, "type"), text(one, "version")],
        })
        .collect();
    let heads: &[&str] = if wanted.is_some() { &["Name", "Version"] } else { &["Name", "Type", "Version"] };
    let doc = Doc::Value(shown.into_iter().cloned().collect());
    cx.show_doc(&doc, || table::with_head(heads, &rows))
}

fn info(cx: &mut Cx<'_>) -> Outcome {
    let attempt = format!("Error reading plugin named {}", cx.arg(1));
    let envelope = cx.send_for(&Request::get(&catalog(cx)).unwrapped(), &attempt)?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn register(cx: &mut Cx<'_>) -> Outcome {
    let name = cx.arg(1).to_owned();
    let body = json!({
        "sha256": cx.flags.text(&SHA256).unwrap_or_default(),
        "command": cx.flags.text(&COMMAND).unwrap_or(&name),
    });
    cx.send(&Request::put(&catalog(cx), body).unwrapped(), &format!("Error registering plugin {name}"))?;
    cx.say(&format!("Success! Registered plugin: {name}"))?;
    Ok(OK)
}

fn deregister(cx: &mut Cx<'_>) -> Outcome {
    let name = cx.arg(1).to_owned();
    cx.send(&Request::delete(&catalog(cx)).unwrapped(), &format!("Error deregistering plugin named {name}"))?;
    cx.say(&format!("Success! Deregistered plugin (if it was registered): {name}"))?;
    Ok(OK)
}

fn reload(cx: &mut Cx<'_>) -> Outcome {
    let body = match (cx.flags.text(&PLUGIN), cx.flags.list(&MOUNTS)) {
        (Some(plugin), []) => json!({ "plugin": plugin }),
        (None, mounts) if !mounts.is_empty() => json!({ "mounts": mounts }),
        _ => return Err(Stop::local("Either -plugin or -mounts must be given, and not both")),
    };
    cx.send(&Request::put("sys/plugins/reload/backend", body).unwrapped(), "Error reloading plugin/mounts")?;
    cx.say("Success! Reloaded")?;
    Ok(OK)
}

fn catalog(cx: &Cx<'_>) -> String {
    format!("sys/plugins/catalog/{}/{}", cx.arg(0), cx.arg(1))
}

fn namespaces(cx: &mut Cx<'_>) -> Outcome {
    let envelope = cx.look_up(&Request::list("sys/namespaces").unwrapped(), "Error listing namespaces")?;
    match envelope.and_then(|envelope| envelope.keys()) {
        Some(keys) => cx.show_names(&keys, Some("Keys")),
        None => Err(Stop::remote("No namespaces found")),
    }
}

fn namespace_lookup(cx: &mut Cx<'_>) -> Outcome {
    let request = Request::get(&format!("sys/namespaces/{}", cx.path(0)));
    let envelope = cx.send_for(&request.unwrapped(), "Error looking up namespace")?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn namespace_create(cx: &mut Cx<'_>) -> Outcome {
    let request = Request::put(&format!("sys/namespaces/{}", cx.path(0)), json!({}));
    let envelope = cx.send_for(&request.unwrapped(), "Error creating namespace")?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn namespace_delete(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.path(0);
    cx.send(&Request::delete(&format!("sys/namespaces/{path}")).unwrapped(), "Error deleting namespace")?;
    cx.say(&format!("Success! Namespace deleted (if it existed): {path}/"))?;
    Ok(OK)
}

fn monitor(cx: &mut Cx<'_>) -> Outcome {
    let mut request = Request::get("sys/monitor").query("log_level", cx.flags.text(&LOG_LEVEL).unwrap_or("info"));
    if let Some(format) = cx.flags.text(&LOG_FORMAT) {
        request = request.query("log_format", format);
    }
    cx.stream(&request, "Error starting monitor")?;
    Ok(OK)
}
