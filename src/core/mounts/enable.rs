//! Mounting.

use std::sync::Arc;

use crate::base::MountPath;
use crate::mount::{ApiError, Class, MountEntry, MountState};

use super::built_in::{CUBBYHOLE, IDENTITY, SYSTEM, TOKEN};
use super::{Active, not_in_catalog};

impl Active {
    /// Mounts a plugin.
    ///
    /// # Errors
    /// 400 when the path is taken or protected, when the type cannot be mounted, or with what its plugin says.
    pub(in crate::core) async fn enable(self: &Arc<Self>, entry: MountEntry) -> Result<(), ApiError> {
        check_mountable(&entry)?;
        if self.registry.opener(entry.class, &entry.kind).is_none() {
            return Err(not_in_catalog(&entry.kind));
        }
        self.change_mounts(|active| async move { active.enable_now(Arc::new(entry)).await }).await
    }

    async fn enable_now(self: &Arc<Self>, entry: Arc<MountEntry>) -> Result<(), ApiError> {
        if let Some(taken) = self.taken(&entry.path) {
            return Err(ApiError::invalid(match entry.class {
                Class::Secret => format!("path is already in use at {taken}"),
                Class::Auth => format!("path is already in use at {}", taken.in_table()),
            }));
        }
        let mount = self.open_mount(Arc::clone(&entry)).await?;
        let mut txn = self.barrier.txn();
        txn.expect_absent(&self.mounts.entries, entry.id.as_str());
        txn.put(&self.mounts.entries, entry.id.as_str(), &*entry)?;
        self.commit_mounts(txn).await?;
        self.publish(&mount);
        tracing::info!(mount.path = %entry.path, mount.kind = entry.kind, "`{}` is mounted", entry.path);
        Ok(())
    }

    /// What stands in the way of a mount at this path: a mount there, above or below, or one that is moving there.
    pub(super) fn taken(&self, path: &MountPath) -> Option<MountPath> {
        let routes = self.routes.load();
        if let Some(mount) = routes.conflict(path.as_str()) {
            return Some(mount.entry.path.clone());
        }
        let targets = routes.mounts().filter_map(|mount| match &mount.entry.state {
            MountState::Moving(to) => Some(to.clone()),
            MountState::Ready | MountState::Tainted => None,
        });
        let clashes = |to: &MountPath| to.as_str().starts_with(path.as_str()) || path.as_str().starts_with(to.as_str());
        targets.into_iter().find(clashes)
    }
}

fn check_mountable(entry: &MountEntry) -> Result<(), ApiError> {
    let (path, kind) = (entry.path.as_str(), entry.kind.as_str());
    match entry.class {
        Class::Secret if is_protected(path) => Err(ApiError::invalid(format!("cannot mount \"{path}\""))),
        Class::Secret if matches!(kind, SYSTEM | IDENTITY | CUBBYHOLE | TOKEN) => {
            Err(ApiError::invalid(format!("mount type of \"{kind}\" is not mountable")))
        }
        Class::Auth if kind == TOKEN => Err(ApiError::invalid("token credential backend cannot be instantiated")),
        Class::Secret | Class::Auth => Ok(()),
    }
}

/// Whether no secrets engine can be mounted, unmounted or moved there.
pub(super) fn is_protected(path: &str) -> bool {
    ["audit/", "auth/", "sys/", "cubbyhole/", "identity/"].iter().any(|prefix| path.starts_with(prefix))
}
