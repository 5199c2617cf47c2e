//! The seams between the listeners and what answers requests.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::{Extensions, Request, Response};
use tower::ServiceExt as _;

use crate::config::ListenerLimits;
use crate::mount::Remote;

/// What the server composes with its listeners: the active core behind its HTTP face.
#[async_trait]
pub trait App: Send + Sync + 'static {
    /// Answers every request of every listener.
    fn router(&self) -> Router;
    /// SIGHUP: reopens audit files and takes up what may change while running.
    async fn reload(&self);
    /// The last requests are answered: seals, and returns when nothing runs any more.
    async fn shutdown(&self);
}

/// What listeners hand requests to. Always ready: a service that is full answers so.
pub trait HttpService: Clone + Send + Sync + 'static {
    /// Answers a request that came by this connection. The future lies within the connection's own, which spares an allocation of
    /// kilobytes a request.
    fn respond(self, request: Request<Body>, info: Arc<ConnectInfo>) -> impl Future<Output = Response<Body>> + Send + 'static;
}

impl HttpService for Router {
    async fn respond(self, mut request: Request<Body>, info: Arc<ConnectInfo>) -> Response<Body> {
        request.extensions_mut().insert(info);
        self.oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

/// The connection a request came by; behind a router an `Arc` of it is among the request's extensions.
#[derive(Clone, Debug)]
pub struct ConnectInfo {
    /// Who is at the other end.
    pub peer: Peer,
    /// Whether it is encrypted.
    pub tls: bool,
    /// What the listener holds its requests to.
    pub limits: Arc<ListenerLimits>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Address and port; IPv4 written as IPv6 is IPv4 again.
    Tcp(SocketAddr),
    /// A process of the same machine.
    Unix,
}

impl ConnectInfo {
    /// What is in the extensions of a request.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }
}

impl Peer {
    /// The peer's address; `None` over a unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }

    /// The peer's port; 0 over a unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) => address.port(),
            Self::Unix => 0,
        }
    }
}

impl From<Peer> for Remote {
    fn from(peer: Peer) -> Self {
        Self { ip: peer.ip(), port: peer.port() }
    }
}
