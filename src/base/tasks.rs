//! Work that must be waited for: every task of the server is started here.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The signal that ends background duties.
pub type Shutdown = CancellationToken;

/// Tasks that seal and shutdown wait for.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// Starts `work` and remembers it until it ends.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(work)
    }

    /// Starts blocking `work` on the pool made for it, and remembers it until it ends.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Returns once every task started so far has ended. More may be started meanwhile, and are waited for too.
    pub async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Whether somebody waits for all of them to end: long work leaves off where it can go on later.
    pub fn is_draining(&self) -> bool {
        self.tracker.is_closed()
    }

    /// How many tasks are running.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}
