//! The key-value engine (spec `kv.md`). Version 1 keeps one object at a path, in `v1`; version 2 keeps versions of it, in
//! `v2`. Each has a prefix of storage of its own. The table of mounts knows one type, `kv`, whose options name the version;
//! the endpoints differ, so each version is a plugin, and [`kind_of`] says which one opens a mount.

mod v1;
pub mod v2;

use std::fmt;

use crate::barrier::View;
use crate::mount::{ApiError, Class, Deps, MountEntry, Plugin, Table};

/// Keeps what it is given: version 1.
pub struct Kv {
    /// What it keeps, at its path as it is: views are prefixes, so that no path leads out of one.
    objects: View,
}

impl Plugin for Kv {
    const KIND: &'static str = "kv";
    const ABOUT: &'static str = "Keeps secrets at paths.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        match deps.entry.option("version").unwrap_or_default() {
            "" | "1" => Ok(Self { objects: view.sub(V1) }),
            other => Err(ApiError::invalid(format!("invalid version provided: {other}"))),
        }
    }

    fn endpoints(table: &mut Table<Self>) {
        v1::endpoints(table);
    }
}

impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv").finish_non_exhaustive()
    }
}

/// The name of the plugin that opens a mount: its type, but for version 2 of this engine.
pub fn kind_of(entry: &MountEntry) -> &str {
    match (entry.class, entry.kind.as_str(), entry.option("version")) {
        (Class::Secret, Kv::KIND, Some("2")) => v2::KvV2::KIND,
        (_, kind, _) => kind,
    }
}

/// Where version 1 keeps its objects.
const V1: &str = "v1/";

#[cfg(test)]
mod tests;
