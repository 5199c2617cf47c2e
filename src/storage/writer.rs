//! The one thread that writes an embedded store: group commit, publishing, hooks, and coming back after failures.
//!
//! A commit has a fixed price that its group shares (architecture §12), so the writer lets those who are about to
//! commit do so before it starts. After a failure it opens the database anew, and tries again when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, oneshot};
use tracing::{error, info};

use super::sight::Sight;
use super::store::{Store, Verdict};
use super::{Batch, CommitHook, StorageError, Write};
use crate::base::Clock;

/// What the writer and the readers share.
pub(super) struct Shared {
    /// Where the entries are read; what is committed shows there before a committer is answered.
    pub(super) published: ArcSwap<Published>,
    pub(super) hooks: ArcSwap<Vec<CommitHook>>,
    /// Places in the queue.
    pub(super) room: Semaphore,
    /// Whether a reader has asked for a new opening that the writer has not begun.
    pub(super) reopening: AtomicBool,
}

/// Where readers look.
#[derive(Debug)]
pub(super) enum Published {
    Open(Arc<Sight>),
    Closed,
}

/// What the writer is asked.
pub(super) enum Message {
    Commit(Queued),
    /// A read failed: open the database anew.
    Reopen(StorageError),
    Close(oneshot::Sender<()>),
}

/// A batch and who asked for it.
pub(super) struct Queued {
    pub(super) batch: Batch,
    pub(super) asker: oneshot::Sender<Answer>,
}

/// What became of a batch, and the answers of its group that are still to be passed on.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Passed on when dropped, so also when nobody waits for this answer any more.
    _rest: Rest,
}

/// Answers that whoever holds them passes on. The writer wakes one task instead of all: on a busy core each waking
/// from outside would cost two switches of threads.
#[derive(Default)]
struct Rest(Vec<(oneshot::Sender<Answer>, Verdict)>);

impl Drop for Rest {
    fn drop(&mut self) {
        for (asker, verdict) in self.0.drain(..) {
            // Who dropped the future does not hear of it; the batch stands.
            let _ = asker.send(Answer { verdict, _rest: Self::default() });
        }
    }
}

impl Queued {
    fn bytes(&self) -> usize {
        self.batch.writes.iter().map(size).sum()
    }
}

/// The thread's state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    inbox: Receiver<Message>,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Taken from the inbox while a group was gathered, to be done after it.
    next: Option<Message>,
    /// Size of the group before.
    last_group: usize,
    trouble: Option<Trouble>,
}

/// The medium failed and has not yet worked again.
struct Trouble {
    error: StorageError,
    failures: u32,
    /// On the clock's `elapsed`: until then commits are refused without a try.
    retry_at: Duration,
    /// The same for openings that readers ask for.
    reopen_at: Duration,
    /// Whether the database is an opening from before the failure.
    is_stale: bool,
}

impl Writer {
    /// The writer of `store`.
    pub(super) fn new(shared: Arc<Shared>, inbox: Receiver<Message>, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { shared, inbox, store, clock, next: None, last_group: 1, trouble: None }
    }

    /// Until closed, or until nobody can ask any more.
    pub(super) fn run(mut self) {
        while let Some(message) = self.next.take().or_else(|| self.inbox.recv().ok()) {
            match message {
                Message::Commit(first) => {
                    let group = self.gather(first);
                    self.commit(group);
                }
                Message::Reopen(error) => self.reopen_for_reader(error),
                Message::Close(done) => {
                    self.close();
                    let _ = done.send(());
                    return;
                }
            }
        }
        self.close();
    }

    fn close(self) {
        self.shared.published.store(Arc::new(Published::Closed));
        self.shared.room.close();
        self.store.close();
    }

