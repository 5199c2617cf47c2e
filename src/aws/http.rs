//! The HTTP side of the SDK: own connections, so that it is known how far a request came and that none is sent twice.
//!
//! Calls that may be repeated share a pool of kept-alive connections. A creating call has a connection of its own, opened for
//! it and closed after it: nothing below us can send it again (`aws-secrets-engine.md` §21.3). No redirect is followed.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;

use crate::base::Clock;
use crate::base::time::timeout;

use super::clock::AwsClock;
use super::error::Unsent;
use super::hosts::Hosts;

/// How far a request came.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// Not one byte of it left.
    #[error("{1}")]
    Unsent(Unsent, String),
    /// Some of it may have arrived.
    #[error("{0}")]
    Sent(String),
}

/// What all connections of this process share: whom to trust, and the pool.
#[derive(Clone)]
pub(super) struct Wire {
    clock: Arc<dyn Clock>,
    dial: Dial,
    pool: Client<Dial, Full<Bytes>>,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Wire {
    /// Trusts the authorities of the operating system, and those of a file.
    pub(super) fn new(clock: Arc<dyn Clock>, ca_bundle: Option<&str>) -> Result<Self, String> {
        let mut roots = Arc::clone(&AUTHORITIES);
        if let Some(file) = ca_bundle {
            let bad = |error: &dyn fmt::Display| format!("AWS_CA_BUNDLE: {file}: {error}");
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| bad(&error))?;
            let certificates: Result<Vec<_>, _> = certificates.collect();
            let certificates = certificates.map_err(|error| bad(&error))?;
            // Bundles of systems hold some that nobody here can read.
            let (usable, _) = Arc::make_mut(&mut roots).add_parsable_certificates(certificates);
            if usable == 0 {
                return Err(bad(&"no certificate in it can be used"));
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let dial = Dial { clock: Arc::clone(&clock), https };
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(dial.clone());
        Ok(Self { clock, dial, pool })
    }

    async fn pooled(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        self.bounded(request, LARGEST).await
    }

    /// Sends a request; of the answer at most so many bytes are taken.
    pub(super) async fn bounded(&self, request: Request<Full<Bytes>>, most: usize) -> Result<Response<Bytes>, HttpError> {
        let answer = self.pool.request(request).await.map_err(|error| {
            let text = reasons(&error);
            if error.is_connect() { HttpError::Unsent(Unsent::Connection, text) } else { HttpError::Sent(text) }
        })?;
        collect(answer, most).await
    }

    /// Opens a connection for this request and sends it, unless it is past `not_after` on [`Clock::elapsed`] by then.
    async fn single(&self, mut request: Request<Full<Bytes>>, not_after: Duration) -> Result<Response<Bytes>, HttpError> {
        let unsent = |text: String| HttpError::Unsent(Unsent::Connection, text);
        let target = request.uri().clone();
        to_origin_form(&mut request).map_err(|text| HttpError::Unsent(Unsent::Setting, text))?;
        let stream = self.dial.clone().call(target).await.map_err(|error| unsent(reasons(&*error)))?;
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| unsent(reasons(&error)))?;
        let exchange = async {
            sender.ready().await.map_err(|error| unsent(reasons(&error)))?;
            if self.clock.elapsed() > not_after {
                return Err(HttpError::Unsent(Unsent::TooLate, "it took too long to come to the call that creates".to_owned()));
            }
            let answer = sender.send_request(request).await.map_err(|error| HttpError::Sent(reasons(&error)))?;
            collect(answer, LARGEST).await
        };
        // What the connection ends with, the exchange is told.
        let driven = async {
            let _ended = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            out = exchange => out,
            () = driven => Err(HttpError::Sent("the connection ended".to_owned())),
        }
    }
}

/// A request of HTTP/1 names the path alone, and the host in its header.
fn to_origin_form(request: &mut Request<Full<Bytes>>) -> Result<(), String> {
    let uri = request.uri();
    let host = uri.authority().ok_or("the target has no host")?.as_str().rsplit('@').next().unwrap_or_default();
    let host = http::HeaderValue::from_str(host).map_err(|error| error.to_string())?;
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().entry(header::HOST).or_insert(host);
    Ok(())
}

async fn collect(answer: Response<Incoming>, most: usize) -> Result<Response<Bytes>, HttpError> {
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, most).collect().await.map_err(|error| HttpError::Sent(reasons(&*error)))?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

/// Opens connections: two seconds for name, TCP and TLS together.
#[derive(Clone)]
struct Dial {
    clock: Arc<dyn Clock>,
    https: HttpsConnector<TcpConnector>,
}

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (host, connecting) = (target.host().unwrap_or_default().to_owned(), self.https.call(target));
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            match timeout(&*clock, CONNECT, connecting).await {
                Some(result) => result,
                None => Err(format!("no connection to {host} within {} s", CONNECT.as_secs()).into()),
            }
        })
    }
}

/// How a client of the SDK reaches AWS.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) wire: Wire,
    pub(super) hosts: Arc<Hosts>,
    pub(super) clock: AwsClock,
    /// Set for one creating call: a connection of its own, and the last moment to send it.
    pub(super) not_after: Option<Duration>,
}

impl Route {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let setting = |text: String| HttpError::Unsent(Unsent::Setting, text);
        let request = request.try_into_http1x().map_err(|error| setting(error.to_string()))?;
        let (parts, body) = request.into_parts();
        let body = body.bytes().ok_or_else(|| setting("the request has no body in memory".to_owned()))?;
        let answer = self.exchange(Request::from_parts(parts, Bytes::copy_from_slice(body))).await?;
        HttpResponse::try_from(answer.map(SdkBody::from)).map_err(|error| HttpError::Sent(error.to_string()))
    }

    /// Sends a request, where it may go, and learns AWS's time from the answer.
    pub(super) async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if !self.hosts.allow(request.uri()) {
            let host = request.uri().host().unwrap_or_default();
            let text = format!("{host} is neither a host of AWS nor a configured endpoint");
            return Err(HttpError::Unsent(Unsent::Setting, text));
        }
        let request = request.map(Full::new);
        let answer = match self.not_after {
            None => self.wire.pooled(request).await?,
            Some(not_after) => self.wire.single(request, not_after).await?,
        };
        if let Some(date) = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok()) {
            self.clock.learn(date);
        }
        Ok(answer)
    }
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let route = self.clone();
        HttpConnectorFuture::new(async move {
            route.send(request).await.map_err(|error| match error {
                HttpError::Unsent(Unsent::Setting, _) => ConnectorError::user(error.into()),
                error => ConnectorError::io(error.into()),
            })
        })
    }
}

impl HttpClient for Route {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    text
}

/// Authorities of the operating system, read once: to read them takes milliseconds, and each mount has a way to AWS.
static AUTHORITIES: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// To connect (`aws-secrets-engine.md` §21).
const CONNECT: Duration = Duration::from_secs(2);

/// AWS closes idle connections after about a minute; sooner is safer.
const IDLE: Duration = Duration::from_secs(20);
const IDLE_PER_HOST: usize = 16;

/// Bytes of an answer. The largest are pages of `GetAccountAuthorizationDetails`, a few hundred kilobytes.
const LARGEST: usize = 16 << 20;

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
