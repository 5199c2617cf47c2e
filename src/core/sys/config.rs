//! What the server was started with, and which versions of it ran here (spec `sys.md` §10, §12).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::barrier::BarrierError;
use crate::base::Timestamp;
use crate::base::version::BUILD_DATE;
use crate::core::Active;
use crate::mount::{ApiError, Body, Ctx, Nothing, Reply, Table};

use super::Sys;

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("config/state/sanitized", "The configuration in effect, without secrets.").read(sanitized);
    table.at("version-history/", "The versions that ran on this storage.").list(versions);
}

/// A version that ran here.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Installed {
    version: String,
    build_date: String,
    /// When it ran first.
    at: Timestamp,
}

/// Keeps the version that runs, when it is new here.
pub(in crate::core) async fn note_version(active: &Active) -> Result<(), BarrierError> {
    let view = active.barrier.view("core/");
    let mut history: Vec<Installed> = view.read(HISTORY).await?.unwrap_or_default();
    let version = &active.settings.version;
    if history.iter().any(|installed| installed.version == *version) {
        return Ok(());
    }
    history.push(Installed { version: version.clone(), build_date: BUILD_DATE.to_owned(), at: active.clock.now() });
    view.put(HISTORY, &history).await
}

async fn sanitized(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    match &*sys.active()?.settings.sanitized {
        Value::Object(settings) => Ok(Reply::data(settings.clone())),
        _ => Ok(Reply::data(Map::new())),
    }
}

async fn versions(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let history: Vec<Installed> = sys.active()?.barrier.view("core/").read(HISTORY).await?.unwrap_or_default();
    let mut previous = Value::Null;
    let mut info = Map::new();
    for installed in &history {
        let shown = json!({
            "build_date": installed.build_date,
            "previous_version": previous,
            "timestamp_installed": installed.at.rfc3339(),
        });
        info.insert(installed.version.clone(), shown);
        previous = json!(installed.version);
    }
    let names = history.into_iter().map(|installed| installed.version).collect();
    Ok(Reply::new(Body::List(names, Map::from_iter([("key_info".to_owned(), Value::Object(info))]))))
}

/// Oldest first.
const HISTORY: &str = "version-history";
