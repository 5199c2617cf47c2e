//! Where passwords are hashed: off the workers of requests, few at a time, with a bounded line before (spec `userpass.md`,
//! "Load").

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

use crate::base::{Tasks, Ttl};
use crate::mount::{ApiError, ErrorKind};

/// Hashes few passwords at a time.
pub(super) struct Workers {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

/// A place in the line.
struct Place<'w>(&'w AtomicUsize);

impl Workers {
    /// Those of this process: all mounts share its cores.
    pub(super) fn shared() -> &'static Self {
        static SHARED: LazyLock<Workers> = LazyLock::new(|| {
            let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
            Workers::new(cores.saturating_sub(1).max(1), MOST_WAITING)
        });
        &SHARED
    }

    fn new(at_once: usize, most_waiting: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(at_once)), waiting: AtomicUsize::new(0), most_waiting }
    }

    /// Runs it, first come first served.
    ///
    /// # Errors
    /// 429 at once when too many are waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        tasks: &Tasks,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            permit
        } else {
            let _place = self.place()?;
            Arc::clone(&self.free).acquire_owned().await.map_err(ApiError::internal)?
        };
        let done = tasks.spawn_blocking(move || {
            // Kept when nobody waits for the result any more: the core is busy until then.
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| ApiError::internal("hashing a password panicked"))
    }

    fn place(&self) -> Result<Place<'_>, ApiError> {
        let more = |waiting| (waiting < self.most_waiting).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok() {
            return Ok(Place(&self.waiting));
        }
        let error = ApiError::new(ErrorKind::Limited, "too many logins in progress, try again");
        Err(error.retry_after(Ttl::seconds(1)))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Some thirty seconds of work for one core; who comes then would not wait so long.
const MOST_WAITING: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn few_run_some_wait_in_order_and_the_next_one_is_refused() {
        let (tasks, workers) = (Tasks::default(), Arc::new(Workers::new(1, 2)));
        let order = Arc::new(Mutex::new(Vec::new()));
        let (go, gone) = channel::<()>();
        let gone = Mutex::new(gone);
        let start = |number: usize, gate: Option<Mutex<std::sync::mpsc::Receiver<()>>>| {
            let (tasks, workers, order) = (tasks.clone(), Arc::clone(&workers), Arc::clone(&order));
            let work = move || {
                if let Some(gate) = gate {
                    gate.lock().unwrap().recv().unwrap();
                }
                order.lock().unwrap().push(number);
            };
            let spawner = tasks.clone();
            spawner.spawn(async move { workers.run(&tasks, work).await })
        };
        let first = start(1, Some(gone));
        while workers.free.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut others = Vec::new();
        for number in [2, 3] {
            others.push(start(number, None));
            while workers.waiting.load(Ordering::Acquire) < number - 1 {
                tokio::task::yield_now().await;
            }
        }
        let error = workers.run(&tasks, || ()).await.unwrap_err();
        assert_eq!((error.kind, error.text.as_str()), (ErrorKind::Limited, "too many logins in progress, try again"));
        assert_eq!(error.retry_after, Some(Ttl::seconds(1)));
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
        assert_eq!((workers.waiting.load(Ordering::Acquire), workers.free.available_permits()), (0, 1));
    }
}
