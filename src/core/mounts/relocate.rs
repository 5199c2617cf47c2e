//! Moving a mount to another path. Its leases end first, as their ids begin with the old one.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::timeout;
use crate::base::{MountId, MountPath, Timestamp, random};
use crate::mount::{ApiError, MountEntry, MountState};
use crate::storage::Version;

use super::Active;
use super::built_in::TOKEN;
use super::enable::is_protected;

/// How a move goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Migration {
    /// A UUID.
    pub(in crate::core) id: String,
    /// Who moves.
    pub(super) mount: MountId,
    /// From where.
    pub(in crate::core) source: MountPath,
    /// Where to.
    pub(in crate::core) target: MountPath,
    /// How far it is.
    pub(in crate::core) status: MigrationStatus,
    /// When it was asked for.
    started: Timestamp,
}

/// As the API writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::core) enum MigrationStatus {
    /// What the mount lent is being ended.
    InProgress,
    /// The mount has its new path.
    Success,
    /// The mount was unmounted meanwhile.
    Failure,
}

impl Migration {
    pub(super) fn with(self, status: MigrationStatus) -> Self {
        Self { status, ..self }
    }
}

impl Active {
    /// Moves a mount, and waits for it as long as a request may. What the outside says when it does not let go of a lease
    /// stands beside the migration: the move is made when the last lease has ended.
    ///
    /// # Errors
    /// 400 when there is nothing to move, or it cannot go there.
    pub(in crate::core) async fn relocate(
        self: &Arc<Self>,
        from: MountPath,
        to: MountPath,
    ) -> Result<(Migration, Option<ApiError>), ApiError> {
        check_paths(&from, &to)?;
        let migration = self.change_mounts(|active| async move { active.set_out(from, to).await }).await?;
        let left = timeout(&*self.clock, PATIENCE, self.leave(&migration.mount)).await;
        let now = self.migration(&migration.id).await?.unwrap_or(migration);
        Ok((now, left.and_then(Result::err)))
    }

    /// How a move went.
    pub(in crate::core) async fn migration(&self, id: &str) -> Result<Option<Migration>, ApiError> {
        Ok(self.mounts.migrations.read(id).await?)
    }

    async fn set_out(self: &Arc<Self>, from: MountPath, to: MountPath) -> Result<Migration, ApiError> {
        let missing = || ApiError::invalid(format!("no matching mount at \"{from}\""));
        let id = self.routes.load().at(from.as_str()).map(|mount| mount.entry.id.clone()).ok_or_else(missing)?;
        let (mut entry, version) = self.mounts.read(&id).await?.ok_or_else(missing)?;
        match &entry.state {
            MountState::Ready => {}
            MountState::Tainted => return Err(missing()),
            MountState::Moving(target) if *target == to => {
                return self.migration_of(&id).await?.ok_or_else(|| ApiError::internal("a move without a record"));
            }
            MountState::Moving(target) => return Err(ApiError::invalid(format!("\"{from}\" is moving to \"{target}\""))),
        }
        if let Some(taken) = self.taken(&to) {
            return Err(ApiError::invalid(format!("path already in use at \"{taken}\"")));
        }
        let migration = Migration {
            id: random::uuid(),
            mount: id.clone(),
            source: from.clone(),
            target: to.clone(),
            status: MigrationStatus::InProgress,
            started: self.clock.now(),
        };
        entry.state = MountState::Moving(to);
        let mut txn = self.barrier.txn();
        txn.expect_at(&self.mounts.entries, id.as_str(), version);
        txn.put(&self.mounts.entries, id.as_str(), &entry)?;
        txn.put(&self.mounts.migrations, &migration.id, &migration)?;
        for old in self.old_migrations().await? {
            txn.delete(&self.mounts.migrations, &old);
        }
        self.commit_mounts(txn).await?;
        self.shut(entry);
        Ok(migration)
    }

    /// A mount nothing hangs on any more takes its new path.
    pub(super) async fn arrive(self: &Arc<Self>, moving: MountEntry, version: Version, to: MountPath) -> Result<(), ApiError> {
        let (id, from) = (moving.id.clone(), moving.path.clone());
        let entry = MountEntry { path: to, state: MountState::Ready, ..moving };
        let mut txn = self.barrier.txn();
        self.quotas.follow(&mut txn, from.as_str(), entry.path.as_str()).await?;
        txn.expect_at(&self.mounts.entries, id.as_str(), version);
        txn.put(&self.mounts.entries, id.as_str(), &entry)?;
        if let Some(migration) = self.migration_of(&id).await? {
            tracing::info!(mount.id = %id, "`{}` has moved to `{}`", migration.source, migration.target);
            txn.put(&self.mounts.migrations, &migration.id, &migration.clone().with(MigrationStatus::Success))?;
        }
        self.commit_with_rules(txn).await?;
        let routes = self.routes.load();
        if let Some(mount) = routes.by_id(&id) {
            let opened = mount.opened(Arc::new(entry), Arc::clone(&mount.plugin));
            self.publish(&opened);
        }
        Ok(())
    }

    /// Records of moves nobody asks for any more.
    async fn old_migrations(&self) -> Result<Vec<String>, ApiError> {
        let mut done: Vec<Migration> = self.mounts.migrations.scan_all().await?;
        done.retain(|migration| migration.status != MigrationStatus::InProgress);
        done.sort_by_key(|migration| std::cmp::Reverse(migration.started));
        Ok(done.into_iter().skip(KEPT).map(|migration| migration.id).collect())
    }
}

fn check_paths(from: &MountPath, to: &MountPath) -> Result<(), ApiError> {
    if from.is_auth() && !to.is_auth() {
        return Err(ApiError::invalid(format!("cannot remount auth mount to non-auth mount \"{to}\"")));
    }
    let is_fixed = if from.is_auth() { from.in_table() == format!("{TOKEN}/") } else { is_protected(from.as_str()) };
    if is_fixed {
        return Err(ApiError::invalid(format!("cannot remount \"{from}\"")));
    }
    if !from.is_auth() && is_protected(to.as_str()) || to.is_auth() && to.in_table().is_empty() {
        return Err(ApiError::invalid(format!("cannot remount to destination {to}")));
    }
    Ok(())
}

/// How long a move is waited for: less than a request has.
const PATIENCE: Duration = Duration::from_mins(1);

/// Records of moves that are kept, the newest.
const KEPT: usize = 100;
