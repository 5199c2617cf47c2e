//! What web pages of other origins are told (spec `http-api.md` §10).

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use super::wire;
use crate::core::Core;

/// What comes of a request's origin.
#[derive(Debug)]
pub(super) enum Judged {
    /// It has none, or nobody is told anything: it is served like any other.
    Free,
    /// It is served, and its page may read the reply.
    Allowed(HeaderValue),
    /// It is answered already: refused, or asked only what it may ask.
    Answered(Response<Body>),
}

/// Judges a request by its origin.
pub(super) fn judge(core: &Core, parts: &Parts) -> Judged {
    let Some(origin) = parts.headers.get(ORIGIN).filter(|origin| !origin.is_empty()) else { return Judged::Free };
    let Some(cors) = core.cors() else { return Judged::Free };
    if !origin.to_str().is_ok_and(|origin| cors.allows(origin)) {
        return Judged::Answered(wire::failure(StatusCode::FORBIDDEN, "origin not allowed"));
    }
    if parts.method != Method::OPTIONS {
        return Judged::Allowed(origin.clone());
    }
    let wanted = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !METHODS.split(',').any(|method| method == wanted) {
        return Judged::Answered(wire::empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let mut response = wire::empty(StatusCode::OK);
    allow(&mut response, origin.clone());
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    if let Ok(names) = HeaderValue::try_from(cors.headers().join(",")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
    Judged::Answered(response)
}

/// Lets the page read the reply.
pub(super) fn allow(response: &mut Response<Body>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("Origin"));
}

/// What pages may ask by; `PATCH` is not among them.
const METHODS: &str = "DELETE,GET,OPTIONS,POST,PUT,LIST";
