//! A request of HTTP to a request of ours (spec `http-api.md` §2 and §4).

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::form;
use super::json::{self, JsonError};
use crate::base::time::timeout;
use crate::base::{ApiPath, Clock, RequestId, Secret, Ttl};
use crate::config::{JsonLimits, ListenerLimits};
use crate::core::Refusal;
use crate::mount::{ApiError, Asked, ErrorKind, Remote, Request};
use crate::policy::Operation;

/// A method, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET`, also of a list.
    Get,
    /// `HEAD`.
    Head,
    /// `LIST`.
    List,
    /// `POST` and `PUT`.
    Write,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `HELP`, or any other whose query asks for help.
    Help,
    /// None that anything is done by.
    Other,
}

impl Verb {
    /// The method; help when the query asks for it.
    ///
    /// # Errors
    /// 400 when the query cannot be read.
    pub fn of(parts: &Parts) -> Result<Self, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        if query.contains("help") && form::first(query, "help").map_err(bad_query)?.is_some_and(|value| !value.is_empty()) {
            return Ok(Self::Help);
        }
        Ok(match parts.method {
            Method::GET => Self::Get,
            Method::POST | Method::PUT => Self::Write,
            Method::DELETE => Self::Delete,
            Method::PATCH => Self::Patch,
            Method::HEAD => Self::Head,
            ref other => match other.as_str() {
                "LIST" => Self::List,
                "HELP" => Self::Help,
                _ => Self::Other,
            },
        })
    }
}

/// What a request is held to, by which clock, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// Sizes and times of the listener it came by.
    pub limits: &'a ListenerLimits,
    /// Who is at the other end.
    pub remote: Remote,
    /// Ends the wait for a body.
    pub clock: &'a dyn Clock,
}

/// A request for the core; `None` when its method is none for it.
///
/// # Errors
/// Of the first thing that is wrong with the query, the body or a header, as the client is told.
pub async fn request(
    path: ApiPath,
    verb: Verb,
    parts: &Parts,
    body: Body,
    bounds: Bounds<'_>,
) -> Result<Option<Request>, Refusal> {
    let query = parts.uri.query().unwrap_or_default();
    let (operation, path, data) = match verb {
        Verb::Get if query.is_empty() => (Operation::Read, path, Map::new()),
        Verb::Get => {
            let mut data = form::query(query).map_err(bad_query)?;
            if is_list(query)? {
                data.remove("list");
                (Operation::List, path.with_slash(), data)
            } else {
                (Operation::Read, path, data)
            }
        }
        Verb::List => (Operation::List, path.with_slash(), form::query(query).map_err(bad_query)?),
        Verb::Delete => (Operation::Delete, path, form::query(query).map_err(bad_query)?),
        Verb::Help => (Operation::Help, path, Map::new()),
        Verb::Write | Verb::Patch => {
            if path.as_str().ends_with('/') {
                return Err(ApiError::invalid("cannot write to a path ending in '/'").into());
            }
            let operation = if verb == Verb::Patch { Operation::Patch } else { Operation::Update };
            if verb == Verb::Patch {
                check_patch(&parts.headers)?;
            }
            let bytes = bytes(body, bounds).await?;
            (operation, path, data(&parts.headers, &bytes, &bounds.limits.json, verb)?)
        }
        Verb::Head | Verb::Other => return Ok(None),
    };
    Ok(Some(Request { asked: asked(path, operation, parts, bounds.remote)?, data }))
}

/// All of a request but its data.
pub(super) fn asked(path: ApiPath, operation: Operation, parts: &Parts, remote: Remote) -> Result<Asked, Refusal> {
    let headers = &parts.headers;
    check_override(headers)?;
    check_mfa(headers)?;
    Ok(Asked {
        id: RequestId::fresh(),
        operation,
        path,
        token: token(headers)?,
        wrap_ttl: wrap_ttl(headers)?,
        remote,
        headers: others(headers),
    })
}

/// The data of an endpoint that does not go through the core.
pub(super) async fn input<T: DeserializeOwned>(body: Body, bounds: Bounds<'_>) -> Result<T, Refusal> {
    let bytes = bytes(body, bounds).await?;
    let unreadable = |error: &dyn std::fmt::Display| ApiError::invalid(format!("failed to parse JSON input: {error}"));
    let data = json::object(&bytes, &bounds.limits.json).map_err(|error| unreadable(&error))?;
    serde_json::from_value(Value::Object(data)).map_err(|error| unreadable(&error).into())
}

fn is_list(query: &str) -> Result<bool, Refusal> {
    match form::first(query, "list").map_err(bad_query)? {
        Some(value) if !value.is_empty() => form::boolean(&value).ok_or_else(|| ApiError::new(ErrorKind::Invalid, "").into()),
        _ => Ok(false),
    }
}

fn bad_query(_: form::FormError) -> Refusal {
    ApiError::invalid("error parsing the query string").into()
}

