//! Listeners: sockets that are bound once at start, and the loops that accept on them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::app::{ConnectInfo, HttpService, Peer};
use super::connection::{self, Shared};
use super::stream::{Socket, WireStream};
use super::tls::{Certificates, TlsError};
use super::unix_socket::{self, UnixSocketError};
use crate::base::{Clock, Shutdown, Tasks, time};
use crate::config::{ListenAddress, ListenerConfig, ListenerLimits, Timeouts};

/// Why a listener cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be listened on. Words as the command line's transcripts have them (spec `cli.md` §5).
    #[error("Error initializing listener of type {kind}: listen {kind} {address}: {problem}")]
    Bind {
        /// `tcp` or `unix`.
        kind: &'static str,
        /// The address as configured.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its certificate cannot be used.
    #[error("Error initializing listener of type tcp: {0}")]
    Tls(#[from] TlsError),
    /// Its socket file cannot be set up.
    #[error("Error initializing listener of type unix: {0}")]
    Unix(#[from] UnixSocketError),
}

/// The listeners of a server, bound but not yet accepting.
#[derive(Debug)]
pub struct Listeners {
    all: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    socket: Bound,
    certificates: Option<Arc<Certificates>>,
    timeouts: Timeouts,
    limits: Arc<ListenerLimits>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listeners {
    /// Binds every listener; none is left bound when one fails.
    pub async fn bind(configs: &[ListenerConfig]) -> Result<Self, ListenError> {
        let mut all = Vec::with_capacity(configs.len());
        for config in configs {
            let certificates = config.tls.clone().map(Certificates::load).transpose()?.map(Arc::new);
            let socket = match &config.address {
                ListenAddress::Tcp(address) => Bound::Tcp(bind_tcp(address).await?),
                ListenAddress::Unix { path, mode, user, group } => {
                    Bound::Unix(unix_socket::bind(path, *mode, user.as_deref(), group.as_deref())?, path.clone())
                }
            };
            all.push(Listener { socket, certificates, timeouts: config.timeouts, limits: Arc::clone(&config.limits) });
        }
        Ok(Self { all })
    }

    /// The addresses of the TCP listeners, in the order of the configuration, with the ports they really have.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |listener: &Listener| match &listener.socket {
            Bound::Tcp(socket) => socket.local_addr().ok(),
            Bound::Unix(..) => None,
        };
        self.all.iter().filter_map(address).collect()
    }

    /// A handle that reads the certificates of all listeners again.
    pub fn reloader(&self) -> CertificateReloader {
        CertificateReloader(self.all.iter().filter_map(|listener| listener.certificates.clone()).collect())
    }

    /// Accepts on every listener and hands requests to `app`, until `shutdown`; returns at once. Loops and connections are
    /// among `tasks`: they have ended, requests answered, when those are drained.
    pub fn serve<S: HttpService>(self, app: &S, clock: &Arc<dyn Clock>, tasks: &Tasks, shutdown: &Shutdown) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        for listener in self.all {
            let shared = Shared { clock: Arc::clone(clock), tasks: tasks.clone(), shutdown: shutdown.clone() };
            tasks.spawn(listener.run(app.clone(), Arc::clone(&slots), shared));
        }
    }
}

/// Reads certificates again (SIGHUP).
#[derive(Clone, Debug)]
pub struct CertificateReloader(Vec<Arc<Certificates>>);

impl CertificateReloader {
    /// Takes up the files as they are now; a listener whose files cannot be used keeps what it has.
    pub fn reload(&self) {
        for certificates in &self.0 {
            match certificates.reload() {
                Ok(()) => info!("reloaded a listener's certificate"),
                Err(error) => warn!(%error, "a listener keeps its old certificate"),
            }
        }
    }
}

impl Listener {
    async fn run<S: HttpService>(self, app: S, slots: Arc<Semaphore>, shared: Shared) {
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&slots) => accepted,
                () = shared.shutdown.cancelled() => break,
            };
            match accepted {
                Ok((socket, peer, slot)) => {
                    let info = Arc::new(ConnectInfo { peer, tls: self.certificates.is_some(), limits: Arc::clone(&self.limits) });
                    let handshake = self.handshake(socket, &shared.clock);
                    let (app, timeouts, shared_) = (app.clone(), self.timeouts, shared.clone());
                    shared.tasks.spawn(async move {
                        if let Some(stream) = handshake.await {
                            connection::serve(stream, app, info, timeouts, shared_).await;
                        }
                        drop(slot);
                    });
                }
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections for a moment");
                    shared.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if let Bound::Unix(socket, path) = self.socket {
            drop(socket);
            // Nobody can connect any more; left behind it would only be removed at the next start.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The next connection, once there is a slot for it.
    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(Socket, Peer, OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
        match &self.socket {
            Bound::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Replies go out at once; without this they may wait for an acknowledgement of the one before.
                stream.set_nodelay(true)?;
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                Ok((Socket::Tcp(stream), Peer::Tcp(address), slot))
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), Peer::Unix, slot))
            }
        }
    }

    /// The stream to speak HTTP on; `None` when the peer fails at TLS, or takes too long.
    fn handshake(&self, socket: Socket, clock: &Arc<dyn Clock>) -> impl Future<Output = Option<WireStream>> + Send + 'static {
        let acceptor = self.certificates.as_ref().map(|certificates| TlsAcceptor::from(certificates.current()));
        let (clock, limit) = (Arc::clone(clock), self.timeouts.handshake);
        async move {
            let Some(acceptor) = acceptor else { return Some(WireStream::Plain(socket)) };
            let stream = time::timeout(&*clock, limit, acceptor.accept(socket)).await?.ok()?;
            Some(WireStream::Tls(Box::new(stream)))
        }
    }
}

async fn bind_tcp(text: &str) -> Result<TcpListener, ListenError> {
    let failed = |problem: String| ListenError::Bind { kind: "tcp", address: text.to_owned(), problem };
    let Some((host, _)) = text.rsplit_once(':').filter(|(_, port)| !port.is_empty() && !port.contains(']')) else {
        return Err(failed("the address has no port, such as :8200".to_owned()));
    };
    // Go's way to write "all addresses": of both families where the system has them.
    let full = if host.is_empty() { format!("[::]{text}") } else { text.to_owned() };
    let resolved = tokio::net::lookup_host(full).await;
    let mut problem = "the name has no address".to_owned();
    for address in resolved.map_err(|error| failed(error.to_string()))? {
        match open_tcp(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => problem = describe(&error),
        }
    }
    if host.is_empty() {
        let any = SocketAddr::from(([0, 0, 0, 0], text.trim_start_matches(':').parse().unwrap_or(0)));
        return open_tcp(any).map_err(|error| failed(describe(&error)));
    }
    Err(failed(problem))
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server may listen while connections of the one before linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The words scripts know for the frequent case.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "bind: permission denied".to_owned(),
        io::ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".to_owned(),
        _ => error.to_string(),
    }
}

/// The connection was lost while it waited to be accepted; the next may be taken at once.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    // InvalidInput: no-delay cannot be set any more on a connection that was reset.
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}

/// Connections at the same time over all listeners; further ones wait in the system's queue. Each costs about 10 kB idle,
/// 40 kB with TLS.
const CONNECTIONS: usize = 8192;

/// Connections the system keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// How long to wait when the process or system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
