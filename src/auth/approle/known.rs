//! What logins need of storage, kept at hand as long as it does not change.
//!
//! Everything is kept under its own storage key, relative to the mount, so a change of a key drops what was read there and
//! nothing else: whoever was told that a role or a secret id is gone is never contradicted.

use std::sync::Arc;

use crate::barrier::Guarded;
use crate::base::Key;

use super::role::ReadyRole;
use super::secret_id::Entry;

/// See the module.
pub(super) type Known = Guarded<Record>;

/// What was read at a key.
#[derive(Clone)]
pub(super) enum Record {
    /// The key of the role whose role id this is.
    Named(Arc<str>),
    Role(Arc<ReadyRole>),
    /// Of a secret id whose uses are not counted; it may have expired meanwhile.
    Entry(Arc<Entry>),
    /// There is an accessor.
    Accessor,
}

/// A key of storage changed, by its whole name: those of a mount begin with two segments, its kind and its id.
pub(super) fn changed(known: &Known, key: &Key) {
    if let Some(key) = key.as_str().splitn(3, '/').nth(2) {
        known.changed(key);
    }
}

/// Records kept of a mount, some hundred bytes each: those of a few hundred programs that log in again and again.
pub(super) const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_while_it_was_read_is_not_kept() {
        let known = Known::new(KEPT);
        let ticket = known.ticket("accessor/x");
        changed(&known, &Key::from("auth/id/accessor/x"));
        known.fill("accessor/x", ticket, Record::Accessor);
        assert!(known.get("accessor/x").is_none());
        known.fill("accessor/x", known.ticket("accessor/x"), Record::Accessor);
        assert!(known.get("accessor/x").is_some());
        changed(&known, &Key::from("auth/id/accessor/y"));
        assert!(known.get("accessor/x").is_some());
        changed(&known, &Key::from("auth/id/accessor/x"));
        assert!(known.get("accessor/x").is_none());
    }
}
