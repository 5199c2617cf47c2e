//! A request that somebody else has signed, sent on to STS (spec `aws-auth-method.md` §12.3).
//!
//! Where it goes is never the signer's to say: [`RelayTo`] is made of an operator's URL or of an entry of the table of regions.
//! No redirect is followed, and all tries together take no longer than [`RELAY`].

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;

use crate::base::time::timeout;
use crate::base::{Clock, random};

use super::connect::Outside;
use super::hosts::StsRegion;

/// Where requests are sent on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayTo {
    scheme: Scheme,
    authority: Authority,
}

/// A request that somebody else has signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// `POST` or `GET`.
    pub method: Method,
    /// Path and query.
    pub target: PathAndQuery,
    /// The host that was signed, whoever is asked.
    pub host: HeaderValue,
    /// All others that go along.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// What STS answered.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// The status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The body, 64 KiB at the most.
    pub body: Bytes,
}

/// No answer in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Silent(String);

impl RelayTo {
    /// An endpoint that an operator has named; `None` when it is no URL with a host.
    pub fn named(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme().filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        Some(Self { scheme: scheme.clone(), authority: authority.clone() })
    }

    /// The STS of a region that has this name among its own; `None` when it has not.
    pub fn of_region(region: StsRegion, host: &str) -> Option<Self> {
        let own = region.hosts().into_iter().find(|own| own == host)?;
        Some(Self { scheme: Scheme::HTTPS, authority: own.parse().ok()? })
    }

    /// For people: host, and port when it is not the usual one.
    pub fn host(&self) -> &str {
        self.authority.as_str()
    }
}

impl Relayed {
    /// The type of the body, without parameters; empty when it is not said once.
    pub fn content_type(&self) -> &str {
        let mut all = self.headers.get_all(header::CONTENT_TYPE).iter();
        match (all.next().and_then(|value| value.to_str().ok()), all.next()) {
            (Some(text), None) => text.split(';').next().unwrap_or_default().trim(),
            _ => "",
        }
    }

    /// When it says it was sent.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let text = self.headers.get(header::DATE)?.to_str().ok()?;
        DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc())
    }

    fn is_worth_another_try(&self) -> bool {
        let status = self.status;
        status == StatusCode::TOO_MANY_REQUESTS || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
    }
}

impl Outside {
    /// Sends a request on. Tried again at most `retries` times, where nobody
    /// answered or the answer was a 429 or a 5xx; then the last answer is the answer.
    ///
    /// # Errors
    /// When there was none within [`RELAY`].
    pub async fn relay(&self, to: &RelayTo, signed: &Signed, retries: u32) -> Result<Relayed, Silent> {
        let uri = Uri::builder()
            .scheme(to.scheme.clone())
            .authority(to.authority.clone())
            .path_and_query(signed.target.clone())
            .build()
            .map_err(|error| Silent(error.to_string()))?;
        let mut request = Request::new(Full::new(signed.body.clone()));
        *request.method_mut() = signed.method.clone();
        *request.uri_mut() = uri;
        request.headers_mut().insert(header::HOST, signed.host.clone());
        for (name, value) in &signed.headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        let clock = self.clock();
        let answer = timeout(clock, RELAY, Box::pin(self.tries(clock, &request, retries))).await;
        answer.unwrap_or_else(|| Err(Silent(format!("{} did not answer within {} s", to.host(), RELAY.as_secs()))))
    }

    async fn tries(&self, clock: &dyn Clock, request: &Request<Full<Bytes>>, retries: u32) -> Result<Relayed, Silent> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..retries.min(MOST_RETRIES) {
            match self.try_once(request).await {
                Ok(answer) if !answer.is_worth_another_try() => return Ok(answer),
                _ => clock.sleep(pause.mul_f64(0.75 + random::unit() / 2.0)).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.try_once(request).await
    }

    async fn try_once(&self, request: &Request<Full<Bytes>>) -> Result<Relayed, Silent> {
        let answer = self.wire().bounded(request.clone(), LARGEST).await.map_err(|error| Silent(error.to_string()))?;
        let (parts, body) = answer.into_parts();
        Ok(Relayed { status: parts.status, headers: parts.headers, body })
    }
}

/// For all tries of one request together: a login must not wait for a silent STS (§12.3, 6).
pub const RELAY: Duration = Duration::from_secs(8);

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// Whatever is configured.
const MOST_RETRIES: u32 = 10;

/// Bytes of an answer; an honest one has some 500.
const LARGEST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_endpoint_is_a_scheme_and_a_host() {
        assert_eq!(RelayTo::named("http://127.0.0.1:4566/path").unwrap().host(), "127.0.0.1:4566");
        assert_eq!(RelayTo::named("https://sts.eu-west-1.amazonaws.com").unwrap().host(), "sts.eu-west-1.amazonaws.com");
        for url in ["", "sts.amazonaws.com", "ftp://x", "https://user@x/", "/path"] {
            assert_eq!(RelayTo::named(url), None, "{url}");
        }
    }

    #[test]
    fn a_region_is_reached_by_its_own_names_only() {
        let region = StsRegion::find("us-west-2").unwrap();
        assert_eq!(RelayTo::of_region(region, "sts.us-west-2.amazonaws.com").unwrap().host(), "sts.us-west-2.amazonaws.com");
        assert_eq!(RelayTo::of_region(region, "sts.amazonaws.com"), None);
        assert_eq!(RelayTo::of_region(region, "evil.example"), None);
    }
}
