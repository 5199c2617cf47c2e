use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::template::NoEntity;
use super::super::template::tests::Known;
use super::*;
use crate::base::Ttl;

fn acl(texts: &[&str]) -> Acl {
    let policies: Vec<_> = texts.iter().enumerate().map(|(n, text)| Policy::parse(&format!("p{n}"), text).unwrap()).collect();
    Acl::new(policies.iter(), &NoEntity)
}

/// Rules as `path: capability, capability`.
fn rules(lines: &[&str]) -> Acl {
    let texts: Vec<_> = lines.iter().map(|line| rule_text(line.split_once(": ").unwrap())).collect();
    acl(&[&texts.concat()])
}

fn rule_text((path, capabilities): (&str, &str)) -> String {
    let words: Vec<_> = capabilities.split(", ").filter(|word| !word.is_empty()).collect();
    format!("path {path:?} {{ capabilities = {words:?} }}\n")
}

fn ask(path: &str, operation: Operation) -> Ask<'_> {
    Ask { path, operation, data: None, wrap_ttl: None, sudo_path: false }
}

fn may(acl: &Acl, path: &str, operation: Operation) -> bool {
    acl.check(&ask(path, operation)).allowed
}

fn may_with(acl: &Acl, operation: Operation, data: &Value) -> bool {
    acl.check(&Ask { data: data.as_object(), ..ask("x", operation) }).allowed
}

const READ: Operation = Operation::Read;
const LIST: Operation = Operation::List;

#[test]
fn only_the_most_specific_pattern_decides() {
    let acl = rules(&["secret/*: read, list", "secret/app/*: update", "secret/app/x: delete"]);
    assert!(may(&acl, "secret/other", READ));
    assert!(!may(&acl, "secret/app/y", READ));
    assert!(may(&acl, "secret/app/y", Operation::Update));
    assert!(!may(&acl, "secret/app/x", Operation::Update));
    assert!(may(&acl, "secret/app/x", Operation::Delete));
}

#[test]
fn the_first_wildcard_s_place_ranks_plus_and_star() {
    let acl = rules(&["secret/+/a: read", "secret/foo/*: list"]);
    assert_eq!(acl.capabilities("secret/foo/a"), ["list"]);
    assert_eq!(acl.capabilities("secret/bar/a"), ["read"]);
    // Same place: without a star, fewer pluses, longer, larger.
    assert_eq!(rules(&["a/*: list", "a/+: read"]).capabilities("a/b"), ["read"]);
    assert_eq!(rules(&["a/+/*: list", "a/+/+: read"]).capabilities("a/b/c"), ["read"]);
    assert_eq!(rules(&["a/+/+/c: list", "a/+/b/c: read"]).capabilities("a/x/b/c"), ["read"]);
    assert_eq!(rules(&["a/+/b*: list", "a/+/bc*: read"]).capabilities("a/x/bcd"), ["read"]);
    assert_eq!(rules(&["a/+/b/+: list", "a/+/+/c: read"]).capabilities("a/x/b/c"), ["list"]);
}

#[test]
fn deny_wins_inside_its_own_pattern_only() {
    let acl = rules(&["a/*: deny", "a/b: read", "c: read", "c: deny", "c: update"]);
    assert!(may(&acl, "a/b", READ));
    assert!(!may(&acl, "a/c", READ));
    assert_eq!(acl.capabilities("c"), ["deny"]);
    let acl = rules(&["secret/*: read", "secret/super: deny"]);
    assert!(may(&acl, "secret/x", READ) && !may(&acl, "secret/super", READ));
}

