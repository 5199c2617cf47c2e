//! A refusal, in the words of AWS.

use super::xml::Xml;

/// A refusal of the stand-in, as AWS would put it on the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The HTTP status, such as 409.
    pub status: u16,
    /// The word that programs look at, such as `EntityAlreadyExists`.
    pub code: String,
    /// The sentence for people.
    pub message: String,
}

impl Failure {
    /// A refusal with all its parts.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// 404: what was named is not there.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(404, "NoSuchEntity", message)
    }

    pub(super) fn missing_user(name: &str) -> Self {
        Self::missing(format!("The user with name {name} cannot be found."))
    }

    /// 409: the name is taken.
    pub(super) fn taken(message: impl Into<String>) -> Self {
        Self::new(409, "EntityAlreadyExists", message)
    }

    /// 409: a quota of the account or of the thing named is used up.
    pub(super) fn quota(what: &str, limit: usize) -> Self {
        Self::new(409, "LimitExceeded", format!("Cannot exceed quota for {what}: {limit}"))
    }

    /// 409: something still hangs on what was to be deleted.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "DeleteConflict", message)
    }

    /// 400: a parameter breaks a rule on single values.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// 400: `field` has a value that breaks `rule`.
    pub(super) fn constraint(field: &str, value: &str, rule: &str) -> Self {
        // Long values are cut: the message goes into logs.
        let shown: String = value.chars().take(64).collect();
        Self::invalid(format!("1 validation error detected: Value '{shown}' at '{field}' failed to satisfy constraint: {rule}"))
    }

    /// 400: a parameter is not what the service takes.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    pub(super) fn document(message: impl Into<String>) -> Self {
        Self::new(400, "MalformedPolicyDocument", message)
    }

    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    /// 403: the key is unknown, inactive or deleted, or the session token is not its own.
    pub(super) fn unknown_key() -> Self {
        Self::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    }

    /// The body of the answer.
    pub(super) fn body(&self, namespace: &str, request_id: &str) -> String {
        let mut xml = Xml::default();
        xml.root("ErrorResponse", namespace, |xml| {
            xml.group("Error", |xml| {
                xml.leaf("Type", if self.status >= 500 { "Receiver" } else { "Sender" });
                xml.leaf("Code", &self.code);
                xml.leaf("Message", &self.message);
            });
            xml.leaf("RequestId", request_id);
        });
        xml.into_text()
    }
}
