use serde_json::json;

use super::*;

fn policy(text: &str) -> Policy {
    Policy::parse("p", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn only(text: &str) -> Grants {
    let policy = policy(text);
    assert_eq!(policy.rules.len(), 1, "{text}");
    policy.rules[0].grants.as_ref().clone()
}

fn refused(text: &str) -> String {
    match Policy::parse("p", text) {
        Ok(policy) => panic!("{text} was read as {policy:?}"),
        Err(error) => error.to_string(),
    }
}

fn names(grants: &Grants) -> String {
    grants.capabilities.names().collect::<Vec<_>>().join(",")
}

#[test]
fn hcl_and_json_say_the_same() {
    let written = [
        r#"path "secret/*" { capabilities = ["read"] allowed_parameters = { "A" = ["x", 1] } min_wrapping_ttl = "1m" }"#,
        r#"{"path": {"secret/*": {"capabilities": ["read"], "allowed_parameters": {"A": ["x", 1]}, "min_wrapping_ttl": 60}}}"#,
        r#"{"path": [{"secret/*": {"capabilities": ["read"], "allowed_parameters": {"a": ["x", 1]}, "min_wrapping_ttl": "60"}}]}"#,
        r#"name = "x" "path" "secret/*" { "capabilities" = ["read"], allowed_parameters { a = ["x", 1] } min_wrapping_ttl = 60 }"#,
    ];
    for text in written {
        let grants = only(text);
        assert_eq!(names(&grants), "read", "{text}");
        assert_eq!(grants.allowed, Parameters::from([("a".to_owned(), vec![json!("x"), json!(1)])]), "{text}");
        assert_eq!(grants.min_wrapping_ttl, Ttl::minutes(1), "{text}");
    }
    assert!(policy("# nothing").rules.is_empty());
    assert!(policy("").rules.is_empty());
    assert!(policy("{}").rules.is_empty());
}

#[test]
fn errors_are_the_api_s() {
    for (text, error) in [
        (r#"path "x" { capabilities = ["fly"] }"#, "path \"x\": invalid capability \"fly\""),
        (r#"path "x" { capabilities = ["root"] }"#, "path \"x\": invalid capability \"root\""),
        (r#"path "x" { capabilities = ["Read"] }"#, "path \"x\": invalid capability \"Read\""),
        (r#"path "x" { policy = "sometimes" }"#, "path \"x\": invalid policy \"sometimes\""),
        (
            r#"path "x" { capabilties = ["read"] }"#,
            "1 error occurred:\n\t* path \"x\": invalid key \"capabilties\" on line 1\n\n",
        ),
        (
            "path \"x\" {\n  a = 1\n  b = 2\n}",
            "2 errors occurred:\n\t* path \"x\": invalid key \"a\" on line 2\n\t* path \"x\": invalid key \"b\" on line 3\n\n",
        ),
        (r#"paths "x" { capabilities = ["read"] }"#, "1 error occurred:\n\t* invalid key \"paths\" on line 1\n\n"),
        ("\n\na = 1\nb {}", "2 errors occurred:\n\t* invalid key \"a\" on line 3\n\t* invalid key \"b\" on line 4\n\n"),
        (r#"path "x/+*" { capabilities = ["read"] }"#, "path \"x/+*\": invalid use of wildcards ('+*' is forbidden)"),
        (
            r#"path "x" { min_wrapping_ttl = "10m" max_wrapping_ttl = "1m" }"#,
            "max_wrapping_ttl cannot be less than min_wrapping_ttl",
        ),
        (r#"path "x" { min_wrapping_ttl = "soon" }"#, "error parsing min_wrapping_ttl: time: invalid duration \"soon\""),
        (r#"path "x" { max_wrapping_ttl = -1 }"#, "error parsing max_wrapping_ttl: cannot provide negative value '-1'"),
        (
            r#"path "x/{{identity.entity.id}" { capabilities = ["read"] }"#,
            "failed to validate policy templating: unbalanced templating characters",
        ),
        (r#"path "x" {"#, "At 1:10: this brace is not closed"),
        (r#"path { capabilities = ["read"] }"#, "line 1: \"path\" needs a label before its brace"),
        (r#"path "a" "b" { capabilities = ["read"] }"#, "line 1: \"path\" has too many labels"),
        (r#"path "x" = { capabilities = ["read"] }"#, "At 1:10: a key with labels takes no =; write key \"label\" { … }"),
        (r#"path "x" { capabilities = "read" }"#, "path \"x\": \"capabilities\" must be a list of texts"),
        (r#"path "x" { allowed_parameters = ["a"] }"#, "path \"x\": \"allowed_parameters\" must be a map of lists"),
        (
            r#"path "x" { denied_parameters = { a = "b" } }"#,
            "path \"x\": \"denied_parameters\": the value of \"a\" must be a list",
        ),
        (r#"{"path": {"x": {}, "x": {}}}"#, "line 1: the key \"x\" is used twice"),
        (r#"path "x" { control_group = {} }"#, "path \"x\": no control group factors provided"),
        (r#"path "x" { control_group { factor "f" {} } }"#, "path \"x\": no control_group factor provided"),
        (
            r#"path "x" { control_group { factor "f" { identity { group_names = ["g"] } } } }"#,
            "path \"x\": must provide more than one identity group and approvals > 0",
        ),
    ] {
        assert_eq!(refused(text), format!("failed to parse policy: {error}"), "{text}");
    }
}

#[test]
fn a_list_of_errors_is_bounded() {
    let error = refused(&"key = 1\n".repeat(100_000));
    assert!(error.starts_with("failed to parse policy: 100000 errors occurred:\n\t* invalid key \"key\" on line 1\n"));
    assert!(error.len() < 10_000);
}

#[test]
fn the_older_word_stands_for_capabilities() {
    for (text, expected) in [
        (r#"policy = "deny" capabilities = ["read"]"#, "deny"),
        (r#"policy = "read""#, "list,read"),
        (r#"policy = "write""#, "create,delete,list,read,update"),
        (r#"policy = "sudo""#, "create,delete,list,read,sudo,update"),
        (r#"policy = "read" capabilities = ["patch"]"#, "list,patch,read"),
        (r#"policy = "write" capabilities = ["read", "deny"]"#, "deny"),
        (r#"capabilities = ["deny", "read"] allowed_parameters = { a = [] }"#, "deny"),
        ("capabilities = []", ""),
        (r#"comment = "none""#, ""),
    ] {
        assert_eq!(names(&only(&format!("path \"x\" {{ {text} }}"))), expected, "{text}");
    }
    assert!(only(r#"path "x" { policy = "deny" allowed_parameters = { a = [] } }"#).allowed.is_empty());
}

#[test]
fn repeated_attributes_unite_with_a_warning() {
    let text = "path \"x\" {\n capabilities = [\"read\"]\n capabilities = [\"list\"]\n}";
    assert_eq!(names(&only(text)), "list,read");
    assert_eq!(policy(text).warnings, ["path \"x\": \"capabilities\" is given 2 times; the lists were united"]);
    let text = r#"path "x" { max_wrapping_ttl = 10, max_wrapping_ttl = 20 }"#;
    assert_eq!(only(text).max_wrapping_ttl, Ttl::seconds(20));
    assert_eq!(policy(text).warnings, ["path \"x\": \"max_wrapping_ttl\" is given 2 times; the last one counts"]);
    let text = r#"path "x" { denied_parameters = { a = ["1"], A = ["2"] } denied_parameters { b = [] } }"#;
    let grants = only(text);
    assert_eq!(grants.denied["a"], [json!("1"), json!("2")]);
    assert!(grants.denied["b"].is_empty());
    assert_eq!(policy(text).warnings.len(), 2);
    let two_blocks = policy(r#"path "x" { capabilities = ["read"] } path "x" { capabilities = ["list"] }"#);
    assert_eq!((two_blocks.rules.len(), two_blocks.warnings.len()), (2, 0));
}

#[test]
fn enterprise_keys_are_checked_and_said_to_be_without_effect() {
    let policy = policy(
        r#"path "x" {
             mfa_methods = ["m"]
             control_group = { factor "ops" { identity { group_names = ["g"], approvals = 1 } } }
             subscribe_event_types = ["*"]
             required_parameters = ["Name"]
           }"#,
    );
    assert_eq!(policy.warnings.len(), 3);
    assert!(policy.warnings.iter().all(|warning| warning.ends_with("has no effect")));
    assert!(policy.rules[0].grants.required.contains("name"));
    assert!(refused(r#"path "x" { mfa_methods = "m" }"#).contains("must be a list of texts"));
    // An end that is not kept would be worse than an error.
    assert!(refused(r#"path "x" { expiration = "2030-01-01T00:00:00Z" }"#).contains("invalid key \"expiration\""));
}
