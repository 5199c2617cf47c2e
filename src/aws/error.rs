//! What a call to AWS came to when it did not succeed: *did it happen?* (`aws-secrets-engine.md` §10, §21).

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::base::Ttl;

use super::call::Action;
use super::http::HttpError;

/// Why a call failed, by what may have happened at AWS.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AwsError {
    /// AWS answered no: nothing was done.
    #[error(transparent)]
    Refused(Refusal),
    /// The request never left this process: nothing was done.
    #[error("{text}")]
    Unsent {
        /// What kept it here.
        why: Unsent,
        /// For people.
        text: String,
    },
    /// No answer, an unreadable one, or a 5xx: it may have been done.
    #[error("{text}")]
    Unknown {
        /// For people.
        text: String,
    },
}

/// An answer of AWS that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for.
    pub action: Action,
    /// AWS's code, such as `NoSuchEntity`; empty when the answer had none.
    pub code: String,
    /// AWS's words: names, ARNs, numbers; never a secret.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// Of "too many": when to come again.
    pub retry_after: Option<Ttl>,
    /// By which AWS finds the call again; empty when the answer had none.
    pub request_id: String,
}

/// What kept a request from leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// No credentials, or none that can be had now.
    Credentials,
    /// No connection: name, TCP or TLS.
    Connection,
    /// It was too late to send it (§21, "one issue").
    TooLate,
    /// It cannot be built from what is configured.
    Setting,
}

impl AwsError {
    /// AWS's code, when it answered no.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::Unsent { .. } | Self::Unknown { .. } => "",
        }
    }

    /// AWS's words, when it answered no.
    pub fn message(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.message,
            Self::Unsent { .. } | Self::Unknown { .. } => "",
        }
    }

    /// What was refused, when AWS answered no.
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Refused(refusal) => Some(refusal.action),
            Self::Unsent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// By which AWS finds a refused call again; empty when that was not said.
    pub fn request_id(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.request_id,
            Self::Unsent { .. } | Self::Unknown { .. } => "",
        }
    }

    /// When to come again, if that was said.
    pub fn retry_after(&self) -> Option<Ttl> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Unsent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Whether the call may have been carried out all the same.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// The thing named is not there, or is not visible yet.
    pub fn is_absent(&self) -> bool {
        self.code() == "NoSuchEntity"
    }

    /// Too many calls.
    pub fn is_throttled(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                THROTTLING.contains(&refusal.code.as_str()) || (refusal.code.is_empty() && refusal.status == 429)
            }
            Self::Unsent { .. } | Self::Unknown { .. } => false,
        }
    }

    /// The credentials lack a permission.
    pub fn is_denied(&self) -> bool {
        matches!(self.code(), "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation")
    }

    /// All calls of these credentials fail like this one, or nothing answers: not the business of one lease (§21.5).
    pub fn is_of_account(&self) -> bool {
        match self {
            Self::Refused(refusal) => self.is_throttled() || refusal.is_of_credentials() || refusal.is_of_clock(),
            Self::Unsent { why, .. } => !matches!(why, Unsent::TooLate),
            Self::Unknown { .. } => true,
        }
    }

    /// Asking again may bring another answer: throttled, or not answered.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused(_) => self.is_throttled(),
            Self::Unsent { why, .. } => matches!(why, Unsent::Connection),
            Self::Unknown { .. } => true,
        }
    }

    /// AWS refused since the clocks differ.
    pub fn is_of_clock(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_of_clock())
    }

    /// Something that cannot be built from what is configured.
    pub(super) fn setting(text: impl Into<String>) -> Self {
        Self::Unsent { why: Unsent::Setting, text: text.into() }
    }

    /// From what the SDK says. A 5xx is an unknown outcome whatever its code, except a throttling code (§17).
    pub(super) fn of_sdk<E>(action: Action, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match error {
            SdkError::ServiceError(answer) => {
                let (meta, status) = (answer.err().meta(), answer.raw().status().as_u16());
                let (code, message) = (meta.code().unwrap_or_default(), meta.message().unwrap_or_default());
                Self::of_answer(action, status, code, message).with_request_id(answer.raw().headers().get(REQUEST_ID))
            }
            SdkError::ConstructionFailure(_) => Self::setting(reasons(&error)),
            SdkError::DispatchFailure(ref failure) => {
                let cause = failure.as_connector_error().and_then(Error::source);
                Self::of_dispatch(cause.unwrap_or(&error))
            }
            SdkError::ResponseError(ref answer) => {
                let (status, text) = (answer.raw().status().as_u16(), reasons(&error));
                // An answer nobody can read: of a 4xx it is known that nothing was done.
                if (400..500).contains(&status) { Self::of_answer(action, status, "", &text) } else { Self::Unknown { text } }
            }
            _ => Self::Unknown { text: reasons(&error) },
        }
    }

    /// From an answer other than 200.
    pub(super) fn of_answer(action: Action, status: u16, code: &str, message: &str) -> Self {
        let refusal = Refusal {
            action,
            code: code.to_owned(),
            message: message.to_owned(),
            status,
            retry_after: None,
            request_id: String::new(),
        };
        if status >= 500 && !THROTTLING.contains(&code) {
            return Self::Unknown { text: refusal.to_string() };
        }
        Self::Refused(refusal)
    }

    /// The same with the name AWS gave the call.
    #[must_use]
    pub(super) fn with_request_id(self, id: Option<&str>) -> Self {
        match (self, id) {
            (Self::Refused(refusal), Some(id)) => Self::Refused(Refusal { request_id: id.to_owned(), ..refusal }),
            (error, _) => error,
        }
    }

    /// Either our own connection failed, which knows how far it came, or there was nothing to sign with.
    fn of_dispatch(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(error) = inner.downcast_ref::<HttpError>() {
                return match error {
                    HttpError::Unsent(why, text) => Self::Unsent { why: *why, text: text.clone() },
                    HttpError::Sent(text) => Self::Unknown { text: text.clone() },
                };
            }
            cause = inner.source();
        }
        let text = reasons(error);
        let why = if is_of_endpoint(&text) { Unsent::Setting } else { Unsent::Credentials };
        Self::Unsent { why, text }
    }
}

