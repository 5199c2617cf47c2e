use serde_json::{Value, json};

use super::*;

fn input(body: &Value) -> RoleInput {
    serde_json::from_value(body.clone()).unwrap()
}

fn write(stored: Option<Role>, body: &Value) -> Result<Written, String> {
    input(body).over(stored).map_err(|error| error.text)
}

fn refused(body: &Value) -> String {
    write(None, body).unwrap_err()
}

fn role(body: &Value) -> Role {
    write(None, body).unwrap().role
}

#[test]
fn the_final_state_is_checked_in_the_words_clients_know() {
    for (body, item) in [
        (json!({}), "did not supply credential_type"),
        (json!({ "credential_type": "nonsense" }), "unrecognized credential type: nonsense"),
        (
            json!({ "credential_type": "iam_user", "default_sts_ttl": 60 }),
            "default_sts_ttl parameter only valid for assumed_role and federation_token credential types",
        ),
        (
            json!({ "credential_type": "iam_user", "max_sts_ttl": 60 }),
            "max_sts_ttl parameter only valid for assumed_role and federation_token credential types",
        ),
        (
            json!({ "credential_type": "assumed_role", "user_path": "/a/" }),
            "user_path parameter only valid for iam_user credential type",
        ),
        (
            json!({ "credential_type": "assumed_role", "permissions_boundary_arn": "arn:aws:iam::aws:policy/X" }),
            "cannot supply permissions_boundary_arn when credential_type isn't iam_user",
        ),
        (
            json!({ "credential_type": "iam_user", "permissions_boundary_arn": "arn:aws:iam::aws:role/X" }),
            "invalid permissions_boundary_arn parameter: expected a resource type of policy but got role/X",
        ),
        (
            json!({ "credential_type": "iam_user", "permissions_boundary_arn": "arn:aws:s3::aws:policy/X" }),
            "invalid permissions_boundary_arn parameter: expected a service of iam but got s3",
        ),
        (
            json!({ "credential_type": "iam_user", "permissions_boundary_arn": "garbage" }),
            "invalid permissions_boundary_arn parameter: arn: invalid prefix",
        ),
        (
            json!({ "credential_type": "iam_user", "role_arns": "arn:aws:iam::123456789012:role/r1" }),
            "cannot supply role_arns when credential_type isn't assumed_role",
        ),
        (
            json!({ "credential_type": "session_token", "policy_arns": "x" }),
            "cannot supply a policy or role when using credential_type session_token",
        ),
        (
            json!({ "credential_type": "iam_user", "session_tags": { "a": "b" } }),
            "cannot supply session_tags when credential_type isn't assumed_role",
        ),
        (
            json!({ "credential_type": "iam_user", "external_id": "x" }),
            "cannot supply external_id when credential_type isn't assumed_role",
        ),
        (
            json!({ "credential_type": "iam_user", "iam_tags": { "Leasehold:x": "y" } }),
            r#"iam_tags: the prefix \"leasehold:\" is reserved"#,
        ),
        (json!({ "credential_type": "iam_user", "iam_tags": { "a?": "y" } }), r#"iam_tags: \"a?\" is not a key"#),
    ] {
        let text = refused(&body);
        assert!(text.contains(item), "{body}: {text}");
        assert!(text.starts_with("error(s) validating supplied role data: \"1 error occurred:\\n\\t* "), "{text}");
    }
}

#[test]
fn all_mistakes_are_told_together() {
    assert_eq!(
        refused(&json!({ "credential_type": "iam_user", "role_arns": "x", "default_sts_ttl": 5 })),
        "error(s) validating supplied role data: \"2 errors occurred:\\n\\t* default_sts_ttl parameter only valid for \
         assumed_role and federation_token credential types\\n\\t* cannot supply role_arns when credential_type isn't \
         assumed_role\\n\\n\""
    );
}

#[test]
fn a_default_life_may_be_as_long_as_the_longest_and_no_longer() {
    let body = |default: u64| json!({ "credential_type": "assumed_role", "default_sts_ttl": default, "max_sts_ttl": 60 });
    assert!(write(None, &body(60)).is_ok());
    assert!(refused(&body(61)).contains(r#"\"default_sts_ttl\" value must be less than or equal to \"max_sts_ttl\" value"#));
}

#[test]
fn paths_begin_and_end_with_a_slash() {
    let body = |path: &str| json!({ "credential_type": "iam_user", "user_path": path });
    for path in ["/", "/a/", "/a/b/", &format!("/{}/", "x".repeat(510))] {
        assert!(write(None, &body(path)).is_ok(), "{path}");
    }
    for path in ["a/", "/a", "/ä/", "/a b/", &format!("/{}/", "x".repeat(511))] {
        let text = refused(&body(path));
        let item =
            r#"The specified value for user_path is invalid. It must match \"^\\\\/([\\\\x21-\\\\x7F]{0,510}\\\\/)?$\" regexp"#;
        assert!(text.contains(item), "{text}");
    }
}

#[test]
fn absent_fields_keep_their_value_and_empty_ones_clear_it() {
    let first = role(&json!({
        "credential_type": "iam_user", "policy_document": "{ \"a\": 1 }", "iam_groups": ["g", "g"], "iam_tags": ["k=v=w"],
        "policy_arns": "a, b"
    }));
    assert_eq!(first.policy_document, r#"{"a":1}"#);
    let second = write(Some(first.clone()), &json!({ "policy_document": "", "policy_arns": "" })).unwrap().role;
    assert_eq!(second, Role { policy_document: String::new(), policy_arns: Some(vec![]), ..first });
    assert_eq!(second.shown()["iam_tags"], json!({ "k": "v=w" }));
    assert_eq!(second.shown()["iam_groups"], json!(["g", "g"]));
    assert_eq!(second.shown()["role_arns"], Value::Null);
}

#[test]
fn a_document_that_is_no_json_is_quoted() {
    let body = json!({ "credential_type": "iam_user", "policy_document": "{not json" });
    assert_eq!(refused(&body), "cannot parse policy document: \"{not json\"");
}

#[test]
fn the_old_form_makes_the_role_anew_and_warns() {
    for (body, types) in [
        (json!({ "policy": "{ \"a\": 1 }" }), "iam_user,federation_token"),
        (json!({ "arn": "arn:aws:iam::123456789012:policy/p" }), "iam_user"),
        (json!({ "arn": "arn:aws:iam::123456789012:role/r" }), "assumed_role"),
        (json!({ "policy": "arn:aws:iam::aws:policy/x", "iam_groups": "g" }), "iam_user"),
    ] {
        let stored = role(&json!({ "credential_type": "iam_user", "user_path": "/left/" }));
        let written = write(Some(stored), &body).unwrap();
        assert_eq!(written.role.shown()["credential_type"], types);
        assert_eq!(written.warnings, [OLD_FORM]);
        assert!(written.role.prohibit_flexible_cred_path && written.role.iam_groups.is_none());
        assert_eq!(written.role.user_path, "");
    }
}

#[test]
fn a_later_write_in_the_new_form_clears_the_old_forms_bounds() {
    let old = role(&json!({ "arn": "arn:aws:iam::123456789012:role/r" }));
    let new = write(Some(old), &json!({ "max_sts_ttl": 3600 })).unwrap();
    assert!(!new.role.prohibit_flexible_cred_path && new.warnings.is_empty());
}

#[test]
fn the_old_form_stands_alone() {
    for (body, text) in [
        (json!({ "policy": "text" }), "unable to parse supplied data: \"text\""),
        (json!({ "policy": "{}", "arn": "arn:aws:iam::1:role/r" }), "only one of policy or arn should be provided"),
        (
            json!({ "policy": "{}", "credential_type": "iam_user" }),
            "cannot supply deprecated role or policy parameters with an explicit credential_type",
        ),
        (json!({ "policy": "{}", "policy_arns": "x" }), "cannot supply deprecated role or policy parameters with policy_arns"),
        (json!({ "arn": "arn:aws:s3:::bucket" }), "unable to parse supplied data: \"arn:aws:s3:::bucket\""),
    ] {
        assert_eq!(refused(&body), text);
    }
}
