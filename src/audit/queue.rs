//! A device whose lines are written by a thread of its own: a medium that hangs or fails holds up nobody who has another.
//!
//! Lines wait in a bounded queue. The thread takes all that wait and joins them into one write. Lines it could not write stay
//! in the queue and go first when the medium is back; their senders are told at once that they were not taken. What finds no
//! room passes the device by, and is counted.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::sink::{Sink, Written};
use super::{AuditDevice, AuditError, Health};

/// See the module. Dropped, it writes what is queued and ends its thread.
#[derive(Debug)]
pub(super) struct Queued {
    shared: Arc<Shared>,
    kind: &'static str,
}

#[derive(Debug)]
struct Shared {
    name: String,
    /// Guards the queue; its writer and whoever appends wait for it; held to move a few pointers.
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes who waits for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    /// Bytes of lines that are not written, those in the writer's hands included.
    bytes: usize,
    /// Lines likewise.
    lines: usize,
    /// The writer sleeps, and nobody has taken it on to wake it.
    asleep: bool,
    /// The last write failed: lines are refused when the queue is full, not waited with.
    down: bool,
    /// Lines that passed by since the device last had room.
    missed: u64,
    closed: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Bytes, Ack),
    Reopen(Ack),
    Flush(Ack),
}

/// Gone once it was told that its line was not taken.
type Ack = Option<oneshot::Sender<Answer>>;

/// What became of a line, and the answers to lines beside it that are still to be passed on.
#[derive(Debug)]
struct Answer {
    outcome: Result<(), AuditError>,
    /// Passed on when dropped, so also when nobody waits for this answer any more.
    _rest: Rest,
}

/// Answers that whoever holds them passes on. The writer wakes one task instead of all: on a busy core each waking from
/// outside would cost two switches of threads.
#[derive(Debug, Default)]
struct Rest(Vec<(oneshot::Sender<Answer>, Result<(), AuditError>)>);

impl Drop for Rest {
    fn drop(&mut self) {
        for (asker, outcome) in self.0.drain(..) {
            // Who asked may be gone.
            let _ = asker.send(Answer { outcome, _rest: Self::default() });
        }
    }
}

impl Queued {
    /// Starts the thread. The sink opens itself at the first write or reopening.
    pub(super) fn start(name: &str, kind: &'static str, sink: Box<dyn Sink>) -> Result<Self, AuditError> {
        let shared =
            Arc::new(Shared { name: name.to_owned(), state: Mutex::default(), work: Condvar::new(), room: Notify::new() });
        let writer = Writer { shared: Arc::clone(&shared), sink, pending: VecDeque::new() };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| AuditError::Start(name.to_owned(), error.to_string()))?;
        Ok(Self { shared, kind })
    }

    async fn command(&self, entry: impl FnOnce(Ack) -> Entry + Send) -> Result<(), AuditError> {
        let (ack, done) = oneshot::channel();
        self.shared.lock().entries.push(entry(Some(ack)));
        self.shared.work.notify_one();
        outcome(done).await
    }
}

#[async_trait]
impl AuditDevice for Queued {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn append(&self, line: Bytes) -> Result<(), AuditError> {
        let (ack, done) = oneshot::channel();
        let mut passing = Passing { shared: &self.shared, counts: true };
        let mut line = Some((line, ack));
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.shared.push(&mut line)? {
                Pushed::Full => room.await,
                Pushed::Queued => break,
                Pushed::Wake => {
                    passing.counts = false;
                    let _wake = Wake(&self.shared);
                    // Whoever else is about to write does so first: then it is one wake-up and one write for all.
                    tokio::task::yield_now().await;
                    break;
                }
            }
        }
        passing.counts = false;
        outcome(done).await
    }

    async fn reopen(&self) -> Result<(), AuditError> {
        self.command(Entry::Reopen).await
    }

    async fn flush(&self) -> Result<(), AuditError> {
        self.command(Entry::Flush).await
    }

    fn health(&self) -> Health {
        let state = self.shared.lock();
        Health { is_down: state.down || state.missed > 0, waiting: state.lines, missed: state.missed }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

/// What became of a line.
enum Pushed {
    Queued,
    /// Queued; the caller wakes the writer.
    Wake,
    Full,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &mut Option<(Bytes, oneshot::Sender<Answer>)>) -> Result<Pushed, AuditError> {
        let mut state = self.lock();
        if state.closed {
            return Err(AuditError::Closed);
        }
        let len = line.as_ref().map_or(0, |(line, _)| line.len());
        // A line longer than the bound goes alone.
        if state.lines > 0 && (state.lines >= MAX_LINES || state.bytes.saturating_add(len) > MAX_BYTES) {
            return if state.down { Err(AuditError::Unavailable(self.name.clone())) } else { Ok(Pushed::Full) };
        }
        if let Some((line, ack)) = line.take() {
            state.lines += 1;
            state.bytes += len;
            state.entries.push(Entry::Line(line, Some(ack)));
        }
        let missed = std::mem::take(&mut state.missed);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if missed > 0 {
            tracing::warn!(audit.device = %self.name, audit.missed = missed, "audit device `{}` has room again; it misses {missed} lines", self.name);
        }
        Ok(if wake { Pushed::Wake } else { Pushed::Queued })
    }

    fn pass_by(&self) {
        let mut state = self.lock();
        state.missed += 1;
        let first = state.missed == 1 && !state.closed;
        drop(state);
        if first {
            tracing::error!(audit.device = %self.name, "audit device `{}` takes no more lines and is passed by until it does", self.name);
        }
    }
}

