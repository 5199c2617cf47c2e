//! The path of a rule: exact, a prefix, or with `+` for whole segments (spec `policies.md` §1, §3).

use std::cmp::Ordering;

/// Which paths a rule is about. Two rules whose patterns are equal are one rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pattern {
    /// The path itself.
    Exact(Box<str>),
    /// Every path that begins so; the `*` is cut off.
    Prefix(Box<str>),
    /// With segments that are `+`; the `*` at its end, if any, is kept.
    Segments(Box<str>),
}

/// `+*` is not a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forbidden;

impl Pattern {
    pub(super) fn parse(path: &str) -> Result<Self, Forbidden> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.contains("+*") {
            return Err(Forbidden);
        }
        if path == "+" || path.starts_with("+/") || path.contains("/+") {
            return Ok(Self::Segments(path.into()));
        }
        Ok(path.strip_suffix('*').map_or_else(|| Self::Exact(path.into()), |prefix| Self::Prefix(prefix.into())))
    }
}

/// A pattern with `+`, taken apart.
#[derive(Debug)]
pub(super) struct Segments {
    /// As written, without the `*`.
    text: Box<str>,
    starred: bool,
    rank: Rank,
}

impl Segments {
    pub(super) fn new(text: &str) -> Self {
        let (text, starred) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
        let plus = text.split('/').filter(|segment| *segment == "+").count();
        let first = text.find('+').unwrap_or(text.len());
        Self { text: text.into(), starred, rank: Rank { first, starred, plus, len: text.len() } }
    }

    /// Whether it covers a path.
    pub(super) fn covers(&self, path: &str) -> bool {
        let mut ours = self.text.split('/').peekable();
        let mut theirs = path.split('/');
        while let Some(segment) = ours.next() {
            let Some(asked) = theirs.next() else { return false };
            if self.starred && ours.peek().is_none() {
                return asked.starts_with(segment);
            }
            if segment != "+" && segment != asked {
                return false;
            }
        }
        theirs.next().is_none()
    }

    /// Whether it covers something at or below a mount, whose path ends in `/`.
    pub(super) fn reaches(&self, mount: &str) -> bool {
        let mut ours = self.text.split('/').peekable();
        for asked in mount.trim_end_matches('/').split('/') {
            let Some(segment) = ours.next() else { return false };
            if self.starred && ours.peek().is_none() {
                return asked.starts_with(segment) || segment.is_empty();
            }
            if segment != "+" && segment != asked {
                return false;
            }
        }
        true
    }

    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// How specific a rule that is not exact is; the greater one wins. Equal ranks are settled by the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    /// Where the first wildcard stands: later is better.
    first: usize,
    /// Ends in `*`: worse.
    starred: bool,
    /// Segments that are `+`: fewer are better.
    plus: usize,
    /// Length without the `*`: longer is better.
    len: usize,
}

impl Rank {
    pub(super) fn of_prefix(prefix: &str) -> Self {
        Self { first: prefix.len(), starred: true, plus: 0, len: prefix.len() }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |rank: &Self| (rank.first, !rank.starred, std::cmp::Reverse(rank.plus), rank.len);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_star_at_the_end_and_whole_segments_are_wild() {
        let exact = |text: &str| Ok(Pattern::Exact(text.into()));
        let prefix = |text: &str| Ok(Pattern::Prefix(text.into()));
        let segments = |text: &str| Ok(Pattern::Segments(text.into()));
        for (path, expected) in [
            ("/secret/a", exact("secret/a")),
            ("//a", exact("/a")),
            ("", exact("")),
            ("a*b", exact("a*b")),
            ("a+b", exact("a+b")),
            ("a+/b", exact("a+/b")),
            ("*", prefix("")),
            ("secret/*", prefix("secret/")),
            ("a*b*", prefix("a*b")),
            ("a**", prefix("a*")),
            ("+", segments("+")),
            ("/+", segments("+")),
            ("+/a*", segments("+/a*")),
            ("a/+b", segments("a/+b")),
            ("a/+", segments("a/+")),
            ("+*", Err(Forbidden)),
            ("a/+*", Err(Forbidden)),
            ("a+*", Err(Forbidden)),
        ] {
            assert_eq!(Pattern::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn a_plus_is_one_whole_segment() {
        for (pattern, path, covers) in [
            ("+", "a", true),
            ("+", "", true),
            ("+", "a/b", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a//c", true),
            ("a/+/c", "a/b/c/", false),
            ("a/+/c", "a/b", false),
            ("a/+/", "a/b/", true),
            ("a/+/", "a/b", false),
            ("a/+b/c", "a/xb/c", false),
            ("a/+b/c", "a/+b/c", true),
            ("a/+/c*", "a/b/cd/e", true),
            ("a/+/c*", "a/b/c", true),
            ("a/+/c*", "a/b/d", false),
            ("a/+/c*", "a/b", false),
            ("a/+/*", "a/b/", true),
            ("a/+/*", "a/b", false),
            ("a/+/*", "a/b/c/d", true),
            ("+/b*", "a/bc", true),
        ] {
            assert_eq!(Segments::new(pattern).covers(path), covers, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_reaches_the_mounts_it_could_cover_a_path_of() {
        for (pattern, mount, reaches) in [
            ("+/a", "kv/", true),
            ("kv/+/x", "kv/", true),
            ("ssh/+/x", "kv/", false),
            ("+/b/c", "team/kv/", false),
            ("team/+", "team/kv/", true),
            ("+", "team/kv/", false),
            ("+/*", "team/kv/", true),
            ("+/k*", "team/kv/", true),
            ("+/x*", "team/kv/", false),
        ] {
            assert_eq!(Segments::new(pattern).reaches(mount), reaches, "{pattern} {mount}");
        }
    }
}
