//! What a token says.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::Timestamp;

/// What is looked at when a token comes back.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: String,
    pub(super) exp: u64,
}

/// Whose token it is, for whom, until when.
pub(super) struct Facts<'a> {
    pub(super) issuer: &'a str,
    pub(super) entity: &'a str,
    pub(super) client_id: &'a str,
    pub(super) issued: Timestamp,
    pub(super) end: Timestamp,
}

impl Facts<'_> {
    /// With what the role's template adds.
    pub(super) fn with(&self, mut claims: Map<String, Value>) -> Map<String, Value> {
        let own = [
            ("iss", json!(self.issuer)),
            ("sub", json!(self.entity)),
            ("aud", json!(self.client_id)),
            ("iat", json!(self.issued.seconds())),
            ("exp", json!(self.end.seconds())),
            ("namespace", json!("root")),
        ];
        claims.extend(own.map(|(name, value)| (name.to_owned(), value)));
        claims
    }
}
