//! The nightly look at everything: storage is not trusted, and a lease without its due key would live for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::{LeaseId, Shutdown};
use crate::storage::Page;

use super::manager::PAGE;
use super::revoke::Mark;
use super::{LeaseError, LeaseManager, State, due};

impl LeaseManager {
    /// Walks all records and keys behind the caller: repairs missing keys, removes keys that lead nowhere, ends leases whose
    /// token is gone. False: it is at it already.
    pub fn start_tidy(self: &Arc<Self>) -> bool {
        if self.tidying.swap(true, Ordering::AcqRel) {
            return false;
        }
        let manager = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = manager.tidy().await {
                tracing::warn!(error = %error, "not all leases could be looked at");
            }
            manager.tidying.store(false, Ordering::Release);
        });
        true
    }

    /// See [`LeaseManager::start_tidy`].
    pub async fn tidy(&self) -> Result<(), LeaseError> {
        self.tidy_records().await?;
        for folder in [due::LANES, due::OF_TOKENS, due::STUCK, due::OPEN] {
            self.tidy_keys(folder).await?;
        }
        Ok(())
    }

    pub(super) async fn check_nightly(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.clock.sleep(NIGHTLY) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                result = self.tidy() => if let Err(error) = result {
                    tracing::warn!(error = %error, "not all leases could be looked at");
                },
            }
        }
    }

    async fn tidy_records(&self) -> Result<(), LeaseError> {
        let mut after: Option<String> = None;
        loop {
            let keys = self.view.scan_keys(due::IDS, Page { after: after.as_deref(), limit: PAGE }).await?;
            for id in keys.iter().filter_map(|key| key.strip_prefix(due::IDS)).map(LeaseId::new) {
                let tidied = match due::token_of(&id) {
                    Some(_) => Ok(()),
                    None => self.tidy_record(&id).await,
                };
                if let Err(error) = tidied {
                    tracing::error!(lease.id = %id, error = %error, "lease `{id}` cannot be looked at");
                }
            }
            match keys.last() {
                Some(key) if keys.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
            // Reads do not wait: others have their turn between pages.
            tokio::task::yield_now().await;
        }
    }

    async fn tidy_record(&self, id: &LeaseId) -> Result<(), LeaseError> {
        let Some((lease, version)) = self.read(id).await? else { return Ok(()) };
        let suffix = id.suffix();
        let mut wanted = vec![due::due(lease.mount.as_str(), lease.due, suffix)];
        if lease.intent {
            wanted.push(due::open(&lease.mount, suffix));
        }
        if lease.irrevocable.is_some() {
            wanted.push(due::stuck(suffix));
        }
        if let Some(owner) = lease.owner.filter(|_| lease.state != State::Revoking) {
            wanted.push(due::of_token_lease(&owner, suffix));
        }
        let mut txn = self.view.txn();
        for key in wanted {
            if !self.view.exists(&key).await? {
                tracing::error!(lease.id = %id, "the key {key} of lease `{id}` was missing");
                txn.put(&self.view, &key, id)?;
            }
        }
        if !txn.is_empty() {
            txn.expect_at(&self.view, &due::id(id), version);
            match txn.commit().await {
                // It lives: whoever changed it wrote what belongs to it.
                Err(error) if error.is_conflict() => {}
                result => result?,
            }
        }
        if let Some(owner) = lease.owner.filter(|_| lease.state != State::Revoking)
            && self.owners.version(&owner).await?.is_none()
        {
            self.mark(std::slice::from_ref(id), Mark::WithToken(owner)).await?;
        }
        Ok(())
    }

    /// Removes keys below `folder` whose lease is gone.
    async fn tidy_keys(&self, folder: &str) -> Result<(), LeaseError> {
        let mut after: Option<String> = None;
        loop {
            let keys = self.view.scan_keys(folder, Page { after: after.as_deref(), limit: PAGE }).await?;
            for key in &keys {
                if due::parse(key).is_none_or(|(lane, _, _)| lane != due::TOKENS)
                    && let Err(error) = self.tidy_key(key).await
                {
                    tracing::error!(error = %error, "the key {key} cannot be looked at");
                }
            }
            match keys.last() {
                Some(key) if keys.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
            // Reads do not wait: others have their turn between pages.
            tokio::task::yield_now().await;
        }
    }

    async fn tidy_key(&self, key: &str) -> Result<(), LeaseError> {
        let Some(id) = self.view.read::<LeaseId>(key).await? else { return Ok(()) };
        if self.view.exists(&due::id(&id)).await? {
            return Ok(());
        }
        let mut txn = self.view.txn();
        txn.expect_absent(&self.view, &due::id(&id)).delete(&self.view, key);
        match txn.commit().await {
            Err(error) if error.is_conflict() => Ok(()),
            result => Ok(result?),
        }
    }
}

/// Between two walks.
const NIGHTLY: Duration = Duration::from_hours(24);
