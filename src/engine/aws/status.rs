//! `status`: what is known of the account, without asking it (`aws-secrets-engine.md` §21.10).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::mount::{ApiError, Ctx, Nothing, Reply};

use super::AwsSecrets;

impl AwsSecrets {
    pub(super) async fn status(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let connection = self.connection.load_full();
        let identity = connection.as_ref().and_then(|connection| connection.aws.known_identity());
        let status = json!({
            "account": identity.map(|identity| &identity.account),
            "partition": identity.map(|identity| &identity.partition),
            "caller_arn": identity.map(|identity| &identity.arn),
            "identity_error": connection.as_ref().and_then(|connection| connection.identity_error()),
            "birth_marks": connection.as_ref().map(|connection| connection.marks()),
        });
        Ok(Reply::data(match status {
            Value::Object(map) => map,
            _ => Map::new(),
        }))
    }
}
