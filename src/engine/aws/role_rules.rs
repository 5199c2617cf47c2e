//! What a role must fulfil (`aws-secrets-engine.md` §7.3, §21.1). Nothing here asks AWS.

use crate::aws::Arn;

use super::role::{CredentialType, Role};

/// All mistakes of a role, in the words clients know. `names_type`: that a missing type is one of them.
pub(super) fn check(role: &Role, names_type: bool) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut mistake = |text: &str| mistakes.push(text.to_owned());
    let kind = role.credential_types.first().copied();
    let is = |wanted: CredentialType| role.credential_types.contains(&wanted);
    let (is_user, is_session) =
        (is(CredentialType::IamUser), role.credential_types.iter().any(|kind| *kind != CredentialType::IamUser));
    if kind.is_none() && names_type {
        mistake("did not supply credential_type");
    }
    if !role.default_sts_ttl.is_zero() && !is_session {
        mistake("default_sts_ttl parameter only valid for assumed_role and federation_token credential types");
    }
    if !role.max_sts_ttl.is_zero() && !is_session {
        mistake("max_sts_ttl parameter only valid for assumed_role and federation_token credential types");
    }
    if !role.max_sts_ttl.is_zero() && role.default_sts_ttl > role.max_sts_ttl {
        mistake("\"default_sts_ttl\" value must be less than or equal to \"max_sts_ttl\" value");
    }
    if !role.user_path.is_empty() {
        if !is_user {
            mistake("user_path parameter only valid for iam_user credential type");
        }
        if !is_path(&role.user_path) {
            mistake(BAD_PATH);
        }
    }
    if !role.permissions_boundary_arn.is_empty() {
        if !is_user {
            mistake("cannot supply permissions_boundary_arn when credential_type isn't iam_user");
        }
        if let Err(why) = check_boundary(&role.permissions_boundary_arn) {
            mistake(&format!("invalid permissions_boundary_arn parameter: {why}"));
        }
    }
    if !role.role_arns().is_empty() && !is(CredentialType::AssumedRole) {
        mistake("cannot supply role_arns when credential_type isn't assumed_role");
    }
    if is(CredentialType::SessionToken) && !(role.policy_document.is_empty() && role.policy_arns().is_empty()) {
        mistake("cannot supply a policy or role when using credential_type session_token");
    }
    if role.session_tags.as_ref().is_some_and(|tags| !tags.is_empty()) && !is(CredentialType::AssumedRole) {
        mistake("cannot supply session_tags when credential_type isn't assumed_role");
    }
    if !role.external_id.is_empty() && !is(CredentialType::AssumedRole) {
        mistake("cannot supply external_id when credential_type isn't assumed_role");
    }
    if is_user {
        mistakes.extend(check_tags(role));
    }
    mistakes
}

/// Of users: four tags are ours, and one bad tag would have AWS refuse every issue.
fn check_tags(role: &Role) -> Vec<String> {
    let Some(tags) = &role.iam_tags else { return Vec::new() };
    let mut mistakes = Vec::new();
    if tags.len() > MOST_TAGS {
        mistakes.push(format!("iam_tags: at most {MOST_TAGS} tags, 4 are reserved"));
    }
    for (key, value) in tags {
        let lower = key.to_lowercase();
        if lower.starts_with(OURS) {
            mistakes.push(format!("iam_tags: the prefix \"{OURS}\" is reserved"));
        } else if key.is_empty() || key.chars().count() > LONGEST_KEY || !key.chars().all(is_tag_char) {
            mistakes.push(format!("iam_tags: {key:?} is not a key that AWS takes"));
        } else if value.chars().count() > LONGEST_VALUE || !value.chars().all(is_tag_char) {
            mistakes.push(format!("iam_tags: the value of {key:?} is not one that AWS takes"));
        } else if tags.keys().any(|other| other < key && other.to_lowercase() == lower) {
            mistakes.push(format!("iam_tags: {key:?} is there twice, keys are compared without regard to case"));
        }
    }
    mistakes
}

/// Letters, digits, spaces and `_.:/=+-@` (§17).
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// `/`, or `/…/` with at most 510 of the characters `!` to DEL inside.
fn is_path(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('/') else { return false };
    if rest.is_empty() {
        return true;
    }
    rest.strip_suffix('/').is_some_and(|inner| inner.len() <= 510 && inner.bytes().all(|byte| (0x21..=0x7f).contains(&byte)))
}

fn check_boundary(text: &str) -> Result<(), String> {
    let arn = Arn::parse(text).map_err(|error| error.to_string())?;
    if arn.service != "iam" {
        return Err(format!("expected a service of iam but got {}", arn.service));
    }
    if !arn.resource.starts_with("policy/") {
        return Err(format!("expected a resource type of policy but got {}", arn.resource));
    }
    Ok(())
}

const BAD_PATH: &str = r#"The specified value for user_path is invalid. It must match "^\\/([\\x21-\\x7F]{0,510}\\/)?$" regexp"#;

/// AWS takes fifty; four are ours (§21.1).
const MOST_TAGS: usize = 46;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// The beginning of our marks' keys.
pub(super) const OURS: &str = "leasehold:";
