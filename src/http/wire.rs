//! Answers to bytes. Here is the one table from kinds of failure to status codes (spec `http-api.md` §5).

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::Value;

use crate::core::{Answer, AnswerBody, HtmlSafe, Outcome, Refusal};
use crate::mount::{ErrorKind, Flow};

/// What every kind of failure is on the wire.
pub(super) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Limited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        ErrorKind::Sealed => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The reply to a request that went through the core.
pub(super) fn outcome(outcome: Outcome) -> Response<Body> {
    match outcome {
        Ok(answer) => answered(answer),
        Err(refusal) => refused(refusal),
    }
}

fn answered(answer: Answer) -> Response<Body> {
    let status = match (&answer.body, answer.is_accepted, answer.is_missing) {
        (_, true, _) => StatusCode::ACCEPTED,
        (AnswerBody::Nothing, ..) => StatusCode::NO_CONTENT,
        (_, _, true) => StatusCode::NOT_FOUND,
        (AnswerBody::Raw(raw), ..) if raw.bytes.is_empty() => StatusCode::NO_CONTENT,
        _ => StatusCode::OK,
    };
    match answer.body {
        AnswerBody::Nothing => json_bytes(status, Bytes::new()),
        AnswerBody::Envelope(envelope) => json_bytes(status, envelope.to_json().into()),
        AnswerBody::Flow(flow) => flowing(flow),
        AnswerBody::Raw(raw) => reply(status, HeaderValue::from_static(raw.content_type), raw.bytes.into()),
    }
}

fn flowing(flow: Flow) -> Response<Body> {
    let content_type = HeaderValue::from_static(flow.content_type());
    let mut response = Response::new(Body::from_stream(flow.into_pieces().map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, content_type);
    response
}

/// A failure.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let Refusal { kind, text, advice, data, retry_after, is_plain } = refusal;
    let mut response = match (text, data) {
        (Some(text), _) if is_plain => reply(status(kind), HeaderValue::from_static("text/plain; charset=utf-8"), text.into()),
        (None, None) => bare(status(kind)),
        (text, data) => {
            let texts: Vec<&str> = text.as_deref().into_iter().chain(advice.as_deref()).collect();
            json_bytes(status(kind), errors(&texts, data.as_ref()).into())
        }
    };
    if let Some(after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, after.as_seconds().into());
    }
    response
}

/// A status with `{"errors":[]}`.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    json_bytes(status, Bytes::from_static(NO_ERRORS))
}

/// A status with one text.
pub(super) fn failure(status: StatusCode, text: &str) -> Response<Body> {
    json_bytes(status, errors(&[text], None).into())
}

/// 405, for methods nothing is done by.
pub(super) fn unsupported() -> Response<Body> {
    let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
    // RFC 9110 wants the header; empty says that there is nothing to name.
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(""));
    response
}

/// 204.
pub(super) fn nothing() -> Response<Body> {
    json_bytes(StatusCode::NO_CONTENT, Bytes::new())
}

/// A record as JSON without an envelope.
pub(super) fn record<T: Serialize>(status: StatusCode, record: &T) -> Response<Body> {
    let mut out = Vec::with_capacity(TYPICAL);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, HtmlSafe);
    if record.serialize(&mut serializer).is_err() {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    }
    out.push(b'\n');
    json_bytes(status, out.into())
}

/// A body in JSON.
pub(super) fn json_bytes(status: StatusCode, bytes: Bytes) -> Response<Body> {
    reply(status, HeaderValue::from_static("application/json"), bytes)
}

/// Not JSON.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    reply(status, HeaderValue::from_static("text/plain; charset=utf-8"), Bytes::from_static(text.as_bytes()))
}

/// 307 to where the path should have led.
pub(super) fn redirect(location: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::try_from(location) else { return empty(StatusCode::BAD_REQUEST) };
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A status and nothing else.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn reply(status: StatusCode, content_type: HeaderValue, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(if bytes.is_empty() { Body::empty() } else { Body::from(bytes) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, content_type);
    response
}

/// `{"errors":[…]}`, and data beside it.
fn errors(texts: &[&str], data: Option<&Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, HtmlSafe);
    let written = serializer.serialize_map(None).and_then(|mut map| {
        map.serialize_entry("errors", texts)?;
        if let Some(data) = data {
            map.serialize_entry("data", data)?;
        }
        map.end()
    });
    // Writing to memory does not fail, and there are no keys but strings.
    if written.is_err() {
        return NO_ERRORS.to_vec();
    }
    out.push(b'\n');
    out
}

const NO_ERRORS: &[u8] = b"{\"errors\":[]}\n";

/// Bytes of most records.
const TYPICAL: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_a_list_and_data_stands_beside_it() {
        let text = |texts: &[&str], data| String::from_utf8(errors(texts, data)).unwrap();
        assert_eq!(text(&[], None), "{\"errors\":[]}\n");
        assert_eq!(text(&["a <b> & \"c\""], None), "{\"errors\":[\"a \\u003cb\\u003e \\u0026 \\\"c\\\"\"]}\n");
        let data = serde_json::json!({ "x": null });
        assert_eq!(text(&["a", "b"], Some(&data)), "{\"errors\":[\"a\",\"b\"],\"data\":{\"x\":null}}\n");
    }
}
