//! Why a login is refused: the text that older clients match on, and beside it a code and one sentence that names the side at
//! fault (spec `aws-auth-method.md` §21.1).

use serde_json::{Value, json};

use crate::aws::{AwsError, Unsent};
use crate::base::{RequestId, Ttl};
use crate::mount::{ApiError, ErrorKind};

/// A stable name of a failure. Codes never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// STS: the signature expired, or is not yet current.
    ClockSkew,
    /// The request is signed for another region than it names.
    RegionScope,
    /// The header with the server's id is not there.
    ServerIdMissing,
    /// It is there, but not signed.
    ServerIdUnsigned,
    /// It says something else.
    ServerIdMismatch,
    /// `host` is not signed.
    HostUnsigned,
    /// STS does not know the client's key.
    ClientKeyUnknown,
    /// STS: the signature is wrong.
    ClientSignature,
    /// STS: the client's credentials have ended.
    ClientCredentialsExpired,
    /// What STS answered is not what it should be.
    StsReplyInvalid,
    /// No answer of STS.
    StsUnreachable,
    /// No answer of EC2.
    Ec2Unreachable,
    /// No answer of IAM.
    IamUnreachable,
    /// The role is not for this principal.
    PrincipalNotBound,
    /// The name is bound, but was another principal's then.
    PrincipalRecreated,
    /// The role, or this server, is not for this account.
    AccountNotBound,
    /// Another bound of the role.
    BoundMismatch,
    /// AWS refused our own call.
    ServerPermission,
    /// Our own key is refused or missing.
    ServerCredentials,
    /// Too many calls, for longer than a login waits.
    Throttled,
    /// The instance is there but does not run.
    InstanceNotRunning,
    /// EC2 does not know the instance.
    InstanceUnknown,
    /// Another nonce than at the first login.
    NonceMismatch,
    /// The nonce of the first login is not known to us.
    NonceMissing,
    /// Only one login was allowed.
    ReauthenticationDisabled,
    /// The document is older than that of the login before.
    DocumentOlder,
    /// No certificate for who signed the document.
    DocumentCertificateUnknown,
    /// The signature of the document is wrong.
    DocumentSignature,
    /// The role tag is missing or wrong.
    RoleTag,
    /// The address.
    Cidr,
}

/// Why a login is refused.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// What the caller gets, the code left out.
    pub(super) error: Box<ApiError>,
    /// Its name and the sentence; `None` for malformed input, whose text says it all.
    pub(super) named: Option<(Code, String)>,
    /// What AWS said, for the trace.
    pub(super) aws: Option<Box<AwsFault>>,
}

/// A refusal of AWS, as the trace shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AwsFault {
    /// `sts`, `iam`, `ec2`.
    pub(super) service: String,
    /// Such as `GetCallerIdentity`.
    pub(super) action: String,
    /// AWS's code; empty when there was no answer.
    pub(super) code: String,
    /// Its words, or ours on why there was none.
    pub(super) message: String,
    /// AWS's id of the request; empty when it is not known.
    pub(super) request_id: String,
}

impl Code {
    /// As it stands in errors and traces.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ClockSkew => "clock_skew",
            Self::RegionScope => "region_scope",
            Self::ServerIdMissing => "server_id_missing",
            Self::ServerIdUnsigned => "server_id_unsigned",
            Self::ServerIdMismatch => "server_id_mismatch",
            Self::HostUnsigned => "host_unsigned",
            Self::ClientKeyUnknown => "client_key_unknown",
            Self::ClientSignature => "client_signature",
            Self::ClientCredentialsExpired => "client_credentials_expired",
            Self::StsReplyInvalid => "sts_reply_invalid",
            Self::StsUnreachable => "sts_unreachable",
            Self::Ec2Unreachable => "ec2_unreachable",
            Self::IamUnreachable => "iam_unreachable",
            Self::PrincipalNotBound => "principal_not_bound",
            Self::PrincipalRecreated => "principal_recreated",
            Self::AccountNotBound => "account_not_bound",
            Self::BoundMismatch => "bound_mismatch",
            Self::ServerPermission => "server_permission",
            Self::ServerCredentials => "server_credentials",
            Self::Throttled => "throttled",
            Self::InstanceNotRunning => "instance_not_running",
            Self::InstanceUnknown => "instance_unknown",
            Self::NonceMismatch => "nonce_mismatch",
            Self::NonceMissing => "nonce_missing",
            Self::ReauthenticationDisabled => "reauthentication_disabled",
            Self::DocumentOlder => "document_older",
            Self::DocumentCertificateUnknown => "document_certificate_unknown",
            Self::DocumentSignature => "document_signature",
            Self::RoleTag => "role_tag",
            Self::Cidr => "cidr",
        }
    }
}

