//! The HTTP client: one request at a time, each on a connection of its own (spec `cli.md` §2).

mod address;
mod dial;
mod request;
mod tls;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;

use super::preview;
use super::settings::Settings;
use crate::base::time::timeout;
use crate::base::{Clock, Secret, random, version};
pub(crate) use address::Address;
use address::Place;
pub(crate) use request::{Fault, Reply, Request, TokenUse};

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    pub settings: Settings,
    pub token: Option<Secret<String>>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Runtime,
    tls: OnceCell<Arc<ClientConfig>>,
    /// Requests that may be sent at once, and when that was last reckoned (`VAULT_RATE_LIMIT`).
    allowance: Option<(f64, Duration)>,
}

impl Client {
    /// A client with these settings; nothing is sent yet.
    ///
    /// # Errors
    /// When the files of TLS cannot be used.
    pub(crate) fn new(settings: Settings, token: Option<Secret<String>>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let client = Self { settings, token, clock, runtime, tls: OnceCell::new(), allowance: None };
        let asked = &client.settings.tls;
        if asked.ca_cert.is_some() || asked.ca_bytes.is_some() || asked.ca_path.is_some() || asked.client.is_some() {
            client.tls()?;
        }
        Ok(client)
    }

    /// Sends a request and takes the reply, with the redirects and retries the settings allow. A reply of any status
    /// but 2xx is a [`Fault`].
    pub(crate) fn send(&mut self, request: &Request) -> Result<Reply, Fault> {
        let mut body = Vec::new();
        let mut collect = |chunk: &[u8]| {
            body.extend_from_slice(chunk);
            if body.len() > MAX_REPLY { Err("the reply is too large".to_owned()) } else { Ok(()) }
        };
        let head = self.exchange(request, &mut collect)?;
        head.into_reply(request.method.clone(), body)
    }

    /// Sends a request and hands on its reply as it comes, without end of time.
    pub(crate) fn stream(&mut self, request: &Request, sink: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), Fault> {
        self.settings.timeout = STREAM_TIMEOUT;
        let mut refusal = Vec::new();
        let mut status = 0_u16;
        let mut either = |at: u16, chunk: &[u8]| {
            status = at;
            if (200..300).contains(&at) {
                return sink(chunk);
            }
            refusal.extend(chunk.iter().take(MAX_REFUSAL));
            Ok(())
        };
        let head = self.exchange_with_status(request, &mut either)?;
        if (200..300).contains(&head.status) { Ok(()) } else { head.into_reply(request.method.clone(), refusal).map(|_| ()) }
    }

    /// Lets time pass between two looks at something.
    pub(crate) fn pause(&self, duration: Duration) {
        self.runtime.block_on(self.clock.sleep(duration));
    }