/// Reads a body to its end, as far as the listener takes it.
async fn bytes(mut body: Body, bounds: Bounds<'_>) -> Result<Bytes, Refusal> {
    let limit = bounds.limits.max_request_size.unwrap_or(u64::MAX);
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let duration = bounds.limits.max_request_duration.to_duration();
    let late = || ApiError::new(ErrorKind::Internal, "context deadline exceeded");
    timeout(bounds.clock, duration, collect(&mut body, limit)).await.ok_or_else(late)?
}

async fn collect(body: &mut Body, limit: u64) -> Result<Bytes, Refusal> {
    // Most bodies come in one piece, which is then not copied.
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::invalid("the body of the request could not be read"))?;
        let Ok(piece) = frame.into_data() else { continue };
        let so_far = if all.is_empty() { first.len() } else { all.len() };
        if u64::try_from(so_far + piece.len()).unwrap_or(u64::MAX) > limit {
            return Err(too_large());
        }
        if so_far == 0 {
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn too_large() -> Refusal {
    ApiError::new(ErrorKind::TooLarge, "http: request body too large").into()
}

/// A form when it says so and does not look like JSON; else JSON, whatever it says.
fn data(headers: &HeaderMap, bytes: &[u8], limits: &JsonLimits, verb: Verb) -> Result<Map<String, Value>, Refusal> {
    if verb == Verb::Write && is_form(headers) && !looks_like_json(bytes) {
        return form::body(bytes, limits.object_entries).map_err(|_| ApiError::invalid("error parsing form data").into());
    }
    json::object(bytes, limits).map_err(|error| match error {
        JsonError::Malformed(_) | JsonError::NotAnObject => ApiError::invalid("error parsing JSON").into(),
        JsonError::Exceeds(_) => ApiError::invalid(format!("error parsing JSON: {error}")).into(),
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn looks_like_json(bytes: &[u8]) -> bool {
    let start = bytes.get(..SNIFFED).unwrap_or(bytes);
    start.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

fn check_patch(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = media_type(headers).filter(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_graphic()));
    let kind = kind.ok_or_else(|| ApiError::invalid("mime: no media type"))?;
    if kind.eq_ignore_ascii_case(MERGE_PATCH) {
        return Ok(());
    }
    let text = format!("PATCH requires Content-Type of {MERGE_PATCH}, provided {}", kind.to_ascii_lowercase());
    Err(ApiError::new(ErrorKind::MediaType, text).into())
}

/// The content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// `X-Vault-Token`, else a bearer's.
fn token(headers: &HeaderMap) -> Result<Option<Secret<String>>, Refusal> {
    let own = headers.get(TOKEN).filter(|value| !value.is_empty());
    let bytes = match (own, headers.get(AUTHORIZATION)) {
        (Some(value), _) => value.as_bytes(),
        (None, Some(value)) => match value.as_bytes().strip_prefix(b"Bearer ") {
            Some(token) => token.trim_ascii(),
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| ApiError::invalid("the token holds characters that no token has"))?;
    Ok((!text.is_empty()).then(|| text.into()))
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Ttl>, Refusal> {
    let Some(value) = headers.get(WRAP_TTL) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let ttl = Ttl::parse(&text);
    let ttl = ttl.map_err(|error| ApiError::invalid(format!("error parsing X-Vault-Wrap-TTL header: {error}")))?;
    Ok(ttl.nonzero())
}

/// Nothing here can be overridden; but a value that is none is told so.
fn check_override(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(POLICY_OVERRIDE).filter(|value| !value.is_empty()) else { return Ok(()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    if form::boolean(&text).is_some() {
        return Ok(());
    }
    let text = format!("failed to parse X-Vault-Policy-Override header: strconv.ParseBool: parsing {text:?}: invalid syntax");
    Err(ApiError::invalid(text).into())
}

fn check_mfa(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(MFA).iter().any(|value| value.is_empty() || value.as_bytes().starts_with(b":")) {
        return Err(ApiError::invalid("failed to parse X-Vault-MFA header: a value names no method").into());
    }
    Ok(())
}

/// The headers that plugins and the audit log may see.
fn others(headers: &HeaderMap) -> Arc<HeaderMap> {
    // Most requests have none.
    let mut shown = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !HIDDEN.contains(name)) {
        shown.append(name, value.clone());
    }
    Arc::new(shown)
}

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
const POLICY_OVERRIDE: HeaderName = HeaderName::from_static("x-vault-policy-override");
const MFA: HeaderName = HeaderName::from_static("x-vault-mfa");

/// Secrets, and what belongs to the connection.
static HIDDEN: [HeaderName; 7] = [TOKEN, AUTHORIZATION, PROXY_AUTHORIZATION, HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

const MERGE_PATCH: &str = "application/merge-patch+json";

/// Bytes of a form that are looked at for JSON (spec `http-api.md` §2).
const SNIFFED: usize = 512;
