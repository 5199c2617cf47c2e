//! Taking over what version 1 left (spec `kv.md` §6).
//!
//! Each key of version 1 becomes the first version of one of version 2, in one batch that takes it away there. What is left
//! under `v1/` is the mark of how far it has come, so whatever cuts it short, it goes on where it was.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::barrier::{BarrierError, View};
use crate::base::Key;
use crate::base::time::timeout;
use crate::mount::{ApiError, Deps};
use crate::storage::Page;

use super::super::V1;
use super::store::Store;

/// Lets nobody to the store before all of it is of version 2.
pub(super) struct Gate {
    store: Store,
    /// What version 1 left.
    left: View,
    is_open: watch::Sender<bool>,
    is_busy: AtomicBool,
}

impl Gate {
    /// Starts to take over what there is.
    pub(super) async fn open(view: &View, deps: Deps) -> Result<Arc<Self>, ApiError> {
        let left = view.sub(V1);
        let is_open = left.is_empty("").await?;
        let gate =
            Arc::new(Self { store: Store::new(view, deps), left, is_open: watch::Sender::new(is_open), is_busy: false.into() });
        Self::go_on(&gate);
        Ok(gate)
    }

    /// The store. Waits a moment for it.
    pub(super) async fn store(&self) -> Result<&Store, ApiError> {
        if *self.is_open.borrow() {
            return Ok(&self.store);
        }
        let mut told = self.is_open.subscribe();
        match timeout(&*self.store.deps().clock, PATIENCE, told.wait_for(|is_open| *is_open)).await {
            Some(Ok(_)) => Ok(&self.store),
            _ => Err(ApiError::invalid(UPGRADING)),
        }
    }

    /// A key of storage changed.
    pub(super) fn invalidate(&self, key: &Key) {
        self.store.invalidate(key);
    }

    /// Sees to it that the taking over goes on, if it is not done and nobody does it.
    pub(super) fn go_on(gate: &Arc<Self>) {
        if *gate.is_open.borrow() || gate.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let gate = Arc::clone(gate);
        let tasks = gate.store.deps().tasks.clone();
        tasks.spawn(async move {
            let mount = &gate.store.deps().entry;
            match gate.take_over().await {
                Ok(true) => {
                    tracing::info!(mount.path = %mount.path, "`{}` is of version 2 now", mount.path);
                    gate.is_open.send_replace(true);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(
                        mount.path = %mount.path, error = %error,
                        "the upgrade of `{}` stopped and is tried again in a minute; until then it answers nothing", mount.path
                    );
                }
            }
            gate.is_busy.store(false, Ordering::Release);
        });
    }

    /// Moves all keys; false: the server stops, and it goes on when it is unsealed.
    async fn take_over(&self) -> Result<bool, BarrierError> {
        let mut after: Option<String> = None;
        loop {
            if self.store.deps().tasks.is_draining() {
                return Ok(false);
            }
            let keys = self.left.scan_keys("", Page { after: after.as_deref(), limit: PAGE }).await?;
            if keys.is_empty() {
                return Ok(true);
            }
            match self.move_some(&keys).await {
                Ok(last) => after = last,
                // Somebody else does the same. What is left is looked at again.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
            // Others want the core as well.
            tokio::task::yield_now().await;
        }
    }

    /// Moves the first of these keys in one batch. Returns the last one that was looked at.
    async fn move_some(&self, keys: &[String]) -> Result<Option<String>, BarrierError> {
        let mut txn = self.left.txn();
        let (mut bytes, mut last) = (0, None);
        for key in keys {
            if bytes > BATCH_BYTES {
                break;
            }
            last = Some(key.clone());
            match self.left.read_versioned::<Box<RawValue>>(key).await {
                Ok(Some((object, version))) => {
                    bytes += object.get().len();
                    txn.expect_at(&self.left, key, version);
                    txn.delete(&self.left, key);
                    self.store.put_first(&mut txn, key, &object)?;
                }
                Ok(None) => {}
                Err(error @ (BarrierError::Storage(_) | BarrierError::Sealed)) => return Err(error),
                // It stays where it is, and keeps nobody from the others.
                Err(error) => tracing::error!(error = %error, "a key of version 1 cannot be read and is left behind"),
            }
        }
        txn.commit().await?;
        Ok(last)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("is_open", &*self.is_open.borrow()).finish_non_exhaustive()
    }
}

const UPGRADING: &str = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and \
                         will resume service shortly.";

/// How long a request waits: small mounts are done by then.
const PATIENCE: Duration = Duration::from_millis(20);

/// Keys that are looked at together.
const PAGE: usize = 256;

/// A batch takes no more keys once it holds so much.
const BATCH_BYTES: usize = 1 << 20;
