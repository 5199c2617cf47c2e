//! Written before and after: what every request asked for and got, on devices of which at least one must have taken it
//! (spec `seal-and-barrier.md` §6, architecture §10).
//!
//! The [`Broker`] renders a [`Record`] for each device with the device's own salt, hands it to all of them, and returns when
//! the first has taken it. A device that fails or hangs is queued for within a bound, then passed by, and catches up when it
//! is back.

mod entry;
mod jsonx;
mod options;
mod queue;
mod record;
mod sink;
mod socket;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join};

use crate::base::time::timeout;
use crate::base::{Clock, RequestId, Secret, random};

pub use entry::{Common, Format, LineOptions, Renderer};
pub use options::DeviceConfig;
pub use record::{AuthFacts, HeaderFacts, MountFacts, PolicyResults, Record, Reply, RequestFacts, ResponseFacts, WrapFacts};

use entry::Rendered;
use options::{Options, Target};
use queue::Queued;
use sink::{FileSink, Sink, StdoutSink};
use socket::{DatagramSink, StreamSink};

/// Takes lines.
#[async_trait]
pub trait AuditDevice: fmt::Debug + Send + Sync {
    /// The type of the audit table.
    fn kind(&self) -> &'static str;

    /// Returns when the line, which ends in a newline, is with the operating system or the peer. A dropped future either left
    /// the line in the device's queue, or counts as missed.
    ///
    /// # Errors
    /// When it was not taken. It may still be written later.
    async fn append(&self, line: Bytes) -> Result<(), AuditError>;

    /// Lets go of the medium and opens it anew, as after a rotation of log files.
    async fn reopen(&self) -> Result<(), AuditError>;

    /// Returns when all lines so far are out.
    async fn flush(&self) -> Result<(), AuditError>;

    /// How it fares.
    fn health(&self) -> Health;
}

/// How a device fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// It failed or had no room when it was last used.
    pub is_down: bool,
    /// Lines that are queued.
    pub waiting: usize,
    /// Lines that passed it by since it last had room.
    pub missed: u64,
}

/// Why a line was not taken or a device is refused. The texts are the API's, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The type is not one of ours.
    #[error("unknown backend type: \"{0}\"")]
    UnknownType(String),
    /// At, above or below a device there is.
    #[error("path already in use")]
    PathInUse,
    /// A file device without a file.
    #[error("file_path is required")]
    FilePath,
    /// An option that cannot be.
    #[error("option {option}: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no thread to be had for it.
    #[error("audit device {0} cannot start: {1}")]
    Start(String, String),
    /// More than a log can take.
    #[error("the audit line is too long")]
    TooLong,
    /// The first line of a new device was not taken.
    #[error("audit backend failed test message: {0}")]
    Test(String),
    /// No such device.
    #[error("unknown audit backend \"{0}\"")]
    UnknownDevice(String),
    /// The medium failed, or has failed and its queue is full.
    #[error("audit device unavailable: {0}")]
    Unavailable(String),
    /// None of several devices took it.
    #[error("no audit device took the line")]
    NoneTook,
    /// The device is being disabled.
    #[error("audit device is closed")]
    Closed,
}

/// All devices. Requests read a snapshot; whoever changes the table keeps two changes from running at once.
#[derive(Debug)]
pub struct Broker {
    devices: ArcSwap<Vec<Arc<Device>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Device {
    config: DeviceConfig,
    renderer: Renderer,
    sink: Arc<dyn AuditDevice>,
}

impl Broker {
    /// Without devices.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { devices: ArcSwap::default(), clock }
    }

    /// Whether any device is enabled; without one nothing needs to be recorded.
    pub fn is_enabled(&self) -> bool {
        !self.devices.load().is_empty()
    }

    /// Writes the line of a record. Returns when one device has taken it, at once when there is none.
    ///
    /// # Errors
    /// When no device took it: then nothing may run, or be answered. Each device logs its own reason.
    pub async fn write(&self, record: &Record<'_>) -> Result<(), AuditError> {
        self.start(record)?.await
    }

    /// Makes the line of a record, for all devices.
    ///
    /// # Errors
    /// [`AuditError::TooLong`].
    pub fn start(&self, record: &Record<'_>) -> Result<Writing, AuditError> {
        self.start_after(record, None)
    }

