//! A request, its reply, and what may go wrong in between, in the words users know (spec `cli.md` §4).

use http::Method;
use serde_json::Value;

use super::Address;
use crate::base::Secret;
use crate::cli::stop::Stop;

/// One request to the server.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: Method,
    /// Below `/v1/`, not encoded.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Option<Value>,
    pub token: TokenUse,
    /// Whether a wrapped reply may be asked for.
    pub may_wrap: bool,
    /// Sent even when the call only wants to see its request.
    pub always_sent: bool,
}

/// Whose token goes along.
#[derive(Debug, Clone)]
pub(crate) enum TokenUse {
    Caller,
    This(Secret<String>),
    None,
}

impl Request {
    fn new(method: Method, path: &str, body: Option<Value>) -> Self {
        let path = path.to_owned();
        Self { method, path, query: Vec::new(), body, token: TokenUse::Caller, may_wrap: true, always_sent: false }
    }
    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path, None)
    }
    pub(crate) fn list(path: &str) -> Self {
        Self::get(path).query("list", "true")
    }
    pub(crate) fn put(path: &str, body: Value) -> Self {
        Self::new(Method::PUT, path, Some(body))
    }
    pub(crate) fn post(path: &str, body: Value) -> Self {
        Self::new(Method::POST, path, Some(body))
    }
    /// A `PUT` without body.
    pub(crate) fn poke(path: &str) -> Self {
        Self::new(Method::PUT, path, None)
    }
    pub(crate) fn patch(path: &str, body: Value) -> Self {
        Self::new(Method::PATCH, path, Some(body))
    }
    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path, None)
    }
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }
    /// Without the caller's token.
    pub(crate) fn anonymous(mut self) -> Self {
        self.token = TokenUse::None;
        self
    }
    /// With another token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = TokenUse::This(Secret::from(token));
        self
    }
    /// Never wrapped.
    pub(crate) fn unwrapped(mut self) -> Self {
        self.may_wrap = false;
        self
    }
    /// Sent even by `-output-curl-string`.
    pub(crate) fn sent_always(mut self) -> Self {
        self.always_sent = true;
        self
    }

    /// The URL shown in errors.
    pub(crate) fn url(&self, address: &Address) -> String {
        format!("{}{}", address.origin, address.target(&self.path, &self.query))
    }

    /// The method as transport errors write it: `Get`, `Put`.
    pub(super) fn verb(&self) -> String {
        let text = self.method.as_str().to_lowercase();
        let mut letters = text.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }

    /// Whether a reply of this status is worth another try: a write only when it was surely not carried out.
    pub(super) fn may_repeat(&self, status: u16) -> bool {
        match status {
            412 | 503 => true,
            501 => false,
            500..=599 => self.method == Method::GET,
            _ => false,
        }
    }
}

/// A reply of any status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub url: String,
    pub method: Method,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; `None` when there is none.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn json(&self) -> Result<Option<Value>, String> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        crate::base::json::read(&self.body).map(Some).map_err(|_| {
            let first = String::from_utf8_lossy(&self.body).trim_start().chars().next().unwrap_or(' ');
            format!("the reply of {} is not JSON: it starts with '{first}'", self.url)
        })
    }

    fn refusal(&self) -> String {
        let head = format!("Error making API request.\n\nURL: {} {}\nCode: {}. ", self.method, self.url, self.status);
        match self.errors() {
            Some(errors) => {
                let lines: Vec<_> = errors.iter().map(|text| format!("* {text}")).collect();
                format!("{head}Errors:\n\n{}", lines.join("\n"))
            }
            None => format!("{head}Raw Message:\n\n{}", String::from_utf8_lossy(&self.body)),
        }
    }

    /// The texts in `errors`, if the body is of that form.
    pub(crate) fn errors(&self) -> Option<Vec<String>> {
        let body: Value = crate::base::json::read(&self.body).ok()?;
        let errors = body.get("errors")?.as_array()?;
        errors.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    }
}

/// Why a request has no good reply.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It was only to be shown.
    Instead(String),
    /// A status other than 2xx.
    Refused(Reply),
    /// No reply at all.
    Lost(String),
}

impl Fault {
    /// The status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(reply) => Some(reply.status),
            Self::Instead(_) | Self::Lost(_) => None,
        }
    }

    /// Told with what was attempted in front: `Error reading x: …`.
    pub(crate) fn about(self, attempt: &str) -> Stop {
        match self {
            Self::Instead(text) => Stop::Instead(text),
            Self::Refused(reply) => Stop::Remote(format!("{attempt}: {}", reply.refusal())),
            Self::Lost(text) => Stop::Remote(format!("{attempt}: {text}")),
        }
    }

    /// Told without anything in front.
    pub(crate) fn bare(self) -> Stop {
        match self {
            Self::Instead(text) => Stop::Instead(text),
            Self::Refused(reply) => Stop::Remote(reply.refusal()),
            Self::Lost(text) => Stop::Remote(text),
        }
    }
}