/// Counts the line as missed, unless it was queued before this is dropped.
struct Passing<'a> {
    shared: &'a Shared,
    counts: bool,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.shared.pass_by();
        }
    }
}

/// Wakes the writer when dropped: also when the request goes away meanwhile.
struct Wake<'a>(&'a Shared);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.work.notify_one();
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    /// Not yet written, in order.
    pending: VecDeque<(Bytes, Ack)>,
}

impl Writer {
    fn run(mut self) {
        let mut is_closed = false;
        while !is_closed {
            let entries;
            (entries, is_closed) = self.next();
            let mut commands = Vec::new();
            for entry in entries {
                match entry {
                    Entry::Line(line, ack) => self.pending.push_back((line, ack)),
                    Entry::Reopen(ack) => commands.push((ack, true)),
                    Entry::Flush(ack) => commands.push((ack, false)),
                }
            }
            // Lines sent before a reopening may land behind it, never the other way round.
            let reopened = if commands.iter().any(|(_, reopen)| *reopen) { self.sink.reopen() } else { Ok(()) };
            let written = reopened.and_then(|()| self.write());
            let outcome = written.map_err(|error| self.unavailable(&error));
            if let Err(error) = &outcome {
                self.set_aside(error);
            }
            acknowledge(commands.into_iter().map(|(ack, _)| ack), &outcome);
        }
        if !self.pending.is_empty() {
            let (name, lost) = (&self.shared.name, self.pending.len());
            tracing::error!(audit.device = %name, audit.lost = lost, "audit device `{name}` was closed with {lost} lines it could not write");
        }
    }

    /// What is queued, once there is something; whether it is the last.
    fn next(&self) -> (Vec<Entry>, bool) {
        let mut state = self.shared.lock();
        while state.entries.is_empty() && !state.closed {
            state.asleep = true;
            if self.pending.is_empty() {
                state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                // The medium may be back though nobody has anything to write.
                let waited = self.shared.work.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() {
                    break;
                }
            }
        }
        state.asleep = false;
        drop(state);
        // Whoever is about to write does so first: on a busy core, that is all who can run.
        std::thread::yield_now();
        let mut state = self.shared.lock();
        (std::mem::take(&mut state.entries), state.closed)
    }

    /// Writes all that is pending, reopening once.
    fn write(&mut self) -> io::Result<()> {
        let mut may_reopen = true;
        while !self.pending.is_empty() {
            // A medium that failed shows with one line whether it is back.
            let count = if self.shared.lock().down { 1 } else { JOINED };
            let lines: Vec<Bytes> = self.pending.iter().take(count).map(|(line, _)| line.clone()).collect();
            let Written { lines: count, outcome, is_refused } = self.sink.write(&lines);
            self.settle(count, &Ok(()));
            match outcome {
                Ok(()) => self.back(),
                Err(error) if is_refused => {
                    let error = self.unavailable(&error);
                    tracing::error!(audit.device = %self.shared.name, "a line was not taken: {error}");
                    self.settle(1, &Err(error));
                }
                Err(_) if may_reopen => {
                    may_reopen = false;
                    self.sink.reopen()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The first `count` lines leave the queue.
    fn settle(&mut self, count: usize, outcome: &Result<(), AuditError>) {
        let settled: Vec<(Bytes, Ack)> = self.pending.drain(..count.min(self.pending.len())).collect();
        let bytes: usize = settled.iter().map(|(line, _)| line.len()).sum();
        let mut state = self.shared.lock();
        state.lines = state.lines.saturating_sub(settled.len());
        state.bytes = state.bytes.saturating_sub(bytes);
        drop(state);
        self.shared.room.notify_waiters();
        acknowledge(settled.into_iter().map(|(_, ack)| ack), outcome);
    }

    fn back(&self) {
        if std::mem::take(&mut self.shared.lock().down) {
            tracing::warn!(audit.device = %self.shared.name, "audit device `{}` is back", self.shared.name);
        }
    }

    /// Tells who waits that nothing was taken. The lines stay, to be written when the medium is back.
    fn set_aside(&mut self, error: &AuditError) {
        let was_down = std::mem::replace(&mut self.shared.lock().down, true);
        self.shared.room.notify_waiters();
        acknowledge(self.pending.iter_mut().map(|(_, ack)| ack.take()), &Err(error.clone()));
        if !was_down {
            tracing::error!(audit.device = %self.shared.name, "{error}");
        }
    }

    fn unavailable(&self, error: &io::Error) -> AuditError {
        AuditError::Unavailable(format!("{}: {error}", self.shared.name))
    }
}

/// However the thread ends, nobody waits for it any more.
impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.entries.clear();
        drop(state);
        self.shared.room.notify_waiters();
    }
}

async fn outcome(done: oneshot::Receiver<Answer>) -> Result<(), AuditError> {
    done.await.map_or(Err(AuditError::Closed), |answer| answer.outcome)
}

/// Answers all of them alike: the first, and by it the others.
fn acknowledge(acks: impl Iterator<Item = Ack>, outcome: &Result<(), AuditError>) {
    let mut askers = acks.flatten();
    let Some(first) = askers.next() else { return };
    let rest = Rest(askers.map(|asker| (asker, outcome.clone())).collect());
    // Who asked may be gone: then what it should have had is dropped, and so passed on from here.
    let _ = first.send(Answer { outcome: outcome.clone(), _rest: rest });
}

/// Lines a device may be behind. With those of a busy second held, a rotation or a short hang goes unnoticed.
const MAX_LINES: usize = 8192;
/// The same in bytes: small beside the memory of the server, and thousands of lines of usual length.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Lines joined into one write at most.
const JOINED: usize = 512;
/// How often lines that could not be written are tried again when no new ones come.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