    /// Runs `work` on this client's runtime, with everything tokio offers.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn exchange(&mut self, request: &Request, collect: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<Head, Fault> {
        self.exchange_with_status(request, &mut |_, chunk| collect(chunk))
    }

    fn exchange_with_status(&mut self, request: &Request, sink: Sink<'_>) -> Result<Head, Fault> {
        if let Some(instead) = self.settings.instead.filter(|_| !request.always_sent) {
            return Err(Fault::Instead(preview::show(instead, &self.settings, request)));
        }
        if let Some(token) = self.token_for(request)
            && token.chars().any(|letter| letter.is_control() || !letter.is_ascii())
        {
            return Err(Fault::Lost("the token in use has characters that cannot be printed".to_owned()));
        }
        self.wait_for_allowance();
        let limit = self.settings.timeout;
        let done = self.runtime.block_on(timeout(&*self.clock, limit, self.attempts(request, sink)));
        done.unwrap_or_else(|| {
            let url = request.url(&self.settings.address);
            Err(Fault::Lost(format!("{} \"{url}\": context deadline exceeded", request.verb())))
        })
    }

    async fn attempts(&self, request: &Request, sink: Sink<'_>) -> Result<Head, Fault> {
        let mut left = self.settings.retries.most;
        loop {
            // The reply is only handed on when it is not to be tried again.
            let mut kept: Vec<u8> = Vec::new();
            let mut gate = |status: u16, chunk: &[u8]| {
                if left > 0 && request.may_repeat(status) {
                    kept.extend(chunk.iter().take(MAX_REFUSAL));
                    return Ok(());
                }
                sink(status, chunk)
            };
            match self.attempt(request, &mut gate).await {
                Ok(head) if left > 0 && request.may_repeat(head.status) => {}
                Err(Trouble::NotSent(_)) if left > 0 && self.settings.retries.asked => {}
                Ok(head) => return Ok(head),
                Err(Trouble::NotSent(text) | Trouble::Lost(text)) => {
                    let url = request.url(&self.settings.address);
                    return Err(Fault::Lost(format!("{} \"{url}\": {text}", request.verb())));
                }
            }
            left -= 1;
            self.clock.sleep(RETRY_WAIT.mul_f64(1.0 + random::unit() / 2.0)).await;
        }
    }

    async fn attempt(&self, request: &Request, sink: Sink<'_>) -> Result<Head, Trouble> {
        let mut address = self.settings.address.clone();
        let mut target = address.target(&request.path, &request.query);
        let mut may_follow = self.settings.follow_redirect;
        loop {
            let mut gate =
                |status: u16, chunk: &[u8]| if may_follow && is_redirect(status) { Ok(()) } else { sink(status, chunk) };
            let head = self.once(&address, &target, request, &mut gate).await?;
            let Some(location) = head.location.as_ref().filter(|_| may_follow && is_redirect(head.status)) else {
                return Ok(head);
            };
            (address, target) = address.redirect(location).map_err(Trouble::Lost)?;
            may_follow = false;
        }
    }

    async fn once(&self, address: &Address, target: &str, request: &Request, sink: Sink<'_>) -> Result<Head, Trouble> {
        let tls = match address.place {
            Place::Tcp { tls: true, .. } => Some(self.tls().map_err(Trouble::NotSent)?),
            _ => None,
        };
        let name = self.settings.tls.server_name.as_deref();
        let line = dial::dial(address, &self.settings.proxies, tls, name).await.map_err(Trouble::NotSent)?;
        let mut message = self.message(address, target, request).map_err(Trouble::NotSent)?;
        if let Some(through) = line.through {
            *message.uri_mut() =
                format!("{}{target}", address.origin).parse().map_err(|_| Trouble::NotSent("URL cannot be read".to_owned()))?;
            if let Some(value) = through.authorization.and_then(|text| text.parse().ok()) {
                message.headers_mut().insert("proxy-authorization", value);
            }
        }
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(line.stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| Trouble::NotSent(told(&error)))?;
        let work = async {
            let response = sender.send_request(message).await.map_err(|error| Trouble::Lost(told(&error)))?;
            let header =
                |name| response.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).map(str::to_owned);
            let head = Head {
                status: response.status().as_u16(),
                location: header(LOCATION),
                url: format!("{}{target}", address.origin),
            };
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| Trouble::Lost(told(&error)))?;
                if let Some(chunk) = frame.data_ref() {
                    sink(head.status, chunk).map_err(Trouble::Lost)?;
                }
            }
            Ok(head)
        };
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => done,
            // The connection ended; what it brought is still to be taken.
            _ = connection => work.await,
        }
    }

    fn message(&self, address: &Address, target: &str, request: &Request) -> Result<http::Request<Full<Bytes>>, String> {
        let mut builder = http::Request::builder().method(request.method.clone()).uri(target);
        builder = builder.header(HOST, address.host_header()).header(USER_AGENT, format!("leasehold/{}", version::VERSION));
        builder = builder.header("X-Vault-Request", "true");
        if let Some(token) = self.token_for(request) {
            builder = builder.header("X-Vault-Token", token);
        }
        if let Some(namespace) = &self.settings.namespace {
            builder = builder.header("X-Vault-Namespace", namespace);
        }
        if let Some(ttl) = self.settings.wrap_ttl.as_ref().filter(|_| request.may_wrap) {
            builder = builder.header("X-Vault-Wrap-TTL", ttl);
        }
        for (name, value) in &self.settings.headers {
            builder = builder.header(name, value);
        }
        if request.body.is_some() {
            let patch = request.method == http::Method::PATCH;
            builder = builder.header(CONTENT_TYPE, if patch { "application/merge-patch+json" } else { "application/json" });
        }
        let body = request.body.as_ref().map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        builder.body(Full::new(body)).map_err(|error| error.to_string())
    }

    fn token_for<'a>(&'a self, request: &'a Request) -> Option<&'a str> {
        match &request.token {
            TokenUse::Caller => self.token.as_ref().map(|token| token.expose().as_str()),
            TokenUse::This(token) => Some(token.expose()),
            TokenUse::None => None,
        }
    }

    fn tls(&self) -> Result<&Arc<ClientConfig>, String> {
        if let Some(config) = self.tls.get() {
            return Ok(config);
        }
        let config = tls::config(&self.settings.tls)?;
        Ok(self.tls.get_or_init(|| Arc::new(config)))
    }

    /// Waits until the rate the environment set allows one more request.
    fn wait_for_allowance(&mut self) {
        let Some(rate) = self.settings.rate else { return };
        let now = self.clock.elapsed();
        let (left, since) = self.allowance.unwrap_or((rate.burst, now));
        let left = (left + now.saturating_sub(since).as_secs_f64() * rate.per_second).min(rate.burst);
        if left < 1.0 {
            self.pause(Duration::from_secs_f64((1.0 - left) / rate.per_second));
        }
        self.allowance = Some(((left - 1.0).max(0.0), self.clock.elapsed()));
    }
}

type Sink<'a> = &'a mut dyn FnMut(u16, &[u8]) -> Result<(), String>;

/// What came before the body.
#[derive(Debug)]
struct Head {
    status: u16,
    location: Option<String>,
    url: String,
}

impl Head {
    fn into_reply(self, method: http::Method, body: Vec<u8>) -> Result<Reply, Fault> {
        let reply = Reply { status: self.status, url: self.url, method, body };
        if (200..300).contains(&reply.status) { Ok(reply) } else { Err(Fault::Refused(reply)) }
    }
}

/// Why there is no reply.
enum Trouble {
    /// Nothing of the request left.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 307 | 308)
}

fn told(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return "malformed HTTP response".to_owned();
    }
    let inner = std::error::Error::source(error).and_then(|inner| inner.downcast_ref::<std::io::Error>());
    inner.map_or_else(|| error.to_string(), super::io::reason)
}

/// Least wait before another try; up to half of it comes on top by chance.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a reply: more than any body the server sends by default.
const MAX_REPLY: usize = 256 * 1024 * 1024;
/// Bytes kept of a piece of a refusal that is tried again or ends a stream.
const MAX_REFUSAL: usize = 64 * 1024;
/// A stream ends when either side ends it; this only keeps the timer finite.
const STREAM_TIMEOUT: Duration = Duration::from_hours(24 * 365);
