//! Which rule of quotas holds for a request: exactly one, the most specific (spec `sys.md` §13).

use std::collections::HashMap;
use std::sync::Arc;

/// What a rule is for. Paths of mounts end in `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// Logins of a role.
    Role(String, String),
    /// This path and no other.
    Exact(String),
    /// All paths that begin so.
    Glob(String),
    /// All of a mount.
    Mount(String),
    /// Everything.
    Global,
}

/// Rules by what they are for.
#[derive(Debug)]
pub(super) struct Book<R> {
    rules: HashMap<Target, Arc<R>>,
    /// Lengths of what globs begin with, the longest first.
    globs: Vec<usize>,
    /// Mounts that have rules of roles.
    of_roles: Vec<String>,
}

impl Target {
    /// Of the text of a rule and the path of the mount it lies in.
    pub(super) fn of(path: &str, mount: Option<&str>, role: &str) -> Self {
        match (path.strip_suffix('*'), mount) {
            (_, None) => Self::Global,
            (_, Some(mount)) if !role.is_empty() => Self::Role(mount.to_owned(), role.to_owned()),
            (Some(prefix), _) if Some(prefix) != mount => Self::Glob(prefix.to_owned()),
            (Some(_), Some(mount)) => Self::Glob(mount.to_owned()),
            (None, Some(mount)) if path.trim_end_matches('/') == mount.trim_end_matches('/') => Self::Mount(mount.to_owned()),
            (None, Some(_)) => Self::Exact(path.to_owned()),
        }
    }
}

impl<R> Book<R> {
    /// Of these rules; no two are for the same.
    pub(super) fn new(rules: impl IntoIterator<Item = (Target, Arc<R>)>) -> Self {
        let rules: HashMap<Target, Arc<R>> = rules.into_iter().collect();
        let mut globs: Vec<usize> = rules
            .keys()
            .filter_map(|target| match target {
                Target::Glob(prefix) => Some(prefix.len()),
                _ => None,
            })
            .collect();
        globs.sort_unstable_by(|one, other| other.cmp(one));
        globs.dedup();
        let of_roles = rules.keys().filter_map(|target| match target {
            Target::Role(mount, _) => Some(mount.clone()),
            _ => None,
        });
        let of_roles = of_roles.collect();
        Self { rules, globs, of_roles }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All of them.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&Target, &Arc<R>)> {
        self.rules.iter()
    }

    /// Whether the role of a login there may matter.
    pub(super) fn asks_for_role(&self, path: &str) -> bool {
        self.of_roles.iter().any(|mount| path.starts_with(mount.as_str()))
    }

    /// The rule for a request.
    pub(super) fn find(&self, path: &str, role: Option<&str>) -> Option<&Arc<R>> {
        if self.rules.is_empty() {
            return None;
        }
        if let Some(role) = role {
            let of_role = |mount: &str| self.rules.get(&Target::Role(mount.to_owned(), role.to_owned()));
            if let Some(rule) = folders(path).find_map(of_role) {
                return Some(rule);
            }
        }
        let exact = || self.rules.get(&Target::Exact(path.to_owned()));
        let glob = || {
            let prefixes = self.globs.iter().filter_map(|length| path.get(..*length));
            prefixes.map(|prefix| Target::Glob(prefix.to_owned())).find_map(|target| self.rules.get(&target))
        };
        let mount = || folders(path).find_map(|mount| self.rules.get(&Target::Mount(mount.to_owned())));
        exact().or_else(glob).or_else(mount).or_else(|| self.rules.get(&Target::Global))
    }
}

impl<R> Default for Book<R> {
    fn default() -> Self {
        Self { rules: HashMap::new(), globs: Vec::new(), of_roles: Vec::new() }
    }
}

/// What a path lies in, the longest first, each with its `/`.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').filter_map(|(at, _)| path.get(..=at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(rules: &[(&str, &str)]) -> Book<String> {
        let target = |path: &str, role: &str| {
            let mount = ["kv/", "auth/ap/"].into_iter().find(|mount| path.starts_with(mount.trim_end_matches('/')));
            Target::of(path, mount, role)
        };
        Book::new(rules.iter().map(|(path, role)| (target(path, role), Arc::new(format!("{path} {role}")))))
    }

    fn found(book: &Book<String>, path: &str, role: Option<&str>) -> String {
        book.find(path, role).map(|rule| rule.trim().to_owned()).unwrap_or_default()
    }

    #[test]
    fn the_most_specific_rule_decides_alone() {
        let book = book(&[("", ""), ("kv/", ""), ("kv/free/*", ""), ("kv/free/deep*", ""), ("kv/free/a", "")]);
        assert_eq!(found(&book, "kv/free/a", None), "kv/free/a");
        assert_eq!(found(&book, "kv/free/a/b", None), "kv/free/*");
        assert_eq!(found(&book, "kv/free/deeper", None), "kv/free/deep*");
        assert_eq!(found(&book, "kv/other", None), "kv/");
        assert_eq!(found(&book, "sys/mounts", None), "");
        assert!(book.find("sys/mounts", None).is_some());
    }

    #[test]
    fn a_path_without_a_star_is_that_path_only() {
        let book = book(&[("kv/free/", ""), ("kv/x", "")]);
        assert!(book.find("kv/free/b", None).is_none());
        assert!(book.find("kv/x/y", None).is_none());
        assert!(book.find("kv/x", None).is_some());
    }

    #[test]
    fn a_rule_of_a_role_is_before_those_of_its_mount() {
        let book = book(&[("auth/ap", "web"), ("auth/ap", ""), ("", "")]);
        assert_eq!(found(&book, "auth/ap/login", Some("web")), "auth/ap web");
        assert_eq!(found(&book, "auth/ap/login", Some("other")), "auth/ap");
        assert_eq!(found(&book, "auth/ap/login", None), "auth/ap");
        assert!(book.asks_for_role("auth/ap/login") && !book.asks_for_role("kv/a"));
    }
}