#[test]
fn lists_fall_back_to_the_folder_without_slash_and_reads_do_not() {
    for path in ["kv/metadata/foo", "kv/metadata/foo/"] {
        let acl = rules(&[&format!("{path}: list, read")]);
        assert!(may(&acl, "kv/metadata/foo/", LIST), "{path}");
        assert_eq!(may(&acl, "kv/metadata/foo/", READ), path.ends_with('/'), "{path}");
    }
    assert!(!may(&rules(&["kv/foo/: list"]), "kv/foo", LIST));
    // Not exact: the folder without its slash comes first.
    let acl = rules(&["kv/+: list", "kv/foo/*: read"]);
    assert!(may(&acl, "kv/foo/", LIST) && may(&acl, "kv/foo/", READ));
    // The exact path with its slash comes before the one without.
    let acl = rules(&["kv/foo: list", "kv/foo/: read"]);
    assert!(!may(&acl, "kv/foo/", LIST));
    assert_eq!(acl.capabilities("kv/foo/"), ["read"]);
}

#[test]
fn a_star_stands_at_the_end_only() {
    let acl = rules(&["a*b: read", "c*d*: read"]);
    assert!(may(&acl, "a*b", READ) && !may(&acl, "axb", READ));
    assert!(may(&acl, "c*dx", READ) && !may(&acl, "cxdx", READ));
    let acl = rules(&["secret/foo*: read", "kv/*: read"]);
    assert!(may(&acl, "secret/food", READ) && may(&acl, "secret/foo", READ));
    assert!(!may(&acl, "kv", READ));
}

#[test]
fn sudo_and_the_capability_are_both_needed() {
    let sudo = |path, operation| Ask { sudo_path: true, ..ask(path, operation) };
    let acl = rules(&["a: read", "b: read, sudo", "c: sudo"]);
    assert!(!acl.check(&sudo("a", READ)).allowed);
    assert!(acl.check(&sudo("b", READ)).allowed && acl.check(&sudo("b", READ)).sudo);
    assert!(!acl.check(&sudo("c", READ)).allowed);
    assert!(acl.check(&sudo("a", Operation::Help)).allowed);
    assert!(acl.has_sudo("b") && acl.has_sudo("c") && !acl.has_sudo("a") && Acl::root().has_sudo("a"));
}

