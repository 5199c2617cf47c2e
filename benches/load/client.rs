//! Keep-alive connections that ask, wait and ask again.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failed;

/// What one connection asks: given the answer before, the next request.
pub(crate) type Script = Box<dyn FnMut(Option<&Reply>) -> Vec<u8>>;

/// A script of one request.
pub(crate) fn always(request: Vec<u8>) -> Script {
    Box::new(move |_| request.clone())
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let token = if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}{length}\r\n{body}").into_bytes()
}

/// The same, asking for a wrapped answer.
pub(crate) fn request_wrapped(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let line = b" HTTP/1.1\r\n";
    let mut bytes = request(method, path, token, body);
    let at = bytes.windows(line.len()).position(|part| part == line).map_or(0, |at| at + line.len());
    bytes.splice(at..at, *b"X-Vault-Wrap-TTL: 60s\r\n");
    bytes
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The text of the first member `name`, without looking at the shape around it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let body = std::str::from_utf8(&self.body).ok()?;
        let (_, rest) = body.split_once(&format!("\"{name}\":"))?;
        rest.trim_start().strip_prefix('"')?.split('"').next()
    }

    pub(crate) fn json(&self) -> Result<serde_json::Value, Failed> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Reply, Failed> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let (status, length) = read_head(self.buffer.get(..head).unwrap_or_default())?;
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        Ok(Reply { status, body: self.buffer.get(head..head + length).unwrap_or_default().to_vec() })
    }

    async fn more(&mut self) -> Result<(), Failed> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}

fn read_head(head: &[u8]) -> Result<(u16, usize), Failed> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("an answer without a status")?.parse()?;
    let mut length = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("an answer in chunks, which this driver does not read".into());
        }
    }
    Ok((status, length))
}

/// Connections with a script each, and how long their answers took.
pub(crate) struct Load<'a> {
    lanes: Vec<(Connection, &'a mut Script, Option<Reply>)>,
}

impl<'a> Load<'a> {
    pub(crate) async fn connect(address: SocketAddr, scripts: &'a mut [Script]) -> Result<Self, Failed> {
        let mut lanes = Vec::with_capacity(scripts.len());
        for script in scripts {
            lanes.push((Connection::open(address).await?, script, None));
        }
        Ok(Self { lanes })
    }

    /// Lets all connections ask; an answer that is no success ends it.
    pub(crate) async fn run(&mut self, until: &Until<'_>) -> Result<Ran, Failed> {
        let began = Instant::now();
        let lanes = self.lanes.iter_mut().map(async |(connection, script, last)| {
            let mut waits = Vec::new();
            let mut sent = Instant::now();
            while until.goes_on(sent - began, waits.len()) {
                let reply = connection.ask(&script(last.as_ref())).await?;
                let answered = Instant::now();
                if !reply.is_ok() {
                    return Err(failure(&reply));
                }
                waits.push(answered - sent);
                *last = Some(reply);
                sent = answered;
            }
            Ok(waits)
        });
        let waits = try_join_all(lanes).await?;
        Ok(Ran { waits, took: began.elapsed() })
    }
}

/// When a connection has asked enough.
pub(crate) struct Until<'a> {
    time: Duration,
    times: usize,
    told: Option<&'a Cell<bool>>,
}

impl<'a> Until<'a> {
    /// So much time has passed.
    pub(crate) fn time(time: Duration) -> Self {
        Self { time, times: usize::MAX, told: None }
    }

    /// It has asked as many times.
    pub(crate) fn times(times: usize) -> Self {
        Self { time: LONGEST, times, told: None }
    }

    /// It is told, or so much time has passed.
    pub(crate) fn told(told: &'a Cell<bool>, time: Duration) -> Self {
        Self { time, times: usize::MAX, told: Some(told) }
    }

    fn goes_on(&self, passed: Duration, asked: usize) -> bool {
        passed < self.time && asked < self.times && !self.told.is_some_and(Cell::get)
    }
}

/// What a load has seen.
pub(crate) struct Ran {
    /// Of each connection, in order.
    pub(crate) waits: Vec<Vec<Duration>>,
    pub(crate) took: Duration,
}

impl Ran {
    /// The longest wait of all.
    pub(crate) fn longest(&self) -> Duration {
        self.waits.iter().flatten().max().copied().unwrap_or_default()
    }
}

/// An answer that is no success, as an error.
pub(crate) fn failure(reply: &Reply) -> Failed {
    format!("status {}: {}", reply.status, String::from_utf8_lossy(&reply.body).trim()).into()
}

/// Asks once, on a connection of its own per server, for what a row needs.
pub(crate) struct Operator {
    connection: tokio::sync::Mutex<Connection>,
    token: String,
}

impl Operator {
    pub(crate) async fn at(address: SocketAddr, token: String) -> Result<Self, Failed> {
        Ok(Self { connection: Connection::open(address).await?.into(), token })
    }

    /// The answer to a request that succeeds.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &serde_json::Value) -> Result<Reply, Failed> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request(method, path, &self.token, &body);
        let reply = self.connection.lock().await.ask(&request).await?;
        if reply.is_ok() { Ok(reply) } else { Err(format!("{method} {path}: {}", failure(&reply)).into()) }
    }
}

/// No load goes on longer.
const LONGEST: Duration = Duration::from_mins(30);
