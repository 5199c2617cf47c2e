//! The table of mounts: what is mounted where, kept in storage one record a mount, published as one immutable table.
//!
//! ```text
//! core/mounts/<mount id>   the entry
//! logical/<mount id>/…     the storage of a secrets engine
//! auth/<mount id>/…        the storage of an auth method
//! ```

use std::sync::Arc;

use crate::auth::token::TokenAuth;
use crate::barrier::{Barrier, View};
use crate::base::MountPath;
use crate::mount::{ApiError, Class, Mount, MountEntry, Mounted, RouteTable, mounted};
use crate::storage::Page;

use super::Active;
use super::active::Back;
use super::issuers::Methods;
use super::sys::Sys;

/// The stored table.
#[derive(Debug)]
pub(super) struct MountTable {
    view: View,
}

impl MountTable {
    pub(super) fn new(barrier: &Arc<Barrier>) -> Self {
        Self { view: barrier.view(TABLE) }
    }

    /// Reads the table, adds what every server has, opens all plugins and publishes the routes.
    pub(super) async fn load(&self, active: &Arc<Active>, back: &Back) -> Result<(), ApiError> {
        let mut entries = self.stored().await?;
        for (class, path, kind) in BUILT_IN {
            if entries.iter().any(|entry| entry.path.as_str() == path) {
                continue;
            }
            let entry = built_in(class, path, kind)?;
            self.view.put(entry.id.as_str(), &entry).await?;
            entries.push(entry);
        }
        let mut mounts = Vec::with_capacity(entries.len());
        for entry in entries {
            mounts.push(active.open_mount(Arc::new(entry), back).await?);
        }
        active.routes.store(Arc::new(RouteTable::new(mounts, Vec::new())));
        Ok(())
    }

    async fn stored(&self) -> Result<Vec<MountEntry>, ApiError> {
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, MountEntry)> = self.view.scan("", Page { after: after.as_deref(), limit: PAGE }).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(key, _)| key.clone());
            entries.extend(page.into_iter().map(|(_, entry)| entry));
            if is_last {
                return Ok(entries);
            }
        }
    }
}

impl Active {
    /// Opens the plugin of a mount.
    pub(super) async fn open_mount(&self, entry: Arc<MountEntry>, back: &Back) -> Result<Arc<Mount>, ApiError> {
        let view = self.mount_view(&entry);
        let plugin: Arc<dyn Mounted> = match (entry.class, entry.kind.as_str()) {
            (Class::Secret, SYSTEM) => mounted(Sys::new(back.clone())),
            (Class::Auth, TOKEN) => {
                let (tokens, policies) = (Arc::clone(&self.tokens), Arc::clone(&self.policies));
                mounted(TokenAuth::new(tokens, policies, view.clone(), Arc::new(Methods::new(back.clone()))))
            }
            (class, kind) => {
                let opener = self.registry.opener(class, kind);
                let opener = opener.ok_or_else(|| ApiError::invalid(format!("plugin not found in the catalog: {kind}")))?;
                opener(view.clone(), self.deps(&entry)).await?
            }
        };
        Ok(Arc::new(Mount { entry, plugin, view }))
    }

    /// The part of storage that belongs to a mount.
    pub(super) fn mount_view(&self, entry: &MountEntry) -> View {
        let prefix = match (entry.class, entry.kind.as_str()) {
            // Known to the token store, which wipes it.
            (Class::Secret, CUBBYHOLE) => "cubbyhole/".to_owned(),
            (Class::Secret, _) => format!("logical/{}/", entry.id),
            (Class::Auth, _) => format!("auth/{}/", entry.id),
        };
        self.barrier.view(&prefix)
    }
}

/// Goes on with what was under way when the server stopped.
pub(super) fn resume(_: &Arc<Active>) {}

fn built_in(class: Class, path: &str, kind: &str) -> Result<MountEntry, ApiError> {
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

/// On every server.
const BUILT_IN: [(Class, &str, &str); 4] = [
    (Class::Secret, "sys/", SYSTEM),
    (Class::Secret, "identity/", IDENTITY),
    (Class::Secret, "cubbyhole/", CUBBYHOLE),
    (Class::Auth, "auth/token/", TOKEN),
];
const SYSTEM: &str = "system";
const IDENTITY: &str = "identity";
const CUBBYHOLE: &str = "cubbyhole";
const TOKEN: &str = "token";

/// Where the table lies.
const TABLE: &str = "core/mounts/";
/// Entries read at once.
const PAGE: usize = 256;
