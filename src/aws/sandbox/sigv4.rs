//! Signatures of AWS, version 4: what a request says of itself, and whether it is true.
//!
//! The rules are those of the AWS documentation, "Signature Version 4 signing process", for signatures in the
//! `Authorization` header and for those in the query, which are good for as long as they say.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::{digest, hmac};

use super::failure::Failure;
use super::form::Form;
use crate::base::Secret;

/// What a request says of its signature.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) key_id: String,
    pub(super) region: String,
    /// The session token, if one was sent.
    pub(super) token: Option<Secret<String>>,
    date: String,
    service: String,
    headers: Vec<String>,
    signature: Vec<u8>,
    time: DateTime<Utc>,
    time_text: String,
    /// Of a signature in the query: how long it is good; else as long as clocks may differ.
    lasts: Option<TimeDelta>,
}

/// What a signature says of itself, wherever it stands.
struct Parameters<'a> {
    credential: &'a str,
    headers: &'a str,
    signature: &'a str,
    time: &'a str,
    token: Option<&'a str>,
    lasts: Option<TimeDelta>,
}

impl Parameters<'_> {
    fn signed(&self) -> Result<Signed, Failure> {
        let scope: Vec<&str> = self.credential.split('/').collect();
        let [key_id, date, region, service, "aws4_request"] = scope.as_slice() else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        let headers: Vec<String> = self.headers.split(';').map(str::to_ascii_lowercase).collect();
        if !headers.iter().any(|name| name == "host") {
            return Err(mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."));
        }
        Ok(Signed {
            key_id: (*key_id).to_owned(),
            region: (*region).to_owned(),
            token: self.token.map(|token| Secret::new(token.to_owned())),
            date: (*date).to_owned(),
            service: (*service).to_owned(),
            headers,
            signature: hex::decode(self.signature).map_err(|_| mismatch(MISMATCH))?,
            time: time(self.time).ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'."))?,
            time_text: self.time.to_owned(),
            lasts: self.lasts,
        })
    }
}

impl Signed {
    /// Reads a request that is signed in its headers, or else in its query.
    pub(super) fn of(parts: &Parts) -> Result<Self, Failure> {
        let text = parts.uri.query().unwrap_or_default();
        if parts.headers.contains_key("authorization") || !text.contains("X-Amz-Algorithm=") {
            return Self::read(&parts.headers);
        }
        let form = Form::parse(text)?;
        let field = |name: &str| form.get(name).ok_or_else(|| incomplete(&format!("Query must contain the parameter {name}.")));
        if field("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
            return Err(incomplete("Unsupported algorithm in the query."));
        }
        let expires = field("X-Amz-Expires")?.parse().ok().filter(|seconds| (1..=604_800).contains(seconds));
        let parameters = Parameters {
            credential: field("X-Amz-Credential")?,
            headers: field("X-Amz-SignedHeaders")?,
            signature: field("X-Amz-Signature")?,
            time: field("X-Amz-Date")?,
            token: form.get("X-Amz-Security-Token"),
            lasts: Some(TimeDelta::seconds(expires.ok_or_else(|| incomplete("X-Amz-Expires must be 1 to 604800 seconds."))?)),
        };
        parameters.signed()
    }

    /// Reads the headers of a request.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let missing = || Failure::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
        let text = header(headers, "authorization").ok_or_else(missing)?;
        let fields =
            text.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| incomplete("Unsupported algorithm in Authorization."))?;
        let field = |name: &str| {
            let fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            let mut values = fields.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned());
            values.next().ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let time_text = header(headers, "x-amz-date").or_else(|| header(headers, "date"));
        let time_text = time_text
            .ok_or_else(|| incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."))?;
        let parameters = Parameters {
            credential: &field("Credential")?,
            headers: &field("SignedHeaders")?,
            signature: &field("Signature")?,
            time: time_text,
            token: header(headers, "x-amz-security-token"),
            lasts: None,
        };
        parameters.signed()
    }

    /// Whether the request was signed lately, for `service`, by who knows `secret`, and not changed since.
    pub(super) fn verify(
        &self,
        parts: &Parts,
        body: &[u8],
        secret: &Secret<String>,
        service: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        if self.service != service {
            return Err(mismatch(&format!("Credential should be scoped to correct service: '{service}'.")));
        }
        if self.region.is_empty() || !self.region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(mismatch("Credential should be scoped to a valid region."));
        }
        if self.date != self.time.format("%Y%m%d").to_string() {
            return Err(mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."));
        }
        self.check_time(now)?;
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let request = hex::encode(digest::digest(&digest::SHA256, self.canonical(parts, body)?.as_bytes()));
        let message = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{request}", self.time.format(TIME));
        let key = [&self.date, &self.region, &self.service]
            .iter()
            .fold(hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{}", secret.expose()).as_bytes()), |key, part| {
                next_key(&key, part)
            });
        let key = next_key(&key, "aws4_request");
        hmac::verify(&key, message.as_bytes(), &self.signature).map_err(|_| mismatch(MISMATCH))
    }

    /// A signature is good for 15 minutes before and after its time.
    fn check_time(&self, now: DateTime<Utc>) -> Result<(), Failure> {
        let (own, current) = (&self.time_text, now.format(TIME));
        let expired = |text: String| Err(Failure::new(400, "RequestExpired", text));
        let lasts = self.lasts.unwrap_or(SKEW);
        if self.time < now - lasts {
            return expired(format!(
                "Signature expired: {own} is now earlier than {} ({current} - {} min.)",
                (now - lasts).format(TIME),
                lasts.num_minutes()
            ));
        }
        if self.time > now + SKEW {
            let limit = (now + SKEW).format(TIME).to_string();
            return expired(format!("Signature not yet current: {own} is still later than {limit} ({current} + 15 min.)"));
        }
        Ok(())
    }

    /// The canonical form of the request.
    fn canonical(&self, parts: &Parts, body: &[u8]) -> Result<String, Failure> {
        let mut out = format!("{}\n{}\n{}\n", parts.method, parts.uri.path(), query(parts.uri.query().unwrap_or_default()));
        for name in &self.headers {
            let mut values = Vec::new();
            for value in parts.headers.get_all(name) {
                let text = value.to_str().map_err(|_| mismatch(MISMATCH))?;
                values.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}:{}", values.join(","));
        }
        let hash = hex::encode(digest::digest(&digest::SHA256, body));
        let _ = write!(out, "\n{}\n{hash}", self.headers.join(";"));
        Ok(out)
    }
}

