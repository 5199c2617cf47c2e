//! What a mount leaves behind: its marker, its leases that cannot be believed gone yet, its storage; wiped behind everybody.

use std::sync::Arc;
use std::time::Duration;

use crate::barrier::BarrierError;
use crate::core::access::of_identity;
use crate::mount::{ApiError, MountEntry};
use crate::storage::Page;

use super::{Active, PAGE};

/// Wipes what is left of a mount that is gone, once its last intent is settled. The marker goes last. One task a mount.
pub(super) fn behind(active: &Arc<Active>, entry: &Arc<MountEntry>) {
    if !active.mounts.wiping.take(&entry.id) {
        return;
    }
    let (active, entry) = (Arc::clone(active), Arc::clone(entry));
    let tasks = active.tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = active.shutdown.cancelled() => {}
            () = until_wiped(&active, &entry) => {}
        }
        active.mounts.wiping.leave(&entry.id);
    });
}

async fn until_wiped(active: &Arc<Active>, entry: &MountEntry) {
    active.leases.lane_empty(&entry.id).await;
    while let Err(error) = active.wipe(entry).await {
        tracing::error!(mount.id = %entry.id, error = ?error, "what a mount left cannot be wiped yet; it is tried again");
        active.clock.sleep(BETWEEN_TRIES).await;
    }
}

impl Active {
    async fn wipe(self: &Arc<Self>, entry: &MountEntry) -> Result<(), ApiError> {
        self.entities.forget_mount(&entry.id).await.map_err(of_identity)?;
        let view = self.mount_view(entry);
        loop {
            let keys = view.scan_keys("", Page::first(PAGE)).await?;
            let mut txn = view.txn();
            if keys.is_empty() {
                txn.expect_empty(&view, "");
                txn.delete(&self.mounts.gone, entry.id.as_str());
            }
            for key in &keys {
                txn.delete(&view, key);
            }
            match txn.commit().await {
                Ok(()) if keys.is_empty() => break,
                Ok(()) => {}
                // Its plugin has written once more.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(storage(error)),
            }
        }
        let id = entry.id.clone();
        self.change_mounts(|active| async move {
            active.forget(&id);
            Ok(())
        })
        .await
    }
}

fn storage(error: BarrierError) -> ApiError {
    error.into()
}

/// Before what went wrong is tried again.
const BETWEEN_TRIES: Duration = Duration::from_secs(10);
