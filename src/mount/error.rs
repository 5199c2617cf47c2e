//! What went wrong with a request, in the words its caller gets. Status codes are the edge's business.

use std::fmt;

use serde_json::Value;

use crate::barrier::{BarrierError, NotKept};
use crate::base::{PathError, Ttl};
use crate::lease::LeaseError;
use crate::policy::PolicyStoreError;
use crate::storage::StorageError;

/// Kinds of failure; `http/wire.rs` has the one table from kind to status (spec `http-api.md` §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request makes no sense as it is: 400.
    Invalid,
    /// The caller may not: 403.
    Denied,
    /// There is no such thing, or no such path: 404.
    NotFound,
    /// The path cannot do that: 405.
    Unsupported,
    /// More than is taken: 413.
    TooLarge,
    /// A content type that is not taken: 415.
    MediaType,
    /// Too much at once: 429.
    Limited,
    /// Our fault: 500.
    Internal,
    /// The fault of who we depend on: 502.
    Upstream,
    /// Sealed, or not able to answer now: 503.
    Sealed,
}

/// See the module.
#[derive(Clone)]
pub struct ApiError {
    /// Which kind.
    pub kind: ErrorKind,
    /// What the caller reads; empty: a status without a text.
    pub text: String,
    /// A second element of `errors`: what is to be done about it, in words that older clients do not match on.
    pub advice: Option<Box<str>>,
    /// Outside login paths the text is shown as a list of one: `1 error occurred:…` (spec `http-api.md` §5).
    pub is_listed: bool,
    /// Sent beside the text.
    pub data: Option<Box<Value>>,
    /// When to try again.
    pub retry_after: Option<Ttl>,
    /// For the log, never for the caller.
    pub cause: Option<String>,
    /// What the audit log says instead of the text.
    pub audited: Option<&'static str>,
    /// Sent as a text, not as JSON.
    pub is_plain: bool,
    /// A login failed over what was presented: counts towards locking the user out (spec `00-conventions.md`).
    pub is_bad_credentials: bool,
}

impl ApiError {
    /// An error with its own plain text.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            advice: None,
            is_listed: false,
            data: None,
            retry_after: None,
            cause: None,
            audited: None,
            is_plain: false,
            is_bad_credentials: false,
        }
    }

    /// 400 with a plain text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, text)
    }

    /// 400 whose text is shown as a list of one.
    pub fn invalid_listed(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, text).listed()
    }

    /// 403 `permission denied`, shown as a list of one.
    pub fn denied() -> Self {
        Self::new(ErrorKind::Denied, "permission denied").listed()
    }

    /// 404 without a text: nothing is there.
    pub fn missing() -> Self {
        Self::new(ErrorKind::NotFound, "")
    }

    /// 404: no endpoint of the mount has this path.
    pub fn unsupported_path() -> Self {
        Self::new(ErrorKind::NotFound, "unsupported path").listed()
    }

    /// 405: the endpoint cannot do that.
    pub fn unsupported_operation() -> Self {
        Self::new(ErrorKind::Unsupported, "unsupported operation").listed()
    }

    /// 500 that tells the caller nothing; `cause` is logged with the request's id.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error = Self::new(ErrorKind::Internal, "internal error").listed();
        error.cause = Some(cause.to_string());
        error
    }

    /// 500 with a text that the caller is shown, as a list of one.
    pub fn fault(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, text).listed()
    }

    /// 502: whoever we asked failed us. The text is plain.
    pub fn upstream(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Upstream, text)
    }

    /// 503 while sealed.
    pub fn sealed() -> Self {
        Self::new(ErrorKind::Sealed, "Vault is sealed")
    }

    /// A login refused over what was presented. The audit log does not repeat the text (spec `seal-and-barrier.md` §6).
    pub fn bad_credentials(text: impl Into<String>) -> Self {
        let mut error = Self::invalid(text);
        error.audited = Some("invalid credentials");
        error.is_bad_credentials = true;
        error
    }

    /// The same with its text shown as a list of one.
    #[must_use]
    pub fn listed(mut self) -> Self {
        self.is_listed = true;
        self
    }

    /// The same with a second element of `errors`.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into().into());
        self
    }

    /// The same, sent as a text of its own instead of JSON.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// The same with data beside the text.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(Box::new(data.into()));
        self
    }

    /// The same with a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Ttl) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What the caller reads on a login path or elsewhere.
    pub fn shown(&self, is_login: bool) -> String {
        if self.is_listed && !is_login { listed(&self.text) } else { self.text.clone() }
    }
}

/// A text as Go prints a list of one error.
pub fn listed(text: &str) -> String {
    format!("1 error occurred:\n\t* {text}\n\n")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the data, which may hold anything.
        f.debug_struct("ApiError")
            .field("kind", &self.kind)
            .field("text", &self.text)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ApiError {}

impl From<NotKept> for ApiError {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Changed => Self::internal(error),
            NotKept::Failed(error) | NotKept::Unknown(error) => error.into(),
        }
    }
}

impl From<BarrierError> for ApiError {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::Sealed => Self::sealed(),
            BarrierError::Storage(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::internal(error)
    }
}

impl From<LeaseError> for ApiError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Barrier(error) => error.into(),
            LeaseError::OwnerEnded => Self::denied(),
            LeaseError::Quota(_) => Self::new(ErrorKind::Limited, error.to_string()),
            LeaseError::Unreadable(_) | LeaseError::Contended => Self::internal(error),
            LeaseError::Stopping => Self::sealed(),
            error => Self::invalid(error.to_string()),
        }
    }
}

impl From<PolicyStoreError> for ApiError {
    fn from(error: PolicyStoreError) -> Self {
        match error {
            PolicyStoreError::Barrier(error) => error.into(),
            error => Self::invalid(error.to_string()),
        }
    }
}

impl From<PathError> for ApiError {
    fn from(error: PathError) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_listed_outside_of_logins_only() {
        assert_eq!(ApiError::denied().shown(false), "1 error occurred:\n\t* permission denied\n\n");
        assert_eq!(ApiError::denied().shown(true), "permission denied");
        assert_eq!(ApiError::invalid("x").shown(false), "x");
    }

    #[test]
    fn what_broke_inside_is_not_told() {
        let error = ApiError::from(StorageError::Io("disk /dev/sda is on fire".to_owned()));
        assert_eq!(error.shown(true), "internal error");
        assert!(error.cause.unwrap().contains("on fire"));
    }
}
