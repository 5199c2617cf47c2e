//! Help on a path, from the table of endpoints (spec `http-api.md` §9).

use crate::mount::{ApiError, Found, Mount, Reply};

/// Describes a path; without a path within the mount, the mount.
pub(in crate::core) fn reply(_: &Mount, _: Option<&Found>, _: &str) -> Result<Reply, ApiError> {
    Err(ApiError::unsupported_path())
}
