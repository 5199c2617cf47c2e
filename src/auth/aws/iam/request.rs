//! The signed request as it was sent: everything is checked before anything of it leaves (spec `aws-auth-method.md` §12.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use crate::aws::Signed;

use super::super::client_config::{ClientConfig, canonical};
use super::super::failure::Failure;
use super::super::login::LoginInput;
use super::headers::HeaderField;
use super::url::{BadUrl, Url, pairs};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    body: Bytes,
    pub(super) headers: HeaderField,
}

impl Request {
    /// Method, URL and body, and that there are headers.
    pub(super) fn read(input: &LoginInput) -> Result<Self, Failure> {
        let text = |field: &Option<crate::mount::field::Text>| field.as_ref().map(|text| text.0.clone()).unwrap_or_default();
        let method = match text(&input.iam_http_request_method).as_str() {
            "" => return Err(Failure::plain("missing iam_http_request_method")),
            "POST" => Method::POST,
            "GET" => Method::GET,
            _ => {
                let text = "invalid iam_http_request_method; currently only 'GET' and 'POST' are supported";
                return Err(Failure::plain(text));
            }
        };
        let url = read_url(&text(&input.iam_request_url))?;
        let body = text(&input.iam_request_body);
        let body = if method == Method::POST {
            if !url.query.is_empty() || url.target.as_str() != "/" {
                return Err(Failure::plain("invalid request"));
            }
            read_body(&body)?
        } else {
            check_action(&url)?;
            if !body.is_empty() {
                return Err(Failure::plain("iam request body is invalid"));
            }
            Bytes::new()
        };
        let headers = input.iam_request_headers.clone().unwrap_or_default();
        // A presigned request says all it has to say in its query.
        if headers.0.is_empty() && method == Method::POST {
            return Err(Failure::plain("missing iam_request_headers"));
        }
        Ok(Self { method, url, body, headers })
    }

    /// Which headers and query keys are there, and how large they are.
    pub(super) fn check_headers(&self, config: &ClientConfig) -> Result<(), Failure> {
        let extra = config.allowed_sts_header_values.as_deref().unwrap_or_default();
        let is_allowed = |name: &str| {
            let name = canonical(name);
            !name.starts_with("X-Amz-") || ALLOWED.contains(&name.as_str()) || extra.contains(&name)
        };
        for (name, _) in &self.headers.0 {
            if !is_allowed(name) {
                return Err(bad_header(name));
            }
        }
        if self.method == Method::GET {
            self.check_query(is_allowed)?;
        }
        self.check_sizes()?;
        for (name, values) in &self.headers.0 {
            let is_sound = HeaderName::from_bytes(name.as_bytes()).is_ok()
                && !values.is_empty()
                && values.iter().all(|value| HeaderValue::from_str(value).is_ok());
            if !is_sound {
                return Err(bad_header(name));
            }
        }
        let accepts = self.headers.values("Accept");
        if !accepts.is_empty() && !accepts.iter().any(|accept| admits_xml(accept)) {
            return Err(bad_header("Accept"));
        }
        let types = self.headers.values("Content-Type");
        if types.len() > 1 || types.iter().any(|value| !is_form(value)) {
            return Err(bad_header("Content-Type"));
        }
        Ok(())
    }

    /// What is sent on.
    pub(super) fn signed(&self, is_signed: impl Fn(&str) -> bool) -> Result<Signed, Failure> {
        let mut headers = Vec::new();
        for (name, values) in &self.headers.0 {
            let lower = name.to_ascii_lowercase();
            let is_of_the_hop = NEVER.contains(&lower.as_str()) || lower.starts_with("proxy-");
            if is_of_the_hop || (lower == "accept-encoding" && !is_signed(&lower)) {
                continue;
            }
            let header = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| bad_header(name))?;
            for value in values {
                headers.push((header.clone(), plain(value).ok_or_else(|| bad_header(name))?));
            }
        }
        let host = plain(&self.url.authority).ok_or_else(|| bad_url("it has no host"))?;
        Ok(Signed { method: self.method.clone(), target: self.url.target.clone(), host, headers, body: self.body.clone() })
    }

    fn check_query(&self, is_allowed: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let bad = |name: &str| Failure::plain(format!("invalid request query param: {}", shortened(name)));
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in &self.url.query {
            let plain = canonical(name);
            let is_sound = match name.as_str() {
                "Action" => true,
                "Version" => value == VERSION,
                "X-Amz-Expires" => value.parse().is_ok_and(|seconds: u32| (1..=LONGEST_EXPIRY).contains(&seconds)),
                _ => plain.starts_with("X-Amz-") && is_allowed(name),
            };
            if !is_sound || seen.contains(&plain) {
                return Err(bad(name));
            }
            seen.push(plain);
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), Failure> {
        let too_large = |what: String| Err(Failure::plain(format!("iam_request_headers too large: {what}")));
        let headers = &self.headers.0;
        if headers.len() > MOST_HEADERS {
            return too_large(format!("more than {MOST_HEADERS} names"));
        }
        if let Some((name, _)) = headers.iter().find(|(_, values)| values.len() > MOST_VALUES) {
            return too_large(format!("{} has more than {MOST_VALUES} values", shortened(name)));
        }
        let bytes: usize = headers.iter().flat_map(|(name, values)| values.iter().map(|value| name.len() + value.len())).sum();
        if bytes > LARGEST_HEADERS {
            return too_large(format!("more than {LARGEST_HEADERS} bytes"));
        }
        Ok(())
    }
}