impl Failure {
    /// 400 whose text says all there is to say: malformed input, an unknown role.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        ApiError::invalid(text).into()
    }

    /// 400 with a code and a sentence that names the side at fault and what to do.
    pub(super) fn named(code: Code, text: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { named: Some((code, sentence.into())), ..Self::plain(text) }
    }

    /// 403 over the address of the caller, who learns nothing more.
    pub(super) fn cidr() -> Self {
        let error = ApiError::new(ErrorKind::Denied, "permission denied");
        Self {
            error: Box::new(error),
            named: Some((Code::Cidr, "this address may not log in with the role".to_owned())),
            aws: None,
        }
    }

    /// A call of ours to AWS that failed: 400 with `prefix` before AWS's words. `place` is the host that was asked.
    pub(super) fn of_aws(prefix: &str, error: &AwsError, place: &str) -> Self {
        let (code, sentence) = named(error, place);
        let mut failure = Self::named(code, format!("{prefix}{error}"), sentence);
        failure.error.retry_after = error.retry_after();
        failure.aws = Some(Box::new(AwsFault::of(error)));
        failure
    }

    /// The same with other words before its text.
    #[must_use]
    pub(super) fn within(mut self, prefix: &str) -> Self {
        if self.error.kind != ErrorKind::Internal {
            self.error.text.insert_str(0, prefix);
        }
        self
    }

    /// The same with another sentence behind its own.
    #[must_use]
    pub(super) fn and_that(mut self, sentence: &str) -> Self {
        if let Some((_, own)) = &mut self.named {
            *own = format!("{own}; {sentence}");
        }
        self
    }

    /// The code.
    pub(super) fn code(&self) -> Option<Code> {
        self.named.as_ref().map(|(code, _)| *code)
    }

    /// The word for it in traces and verdicts.
    pub(super) fn outcome(&self) -> &'static str {
        self.code().map_or(REFUSED, Code::as_str)
    }

    /// What the caller of the request reads.
    pub(super) fn told(self, request: &RequestId) -> ApiError {
        match self.named {
            Some((code, sentence)) => (*self.error).with_advice(format!("[{}] {sentence} (request {request})", code.as_str())),
            None => *self.error,
        }
    }
}

impl AwsFault {
    fn of(error: &AwsError) -> Self {
        let (service, action) = error.action().and_then(|action| action.split_once(':')).unwrap_or_default();
        let message = if error.message().is_empty() { error.to_string() } else { error.message().to_owned() };
        Self {
            service: service.to_owned(),
            action: action.to_owned(),
            code: error.code().to_owned(),
            message,
            request_id: error.request_id().to_owned(),
        }
    }

    /// As JSON.
    pub(super) fn shown(&self) -> Value {
        json!({
            "service": self.service,
            "action": self.action,
            "code": self.code,
            "message": self.message,
            "request_id": self.request_id,
        })
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error: Box::new(error), named: None, aws: None }
    }
}

