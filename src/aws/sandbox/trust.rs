//! Whether a role's trust policy lets somebody assume it.
//!
//! Principals are accounts and ARNs; of conditions only `StringEquals` on `sts:ExternalId` is understood, and a statement
//! with any other one trusts nobody. `Deny` is heeded.

use serde_json::{Map, Value};

use super::iam::document::{statements, texts};

/// How a trust policy stands to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It does not let the caller in.
    None,
    /// It trusts the whole account: the caller needs a permission of its own too.
    Account,
    /// It names the caller.
    Caller,
}

/// What `document` says of the caller whose ARN is `arn`.
pub(super) fn trust(document: &str, arn: &str, external_id: Option<&str>) -> Trust {
    let mut best = Trust::None;
    for statement in statements(document).unwrap_or_default() {
        let found = names(&statement, arn);
        if found == Trust::None || !is_about_assuming(&statement) {
            continue;
        }
        if statement.get("Effect").is_some_and(|effect| effect == "Deny") {
            return Trust::None;
        }
        if meets(&statement, external_id) && best != Trust::Caller {
            best = found;
        }
    }
    best
}

fn names(statement: &Map<String, Value>, arn: &str) -> Trust {
    let aws = match statement.get("Principal") {
        Some(Value::String(all)) if all == "*" => return Trust::Caller,
        Some(principal) => principal.get("AWS").and_then(texts).unwrap_or_default(),
        None => return Trust::None,
    };
    if aws.iter().any(|name| *name == "*" || *name == arn) {
        return Trust::Caller;
    }
    let account = arn.split(':').nth(4).unwrap_or_default();
    let root = format!("arn:aws:iam::{account}:root");
    if aws.iter().any(|name| *name == account || *name == root) { Trust::Account } else { Trust::None }
}

fn is_about_assuming(statement: &Map<String, Value>) -> bool {
    let actions = statement.get("Action").and_then(texts).unwrap_or_default();
    actions.iter().any(|action| ["*", "sts:*", "sts:assumerole", "sts:assume*"].contains(&action.to_ascii_lowercase().as_str()))
}

fn meets(statement: &Map<String, Value>, external_id: Option<&str>) -> bool {
    let Some(conditions) = statement.get("Condition").and_then(Value::as_object) else { return true };
    conditions.iter().all(|(operator, keys)| {
        let keys = keys.as_object().filter(|_| operator == "StringEquals");
        keys.is_some_and(|keys| {
            keys.iter().all(|(key, values)| {
                let wanted = texts(values).filter(|_| key.eq_ignore_ascii_case("sts:ExternalId")).unwrap_or_default();
                external_id.is_some_and(|id| wanted.contains(&id))
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::ACCOUNT;
    use super::*;

    const ARN: &str = "arn:aws:iam::123456789012:user/app";

    fn statement(effect: &str, principal: &str, rest: &str) -> String {
        format!(r#"{{"Effect":"{effect}","Action":"sts:AssumeRole","Principal":{{"AWS":"{principal}"}}{rest}}}"#)
    }

    fn document(statements: &[String]) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
    }

    #[test]
    fn accounts_and_arns_are_told_apart() {
        let said = |principal: &str| trust(&document(&[statement("Allow", principal, "")]), ARN, None);
        assert_eq!(said(ARN), Trust::Caller);
        assert_eq!(said(ACCOUNT), Trust::Account);
        assert_eq!(said("arn:aws:iam::123456789012:root"), Trust::Account);
        assert_eq!(said("arn:aws:iam::999999999999:root"), Trust::None);
    }

    #[test]
    fn an_external_id_must_be_the_one_asked_for() {
        let text = document(&[statement("Allow", ARN, r#","Condition":{"StringEquals":{"sts:ExternalId":"x"}}"#)]);
        assert_eq!(trust(&text, ARN, Some("x")), Trust::Caller);
        assert_eq!((trust(&text, ARN, Some("y")), trust(&text, ARN, None)), (Trust::None, Trust::None));
    }

    #[test]
    fn a_condition_that_is_not_understood_lets_nobody_in() {
        let text = document(&[statement("Allow", ARN, r#","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#)]);
        assert_eq!(trust(&text, ARN, None), Trust::None);
    }

    #[test]
    fn deny_wins() {
        let text = document(&[statement("Allow", "*", ""), statement("Deny", ARN, "")]);
        assert_eq!(trust(&text, ARN, None), Trust::None);
    }
}