fn next_key(key: &hmac::Key, part: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(key, part.as_bytes()).as_ref())
}

/// The query in its canonical form: each part encoded anew, then sorted.
fn query(text: &str) -> String {
    let encode = |part: &str| {
        let decoded: Vec<u8> = percent_decode_str(part).collect();
        percent_encoding::percent_encode(&decoded, &ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = text
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("X-Amz-Signature="))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Text as RFC 3986 encodes it; the form in which IAM shows policy documents.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let basic = NaiveDateTime::parse_from_str(text, TIME).ok().map(|time| time.and_utc());
    basic.or_else(|| DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc()))
}

fn incomplete(message: &str) -> Failure {
    Failure::new(400, "IncompleteSignature", message)
}

fn mismatch(message: &str) -> Failure {
    Failure::new(403, "SignatureDoesNotMatch", message)
}

/// The unreserved characters of RFC 3986 stay.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const TIME: &str = "%Y%m%dT%H%M%SZ";

/// How far the clocks of who signs and who verifies may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(15);

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
    Access Key and signing method. Consult the service documentation for details.";

#[cfg(test)]
mod tests {
    use super::*;

    /// The request, key and signature of the example in the AWS documentation, "Create a signed AWS API request".
    fn documented() -> (Parts, Secret<String>, DateTime<Utc>) {
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date, \
            Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        let (parts, ()) = http::Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("host", "iam.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("x-amz-date", "20150830T123600Z")
            .header("authorization", authorization)
            .body(())
            .unwrap()
            .into_parts();
        let secret = Secret::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        (parts, secret, time("20150830T123600Z").unwrap())
    }

    #[test]
    fn the_documented_example_is_true() {
        let (parts, secret, now) = documented();
        let signed = Signed::read(&parts.headers).unwrap();
        assert_eq!((signed.key_id.as_str(), signed.region.as_str()), ("AKIDEXAMPLE", "us-east-1"));
        assert_eq!(signed.verify(&parts, b"", &secret, "iam", now), Ok(()));
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let (parts, secret, now) = documented();
        let signed = Signed::read(&parts.headers).unwrap();
        let code = |result: Result<(), Failure>| result.unwrap_err().code;
        assert_eq!(code(signed.verify(&parts, b"x", &secret, "iam", now)), "SignatureDoesNotMatch");
        assert_eq!(code(signed.verify(&parts, b"", &Secret::from("other"), "iam", now)), "SignatureDoesNotMatch");
        assert_eq!(code(signed.verify(&parts, b"", &secret, "sts", now)), "SignatureDoesNotMatch");
        let (mut changed, ..) = documented();
        changed.headers.insert("host", "example.com".parse().unwrap());
        assert_eq!(code(signed.verify(&changed, b"", &secret, "iam", now)), "SignatureDoesNotMatch");
    }

    #[test]
    fn a_signature_is_good_for_a_quarter_of_an_hour() {
        let (parts, secret, now) = documented();
        let signed = Signed::read(&parts.headers).unwrap();
        let at = |seconds| signed.verify(&parts, b"", &secret, "iam", now + TimeDelta::seconds(seconds));
        assert_eq!((at(900), at(-900)), (Ok(()), Ok(())));
        assert_eq!((at(901).unwrap_err().code, at(-901).unwrap_err().code), ("RequestExpired".into(), "RequestExpired".into()));
    }

    #[test]
    fn what_is_no_signature_is_told_so() {
        let code = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
            value.map(|value| headers.insert("authorization", value.parse().unwrap()));
            Signed::read(&headers).unwrap_err().code
        };
        assert_eq!(code(None), "MissingAuthenticationToken");
        assert_eq!(code(Some("Basic abc")), "IncompleteSignature");
        assert_eq!(code(Some("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=00")), "IncompleteSignature");
        assert_eq!(
            code(Some("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=date, Signature=00")),
            "SignatureDoesNotMatch"
        );
    }
}
