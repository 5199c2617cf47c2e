//! `status`: what is known of the account, without asking it (`aws-secrets-engine.md` §21.10).

use std::future::{Ready, ready};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::aws::Rate;
use crate::mount::{ApiError, Ctx, Nothing, Reply};

use super::AwsSecrets;
use super::connection::Connection;
use super::preflight::Preflight;

impl AwsSecrets {
    pub(super) fn status(self: Arc<Self>, _: Ctx, _: Nothing) -> Ready<Result<Reply, ApiError>> {
        let shown = match self.connection.load_full() {
            Some(connection) => shown(&connection),
            // Nobody has asked for anything yet.
            None => json!({
                "account": null, "partition": null, "caller_arn": null, "identity_error": null, "birth_marks": null,
                "preflight": Preflight::default(), "rates": {},
            }),
        };
        ready(Ok(Reply::data(match shown {
            Value::Object(map) => map,
            _ => Map::new(),
        })))
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
