//! What the stores share: reading pages and judging expectations over any ordered map.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use super::{Expect, Page, StorageError, Stored, Version};
use crate::base::Key;

/// An ordered map of texts, seen at one moment.
pub(super) trait Ordered {
    /// Calls `visit` with the value at `key`, if there is one.
    fn with<T>(&self, key: &str, visit: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StorageError>;

    /// Whether the value at `key` has this version.
    fn is_at(&self, key: &str, version: &Version) -> Result<bool, StorageError> {
        Ok(self.with(key, Version::of)?.as_ref() == Some(version))
    }

    /// Calls `visit` with each entry from `start` on whose key begins with `within`, in order of keys, until it breaks. `start` is
    /// not before `within`. What lies behind is not looked at: thousands of removed keys may.
    fn walk(
        &self,
        within: &str,
        start: Bound<&str>,
        visit: impl FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StorageError>;
}

/// Entries under `prefix`; see [`super::Storage::scan`].
pub(super) fn scan(map: &impl Ordered, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
    let mut entries = Vec::new();
    if page.limit == 0 {
        return Ok(entries);
    }
    let start = match page.after {
        Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
        _ => Bound::Included(prefix.as_str()),
    };
    map.walk(prefix.as_str(), start, |key, value| {
        entries.push((Key::from(key), Stored::new(Bytes::copy_from_slice(value))));
        go_on_while(entries.len() < page.limit)
    })?;
    Ok(entries)
}

/// Children of `prefix`; see [`super::Storage::list`]. A folder is entered once, at its first key: the next look is for
/// what follows the folder, however much it holds.
pub(super) fn list(map: &impl Ordered, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError> {
    let prefix = prefix.as_str();
    let mut names = Vec::new();
    let mut next = Some(match page.after {
        None => Start { text: prefix.to_owned(), inclusive: true },
        Some(after) => match after.strip_suffix('/') {
            Some(folder) => past_folder(prefix, folder),
            None => Start { text: [prefix, after].concat(), inclusive: false },
        },
    });
    while let Some(start) = next.take().filter(|_| names.len() < page.limit) {
        map.walk(prefix, start.bound(), |key, _| {
            let rest = key.strip_prefix(prefix).unwrap_or_default();
            match rest.split_once('/') {
                Some((folder, _)) => {
                    names.push(format!("{folder}/"));
                    next = Some(past_folder(prefix, folder));
                    return ControlFlow::Break(());
                }
                // The prefix itself is nobody's child.
                None if rest.is_empty() => {}
                None => names.push(rest.to_owned()),
            }
            go_on_while(names.len() < page.limit)
        })?;
    }
    Ok(names)
}

/// Whether all of `expects` hold in `map`; [`StorageError::Conflict`] names the first that does not.
pub(super) fn judge(map: &impl Ordered, expects: &[Expect]) -> Result<(), StorageError> {
    for expect in expects {
        let (key, holds) = match expect {
            Expect::Absent(key) => (key, map.with(key.as_str(), |_| ())?.is_none()),
            Expect::At(key, version) => (key, map.is_at(key.as_str(), version)?),
            Expect::Empty(prefix) => (prefix, is_empty(map, prefix)?),
        };
        if !holds {
            return Err(StorageError::Conflict(key.clone()));
        }
    }
    Ok(())
}

fn is_empty(map: &impl Ordered, prefix: &Key) -> Result<bool, StorageError> {
    let mut empty = true;
    map.walk(prefix.as_str(), Bound::Included(prefix.as_str()), |_, _| {
        empty = false;
        ControlFlow::Break(())
    })?;
    Ok(empty)
}

fn go_on_while(wanted: bool) -> ControlFlow<()> {
    if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Where a walk begins.
struct Start {
    text: String,
    inclusive: bool,
}

impl Start {
    fn bound(&self) -> Bound<&str> {
        if self.inclusive { Bound::Included(&self.text) } else { Bound::Excluded(&self.text) }
    }
}

/// The first key that may follow everything under `<prefix><folder>/`: `0` is the character after `/`.
fn past_folder(prefix: &str, folder: &str) -> Start {
    Start { text: [prefix, folder, "0"].concat(), inclusive: true }
}
