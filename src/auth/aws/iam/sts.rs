//! The signed request goes to STS, and what comes back is told: an identity, or whose fault it is
//! (spec `aws-auth-method.md` §12.3, §21.1).

use chrono::{DateTime, NaiveDateTime, Utc};
use http::StatusCode;

use crate::aws::{RELAY, RelayTo, Relayed, StsRegion};
use crate::base::Clock;

use super::super::AwsAuth;
use super::super::client_config::ClientConfig;
use super::super::failure::{AwsFault, Code, Failure};
use super::reply::{self, Identity, StsError, Unread};
use super::request::{Request, bad_url, shortened};
use super::scope::Scope;

/// Where the request goes: never where it says, but where an operator said, or where the region it is signed for is.
pub(super) fn destination(request: &Request, scope: &Scope, config: &ClientConfig) -> Result<RelayTo, Failure> {
    if !config.sts_endpoint.is_empty() && !config.use_sts_region_from_client {
        return RelayTo::named(&config.sts_endpoint).ok_or_else(|| {
            let sentence = "sts_endpoint in config/client is no URL with a host: the operator of this server must correct it";
            Failure::named(Code::StsUnreachable, "error making upstream request: no such endpoint", sentence)
        });
    }
    if !request.url.has_usual_port {
        return Err(bad_url("its port is not 443"));
    }
    let region = StsRegion::find(&scope.region).ok_or_else(|| {
        let region = shortened(&scope.region);
        let sentence = format!("the client signed for {region}, which is no region with an STS that this server knows");
        Failure::named(Code::RegionScope, format!("unable to get regional STS endpoint for region: {region}"), sentence)
    })?;
    RelayTo::of_region(region, &request.url.host).ok_or_else(|| {
        let host = shortened(&request.url.host);
        let of_host = StsRegion::of_host(&request.url.host)
            .map_or_else(|| "no STS of AWS".to_owned(), |region| format!("the STS of {}", region.name()));
        let sentence =
            format!("the client signed for {} but its URL names {host}, {of_host}: both must be of one region", region.name());
        Failure { named: Some((Code::RegionScope, sentence)), ..bad_url("its host is not of the region it is signed for") }
    })
}

impl AwsAuth {
    /// Sends the request on.
    pub(super) async fn relay(
        &self,
        request: &Request,
        scope: &Scope,
        to: &RelayTo,
        config: &ClientConfig,
    ) -> Result<Relayed, Failure> {
        let Ok(_place) = self.iam.relays.try_acquire() else {
            let sentence = "this server waits for STS with too many logins already; try again in 10 s";
            return Err(Failure::named(Code::Throttled, upstream("too many logins wait for STS"), sentence));
        };
        let signed = request.signed(|name| scope.signs(name))?;
        let retries = u32::try_from(config.max_retries).unwrap_or(RETRIES);
        let answer = self.outside().await?.relay(to, &signed, retries).await;
        answer.map_err(|silent| {
            let fault = fault(StsError { message: silent.to_string(), ..StsError::default() });
            let sentence = format!(
                "{} did not answer this server within {} s: its network, or sts_endpoint in config/client, must be looked at",
                to.host(),
                RELAY.as_secs()
            );
            let text = upstream(&format!("no answer from {}", to.host()));
            Failure { aws: Some(Box::new(fault)), ..Failure::named(Code::StsUnreachable, text, sentence) }
        })
    }
}

/// Reads what came back.
pub(super) fn identity(
    answer: &Relayed,
    request: &Request,
    scope: &Scope,
    to: &RelayTo,
    clock: &dyn Clock,
) -> Result<Identity, Failure> {
    let unread = match reply::read(answer) {
        Ok(identity) => return Ok(identity),
        Err(unread) => unread,
    };
    if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
        let sentence = format!("{} answers with {}: try again later", to.host(), answer.status.as_u16());
        let text = match unread {
            Unread::Invalid(text, _) => text.to_owned(),
            Unread::Refused(..) => received(answer),
        };
        return Err(Failure::named(Code::StsUnreachable, upstream(&text), sentence));
    }
    Err(match unread {
        Unread::Invalid(text, rule) => {
            let sentence = format!("what {} answered is not what STS answers: {rule}", to.host());
            Failure::named(Code::StsReplyInvalid, upstream(text), sentence)
        }
        Unread::Refused(status, error) => {
            let (code, sentence) = named(status, &error, request, scope, answer, clock);
            Failure { aws: Some(Box::new(fault(error))), ..Failure::named(code, upstream(&received(answer)), sentence) }
        }
    })
}

