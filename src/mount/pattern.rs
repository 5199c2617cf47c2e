//! Paths of endpoints, as they are declared: `role/{name}/secret-id`.
//!
//! | piece | takes |
//! |---|---|
//! | `text` | that segment |
//! | `{name}` | a segment of letters, digits and `_`, with `-` and `.` inside (spec `00-conventions.md` §1) |
//! | `{name:at}` | the same, with `@` inside as well |
//! | `{name:any}` | any segment that is not empty |
//! | `{name:rest}` | everything to the end, slashes included, not empty; of what stands behind it, only text can |
//! | `/` at the end | a slash that may be missing |

use std::fmt;

/// The path of an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: &'static str,
    pieces: Vec<Piece>,
    /// Ends in a slash, which may be missing.
    is_folder: bool,
    /// What stands behind a piece that takes the rest, with the slash before it.
    tail: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Literal(&'static str),
    Capture(&'static str, Taking),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Name,
    NameWithAt,
    Any,
    Rest,
}

/// What the pieces in braces took, in order.
pub type Captures = Vec<(&'static str, String)>;

impl Pattern {
    /// Reads a declared path.
    ///
    /// # Panics
    /// On a kind of piece that does not exist, or braces behind a rest: mistakes in the declaration, which every test finds.
    #[expect(clippy::panic, reason = "declarations are constants of this program")]
    pub fn new(text: &'static str) -> Self {
        let is_folder = text.ends_with('/');
        let whole = text.strip_suffix('/').unwrap_or(text);
        let (bare, tail) = whole.find(":rest}/").map_or((whole, ""), |at| whole.split_at(at + ":rest}".len()));
        assert!(!tail.contains('{'), "`{text}`: only text can stand behind a piece that takes the rest");
        let pieces = bare.split('/').filter(|_| !bare.is_empty()).map(|piece| {
            let Some(inner) = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}')) else {
                return Piece::Literal(piece);
            };
            match inner.split_once(':') {
                None => Piece::Capture(inner, Taking::Name),
                Some((name, "at")) => Piece::Capture(name, Taking::NameWithAt),
                Some((name, "any")) => Piece::Capture(name, Taking::Any),
                Some((name, "rest")) => Piece::Capture(name, Taking::Rest),
                Some((_, kind)) => panic!("`{text}`: there is no piece of kind `{kind}`"),
            }
        });
        Self { text, pieces: pieces.collect(), is_folder, tail }
    }

    /// As declared.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The first segment, when only one text fits.
    pub(super) fn first_literal(&self) -> Option<&'static str> {
        match self.pieces.first() {
            Some(Piece::Literal(text)) => Some(text),
            _ => None,
        }
    }

    /// The names in braces.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Capture(name, _) => Some(*name),
        })
    }

    /// What the pieces take of a path, if it is one of this pattern.
    pub fn matches(&self, path: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut rest = Some(path);
        for piece in &self.pieces {
            let text = rest?;
            if let Piece::Capture(name, Taking::Rest) = piece {
                let text = if self.tail.is_empty() { text } else { self.before_tail(text)? };
                captures.push((name, text.to_owned()));
                return (!text.is_empty()).then_some(captures);
            }
            let (segment, after) = match text.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (text, None),
            };
            let fits = match piece {
                Piece::Literal(literal) => segment == *literal,
                Piece::Capture(_, Taking::Name) => is_name(segment, false),
                Piece::Capture(_, Taking::NameWithAt) => is_name(segment, true),
                Piece::Capture(_, Taking::Any | Taking::Rest) => !segment.is_empty(),
            };
            if !fits {
                return None;
            }
            if let Piece::Capture(name, _) = piece {
                captures.push((name, segment.to_owned()));
            }
            rest = after;
        }
        let ends = match rest {
            None => true,
            Some(rest) => rest.is_empty() && (self.is_folder || self.pieces.is_empty()),
        };
        ends.then_some(captures)
    }

    fn before_tail<'p>(&self, text: &'p str) -> Option<&'p str> {
        let text = if self.is_folder { text.strip_suffix('/').unwrap_or(text) } else { text };
        text.strip_suffix(self.tail)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

/// Whether a text is a name of the API: word characters, with `-`, `.` (and `@`) inside.
pub fn is_name(text: &str, with_at: bool) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let inner = |byte: u8| word(byte) || byte == b'-' || byte == b'.' || (with_at && byte == b'@');
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| word(*byte))
        && bytes.last().is_some_and(|byte| word(*byte))
        && bytes.iter().all(|byte| inner(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        let captures = Pattern::new(pattern).matches(path)?;
        Some(captures.into_iter().map(|(_, text)| text).collect())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be nothing")]
    fn some(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn segments_are_taken_by_kind() {
        assert_eq!(taken("role/{name}", "role/a-b.c"), some(&["a-b.c"]));
        assert_eq!(taken("role/{name}", "role/-a"), None);
        assert_eq!(taken("role/{name}", "role/a@b"), None);
        assert_eq!(taken("role/{name:at}", "role/a@b"), some(&["a@b"]));
        assert_eq!(taken("x/{name:any}", "x/ä ö"), some(&["ä ö"]));
        assert_eq!(taken("role/{name}/secret-id/lookup", "role/a/secret-id/lookup"), some(&["a"]));
        assert_eq!(taken("role/{name}", "role/a/b"), None);
        assert_eq!(taken("role/{name}", "role"), None);
    }

    #[test]
    fn the_rest_has_slashes_and_is_not_empty() {
        assert_eq!(taken("{path:rest}", "a/b/"), some(&["a/b/"]));
        assert_eq!(taken("{path:rest}", ""), None);
        assert_eq!(taken("lookup/{prefix:rest}", "lookup/a/b"), some(&["a/b"]));
        assert_eq!(taken("lookup/{prefix:rest}", "lookup/"), None);
    }

    #[test]
    fn text_may_stand_behind_the_rest() {
        assert_eq!(taken("mounts/{path:rest}/tune", "mounts/a/b/tune"), some(&["a/b"]));
        assert_eq!(taken("mounts/{path:rest}/tune", "mounts/tune/tune"), some(&["tune"]));
        assert_eq!(taken("mounts/{path:rest}/tune", "mounts/tune"), None);
        assert_eq!(taken("mounts/{path:rest}/tune", "mounts/a/tune/"), None);
        assert_eq!(taken("mounts/{path:rest}/tune", "mounts/a/b"), None);
        assert_eq!(taken("roles/{path:rest}/all/", "roles/a/all/"), some(&["a"]));
    }

    #[test]
    fn only_folders_take_a_slash_at_the_end() {
        assert_eq!(taken("roles/", "roles/"), some(&[]));
        assert_eq!(taken("roles/", "roles"), some(&[]));
        assert_eq!(taken("login", "login/"), None);
        assert_eq!(taken("role/{name}/secret-id/", "role/a/secret-id"), some(&["a"]));
        assert_eq!(taken("", ""), some(&[]));
        assert_eq!(taken("", "a"), None);
    }
}
