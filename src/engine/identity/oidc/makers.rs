//! Where pairs are made: off the workers of requests, one at a time, with a bounded line before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::base::{Tasks, Ttl};
use crate::mount::{ApiError, ErrorKind};

use super::algorithm::Algorithm;
use super::pair::Pair;

/// See the module.
pub(super) struct Makers {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place in the line.
struct Place<'m>(&'m AtomicUsize);

impl Makers {
    /// A fresh pair.
    ///
    /// # Errors
    /// 429 when too many are waiting.
    pub(super) async fn make(&self, tasks: &Tasks, algorithm: Algorithm) -> Result<Pair, ApiError> {
        let _place = self.place()?;
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(ApiError::internal)?;
        let made = tasks.spawn_blocking(move || {
            // Kept when nobody waits for the pair any more: the core is busy until then.
            let _permit = permit;
            Pair::make(algorithm)
        });
        made.await.map_err(|_| ApiError::internal("making a signing key panicked"))?.map_err(ApiError::internal)
    }

    fn place(&self) -> Result<Place<'_>, ApiError> {
        let more = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok() {
            return Ok(Place(&self.waiting));
        }
        let error = ApiError::new(ErrorKind::Limited, "too many signing keys are being made, try again");
        Err(error.retry_after(Ttl::seconds(10)))
    }
}

impl Default for Makers {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An RSA pair takes some tenths of a second: who comes behind so many would wait for half a minute.
const MOST_WAITING: usize = 64;
