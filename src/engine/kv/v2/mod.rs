//! Version 2: versions of an object, with check-and-set, soft deletion and metadata (spec `kv.md`, "Version 2").
//!
//! ```text
//! v2/config                        what holds for all keys of the mount
//! v2/meta/<path>                   what is known of a key: its settings and the list of its versions
//! v2/data/<time>-<id>-<version>    the object of a version: when it was written, the id that was made with its key, its number
//! v1/<path>                        what version 1 left, until it is taken over
//! ```
//!
//! A write is one batch: the new object, the list, and what falls off its end. It expects the list as it was read, so of two
//! writers with the same check-and-set number one wins, whatever node they are on. Who changes a key has its turn. Readers
//! have none: whoever finds a version listed and its object gone reads the list again.
//!
//! A key made anew under an old name has another id, so nothing of the old one is ever found again.

mod config;
mod custom;
mod data;
mod merge;
mod metadata;
mod record;
mod store;
mod stored_versions;
mod upgrade;
mod versions;

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;

use crate::barrier::View;
use crate::base::Key;
use crate::mount::{ApiError, Body, Ctx, Deps, Nothing, Plugin, Raw, Reply, Table};
use crate::policy::Operation;

use store::Store;
use upgrade::Gate;

/// Keeps versions of what it is given.
pub struct KvV2 {
    gate: Arc<Gate>,
}

impl Plugin for KvV2 {
    /// Not in the table of mounts; see [`super::kind_of`].
    const KIND: &'static str = "kv-v2";
    const ABOUT: &'static str = "Keeps versions of secrets at paths.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        Ok(Self { gate: Gate::open(&view, deps).await? })
    }

    fn endpoints(table: &mut Table<Self>) {
        config::endpoints(table);
        for root in ["data/", "delete/", "undelete/", "destroy/"] {
            let endpoint = table.at(root, "Lists nothing; a path is missing.").lenient();
            endpoint.read(at_root).update(at_root).patch(at_root).delete(at_root);
        }
        data::endpoints(table);
        versions::endpoints(table);
        metadata::endpoints(table);
        for rest in ["", "{path:rest}"] {
            let endpoint = table.at(rest, "Is no endpoint of version 2, and says so.").lenient();
            endpoint.read(elsewhere).update(elsewhere).patch(elsewhere).delete(elsewhere);
            endpoint.list(elsewhere);
        }
    }

    fn invalidate(&self, key: &Key) {
        self.gate.invalidate(key);
    }

    async fn tick(self: Arc<Self>) {
        Gate::go_on(&self.gate);
    }
}

impl KvV2 {
    /// The mount's storage, once all of it is of version 2.
    ///
    /// # Errors
    /// 400 while keys of version 1 are being taken over.
    async fn store(&self) -> Result<&Store, ApiError> {
        self.gate.store().await
    }
}

impl fmt::Debug for KvV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvV2").field("gate", &self.gate).finish()
    }
}

fn at_root(_: Arc<KvV2>, _: Ctx, _: Nothing) -> Ready<Result<Reply, ApiError>> {
    ready(Ok(Reply::warning("Non-listing operations on the root of a K/V v2 mount are not supported.").missing()))
}

/// What clients of version 1 ask for.
#[expect(clippy::needless_pass_by_value, reason = "the form of an endpoint")]
fn elsewhere(_: Arc<KvV2>, cx: Ctx, _: Nothing) -> Ready<Result<Reply, ApiError>> {
    let command = match cx.operation {
        Operation::Create | Operation::Update => "put",
        Operation::List => "list",
        Operation::Delete => "delete",
        Operation::Patch => "patch",
        _ => "get",
    };
    let text = format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. \
         If using the Vault CLI, use 'vault kv {command}' for this operation."
    );
    ready(Ok(Reply::warning(text).missing()))
}

/// 204 to a patch, for which a reply of nothing is a 404 (spec `http-api.md` §5, "Empty rules").
fn patched() -> Reply {
    Reply::new(Body::Raw(Raw { content_type: "application/json", bytes: Vec::new() }))
}

/// 404 with an empty body: what was to be patched is not there.
fn nothing_to_patch() -> Reply {
    patched().missing()
}

#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upgrade_tests;