    /// The same for the second line of a request, which has parts in common with the first.
    ///
    /// # Errors
    /// [`AuditError::TooLong`].
    pub fn start_after(&self, record: &Record<'_>, first: Option<(&Said, Common)>) -> Result<Writing, AuditError> {
        let devices = self.devices.load();
        let (mut appending, mut said) = (Vec::with_capacity(devices.len()), Vec::with_capacity(devices.len()));
        for device in devices.iter() {
            let before = first.and_then(|(said, common)| Some((said.on(device)?, common)));
            let rendered = device.renderer.render(record, before)?;
            appending.push(device.append(rendered.line.clone()));
            said.push((Arc::clone(device), rendered));
        }
        let outcome = appending.is_empty().then_some(Ok(()));
        Ok(Writing { outcome, is_alone: appending.len() == 1, appending, said: Said(said) })
    }

    /// Opens a device, writes a test line to it, and adds it.
    ///
    /// # Errors
    /// For the caller: path, type and options; also when the medium does not take the line.
    pub async fn enable(&self, config: DeviceConfig, salt: &Secret<String>) -> Result<(), AuditError> {
        if self.is_taken(&config.path) {
            return Err(AuditError::PathInUse);
        }
        let options = config.parse()?;
        let skip_test = options.skip_test;
        let device = Device::new(config, options, salt)?;
        device.sink.reopen().await?;
        if !skip_test {
            self.test(&device).await?;
        }
        self.add(device);
        Ok(())
    }

    /// Adds a device of the stored table. One whose medium does not open is added as well: it is tried again at each line.
    ///
    /// # Errors
    /// When the stored options make no device.
    pub async fn restore(&self, config: DeviceConfig, salt: &Secret<String>) -> Result<(), AuditError> {
        let options = config.parse()?;
        let device = Device::new(config, options, salt)?;
        let opened = timeout(self.clock.as_ref(), PATIENCE, device.sink.reopen()).await;
        if let Err(error) = opened.unwrap_or_else(|| Err(AuditError::Unavailable("it does not answer".to_owned()))) {
            let path = &device.config.path;
            tracing::error!(audit.device = %path, "audit device `{path}` does not open: {error}");
        }
        self.add(device);
        Ok(())
    }

    /// Removes a device; lines that are queued are still written. Whether there was one.
    pub fn disable(&self, path: &str) -> bool {
        let devices = self.devices.load_full();
        let left: Vec<_> = devices.iter().filter(|device| device.config.path != path).cloned().collect();
        let found = left.len() < devices.len();
        self.devices.store(Arc::new(left));
        found
    }

    /// Lets go of all files and opens them anew, as after a rotation; what fails is logged.
    pub async fn reopen(&self) {
        for device in self.devices.load_full().iter() {
            let path = &device.config.path;
            match timeout(self.clock.as_ref(), PATIENCE, device.sink.reopen()).await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::error!(audit.device = %path, "audit device `{path}` does not reopen: {error}"),
                None => tracing::error!(audit.device = %path, "audit device `{path}` hangs and will reopen later"),
            }
        }
    }

    /// Removes all devices and waits until their lines are out, for a short while each.
    pub async fn close(&self) {
        for device in self.devices.swap(Arc::default()).iter() {
            let path = &device.config.path;
            if !matches!(timeout(self.clock.as_ref(), PATIENCE, device.sink.flush()).await, Some(Ok(()))) {
                tracing::error!(audit.device = %path, "audit device `{path}` did not take its last lines in time");
            }
        }
    }

    /// What `input` looks like in the lines of the device at `path`.
    pub fn hash(&self, path: &str, input: &str) -> Result<String, AuditError> {
        let devices = self.devices.load();
        let device = devices.iter().find(|device| device.config.path == path);
        device.map(|device| device.renderer.hash(input)).ok_or_else(|| AuditError::UnknownDevice(path.to_owned()))
    }

    /// The devices in order of their paths.
    pub fn list(&self) -> Vec<(DeviceConfig, Health)> {
        let mut list: Vec<_> = self.devices.load().iter().map(|device| (device.config.clone(), device.sink.health())).collect();
        list.sort_by(|one, other| one.0.path.cmp(&other.0.path));
        list
    }

    /// Whether a path equals, contains or lies below that of a device.
    pub fn is_taken(&self, path: &str) -> bool {
        let devices = self.devices.load();
        devices.iter().any(|device| device.config.path.starts_with(path) || path.starts_with(&device.config.path))
    }

    fn add(&self, device: Device) {
        let mut devices = self.devices.load_full().to_vec();
        devices.push(Arc::new(device));
        self.devices.store(Arc::new(devices));
    }

    /// The first line of a new device says nothing but that.
    async fn test(&self, device: &Device) -> Result<(), AuditError> {
        let id = RequestId::fresh();
        let request = RequestFacts { id: id.as_str(), operation: "update", path: "sys/audit/test", ..RequestFacts::default() };
        let auth = AuthFacts::ANONYMOUS;
        let record = Record { time: self.clock.precise(), auth: &auth, request: &request, response: None, error: "" };
        device.append(device.renderer.line(&record)?).await.map_err(|error| AuditError::Test(error.to_string()))
    }
}

