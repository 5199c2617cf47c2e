//! The thread that writes the log, and the queue to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::line::{Fields, Line};
use super::{LogFormat, LogLevel, LogSettings};
use crate::base::Clock;

/// The end of the queue that lines are put in.
#[derive(Debug)]
pub(super) struct Queue {
    messages: Sender<Message>,
    state: Arc<State>,
}

/// What both ends count.
#[derive(Debug, Default)]
struct State {
    /// Bytes that wait to be written.
    waiting: AtomicUsize,
    /// Lines dropped since the start.
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Reopen,
    Flush(SyncSender<()>),
}

impl Queue {
    /// Takes a line, or drops and counts it.
    pub(super) fn offer(&self, line: String) {
        let cost = line.len() + LINE_OVERHEAD;
        let waiting = self.state.waiting.fetch_add(cost, Ordering::Relaxed);
        if waiting + cost > QUEUE_BYTES || self.messages.send(Message::Line(line)).is_err() {
            self.state.waiting.fetch_sub(cost, Ordering::Relaxed);
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn reopen(&self) {
        // Gone only when the thread is, and then there is no file to open.
        let _ = self.messages.send(Message::Reopen);
    }

    pub(super) fn flush(&self, limit: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        self.messages.send(Message::Flush(done)).is_ok() && wait.recv_timeout(limit).is_ok()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

/// The thread's own things.
pub(super) struct Writer {
    sink: Box<dyn Write + Send>,
    file: Option<LogFile>,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    state: Arc<State>,
    /// Dropped lines that were already told of.
    told: u64,
}

impl Writer {
    pub(super) fn start(settings: &LogSettings, clock: Arc<dyn Clock>, sink: Box<dyn Write + Send>) -> io::Result<Queue> {
        let (messages, receiver) = channel();
        let state = Arc::new(State::default());
        let file = settings.file.clone().map(LogFile::open).transpose()?;
        let writer = Self { sink, file, format: settings.format, clock, state: Arc::clone(&state), told: 0 };
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&receiver))?;
        Ok(Queue { messages, state })
    }

    fn run(mut self, messages: &Receiver<Message>) {
        let mut batch = String::new();
        while let Ok(first) = messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Line(line) => {
                        self.state.waiting.fetch_sub(line.len() + LINE_OVERHEAD, Ordering::Relaxed);
                        batch.push_str(&line);
                    }
                    Message::Reopen => {
                        self.write(&mut batch);
                        self.reopen();
                    }
                    Message::Flush(done) => {
                        self.write(&mut batch);
                        // Whoever asked may have stopped waiting.
                        let _ = done.try_send(());
                    }
                }
                if batch.len() < BATCH_BYTES {
                    next = messages.try_recv().ok();
                }
            }
            self.write(&mut batch);
        }
    }

    /// Writes the batch. A sink that is closed or full is no reason to stop: the file may still work, and the server must.
    fn write(&mut self, batch: &mut String) {
        self.tell_of_dropped(batch);
        if batch.is_empty() {
            return;
        }
        let _ = self.sink.write_all(batch.as_bytes()).and_then(|()| self.sink.flush());
        if let Some(file) = &mut self.file
            && let Err(error) = file.write(batch.as_bytes())
        {
            let _ = writeln!(self.sink, "error writing log file {}: {error}", file.path.display());
        }
        batch.clear();
    }

    fn tell_of_dropped(&mut self, batch: &mut String) {
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            let text = format!("{} log lines were dropped because nobody read them in time", dropped - self.told);
            batch.push_str(&Line::new(self.clock.precise(), LogLevel::Warn, "log", Fields::message(text)).render(self.format));
            self.told = dropped;
        }
    }

    fn reopen(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.reopen()
        {
            let _ = writeln!(self.sink, "error opening log file {}: {error}", file.path.display());
        }
    }
}

/// A log file that only its owner reads.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    /// The last write failed, and that was told.
    failing: bool,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = Self::append_to(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("error opening log file {}: {error}", path.display())))?;
        Ok(Self { path, file, failing: false })
    }

    fn append_to(path: &PathBuf) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = Self::append_to(&self.path)?;
        self.failing = false;
        Ok(())
    }

    /// An error only for the first write that fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.failing = false;
                Ok(())
            }
            Err(_) if self.failing => Ok(()),
            Err(error) => {
                self.failing = true;
                Err(error)
            }
        }
    }
}

/// Bytes that may wait to be written: far more than a burst at start, little against the server's memory.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// What a waiting line costs beside its text, in bytes.
const LINE_OVERHEAD: usize = 64;

/// Lines are joined up to so many bytes for one write, which is what a pipe holds.
const BATCH_BYTES: usize = 64 * 1024;
