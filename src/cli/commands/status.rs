//! `status`, and the seal status that `operator unseal` prints too.

use serde_json::{Map, Value, json};

use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::output::{Doc, FIELD, table};
use crate::cli::stop::{OK, Outcome, REMOTE, Stop};

pub(super) const STATUS: Command =
    Command::new("status", "[flags]", "Shows whether the server is initialised and unsealed.", status)
        .details("Exit code 0: unsealed, 2: sealed or not initialised, 1: it could not be asked.")
        .fields()
        .args(Args::Exactly(0));

fn status(cx: &mut Cx<'_>) -> Outcome {
    let attempt = "Error checking seal status";
    let seal = cx.send_bare(&Request::get("sys/seal-status").anonymous().unwrapped(), attempt).map_err(Stop::into_local)?;
    let leader = match cx.try_send(&Request::get("sys/leader").anonymous().unwrapped())? {
        Ok(reply) => reply.json().ok().flatten().unwrap_or(Value::Null),
        // Only a server with a standby refuses this, while it is sealed.
        Err(fault) if fault.status() == Some(503) => json!({ "ha_enabled": true }),
        Err(fault) => return Err(fault.about("Error checking leader status").into_local()),
    };
    show(cx, &seal, &leader)?;
    let flag = |name: &str| seal.get(name).and_then(Value::as_bool).unwrap_or(false);
    Ok(if flag("sealed") || !flag("initialized") { REMOTE } else { OK })
}

/// Prints seal status and, where there is a standby, who leads.
pub(super) fn show(cx: &mut Cx<'_>, seal: &Value, leader: &Value) -> Outcome {
    let mut all = seal.as_object().cloned().unwrap_or_default();
    all.insert("ha_enabled".to_owned(), json!(is(leader, "ha_enabled")));
    let with_ha = is(leader, "ha_enabled");
    for name in HA_FIELDS.iter().filter(|_| with_ha) {
        if let Some(value) = leader.get(*name).filter(|value| !is_zero(value)) {
            all.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(name) = cx.flags.text(&FIELD).map(str::to_owned) {
        return show_one(cx, &all, &name, &rows(seal, leader));
    }
    let order: Vec<&str> = SEAL_FIELDS.iter().chain(HA_FIELDS).copied().collect();
    let doc = Doc::ordered(&Value::Object(all), &order);
    cx.show_doc(&doc, || table::key_value(&rows(seal, leader)))
}

fn show_one(cx: &mut Cx<'_>, all: &Map<String, Value>, name: &str, rows: &[(String, String)]) -> Outcome {
    let by_title = || rows.iter().find(|(title, _)| title.to_lowercase().replace(' ', "_") == name).map(|(_, text)| json!(text));
    match all.get(name).filter(|value| !value.is_null()).cloned().or_else(by_title) {
        Some(value) => cx.show_field(&value),
        None => Err(Stop::Local(format!("Field \"{name}\" not present in secret"))),
    }
}

fn rows(seal: &Value, leader: &Value) -> Vec<(String, String)> {
    let text = |name: &str| seal.get(name).map_or_else(String::new, table::cell);
    let sealed = is(seal, "sealed");
    let recovery = is(seal, "recovery_seal");
    let mut rows: Vec<(&str, String)> = vec![("Seal Type", text("type"))];
    if recovery && !text("recovery_seal_type").is_empty() {
        rows.push(("Recovery Seal Type", text("recovery_seal_type")));
    }
    rows.push(("Initialized", text("initialized")));
    rows.push(("Sealed", text("sealed")));
    let prefix = if recovery { "Total Recovery Shares" } else { "Total Shares" };
    rows.push((prefix, text("n")));
    rows.push(("Threshold", text("t")));
    if sealed {
        rows.push(("Unseal Progress", format!("{}/{}", text("progress"), text("t"))));
        rows.push(("Unseal Nonce", text("nonce")));
    }
    if is(seal, "migration") {
        rows.push(("Seal Migration in Progress", "true".to_owned()));
    }
    rows.extend([("Version", text("version")), ("Build Date", text("build_date")), ("Storage Type", text("storage_type"))]);
    if !sealed && !text("cluster_name").is_empty() {
        rows.push(("Cluster Name", text("cluster_name")));
        rows.push(("Cluster ID", text("cluster_id")));
    }
    rows.push(("HA Enabled", is(leader, "ha_enabled").to_string()));
    if is(leader, "ha_enabled") {
        rows.extend(ha_rows(sealed, leader));
    }
    rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn ha_rows(sealed: bool, leader: &Value) -> Vec<(&'static str, String)> {
    let text = |name: &str| leader.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if sealed {
        return vec![("HA Mode", "sealed".to_owned())];
    }
    let mut rows = vec![("HA Cluster", text("leader_cluster_address"))];
    if is(leader, "is_self") {
        rows.push(("HA Mode", "active".to_owned()));
        rows.push(("Active Since", text("active_time")));
    } else {
        rows.push(("HA Mode", if is(leader, "performance_standby") { "performance standby" } else { "standby" }.to_owned()));
        let address = text("leader_address");
        rows.push(("Active Node Address", if address.is_empty() { "<none>".to_owned() } else { address }));
    }
    rows
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::String(text) => text.is_empty() || text == "0001-01-01T00:00:00Z",
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(_) | Value::Object(_) => false,
    }
}

const SEAL_FIELDS: &[&str] = &[
    "type",
    "initialized",
    "sealed",
    "t",
    "n",
    "progress",
    "nonce",
    "version",
    "migration",
    "cluster_name",
    "cluster_id",
    "recovery_seal",
    "recovery_seal_type",
    "storage_type",
    "build_date",
    "warnings",
];
const HA_FIELDS: &[&str] = &[
    "ha_enabled",
    "is_self",
    "active_time",
    "leader_address",
    "leader_cluster_address",
    "performance_standby",
    "performance_standby_last_remote_wal",
    "raft_committed_index",
    "raft_applied_index",
];
