//! The HTTP edge: bytes to requests, answers to bytes.

pub mod app;
mod connection;
mod direct;
mod form;
mod json;
pub mod listen;
mod paths;
mod pulse;
mod read;
mod server;
mod stream;
pub mod tls;
mod unix_socket;
mod wire;

pub use app::{App, ConnectInfo, HttpService, Peer};
pub use listen::{CertificateReloader, ListenError, Listeners};
pub use server::{ReloadHook, Server};
