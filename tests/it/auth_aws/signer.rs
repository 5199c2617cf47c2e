//! Logins as an SDK signs them, and as somebody changes them afterwards.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

pub(crate) const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

/// What is signed.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) region: String,
    pub(crate) url: String,
    pub(crate) service: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) presigned: bool,
    pub(crate) body: String,
    pub(crate) expires: u64,
}

/// A login as it is sent, to be changed by whoever means ill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    pub(crate) role: Option<String>,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) headers: Vec<(String, Value)>,
}

impl Wish {
    /// What the SDK of that region asks.
    pub(crate) fn post(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            url: format!("https://{}/", host(region)),
            service: "sts".to_owned(),
            headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned())],
            presigned: false,
            body: BODY.to_owned(),
            expires: 900,
        }
    }

    /// The same as a URL that is good by itself.
    pub(crate) fn presigned(region: &str) -> Self {
        let url = format!("https://{}/?{BODY}", host(region));
        Self { url, presigned: true, headers: Vec::new(), body: String::new(), ..Self::post(region) }
    }

    pub(crate) fn url(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signed by these keys at that time.
    pub(crate) fn signed(&self, keys: &Keys, now: SystemTime) -> Login {
        let credentials = Credentials::new(&keys.id, &keys.secret, keys.token.clone(), None, "test").into();
        let mut settings = SigningSettings::default();
        if self.presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(std::time::Duration::from_secs(self.expires));
        }
        let params = v4::SigningParams::builder()
            .identity(&credentials)
            .region(&self.region)
            .name(&self.service)
            .time(now)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let method = if self.presigned { "GET" } else { "POST" };
        let authority = self.url.split('/').nth(2).unwrap().to_owned();
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), authority));
        let plain = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new(method, &self.url, plain, SignableBody::Bytes(self.body.as_bytes())).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let added = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = headers.into_iter().filter(|(name, _)| name != "host").chain(added);
        let mut url = self.url.clone();
        for (place, (name, value)) in instructions.params().iter().enumerate() {
            let mark = if place == 0 && !url.contains('?') { '?' } else { '&' };
            url = format!("{url}{mark}{name}={}", percent(value));
        }
        Login {
            role: None,
            method: method.to_owned(),
            url,
            body: self.body.clone(),
            headers: all.map(|(name, value)| (name, json!([value]))).collect(),
        }
    }
}

impl Login {
    pub(crate) fn role(mut self, role: &str) -> Self {
        self.role = Some(role.to_owned());
        self
    }

    /// With one more header, or a new value of one that is there.
    pub(crate) fn header(mut self, name: &str, value: Value) -> Self {
        self.headers.retain(|(own, _)| own != name);
        self.headers.push((name.to_owned(), value));
        self
    }

    /// The header `Authorization` changed.
    pub(crate) fn authorization(mut self, change: impl Fn(&str) -> String) -> Self {
        for (name, value) in &mut self.headers {
            if name == "authorization" {
                *value = json!([change(value[0].as_str().unwrap())]);
            }
        }
        self
    }

    /// As it is sent.
    pub(crate) fn data(&self) -> Map<String, Value> {
        let headers: Map<String, Value> = self.headers.iter().cloned().collect();
        let mut data = Map::from_iter([
            ("iam_http_request_method".to_owned(), json!(self.method)),
            ("iam_request_url".to_owned(), json!(BASE64.encode(&self.url))),
            ("iam_request_headers".to_owned(), json!(BASE64.encode(Value::Object(headers).to_string()))),
        ]);
        if self.method != "GET" || !self.body.is_empty() {
            data.insert("iam_request_body".to_owned(), json!(BASE64.encode(&self.body)));
        }
        if let Some(role) = &self.role {
            data.insert("role".to_owned(), json!(role));
        }
        data
    }
}

/// The usual name of a region's STS.
pub(crate) fn host(region: &str) -> String {
    if region.starts_with("cn-") { format!("sts.{region}.amazonaws.com.cn") } else { format!("sts.{region}.amazonaws.com") }
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
