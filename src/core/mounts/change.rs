//! Changing what can be tuned.

use std::sync::Arc;
use std::time::Duration;

use crate::base::MountId;
use crate::base::time::timeout;
use crate::mount::{ApiError, Mount, MountEntry, MountState};

use super::Active;

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Changed {
    /// Settings.
    Settings,
    /// Options, with which the plugin was opened anew.
    Options,
}

impl Active {
    /// Changes the entry of a mount. `change` sees it as it is then.
    ///
    /// # Errors
    /// What `change` says; nothing was changed.
    pub(in crate::core) async fn retune<F>(self: &Arc<Self>, id: MountId, change: F) -> Result<Changed, ApiError>
    where
        F: FnOnce(&mut MountEntry) -> Result<(), ApiError> + Send + 'static,
    {
        self.change_mounts(|active| async move {
            let Some((old, version)) = active.mounts.read(&id).await? else { return Err(ended()) };
            let mut new = old.clone();
            change(&mut new)?;
            let mount = Arc::clone(active.routes.load().by_id(&id).ok_or_else(ended)?);
            let mut txn = active.barrier.txn();
            txn.expect_at(&active.mounts.entries, id.as_str(), version);
            txn.put(&active.mounts.entries, id.as_str(), &new)?;
            if new.options == old.options {
                active.commit_mounts(txn).await?;
                active.publish(&mount.with_entry(Arc::new(new)));
                return Ok(Changed::Settings);
            }
            let closed = active.close(&mount);
            drop(mount);
            if !active.drain(&closed, LONGEST_HOLD).await {
                active.reopen(&closed, Arc::new(old)).await?;
                return Err(ApiError::invalid("requests to the mount are under way: its options cannot be changed now"));
            }
            active.commit_mounts(txn).await?;
            active.change_options(&closed, old, new).await.map(|()| Changed::Options)
        })
        .await
    }

    /// Opens a plugin with other options. One that refuses them goes on with what it had.
    async fn change_options(self: &Arc<Self>, closed: &Mount, old: MountEntry, new: MountEntry) -> Result<(), ApiError> {
        let Err(refused) = self.reopen(closed, Arc::new(new)).await else { return Ok(()) };
        let mut txn = self.barrier.txn();
        txn.put(&self.mounts.entries, old.id.as_str(), &old)?;
        self.commit_mounts(txn).await?;
        self.reopen(closed, Arc::new(old)).await?;
        Err(refused)
    }

    async fn reopen(&self, closed: &Mount, entry: Arc<MountEntry>) -> Result<(), ApiError> {
        let plugin = self.open_plugin(&entry, &closed.view).await?;
        let mount = if entry.is_ready() { closed.opened(entry, plugin) } else { closed.with_plugin(entry, plugin) };
        self.publish(&mount);
        Ok(())
    }

    /// Admits nobody for a moment.
    fn close(&self, mount: &Mount) -> Arc<Mount> {
        let state = if mount.entry.is_ready() { MountState::Tainted } else { mount.entry.state.clone() };
        let closed = mount.closed(Arc::new(MountEntry { state, ..(*mount.entry).clone() }));
        self.publish(&closed);
        closed
    }

    /// Waits for requests that were let in before a mount was closed; false: they did not end in time.
    pub(super) async fn drain(&self, closed: &Mount, limit: Duration) -> bool {
        timeout(&*self.clock, limit, closed.drained()).await.is_some()
    }
}

/// 400: it went away meanwhile.
fn ended() -> ApiError {
    ApiError::invalid("the mount is being removed")
}

/// How long a change of options keeps everybody out, at most.
const LONGEST_HOLD: Duration = Duration::from_secs(10);
