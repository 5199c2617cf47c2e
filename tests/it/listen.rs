//! Listeners over real sockets: TLS and its reload, unix sockets, HTTP/2, limits of time and size, draining.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{any, get};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leasehold::base::time::ManualClock;
use leasehold::base::{Clock, Shutdown, Tasks, Timestamp};
use leasehold::config::{ListenAddress, ListenerConfig, ListenerLimits, ResponseHeaders, TlsFiles};
use leasehold::http::{CertificateReloader, ConnectInfo, Listeners, Peer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Running listeners in front of a small application.
struct Edge {
    address: Option<SocketAddr>,
    clock: Arc<ManualClock>,
    tasks: Tasks,
    shutdown: Shutdown,
    reloader: CertificateReloader,
    /// A request to `/wait` was taken up.
    taken: Arc<Notify>,
    /// Lets a request to `/wait` end.
    release: Arc<Notify>,
    /// The reply to `/flow` was given up.
    left: Arc<Notify>,
}

impl Edge {
    async fn start(config: ListenerConfig) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let (tasks, shutdown) = (Tasks::default(), Shutdown::new());
        let (taken, release, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let listeners = Listeners::bind(&[config]).await.unwrap();
        let address = listeners.addresses().first().copied();
        let reloader = listeners.reloader();
        let as_clock: Arc<dyn Clock> = clock.clone();
        listeners.serve(&app(&taken, &release, &left), &as_clock, &tasks, &shutdown);
        Self { address, clock, tasks, shutdown, reloader, taken, release, left }
    }

    async fn plain() -> Self {
        Self::start(ListenerConfig::plain(anywhere())).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address.unwrap()).await.unwrap()
    }

    async fn connect_tls(&self, authority: &Path, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.unwrap()
    }

    /// Lets `step` pass again and again until the server closes `stream`; what it says before goes into the answer.
    async fn said_until_closed(&self, stream: &mut TcpStream, step: Duration) -> String {
        let mut said = Vec::new();
        for _ in 0..10_000 {
            self.clock.advance(step);
            tokio::task::yield_now().await;
            let mut buffer = [0; 1024];
            match stream.try_read(&mut buffer) {
                Ok(0) => return String::from_utf8(said).unwrap(),
                Ok(count) => said.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return String::from_utf8(said).unwrap(),
            }
        }
        panic!("the connection was never closed");
    }
}

fn app(taken: &Arc<Notify>, release: &Arc<Notify>, left: &Arc<Notify>) -> Router {
    let (taken, release) = (Arc::clone(taken), Arc::clone(release));
    let wait = move || async move {
        taken.notify_one();
        release.notified().await;
        "done"
    };
    let who = async |request: Request| {
        let info = ConnectInfo::of(request.extensions()).unwrap();
        let peer = match info.peer {
            Peer::Tcp(address) => format!("{} {}", address.ip(), address.port() > 0),
            Peer::Unix => "unix".to_owned(),
        };
        format!("{peer} tls={} size={:?}", info.tls, info.limits.max_request_size)
    };
    let echo = async |request: Request| match request.into_body().collect().await {
        Ok(body) => Body::from(body.to_bytes()),
        Err(error) => Body::from(error.to_string()),
    };
    let left = Arc::clone(left);
    let flow = async move || {
        let notice = Notice(Arc::clone(&left));
        let pieces = stream::iter(["first"]).chain(stream::pending()).map(move |piece| {
            let _kept = &notice;
            Ok::<_, Infallible>(piece)
        });
        Body::from_stream(pieces)
    };
    Router::new().route("/who", get(who)).route("/echo", any(echo)).route("/wait", get(wait)).route("/flow", get(flow))
}

/// Tells that it was dropped.
struct Notice(Arc<Notify>);

impl Drop for Notice {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn anywhere() -> ListenAddress {
    ListenAddress::Tcp("127.0.0.1:0".into())
}

/// Sends a request of HTTP/1.1 and reads one reply whose length is given.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_reply(stream).await
}

async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "closed after {text:?}");
        text.push(char::from(byte[0]));
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    text + &String::from_utf8(body).unwrap()
}

const WHO: &str = "GET /who HTTP/1.1\r\nhost: a\r\n\r\n";

