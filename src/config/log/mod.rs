//! The server's log: lines on standard error, and in a file when asked for.
//!
//! Nothing that logs ever waits: lines go through a bounded queue to a thread of their own, and are dropped and counted
//! when nobody reads what that thread writes (spec `clients.md` §1). What other crates report is taken from `warn` upwards
//! only: at finer levels some of them show request headers, which hold tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::base::Clock;

mod line;
mod writer;

use line::{Fields, Line};
use writer::{Queue, Writer};

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failures someone must act on.
    Error,
    /// What may become one.
    Warn,
    /// What happened to the server as a whole.
    #[default]
    Info,
    /// What happened to single requests and leases.
    Debug,
    /// Everything.
    Trace,
}

/// The text is no level's name.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("unknown log level: {0}")]
pub struct UnknownLevel(String);

impl LogLevel {
    /// The name of the level, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Error,
            1 => Self::Warn,
            2 => Self::Info,
            3 => Self::Debug,
            _ => Self::Trace,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

impl FromStr for LogLevel {
    type Err = UnknownLevel;

    /// Reads the names Vault reads, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text.trim().to_ascii_lowercase().as_str() {
            "err" | "error" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "" | "info" | "notice" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(UnknownLevel(text.to_owned())),
        }
    }
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-01-02T03:04:05.678Z [INFO]  core: unsealed: key=value`.
    #[default]
    Standard,
    /// One JSON object a line, with `@timestamp`, `@level`, `@module` and `@message`.
    Json,
}

/// The text is no format's name.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("unknown log format: {0}")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "standard" | "text" => Ok(Self::Standard),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// What the log is set up with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// How much is logged.
    pub level: LogLevel,
    /// The form of lines.
    pub format: LogFormat,
    /// A file that gets every line as well.
    pub file: Option<PathBuf>,
}

/// The running log; clones are handles to the same one.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    /// Of parts that have none of their own.
    level: AtomicU8,
    /// What the server was started with.
    initial: LogLevel,
    /// Levels of parts, where somebody set them.
    parts: ArcSwap<BTreeMap<&'static str, LogLevel>>,
    format: LogFormat,
    queue: Queue,
    /// Who follows the log. Guards a short list; taken by the rare follower that comes or goes, and by lines while there is
    /// one; held to offer one line to each.
    tails: Mutex<Vec<Tap>>,
    /// How many follow: lines take the lock above only when it is not zero.
    followed: AtomicUsize,
    next_tail: AtomicU64,
    clock: Arc<dyn Clock>,
}

struct Tap {
    number: u64,
    level: LogLevel,
    format: LogFormat,
    lines: mpsc::Sender<Bytes>,
}

impl Log {
    /// Opens the log file, if any, and starts the thread that writes to `sink` and to it.
    pub fn start(settings: &LogSettings, clock: Arc<dyn Clock>, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Writer::start(settings, Arc::clone(&clock), Box::new(sink))?;
        Ok(Self(Arc::new(Inner {
            level: AtomicU8::new(settings.level as u8),
            initial: settings.level,
            parts: ArcSwap::default(),
            format: settings.format,
            queue,
            tails: Mutex::default(),
            followed: AtomicUsize::new(0),
            next_tail: AtomicU64::new(0),
            clock,
        })))
    }

    /// Makes this the log of the whole process; `false` when there was one already.
    pub fn install(&self) -> bool {
        tracing::subscriber::set_global_default(self.subscriber()).is_ok()
    }

    /// What events are sent to.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + 'static {
        Registry::default().with(self.clone())
    }

    /// How much is logged now.
    pub fn level(&self) -> LogLevel {
        LogLevel::from_number(self.0.level.load(Ordering::Relaxed))
    }

    /// Logs so much from now on (SIGHUP, `sys/loggers`).
    pub fn set_level(&self, level: LogLevel) {
        self.0.level.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    /// How much each part of the server logs, by its name.
    pub fn levels(&self) -> Vec<(&'static str, LogLevel)> {
        PARTS.iter().map(|part| (*part, self.0.level_of(part))).collect()
    }

    /// Logs so much of everything from now on; `None`: what the server was started with.
    pub fn set_all(&self, level: Option<LogLevel>) {
        self.0.parts.store(Arc::default());
        self.set_level(level.unwrap_or(self.0.initial));
    }

    /// Logs so much of a part from now on; `None`: what the server was started with. `false` when there is no such part.
    pub fn set_one(&self, part: &str, level: Option<LogLevel>) -> bool {
        let Some(&part) = PARTS.iter().find(|known| **known == part) else { return false };
        let level = level.unwrap_or(self.0.initial);
        self.0.parts.rcu(|parts| {
            let mut next = BTreeMap::clone(parts);
            next.insert(part, level);
            next
        });
        tracing::callsite::rebuild_interest_cache();
        true
    }

    /// Closes and opens the log file again, after a tool has moved it away.
    pub fn reopen(&self) {
        self.0.queue.reopen();
    }

    /// Waits until all lines so far are written, but not longer than `limit`: somebody may not be reading. Whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        self.0.queue.flush(limit)
    }

    /// How many lines were dropped because nobody read.
    pub fn dropped(&self) -> u64 {
        self.0.queue.dropped()
    }

    /// Follows the log at a level of its own (`sys/monitor`); ends when it is dropped.
    pub fn tail(&self, level: LogLevel, format: LogFormat) -> LogTail {
        let (lines, receiver) = mpsc::channel(TAIL_LINES);
        let number = self.0.next_tail.fetch_add(1, Ordering::Relaxed);
        self.0.tails().push(Tap { number, level, format, lines });
        self.0.followed.fetch_add(1, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        LogTail { log: self.clone(), number, lines: receiver }
    }

    /// The finest level anybody wants of something.
    fn finest(&self) -> LogLevel {
        let of_parts = self.0.parts.load().values().copied().fold(self.level(), Ord::max);
        self.0.followed_at(of_parts)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = LogLevel::of(*metadata.level());
        let wanted = self.0.followed_at(self.0.level_of(&line::part_of(metadata.target())));
        level <= if is_ours(metadata) { wanted } else { wanted.min(LogLevel::Warn) }
    }
}

impl Inner {
    fn tails(&self) -> MutexGuard<'_, Vec<Tap>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `level`, or the finest that somebody follows at.
    fn followed_at(&self, level: LogLevel) -> LogLevel {
        self.tails().iter().map(|tap| tap.level).fold(level, Ord::max)
    }

    /// How much is logged of a part: its own level, else that of the part it belongs to, else that of everything.
    fn level_of(&self, part: &str) -> LogLevel {
        let covers = |name: &str| part.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let parts = self.parts.load();
        let nearest = parts.iter().filter(|(name, _)| covers(name)).max_by_key(|(name, _)| name.len());
        nearest.map_or_else(|| LogLevel::from_number(self.level.load(Ordering::Relaxed)), |(_, level)| *level)
    }

    fn write(&self, line: &Line) {
        if line.level <= self.level_of(&line.module) {
            self.queue.offer(line.render(self.format));
        }
        if self.followed.load(Ordering::Relaxed) > 0 {
            for tap in self.tails().iter().filter(|tap| line.level <= tap.level) {
                // A follower that does not keep up misses lines.
                let _ = tap.lines.try_send(line.render(tap.format).into());
            }
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level()).field("format", &self.0.format).finish_non_exhaustive()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.finest().filter())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(of_span) = span.extensions().get::<Fields>() {
                    fields.inherit(of_span);
                }
            }
        }
        let metadata = event.metadata();
        self.0.write(&Line::new(self.0.clock.precise(), LogLevel::of(*metadata.level()), metadata.target(), fields));
    }
}

/// A follower's end of the log.
#[derive(Debug)]
pub struct LogTail {
    log: Log,
    number: u64,
    lines: mpsc::Receiver<Bytes>,
}

impl LogTail {
    /// The next line, with its newline.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.lines.recv().await
    }
}

impl Drop for LogTail {
    fn drop(&mut self) {
        self.log.0.tails().retain(|tap| tap.number != self.number);
        self.log.0.followed.fetch_sub(1, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Parts of the server whose level can be set: its folders, and what is mounted.
const PARTS: &[&str] = &[
    "audit",
    "auth",
    "auth.approle",
    "auth.aws",
    "auth.token",
    "auth.userpass",
    "aws",
    "barrier",
    "config",
    "core",
    "core.mounts",
    "core.sys",
    "engine",
    "engine.aws",
    "engine.kv",
    "http",
    "identity",
    "lease",
    "mount",
    "policy",
    "seal",
    "server",
    "storage",
    "token",
];

/// The target of our own events starts so.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// Lines that wait for a follower: some seconds of a busy server's debug log.
const TAIL_LINES: usize = 512;

#[cfg(test)]
mod tests;
