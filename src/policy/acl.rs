//! All policies of a token as one immutable answer (spec `policies.md` §2, §3, §8).
//!
//! Rules with equal patterns are one rule. Of the rules that cover a path the most specific one decides alone: the exact
//! one, else the best of the longest prefix and the patterns with `+`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::grants::{Grants, Parameters};
use super::parse::{Place, Policy};
use super::pattern::{Pattern, Rank, Segments};
use super::template::{self, TemplateSource};
use super::{Ask, Capabilities, Operation, Verdict};

/// Names of policies.
type Names = Arc<[Arc<str>]>;

/// What a token may do.
#[derive(Debug)]
pub struct Acl {
    /// The policy `root`: everything is allowed.
    root: Option<Names>,
    exact: HashMap<Box<str>, Rule>,
    /// In order of their texts.
    prefixes: Vec<Prefix>,
    /// The best first.
    segments: Vec<(Segments, Rule)>,
    nobody: Names,
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
    rule: Rule,
}

/// The rules of one pattern, merged.
#[derive(Debug)]
struct Rule {
    grants: Arc<Grants>,
    /// Who gave which capability; one entry when all gave the same.
    granting: Vec<(Capabilities, Names)>,
}

impl Acl {
    /// Of the policy `root`: everything is allowed.
    pub fn root() -> Self {
        let mut acl = Self::of_rules(HashMap::new());
        acl.root = Some(Arc::from([Arc::from("root")]));
        acl
    }

    /// Of these policies, for the entity `source` knows. Their order does not matter.
    pub fn new<'a>(policies: impl Iterator<Item = &'a Policy>, source: &dyn TemplateSource) -> Self {
        let mut merged: HashMap<Pattern, Merging> = HashMap::new();
        for policy in policies {
            for rule in &policy.rules {
                let pattern = match &rule.place {
                    Place::Fixed(pattern) => Some(pattern.clone()),
                    Place::Templated => template::resolve(&rule.path, source).and_then(|path| Pattern::parse(&path).ok()),
                };
                if let Some(pattern) = pattern {
                    merged.entry(pattern).or_default().add(&rule.grants, &policy.name);
                }
            }
        }
        Self::of_rules(merged)
    }

    fn of_rules(merged: HashMap<Pattern, Merging>) -> Self {
        let nobody = Names::from([]);
        let mut acl =
            Self { root: None, exact: HashMap::new(), prefixes: Vec::new(), segments: Vec::new(), nobody: Arc::clone(&nobody) };
        for (pattern, merging) in merged {
            let rule = merging.finish();
            match pattern {
                Pattern::Exact(path) => drop(acl.exact.insert(path, rule)),
                Pattern::Prefix(text) => acl.prefixes.push(Prefix { text, parent: None, rule }),
                Pattern::Segments(text) => acl.segments.push((Segments::new(&text), rule)),
            }
        }
        acl.segments.sort_by(|(one, _), (other, _)| (other.rank(), other.text()).cmp(&(one.rank(), one.text())));
        acl.prefixes.sort_by(|one, other| one.text.cmp(&other.text));
        // The prefixes a text begins with lie before it, each beginning with the one before.
        let mut open: Vec<(usize, Box<str>)> = Vec::new();
        for (place, prefix) in acl.prefixes.iter_mut().enumerate() {
            while open.pop_if(|(_, text)| !prefix.text.starts_with(&**text)).is_some() {}
            prefix.parent = open.last().map(|(place, _)| *place);
            open.push((place, prefix.text.clone()));
        }
        acl
    }

    /// Whether something may be done.
    pub fn check(&self, ask: &Ask<'_>) -> Verdict {
        if let Some(root) = &self.root {
            return Verdict { allowed: true, is_root: true, sudo: true, granting: Arc::clone(root) };
        }
        let rule = self.find(ask.path, ask.operation == Operation::List);
        let sudo = rule.is_some_and(Rule::has_sudo);
        let nobody = || Arc::clone(&self.nobody);
        if ask.operation == Operation::Help {
            return Verdict { allowed: true, is_root: false, sudo, granting: nobody() };
        }
        match rule.filter(|rule| rule.grants.allow(ask)) {
            Some(rule) => Verdict { allowed: true, is_root: false, sudo, granting: rule.granting(ask.operation, &self.nobody) },
            None => Verdict { allowed: false, is_root: false, sudo, granting: nobody() },
        }
    }

    /// Whether the rule for a path holds `sudo`.
    pub fn has_sudo(&self, path: &str) -> bool {
        self.root.is_some() || self.find(path, false).is_some_and(Rule::has_sudo)
    }

    /// The capabilities on a path, in alphabetical order; `root`, or `deny` when there are none.
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.root.is_some() {
            return vec!["root"];
        }
        let found = self.find(path, true).map(|rule| rule.grants.capabilities);
        found.filter(|found| found.grants()).map_or_else(|| vec!["deny"], |found| found.names().collect())
    }

    /// Whether there is any capability at or below a mount, whose path ends in `/`.
    pub fn may_touch(&self, mount_path: &str) -> bool {
        let grants = |rule: &Rule| rule.grants.capabilities.grants();
        let bare = mount_path.strip_suffix('/').unwrap_or(mount_path);
        self.root.is_some()
            || self.longest_prefix(mount_path).is_some_and(|prefix| grants(&prefix.rule))
            || self.prefixes.iter().any(|prefix| prefix.text.starts_with(mount_path) && grants(&prefix.rule))
            || self.exact.iter().any(|(path, rule)| (path.starts_with(mount_path) || &**path == bare) && grants(rule))
            || self.segments.iter().any(|(segments, rule)| segments.reaches(mount_path) && grants(rule))
    }

    /// What `sys/internal/ui/resultant-acl` answers. Patterns with `+` are not part of it.
    pub fn resultant(&self) -> Value {
        if self.root.is_some() {
            return json!({ "root": true });
        }
        let exact: Map<_, _> = self.exact.iter().map(|(path, rule)| (path.to_string(), shown(&rule.grants))).collect();
        let glob: Map<_, _> = self.prefixes.iter().map(|prefix| (prefix.text.to_string(), shown(&prefix.rule.grants))).collect();
        json!({ "root": false, "exact_paths": exact, "glob_paths": glob })
    }

    /// The rule that decides. A list may name its folder without the slash.
    fn find(&self, path: &str, is_list: bool) -> Option<&Rule> {
        let folder = path.strip_suffix('/').filter(|_| is_list);
        self.exact
            .get(path)
            .or_else(|| folder.and_then(|folder| self.exact.get(folder)))
            .or_else(|| folder.and_then(|folder| self.best(folder)))
            .or_else(|| self.best(path))
    }

    /// The most specific rule that is not exact.
    fn best(&self, path: &str) -> Option<&Rule> {
        let prefix = self.longest_prefix(path);
        let Some((segments, rule)) = self.segments.iter().find(|(segments, _)| segments.covers(path)) else {
            return prefix.map(|prefix| &prefix.rule);
        };
        let rank = (segments.rank(), segments.text());
        match prefix.filter(|prefix| (Rank::of_prefix(&prefix.text), &*prefix.text) > rank) {
            Some(prefix) => Some(&prefix.rule),
            None => Some(rule),
        }
    }

    /// Every prefix of `path` is the last prefix not after `path`, or one of its parents.
    fn longest_prefix(&self, path: &str) -> Option<&Prefix> {
        let mut place = self.prefixes.partition_point(|prefix| &*prefix.text <= path).checked_sub(1);
        while let Some(prefix) = place.and_then(|place| self.prefixes.get(place)) {
            if path.starts_with(&*prefix.text) {
                return Some(prefix);
            }
            place = prefix.parent;
        }
        None
    }
}

