//! The table of mounts: what is mounted where, kept in storage one record a mount, published as one immutable table.
//!
//! ```text
//! core/mounts/<mount id>      the entry
//! core/gone/<mount id>        the entry of a mount that is gone, until its storage is wiped
//! core/migration/<id>         how a move went
//! logical/<mount id>/…        the storage of a secrets engine
//! auth/<mount id>/…           the storage of an auth method
//! ```
//!
//! One change at a time: `Active::admin` is held from the look at what there is until the new table is published. A change
//! is committed first; it runs in a task of its own, so that nobody who leaves can cut it between the two. When an answer of
//! storage leaves open what became durable, the table is read again before anybody looks at it.

mod built_in;
mod change;
mod enable;
mod leave;
mod relocate;
mod routes;
mod wipe;

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::auth::token::TokenAuth;
use crate::barrier::{Barrier, BarrierError, View};
use crate::base::MountId;
use crate::engine::identity::Identity;
use crate::mount::{ApiError, Class, Mount, MountEntry, Mounted, mounted};
use crate::storage::Version;

use super::Active;
use super::active::Back;
use super::issuers::Methods;
use super::sys::Sys;

pub(in crate::core) use change::Changed;
pub(in crate::core) use relocate::{Migration, MigrationStatus};

use built_in::{CUBBYHOLE, IDENTITY, SYSTEM, TOKEN};

/// The stored table.
#[derive(Debug)]
pub(super) struct MountTable {
    entries: View,
    gone: View,
    migrations: View,
    /// For plugins of the server's own.
    back: OnceLock<Back>,
    /// What is published may differ from what is stored.
    is_stale: AtomicBool,
    /// Mounts somebody sees off.
    leaving: Care,
    /// Mounts somebody wipes.
    wiping: Care,
}

/// Mounts in somebody's care. Guards a few ids; who takes or leaves one into his care; held for a look-up.
#[derive(Debug, Default)]
struct Care(Mutex<HashSet<MountId>>);

