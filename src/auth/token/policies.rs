//! Which policies a created token gets (spec `tokens.md` §4, "Policy resolution").

use crate::policy::builtin::{DEFAULT, ROOT, is_unassignable, sanitize};

use super::role::Role;

/// What the decision depends on.
pub(super) struct Wanted<'a> {
    /// As asked for; empty: nothing was.
    pub(super) names: &'a [String],
    pub(super) no_default: bool,
    pub(super) role: Option<&'a Role>,
    /// The caller's own policies, sanitized.
    pub(super) parent: &'a [String],
    pub(super) has_sudo: bool,
    pub(super) is_batch: bool,
}

/// The policies of the token, sanitized.
///
/// # Errors
/// The literal text for the caller.
pub(super) fn resolve(wanted: &Wanted<'_>) -> Result<Vec<String>, String> {
    let mut names = match wanted.role {
        Some(role) if role.limits_policies() => by_role(wanted, role)?,
        _ if wanted.names.is_empty() => sanitize(wanted.parent),
        _ => by_caller(wanted)?,
    };
    if wanted.no_default {
        names.retain(|name| name != DEFAULT);
    }
    if let Some(name) = names.iter().find(|name| is_unassignable(name)) {
        return Err(format!("cannot assign policy {name:?}"));
    }
    if names.iter().any(|name| name == ROOT) {
        if !wanted.parent.iter().any(|name| name == ROOT) {
            return Err("root tokens may not be created without parent token being root".to_owned());
        }
        if wanted.is_batch {
            return Err("batch tokens cannot be root tokens".to_owned());
        }
    }
    Ok(names)
}

/// A role with lists of its own decides alone.
fn by_role(wanted: &Wanted<'_>, role: &Role) -> Result<Vec<String>, String> {
    let disallowed = sanitize_plain(&role.disallowed_policies);
    let disallowed_globs = sanitize_plain(&role.disallowed_policies_glob);
    let is_disallowed = |name: &str| contains(&disallowed, name) || matches_any(&disallowed_globs, name);
    let with_default = !wanted.no_default && !role.token_no_default_policy && !is_disallowed(DEFAULT);
    let mut names = if wanted.names.is_empty() { Vec::new() } else { with(wanted.names, with_default) };
    if role.allowed_policies.is_empty() && role.allowed_policies_glob.is_empty() {
        if names.is_empty() {
            names = with(wanted.parent, with_default);
        }
    } else {
        let allowed = with(&role.allowed_policies, with_default);
        if names.is_empty() {
            names = allowed;
        } else {
            let globs = sanitize_plain(&role.allowed_policies_glob);
            if !names.iter().all(|name| contains(&allowed, name) || matches_any(&globs, name)) {
                return Err(format!(
                    "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                    quoted(&names),
                    quoted(&allowed),
                    quoted(&globs)
                ));
            }
        }
    }
    match names.iter().find(|name| is_disallowed(name)) {
        Some(name) => Err(format!("token policy {name:?} is disallowed by this role")),
        None => Ok(names),
    }
}

/// Without `sudo` a caller passes on what he has.
fn by_caller(wanted: &Wanted<'_>) -> Result<Vec<String>, String> {
    if wanted.has_sudo {
        return Ok(with(wanted.names, !wanted.no_default));
    }
    let names = sanitize(wanted.names);
    if !names.iter().all(|name| contains(wanted.parent, name)) {
        return Err("child policies must be subset of parent".to_owned());
    }
    Ok(with(&names, !wanted.no_default && contains(wanted.parent, DEFAULT)))
}

fn with(names: &[String], default: bool) -> Vec<String> {
    sanitize(names.iter().map(String::as_str).chain(default.then_some(DEFAULT)))
}

/// Sanitized, each for itself: `root` in a list of what is not allowed swallows nothing.
fn sanitize_plain(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().flat_map(|name| sanitize([name])).collect();
    names.sort();
    names.dedup();
    names
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other == name)
}

fn matches_any(globs: &[String], name: &str) -> bool {
    globs.iter().any(|glob| glob_matches(glob, name))
}

/// Whether a text matches a pattern in which `*` stands for any text.
pub(super) fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.find(piece) {
            Some(at) => text = text.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

/// As Go prints a list of quoted texts.
fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
#[path = "policies_tests.rs"]
mod tests;
