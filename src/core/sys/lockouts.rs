//! `sys/locked-users`: who failed to log in too often, and lets him in again (spec `sys.md` §17).

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("locked-users", "Who is locked out now.").read(list);
    table.at("locked-users/{mount_accessor}/unlock/{alias_identifier:rest}", "Lets a user in again.").update(unlock);
}

/// Whose users are listed.
#[derive(Debug, Deserialize, JsonSchema)]
struct List {
    /// Accessor of an auth method; all of them without one.
    #[serde(default)]
    mount_accessor: Text,
}

/// A user.
#[derive(Debug, Deserialize, JsonSchema)]
struct Unlock {
    /// Accessor of the auth method he logs in at.
    mount_accessor: String,
    /// How the method names him: a user name, or a role id of approle.
    alias_identifier: String,
}

async fn list(sys: Arc<Sys>, cx: Ctx, input: List) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let routes = active.routes.load();
    let mut by_mount: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (mount, name) in active.lockouts.locked(cx.clock.now()) {
        let Some(mount) = routes.by_id(&mount) else { continue };
        let accessor = &mount.entry.accessor;
        if input.mount_accessor.is_empty() || *accessor == *input.mount_accessor {
            by_mount.entry(accessor.clone()).or_default().push(name);
        }
    }
    let mut mounts: Vec<Value> = Vec::new();
    let mut total = 0_usize;
    for (accessor, mut names) in by_mount {
        names.sort_unstable();
        total += names.len();
        mounts.push(json!({ "mount_accessor": accessor, "counts": names.len(), "alias_identifiers": names }));
    }
    if mounts.is_empty() && !input.mount_accessor.is_empty() {
        mounts.push(json!({ "mount_accessor": *input.mount_accessor, "counts": 0, "alias_identifiers": Value::Null }));
    }
    let namespace = json!({ "namespace_id": "root", "namespace_path": "", "counts": total, "mount_accessors": mounts });
    Ok(data([("by_namespace", json!([namespace])), ("total", json!(total))]))
}

async fn unlock(sys: Arc<Sys>, _: Ctx, input: Unlock) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let routes = active.routes.load();
    let mount = routes.mounts().find(|mount| mount.entry.accessor == input.mount_accessor);
    if let Some(mount) = mount {
        active.lockouts.succeeded(&mount.entry.id, &input.alias_identifier);
    }
    Ok(Reply::empty())
}
