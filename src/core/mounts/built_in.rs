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
    let (description, header) = match kind {
        SYSTEM => ("system endpoints used for control, policy and debugging", Some("Accept")),
        IDENTITY => ("identity store", Some("Authorization")),
        CUBBYHOLE => ("per-token private secret storage", None),
        _ => ("token based credentials", None),
    };
    description.clone_into(&mut entry.description);
    entry.config.passthrough_request_headers = header.map(|header| vec![header.to_owned()]);
    entry.seal_wrap = kind == SYSTEM;
    entry.local = kind == CUBBYHOLE;
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
