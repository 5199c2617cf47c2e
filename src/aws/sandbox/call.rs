//! One call: who asks for what, and how lists are paged.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::failure::Failure;
use super::faults::Tags;
use super::form::Form;
use super::session::{Caller, Kind};
use super::state::Moment;
use super::xml::Xml;

/// What an action answers: the inside of its result.
pub(super) type Outcome = Result<Xml, Failure>;

/// What an action may know of its call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) form: &'a Form,
    pub(super) caller: &'a Caller,
    pub(super) now: Moment,
    pub(super) hide: Hide,
    pub(super) tags: Tags,
    /// Items of a page at the most, whatever the call asks for.
    pub(super) page_limit: usize,
}

/// What a fault hides of what the call creates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hide {
    /// A new user, for so long.
    pub(super) user: Option<Duration>,
    /// A new key, for so long, and whether lists show it.
    pub(super) key: Option<(Duration, bool)>,
}

/// Which part of a list is asked for.
#[derive(Debug)]
pub(super) struct Page {
    after: Option<String>,
    size: usize,
}

impl Call<'_> {
    /// The user that is named, or else who calls.
    pub(super) fn user_name(&self) -> Result<&str, Failure> {
        match (self.form.get("UserName"), &self.caller.kind) {
            (Some(name), _) => Ok(name),
            (None, Kind::User { name }) => Ok(name),
            (None, _) => Err(Failure::invalid("Must specify userName when calling with non-User credentials")),
        }
    }

    /// The part of a list that is asked for.
    pub(super) fn page(&self) -> Result<Page, Failure> {
        let size = self.form.number("MaxItems", 1, 1000, 100)?;
        let invalid = || Failure::input("Invalid Marker.");
        let after = self.form.get("Marker").filter(|marker| !marker.is_empty()).map(|marker| {
            let bytes = BASE64.decode(marker).map_err(|_| invalid())?;
            String::from_utf8(bytes).map_err(|_| invalid())
        });
        let size = usize::try_from(size).unwrap_or(1).min(self.page_limit).max(1);
        Ok(Page { after: after.transpose()?, size })
    }
}

impl Page {
    /// What of `map` comes after the marker.
    pub(super) fn of<'m, T>(&self, map: &'m BTreeMap<String, T>) -> impl Iterator<Item = (&'m String, &'m T)> + use<'m, T> {
        let start = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        map.range::<str, _>((start, Bound::Unbounded))
    }

    /// The same where several maps make up one list, and `kind` before the keys keeps them apart and in order.
    pub(super) fn of_kind<'m, T>(
        &self,
        map: &'m BTreeMap<String, T>,
        kind: char,
    ) -> impl Iterator<Item = (String, &'m T)> + use<'m, T> {
        let start = match &self.after {
            Some(after) if after.starts_with(kind) => Some(Bound::Excluded(after.get(kind.len_utf8()..).unwrap_or_default())),
            // The marker is within a later map.
            Some(after) if after.chars().next() > Some(kind) => None,
            _ => Some(Bound::Unbounded),
        };
        let rest = start.map(|start| map.range::<str, _>((start, Bound::Unbounded)));
        rest.into_iter().flatten().map(move |(key, item)| (format!("{kind}{key}"), item))
    }

    /// Writes as many of `items` as fit into a list, and the marks of paging. The items are in the order of their keys.
    pub(super) fn write<K: AsRef<str>, T>(
        &self,
        xml: &mut Xml,
        list: &str,
        items: impl Iterator<Item = (K, T)>,
        mut write: impl FnMut(&mut Xml, T),
    ) {
        let (page, next) = self.cut(items);
        xml.list(list, page, |xml, item| write(xml, item));
        mark(xml, next.as_deref());
    }

    /// As many of `items` as fit, and the key of the last one if there are more.
    pub(super) fn cut<K: AsRef<str>, T>(&self, items: impl Iterator<Item = (K, T)>) -> (Vec<T>, Option<String>) {
        let mut rest = items.skip_while(|(key, _)| self.after.as_deref().is_some_and(|after| key.as_ref() <= after)).peekable();
        let (mut page, mut last) = (Vec::new(), String::new());
        while page.len() < self.size {
            let Some((key, item)) = rest.next() else { break };
            key.as_ref().clone_into(&mut last);
            page.push(item);
        }
        let next = rest.peek().is_some().then_some(last);
        (page, next)
    }
}

/// Writes whether a list goes on, and where.
pub(super) fn mark(xml: &mut Xml, next: Option<&str>) {
    xml.leaf("IsTruncated", if next.is_some() { "true" } else { "false" });
    xml.leaf_if("Marker", next.map(|next| BASE64.encode(next)).as_deref());
}
