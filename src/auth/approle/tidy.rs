//! Tidying: secret ids that have expired, are without accessor, or whose role is gone; accessors without secret id. Whatever is
//! found here was refused already, so it may take its time: once a minute a bounded part is looked at, on demand everything.

use std::future::{Ready, ready};
use std::sync::{Arc, PoisonError};

use crate::auth::busy::Busy;
use crate::mount::{ApiError, Ctx, Nothing, Reply};
use crate::storage::Page;

use super::AppRole;
use super::secret_id::{Area, Entry, Place};

/// How far tidying has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    /// Which of [`AREAS`]; past the last: all was seen.
    area: usize,
    after: Option<String>,
    removed: u64,
}

impl AppRole {
    pub(super) fn start_tidying(self: Arc<Self>, _: Ctx, _: Nothing) -> Ready<Result<Reply, ApiError>> {
        let Some(busy) = Busy::new(&self.is_tidying) else {
            return ready(Ok(Reply::warning("Tidy operation already in progress.")));
        };
        let plugin = Arc::clone(&self);
        self.deps.tasks.spawn(async move {
            let mut sweep = Sweep::default();
            plugin.report(plugin.sweep(&mut sweep, usize::MAX).await);
            tracing::info!(mount = %plugin.deps.entry.id, removed = sweep.removed, "tidied secret ids");
            drop(busy);
        });
        let text =
            "Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.";
        ready(Ok(Reply::warning(text).accepted()))
    }

    /// The minute's part of it; the next minute goes on where this one stopped.
    pub(super) async fn tidy_some(&self) {
        let Some(_busy) = Busy::new(&self.is_tidying) else { return };
        let mut sweep = std::mem::take(&mut *self.sweep.lock().unwrap_or_else(PoisonError::into_inner));
        self.report(self.sweep(&mut sweep, PAGES_A_MINUTE).await);
        let next = if sweep.area < AREAS.len() { sweep } else { Sweep::default() };
        *self.sweep.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn report(&self, result: Result<(), ApiError>) {
        if let Err(error) = result {
            let cause = error.cause.as_deref().unwrap_or(&error.text);
            tracing::warn!(mount = %self.deps.entry.id, error = %cause, "secret ids are not tidied");
        }
    }

    async fn sweep(&self, sweep: &mut Sweep, pages: usize) -> Result<(), ApiError> {
        for _ in 0..pages {
            let Some(area) = AREAS.get(sweep.area) else { return Ok(()) };
            let page = Page { after: sweep.after.as_deref(), limit: PAGE };
            let keys = self.view.scan_keys(area, page).await?;
            for key in &keys {
                let removed =
                    if area.starts_with("secret_id") { self.tidy_entry(key).await } else { self.tidy_accessor(key).await };
                match removed {
                    Ok(removed) => sweep.removed += u64::from(removed),
                    // One that cannot be read does not keep the others.
                    Err(error) if error.cause.is_some() => self.report(Err(error)),
                    Err(error) => return Err(error),
                }
            }
            sweep.after = keys.last().cloned();
            if keys.len() < PAGE {
                *sweep = Sweep { area: sweep.area + 1, after: None, removed: sweep.removed };
            }
        }
        Ok(())
    }

    async fn tidy_entry(&self, key: &str) -> Result<bool, ApiError> {
        let Some(entry) = self.entry(key).await? else { return Ok(false) };
        let now = self.deps.clock.precise();
        let is_doomed = entry.secret_id.is_expired(now) || !self.has_accessor(&entry).await? || !self.has_role_of(&entry).await?;
        // Unchanged it still is, for a role that is gone does not come back, and neither does an accessor.
        Ok(is_doomed && self.remove_if(key, |again| again.version == entry.version).await?)
    }

    /// Whether the role it was generated under is there; one made anew under its name is another.
    async fn has_role_of(&self, entry: &Entry) -> Result<bool, ApiError> {
        let role = self.role(&entry.secret_id.role).await?;
        Ok(role.is_some_and(|(role, _)| entry.key.starts_with(&Self::entries_of(&role))))
    }

    async fn tidy_accessor(&self, key: &str) -> Result<bool, ApiError> {
        let Some((place, version)) = self.view.read_versioned::<Place>(key).await? else { return Ok(false) };
        if self.view.exists(&place.entry).await? {
            return Ok(false);
        }
        let mut txn = self.view.txn();
        txn.expect_at(&self.view, key, version);
        txn.expect_absent(&self.view, &place.entry);
        txn.delete(&self.view, key);
        match txn.commit().await {
            Err(error) if error.is_conflict() => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }
}

/// What is walked, in order.
const AREAS: [&str; 4] = [Area::SHARED.entries, Area::LOCAL.entries, Area::SHARED.accessors, Area::LOCAL.accessors];

/// Keys read at once.
const PAGE: usize = 256;

/// At 256 keys each: some ten thousand look-ups a minute at most, which no client notices.
const PAGES_A_MINUTE: usize = 40;
