//! Who does in time what nobody asks for: rotations of static roles, and what is open of any rotation
//! (`aws-secrets-engine.md` §15.5, §21.7).
//!
//! What is due lies in storage, in order of time (`static_state`); in memory is only what is being done. One task a mount,
//! which does several things at a time, so that one that hangs holds up no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use crate::base::{Clock, Shutdown, Timestamp};
use crate::mount::ApiError;
use crate::storage::Page;

use super::AwsSecrets;
use super::rotate::Trouble;
use super::static_state::{DUE, Item, read_due};

/// The schedule's task, from outside.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    is_running: AtomicBool,
    wake: Arc<Notify>,
    /// Of the rotation of `config/root`.
    pub(super) trouble: Trouble,
}

/// What came of something that was due: of `config/root`, when it is to be looked after next.
type Served = (Item, Result<Option<Timestamp>, ApiError>);

/// What is due, and when.
type Due = (Timestamp, Item);

impl AwsSecrets {
    /// Starts the task if it does not run, else lets it look what is due.
    pub(super) fn wake_schedule(self: &Arc<Self>) {
        self.schedule.wake.notify_one();
        if self.schedule.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        let run = Run {
            plugin: Arc::downgrade(self),
            clock: Arc::clone(&self.deps.clock),
            wake: Arc::clone(&self.schedule.wake),
            held: HashMap::new(),
            root: Some(Timestamp::default()),
            is_woken: false,
        };
        self.deps.tasks.spawn(run.run(self.deps.shutdown.clone()));
    }

    async fn serve(self: Arc<Self>, (at, item): Due) -> Served {
        let result = match &item {
            Item::Root => self.tend_root().await,
            Item::Role(name) => self.serve_role(name, at).await.map(|()| None),
            Item::Gone(user) => self.serve_gone(user, at).await.map(|()| None),
        };
        (item, result)
    }

    /// What is first in the schedule.
    async fn first_due(&self) -> Result<Vec<Due>, ApiError> {
        let keys = self.view.scan_keys(DUE, Page::first(2 * MOST)).await?;
        let mut due = Vec::with_capacity(keys.len());
        for key in keys {
            match read_due(&key) {
                Some(place) => due.push(place),
                // Nobody's.
                None => self.view.delete(&key).await?,
            }
        }
        Ok(due)
    }
}

impl Drop for AwsSecrets {
    fn drop(&mut self) {
        // Its task ends.
        self.schedule.wake.notify_one();
    }
}

/// The task.
struct Run {
    plugin: Weak<AwsSecrets>,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
    /// What is being done (no time), or left alone until then, on `Clock::elapsed`.
    held: HashMap<Item, Option<Duration>>,
    /// When `config/root` is looked after; none: nothing is open.
    root: Option<Timestamp>,
    /// Something may have been opened since it was begun to be looked after.
    is_woken: bool,
}

impl Run {
    async fn run(mut self, shutdown: Shutdown) {
        let mut doing: FuturesUnordered<BoxFuture<'static, Served>> = FuturesUnordered::new();
        let (clock, wake) = (Arc::clone(&self.clock), Arc::clone(&self.wake));
        loop {
            let looked = tokio::select! {
                () = shutdown.cancelled() => return,
                looked = self.look(doing.len()) => looked,
            };
            let Some((begun, pause)) = looked else { return };
            doing.extend(begun);
            tokio::select! {
                // What is cut here is gone on with by the next process.
                () = shutdown.cancelled() => return,
                Some(served) = doing.next(), if !doing.is_empty() => self.served(served),
                () = clock.sleep(pause) => {}
                () = wake.notified() => (self.root, self.is_woken) = (Some(Timestamp::default()), true),
            }
        }
    }

    /// What is to begin now, and how long nothing else is; none: the mount is gone.
    async fn look(&mut self, doing: usize) -> Option<(Vec<BoxFuture<'static, Served>>, Duration)> {
        let plugin = self.plugin.upgrade()?;
        let due = match plugin.first_due().await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = %error, "the schedule of rotations cannot be read; it is tried again");
                return Some((Vec::new(), HELD));
            }
        };
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.held.retain(|_, until| until.is_none_or(|until| until > elapsed));
        let (mut begun, mut pause) = (Vec::new(), LONGEST_PAUSE);
        for (at, item) in due.into_iter().chain(self.root.map(|at| (at, Item::Root))) {
            if let Some(until) = self.held.get(&item) {
                pause = pause.min(until.map_or(LONGEST_PAUSE, |until| until.saturating_sub(elapsed)));
            } else if at > now {
                pause = pause.min(at.since(now).to_duration());
            } else if doing + begun.len() < MOST {
                self.held.insert(item.clone(), None);
                self.is_woken &= item != Item::Root;
                let work: BoxFuture<'static, Served> = Box::pin(Arc::clone(&plugin).serve((at, item)));
                begun.push(work);
            }
        }
        Some((begun, pause))
    }

    fn served(&mut self, (item, result): Served) {
        let pause = match result {
            Ok(next) => {
                if item == Item::Root {
                    self.root = if self.is_woken { Some(Timestamp::default()) } else { next };
                }
                AGAIN
            }
            Err(error) => {
                tracing::warn!(error = ?error, "what is due of a rotation cannot be done; it is tried again");
                HELD
            }
        };
        self.held.insert(item, Some(self.clock.elapsed() + pause));
    }
}

/// Done at the same time; each may wait for AWS.
const MOST: usize = 8;

/// How long something is left alone that storage does not allow.
const HELD: Duration = Duration::from_secs(10);

/// Nothing is done twice within it.
const AGAIN: Duration = Duration::from_secs(1);

/// It is looked at least so often, since clocks are set.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