/// A value that every reader of headers reads alike.
fn plain(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok())
}

fn read_url(text: &str) -> Result<Url, Failure> {
    if text.is_empty() {
        return Err(Failure::plain("missing iam_request_url"));
    }
    let bytes = BASE64.decode(text).map_err(|_| Failure::plain("failed to base64 decode iam_request_url"))?;
    if bytes.len() > LARGEST_URL {
        return Err(Failure::plain(format!("iam_request_url too large: more than {LARGEST_URL} bytes")));
    }
    let unreadable = || Failure::plain("error parsing iam_request_url");
    let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
    Url::parse(&text).map_err(|bad| match bad {
        BadUrl::Unreadable => unreadable(),
        BadUrl::Odd(what) => bad_url(what),
    })
}

fn check_action(url: &Url) -> Result<(), Failure> {
    let actions: Vec<&str> = url.values("Action").collect();
    match actions.as_slice() {
        [] => Err(Failure::plain("no action found in request")),
        [ACTION] => Ok(()),
        [other] => Err(Failure::plain(format!("unexpected action parameter, {}", shortened(other)))),
        _ => Err(Failure::plain("found multiple actions")),
    }
}

fn read_body(text: &str) -> Result<Bytes, Failure> {
    if text.is_empty() {
        return Err(Failure::plain("missing iam_request_body which is required for POST requests"));
    }
    let bytes = BASE64.decode(text).map_err(|_| Failure::plain("failed to base64 decode iam_request_body"))?;
    if bytes.len() > LARGEST_BODY {
        return Err(Failure::plain(format!("iam_request_body too large: more than {LARGEST_BODY} bytes")));
    }
    let invalid = || Failure::plain("iam request body is invalid");
    let form = std::str::from_utf8(&bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let pairs = form.and_then(pairs).ok_or_else(invalid)?;
    let of = |name: &str| pairs.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    let (actions, versions) = (of("Action"), of("Version"));
    let is_sound =
        actions == [ACTION] && (versions.is_empty() || versions == [VERSION]) && pairs.len() == actions.len() + versions.len();
    if is_sound { Ok(Bytes::from(bytes)) } else { Err(invalid()) }
}

/// Whether XML is among what the client takes.
fn admits_xml(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(range.as_str(), "*/*" | "text/*" | "text/xml" | "")
    })
}

fn is_form(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

pub(super) fn bad_header(name: &str) -> Failure {
    Failure::plain(format!("invalid request header: {}", shortened(name)))
}

pub(super) fn bad_url(what: &str) -> Failure {
    Failure::plain(format!("invalid iam_request_url: {what}"))
}

/// What a client wrote, in a text for him.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

const ACTION: &str = "GetCallerIdentity";
const VERSION: &str = "2011-06-15";

/// Headers and query keys `X-Amz-*` that every honest request may have.
const ALLOWED: &[&str] = &[
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-Signedheaders",
    "X-Amz-User-Agent",
];

/// Headers of one hop, and those that are made anew.
const NEVER: &[&str] =
    &["host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"];

/// Seconds: as long as STS takes a request without a query.
const LONGEST_EXPIRY: u32 = 900;

const LARGEST_URL: usize = 8 << 10;
const LARGEST_BODY: usize = 1 << 10;
/// Bytes of names and values; a session token alone may have two thousand.
const LARGEST_HEADERS: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
const MOST_VALUES: usize = 4;
