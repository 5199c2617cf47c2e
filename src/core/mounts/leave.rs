//! How a mount goes (architecture §6, "When a mount goes or moves").
//!
//! It is durably `Tainted`, or `Moving`, first: nobody gets in any more. Then requests that were let in are waited for, what
//! it lent is ended, and for an auth method its tokens. Only then it goes, or takes its new path. Whoever asked does all
//! this and waits for it; a task beside him does the same whatever becomes of him, and goes on when the outside refuses.

use std::sync::Arc;
use std::time::Duration;

use crate::base::MountId;
use crate::lease::{How, LeaseError};
use crate::mount::{ApiError, Class, MountEntry, MountState};

use super::built_in::TOKEN;
use super::enable::is_protected;
use super::{Active, Migration, MigrationStatus, wipe};

impl Active {
    /// Unmounts what is at a path; what is not there is unmounted. Gives what its plugin has to say to that.
    ///
    /// # Errors
    /// 400 when the path is protected, or with what the outside says when it does not let go of a lease: the mount stays
    /// tainted until all its leases have ended, and goes then.
    pub(in crate::core) async fn disable(self: &Arc<Self>, class: Class, path: &str) -> Result<Vec<String>, ApiError> {
        if class == Class::Secret && is_protected(path) {
            return Err(ApiError::invalid(format!("cannot unmount \"{path}\"")));
        }
        let routes = self.routes.load();
        let Some(mount) = routes.at(path).filter(|mount| mount.entry.class == class) else { return Ok(Vec::new()) };
        if mount.entry.kind == TOKEN {
            return Err(ApiError::invalid("token credential backend cannot be disabled"));
        }
        let (id, plugin) = (mount.entry.id.clone(), Arc::clone(&mount.plugin));
        drop(routes);
        // While its storage is there.
        let parting = plugin.parting().await;
        drop(plugin);
        let tainted = id.clone();
        self.change_mounts(|active| async move { active.taint(&tainted).await }).await?;
        self.leave(&id).await?;
        Ok(parting)
    }

    /// Ends what hangs on a mount that nobody gets into any more, and lets it go.
    pub(super) async fn leave(self: &Arc<Self>, id: &MountId) -> Result<(), ApiError> {
        see_off(self, id);
        self.end_all_of(id).await?;
        self.depart(id).await
    }

    async fn taint(self: &Arc<Self>, id: &MountId) -> Result<(), ApiError> {
        let Some((mut entry, version)) = self.mounts.read(id).await? else { return Ok(()) };
        let mut txn = self.barrier.txn();
        match entry.state {
            MountState::Tainted => return Ok(()),
            MountState::Ready => {}
            MountState::Moving(_) => {
                if let Some(migration) = self.migration_of(id).await? {
                    txn.put(&self.mounts.migrations, &migration.id, &migration.clone().with(MigrationStatus::Failure))?;
                }
            }
        }
        entry.state = MountState::Tainted;
        txn.expect_at(&self.mounts.entries, id.as_str(), version);
        txn.put(&self.mounts.entries, id.as_str(), &entry)?;
        self.commit_mounts(txn).await?;
        self.shut(entry);
        Ok(())
    }

    /// Publishes a mount that admits nobody.
    pub(super) fn shut(&self, entry: MountEntry) {
        let routes = self.routes.load();
        if let Some(mount) = routes.by_id(&entry.id) {
            let closed = mount.closed(Arc::new(entry));
            self.publish(&closed);
        }
    }

    /// Waits for requests that were let in, and for the end of all leases; of an auth method, of all tokens.
    async fn end_all_of(&self, id: &MountId) -> Result<(), ApiError> {
        let Some(mount) = self.routes.load().by_id(id).filter(|mount| !mount.entry.is_ready()).cloned() else { return Ok(()) };
        if !self.drain(&mount, LONGEST_REQUEST).await {
            tracing::warn!(mount.path = %mount.entry.path, "a request to a mount that goes does not end; it is not waited for");
        }
        self.leases.revoke_mount(id).await.map_err(refusal)?;
        if mount.entry.class == Class::Auth {
            self.leases.revoke_prefix(mount.entry.path.as_str(), How::Sync).await.map_err(refusal)?;
        }
        Ok(())
    }

