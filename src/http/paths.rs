//! The path of a URL: what it leads to, or why to nothing (spec `http-api.md` §1).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::form::is_percent_encoded;
use crate::base::{ApiPath, PathError};

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A path of the API.
    Api(ApiPath),
    /// There is a shorter way to write it: the path to redirect to.
    Cleaned(String),
    /// The server's root.
    Root,
    /// Nothing of ours.
    Elsewhere,
    /// A character that no path holds, or an encoding that is none.
    Unprintable,
    /// `..` that hides in its encoding.
    Relative,
    /// Longer than any path.
    TooLong,
}

/// Reads the path as it stands in the request: encoded, with its first `/`, without the query.
pub fn target(raw: &str) -> Target {
    if !is_percent_encoded(raw) {
        return Target::Unprintable;
    }
    let Ok(decoded) = percent_decode_str(raw).decode_utf8() else { return Target::Unprintable };
    if decoded.chars().any(char::is_control) {
        return Target::Unprintable;
    }
    if raw == "/" {
        return Target::Root;
    }
    if let Some(cleaned) = cleaned(raw) {
        return if cleaned.starts_with(PREFIX) { Target::Cleaned(cleaned) } else { Target::Elsewhere };
    }
    if !raw.starts_with(PREFIX) {
        return Target::Elsewhere;
    }
    let path: Cow<'_, str> = decoded;
    match ApiPath::parse(path.get(PREFIX.len()..).unwrap_or_default()) {
        Ok(path) => Target::Api(path),
        Err(PathError::Relative) => Target::Relative,
        Err(PathError::Control) => Target::Unprintable,
        Err(PathError::TooLong) => Target::TooLong,
    }
}

/// The path without empty segments and dot segments as they stand; `None` when it has none.
fn cleaned(raw: &str) -> Option<String> {
    let is_dirty = raw.contains("//") || raw.contains("/.") && raw.split('/').any(is_dots);
    if !is_dirty {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut path = String::with_capacity(raw.len());
    for segment in &kept {
        path.push('/');
        path.push_str(segment);
    }
    if path.is_empty() || raw.ends_with('/') {
        path.push('/');
    }
    // Some take it for a slash.
    Some(path.replace('\\', "%5C"))
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

/// Of the one version of the API there is.
const PREFIX: &str = "/v1/";

#[cfg(test)]
mod tests {
    use super::*;

    fn api(raw: &str) -> String {
        match target(raw) {
            Target::Api(path) => path.as_str().to_owned(),
            other => panic!("{raw} is {other:?}"),
        }
    }

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(api("/v1/secret/a%20b%2525+c"), "secret/a b%25+c");
        assert_eq!(api("/v1/secret/a%2Fb"), "secret/a/b");
        assert_eq!(api("/v1/caf%C3%A9"), "café");
        assert_eq!(api("/v1/"), "");
        assert_eq!(api("/v1/a/"), "a/");
    }

    #[test]
    fn dots_inside_a_name_are_ordinary() {
        assert_eq!(api("/v1/a..b/.c/..."), "a..b/.c/...");
    }

    #[test]
    fn what_is_written_too_long_is_cleaned() {
        for (raw, clean) in [
            ("/v1//sys/health", "/v1/sys/health"),
            ("/v1/a/../b", "/v1/b"),
            ("/v1/a/./b/", "/v1/a/b/"),
            ("//v1/a", "/v1/a"),
            ("/v1/a/..", "/v1"),
            ("/v1/a%20b//c\\d", "/v1/a%20b/c%5Cd"),
        ] {
            let expected = if clean.starts_with("/v1/") { Target::Cleaned(clean.to_owned()) } else { Target::Elsewhere };
            assert_eq!(target(raw), expected, "{raw}");
        }
        assert_eq!(target("/v1/../../etc"), Target::Elsewhere);
        assert_eq!(target("//evil.example/"), Target::Elsewhere);
    }

    #[test]
    fn hidden_dots_are_refused() {
        for raw in ["/v1/a/%2e%2e/b", "/v1/a/%2E./b", "/v1/a%2F..%2Fb", "/v1/%2e"] {
            assert_eq!(target(raw), Target::Relative, "{raw}");
        }
    }

    #[test]
    fn control_characters_and_broken_encodings_are_refused() {
        for raw in ["/v1/a%00", "/v1/a%0Ab", "/v2/%7f", "/v1/%C2%85", "/v1/%", "/v1/%4", "/v1/%zz", "/v1/%ff"] {
            assert_eq!(target(raw), Target::Unprintable, "{raw}");
        }
    }

    #[test]
    fn only_the_api_is_ours() {
        assert_eq!(target("/"), Target::Root);
        for raw in ["/v1", "/v2/foo", "/nothing", "/ui/", "*", "/%761/a", ""] {
            assert_eq!(target(raw), Target::Elsewhere, "{raw}");
        }
        assert_eq!(target(&format!("/v1/{}", "a".repeat(20_000))), Target::TooLong);
    }
}
