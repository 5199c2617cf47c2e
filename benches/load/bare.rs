//! The ceiling: an axum server that answers every request with the same half kilobyte of JSON.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

use crate::Failed;
use crate::server::{Server, first_line};

/// Makes this program the bare server.
pub(crate) const ARGUMENT: &str = "--serve-a-constant";

/// Starts this program once more, as the bare server.
pub(crate) fn start() -> Result<Server, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let address: SocketAddr = first_line(&mut child)?.parse()?;
    Ok(Server::of(child, address))
}

/// Serves until the process is ended; tells its address in its first line.
pub(crate) fn serve() -> Result<(), Failed> {
    let body: &'static str = Box::leak(format!("{{\"data\":\"{}\"}}", "x".repeat(500)).into_boxed_str());
    let app = Router::new().fallback(async move || ([(CONTENT_TYPE, "application/json")], body));
    // As many workers as cores it may use, as the server itself.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = TowerToHyperService::new(app.clone());
            // A client that goes away is no failure of the server.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}
