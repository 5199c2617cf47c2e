//! The mounts every server has.

use crate::base::MountPath;
use crate::mount::{ApiError, Class, MountEntry};

/// Those that are not in the table yet.
pub(super) fn missing(entries: &[MountEntry]) -> Result<Vec<MountEntry>, ApiError> {
    let missing = BUILT_IN.iter().filter(|(_, path, _)| !entries.iter().any(|entry| entry.path.as_str() == *path));
    missing.map(|(class, path, kind)| entry(*class, path, kind)).collect()
}

fn entry(class: Class, path: &str, kind: &str) -> Result<MountEntry, ApiError> {
    let mut entry = MountEntry::new(class, MountPath::parse(path)?, kind);
    match kind {
        SYSTEM => {
            entry.description = "the server itself: policies, mounts, audit, seal".to_owned();
            entry.config.passthrough_request_headers = Some(vec!["Accept".to_owned()]);
            entry.seal_wrap = true;
        }
        IDENTITY => {
            entry.description = "who somebody is, whatever he logs in with".to_owned();
            entry.config.passthrough_request_headers = Some(vec!["Authorization".to_owned()]);
        }
        CUBBYHOLE => {
            entry.description = "each token's own storage, which ends with it".to_owned();
            entry.local = true;
        }
        _ => entry.description = "tokens: made, looked up, renewed, revoked".to_owned(),
    }
    Ok(entry)
}

const BUILT_IN: [(Class, &str, &str); 4] = [
    (Class::Secret, "sys/", SYSTEM),
    (Class::Secret, "identity/", IDENTITY),
    (Class::Secret, "cubbyhole/", CUBBYHOLE),
    (Class::Auth, "auth/token/", TOKEN),
];

pub(super) const SYSTEM: &str = "system";
pub(super) const IDENTITY: &str = "identity";
pub(super) const CUBBYHOLE: &str = "cubbyhole";
pub(super) const TOKEN: &str = "token";
