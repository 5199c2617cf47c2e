//! `sys/remount`: a mount moves to another path (spec `sys.md` §3).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::MountPath;
use crate::core::mounts::MigrationStatus;
use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, Named, Reply, Table};

use super::Sys;

/// The fields of a move.
#[derive(Debug, Deserialize, JsonSchema)]
struct RemountInput {
    /// Where the mount is; of an auth method with `auth/`.
    from: Option<Text>,
    /// Where it shall be.
    to: Option<Text>,
}

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("remount", "Moves a mount to another path. Its leases end first.").top().sudo().update(remount);
    table.at("remount/status/{migration_id}", "How a move goes.").read(status);
}

async fn remount(sys: Arc<Sys>, _: Ctx, input: RemountInput) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let (Some(Text(from)), Some(Text(to))) = (input.from, input.to) else { return Err(not_given()) };
    if from.is_empty() || to.is_empty() {
        return Err(not_given());
    }
    for (text, which) in [(&from, "from"), (&to, "to")] {
        if text.trim_end() != text {
            return Err(ApiError::invalid(format!("'{which}' path cannot contain trailing whitespace")));
        }
    }
    let target = MountPath::parse(&to).map_err(|error| ApiError::invalid(format!("invalid destination mount: {error}")))?;
    let (migration, refused) = active.relocate(MountPath::parse(&from)?, target).await?;
    let reply = Reply::object(&json!({ "migration_id": migration.id }))?;
    Ok(match (migration.status, refused) {
        (MigrationStatus::InProgress, Some(error)) => {
            reply.warn(format!("The mount moves when the last of its leases has ended, which is being tried: {error}"))
        }
        (MigrationStatus::InProgress, None) => reply.warn("The mount moves when the last of its leases has ended."),
        (MigrationStatus::Success, _) => reply.warn("The mount has moved. Leases under its old path were revoked."),
        (MigrationStatus::Failure, _) => reply.warn("The mount was unmounted meanwhile."),
    })
}

async fn status(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let Some(migration) = sys.active()?.migration(&input.name).await? else { return Ok(Reply::empty()) };
    Reply::object(&json!({
        "migration_id": migration.id,
        "migration_info": {
            "source_mount": migration.source,
            "target_mount": migration.target,
            "status": migration.status,
        },
    }))
}

fn not_given() -> ApiError {
    ApiError::invalid("both 'from' and 'to' path must be specified as a string")
}
