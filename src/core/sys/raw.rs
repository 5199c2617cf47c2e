//! Storage as it is, for repairs; only where the operator's configuration says so (spec `sys.md` §14).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::barrier::View;
use crate::mount::field::{Flag, Text};
use crate::mount::{ApiError, Ctx, Named, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("raw/", "Keys of storage.").list(list).sudo();
    table
        .at("raw/{path:rest}", "A value of storage, or the keys below a folder.")
        .read(read)
        .list(list)
        .update(write)
        .delete(delete)
        .exists(exists)
        .sudo();
}

/// A value to read.
#[derive(Debug, Deserialize, JsonSchema)]
struct Read {
    /// Its key.
    path: String,
    /// The form of the value: empty for plain text, or base64.
    #[serde(default)]
    encoding: Text,
    /// Opens values that were compressed. This server compresses none, so either says the same.
    #[serde(rename = "compressed")]
    _compressed: Option<Flag>,
}

/// A value to write.
#[derive(Debug, Deserialize, JsonSchema)]
struct Write {
    /// Its key.
    path: String,
    /// The value.
    #[serde(default)]
    value: Text,
    /// The form of the value: empty for plain text, or base64.
    #[serde(default)]
    encoding: Text,
    /// How to compress it; this server compresses nothing, so only an empty one is taken.
    #[serde(default)]
    compression_type: Text,
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Read) -> Result<Reply, ApiError> {
    let view = storage(&sys)?;
    let is_packed = is_packed(&input.encoding)?;
    if UNSEALED.contains(&input.path.as_str()) {
        return Err(ApiError::invalid(format!("cannot read '{}'", input.path)));
    }
    let Some(bytes) = view.read_bytes(&input.path).await? else { return Ok(Reply::empty()) };
    let value = if is_packed {
        STANDARD.encode(bytes)
    } else {
        String::from_utf8(bytes).map_err(|_| ApiError::invalid("the value is no text; read it with the encoding \"base64\""))?
    };
    Ok(data([("value", json!(value))]))
}

async fn list(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    Ok(Reply::list(storage(&sys)?.list_all(&input.name).await?))
}

async fn write(sys: Arc<Sys>, _: Ctx, input: Write) -> Result<Reply, ApiError> {
    let view = storage(&sys)?;
    let bytes = if is_packed(&input.encoding)? {
        STANDARD.decode(input.value.as_bytes()).map_err(|error| ApiError::invalid(format!("illegal base64 data: {error}")))?
    } else {
        input.value.0.into_bytes()
    };
    if !input.compression_type.is_empty() {
        let text = format!("invalid compression_type {:?}: this server compresses nothing", input.compression_type.as_str());
        return Err(ApiError::invalid(text));
    }
    if UNSEALED.contains(&input.path.as_str()) || input.path == CLUSTER {
        return Err(ApiError::invalid(format!("cannot write '{}'", input.path)));
    }
    let mut txn = view.txn();
    txn.put_bytes(&view, &input.path, &bytes)?;
    txn.commit().await?;
    Ok(Reply::empty())
}

async fn delete(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let view = storage(&sys)?;
    if UNSEALED.contains(&input.name.as_str()) {
        return Err(ApiError::invalid(format!("cannot delete '{}'", input.name)));
    }
    view.delete(&input.name).await?;
    Ok(Reply::empty())
}

async fn exists(sys: Arc<Sys>, _: Ctx, input: Write) -> Result<bool, ApiError> {
    match storage(&sys) {
        Ok(view) => Ok(view.exists(&input.path).await?),
        // Whoever may update hears that there is no such path.
        Err(_) => Ok(true),
    }
}

/// All of it, unless the operator did not want this.
fn storage(sys: &Sys) -> Result<View, ApiError> {
    let active = sys.active()?;
    if active.settings.raw_storage_endpoint { Ok(active.barrier.view("")) } else { Err(ApiError::unsupported_path()) }
}

fn is_packed(encoding: &str) -> Result<bool, ApiError> {
    match encoding {
        "" => Ok(false),
        "base64" => Ok(true),
        other => Err(ApiError::invalid(format!("invalid encoding {other:?}"))),
    }
}

/// Not sealed with the barrier's key: nothing here could be read, and a write would end the server.
const UNSEALED: [&str; 3] = ["core/keyring", "core/seal-config", "core/hsm/barrier-unseal-keys"];
/// Name and id of the cluster.
const CLUSTER: &str = "core/cluster";
