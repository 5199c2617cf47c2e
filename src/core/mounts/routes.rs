//! From the stored table to the published one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::MountId;
use crate::engine::inert::Unavailable;
use crate::mount::{ApiError, ErrorKind, Mount, MountEntry, RouteTable, mounted};

use super::Active;

impl Active {
    /// Publishes what is stored. Mounts that are open stay open.
    pub(super) async fn reload_mounts(self: &Arc<Self>) -> Result<(), ApiError> {
        let entries: Vec<MountEntry> = self.mounts.entries.scan_all().await?;
        let gone: Vec<MountEntry> = self.mounts.gone.scan_all().await?;
        let old = self.routes.load_full();
        let mut mounts = Vec::with_capacity(entries.len());
        for entry in entries {
            mounts.push(self.reload_mount(&old, entry).await?);
        }
        let mut hidden = Vec::with_capacity(gone.len());
        for entry in gone {
            hidden.push(self.reload_mount(&old, entry).await?);
        }
        self.routes.store(Arc::new(RouteTable::new(mounts, hidden)));
        self.mounts.is_stale.store(false, Ordering::Release);
        Ok(())
    }

    async fn reload_mount(&self, old: &RouteTable, entry: MountEntry) -> Result<Arc<Mount>, ApiError> {
        let Some(open) = old.by_id(&entry.id) else { return self.open_or_stand_in(Arc::new(entry)).await };
        if *open.entry == entry {
            return Ok(Arc::clone(open));
        }
        let entry = Arc::new(entry);
        let plugin = if entry.options == open.entry.options {
            Arc::clone(&open.plugin)
        } else {
            self.open_plugin(&entry, &open.view).await?
        };
        Ok(match (open.entry.is_ready(), entry.is_ready()) {
            (true, false) => open.closed(entry),
            (false, true) => open.opened(entry, plugin),
            _ => open.with_plugin(entry, plugin),
        })
    }

    /// A mount this server cannot open holds up nothing but itself; storage that cannot be read does.
    async fn open_or_stand_in(&self, entry: Arc<MountEntry>) -> Result<Arc<Mount>, ApiError> {
        match self.open_mount(Arc::clone(&entry)).await {
            Err(error) if error.kind == ErrorKind::Invalid => {
                tracing::error!(
                    mount.path = %entry.path, mount.kind = entry.kind, error = %error,
                    "the mount at `{}` cannot be opened; it answers nothing", entry.path
                );
                let view = self.mount_view(&entry);
                Ok(Mount::new(entry, mounted(Unavailable), view))
            }
            result => result,
        }
    }

    /// Publishes a mount in place of what had its id. With `admin` held, as the next two.
    pub(super) fn publish(&self, mount: &Arc<Mount>) {
        mount.plugin.placed(Some(&mount.entry.path));
        let old = self.routes.load();
        let others = old.mounts().filter(|other| other.entry.id != mount.entry.id).cloned();
        let mounts: Vec<_> = others.chain([Arc::clone(mount)]).collect();
        self.routes.store(Arc::new(RouteTable::new(mounts, old.hidden().to_vec())));
    }

    /// A mount has no path any more.
    pub(super) fn hide(&self, id: &MountId) {
        let old = self.routes.load();
        let (leaving, staying): (Vec<_>, Vec<_>) = old.mounts().cloned().partition(|mount| mount.entry.id == *id);
        for mount in &leaving {
            mount.plugin.placed(None);
        }
        let hidden: Vec<_> = old.hidden().iter().cloned().chain(leaving).collect();
        self.routes.store(Arc::new(RouteTable::new(staying, hidden)));
    }

    /// Nothing is left of a mount.
    pub(super) fn forget(&self, id: &MountId) {
        let old = self.routes.load();
        let hidden = old.hidden().iter().filter(|mount| mount.entry.id != *id).cloned().collect();
        self.routes.store(Arc::new(RouteTable::new(old.mounts().cloned(), hidden)));
    }
}
