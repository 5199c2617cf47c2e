//! `status`: what is known of the account, without asking it (`aws-secrets-engine.md` §21.10).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::aws::Rate;
use crate::mount::{ApiError, Ctx, Nothing, Reply};

use super::AwsSecrets;
use super::connection::Connection;
use super::preflight::Preflight;

impl AwsSecrets {
    pub(super) async fn status(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let (rotation, static_roles) = (self.rotation_shown().await?, self.failing_static_roles().await?);
        let shown = match self.connection.load_full() {
            Some(connection) => shown(&connection),
            // Nobody has asked for anything yet.
            None => json!({
                "account": null, "partition": null, "caller_arn": null, "identity_error": null, "birth_marks": null,
                "preflight": Preflight::default(), "rates": {},
            }),
        };
        let shown = match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Ok(Reply::data(shown).and("rotation", rotation).and("static_roles", static_roles.into()))
    }
}

fn shown(connection: &Connection) -> Value {
    let account = connection.known_account();
    let rate = |rate: Rate| json!({ "allowed": rate.allowed, "used": rate.used, "throttled": rate.throttled });
    let rates = connection.aws.rates().into_iter().map(|(action, seen)| (action.to_owned(), rate(seen)));
    json!({
        "account": account.as_ref().map(|account| &account.id),
        "partition": account.as_ref().map(|account| &account.partition),
        "caller_arn": connection.aws.known_identity().map(|identity| &identity.arn),
        "identity_error": connection.identity_error(),
        "birth_marks": connection.marks(),
        "preflight": connection.preflight(),
        "rates": rates.collect::<Map<_, _>>(),
    })
}
