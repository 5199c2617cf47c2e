//! Logins by AWS: whatever URL, headers and body a client sends, nothing goes anywhere but to an STS of AWS or to the endpoint
//! that an operator named, and what goes there is one request that asks who signed it.
//!
//! A case is method, URL and body, each in a line of its own, and lines of headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use leasehold::auth::aws::{Preview, preview};
use leasehold::aws::StsRegion;
use serde_json::{Map, Value, json};

/// Looks where a case would be sent.
pub(crate) fn run(bytes: &[u8], seen: &mut dyn FnMut(&'static str)) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default().trim_end_matches('\r').to_owned();
    let (method, url, body) = (line(), line(), line());
    let mut headers: Map<String, Value> = Map::new();
    for header in lines {
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        // The same name in another case stays apart; the very same becomes a list.
        let values = headers.entry(name.to_owned()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(value.trim()));
        }
    }
    let mut data = Map::from_iter([
        ("iam_http_request_method".to_owned(), json!(method)),
        ("iam_request_url".to_owned(), json!(BASE64.encode(&url))),
        ("iam_request_headers".to_owned(), json!(BASE64.encode(Value::Object(headers).to_string()))),
    ]);
    if !body.is_empty() {
        data.insert("iam_request_body".to_owned(), json!(BASE64.encode(&body)));
    }
    match preview(&data, "") {
        Ok(sent) => {
            assert!(StsRegion::of_host(sent.to.host()).is_some(), "{sent:?}");
            check(&sent);
            seen("sent to STS");
        }
        Err(text) => {
            assert!(!text.is_empty() && text.len() < 1000, "{text:?}");
            seen("refused");
        }
    }
    if let Ok(sent) = preview(&data, ENDPOINT) {
        assert_eq!(sent.to.host(), "sts.internal:4566");
        check(&sent);
        seen("sent to the endpoint");
    }
}

/// One request, whole and for one action.
fn check(sent: &Preview) {
    let signed = &sent.signed;
    let target = signed.target.as_str();
    let text = if signed.method == "POST" {
        assert_eq!(target, "/");
        std::str::from_utf8(&signed.body).unwrap()
    } else {
        assert!(signed.method == "GET" && signed.body.is_empty());
        target.strip_prefix("/?").unwrap()
    };
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{text:?}");
    let pairs: Vec<(String, String)> =
        text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decoded).collect();
    let actions: Vec<_> = pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case("action")).collect();
    assert!(matches!(actions.as_slice(), [(name, value)] if name == "Action" && value == "GetCallerIdentity"), "{text:?}");
    let is_known = |name: &str| name == "Action" || name == "Version" || name.to_ascii_lowercase().starts_with("x-amz-");
    assert!(pairs.iter().all(|(name, _)| is_known(name)), "{text:?}");
    for (name, value) in &signed.headers {
        assert!(!OURS.contains(&name.as_str()) && !name.as_str().starts_with("proxy-"), "{name}");
        assert!(value.to_str().is_ok_and(|value| !value.contains(['\r', '\n', '\0'])), "{value:?}");
    }
    assert!(!signed.host.to_str().unwrap().contains(['@', '/', '#', '?', ' ']), "{:?}", signed.host);
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    let decode = |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    (decode(name), decode(value))
}

const ENDPOINT: &str = "http://sts.internal:4566";

/// What the connection itself decides.
const OURS: &[&str] = &["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"];
