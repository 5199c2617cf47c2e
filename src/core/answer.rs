//! What the core tells the edge.

use crate::base::Ttl;
use crate::mount::{ApiError, ErrorKind, Raw};

use super::envelope::Envelope;

/// What became of a request.
pub type Outcome = Result<Answer, Refusal>;

/// A success.
#[derive(Debug)]
pub struct Answer {
    /// What is sent.
    pub body: AnswerBody,
    /// Something goes on: 202.
    pub is_accepted: bool,
    /// A body that says why there is nothing: 404.
    pub is_missing: bool,
}

/// See [`Answer`].
#[derive(Debug)]
pub enum AnswerBody {
    /// Nothing: 204.
    Nothing,
    /// The usual form.
    Envelope(Box<Envelope>),
    /// Bytes of their own type.
    Raw(Raw),
}

/// A failure, as the client is told.
#[derive(Debug)]
pub struct Refusal {
    /// Which kind.
    pub kind: ErrorKind,
    /// The first element of `errors`; none for a status without text.
    pub text: Option<String>,
    /// The second one.
    pub advice: Option<String>,
    /// Sent beside the text.
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
    /// When to try again.
    pub retry_after: Option<Ttl>,
}

impl Answer {
    /// Of a body.
    pub fn new(body: AnswerBody) -> Self {
        Self { body, is_accepted: false, is_missing: false }
    }

    /// 204.
    pub fn nothing() -> Self {
        Self::new(AnswerBody::Nothing)
    }

    /// JSON without an envelope.
    ///
    /// # Errors
    /// When it cannot be written, which is a mistake of ours.
    pub fn bare<T: serde::Serialize>(value: &T) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(ApiError::internal)?;
        Ok(Self::new(AnswerBody::Raw(Raw { content_type: "application/json", bytes })))
    }
}

impl Refusal {
    /// As a client of a login path, or of another, is told.
    pub fn of(error: ApiError, is_login: bool) -> Self {
        let text = error.shown(is_login);
        Self {
            kind: error.kind,
            text: (!text.is_empty()).then_some(text),
            advice: error.advice.map(String::from),
            data: error.data.map(|data| *data),
            retry_after: error.retry_after,
        }
    }
}

impl From<ApiError> for Refusal {
    /// As on paths that answer without a list.
    fn from(error: ApiError) -> Self {
        Self::of(error, true)
    }
}
