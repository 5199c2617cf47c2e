//! Where a path leads: all mounts in one immutable table, replaced as a whole when one changes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::barrier::View;
use crate::base::MountId;

use super::{Meter, MountEntry, Mounted};

/// A mount that can be asked.
pub struct Mount {
    /// As stored.
    pub entry: Arc<MountEntry>,
    /// Who answers.
    pub plugin: Arc<dyn Mounted>,
    /// Its part of storage.
    pub view: View,
    /// Counts its requests, also those of earlier values.
    pub meter: Arc<Meter>,
    /// Counts those who hold this value or an earlier one of the same mount, back to where it was closed.
    holders: TaskTracker,
    /// Those who held it before it was closed.
    before: Option<TaskTracker>,
    /// Counts this value.
    _counted: TaskTrackerToken,
}

impl Mount {
    /// A mount that was just opened.
    pub fn new(entry: Arc<MountEntry>, plugin: Arc<dyn Mounted>, view: View) -> Arc<Self> {
        Self::held_by(entry, plugin, view, Arc::default(), TaskTracker::new(), None)
    }

    /// The same mount under a changed entry.
    #[must_use]
    pub fn with_entry(&self, entry: Arc<MountEntry>) -> Arc<Self> {
        self.with_plugin(entry, Arc::clone(&self.plugin))
    }

    /// The same mount, opened anew under a changed entry.
    #[must_use]
    pub fn with_plugin(&self, entry: Arc<MountEntry>, plugin: Arc<dyn Mounted>) -> Arc<Self> {
        Self::held_by(entry, plugin, self.view.clone(), Arc::clone(&self.meter), self.holders.clone(), self.before.clone())
    }

    /// The same mount under an entry that admits nobody: those who hold it by now can be waited for.
    #[must_use]
    pub fn closed(&self, entry: Arc<MountEntry>) -> Arc<Self> {
        let before = self.before.clone().unwrap_or_else(|| self.holders.clone());
        before.close();
        Self::held_by(
            entry,
            Arc::clone(&self.plugin),
            self.view.clone(),
            Arc::clone(&self.meter),
            TaskTracker::new(),
            Some(before),
        )
    }

    /// The same mount under an entry that admits everybody again.
    #[must_use]
    pub fn opened(&self, entry: Arc<MountEntry>, plugin: Arc<dyn Mounted>) -> Arc<Self> {
        Self::held_by(entry, plugin, self.view.clone(), Arc::clone(&self.meter), TaskTracker::new(), None)
    }

    /// Returns when nobody holds it any more who did before it was closed: no request of then is under way.
    pub async fn drained(&self) {
        if let Some(before) = &self.before {
            before.wait().await;
        }
    }

    fn held_by(
        entry: Arc<MountEntry>,
        plugin: Arc<dyn Mounted>,
        view: View,
        meter: Arc<Meter>,
        holders: TaskTracker,
        before: Option<TaskTracker>,
    ) -> Arc<Self> {
        let counted = holders.token();
        Arc::new(Self { entry, plugin, view, meter, holders, before, _counted: counted })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct RouteTable {
    by_path: HashMap<Box<str>, Arc<Mount>>,
    by_id: HashMap<MountId, Arc<Mount>>,
    /// Mounts whose path is gone or taken by another: only revocation reaches them.
    hidden: Vec<Arc<Mount>>,
    /// Segments of the longest mount path.
    depth: usize,
}

impl RouteTable {
    /// Of these mounts. Hidden ones have no path any more; their leases are still ended.
    pub fn new(mounts: impl IntoIterator<Item = Arc<Mount>>, hidden: Vec<Arc<Mount>>) -> Self {
        let mut table = Self { hidden, ..Self::default() };
        for mount in mounts {
            let path = mount.entry.path.as_str();
            table.depth = table.depth.max(path.matches('/').count());
            table.by_path.insert(path.into(), Arc::clone(&mount));
            table.by_id.insert(mount.entry.id.clone(), mount);
        }
        for mount in &table.hidden {
            table.by_id.insert(mount.entry.id.clone(), Arc::clone(mount));
        }
        table
    }

    /// The mount a path lies in, and the rest of the path. A path without its last slash reaches the mount itself.
    pub fn find<'p>(&self, path: &'p str) -> Option<(&Arc<Mount>, &'p str)> {
        let mut found = None;
        let slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        for at in slashes.take(self.depth) {
            let (prefix, rest) = path.split_at_checked(at + 1)?;
            if let Some(mount) = self.by_path.get(prefix) {
                found = Some((mount, rest));
            }
        }
        found.or_else(|| {
            let with_slash = format!("{path}/");
            self.by_path.get(with_slash.as_str()).map(|mount| (mount, ""))
        })
    }

    /// The mount of this id, also when it has no path any more.
    pub fn by_id<I: Eq + Hash + ?Sized>(&self, id: &I) -> Option<&Arc<Mount>>
    where
        MountId: Borrow<I>,
    {
        self.by_id.get(id)
    }

    /// The mount at exactly this path, which ends in `/`.
    pub fn at(&self, path: &str) -> Option<&Arc<Mount>> {
        self.by_path.get(path)
    }

    /// All mounts that have a path, in no order.
    pub fn mounts(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.by_path.values()
    }

    /// Mounts without a path.
    pub fn hidden(&self) -> &[Arc<Mount>] {
        &self.hidden
    }

    /// A mount whose path equals, contains or lies below this one, which ends in `/`.
    pub fn conflict(&self, path: &str) -> Option<&Arc<Mount>> {
        self.mounts().find(|mount| {
            let other = mount.entry.path.as_str();
            other.starts_with(path) || path.starts_with(other)
        })
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("path", &self.entry.path).field("kind", &self.entry.kind).finish_non_exhaustive()
    }
}