/// Which of the failures a refusal of STS is, and whose fault.
fn named(
    status: StatusCode,
    error: &StsError,
    request: &Request,
    scope: &Scope,
    answer: &Relayed,
    clock: &dyn Clock,
) -> (Code, String) {
    let (code, message) = (error.code.as_str(), error.message.as_str());
    let is_of_time = message.contains("Signature expired") || message.contains("not yet current");
    match code {
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => (Code::ClockSkew, skew(request, answer, clock)),
        _ if is_of_time => (Code::ClockSkew, skew(request, answer, clock)),
        _ if message.contains("scoped to a valid region") || message.contains("scoped to correct region") => {
            let named = StsRegion::of_host(&request.url.host).map_or(request.url.host.as_str(), |region| region.name());
            let sentence = format!(
                "the client signed for {} and STS of {named} refuses that: sign for the region that is asked",
                scope.region
            );
            (Code::RegionScope, sentence)
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => (
            Code::ClientKeyUnknown,
            "AWS does not know the client's access key, or not together with its session token".to_owned(),
        ),
        "ExpiredToken" | "ExpiredTokenException" => (
            Code::ClientCredentialsExpired,
            "the client's credentials have expired: it must get new ones before it logs in".to_owned(),
        ),
        "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException" => {
            let sentence = "AWS finds the client's signature wrong: its secret key is not that of the access key, or the request was changed after it was signed";
            (Code::ClientSignature, sentence.to_owned())
        }
        _ => (Code::StsReplyInvalid, format!("STS answered with {} instead of an identity", status.as_u16())),
    }
}

/// Both times, and whose clock is off: ours is compared with AWS's.
fn skew(request: &Request, answer: &Relayed, clock: &dyn Clock) -> String {
    let signed =
        request.headers.values("X-Amz-Date").first().map(String::as_str).or_else(|| request.url.values("X-Amz-Date").next());
    let signed = signed.and_then(|text| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()).map(|time| time.and_utc());
    let shown = |time: Option<DateTime<Utc>>| time.map_or_else(|| "unknown".to_owned(), |time| time.format("%FT%TZ").to_string());
    let (aws, ours) = (answer.date(), clock.precise());
    let server = match aws {
        Some(aws) if (aws - ours).num_seconds().abs() > CLOCKS_DIFFER => {
            format!("; the clock of this server is off as well, by {} s", (ours - aws).num_seconds())
        }
        Some(_) => "; the clock of this server is right".to_owned(),
        None => String::new(),
    };
    format!(
        "the client signed at {} by its clock and it is {} at AWS: its clock is off, or the request is too old{server}",
        shown(signed),
        shown(aws)
    )
}

fn received(answer: &Relayed) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let body: String =
        body.trim().chars().filter(|letter| !letter.is_control() || letter.is_whitespace()).take(LONGEST_BODY).collect();
    format!("received error code {} from STS: {body}", answer.status.as_u16())
}

fn upstream(text: &str) -> String {
    format!("error making upstream request: {text}")
}

fn fault(error: StsError) -> AwsFault {
    AwsFault {
        service: "sts".to_owned(),
        action: "GetCallerIdentity".to_owned(),
        code: error.code,
        message: error.message,
        request_id: error.request_id,
    }
}

/// What `max_retries` -1 means.
const RETRIES: u32 = 3;

/// Seconds of difference that are worth a word.
const CLOCKS_DIFFER: i64 = 60;

/// Characters of an answer that are told to the client.
const LONGEST_BODY: usize = 1000;
