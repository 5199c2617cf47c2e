//! Audit devices (spec `sys.md` §7, `seal-and-barrier.md` §6).
//!
//! ```text
//! core/audit/<id>   the device
//! audit/<id>/salt   its salt, for its life
//! ```

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::{AuditError, DeviceConfig, fresh_salt};
use crate::barrier::View;
use crate::base::secret::stored_secret;
use crate::base::{MountPath, Secret, random};
use crate::core::Active;
use crate::mount::field::{Flag, Pairs, Text};
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("audit", "All audit devices.").read(list).sudo().top();
    table.at("audit/{path:rest}", "An audit device: enables or disables it.").update(enable).delete(disable).sudo().top();
    table.at("audit-hash/{path:rest}", "What a text looks like in the lines of an audit device.").update(hash).top();
}

/// Opens the devices of the stored table. One that cannot be made is reported and left out; without any of them there is
/// nothing to serve requests with.
pub(in crate::core) async fn restore(active: &Arc<Active>) -> Result<(), ApiError> {
    let stored = stored(&devices(active)).await?;
    let mut restored = 0_usize;
    for config in &stored {
        match restore_one(active, config).await {
            Ok(()) => restored += 1,
            Err(error) => {
                let cause = error.cause.as_deref().unwrap_or(&error.text);
                tracing::error!(audit.device = %config.path, "audit device `{}` is left out: {cause}", config.path);
            }
        }
    }
    if restored == 0 && !stored.is_empty() {
        return Err(ApiError::internal("none of the stored audit devices can be made"));
    }
    Ok(())
}

/// A device to enable.
#[derive(Debug, Deserialize, JsonSchema)]
struct Enable {
    /// Where it hangs.
    path: String,
    /// Its type: file, socket or syslog.
    #[serde(rename = "type")]
    kind: Option<Text>,
    /// For people.
    #[serde(default)]
    description: Text,
    /// Options of its type, and those all types have.
    #[serde(default)]
    options: Pairs,
    /// Shown, without effect on a single server.
    #[serde(default)]
    local: Flag,
}

/// A text to hash.
#[derive(Debug, Deserialize, JsonSchema)]
struct Hash {
    /// Where the device hangs.
    path: String,
    /// The text.
    #[serde(default)]
    input: Text,
}

#[derive(Serialize, Deserialize)]
struct Salt {
    #[serde(with = "stored_secret")]
    salt: Secret<String>,
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let shown = |config: DeviceConfig| -> (String, Value) {
        let DeviceConfig { path, kind, description, options, local, id: _ } = config;
        let value = json!({ "type": kind, "path": path, "description": description, "options": options, "local": local });
        (path, value)
    };
    let devices = sys.active()?.audit.list();
    Ok(Reply::data(devices.into_iter().map(|(config, _)| shown(config)).collect()))
}

async fn enable(sys: Arc<Sys>, _: Ctx, input: Enable) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let config = DeviceConfig {
        path: MountPath::parse(&input.path)?.as_str().to_owned(),
        kind: input.kind.map(|kind| kind.0).unwrap_or_default(),
        description: input.description.0,
        options: input.options.0,
        local: input.local.0,
        id: random::uuid(),
    };
    let _one_at_a_time = active.admin.lock().await;
    // From storage, so that a device that was left out at unsealing keeps its place.
    let overlaps = |other: &DeviceConfig| other.path.starts_with(&config.path) || config.path.starts_with(&other.path);
    if stored(&devices(&active)).await?.iter().any(overlaps) {
        return Err(refused(&AuditError::PathInUse));
    }
    let salt = fresh_salt();
    active.audit.enable(config.clone(), &salt).await.map_err(|error| refused(&error))?;
    let mut txn = active.barrier.txn();
    txn.put(&devices(&active), &config.id, &config)?.put(&salts(&active), &salt_key(&config.id), &Salt { salt })?;
    if let Err(error) = txn.commit().await {
        // What is not stored would be gone after the next unsealing, without anybody noticing.
        active.audit.disable(&config.path);
        return Err(error.into());
    }
    tracing::info!(audit.device = %config.path, "audit device `{}` is enabled", config.path);
    Ok(Reply::empty())
}

async fn disable(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let path = MountPath::parse(&input.name)?;
    let _one_at_a_time = active.admin.lock().await;
    let devices = devices(&active);
    // From storage, so that a device that was left out at unsealing can be removed.
    if let Some(config) = stored(&devices).await?.into_iter().find(|config| config.path == path.as_str()) {
        let mut txn = active.barrier.txn();
        txn.delete(&devices, &config.id).delete(&salts(&active), &salt_key(&config.id));
        txn.commit().await?;
        active.audit.disable(path.as_str());
        tracing::info!(audit.device = %path.as_str(), "audit device `{}` is disabled", path.as_str());
    }
    Ok(Reply::empty())
}

async fn hash(sys: Arc<Sys>, _: Ctx, input: Hash) -> Result<Reply, ApiError> {
    if input.input.is_empty() {
        return Err(ApiError::invalid("the \"input\" parameter is empty"));
    }
    let path = MountPath::parse(&input.path)?;
    let hash = sys.active()?.audit.hash(path.as_str(), &input.input).map_err(|error| refused(&error))?;
    Ok(data([("hash", json!(hash))]))
}

async fn restore_one(active: &Active, config: &DeviceConfig) -> Result<(), ApiError> {
    let salt: Option<Salt> = salts(active).read(&salt_key(&config.id)).await?;
    let salt = salt.ok_or_else(|| ApiError::internal("its salt is gone"))?;
    active.audit.restore(config.clone(), &salt.salt).await.map_err(|error| refused(&error))
}

/// The stored table; operators have a handful of devices.
async fn stored(devices: &View) -> Result<Vec<DeviceConfig>, ApiError> {
    Ok(devices.scan_all().await?)
}

fn devices(active: &Active) -> View {
    active.barrier.view("core/audit/")
}

fn salts(active: &Active) -> View {
    active.barrier.view("audit/")
}

fn salt_key(id: &str) -> String {
    format!("{id}/salt")
}

fn refused(error: &AuditError) -> ApiError {
    ApiError::invalid(error.to_string())
}
