//! What a connection is doing and since when, so that one timer each finds those that hang.
//!
//! Every byte read, request begun and reply ended leaves a mark here; [`Pulse::watch`] looks at the marks when the
//! shortest limit could have passed. No timer is set, moved or cancelled for a request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::base::Clock;
use crate::config::Timeouts;

/// The marks of one connection.
#[derive(Debug)]
pub(super) struct Pulse {
    clock: Arc<dyn Clock>,
    /// Requests begun and replies not ended.
    in_flight: AtomicU32,
    /// Since when no request is in flight, and whether bytes of the next one came: `millis << 1 | came`.
    quiet: AtomicU64,
    /// When the head of a request was complete whose body is not; 0 when there is none.
    body_since: AtomicU64,
    /// Since when the peer reads nothing of what we write; 0 when it does.
    stalled_since: AtomicU64,
    /// Whether a reply over HTTP/1.1 goes on by itself: then a peer that leaves is looked for, as no write may tell of it for long.
    goes_on: AtomicBool,
    /// Set with the first request over HTTP/2: bytes between requests are no heads then, and bodies are many at a time.
    is_http2: AtomicBool,
    /// Whether there was a request yet.
    has_served: AtomicBool,
}

/// Why a connection is ended from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A request's head or body came too slowly, or the peer does not read.
    Slow,
    /// Nothing was asked for too long.
    Idle,
}

impl Pulse {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let pulse = Self {
            clock,
            in_flight: AtomicU32::new(0),
            quiet: AtomicU64::new(0),
            body_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            goes_on: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            has_served: AtomicBool::new(false),
        };
        // A connection's first request must come as fast as if its first byte had come now.
        pulse.quiet.store(pulse.millis() << 1 | HEAD, Ordering::Relaxed);
        Arc::new(pulse)
    }

    /// A request's head is complete. Ends when the returned mark is dropped.
    pub(super) fn begin(self: &Arc<Self>, is_http2: bool) -> Flight {
        if is_http2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
        self.has_served.store(true, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight(Arc::clone(self))
    }

    /// The body of a request just begun, with marks while it is read.
    pub(super) fn body(self: &Arc<Self>, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        if self.is_http2.load(Ordering::Relaxed) {
            return Body::new(body);
        }
        self.body_since.store(self.millis(), Ordering::Relaxed);
        Body::new(TimedBody { body, pulse: Arc::clone(self) })
    }

    /// Returns when something takes longer than `limits` allow. May find it late by the shortest of them.
    pub(super) async fn watch(&self, limits: Timeouts) -> Overdue {
        loop {
            match self.look(limits) {
                Ok(wait) => self.clock.sleep(wait).await,
                Err(overdue) => return overdue,
            }
        }
    }

    /// How long nothing can be overdue from now, or what is.
    fn look(&self, limits: Timeouts) -> Result<Duration, Overdue> {
        let now = self.millis();
        // What is not running now may begin right after, so no limit's whole length may be slept through.
        let mut wait = limits.read_header.min(limits.read).min(limits.idle);
        let mut hold = |since: u64, limit: Duration, overdue: Overdue| {
            let left = limit.saturating_sub(Duration::from_millis(now.saturating_sub(since)));
            wait = wait.min(left);
            if left.is_zero() { Err(overdue) } else { Ok(()) }
        };
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if stalled != 0 {
            hold(stalled, if limits.write.is_zero() { limits.idle } else { limits.write }, Overdue::Slow)?;
        }
        let body = self.body_since.load(Ordering::Relaxed);
        if body != 0 {
            hold(body, limits.read, Overdue::Slow)?;
        }
        if self.in_flight.load(Ordering::Relaxed) == 0 {
            let quiet = self.quiet.load(Ordering::Relaxed);
            let is_first = !self.has_served.load(Ordering::Relaxed);
            if quiet & HEAD != 0 && (is_first || !self.is_http2.load(Ordering::Relaxed)) {
                hold(quiet >> 1, limits.read_header, Overdue::Slow)?;
            } else {
                hold(quiet >> 1, limits.idle, Overdue::Idle)?;
            }
        }
        Ok(wait.max(SHORTEST_LOOK))
    }

    fn has_read(&self) {
        let quiet = self.quiet.load(Ordering::Relaxed);
        if quiet & HEAD == 0 && self.in_flight.load(Ordering::Relaxed) == 0 && !self.is_http2.load(Ordering::Relaxed) {
            self.quiet.store(self.millis() << 1 | HEAD, Ordering::Relaxed);
        }
    }

    fn has_written(&self, result: &Poll<io::Result<usize>>) {
        let stalled = self.stalled_since.load(Ordering::Relaxed);
        if result.is_ready() {
            if stalled != 0 {
                self.stalled_since.store(0, Ordering::Relaxed);
            }
        } else if stalled == 0 {
            self.stalled_since.store(self.millis(), Ordering::Relaxed);
        }
    }

    /// Never 0, which means "not since any time".
    fn millis(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX >> 1).max(1)
    }
}

/// A request in flight; dropped when its reply has ended or was given up.
#[derive(Debug)]
pub(super) struct Flight(Arc<Pulse>);

impl Drop for Flight {
    fn drop(&mut self) {
        let pulse = &self.0;
        if pulse.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            pulse.goes_on.store(false, Ordering::Relaxed);
            pulse.quiet.store(pulse.millis() << 1, Ordering::Relaxed);
        }
    }
}

/// A request's body that tells when it was read to its end or given up.
#[derive(Debug)]
struct TimedBody {
    body: Incoming,
    pulse: Arc<Pulse>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.pulse.body_since.store(0, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        self.pulse.body_since.store(0, Ordering::Relaxed);
    }
}

/// A reply's body that keeps its request in flight until it has ended.
#[derive(Debug)]
pub(super) struct ReplyBody {
    body: Body,
    _flight: Flight,
}

impl ReplyBody {
    pub(super) fn new(body: Body, flight: Flight) -> Self {
        let pulse = &flight.0;
        if body.size_hint().exact().is_none() && !pulse.is_http2.load(Ordering::Relaxed) {
            pulse.goes_on.store(true, Ordering::Relaxed);
        }
        Self { body, _flight: flight }
    }
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reads and writes leave marks.
#[derive(Debug)]
pub(super) struct Watched<T> {
    stream: T,
    pulse: Arc<Pulse>,
    /// Came while its end was looked for.
    ahead: Option<u8>,
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, ahead: None }
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// [`io::ErrorKind::BrokenPipe`] when the peer has left; else the task is woken once he has.
    fn check_peer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.ahead.is_some() {
            return Ok(());
        }
        let mut byte = [0];
        let mut into = ReadBuf::new(&mut byte);
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut into) {
            read?;
            self.ahead = into.filled().first().copied();
            return self.ahead.map(drop).ok_or_else(|| io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() > 0
            && let Some(byte) = self.ahead.take()
        {
            into.put_slice(&[byte]);
            self.pulse.has_read();
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        if polled.is_ready() {
            self.pulse.has_read();
        }
        polled
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pulse.has_written(&polled);
        polled
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.pulse.has_written(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pulse.goes_on.load(Ordering::Relaxed) {
            self.check_peer(cx)?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// In `quiet`: bytes of a head came.
const HEAD: u64 = 1;

/// Limits of almost nothing must not make the watch spin.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
