//! The HTTP edge: bytes to requests, answers to bytes.

pub mod app;
mod connection;
pub mod listen;
mod pulse;
mod stream;
pub mod tls;
mod unix_socket;

pub use app::{App, ConnectInfo, HttpService, Peer};
pub use listen::{CertificateReloader, ListenError, Listeners};
