//! Ends what is due, for ever: finds the lanes, gives each a worker, and keeps them going. The same code cleans up after a
//! crash: what was being issued then is due at once.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::base::{LeaseId, Shutdown, TokenKey, Ttl};
use crate::storage::Page;

use super::manager::PAGE;
use super::revoke::Mark;
use super::worker::Worker;
use super::{Lease, LeaseError, LeaseManager, due};

/// How the reaper reaches whoever issued. Core implements it over its routes and the token store, so that leases depend on
/// neither.
#[async_trait]
pub trait Revoker: Send + Sync + 'static {
    /// Takes back what a lease holds. Idempotent: it is called again after a crash, an error, or a cut.
    async fn revoke(&self, lease: &Lease) -> Result<Revoked, RevokeError>;

    /// The same while the outside is unwell: whether it answers at all is to show soon.
    async fn probe(&self, lease: &Lease) -> Result<Revoked, RevokeError> {
        self.revoke(lease).await
    }

    /// What a lease holds, in words for the operator who removes it by force.
    fn name(&self, _: &Lease) -> String {
        String::new()
    }

    /// Ends those of these tokens that are past their end or being ended, with their trees, and leaves the others alone.
    /// Their due keys are gone, or moved, when it returns.
    async fn end_tokens(&self, due: &[TokenKey]) -> Result<(), RevokeError>;

    /// Ends these tokens because somebody revoked them by lease or prefix, with their trees; unknown ones have ended.
    async fn revoke_tokens(&self, tokens: &[TokenKey]) -> Result<(), RevokeError>;

    /// Whether ending a lease takes a call outside. Kinds that need none are ended a page at a time.
    fn needs_call(&self, lease: &Lease) -> bool;
}

/// What became of what a lease held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It was there and is gone.
    Done,
    /// It was not there, which is believed once `settle` has passed since it left its issuer's hand: until then the outside
    /// may not show it yet.
    Absent {
        /// See above; zero is believed at once.
        settle: Ttl,
    },
}

/// Why something could not be taken back. The text is shown to who waits, and kept for the operator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RevokeError {
    /// The account or the network is unwell: the whole lane rests.
    #[error("{0}")]
    Upstream(String),
    /// The outside takes so many calls and no more: the lease waits, and nothing rests.
    #[error("{0}")]
    Throttled(String),
    /// This lease alone: tried again later and later, and shown to the operator after the sixth time.
    #[error("{0}")]
    Lease(String),
    /// Nobody knows how to end it: shown to the operator at once.
    #[error("{0}")]
    Unsupported(String),
}

/// The revoker, once there is one.
pub(super) struct Reach {
    pub(super) revoker: Arc<dyn Revoker>,
    recovered: AtomicBool,
}

impl Reach {
    /// Whether what an earlier run left has been made due.
    pub(super) fn has_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }
}

impl LeaseManager {
    /// The reaper; returns when `shutdown` fires and no revocation is under way.
    pub async fn run(self: Arc<Self>, revoker: Arc<dyn Revoker>, shutdown: Shutdown) {
        let reach = Arc::new(Reach { revoker: Arc::clone(&revoker), recovered: AtomicBool::new(false) });
        self.reach.store(Some(Arc::clone(&reach)));
        self.lanes.progress.notify_waiters();
        if self.recover_in_the_end(&shutdown).await {
            reach.recovered.store(true, Ordering::Release);
            self.lanes.progress.notify_waiters();
            let checks = self.tasks.spawn(Arc::clone(&self).check_nightly(shutdown.clone()));
            self.keep_workers(&revoker, &shutdown).await;
            let _ended = checks.await;
        }
        // The revoker may hold on to us.
        self.has_stopped.store(true, Ordering::Release);
        self.reach.store(None);
        self.lanes.all().iter().for_each(|lane| lane.close());
        self.lanes.progress.notify_waiters();
    }

    /// How the outside is reached; waits for the reaper to be started.
    pub(super) async fn reach(&self) -> Result<Arc<Reach>, LeaseError> {
        loop {
            let progress = self.lanes.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if let Some(reach) = self.reach.load_full() {
                return Ok(reach);
            }
            if self.has_stopped.load(Ordering::Acquire) {
                return Err(LeaseError::Stopping);
            }
            progress.await;
        }
    }

    /// Recovers, however long storage takes to answer; false: it is time to stop.
    async fn recover_in_the_end(&self, shutdown: &Shutdown) -> bool {
        let mut delay = Duration::from_secs(1);
        while let Err(error) = self.recover().await {
            tracing::error!(error = %error, "what was being issued when the server stopped cannot be read; trying again");
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = self.clock.sleep(delay) => delay = (delay * 2).min(LONGEST_DELAY),
            }
        }
        true
    }

    /// One worker a lane, also for lanes that come later; one that died is replaced.
    async fn keep_workers(self: &Arc<Self>, revoker: &Arc<dyn Revoker>, shutdown: &Shutdown) {
        let mut working: HashSet<Box<str>> = HashSet::new();
        let mut ends = FuturesUnordered::new();
        loop {
            for lane in self.lanes.all() {
                if working.insert(lane.name.clone()) {
                    let name = lane.name.clone();
                    let worker = Worker::new(Arc::clone(self), lane, Arc::clone(revoker), shutdown.clone());
                    let end = self.tasks.spawn(worker.run());
                    ends.push(async move { (name, end.await) });
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.lanes.added.notified() => {}
                Some((name, end)) = ends.next() => {
                    if end.is_err() {
                        tracing::error!(lease.mount = %name, "the worker of a lane died; another takes its place");
                    }
                    working.remove(&name);
                }
            }
        }
        while ends.next().await.is_some() {}
    }

    /// Finds the lanes, and makes due what was being issued when an earlier run ended: none of its issuers is alive.
    async fn recover(&self) -> Result<(), LeaseError> {
        for name in self.view.list_all(due::LANES).await? {
            self.lanes.lane(name.trim_end_matches('/'));
        }
        let mut after: Option<String> = None;
        loop {
            let page: Vec<(String, LeaseId)> = self.view.scan(due::OPEN, Page { after: after.as_deref(), limit: PAGE }).await?;
            let ids: Vec<_> = page.iter().map(|(_, id)| id.clone()).collect();
            self.mark(&ids, Mark::Abandoned).await?;
            match page.into_iter().next_back() {
                Some((key, _)) if ids.len() == PAGE => after = Some(key),
                _ => return Ok(()),
            }
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}

/// Between tries to read storage that does not answer.
pub(super) const LONGEST_DELAY: Duration = Duration::from_mins(1);