    /// The last step of what [`Active::leave`] does, for a mount nothing hangs on any more.
    async fn depart(self: &Arc<Self>, id: &MountId) -> Result<(), ApiError> {
        let id = id.clone();
        self.change_mounts(|active| async move {
            let Some((entry, version)) = active.mounts.read(&id).await? else {
                // If it went by a commit whose answer was lost, nobody wipes it yet.
                if let Some(entry) = active.mounts.gone.read::<MountEntry>(id.as_str()).await? {
                    wipe::behind(&active, &Arc::new(entry));
                }
                return Ok(());
            };
            match entry.state.clone() {
                MountState::Ready => Ok(()),
                MountState::Moving(to) => active.arrive(entry, version, to).await,
                MountState::Tainted => {
                    let mut txn = active.barrier.txn();
                    txn.expect_at(&active.mounts.entries, id.as_str(), version);
                    txn.delete(&active.mounts.entries, id.as_str());
                    txn.put(&active.mounts.gone, id.as_str(), &entry)?;
                    active.quotas.leave(&mut txn, entry.path.as_str()).await?;
                    active.commit_with_rules(txn).await?;
                    active.hide(&id);
                    tracing::info!(mount.path = %entry.path, mount.kind = entry.kind, "`{}` is unmounted", entry.path);
                    wipe::behind(&active, &Arc::new(entry));
                    Ok(())
                }
            }
        })
        .await
    }

    /// The move a mount is on.
    pub(super) async fn migration_of(&self, id: &MountId) -> Result<Option<Migration>, ApiError> {
        let all: Vec<Migration> = self.mounts.migrations.scan_all().await?;
        Ok(all.into_iter().find(|migration| migration.mount == *id && migration.status == MigrationStatus::InProgress))
    }
}

/// Sees to it that a mount that goes or moves does, whoever waits for it, or nobody. One task a mount.
pub(super) fn see_off(active: &Arc<Active>, id: &MountId) {
    if !active.mounts.leaving.take(id) {
        return;
    }
    let (active, id) = (Arc::clone(active), id.clone());
    let tasks = active.tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = active.shutdown.cancelled() => {}
            () = see_to_its_end(&active, &id) => {}
        }
        active.mounts.leaving.leave(&id);
        // Somebody may have sent it off again, and found it in our care.
        let leaves = active.routes.load().mounts().any(|mount| mount.entry.id == id && !mount.entry.is_ready());
        if leaves && !active.shutdown.is_cancelled() {
            see_off(&active, &id);
        }
    });
}

async fn see_to_its_end(active: &Arc<Active>, id: &MountId) {
    // The first time all leases are asked to end; then they come to their end when they are due.
    let mut attempt = active.end_all_of(id).await;
    loop {
        let is_auth = active.routes.load().by_id(id).is_some_and(|mount| mount.entry.class == Class::Auth);
        if attempt.is_ok() {
            match active.depart(id).await {
                Ok(()) => return,
                Err(error) => tracing::error!(mount.id = %id, error = ?error, "a mount cannot go yet; it is tried again"),
            }
            active.clock.sleep(BETWEEN_TRIES).await;
        } else if is_auth {
            active.clock.sleep(BETWEEN_TRIES).await;
            attempt = active.end_all_of(id).await;
        } else {
            active.leases.lane_empty(id).await;
            attempt = Ok(());
        }
    }
}

/// What a refusal to end a lease is for the caller.
fn refusal(error: LeaseError) -> ApiError {
    match error {
        LeaseError::Refused(text) => ApiError::invalid(text),
        error => error.into(),
    }
}

/// What is waited for a request at most: longer than any may take.
const LONGEST_REQUEST: Duration = Duration::from_mins(2);

/// Before what went wrong inside is tried again.
const BETWEEN_TRIES: Duration = Duration::from_secs(10);
