//! The AWS login: a signed `GetCallerIdentity` request, which the server sends on (spec `aws-auth-method.md`).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::base::version;
use crate::cli::cx::Cx;
use crate::cli::stop::Stop;

/// The body of the login, made of the K=V words.
pub(super) fn body(cx: &mut Cx<'_>, words: &Map<String, Value>) -> Result<Map<String, Value>, Stop> {
    let word = |name: &str| words.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match word("type") {
        Some("ec2") => return of_instance(cx, words),
        None | Some("iam") => {}
        Some(other) => return Err(failed(&format!("type={other}: iam and ec2 are known"))),
    }
    let given = match (word("aws_access_key_id"), word("aws_secret_access_key")) {
        (Some(id), Some(secret)) => {
            Some(Credentials::new(id, secret, word("aws_security_token").map(str::to_owned), None, "arguments"))
        }
        (None, None) => None,
        _ => return Err(failed("aws_access_key_id and aws_secret_access_key must be given together")),
    };
    let asked_region = word("region").unwrap_or(DEFAULT_REGION).to_owned();
    let (credentials, region) = match given {
        Some(credentials) if asked_region != "auto" => (credentials, asked_region),
        given => {
            let (found, region) = surroundings(cx, given)?;
            (found, if asked_region == "auto" { region } else { asked_region })
        }
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(cx.io.clock.now().seconds());
    let signed = signed(&credentials, &region, word("header_value"), now).map_err(|error| failed(&error))?;
    let mut body = Map::new();
    if let Some(role) = words.get("role") {
        body.insert("role".to_owned(), role.clone());
    }
    body.extend(signed);
    Ok(body)
}

/// What AWS signed for the instance we run on, with the role and the nonce of the words.
fn of_instance(cx: &mut Cx<'_>, words: &Map<String, Value>) -> Result<Map<String, Value>, Stop> {
    let endpoint = cx.io.var("AWS_EC2_METADATA_SERVICE_ENDPOINT").map(str::to_owned);
    let unset = |error: &dyn std::fmt::Display| failed(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT: {error}"));
    let pkcs7 = cx.client()?.block_on(async {
        let mut builder = aws_config::imds::Client::builder().max_attempts(2);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint).map_err(|error| unset(&error))?;
        }
        let http = aws_smithy_http_client::Builder::new().build_http();
        let settings = aws_config::provider_config::ProviderConfig::without_region().with_http_client(http);
        let asked = builder.configure(&settings).build().get(PKCS7).await;
        asked.map_err(|error| failed(&format!("the metadata service of the instance does not give its document: {error}")))
    })?;
    let kept = ["role", "nonce"].into_iter().filter_map(|name| Some((name.to_owned(), words.get(name)?.clone())));
    let mut body: Map<String, Value> = kept.collect();
    body.insert("pkcs7".to_owned(), json!(pkcs7.as_ref()));
    Ok(body)
}

/// Credentials and region of the environment, the shared files, the container or the instance.
fn surroundings(cx: &mut Cx<'_>, given: Option<Credentials>) -> Result<(Credentials, String), Stop> {
    use aws_smithy_http_client::tls::Provider;
    use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
    let client = cx.client()?;
    client.block_on(async {
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let behaviour = aws_config::BehaviorVersion::v2026_01_12();
        let config = aws_config::defaults(behaviour).http_client(http).load().await;
        let region = config.region().map_or_else(|| DEFAULT_REGION.to_owned(), ToString::to_string);
        if let Some(credentials) = given {
            return Ok((credentials, region));
        }
        let provider = config.credentials_provider().ok_or_else(|| failed(NO_CREDENTIALS))?;
        let credentials = provider.provide_credentials().await.map_err(|error| failed(&format!("{NO_CREDENTIALS}: {error}")))?;
        Ok((credentials, region))
    })
}

fn signed(
    credentials: &Credentials,
    region: &str,
    server_id: Option<&str>,
    now: SystemTime,
) -> Result<Map<String, Value>, String> {
    let url = endpoint(region);
    let host = url.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let mut headers = vec![
        ("Content-Length".to_owned(), REQUEST.len().to_string()),
        ("Content-Type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ("Host".to_owned(), host),
    ];
    headers.extend(server_id.map(|id| ("X-Vault-AWS-IAM-Server-ID".to_owned(), id.to_owned())));
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let plain = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request =
        SignableRequest::new("POST", &url, plain, SignableBody::Bytes(REQUEST.as_bytes())).map_err(|error| error.to_string())?;
    let (instructions, _) = sign(request, &params).map_err(|error| error.to_string())?.into_parts();
    headers.extend(instructions.headers().map(|(name, value)| (canonical(name), value.to_owned())));
    headers.push(("User-Agent".to_owned(), format!("leasehold/{}", version::VERSION)));
    let listed: Map<String, Value> = headers.into_iter().map(|(name, value)| (name, json!([value]))).collect();
    Ok(Map::from_iter([
        ("iam_http_request_method".to_owned(), json!("POST")),
        ("iam_request_url".to_owned(), json!(STANDARD.encode(url))),
        ("iam_request_body".to_owned(), json!(STANDARD.encode(REQUEST))),
        ("iam_request_headers".to_owned(), json!(STANDARD.encode(Value::Object(listed).to_string()))),
    ]))
}

/// The STS endpoint of a region; the oldest region has the global one.
fn endpoint(region: &str) -> String {
    match region {
        "us-east-1" => "https://sts.amazonaws.com/".to_owned(),
        region if region.starts_with("cn-") => format!("https://sts.{region}.amazonaws.com.cn/"),
        region => format!("https://sts.{region}.amazonaws.com/"),
    }
}

/// `x-amz-date` as `X-Amz-Date`.
fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

fn failed(reason: &str) -> Stop {
    Stop::Remote(format!("Error authenticating: {reason}"))
}

/// Where an instance finds what AWS signed for it.
const PKCS7: &str = "/latest/dynamic/instance-identity/pkcs7";
const DEFAULT_REGION: &str = "us-east-1";
const REQUEST: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const NO_CREDENTIALS: &str = "no AWS credentials found; tried the arguments, the environment, the shared configuration and credentials files, \
                              the web identity token, the container and the instance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_signed_with_all_its_headers() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let body = signed(&credentials, "eu-west-1", Some("vault.example.com"), now).unwrap();
        let decoded = |name: &str| String::from_utf8(STANDARD.decode(body[name].as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(decoded("iam_request_url"), "https://sts.eu-west-1.amazonaws.com/");
        assert_eq!(decoded("iam_request_body"), REQUEST);
        let headers: Value = serde_json::from_str(&decoded("iam_request_headers")).unwrap();
        let authorization = headers["Authorization"][0].as_str().unwrap();
        assert!(authorization.contains("Credential=AKIDEXAMPLE/20231114/eu-west-1/sts/aws4_request"), "{authorization}");
        assert!(
            authorization.contains(
                "SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-vault-aws-iam-server-id"
            ),
            "{authorization}"
        );
        assert_eq!(headers["X-Amz-Security-Token"][0], "session");
        assert_eq!(headers["X-Amz-Date"][0], "20231114T221320Z");
        assert_eq!(endpoint("us-east-1"), "https://sts.amazonaws.com/");
    }
}
