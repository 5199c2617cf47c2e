//! `operator members` and `operator raft`.

use serde_json::{Value, json};

use super::text;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::cx::Cx;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome, Stop};

pub(super) const MEMBERS: Command =
    Command::new("members", "[flags]", "Lists the nodes of the cluster.", members).formats().args(Args::Exactly(0));

pub(super) const RAFT: Command = Command::group(
    "raft",
    "Manages a cluster whose storage is Raft.",
    &[
        Command::new("list-peers", "[flags]", "Lists the peers.", list_peers).formats().args(Args::Exactly(0)),
        Command::new("join", "[flags] ADDRESS", "Joins the cluster at an address.", join).formats().args(Args::Exactly(1)),
        Command::new("remove-peer", "[flags] ID", "Removes a peer.", remove_peer).args(Args::Exactly(1)),
        Command::group(
            "autopilot",
            "Shows how the cluster looks after itself.",
            &[
                Command::new("state", "[flags]", "Shows its state.", autopilot_state).formats().args(Args::Exactly(0)),
                Command::new("get-config", "[flags]", "Shows its settings.", autopilot_config).formats().args(Args::Exactly(0)),
            ],
        ),
        Command::group(
            "snapshot",
            "Takes copies of the cluster's storage.",
            &[Command::new("save", "[flags] FILE", "Writes a copy to a file.", snapshot_save)
                .args(Args::Exactly(1))
                .complete(Complete::Files)],
        ),
    ],
);

fn members(cx: &mut Cx<'_>) -> Outcome {
    let envelope = cx.send_for(&Request::get("sys/ha-status").unwrapped(), "Error reading HA status")?.unwrap_or_default();
    let nodes = envelope.data().and_then(|data| data.get("nodes")).and_then(Value::as_array).cloned().unwrap_or_default();
    let doc = Doc::object([("nodes", Value::Array(nodes.clone()))]);
    let fields = ["hostname", "api_address", "cluster_address", "active_node", "version", "upgrade_version", "last_echo"];
    let rows: Vec<Vec<String>> = nodes.iter().map(|node| fields.iter().map(|name| text(node, name)).collect()).collect();
    let heads = ["Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Upgrade Version", "Last Echo"];
    cx.show_doc(&doc, || table::with_head(&heads, &rows))
}

fn list_peers(cx: &mut Cx<'_>) -> Outcome {
    let request = Request::get("sys/storage/raft/configuration").unwrapped();
    let envelope = cx.look_up(&request, "Error reading the raft cluster configuration")?.unwrap_or_default();
    let servers = envelope.data().and_then(|data| data.get("config")?.get("servers")?.as_array().cloned());
    let Some(servers) = servers else { return Err(Stop::remote("No raft cluster configuration found")) };
    let rows: Vec<Vec<String>> = servers
        .iter()
        .map(|server| {
            let flag = |name: &str| server.get(name).and_then(Value::as_bool).unwrap_or(false);
            let state = if flag("leader") { "leader" } else { "follower" };
            vec![text(server, "node_id"), text(server, "address"), state.to_owned(), flag("voter").to_string()]
        })
        .collect();
    let doc = envelope.doc();
    cx.show_doc(&doc, || table::with_head(&["Node", "Address", "State", "Voter"], &rows))
}

fn join(cx: &mut Cx<'_>) -> Outcome {
    let body = json!({ "leader_api_addr": cx.arg(0) });
    let reply = cx.send_bare(
        &Request::put("sys/storage/raft/join", body).anonymous().unwrapped(),
        "Error joining the node to the raft cluster",
    )?;
    let joined = text(&reply, "joined");
    cx.show_doc(&Doc::Value(reply), || table::key_value(&[("Joined".to_owned(), joined)]))
}

fn remove_peer(cx: &mut Cx<'_>) -> Outcome {
    let body = json!({ "server_id": cx.arg(0) });
    cx.send(&Request::put("sys/storage/raft/remove-peer", body).unwrapped(), "Error removing the peer from the raft cluster")?;
    cx.say("Success! Peer removed")?;
    Ok(OK)
}

fn autopilot_state(cx: &mut Cx<'_>) -> Outcome {
    autopilot(cx, "state")
}

fn autopilot_config(cx: &mut Cx<'_>) -> Outcome {
    autopilot(cx, "configuration")
}

fn autopilot(cx: &mut Cx<'_>, part: &str) -> Outcome {
    let attempt = format!("Error reading the raft autopilot {part}");
    let envelope = cx.send_for(&Request::get(&format!("sys/storage/raft/autopilot/{part}")).unwrapped(), &attempt)?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn snapshot_save(cx: &mut Cx<'_>) -> Outcome {
    let path = cx.arg(0).to_owned();
    let reply = cx.send(&Request::get("sys/storage/raft/snapshot").unwrapped(), "Error taking the snapshot")?;
    std::fs::write(&path, &reply.body)
        .map_err(|error| Stop::Local(format!("Error writing the snapshot: open {path}: {}", crate::cli::io::reason(&error))))?;
    Ok(OK)
}
