//! The HTTP edge: bytes to requests, answers to bytes.

pub mod app;
mod connection;
mod cors;
mod direct;
mod form;
pub mod json;
pub mod listen;
pub mod paths;
mod pulse;
pub mod read;
mod server;
mod stream;
pub mod tls;
mod unix_socket;
mod wire;

pub use app::{App, ConnectInfo, HttpService, Peer};
pub use listen::{CertificateReloader, ListenError, Listeners};
pub use server::{ReloadHook, Server};
