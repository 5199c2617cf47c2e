//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;

use super::app::{ConnectInfo, HttpService};
use super::pulse::{Overdue, Pulse, ReplyBody, Watched};
use super::stream::WireStream;
use crate::base::{Clock, Shutdown, Tasks, time};
use crate::config::Timeouts;

/// What all connections of a server have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) shutdown: Shutdown,
}

/// Speaks HTTP/1.1 or HTTP/2 on `stream` until the peer or a limit ends it. On shutdown, requests that run are answered
/// first, within [`DRAIN`].
pub(super) async fn serve<S: HttpService>(stream: WireStream, app: S, info: Arc<ConnectInfo>, limits: Timeouts, shared: Shared) {
    let pulse = Pulse::new(Arc::clone(&shared.clock));
    let http = http(&shared.tasks);
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&pulse)));
    let marks = Arc::clone(&pulse);
    let service = service_fn(move |request| answer(app.clone(), request, Arc::clone(&info), Arc::clone(&marks)));
    let connection = http.serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    // Within a set of its own, so that the work of a request does not poll it: the shutdown signal takes a lock that all
    // connections share.
    let mut alarms = FuturesUnordered::new();
    alarms.push(async {
        tokio::select! {
            overdue = pulse.watch(limits) => Some(overdue),
            () = shared.shutdown.cancelled() => None,
        }
    });
    let why = tokio::select! {
        biased;
        // The peer left, or an error that is the peer's.
        _ = connection.as_mut() => return,
        why = alarms.next() => why.flatten(),
    };
    let patience = match why {
        Some(Overdue::Slow) => return,
        Some(Overdue::Idle) => GOODBYE,
        None => DRAIN,
    };
    connection.as_mut().graceful_shutdown();
    let _ = time::timeout(&*shared.clock, patience, connection).await;
}

fn http(tasks: &Tasks) -> Builder<OnTasks> {
    let mut builder = Builder::new(OnTasks(tasks.clone()));
    // No `max_headers`: hyper's own bound, 100, keeps the list of a request's headers off the heap.
    // Half closed: who has sent all gets the answer, as from Go's server. To look for the peer's end during each request would take
    // hyper another buffer of 8 KiB each time; where a reply goes on by itself, `pulse` does.
    builder.http1().max_buf_size(HEAD_BYTES).header_read_timeout(None).half_close(true);
    builder.http2().max_header_list_size(HEAD_BYTES_HTTP2).max_concurrent_streams(STREAMS);
    builder
}

/// Runs what HTTP/2 needs beside the connection's own task.
#[derive(Clone, Debug)]
struct OnTasks(Tasks);

impl<F> Executor<F> for OnTasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn(work);
    }
}

/// Hands a request to the application; the reply gets the listener's headers.
async fn answer<S: HttpService>(
    app: S,
    request: Request<Incoming>,
    info: Arc<ConnectInfo>,
    pulse: Arc<Pulse>,
) -> Result<Response<ReplyBody>, Infallible> {
    let flight = pulse.begin(request.version() == Version::HTTP_2);
    let mut reply = app.respond(request.map(|body| pulse.body(body)), Arc::clone(&info)).await;
    // Whoever else is ready is served first, so that replies leave together, as with those that waited for the same commit: to wake
    // the other end for each by itself costs more than a small request.
    tokio::task::yield_now().await;
    info.limits.response_headers.apply(reply.status(), reply.headers_mut());
    Ok(reply.map(|body| ReplyBody::new(body, flight)))
}

/// Bytes of a request's head, paths and tokens included; a longer one is 431. Paths are bounded at 16 KiB.
const HEAD_BYTES: usize = 64 * 1024;

/// [`HEAD_BYTES`] as HTTP/2 counts them.
const HEAD_BYTES_HTTP2: u32 = 64 * 1024;

/// Requests at the same time on one HTTP/2 connection, what Go's server allows.
const STREAMS: u32 = 250;

/// How long requests may run on after shutdown has begun. Supervisors kill after 10 to 30 seconds; sealing comes after.
pub(super) const DRAIN: Duration = Duration::from_secs(8);

/// How long an idle peer has to take note of the end.
const GOODBYE: Duration = Duration::from_secs(1);
