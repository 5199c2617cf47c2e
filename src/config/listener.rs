//! What a `listener` stanza says, in the form the listeners run by.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Ttl;

/// One `listener` stanza (spec `seal-and-barrier.md` §5).
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// Where it listens.
    pub address: ListenAddress,
    /// Certificate and key; `None` speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How long a connection may take over what.
    pub timeouts: Timeouts,
    /// What each request on it is held to.
    pub limits: Arc<ListenerLimits>,
}

impl ListenerConfig {
    /// Plain HTTP at `address` with the default limits.
    pub fn plain(address: ListenAddress) -> Self {
        Self { address, tls: None, timeouts: Timeouts::default(), limits: Arc::default() }
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `host:port`; an empty host is every address of the machine, port 0 a free one.
    Tcp(String),
    /// A socket in the file system.
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// Permissions of the file; the default lets only the server's own user connect.
        mode: Option<u32>,
        /// Owner of the file, by name or number.
        user: Option<String>,
        /// Group of the file, by name or number.
        group: Option<String>,
    },
}

impl ListenAddress {
    /// What the configuration calls this kind of listener.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Unix { .. } => "unix",
        }
    }

    /// The address as the configuration writes it.
    pub fn shown(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Tcp(address) => address.into(),
            Self::Unix { path, .. } => path.to_string_lossy(),
        }
    }
}

/// Where a listener's certificate comes from, and which versions of TLS it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to its authority, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM, not encrypted.
    pub key: PathBuf,
    /// The oldest version spoken.
    pub min: TlsVersion,
    /// The newest version spoken.
    pub max: TlsVersion,
}

impl TlsFiles {
    /// Both versions of TLS we speak.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { cert: cert.into(), key: key.into(), min: TlsVersion::V12, max: TlsVersion::V13 }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// How long a connection may take over what; the names are those of the stanza without `http_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accepting the connection to the end of the TLS handshake; no key sets it.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head, and from the connection's start to its first request.
    pub read_header: Duration,
    /// From the end of a request's head to the end of its body (HTTP/1.1).
    pub read: Duration,
    /// How long a peer may leave what we write unread; zero is the idle time.
    pub write: Duration,
    /// How long a connection may stay open between requests.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            read_header: Duration::from_secs(10),
            read: Duration::from_secs(30),
            write: Duration::ZERO,
            idle: Duration::from_mins(5),
        }
    }
}

/// What each request on a listener is held to (spec `http-api.md` §11).
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerLimits {
    /// Bytes of a body; `None` when the operator lifted the bound.
    pub max_request_size: Option<u64>,
    /// How long a request may run, streams excepted.
    pub max_request_duration: Ttl,
    /// What the JSON of a body is held to.
    pub json: JsonLimits,
    /// Whether `sys/metrics` answers without a token.
    pub unauthenticated_metrics: bool,
    /// Headers added to replies.
    pub response_headers: super::ResponseHeaders,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            max_request_size: Some(32 * 1024 * 1024),
            max_request_duration: Ttl::seconds(90),
            json: JsonLimits::default(),
            unauthenticated_metrics: false,
            response_headers: super::ResponseHeaders::default(),
        }
    }
}

/// Bounds on the JSON of a request's body (spec `http-api.md` §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Objects and arrays within each other.
    pub depth: u64,
    /// Bytes of one string; `None` leaves it to the bound on the body.
    pub string_length: Option<u64>,
    /// Entries of one object.
    pub object_entries: u64,
    /// Elements of one array.
    pub array_elements: u64,
    /// Values, names and brackets of the whole body.
    pub tokens: u64,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { depth: 300, string_length: None, object_entries: 10_000, array_elements: 10_000, tokens: 500_000 }
    }
}