    /// `first` and those that are queued, or about to be: tasks that can run go first, and when the group before was
    /// larger, some tens of microseconds are spent on waiting for as many, while they come.
    fn gather(&mut self, first: Queued) -> Vec<Queued> {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        let target = self.last_group.min(GROUP);
        for wait in 0..=GATHER_WAITS {
            pause(wait);
            let before = group.len();
            while group.len() < GROUP && bytes < GROUP_BYTES {
                match self.inbox.try_recv() {
                    Ok(Message::Commit(queued)) => {
                        bytes += queued.bytes();
                        group.push(queued);
                    }
                    Ok(other) => {
                        self.next = Some(other);
                        break;
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            let none_came = wait > 0 && group.len() == before;
            if group.len() >= target || none_came || bytes >= GROUP_BYTES || self.next.is_some() {
                break;
            }
        }
        self.last_group = group.len();
        self.shared.room.add_permits(group.len());
        group
    }

    fn commit(&mut self, group: Vec<Queued>) {
        if let Err(error) = self.ready() {
            return answer(group, std::iter::repeat_with(|| Err(error.clone())));
        }
        match self.store.judge(group.iter().map(|queued| &queued.batch)) {
            Ok(verdicts) => self.keep(group, verdicts),
            Err(error) => {
                self.store.forget();
                answer(group, std::iter::repeat_with(|| Err(error.clone())));
                self.note_failure(error);
            }
        }
    }

    /// Makes a judged group durable. The order is journal, readers, hooks, answers.
    fn keep(&mut self, group: Vec<Queued>, verdicts: Vec<Verdict>) {
        let good = || group.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(queued, _)| &queued.batch.writes);
        if good().all(Vec::is_empty) {
            return answer(group, verdicts);
        }
        if let Err(error) = self.store.keep(good().flatten()) {
            self.store.forget();
            answer(group, verdicts.into_iter().map(|verdict| verdict.and_then(|()| Err(error.clone()))));
            return self.note_failure(error);
        }
        let hooks = self.shared.hooks.load();
        for writes in good().filter(|writes| !writes.is_empty()) {
            hooks.iter().for_each(|hook| hook(writes));
        }
        answer(group, verdicts);
        if self.store.is_full()
            && let Err(error) = self.absorb()
        {
            self.note_failure(error);
        }
    }

    fn absorb(&mut self) -> Result<(), StorageError> {
        self.store.absorb(true)?;
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        self.shared.published.store(Arc::new(Published::Open(self.store.sight())));
    }

    /// Makes sure that the journal may take a group.
    fn ready(&mut self) -> Result<(), StorageError> {
        match &self.trouble {
            None if self.store.is_journalled() => return Ok(()),
            Some(trouble) if self.clock.elapsed() < trouble.retry_at => return Err(trouble.error.clone()),
            _ => {}
        }
        let is_stale = self.trouble.as_ref().is_some_and(|trouble| trouble.is_stale);
        let reopened = if is_stale { self.reopen() } else { Ok(()) };
        // After a failure the database may or may not have taken in what is in the journal: now it does.
        reopened.and_then(|()| self.absorb()).inspect_err(|error| self.note_failure(error.clone()))?;
        if let Some(trouble) = self.trouble.take() {
            info!(storage.failures = trouble.failures, "storage works again");
        }
        Ok(())
    }

    fn reopen_for_reader(&mut self, error: StorageError) {
        self.shared.reopening.store(false, Ordering::Release);
        if self.trouble.as_ref().is_some_and(|trouble| self.clock.elapsed() < trouble.reopen_at) {
            return;
        }
        self.note_failure(error);
        let reopened = self.reopen().is_ok();
        if let Some(trouble) = self.trouble.as_mut().filter(|_| reopened) {
            // It was a read that failed: commits need not rest.
            trouble.retry_at = Duration::ZERO;
        }
    }

    /// Counts a failure and rests before the next try; the first of a row is logged and retried at once.
    fn note_failure(&mut self, error: StorageError) {
        if self.trouble.is_none() {
            error!(error = %error, "storage failed; requests get errors until it works again");
        }
        let failures = self.trouble.as_ref().map_or(1, |before| before.failures + 1);
        let rest = match failures {
            1 => Duration::ZERO,
            _ => BACK_OFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACK_OFF),
        };
        let at = self.clock.elapsed() + rest;
        self.trouble = Some(Trouble { error, failures, retry_at: at, reopen_at: at, is_stale: true });
    }

    /// Replaces the opening. Readers of the old one are served until the new one is there.
    fn reopen(&mut self) -> Result<(), StorageError> {
        let old = self.store.reopen()?;
        self.publish();
        old.discard();
        if let Some(trouble) = &mut self.trouble {
            trouble.is_stale = false;
        }
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("room", &self.room.available_permits()).finish_non_exhaustive()
    }
}

/// Lets others run: first whoever can, then, for some time, whoever is about to.
fn pause(wait: usize) {
    match wait {
        0 => std::thread::yield_now(),
        _ => std::thread::sleep(GATHER_STEP),
    }
}

fn answer(group: Vec<Queued>, verdicts: impl IntoIterator<Item = Verdict>) {
    let mut answers = group.into_iter().map(|queued| queued.asker).zip(verdicts);
    let Some((first, verdict)) = answers.next() else { return };
    // When the first one does not wait any more, what it should have had is dropped, and so passed on from here.
    let _ = first.send(Answer { verdict, _rest: Rest(answers.collect()) });
}

fn size(write: &Write) -> usize {
    let value = match write {
        Write::Put(_, bytes) => bytes.len(),
        Write::Delete(_) => 0,
    };
    write.key().as_str().len() + value
}

/// Batches in one group: enough that its fixed price no longer shows, few enough that the first waits not for
/// long.
const GROUP: usize = 512;
/// Bytes in one frame, one batch more or less.
const GROUP_BYTES: usize = 16 << 20;
/// A request that is being worked on takes about as long to get here.
const GATHER_STEP: Duration = Duration::from_micros(40);
/// Waits while others still come; with the step, well below one flush of a disk.
const GATHER_WAITS: usize = 4;
/// The rest after the second failure of a row, before it doubles.
const BACK_OFF: Duration = Duration::from_millis(25);
/// Space is made by hand: who waits for it looks again this often.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