impl Refusal {
    /// The credentials are not, or no longer, any.
    fn is_of_credentials(&self) -> bool {
        CREDENTIALS.contains(&self.code.as_str())
    }

    /// "Signature expired" and "not yet current" come under several codes.
    fn is_of_clock(&self) -> bool {
        match self.code.as_str() {
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => true,
            "SignatureDoesNotMatch" | "InvalidSignatureException" => {
                self.message.contains("expired") || self.message.contains("not yet current")
            }
            _ => false,
        }
    }
}

/// In the form `Code: message`, which clients look into (§10).
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.message.as_str()) {
            ("", "") => write!(f, "AWS answered with status {}", self.status),
            ("", message) => f.write_str(message),
            (code, "") => f.write_str(code),
            (code, message) => write!(f, "{code}: {message}"),
        }
    }
}

impl Error for Refusal {}

/// An error and its causes on one line. They name hosts, operations and codes; bodies and headers are not among them.
fn reasons(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) && text.len() < LONGEST {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    text.chars().take(LONGEST).collect()
}

fn is_of_endpoint(text: &str) -> bool {
    text.contains("endpoint") && !text.contains("credential")
}

/// The header in which AWS names a call.
const REQUEST_ID: &str = "x-amzn-requestid";

/// Characters kept of a cause.
const LONGEST: usize = 1000;

/// Codes by which AWS says "too many calls", in all its dialects.
const THROTTLING: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "BandwidthLimitExceeded",
    "LimitExceededException",
];

/// Codes of credentials that are refused as such (§21.5).
const CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "IncompleteSignature",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    // of EC2
    "AuthFailure",
    "Blocked",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, message: &str) -> AwsError {
        AwsError::of_answer("iam:CreateUser", status, code, message)
    }

    #[test]
    fn a_4xx_is_a_refusal_and_a_5xx_is_unknown() {
        assert!(!answer(409, "EntityAlreadyExists", "x").may_have_happened());
        assert!(answer(500, "ServiceFailure", "x").may_have_happened());
        assert!(answer(503, "ServiceUnavailable", "x").may_have_happened());
    }

    #[test]
    fn throttling_is_a_refusal_even_as_a_5xx() {
        let error = answer(503, "Throttling", "Rate exceeded");
        assert!(!error.may_have_happened());
        assert!(error.is_throttled() && error.is_passing() && error.is_of_account());
    }

    #[test]
    fn a_denied_action_is_of_one_lease_and_a_dead_key_of_all() {
        assert!(answer(403, "AccessDenied", "x").is_denied());
        assert!(!answer(403, "AccessDenied", "x").is_of_account());
        assert!(answer(403, "InvalidClientTokenId", "x").is_of_account());
        assert!(!answer(409, "DeleteConflict", "x").is_of_account());
    }

    #[test]
    fn an_expired_signature_is_of_the_clock_and_a_wrong_one_is_not() {
        assert!(answer(403, "SignatureDoesNotMatch", "Signature expired: 2026 is now earlier than 2027").is_of_clock());
        assert!(answer(403, "SignatureDoesNotMatch", "Signature not yet current").is_of_clock());
        assert!(!answer(403, "SignatureDoesNotMatch", "The request signature we calculated does not match").is_of_clock());
    }

    #[test]
    fn texts_are_code_and_message() {
        assert_eq!(answer(400, "Throttling", "Rate exceeded").to_string(), "Throttling: Rate exceeded");
        assert_eq!(answer(400, "", "").to_string(), "AWS answered with status 400");
        assert_eq!(answer(500, "InternalFailure", "").to_string(), "InternalFailure");
    }
}