/// What a failed call of ours is called, and whose fault it is.
fn named(error: &AwsError, place: &str) -> (Code, String) {
    let action = error.action().unwrap_or_default();
    match error {
        _ if error.is_throttled() => {
            let after = error.retry_after().unwrap_or(Ttl::seconds(5)).as_seconds();
            (Code::Throttled, format!("AWS takes no more calls of this server to {action} now; try again in {after} s"))
        }
        AwsError::Refused(refusal) if error.is_denied() => {
            let action = denied_action(&refusal.message).unwrap_or(action);
            (Code::ServerPermission, format!("the credentials of this server lack {action}: its operator must allow it"))
        }
        AwsError::Refused(_) if error.is_of_clock() => {
            (Code::ServerCredentials, "AWS refuses the signatures of this server since its clock is wrong".to_owned())
        }
        AwsError::Refused(_) if error.is_of_account() => {
            (Code::ServerCredentials, format!("AWS refuses the credentials of this server ({})", error.code()))
        }
        AwsError::Refused(_) => (Code::ServerPermission, format!("AWS refused {action} to this server")),
        AwsError::Unsent { why: Unsent::Credentials | Unsent::Setting, .. } => {
            let sentence = "this server has no credentials for AWS: its operator must write config/client";
            (Code::ServerCredentials, sentence.to_owned())
        }
        AwsError::Unsent { .. } | AwsError::Unknown { .. } => {
            (unreachable(place), format!("{place} does not answer this server: look at its network and at config/client"))
        }
    }
}

/// What IAM says is not allowed, in its own sentence.
fn denied_action(message: &str) -> Option<&str> {
    let rest = message.split("perform: ").nth(1)?;
    let action = rest.split_whitespace().next()?.trim_end_matches('.');
    action.contains(':').then_some(action)
}

/// By the name of the service that begins each host and place.
fn unreachable(place: &str) -> Code {
    match place.split(['.', ' ', '/']).next() {
        Some("ec2") => Code::Ec2Unreachable,
        Some("sts") => Code::StsUnreachable,
        _ => Code::IamUnreachable,
    }
}

/// The outcome of what has no code.
const REFUSED: &str = "refused";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    fn refusal(code: &str, message: &str) -> AwsError {
        let (code, message) = (code.to_owned(), message.to_owned());
        let refusal = Refusal { action: "iam:GetRole", code, message, status: 403, retry_after: None, request_id: String::new() };
        AwsError::Refused(refusal)
    }

    fn code(error: &AwsError, place: &str) -> Code {
        Failure::of_aws("x: ", error, place).code().unwrap()
    }

    #[test]
    fn a_failed_call_of_ours_names_what_is_to_be_done() {
        let error = refusal("AccessDenied", "User: arn:x is not authorized to perform: iam:GetRole on resource: y");
        assert_eq!(code(&error, "iam.amazonaws.com"), Code::ServerPermission);
        assert_eq!(code(&refusal("InvalidClientTokenId", "x"), "iam.amazonaws.com"), Code::ServerCredentials);
        assert_eq!(code(&refusal("Throttling", "x"), "iam.amazonaws.com"), Code::Throttled);
        let silent = AwsError::Unknown { text: "no answer".to_owned() };
        assert_eq!(code(&silent, "iam.amazonaws.com"), Code::IamUnreachable);
        assert_eq!(code(&silent, "ec2.eu-west-1.amazonaws.com"), Code::Ec2Unreachable);
        assert_eq!(code(&silent, "sts (http://127.0.0.1:1)"), Code::StsUnreachable);
    }

    #[test]
    fn the_first_text_stays_and_the_second_names_code_and_request() {
        let failure = Failure::named(Code::NonceMismatch, "client nonce mismatch", "the nonce differs").within("a: ");
        let error = failure.told(&RequestId::new("r"));
        assert_eq!((error.text.as_str(), error.kind), ("a: client nonce mismatch", ErrorKind::Invalid));
        assert_eq!(error.advice.as_deref(), Some("[nonce_mismatch] the nonce differs (request r)"));
        assert_eq!(Failure::plain("x").told(&RequestId::new("r")).advice, None);
    }
}
