//! The grammar of policy documents, as far as IAM refuses what breaks it (IAM User Guide, "Grammar of the IAM JSON policy
//! language").

use serde_json::{Map, Value};

use super::super::failure::Failure;

/// A document that says what somebody may do.
pub(in crate::aws::sandbox) fn identity(text: &str) -> Result<(), Failure> {
    for statement in statements(text)? {
        if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
            return Err(Failure::document("Policy document should not specify a principal."));
        }
        let actions = one_of(&statement, "Action", "NotAction", "Policy statement must contain actions.")?;
        let resources = one_of(&statement, "Resource", "NotResource", "Policy statement must contain resources.")?;
        if !actions.iter().all(|action| *action == "*" || action.split_once(':').is_some_and(|(vendor, _)| !vendor.is_empty())) {
            return Err(Failure::document("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
        }
        if let Some(wrong) = resources.iter().find(|resource| !is_resource(resource)) {
            return Err(Failure::document(format!("Resource {wrong} must be in ARN format or \"*\".")));
        }
    }
    Ok(())
}

/// A document that says who may assume a role.
pub(super) fn trust(text: &str) -> Result<(), Failure> {
    for statement in statements(text)? {
        if statement.contains_key("Resource") || statement.contains_key("NotResource") {
            return Err(Failure::document("Has prohibited field Resource"));
        }
        if !statement.contains_key("Principal") && !statement.contains_key("NotPrincipal") {
            return Err(Failure::document("Missing required field Principal"));
        }
        let actions = one_of(&statement, "Action", "NotAction", "Missing required field Action")?;
        if !actions.iter().all(|action| *action == "*" || action.to_ascii_lowercase().starts_with("sts:")) {
            return Err(Failure::document("AssumeRole policy may only specify STS AssumeRole actions."));
        }
    }
    Ok(())
}

/// The statements of a document whose frame is right.
pub(in crate::aws::sandbox) fn statements(text: &str) -> Result<Vec<Map<String, Value>>, Failure> {
    let syntax = || Failure::document("Syntax errors in policy.");
    let document: Value = serde_json::from_str(text).map_err(|_| Failure::document("This policy contains invalid Json"))?;
    let Value::Object(mut document) = document else { return Err(syntax()) };
    if document.keys().any(|key| !["Version", "Id", "Statement"].contains(&key.as_str())) {
        return Err(syntax());
    }
    let version = document.get("Version");
    if version.is_some_and(|version| !["2012-10-17", "2008-10-17"].iter().any(|known| version == known)) {
        return Err(syntax());
    }
    let statements = match document.remove("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements,
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(syntax()),
    };
    let mut ids: Vec<String> = Vec::new();
    let mut checked = Vec::new();
    for statement in statements {
        let Value::Object(statement) = statement else { return Err(syntax()) };
        if statement.keys().any(|key| !ELEMENTS.contains(&key.as_str())) {
            return Err(syntax());
        }
        match statement.get("Effect") {
            Some(effect) if effect == "Allow" || effect == "Deny" => {}
            Some(_) => return Err(syntax()),
            None => return Err(Failure::document("Missing required field Effect")),
        }
        if statement.get("Condition").is_some_and(|condition| !condition.is_object()) {
            return Err(syntax());
        }
        if let Some(id) = statement.get("Sid") {
            let id = id.as_str().ok_or_else(syntax)?.to_owned();
            if !id.is_empty() && ids.contains(&id) {
                return Err(Failure::document("Statement IDs (SID) in a single policy must be unique."));
            }
            ids.push(id);
        }
        checked.push(statement);
    }
    Ok(checked)
}

/// The texts of an element that may be one text or a list of them.
pub(in crate::aws::sandbox) fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The texts of exactly one of two elements.
fn one_of<'a>(statement: &'a Map<String, Value>, name: &str, not: &str, missing: &str) -> Result<Vec<&'a str>, Failure> {
    let value = match (statement.get(name), statement.get(not)) {
        (Some(value), None) | (None, Some(value)) => value,
        (None, None) => return Err(Failure::document(missing)),
        (Some(_), Some(_)) => return Err(Failure::document("Syntax errors in policy.")),
    };
    let texts = texts(value).ok_or_else(|| Failure::document("Syntax errors in policy."))?;
    if texts.is_empty() { Err(Failure::document(missing)) } else { Ok(texts) }
}

fn is_resource(text: &str) -> bool {
    text.starts_with('*') || (text.starts_with("arn:") && text.split(':').count() >= 6) || text.starts_with("arn:*")
}

/// The characters of a document that count: IAM leaves white space out.
pub(in crate::aws::sandbox) fn size(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

const ELEMENTS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_the_grammar_are_taken() {
        for text in [
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#,
            r#"{"Statement":{"Sid":"a","Effect":"Deny","NotAction":["iam:*"],"Resource":["arn:aws:s3:::b/*"]}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:x":"true"}}}}"#,
        ] {
            assert_eq!(identity(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for text in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"Statement":[]}"#,
            r#"{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
            r#"{"Statement":{"Action":"*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"read","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Other":"*"}}"#,
        ] {
            assert_eq!(identity(text).unwrap_err().code, "MalformedPolicyDocument", "{text}");
        }
    }

    #[test]
    fn trust_names_a_principal() {
        let with = r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"123456789012"}}}"#;
        assert_eq!(trust(with), Ok(()));
        assert!(trust(r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}"#).is_err());
        assert!(trust(r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Principal":"*"}}"#).is_err());
    }
}
