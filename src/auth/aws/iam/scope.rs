//! What the signature says of itself: whose key, for which region, over which headers. Nothing is verified here, that is for
//! STS; but STS must see what was looked at (spec `aws-auth-method.md` §12.1, §12.2).

use http::Method;

use super::super::client_config::ClientConfig;
use super::super::failure::{Code, Failure};
use super::request::{Request, shortened};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// Of the credential scope.
    pub(super) region: String,
    /// Names of the signed headers, in lower case.
    pub(super) signed_headers: Vec<String>,
}

impl Scope {
    /// Reads it off the header `Authorization`, or off the query of a presigned request.
    pub(super) fn read(request: &Request) -> Result<Self, Failure> {
        let (credential, headers) = if request.method == Method::POST { of_header(request)? } else { of_query(request)? };
        if request.headers.values("X-Amz-Date").len() + request.url.values("X-Amz-Date").count() > 1 {
            return Err(bad("X-Amz-Date is there more than once"));
        }
        let parts: Vec<&str> = credential.split('/').collect();
        let region = match parts.as_slice() {
            [_, _, "", _, _] | [] | [_] | [_, _] => return Err(Failure::plain("region missing from Authorization header")),
            [key, date, region, "sts", "aws4_request"] if !key.is_empty() && !date.is_empty() => (*region).to_owned(),
            [_, _, _, "sts", "aws4_request"] => return Err(bad("its credential scope is not complete")),
            _ => return Err(bad("its credential scope does not end in sts/aws4_request")),
        };
        let signed_headers: Vec<String> = headers.split(';').map(str::to_ascii_lowercase).collect();
        if !signed_headers.iter().any(|name| name == "host") {
            let sentence = "the client must sign the header host: sign the request with an AWS SDK";
            return Err(Failure::named(Code::HostUnsigned, "invalid Authorization header: host is not signed", sentence));
        }
        Ok(Self { region, signed_headers })
    }

    /// Whether a header, in lower case, is among the signed ones.
    pub(super) fn signs(&self, header: &str) -> bool {
        self.signed_headers.iter().any(|name| name == header)
    }
}

/// The header that names this server, where it is wanted: so a login captured elsewhere is of no use here.
pub(super) fn check_server_id(request: &Request, config: &ClientConfig) -> Result<(), Failure> {
    let expected = config.iam_server_id_header_value.as_str();
    if expected.is_empty() {
        return Ok(());
    }
    let refused = |code: Code, suffix: &str, sentence: String| {
        Failure::named(code, format!("error validating {SERVER_ID} header: {suffix}"), sentence)
    };
    let values = request.headers.values(&super::super::client_config::canonical(SERVER_ID));
    let sent = values.join(",");
    if values.is_empty() {
        let sentence = format!("the client must send the header {SERVER_ID} with the value \"{expected}\", and sign it");
        return Err(refused(Code::ServerIdMissing, &format!("missing header \"{SERVER_ID}\""), sentence));
    }
    if sent != expected {
        let sentence =
            format!("the client must send \"{expected}\" in the header {SERVER_ID}: this login was signed for another server");
        let suffix = format!("expected \"{expected}\" but got \"{}\"", shortened(&sent));
        return Err(refused(Code::ServerIdMismatch, &suffix, sentence));
    }
    let unsigned = || {
        let sentence = format!("the client sent the header {SERVER_ID} without signing it: add it before the request is signed");
        refused(Code::ServerIdUnsigned, "vault header wasn't signed", sentence)
    };
    let headers = if request.method == Method::POST {
        match request.headers.values("Authorization") {
            [] => return Err(refused(Code::ServerIdUnsigned, "missing Authorization header", SIGN.to_owned())),
            [one] => one.split_once("SignedHeaders=").map(|(_, rest)| rest.split(',').next().unwrap_or_default().trim()),
            _ => return Err(bad("it is there more than once")),
        }
    } else {
        request.url.values(SIGNED_HEADERS).next()
    };
    let is_signed = headers.is_some_and(|names| names.split(';').any(|name| name == SERVER_ID.to_ascii_lowercase()));
    if is_signed { Ok(()) } else { Err(unsigned()) }
}

/// The fields of `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, each of them once and no others.
fn of_header(request: &Request) -> Result<(&str, &str), Failure> {
    let text = match request.headers.values("Authorization") {
        [] => return Err(bad("it is missing")),
        [one] => one.as_str(),
        _ => return Err(bad("it is there more than once")),
    };
    if !request.url.query.is_empty() {
        return Err(Failure::plain("invalid request"));
    }
    let fields = text.trim().strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| bad("its algorithm is not AWS4-HMAC-SHA256"))?;
    let [mut credential, mut headers, mut signature] = [None; 3];
    for field in fields.split(',') {
        let (name, value) = field.trim().split_once('=').ok_or_else(|| bad("it is not a list of fields"))?;
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut headers,
            "Signature" => &mut signature,
            _ => return Err(bad("it has another field than Credential, SignedHeaders and Signature")),
        };
        if place.replace(value).is_some() {
            return Err(bad("a field is there more than once"));
        }
    }
    match (credential, headers, signature) {
        (Some(credential), Some(headers), Some(_)) => Ok((credential, headers)),
        (None, ..) => Err(Failure::plain("region missing from Authorization header")),
        _ => Err(bad("a field is missing")),
    }
}

fn of_query(request: &Request) -> Result<(&str, &str), Failure> {
    if !request.headers.values("Authorization").is_empty() {
        return Err(bad("a GET request is signed in its query"));
    }
    let one = |name: &str| request.url.values(name).next();
    if one("X-Amz-Algorithm") != Some("AWS4-HMAC-SHA256") {
        return Err(bad("X-Amz-Algorithm is not AWS4-HMAC-SHA256"));
    }
    match (one("X-Amz-Credential"), one(SIGNED_HEADERS), one("X-Amz-Signature")) {
        (Some(credential), Some(headers), Some(_)) => Ok((credential, headers)),
        (None, ..) => Err(Failure::plain("region missing from Authorization header")),
        _ => Err(bad("a field is missing")),
    }
}

fn bad(what: &str) -> Failure {
    Failure::plain(format!("invalid Authorization header: {what}"))
}

const SERVER_ID: &str = "X-Vault-AWS-IAM-Server-ID";
const SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
const SIGN: &str = "the client did not sign the request: sign it with an AWS SDK";
