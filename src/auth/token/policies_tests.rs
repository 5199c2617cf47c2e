//! The rules of inheritance, one by one.

use super::*;

fn list(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

struct Case {
    names: &'static str,
    parent: &'static str,
    no_default: bool,
    has_sudo: bool,
    is_batch: bool,
    role: Option<Role>,
}

const PLAIN: Case =
    Case { names: "", parent: "default mgr app", no_default: false, has_sudo: false, is_batch: false, role: None };

fn run(case: &Case) -> Result<String, String> {
    let (names, parent) = (list(case.names), list(case.parent));
    let wanted = Wanted {
        names: &names,
        no_default: case.no_default,
        role: case.role.as_ref(),
        parent: &parent,
        has_sudo: case.has_sudo,
        is_batch: case.is_batch,
    };
    resolve(&wanted).map(|names| names.join(" "))
}

fn ok(case: &Case, expected: &str) {
    assert_eq!(run(case).as_deref(), Ok(expected));
}

fn fails(case: &Case, expected: &str) {
    assert_eq!(run(case), Err(expected.to_owned()));
}

fn allowing(names: &str) -> Role {
    Role { allowed_policies: list(names), ..Role::new("r") }
}

#[test]
fn who_asks_for_nothing_gets_what_the_parent_has() {
    ok(&PLAIN, "app default mgr");
    ok(&Case { parent: "app", ..PLAIN }, "app");
    ok(&Case { no_default: true, ..PLAIN }, "app mgr");
}

#[test]
fn without_sudo_only_what_the_parent_has_is_passed_on() {
    ok(&Case { names: "app", ..PLAIN }, "app default");
    ok(&Case { names: "app", parent: "app", ..PLAIN }, "app");
    ok(&Case { names: "app", no_default: true, ..PLAIN }, "app");
    fails(&Case { names: "other", ..PLAIN }, "child policies must be subset of parent");
    fails(&Case { names: "root", ..PLAIN }, "child policies must be subset of parent");
}

#[test]
fn with_sudo_anything_is_given_but_root() {
    ok(&Case { names: "other Other", has_sudo: true, ..PLAIN }, "default other");
    ok(&Case { names: "other default", has_sudo: true, no_default: true, ..PLAIN }, "other");
    let root = Case { names: "root", has_sudo: true, ..PLAIN };
    fails(&root, "root tokens may not be created without parent token being root");
    ok(&Case { parent: "root", names: "root app", has_sudo: true, ..PLAIN }, "root");
    fails(&Case { parent: "root", names: "root", has_sudo: true, is_batch: true, ..PLAIN }, "batch tokens cannot be root tokens");
}

#[test]
fn nobody_assigns_the_servers_own_policies() {
    let case = Case { names: "response-wrapping", has_sudo: true, ..PLAIN };
    fails(&case, "cannot assign policy \"response-wrapping\"");
}

#[test]
fn a_role_without_lists_changes_nothing() {
    ok(&Case { role: Some(Role::new("r")), names: "app", ..PLAIN }, "app default");
    fails(&Case { role: Some(Role::new("r")), names: "x", ..PLAIN }, "child policies must be subset of parent");
}

#[test]
fn a_role_gives_what_it_allows_whatever_the_parent_has() {
    ok(&Case { role: Some(allowing("dev Test")), ..PLAIN }, "default dev test");
    ok(&Case { role: Some(allowing("dev test")), names: "dev", ..PLAIN }, "default dev");
    ok(&Case { role: Some(allowing("dev test")), names: "dev", no_default: true, ..PLAIN }, "dev");
    fails(
        &Case { role: Some(allowing("dev test")), names: "x dev", ..PLAIN },
        "token policies ([\"default\" \"dev\" \"x\"]) must be subset of the role's allowed policies ([\"default\" \"dev\" \
         \"test\"]) or glob policies ([])",
    );
}

#[test]
fn patterns_allow_and_are_never_given() {
    let role = || Role { allowed_policies_glob: list("dev-*"), ..Role::new("r") };
    ok(&Case { role: Some(role()), names: "dev-1", ..PLAIN }, "default dev-1");
    ok(&Case { role: Some(role()), ..PLAIN }, "default");
    assert!(run(&Case { role: Some(role()), names: "prod", ..PLAIN }).is_err());
}

#[test]
fn what_a_role_forbids_is_not_given() {
    let role = || Role { disallowed_policies: list("mgr"), disallowed_policies_glob: list("def*"), ..Role::new("r") };
    ok(&Case { role: Some(role()), names: "app", ..PLAIN }, "app");
    fails(&Case { role: Some(role()), ..PLAIN }, "token policy \"default\" is disallowed by this role");
    fails(&Case { role: Some(role()), parent: "mgr x", ..PLAIN }, "token policy \"mgr\" is disallowed by this role");
    ok(&Case { role: Some(role()), parent: "x", ..PLAIN }, "x");
}

#[test]
fn a_role_without_default_gives_none() {
    let role = Role { token_no_default_policy: true, ..allowing("dev") };
    ok(&Case { role: Some(role), ..PLAIN }, "dev");
}

#[test]
fn stars_stand_for_any_text() {
    for (glob, text) in
        [("*", ""), ("a*", "abc"), ("*c", "abc"), ("a*c", "abbc"), ("a*b*c", "a-b-b-c"), ("abc", "abc"), ("*b*", "abc")]
    {
        assert!(glob_matches(glob, text), "{glob} {text}");
    }
    for (glob, text) in [("", "a"), ("a*", "ba"), ("a*a", "a"), ("a*b*c", "acb"), ("abc", "abcd"), ("*ab*ab", "ab")] {
        assert!(!glob_matches(glob, text), "{glob} {text}");
    }
}
