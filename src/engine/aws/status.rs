//! `status`: what is known of the account and of what is to end there, without asking AWS (`aws-secrets-engine.md` §21.10).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::aws::{Action, Rate};
use crate::base::Timestamp;
use crate::lease::{Failure, LaneReport};
use crate::mount::{ApiError, Ctx, Figure, Nothing, Reply};

use super::AwsSecrets;
use super::connection::Connection;
use super::preflight::Preflight;
use super::revoke::MISMATCH;

impl AwsSecrets {
    pub(super) async fn status(self: Arc<Self>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let report = cx.leases().report().await?;
        let connection = self.connection.load_full();
        let rates = connection.as_ref().map(|connection| connection.aws.rates()).unwrap_or_default();
        let mut shown = of_connection(connection.as_deref());
        shown.extend(of_leases(&report, &rates));
        let (rotation, static_roles) = (self.rotation_shown().await?, self.failing_static_roles().await?);
        Ok(Reply::data(shown).and("rotation", rotation).and("static_roles", static_roles.into()))
    }
}

fn of_connection(connection: Option<&Connection>) -> Map<String, Value> {
    let Some(connection) = connection else {
        // Nobody has asked for anything yet.
        return map(json!({
            "account": null, "partition": null, "caller_arn": null, "identity_error": null, "birth_marks": null,
            "preflight": Preflight::default(), "rates": {},
        }));
    };
    let account = connection.known_account();
    let rate = |rate: Rate| json!({ "allowed": rate.allowed, "used": rate.used, "throttled": rate.throttled });
    let rates = connection.aws.rates().into_iter().map(|(action, seen)| (action.to_owned(), rate(seen)));
    map(json!({
        "account": account.as_ref().map(|account| &account.id),
        "partition": account.as_ref().map(|account| &account.partition),
        "caller_arn": connection.aws.known_identity().map(|identity| &identity.arn),
        "identity_error": connection.identity_error(),
        "birth_marks": connection.marks(),
        "preflight": connection.preflight(),
        "rates": rates.collect::<Map<_, _>>(),
    }))
}

fn of_leases(report: &LaneReport, rates: &BTreeMap<Action, Rate>) -> Map<String, Value> {
    let state = if report.resting_until.is_some() { "resting" } else { "running" };
    let failure = |failure: &Failure| {
        json!({
            "lease_id": failure.lease,
            "since": failure.since.rfc3339(),
            "attempts": failure.attempts,
            "code": Some(&failure.code).filter(|code| !code.is_empty()),
            "message": failure.message,
            "next_attempt": failure.next_attempt.rfc3339(),
        })
    };
    map(json!({
        "lane": {
            "state": state,
            "resting_until": report.resting_until.map(Timestamp::rfc3339),
            "last_success": report.last_success.map(Timestamp::rfc3339),
        },
        "leases": {
            "open": report.open,
            "due": report.due,
            "waiting": report.waiting,
            "irrevocable": report.irrevocable,
            "other_account": report.codes.get(MISMATCH).copied().unwrap_or(0),
        },
        "oldest_failure": report.oldest_failure.as_ref().map(failure),
        "estimated_drain_seconds": drain(report, rates),
    }))
}

/// Calls a second that are allowed, where a limit was met, and used, and those refused as too many in the last minute.
pub(super) fn figures(connection: &Connection) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (action, rate) in connection.aws.rates() {
        let mut figure = |name, value| figures.push(Figure { name, label: Some(("action", action.to_owned())), value });
        if let Some(allowed) = rate.allowed {
            figure("aws_calls_allowed", allowed);
        }
        figure("aws_calls_used", f64::from(rate.used));
        figure("aws_calls_throttled", f64::from(rate.throttled));
    }
    figures
}

/// How long it takes to end what is due, as fast as AWS allows; unknown while it rests, or AWS has not said how fast.
fn drain(report: &LaneReport, rates: &BTreeMap<Action, Rate>) -> Option<u64> {
    if report.due == 0 {
        return Some(0);
    }
    if report.resting_until.is_some() {
        return None;
    }
    let allowed = ENDING.iter().filter_map(|action| rates.get(action)?.allowed);
    let slowest = allowed.min_by(f64::total_cmp)?;
    let whole = u32::try_from(report.due).unwrap_or(u32::MAX);
    Some(std::time::Duration::try_from_secs_f64(f64::from(whole) / slowest).map_or(u64::MAX, |time| time.as_secs() + 1))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What the end of every user takes.
const ENDING: [Action; 6] = [
    "iam:DeleteAccessKey",
    "iam:ListAccessKeys",
    "iam:ListGroupsForUser",
    "iam:ListAttachedUserPolicies",
    "iam:ListUserPolicies",
    "iam:DeleteUser",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(allowed: &[(Action, Option<f64>)]) -> BTreeMap<Action, Rate> {
        allowed.iter().map(|(action, allowed)| (*action, Rate { allowed: *allowed, used: 0, throttled: 0 })).collect()
    }

    #[test]
    fn the_slowest_of_the_calls_that_end_a_user_tells_how_long_it_takes() {
        let due = LaneReport { due: 100, ..LaneReport::default() };
        let known = rates(&[("iam:DeleteUser", Some(5.0)), ("iam:ListAccessKeys", Some(9.0)), ("iam:CreateUser", Some(1.0))]);
        assert_eq!(drain(&due, &known), Some(21));
        assert_eq!(drain(&due, &rates(&[("iam:DeleteUser", None)])), None);
        assert_eq!(drain(&LaneReport::default(), &known), Some(0));
    }
}