/// A self-signed certificate and its key in `folder`.
fn make_certificate(folder: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let files = TlsFiles::new(folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn requests_know_their_connection_and_keep_it() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    for _ in 0..3 {
        let reply = ask(&mut stream, WHO).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.ends_with("\r\n\r\n127.0.0.1 true tls=false size=Some(33554432)"), "{reply}");
        assert!(reply.contains("strict-transport-security: max-age=31536000; includeSubDomains\r\n"), "{reply}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    let first = "PUT /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\none";
    let reply = ask(&mut stream, &format!("{first}{}", first.replace("one", "two"))).await;
    assert!(reply.ends_with("one"), "{reply}");
    assert!(read_reply(&mut stream).await.ends_with("two"));
}

#[tokio::test]
async fn who_has_closed_his_half_is_answered() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    edge.taken.notified().await;
    edge.release.notify_one();
    assert!(read_reply(&mut stream).await.ends_with("done"));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reply_that_goes_on_ends_when_its_reader_leaves() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    let reply = ask(&mut stream, "GET /flow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(reply.contains("transfer-encoding: chunked\r\n"), "{reply}");
    stream.read_exact(&mut [0; "5\r\nfirst\r\n".len()]).await.unwrap();
    drop(stream);
    edge.left.notified().await;
}

#[tokio::test]
async fn a_reload_shows_the_new_certificate_to_new_connections_only() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_certificate(folder.path());
    let edge = Edge::start(ListenerConfig { tls: Some(files.clone()), ..ListenerConfig::plain(anywhere()) }).await;
    let mut old = edge.connect_tls(&files.cert, &[]).await;
    let first = shown(&old);
    assert!(ask(&mut old, WHO).await.ends_with("tls=true size=Some(33554432)"));

    make_certificate(folder.path());
    edge.reloader.reload();
    let second = shown(&edge.connect_tls(&files.cert, &[]).await);
    assert_ne!(first, second);
    assert_eq!(second, CertificateDer::from_pem_file(&files.cert).unwrap().to_vec());
    assert!(ask(&mut old, WHO).await.starts_with("HTTP/1.1 200 OK"));

    std::fs::write(&files.key, "broken").unwrap();
    edge.reloader.reload();
    assert_eq!(shown(&edge.connect_tls(&files.cert, &[]).await), second);
}

#[tokio::test]
async fn http2_is_spoken_over_tls_and_by_prior_knowledge() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_certificate(folder.path());
    let secure = Edge::start(ListenerConfig { tls: Some(files.clone()), ..ListenerConfig::plain(anywhere()) }).await;
    let stream = secure.connect_tls(&files.cert, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(ask_http2(stream).await, "127.0.0.1 true tls=true size=Some(33554432)");
    let plain = Edge::plain().await;
    assert_eq!(ask_http2(plain.connect().await).await, "127.0.0.1 true tls=false size=Some(33554432)");
}

async fn ask_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> String {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    Tasks::default().spawn(connection);
    let request = || http::Request::get("http://a/who").body(Empty::<bytes::Bytes>::new()).unwrap();
    // A request that waits does not hold up another of the same connection.
    let waiting = sender.send_request(http::Request::get("http://a/wait").body(Empty::new()).unwrap());
    let reply = sender.send_request(request()).await.unwrap();
    drop(waiting);
    String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_certificate(folder.path());
    let edge = Edge::start(ListenerConfig { tls: Some(files), ..ListenerConfig::plain(anywhere()) }).await;
    let mut stream = edge.connect().await;
    stream.write_all(&[22, 3, 1]).await.unwrap();
    assert_eq!(edge.said_until_closed(&mut stream, Duration::from_secs(1)).await, "");
}

#[tokio::test]
async fn a_unix_socket_serves_replaces_a_dead_one_and_is_removed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let edge = Edge::start(ListenerConfig::plain(unix(&path, Some(0o640)))).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    assert!(ask(&mut stream, WHO).await.ends_with("unix tls=false size=Some(33554432)"));

    let second = Listeners::bind(&[ListenerConfig::plain(unix(&path, None))]).await.unwrap_err().to_string();
    assert!(second.ends_with("bind: address already in use"), "{second}");
    edge.shutdown.cancel();
    edge.tasks.drained().await;
    assert!(!path.exists());

    std::fs::write(&path, "a file").unwrap();
    let third = Listeners::bind(&[ListenerConfig::plain(unix(&path, None))]).await.unwrap_err().to_string();
    assert!(third.ends_with("there is a file that is not a socket"), "{third}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
}

fn unix(path: &Path, mode: Option<u32>) -> ListenAddress {
    ListenAddress::Unix { path: PathBuf::from(path), mode, user: None, group: None }
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let edge = Edge::plain().await;
    let taken = edge.address.unwrap().to_string();
    for (address, problem) in [
        (taken.as_str(), "bind: address already in use"),
        ("127.0.0.1", "the address has no port, such as :8200"),
        ("[::1]", "the address has no port, such as :8200"),
        ("192.0.2.1:0", "bind: cannot assign requested address"),
    ] {
        let config = ListenerConfig::plain(ListenAddress::Tcp(address.into()));
        let error = Listeners::bind(&[config]).await.unwrap_err().to_string();
        assert_eq!(error, format!("Error initializing listener of type tcp: listen tcp {address}: {problem}"));
    }
}

#[tokio::test]
async fn an_address_without_a_host_is_every_address() {
    let edge = Edge::start(ListenerConfig::plain(ListenAddress::Tcp(":0".into()))).await;
    let port = edge.address.unwrap().port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(ask(&mut stream, WHO).await.ends_with("127.0.0.1 true tls=false size=Some(33554432)"));
}

#[tokio::test]
async fn the_operators_headers_go_on_replies() {
    let mut response_headers = ResponseHeaders::default();
    response_headers.add("404", "X-Lost", "yes").unwrap();
    let limits = Arc::new(ListenerLimits { response_headers, ..ListenerLimits::default() });
    let edge = Edge::start(ListenerConfig { limits, ..ListenerConfig::plain(anywhere()) }).await;
    let mut stream = edge.connect().await;
    let reply = ask(&mut stream, "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 404") && reply.contains("x-lost: yes\r\n"), "{reply}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_431() {
    let edge = Edge::plain().await;
    let many = "x-a: b\r\n".repeat(200);
    let long = format!("x-a: {}\r\n", "b".repeat(80_000));
    for headers in [many, long] {
        let mut stream = edge.connect().await;
        stream.write_all(format!("GET /who HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await.unwrap();
        let reply = read_reply(&mut stream).await;
        assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
    }
}

#[tokio::test]
async fn a_slow_head_is_cut_at_the_first_and_at_a_later_request() {
    let edge = Edge::plain().await;
    let mut silent = edge.connect().await;
    assert_eq!(edge.said_until_closed(&mut silent, Duration::from_secs(1)).await, "");
    let mut first = edge.connect().await;
    first.write_all(b"GET /who HT").await.unwrap();
    assert_eq!(edge.said_until_closed(&mut first, Duration::from_secs(1)).await, "");
    let mut later = edge.connect().await;
    ask(&mut later, WHO).await;
    later.write_all(b"GET /who HT").await.unwrap();
    let before = edge.clock.elapsed();
    assert_eq!(edge.said_until_closed(&mut later, Duration::from_millis(100)).await, "");
    // Far sooner than an idle connection.
    assert!(edge.clock.elapsed().saturating_sub(before) < Duration::from_mins(4));
}

#[tokio::test]
async fn a_slow_body_is_cut() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    stream.write_all(b"PUT /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    let before = edge.clock.elapsed();
    assert_eq!(edge.said_until_closed(&mut stream, Duration::from_millis(100)).await, "");
    let took = edge.clock.elapsed().saturating_sub(before);
    assert!((Duration::from_secs(29)..Duration::from_mins(4)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_lives_five_minutes_and_no_longer() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    for _ in 0..3 {
        ask(&mut stream, WHO).await;
        pass(&edge.clock, Duration::from_secs(290)).await;
    }
    ask(&mut stream, WHO).await;
    assert_eq!(edge.said_until_closed(&mut stream, Duration::from_secs(10)).await, "");
}

/// Lets time pass in steps small enough for every watch to see them.
async fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..100 {
        clock.advance(time / 100);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_request_that_runs_is_not_cut() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    edge.taken.notified().await;
    pass(&edge.clock, Duration::from_hours(1)).await;
    edge.release.notify_one();
    assert!(read_reply(&mut stream).await.ends_with("done"));
    assert!(ask(&mut stream, WHO).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn shutdown_answers_what_runs_and_ends_what_is_idle() {
    let edge = Edge::plain().await;
    let (mut idle, mut busy) = (edge.connect().await, edge.connect().await);
    ask(&mut idle, WHO).await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    edge.taken.notified().await;

    edge.shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    // The listening socket is closed before the requests have ended.
    while TcpStream::connect(edge.address.unwrap()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    edge.release.notify_one();
    let reply = read_reply(&mut busy).await;
    assert!(reply.ends_with("done") && reply.contains("connection: close\r\n"), "{reply}");
    edge.tasks.drained().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let edge = Edge::plain().await;
    let mut stream = edge.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    edge.taken.notified().await;
    edge.shutdown.cancel();
    assert_eq!(edge.said_until_closed(&mut stream, Duration::from_secs(1)).await, "");
    edge.tasks.drained().await;
}