impl Device {
    fn new(config: DeviceConfig, options: Options, salt: &Secret<String>) -> Result<Self, AuditError> {
        let renderer = Renderer::new(salt, options.line);
        let sink = open(&config.path, options.target)?;
        Ok(Self { config, renderer, sink })
    }

    fn append(&self, line: Bytes) -> Appending {
        let sink = Arc::clone(&self.sink);
        Box::pin(async move { sink.append(line).await })
    }
}

type Appending = BoxFuture<'static, Result<(), AuditError>>;

/// A line on its way; as a future, what becomes of it: `Ok` when the first device has taken it. Whoever makes a request wait for
/// each of its lines awaits them; those of a request that changes nothing cost one turn of the devices' threads together:
///
/// ```text
/// first.hand_over();  …  second.hand_over();  both(first, second).await
/// ```
///
/// Dropped, a line that was handed over is written all the same.
pub struct Writing {
    /// One for each device that has not answered.
    appending: Vec<Appending>,
    /// Of a single device the reason is told.
    is_alone: bool,
    outcome: Option<Result<(), AuditError>>,
    said: Said,
}

/// A line as each device has it.
#[derive(Debug, Default)]
pub struct Said(Vec<(Arc<Device>, Rendered)>);

impl Said {
    fn on(&self, device: &Arc<Device>) -> Option<&Rendered> {
        self.0.iter().find(|(on, _)| Arc::ptr_eq(on, device)).map(|(_, rendered)| rendered)
    }
}

impl Writing {
    /// What the line says, for [`Broker::start_after`].
    pub fn take_said(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }

    /// Puts the line into the devices' queues, and waits for nothing.
    pub fn hand_over(&mut self) {
        self.go_on(&mut Context::from_waker(Waker::noop()));
    }

    /// Has what was handed over written while something else is waited for.
    pub fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.outcome.is_some() {
            return;
        }
        let (mut is_taken, mut refusal) = (false, AuditError::NoneTook);
        self.appending.retain_mut(|device| match device.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => {
                is_taken = true;
                false
            }
            Poll::Ready(Err(error)) => {
                if self.is_alone {
                    refusal = error;
                }
                false
            }
        });
        if is_taken {
            self.outcome = Some(Ok(()));
        } else if self.appending.is_empty() {
            self.outcome = Some(Err(refusal));
        }
    }
}

impl Future for Writing {
    type Output = Result<(), AuditError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.go_on(cx);
        self.outcome.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Returns when both lines, which were handed over, are taken.
///
/// # Errors
/// Of either.
pub async fn both(first: Writing, second: Writing) -> Result<(), AuditError> {
    let (first, second) = join(first, second).await;
    first.and(second)
}

/// A fresh salt for a device: random, one for each (spec `seal-and-barrier.md` §6).
pub fn fresh_salt() -> Secret<String> {
    Secret::new(random::uuid())
}

fn open(name: &str, target: Target) -> Result<Arc<dyn AuditDevice>, AuditError> {
    let (kind, sink): (_, Box<dyn Sink>) = match target {
        Target::Discard => return Ok(Arc::new(Discard)),
        Target::Stdout => ("file", Box::new(StdoutSink::default())),
        Target::File { path, mode } => ("file", Box::new(FileSink::new(path, mode))),
        Target::Tcp { address, timeout_millis } => {
            ("socket", Box::new(StreamSink::tcp(address, Duration::from_millis(timeout_millis))))
        }
        Target::Unix { path, timeout_millis } => {
            ("socket", Box::new(StreamSink::unix(path, Duration::from_millis(timeout_millis))))
        }
        Target::Udp { address, timeout_millis } => {
            ("socket", Box::new(DatagramSink::udp(address, Duration::from_millis(timeout_millis))))
        }
        Target::Syslog { facility, tag } => ("syslog", Box::new(DatagramSink::syslog(facility, &tag))),
    };
    Ok(Arc::new(Queued::start(name, kind, sink)?))
}

/// A file device that keeps nothing: for measuring, and for those who must have a device.
#[derive(Debug)]
struct Discard;

#[async_trait]
impl AuditDevice for Discard {
    fn kind(&self) -> &'static str {
        "file"
    }
    async fn append(&self, _: Bytes) -> Result<(), AuditError> {
        Ok(())
    }
    async fn reopen(&self) -> Result<(), AuditError> {
        Ok(())
    }
    async fn flush(&self) -> Result<(), AuditError> {
        Ok(())
    }
    fn health(&self) -> Health {
        Health::default()
    }
}

/// How long sealing, unsealing or a reopening waits for one device.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