impl Care {
    /// Takes a mount into one's care; false: somebody has it.
    fn take(&self, id: &MountId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone())
    }

    fn leave(&self, id: &MountId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl MountTable {
    pub(super) fn new(barrier: &Arc<Barrier>) -> Self {
        Self {
            entries: barrier.view("core/mounts/"),
            gone: barrier.view("core/gone/"),
            migrations: barrier.view("core/migration/"),
            back: OnceLock::new(),
            is_stale: false.into(),
            leaving: Care::default(),
            wiping: Care::default(),
        }
    }

    /// Reads the table, adds what every server has, opens all plugins and publishes the routes.
    pub(super) async fn load(&self, active: &Arc<Active>, back: &Back) -> Result<(), ApiError> {
        let _only = self.back.set(back.clone());
        let entries: Vec<MountEntry> = self.entries.scan_all().await?;
        for entry in built_in::missing(&entries)? {
            self.entries.put(entry.id.as_str(), &entry).await?;
        }
        active.reload_mounts().await
    }

    /// The stored entry of a mount and its version.
    async fn read(&self, id: &MountId) -> Result<Option<(MountEntry, Version)>, BarrierError> {
        self.entries.read_versioned(id.as_str()).await
    }

    /// How plugins of the server's own reach it.
    fn back(&self) -> Back {
        self.back.get().cloned().unwrap_or_default()
    }
}

impl Active {
    /// Opens the plugin of a mount.
    async fn open_mount(&self, entry: Arc<MountEntry>) -> Result<Arc<Mount>, ApiError> {
        let view = self.mount_view(&entry);
        let plugin = self.open_plugin(&entry, &view).await?;
        Ok(Mount::new(entry, plugin, view))
    }

    async fn open_plugin(&self, entry: &Arc<MountEntry>, view: &View) -> Result<Arc<dyn Mounted>, ApiError> {
        match (entry.class, entry.kind.as_str()) {
            (Class::Secret, SYSTEM) => Ok(mounted(Sys::new(self.mounts.back()))),
            (Class::Secret, IDENTITY) => {
                let (names, deps) = (Arc::new(Methods::new(self.mounts.back())), self.deps(entry));
                Ok(mounted(Identity::new(Arc::clone(&self.entities), names, view, deps, &self.settings.api_addr)))
            }
            (Class::Auth, TOKEN) => {
                let (tokens, policies) = (Arc::clone(&self.tokens), Arc::clone(&self.policies));
                Ok(mounted(TokenAuth::new(tokens, policies, view.clone(), Arc::new(Methods::new(self.mounts.back())))))
            }
            (class, _) => {
                let of_version = self.registry.opener(class, crate::engine::kv::kind_of(entry));
                let opener = of_version.or_else(|| self.registry.opener(class, &entry.kind));
                let opener = opener.ok_or_else(|| not_in_catalog(&entry.kind))?;
                opener(view.clone(), self.deps(entry)).await
            }
        }
    }

    /// Opens the plugins of these mounts anew, from what is stored; those every server has stay as they are. How many.
    pub(in crate::core) async fn open_anew<F>(self: &Arc<Self>, wanted: F) -> Result<usize, ApiError>
    where
        F: Fn(&MountEntry) -> bool + Send + 'static,
    {
        self.change_mounts(|active| async move {
            let is_own = |entry: &MountEntry| matches!(entry.kind.as_str(), SYSTEM | IDENTITY | CUBBYHOLE | TOKEN);
            let routes = active.routes.load_full();
            let mounts = routes.mounts().filter(|mount| mount.entry.is_ready() && !is_own(&mount.entry) && wanted(&mount.entry));
            let mounts: Vec<Arc<Mount>> = mounts.cloned().collect();
            for mount in &mounts {
                let plugin = active.open_plugin(&mount.entry, &mount.view).await?;
                active.publish(&mount.with_plugin(Arc::clone(&mount.entry), plugin));
            }
            Ok(mounts.len())
        })
        .await
    }

    /// The part of storage that belongs to a mount.
    fn mount_view(&self, entry: &MountEntry) -> View {
        let prefix = match (entry.class, entry.kind.as_str()) {
            // Known to the token store, which wipes it.
            (Class::Secret, CUBBYHOLE) => "cubbyhole/".to_owned(),
            (Class::Secret, _) => format!("logical/{}/", entry.id),
            (Class::Auth, _) => format!("auth/{}/", entry.id),
        };
        self.barrier.view(&prefix)
    }

    /// Runs a change of mounts to its end, whoever waits for it, while nobody else changes any.
    async fn change_mounts<T, F, W>(self: &Arc<Self>, change: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Self>) -> W + Send + 'static,
        W: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let active = Arc::clone(self);
        let work = self.tasks.spawn(async move {
            let _one_at_a_time = active.admin.lock().await;
            if active.mounts.is_stale.load(Ordering::Acquire) {
                active.reload_mounts().await?;
                resume(&active);
            }
            change(Arc::clone(&active)).await
        });
        work.await.unwrap_or_else(|_| Err(ApiError::internal("a change of mounts panicked")))
    }

    /// As [`Self::commit_mounts`]; the rules of quotas that were changed along hold before anybody gets to the mount.
    async fn commit_with_rules(self: &Arc<Self>, txn: crate::barrier::Txn) -> Result<(), ApiError> {
        let committed = self.commit_mounts(txn).await;
        if let Err(error) = self.quotas.publish().await {
            tracing::error!(error = %error, "the rules of quotas cannot be read; what they were holds until one of them is written");
        }
        committed
    }

    /// Commits a change of mounts. What an error leaves open is read again.
    async fn commit_mounts(self: &Arc<Self>, txn: crate::barrier::Txn) -> Result<(), ApiError> {
        let Err(error) = txn.commit().await else { return Ok(()) };
        self.mounts.is_stale.store(true, Ordering::Release);
        match self.reload_mounts().await {
            // It may be that something goes or moves now.
            Ok(()) => resume(self),
            Err(unread) => {
                tracing::error!(error = %unread, "the table of mounts cannot be read; it is tried again with the next change");
            }
        }
        Err(error.into())
    }
}

/// Goes on with what is under way, and nobody sees to: when the server stopped, or nobody knew that it had begun.
pub(super) fn resume(active: &Arc<Active>) {
    let routes = active.routes.load_full();
    for mount in routes.mounts().filter(|mount| !mount.entry.is_ready()) {
        leave::see_off(active, &mount.entry.id);
    }
    for mount in routes.hidden() {
        wipe::behind(active, &mount.entry);
    }
}

/// 400: no plugin has this type.
fn not_in_catalog(kind: &str) -> ApiError {
    ApiError::invalid(format!("plugin not found in the catalog: {kind}"))
}

/// Keys removed at once.
const PAGE: usize = 256;
