//! Requests: no body, header or query makes the edge panic, build more than it may, or read JSON as nobody else does.
//!
//! A case is a request as HTTP/1.1 writes it: method and target, lines of headers, an empty line, the body.

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use leasehold::base::Timestamp;
use leasehold::base::time::ManualClock;
use leasehold::config::{JsonLimits, ListenerLimits};
use leasehold::core::Refusal;
use leasehold::http::json::{self, JsonError};
use leasehold::http::paths::{Target, target};
use leasehold::http::read::{self, Bounds, Verb};
use leasehold::mount::{ErrorKind, Remote};
use leasehold::policy::Operation;
use serde_json::{Map, Value};

/// Reads a case to the request that the core would be given, and its body by itself.
pub(crate) fn run(bytes: &[u8], seen: &mut dyn FnMut(&'static str)) {
    let message = Message::parse(bytes);
    check_json(&message.body, seen);
    let Some(request) = message.build() else { return seen("not HTTP") };
    let (parts, body) = request.into_parts();
    let Target::Api(path) = target(parts.uri.path()) else { return seen("elsewhere") };
    let limits = ListenerLimits::default();
    let clock = ManualClock::at(Timestamp::from_seconds(1_700_000_000));
    let bounds = Bounds { limits: &limits, remote: Remote::default(), clock: &clock };
    let verb = match Verb::of(&parts) {
        Ok(verb) => verb,
        Err(refusal) => return refused(&refusal, seen),
    };
    let read = read::request(path, verb, &parts, body, bounds).now_or_never();
    let request = match read.expect("a body that is there is not waited for") {
        Ok(Some(request)) => request,
        Ok(None) => {
            assert!(matches!(verb, Verb::Head | Verb::Other));
            return seen("no method of ours");
        }
        Err(refusal) => return refused(&refusal, seen),
    };
    let asked = &request.asked;
    let ends_in_slash = asked.path.as_str().ends_with('/');
    match asked.operation {
        Operation::List => assert!(ends_in_slash),
        Operation::Update | Operation::Patch => {
            assert!(!ends_in_slash);
            // It can be sent on as it was understood.
            let written = serde_json::to_vec(&request.data).unwrap();
            assert_eq!(json::object(&written, &limits.json).as_ref(), Ok(&request.data));
        }
        _ => {}
    }
    assert!(asked.wrap_ttl.is_none_or(|ttl| ttl.as_seconds() > 0));
    if let Some(token) = &asked.token {
        assert!(!token.expose().is_empty() && !token.expose().chars().any(char::is_control));
        seen("token");
    }
    let is_secret = |name: &str| ["x-vault-token", "authorization", "proxy-authorization"].contains(&name);
    assert!(!asked.headers.iter().any(|(name, _)| is_secret(name.as_str())));
    seen("request");
}

fn refused(refusal: &Refusal, seen: &mut dyn FnMut(&'static str)) {
    assert!(matches!(refusal.kind, ErrorKind::Invalid | ErrorKind::MediaType), "{refusal:?}");
    seen("refused");
}

/// One body under the usual limits, and under such that each of them is met.
fn check_json(bytes: &[u8], seen: &mut dyn FnMut(&'static str)) {
    let usual = json::object(bytes, &JsonLimits::default());
    check_against_the_usual_parser(bytes, &usual);
    let limits = JsonLimits { depth: 4, string_length: Some(20), object_entries: 3, array_elements: 3, tokens: 24 };
    match json::object(bytes, &limits) {
        Ok(map) => {
            assert_eq!(usual.as_ref(), Ok(&map));
            let mut parts = 0;
            check_size(&Value::Object(map), 1, &limits, &mut parts);
            assert!(parts <= limits.tokens);
            seen("small JSON");
        }
        Err(JsonError::Exceeds(_)) => seen("large JSON"),
        Err(JsonError::Malformed(at)) => {
            assert!(at <= bytes.len());
            seen("not JSON");
        }
        Err(JsonError::NotAnObject) => seen("no object"),
    }
}

fn check_size(value: &Value, depth: u64, limits: &JsonLimits, parts: &mut u64) {
    let count = |length: usize| u64::try_from(length).unwrap();
    let check_text = |text: &str| assert!(limits.string_length.is_none_or(|limit| count(text.len()) <= limit));
    *parts += 1;
    match value {
        Value::Object(map) => {
            assert!(depth <= limits.depth && count(map.len()) <= limits.object_entries);
            *parts += 1 + count(map.len());
            for (name, value) in map {
                check_text(name);
                check_size(value, depth + 1, limits, parts);
            }
        }
        Value::Array(items) => {
            assert!(depth <= limits.depth && count(items.len()) <= limits.array_elements);
            *parts += 1;
            for item in items {
                check_size(item, depth + 1, limits, parts);
            }
        }
        Value::String(text) => check_text(text),
        // The type that keeps it gives an exponent its sign.
        Value::Number(number) => check_text(&number.to_string().replacen("e+", "e", 1)),
        Value::Bool(_) | Value::Null => {}
    }
}

/// Two parsers say the same of a text, but where ours differs on purpose: lone halves of pairs are read, names that the
/// other one keeps for itself are ordinary, and what follows the word `null` is not looked at.
fn check_against_the_usual_parser(bytes: &[u8], ours: &Result<Map<String, Value>, JsonError>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return assert!(matches!(ours, Err(JsonError::Malformed(_)))) };
    if text.contains("$serde_json") {
        return;
    }
    let theirs = serde_json::Deserializer::from_str(text).into_iter::<Value>().next();
    match (ours, theirs) {
        (Ok(ours), Some(Ok(Value::Object(theirs)))) => assert_eq!(*ours, theirs),
        (Ok(ours), Some(Ok(Value::Null)) | None) => assert!(ours.is_empty()),
        // It ends at 128 levels.
        (Ok(_), Some(Err(error))) if error.to_string().starts_with("recursion limit") => {}
        (Ok(ours), Some(Err(error))) => {
            let is_word = ours.is_empty() && text.trim_start().starts_with("null");
            assert!(is_word || text.contains("\\u"), "{error}: {text:?}");
        }
        (Err(JsonError::NotAnObject), Some(Ok(theirs))) => assert!(!theirs.is_object() && !theirs.is_null()),
        (Err(JsonError::Exceeds(_)), _) | (Err(_), Some(Err(_))) => {}
        (ours, theirs) => panic!("{ours:?} and {theirs:?} of {text:?}"),
    }
}

/// A request, in the parts that HTTP cuts it into.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// `GET` and such.
    pub(crate) method: Vec<u8>,
    /// Path and query.
    pub(crate) target: Vec<u8>,
    /// Names and values.
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// All that follows the empty line.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Cuts a case up; what is missing is empty.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let first = line(&mut rest);
        let space = first.iter().position(|byte| *byte == b' ').unwrap_or(first.len());
        let (method, target) = first.split_at(space);
        let mut headers = Vec::new();
        loop {
            let line = line(&mut rest);
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            headers.push((name.to_vec(), value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        }
        Self { method: method.to_vec(), target: target.trim_ascii().to_vec(), headers, body: rest.to_vec() }
    }

    /// As the server gets it; `None` for what never reaches it. Headers that are none are left out.
    pub(crate) fn build(self) -> Option<Request<Body>> {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = Method::from_bytes(&self.method).ok()?;
        *request.uri_mut() = Uri::try_from(self.target).ok()?;
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) {
                request.headers_mut().append(name, value);
            }
        }
        Some(request)
    }
}

/// Takes a line off, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}