impl Rule {
    fn has_sudo(&self) -> bool {
        self.grants.capabilities.holds(Capabilities::SUDO)
    }

    fn granting(&self, operation: Operation, nobody: &Names) -> Names {
        let needed = Capabilities::needed(operation);
        let found = self.granting.iter().find(|(given, _)| given.holds(needed));
        Arc::clone(found.map_or(nobody, |(_, names)| names))
    }
}

/// The rules of one pattern, while they are collected.
#[derive(Default)]
struct Merging {
    grants: Option<Arc<Grants>>,
    holders: Vec<(Arc<str>, Capabilities)>,
}

impl Merging {
    fn add(&mut self, grants: &Arc<Grants>, policy: &Arc<str>) {
        match &mut self.grants {
            None => self.grants = Some(Arc::clone(grants)),
            Some(known) => Arc::make_mut(known).merge(grants),
        }
        match self.holders.iter_mut().find(|(name, _)| name == policy) {
            Some((_, held)) => *held = held.or(grants.capabilities),
            None => self.holders.push((Arc::clone(policy), grants.capabilities)),
        }
    }

    fn finish(mut self) -> Rule {
        self.holders.sort();
        let names = |wanted: Capabilities| -> Names {
            let holders = self.holders.iter().filter(|(_, held)| held.holds(wanted));
            holders.map(|(name, _)| Arc::clone(name)).collect()
        };
        let grants = self.grants.unwrap_or_default();
        let all = grants.capabilities;
        let granting = if self.holders.iter().all(|(_, held)| *held == all) {
            vec![(all, names(Capabilities::NONE))]
        } else {
            all.each().map(|capability| (capability, names(capability))).collect()
        };
        Rule { grants, granting }
    }
}

/// A rule as the UI reads it.
fn shown(grants: &Grants) -> Value {
    let held = grants.capabilities;
    let names: Vec<_> = if held.grants() {
        SHOWN.iter().filter(|(capability, _)| held.holds(*capability)).map(|(_, name)| *name).collect()
    } else {
        vec!["deny"]
    };
    let mut out = Map::from_iter([("capabilities".to_owned(), json!(names))]);
    let parameters: [(&str, &Parameters); 2] = [("allowed_parameters", &grants.allowed), ("denied_parameters", &grants.denied)];
    for (key, parameters) in parameters {
        if !parameters.is_empty() {
            out.insert(key.to_owned(), json!(parameters));
        }
    }
    if !grants.required.is_empty() {
        out.insert("required_parameters".to_owned(), json!(grants.required));
    }
    for (key, ttl) in [("min_wrapping_ttl", grants.min_wrapping_ttl), ("max_wrapping_ttl", grants.max_wrapping_ttl)] {
        if !ttl.is_zero() {
            out.insert(key.to_owned(), json!(ttl.as_seconds()));
        }
    }
    Value::Object(out)
}

/// The order of `resultant-acl` (spec `policies.md` §8).
const SHOWN: [(Capabilities, &str); 9] = [
    (Capabilities::CREATE, "create"),
    (Capabilities::DELETE, "delete"),
    (Capabilities::LIST, "list"),
    (Capabilities::READ, "read"),
    (Capabilities::SUDO, "sudo"),
    (Capabilities::UPDATE, "update"),
    (Capabilities::PATCH, "patch"),
    (Capabilities::SUBSCRIBE, "subscribe"),
    (Capabilities::RECOVER, "recover"),
];

#[cfg(test)]
#[path = "acl_tests.rs"]
mod tests;
