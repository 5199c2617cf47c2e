//! Work that must be waited for: every task of the server is started here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

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

    /// Runs `work` within whoever awaits it, and as a task of its own when he goes away before its end. Remembers it until it ends,
    /// also while nobody polls it. For work that nearly always is awaited: a task costs as much as a small request.
    pub fn see_through<F>(&self, work: Pin<Box<F>>) -> SeenThrough<F>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        SeenThrough { work: Some(work), tasks: self.clone(), _remembered: self.tracker.token() }
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

/// See [`Tasks::see_through`]. Pending for ever once it has ended.
#[must_use = "it runs when it is awaited"]
#[derive(Debug)]
pub struct SeenThrough<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    work: Option<Pin<Box<F>>>,
    tasks: Tasks,
    _remembered: TaskTrackerToken,
}

impl<F> Future for SeenThrough<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let output = ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(output)
    }
}

impl<F> Drop for SeenThrough<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the process is at its end.
        if let Some(work) = self.work.take()
            && Handle::try_current().is_ok()
        {
            self.tasks.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_who_awaited_it_goes() {
        let (tasks, done) = (Tasks::default(), Arc::new(AtomicBool::new(false)));
        let (go_on, gate) = oneshot::channel::<()>();
        let mut work = tasks.see_through(Box::pin({
            let done = Arc::clone(&done);
            async move {
                let _ = gate.await;
                done.store(true, Ordering::Relaxed);
            }
        }));
        assert!(futures_util::poll!(&mut work).is_pending());
        drop(work);
        assert_eq!(tasks.running(), 1);
        go_on.send(()).unwrap();
        tasks.drained().await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn work_that_is_awaited_is_waited_for_and_runs_once() {
        let tasks = Tasks::default();
        let mut runs = 0;
        let mut work = tasks.see_through(Box::pin(std::future::ready(1)));
        assert_eq!(tasks.running(), 1);
        runs += (&mut work).await;
        drop(work);
        assert_eq!((runs, tasks.running()), (1, 0));
    }
}
