//! `config`: what holds for all keys of the mount.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::mount::field::{Flag, Int, SignedSeconds};
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};

use super::KvV2;
use super::record::{delete_version_after, max_versions};

/// Declares it.
pub(super) fn endpoints(table: &mut Table<KvV2>) {
    table.at("config", "What holds for all keys.").read(KvV2::read_config).update(KvV2::write_config);
}

/// Absent fields keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ConfigInput {
    /// Versions that are kept of a key, unless the key says a larger number. Default: 10.
    max_versions: Option<Int>,
    /// Whether each write must carry a check-and-set number. Default: no.
    cas_required: Option<Flag>,
    /// How long after its writing a version is deleted; below zero: never, whatever its key says. Default: never.
    delete_version_after: Option<SignedSeconds>,
}

impl KvV2 {
    async fn read_config(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::data(self.store().await?.config().await?.shown()))
    }

    async fn write_config(self: Arc<Self>, _: Ctx, input: ConfigInput) -> Result<Reply, ApiError> {
        let store = self.store().await?;
        let versions = input.max_versions.as_ref().map(max_versions).transpose()?;
        let after = input.delete_version_after.map(delete_version_after).transpose()?;
        let cas = input.cas_required.map(|flag| *flag);
        if versions.is_none() && after.is_none() && cas.is_none() {
            return Ok(Reply::empty());
        }
        let change = |config: &mut super::record::Config| {
            config.max_versions = versions.unwrap_or(config.max_versions);
            config.delete_version_after = after.unwrap_or(config.delete_version_after);
            config.cas_required = cas.unwrap_or(config.cas_required);
        };
        store.change_config(change).await?;
        Ok(Reply::empty())
    }
}
