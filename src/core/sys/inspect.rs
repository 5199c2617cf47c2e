//! Where paths lead, for those who look for a mistake; only where the operator's configuration says so (spec `sys.md` §11).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::mount::{ApiError, Ctx, Mount, Named, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("internal/inspect/router/{tag}", "The table of routes, in order of one of its keys.").read(router).sudo();
}

async fn router(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    if !active.settings.introspection_endpoint {
        return Err(ApiError::invalid(OFF));
    }
    let routes = active.routes.load();
    let mut shown: Vec<(String, Value)> = Vec::new();
    for mount in routes.mounts().chain(routes.hidden()) {
        let key = match input.name.as_str() {
            "root" => mount.entry.path.as_str().to_owned(),
            "uuid" => mount.entry.id.as_str().to_owned(),
            "accessor" => mount.entry.accessor.clone(),
            "storage" => prefix(mount),
            _ => return Err(ApiError::invalid("invalid subtree tag")),
        };
        shown.push((key, describe(mount)));
    }
    shown.sort_by(|one, other| one.0.cmp(&other.0));
    let shown: Vec<Value> = shown.into_iter().map(|(_, value)| value).collect();
    Ok(data([(input.name.as_str(), Value::Array(shown))]))
}

fn describe(mount: &Mount) -> Value {
    let entry = &mount.entry;
    json!({
        "accessor": entry.accessor,
        "mount_namespace": "",
        "mount_path": entry.path.as_str(),
        "mount_type": entry.kind,
        "storage_prefix": prefix(mount),
        "tainted": !entry.is_ready(),
        "uuid": entry.id.as_str(),
    })
}

fn prefix(mount: &Mount) -> String {
    mount.view.key("").as_str().to_owned()
}

const OFF: &str = "the Vault configuration must set \"introspection_endpoint\" to true to enable this endpoint";