#[test]
fn an_empty_list_means_any_value_and_a_star_any_key() {
    let of = |text: &str| acl(&[&format!("path \"x\" {{ capabilities = [\"update\"] {text} }}")]);
    let update = Operation::Update;
    let allowed = of(r#"allowed_parameters = { "x" = [], "y" = ["a", "b*", "*c"] }"#);
    for (data, expected) in [
        (json!({}), true),
        (json!({ "x": 1 }), true),
        (json!({ "X": { "deep": [] } }), true),
        (json!({ "y": "a" }), true),
        (json!({ "Y": "bcd" }), true),
        (json!({ "y": "abc" }), true),
        (json!({ "y": "A" }), false),
        (json!({ "y": ["a"] }), false),
        (json!({ "z": "a" }), false),
        (json!({ "x": 1, "z": 1 }), false),
    ] {
        assert_eq!(may_with(&allowed, update, &data), expected, "{data}");
    }
    let denied = of(r#"denied_parameters = { "x" = [], "y" = ["a", 1, true, [1, "b"]] }"#);
    for (data, expected) in [
        (json!({ "x": "" }), false),
        (json!({ "y": "b" }), true),
        (json!({ "y": "a" }), false),
        (json!({ "y": 1 }), false),
        (json!({ "y": 1.0 }), false),
        (json!({ "y": "1" }), true),
        (json!({ "y": true }), false),
        (json!({ "y": [1, "b"] }), false),
        (json!({ "y": [1] }), true),
        (json!({ "other": 1 }), true),
    ] {
        assert_eq!(may_with(&denied, update, &data), expected, "{data}");
    }
    assert!(!may_with(&of(r#"denied_parameters = { "*" = [] }"#), update, &json!({ "a": 1 })));
    assert!(may_with(&of(r#"denied_parameters = { "*" = [] }"#), update, &json!({})));
    assert!(may_with(&of(r#"allowed_parameters = { "*" = ["x"] }"#), update, &json!({ "a": 1 })));
    let mixed = of(r#"allowed_parameters = { "*" = [], "y" = ["a"] }"#);
    assert!(may_with(&mixed, update, &json!({ "z": 1, "y": "a" })) && !may_with(&mixed, update, &json!({ "y": "b" })));
    assert!(may_with(&of(r#"allowed_parameters = { "x" = [""] }"#), update, &json!({ "x": "" })));
    assert!(!may_with(&of(r#"allowed_parameters = { "x" = [""] }"#), update, &json!({ "x": "y" })));
}

#[test]
fn parameters_bind_reads_and_writes_but_not_lists_and_deletions() {
    let text = r#"path "x" {
        capabilities = ["create", "read", "update", "patch", "delete", "list"]
        denied_parameters = { "a" = [] }
        required_parameters = ["b"]
    }"#;
    let acl = acl(&[text]);
    let (bad, good) = (json!({ "a": 1, "b": 1 }), json!({ "b": 1 }));
    for operation in [READ, Operation::Create, Operation::Update, Operation::Patch] {
        assert!(!may_with(&acl, operation, &bad) && may_with(&acl, operation, &good), "{operation:?}");
    }
    for operation in [LIST, Operation::Delete] {
        assert!(may_with(&acl, operation, &bad), "{operation:?}");
    }
}

#[test]
fn required_parameters_count_without_data_and_in_lower_case() {
    let acl = acl(&[r#"path "x" { capabilities = ["update"] required_parameters = ["Name"] }"#]);
    assert!(!may(&acl, "x", Operation::Update));
    assert!(!may_with(&acl, Operation::Update, &json!({})));
    assert!(may_with(&acl, Operation::Update, &json!({ "name": null })));
    assert!(!may_with(&acl, Operation::Update, &json!({ "Name": "x" })));
}

#[test]
fn wrapping_bounds_ask_for_wrapping() {
    let of = |text: &str| acl(&[&format!("path \"x\" {{ capabilities = [\"read\"] {text} }}")]);
    let wrapped =
        |acl: &Acl, seconds: Option<u64>| acl.check(&Ask { wrap_ttl: seconds.map(Ttl::seconds), ..ask("x", READ) }).allowed;
    let min = of("min_wrapping_ttl = 60");
    assert_eq!([None, Some(0), Some(59), Some(60), Some(9999)].map(|ttl| wrapped(&min, ttl)), [false, false, false, true, true]);
    let max = of("max_wrapping_ttl = 60");
    assert_eq!([None, Some(0), Some(1), Some(60), Some(61)].map(|ttl| wrapped(&max, ttl)), [false, false, true, true, false]);
    assert!(wrapped(&of(""), None) && wrapped(&of(""), Some(5)));
    // After merging, the bounds may exclude each other: nothing fits.
    let both = acl(&[
        r#"path "x" { capabilities = ["read"] min_wrapping_ttl = 60 }"#,
        r#"path "x" { capabilities = ["read"] max_wrapping_ttl = 30 }"#,
    ]);
    assert_eq!([None, Some(30), Some(45), Some(60)].map(|ttl| wrapped(&both, ttl)), [false; 4]);
}

#[test]
fn a_path_s_parameters_merge() {
    let of = |one: &str, other: &str| {
        acl(&[one, other]
            .map(|text| format!("path \"x\" {{ capabilities = [\"update\"] {text} }}"))
            .each_ref()
            .map(String::as_str))
    };
    let update = Operation::Update;
    let one_open = of(r#"allowed_parameters = { a = ["1"] }"#, "");
    assert!(may_with(&one_open, update, &json!({ "a": "1" })) && !may_with(&one_open, update, &json!({ "b": "1" })));
    let any = of("allowed_parameters = { a = [\"1\"] }", "allowed_parameters = { a = [], b = [\"2\"] }");
    assert!(may_with(&any, update, &json!({ "a": "9", "b": "2" })) && !may_with(&any, update, &json!({ "b": "9" })));
    let joined = of("denied_parameters = { a = [\"1\"] }", "denied_parameters = { a = [\"2\"] }");
    assert_eq!(["1", "2", "3"].map(|a| may_with(&joined, update, &json!({ "a": a }))), [false, false, true]);
}

#[test]
fn root_may_do_everything() {
    let acl = Acl::root();
    let verdict = acl.check(&Ask { sudo_path: true, ..ask("sys/raw/x", Operation::Delete) });
    assert!(verdict.allowed && verdict.is_root && verdict.sudo);
    assert_eq!(verdict.granting.iter().map(|name| &**name).collect::<Vec<_>>(), ["root"]);
    assert_eq!(acl.capabilities("x"), ["root"]);
    assert_eq!(acl.resultant(), json!({ "root": true }));
    assert!(acl.may_touch("kv/"));
}

#[test]
fn the_policies_that_gave_the_capability_are_named() {
    let acl = acl(&[
        r#"path "a" { capabilities = ["read"] } path "b" { capabilities = ["read"] }"#,
        r#"path "a" { capabilities = ["read", "update"] } path "b" { capabilities = ["read"] }"#,
    ]);
    let granting = |path, operation| acl.check(&ask(path, operation)).granting.join(" ");
    assert_eq!(granting("a", READ), "p0 p1");
    assert_eq!(granting("a", Operation::Update), "p1");
    assert_eq!(granting("b", READ), "p0 p1");
    assert_eq!(granting("a", Operation::Delete), "");
    assert_eq!(granting("c", READ), "");
    assert_eq!(granting("a", Operation::Renew), "p1");
}

#[test]
fn an_empty_list_of_capabilities_is_a_rule_that_gives_nothing() {
    let acl = rules(&["a/*: read", "a/b: "]);
    assert!(!may(&acl, "a/b", READ));
    assert_eq!(acl.capabilities("a/b"), ["deny"]);
    assert!(may(&acl, "a/b", Operation::Help) && may(&acl, "nowhere", Operation::Help));
}

#[test]
fn a_templated_rule_that_cannot_be_filled_in_is_dropped_alone() {
    let text = r#"
        path "kv/{{identity.entity.name}}/*" { capabilities = ["read"] }
        path "kv/{{identity.groups.names.ops.id}}" { capabilities = ["list"] }
        path "kv/static" { capabilities = ["update"] }"#;
    let policy = Policy::parse("p", text).unwrap();
    assert!(policy.is_templated());
    let known = Known::of(&[("identity.entity.id", "e1"), ("identity.entity.name", "bob")]);
    let acl = Acl::new([&policy].into_iter(), &known);
    assert!(may(&acl, "kv/bob/x", READ) && !may(&acl, "kv/eve/x", READ));
    assert!(may(&acl, "kv/static", Operation::Update));
    let nobody = Acl::new([&policy].into_iter(), &NoEntity);
    assert!(!may(&nobody, "kv/bob/x", READ) && !may(&nobody, "kv//x", READ));
    assert!(may(&nobody, "kv/static", Operation::Update));
    // A value that makes `+*` with the text around it.
    let policy = Policy::parse("p", r#"path "a/{{identity.entity.name}}*" { capabilities = ["read"] }"#).unwrap();
    assert!(!may(&Acl::new([&policy].into_iter(), &Known::of(&[("identity.entity.name", "x+")])), "a/x+", READ));
}

#[test]
fn a_mount_is_touched_by_what_lies_at_or_below_it() {
    for (rule, touches) in [
        ("kv/a: read", true),
        ("kv: read", true),
        ("kv/*: read", true),
        ("k*: read", true),
        ("*: read", true),
        ("kv/a/*: read", true),
        ("+/a: read", true),
        ("kv/+/b: read", true),
        ("kv/a: deny", false),
        ("kv/*: deny", false),
        ("kv/a: ", false),
        ("kv2/*: read", false),
        ("ssh/+: read", false),
    ] {
        assert_eq!(rules(&[rule]).may_touch("kv/"), touches, "{rule}");
    }
    assert!(!rules(&["*: read", "kv/*: deny"]).may_touch("kv/"));
    assert!(rules(&["*: deny", "kv/a/*: read"]).may_touch("kv/"));
}

#[test]
fn the_resultant_acl_lists_exact_paths_and_prefixes() {
    let acl = acl(&[r#"
        path "a" { capabilities = ["update", "create", "sudo", "patch"] }
        path "b/*" { capabilities = ["deny"] }
        path "c/+" { capabilities = ["read"] }
        path "d" { capabilities = ["read"] allowed_parameters = { x = [] } max_wrapping_ttl = "1m" }"#]);
    assert_eq!(
        acl.resultant(),
        json!({
            "root": false,
            "exact_paths": {
                "a": { "capabilities": ["create", "sudo", "update", "patch"] },
                "d": { "capabilities": ["read"], "allowed_parameters": { "x": [] }, "max_wrapping_ttl": 60 },
            },
            "glob_paths": { "b/": { "capabilities": ["deny"] } },
        })
    );
}

#[test]
fn an_acl_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Acl::root());
}

// ---- the law: compiled answer = naive answer ------------------------------------------------------------------------

/// A rule as the naive evaluator keeps it: the pattern as written, and the capabilities.
type Naive = (String, BTreeSet<&'static str>);

/// Answers as the specification is written, without any structure.
fn naive_capabilities(rules: &[Naive], path: &str, is_list: bool) -> Option<BTreeSet<&'static str>> {
    let mut merged: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (pattern, capabilities) in rules {
        let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
        merged.entry(pattern.to_owned()).or_default().extend(capabilities);
    }
    let is_wild = |pattern: &str| {
        let plus = pattern == "+" || pattern.starts_with("+/") || pattern.contains("/+");
        (plus, plus || pattern.ends_with('*'))
    };
    let exact = |path: &str| merged.get(path).filter(|_| !is_wild(path).1).cloned();
    let best = |path: &str| {
        let mut candidates: Vec<_> = merged
            .iter()
            .filter(|(pattern, _)| is_wild(pattern).1 && naive_covers(pattern, is_wild(pattern).0, path))
            .map(|(pattern, capabilities)| {
                let bare = pattern.strip_suffix('*').unwrap_or(pattern).to_owned();
                let first = if is_wild(pattern).0 { pattern.find('+').unwrap() } else { bare.len() };
                let pluses = pattern.split('/').filter(|segment| *segment == "+").count();
                let rank = (first, !pattern.ends_with('*'), 100 - pluses, bare.len(), bare);
                (rank, capabilities.clone())
            })
            .collect();
        candidates.sort();
        candidates.pop().map(|(_, capabilities)| capabilities)
    };
    let folder = if is_list { path.strip_suffix('/') } else { None };
    exact(path).or_else(|| exact(folder?)).or_else(|| best(folder?)).or_else(|| best(path))
}

fn naive_covers(pattern: &str, plus: bool, path: &str) -> bool {
    if !plus {
        return path.starts_with(pattern.strip_suffix('*').unwrap());
    }
    let ours: Vec<_> = pattern.split('/').collect();
    let theirs: Vec<_> = path.split('/').collect();
    let fits = |(ours, theirs): (&&str, &&str)| *ours == "+" || ours == theirs;
    match ours.last().unwrap().strip_suffix('*') {
        None => ours.len() == theirs.len() && ours.iter().zip(&theirs).all(fits),
        Some(start) => {
            let last = ours.len() - 1;
            theirs.len() > last && ours[..last].iter().zip(&theirs).all(fits) && theirs[last].starts_with(start)
        }
    }
}

/// Few letters, so that patterns collide.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![4 => "a{1,2}", 3 => "b", 4 => "\\+", 1 => "", 1 => "a\\+", 1 => "a\\*b"];
    let segments = prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"));
    ("/?", segments, "\\*?")
        .prop_map(|(slash, path, star)| format!("{slash}{path}{star}"))
        .prop_filter("+*", |path| !path.contains("+*"))
}

fn capabilities() -> impl Strategy<Value = BTreeSet<&'static str>> {
    let some = prop::collection::btree_set(prop::sample::select(vec!["read", "list", "update", "delete", "sudo"]), 0..4);
    (some, prop::bool::weighted(0.15)).prop_map(|(mut some, deny)| {
        if deny {
            some.insert("deny");
        }
        some
    })
}

fn asked_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![4 => "a{1,3}", 3 => "b", 1 => "", 1 => "c"];
    (prop::collection::vec(segment, 1..6), "/?").prop_map(|(segments, slash)| segments.join("/") + &slash)
}

fn compiled(policies: &[&Vec<Naive>]) -> Acl {
    let parse = |(n, rules): (usize, &&Vec<Naive>)| {
        let line = |(path, capabilities): &Naive| rule_text((path, &capabilities.iter().copied().collect::<Vec<_>>().join(", ")));
        let text = rules.iter().map(line).collect::<Vec<_>>().concat();
        Policy::parse(&format!("p{n}"), &text).unwrap()
    };
    let policies: Vec<_> = policies.iter().enumerate().map(parse).collect();
    Acl::new(policies.iter(), &NoEntity)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_answer_is_the_naive_answer(
        policies in prop::collection::vec(prop::collection::vec((pattern(), capabilities()), 0..8), 1..4),
        paths in prop::collection::vec(asked_path(), 1..12),
    ) {
        let acl = compiled(&policies.iter().collect::<Vec<_>>());
        let reversed = compiled(&policies.iter().rev().collect::<Vec<_>>());
        let all = policies.concat();
        for path in &paths {
            for (operation, word) in [(READ, "read"), (LIST, "list"), (Operation::Update, "update"), (Operation::Delete, "delete")] {
                let naive = naive_capabilities(&all, path, operation == LIST).unwrap_or_default();
                let expected = naive.contains(word) && !naive.contains("deny");
                prop_assert_eq!(may(&acl, path, operation), expected, "{} {}", word, path);
                prop_assert_eq!(may(&reversed, path, operation), expected, "{} {}", word, path);
                let expected = expected && naive.contains("sudo");
                let ask = Ask { sudo_path: true, ..ask(path, operation) };
                prop_assert_eq!(acl.check(&ask).allowed, expected, "sudo {} {}", word, path);
            }
            let naive = naive_capabilities(&all, path, true).unwrap_or_default();
            let shown = if naive.is_empty() || naive.contains("deny") { vec!["deny"] } else { naive.into_iter().collect() };
            prop_assert_eq!(acl.capabilities(path), shown, "{}", path);
        }
    }

    #[test]
    fn the_order_of_policies_does_not_matter_for_parameters(
        bodies in prop::collection::vec(
            (prop::sample::select(vec!["", "allowed_parameters", "denied_parameters"]),
             prop::collection::btree_map("[ab*]", prop::collection::vec("[xy]\\*?", 0..3), 0..3),
             0_u64..3, 0_u64..3, prop::bool::ANY),
            1..5),
        data in prop::collection::btree_map("[abcAB]", "[xyz]{1,2}", 0..3),
        wrap in 0_u64..4,
        turn in 0_usize..5,
    ) {
        let mut texts: Vec<String> = bodies.iter().map(|(key, map, min, max, required)| {
            let map: Vec<_> = map.iter().map(|(key, values)| format!("{key:?} = {values:?}")).collect();
            let map = if key.is_empty() { String::new() } else { format!("{key} = {{ {} }}", map.join(", ")) };
            let required = if *required { "required_parameters = [\"a\"]" } else { "" };
            let max = if *max < *min { 0 } else { *max };
            format!("path \"x\" {{ capabilities = [\"update\"] {map} {required} min_wrapping_ttl = {min} max_wrapping_ttl = {max} }}")
        }).collect();
        let data = json!(data);
        let answer = |texts: &[String]| {
            let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            acl.check(&Ask { data: data.as_object(), wrap_ttl: Some(Ttl::seconds(wrap)), ..ask("x", Operation::Update) }).allowed
        };
        let first = answer(&texts);
        let len = texts.len();
        texts.rotate_left(turn % len);
        prop_assert_eq!(answer(&texts), first);
        texts.reverse();
        prop_assert_eq!(answer(&texts), first);
    }
}
