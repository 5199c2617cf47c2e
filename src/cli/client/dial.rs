//! Opens the connection: TCP or a unix socket, through a proxy where one is set, and TLS on top.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error as TlsError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address::{Address, Place};
use crate::cli::io::reason;
use crate::cli::settings::Proxies;

/// A byte stream to the server.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open connection.
pub(super) struct Line {
    pub stream: Box<dyn Stream>,
    /// Set when the request goes to a plain proxy, which wants the whole URL and these credentials.
    pub through: Option<Through>,
}

/// What a plain proxy wants to see.
pub(super) struct Through {
    pub authorization: Option<String>,
}

/// Opens a connection to `address`.
///
/// # Errors
/// Why not, in the words of Go's `net` package, which scripts look for.
pub(super) async fn dial(
    address: &Address,
    proxies: &Proxies,
    tls: Option<&Arc<ClientConfig>>,
    verify_name: Option<&str>,
) -> Result<Line, String> {
    let (secure, host, port) = match &address.place {
        Place::Unix { path } => {
            let stream =
                UnixStream::connect(path).await.map_err(|error| format!("dial unix {path}: connect: {}", reason(&error)))?;
            return Ok(Line { stream: Box::new(stream), through: None });
        }
        Place::Tcp { tls, host, port } => (*tls, host.as_str(), *port),
    };
    let mut through = None;
    let mut stream: Box<dyn Stream> = match proxies.choose(secure, host) {
        None => Box::new(connect(host, port).await?),
        Some(proxy) => {
            let proxy = Proxy::parse(proxy)?;
            let mut stream = proxy.open(tls).await?;
            if secure {
                tunnel(&mut stream, host, port, proxy.authorization.as_deref()).await?;
            } else {
                through = Some(Through { authorization: proxy.authorization });
            }
            stream
        }
    };
    if let (true, Some(tls)) = (secure, tls) {
        stream = secured(stream, tls, verify_name.unwrap_or(host)).await?;
    }
    Ok(Line { stream, through })
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = lookup_host((host, port)).await.map_err(|_| format!("dial tcp: lookup {host}: no such host"))?;
    let mut last = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Only a delay is at stake.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = format!("dial tcp {address}: connect: {}", reason(&error)),
        }
    }
    Err(last)
}

async fn secured(stream: Box<dyn Stream>, tls: &Arc<ClientConfig>, name: &str) -> Result<Box<dyn Stream>, String> {
    let server = ServerName::try_from(name.to_owned()).map_err(|_| format!("tls: \"{name}\" is not a server name"))?;
    match TlsConnector::from(Arc::clone(tls)).connect(server, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(tls_reason(&error, name)),
    }
}

fn tls_reason(error: &io::Error, name: &str) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return format!("tls: {}", reason(error));
    };
    match inner {
        TlsError::InvalidMessage(_) => "http: server gave HTTP response to HTTPS client".to_owned(),
        TlsError::InvalidCertificate(why) => {
            let why = match why {
                CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_owned(),
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("certificate is not valid for {name}")
                }
                other => other.to_string(),
            };
            format!("tls: failed to verify certificate: x509: {why}")
        }
        other => format!("tls: {other}"),
    }
}

struct Proxy {
    tls: bool,
    host: String,
    port: u16,
    authorization: Option<String>,
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "proxy address cannot be read".to_owned();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let tls = match scheme {
            "http" => false,
            "https" => true,
            other => return Err(format!("proxy scheme \"{other}\" is not supported")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let place: http::uri::Authority = place.parse().map_err(|_| wrong())?;
        let decoded = user.map(|user| percent_encoding::percent_decode_str(user).decode_utf8_lossy().into_owned());
        Ok(Self {
            tls,
            host: place.host().trim_matches(['[', ']']).to_owned(),
            port: place.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authorization: decoded.map(|user| format!("Basic {}", STANDARD.encode(user))),
        })
    }

    async fn open(&self, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>, String> {
        let stream = connect(&self.host, self.port).await.map_err(|error| format!("proxyconnect tcp: {error}"))?;
        match (self.tls, tls) {
            (true, Some(tls)) => {
                secured(Box::new(stream), tls, &self.host).await.map_err(|error| format!("proxyconnect tcp: {error}"))
            }
            (true, None) => Err("proxyconnect tcp: no TLS settings".to_owned()),
            (false, _) => Ok(Box::new(stream)),
        }
    }
}

/// Asks the proxy to pass bytes on to `host`.
async fn tunnel(stream: &mut Box<dyn Stream>, host: &str, port: u16, authorization: Option<&str>) -> Result<(), String> {
    let lost = |error: io::Error| format!("proxyconnect tcp: {}", reason(&error));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    // Byte by byte: what follows the head belongs to TLS.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(lost)?);
        if head.len() > MAX_PROXY_HEAD {
            return Err("proxyconnect tcp: the proxy's answer is too long".to_owned());
        }
    }
    let status = String::from_utf8_lossy(&head);
    let status = status.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("proxyconnect tcp: {}", status.split_once(' ').map_or(status, |(_, rest)| rest))),
    }
}

/// Head of a proxy's answer to CONNECT; usual ones have a few lines.
const MAX_PROXY_HEAD: usize = 16 * 1024;
