//! The key-value engine (spec `kv.md`). Version 1 keeps one object at a path, in [`v1`]; each version has a file and a prefix
//! of storage of its own.

mod v1;

use std::fmt;

use crate::barrier::View;
use crate::mount::{ApiError, Deps, Plugin, Table};

/// Keeps what it is given.
pub struct Kv {
    /// What version 1 keeps, at its path as it is: views are prefixes, so that no path leads out of one.
    objects: View,
}

impl Plugin for Kv {
    const KIND: &'static str = "kv";
    const ABOUT: &'static str = "Keeps secrets at paths.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        match deps.entry.option("version").unwrap_or_default() {
            "" | "1" => Ok(Self { objects: view.sub("v1/") }),
            "2" => Err(ApiError::invalid("this server has no version 2 of the kv engine: mount it with options.version \"1\"")),
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

#[cfg(test)]
mod tests;
