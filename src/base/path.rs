//! Paths, parsed once at the edge and typed from there on.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// A segment is `.` or `..` (spec `http-api.md` §1).
    #[error("relative paths not supported")]
    Relative,
    /// A control character, which no path may hold.
    #[error("path holds a control character")]
    Control,
    /// Longer than [`ApiPath::MAX_LEN`].
    #[error("path is longer than {} bytes", ApiPath::MAX_LEN)]
    TooLong,
}

/// The logical path of a request: relative to `/v1/`, percent-decoded, without `.` or `..` segments and without a
/// leading `/`. A trailing `/` is kept: it means something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiPath(Arc<str>);

impl ApiPath {
    /// Bound on a path's length in bytes; a header line is bounded near it as well.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Checks and keeps a decoded path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > Self::MAX_LEN {
            return Err(PathError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        let text = text.trim_start_matches('/');
        if text.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(PathError::Relative);
        }
        Ok(Self(text.into()))
    }

    /// The text, without a leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same path with a `/` at its end.
    #[must_use]
    pub fn with_slash(&self) -> Self {
        if self.0.ends_with('/') { self.clone() } else { Self(format!("{}/", self.0).into()) }
    }
}

impl TryFrom<String> for ApiPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<ApiPath> for String {
    fn from(path: ApiPath) -> Self {
        path.0.as_ref().to_owned()
    }
}

impl fmt::Display for ApiPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a mount hangs: `aws/`, `team/kv/`, `auth/approle/`. Ends in exactly one `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountPath(Arc<str>);

impl MountPath {
    /// Trims slashes at both ends and adds the last one; refuses relative segments.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let path = ApiPath::parse(text.trim_matches('/'))?;
        Ok(Self(format!("{}/", path.as_str()).into()))
    }

    /// The text, ending in `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without the `/` at its end.
    pub fn trimmed(&self) -> &str {
        self.0.strip_suffix('/').unwrap_or(&self.0)
    }

    /// Whether the mount is an auth method's.
    pub fn is_auth(&self) -> bool {
        self.0.starts_with("auth/")
    }

    /// The path below `auth/` for an auth method, the whole path for a secrets engine; ends in `/`.
    pub fn in_table(&self) -> &str {
        self.0.strip_prefix("auth/").unwrap_or(&self.0)
    }
}

impl Borrow<str> for MountPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MountPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<MountPath> for String {
    fn from(path: MountPath) -> Self {
        path.0.as_ref().to_owned()
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

thread_local! {
    /// Where a key is put together, so that to make one is one allocation.
    static JOINED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A key in storage. Segments are parted by `/`; a key that ends in `/` is a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// Keeps a text as key.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// This key followed by `rest`.
    #[must_use]
    pub fn join(&self, rest: &str) -> Self {
        JOINED.with_borrow_mut(|joined| {
            joined.clear();
            joined.push_str(&self.0);
            joined.push_str(rest);
            Self(joined.as_str().into())
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `prefix`, when this key lies under it.
    pub fn under<'a>(&'a self, prefix: &Self) -> Option<&'a str> {
        self.0.strip_prefix(&*prefix.0)
    }
}

impl From<&Key> for Arc<str> {
    fn from(key: &Key) -> Self {
        Self::clone(&key.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_refused_as_segments_only() {
        assert_eq!(ApiPath::parse("a/../b"), Err(PathError::Relative));
        assert_eq!(ApiPath::parse("."), Err(PathError::Relative));
        assert!(ApiPath::parse("a..b/.c").is_ok());
    }

    #[test]
    fn no_path_begins_with_a_slash() -> Result<(), PathError> {
        let path = ApiPath::parse("//a//b/")?;
        assert_eq!(path.as_str(), "a//b/");
        assert_eq!(ApiPath::parse(path.as_str())?, path);
        Ok(())
    }

    #[test]
    fn mount_paths_end_in_one_slash() -> Result<(), PathError> {
        assert_eq!(MountPath::parse("/team/kv//")?.as_str(), "team/kv/");
        assert_eq!(MountPath::parse("auth/approle")?.in_table(), "approle/");
        Ok(())
    }
}
