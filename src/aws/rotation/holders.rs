//! Which mounts of the server hold which access key: a rotation by one of them would cut the others off (§21.7).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::hmac;

use crate::base::{MountId, MountPath, random};

/// The access keys that mounts hold in their configurations, as keyed hashes.
pub struct KeyHolders {
    hash: hmac::Key,
    /// Guards a few entries; who opens, configures or rotates a mount of AWS; held for a look-up.
    held: Mutex<HashMap<u64, Held>>,
}

struct Held {
    mount: MountId,
    path: MountPath,
    key: Option<hmac::Tag>,
}

/// One mount's place; left when dropped.
pub struct Holding {
    all: Arc<KeyHolders>,
    place: u64,
    mount: MountId,
}

impl Default for KeyHolders {
    /// Nobody holds any.
    fn default() -> Self {
        Self { hash: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()), held: Mutex::default() }
    }
}

impl KeyHolders {
    /// A place for a mount that holds none yet.
    pub fn join(self: &Arc<Self>, mount: &MountId, path: &MountPath) -> Holding {
        let mut held = self.held();
        let place = held.keys().max().map_or(0, |last| last + 1);
        held.insert(place, Held { mount: mount.clone(), path: path.clone(), key: None });
        drop(held);
        Holding { all: Arc::clone(self), place, mount: mount.clone() }
    }

    /// A mount is at this path from now on.
    fn moved(&self, mount: &MountId, path: &MountPath) {
        for held in self.held().values_mut().filter(|held| held.mount == *mount) {
            held.path = path.clone();
        }
    }

    /// A mount is gone, although its plugin may live on for what it lent.
    fn left(&self, mount: &MountId) {
        for held in self.held().values_mut().filter(|held| held.mount == *mount) {
            held.key = None;
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u64, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// What the mount holds now; empty: none.
    pub fn set(&self, access_key: &str) {
        let tag = (!access_key.is_empty()).then(|| hmac::sign(&self.all.hash, access_key.as_bytes()));
        if let Some(held) = self.all.held().get_mut(&self.place) {
            held.key = tag;
        }
    }

    /// The mount is at this path from now on; `None`: it is gone, although its plugin may live on for what it lent.
    pub fn placed(&self, path: Option<&MountPath>) {
        match path {
            Some(path) => self.all.moved(&self.mount, path),
            None => self.all.left(&self.mount),
        }
    }

    /// Why the key is not replaced unless the operator insists: other mounts hold it. `None`: nobody else does.
    pub fn refusal(&self, access_key: &str) -> Option<String> {
        let others = self.others(access_key);
        let names: Vec<&str> = others.iter().map(MountPath::as_str).collect();
        (!names.is_empty()).then(|| {
            format!(
                "the access key is also that of {}, which a rotation here would cut off; to rotate it all the same, set force=true",
                names.join(", ")
            )
        })
    }

    /// Other mounts that hold the same key, in order.
    fn others(&self, access_key: &str) -> Vec<MountPath> {
        let key = access_key.as_bytes();
        let is_same = |held: &&Held| {
            let tag = held.key.as_ref().filter(|_| held.mount != self.mount);
            tag.is_some_and(|tag| hmac::verify(&self.all.hash, key, tag.as_ref()).is_ok())
        };
        let mut paths: Vec<MountPath> = self.all.held().values().filter(is_same).map(|held| held.path.clone()).collect();
        paths.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        paths.dedup_by(|a, b| a.as_str() == b.as_str());
        paths
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.all.held().remove(&self.place);
    }
}

impl fmt::Debug for KeyHolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHolders").field("mounts", &self.held().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").field("mount", &self.mount).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(all: &Arc<KeyHolders>, path: &str) -> Holding {
        all.join(&MountId::fresh(), &MountPath::parse(path).unwrap())
    }

    fn names(paths: &[MountPath]) -> Vec<&str> {
        paths.iter().map(MountPath::as_str).collect()
    }

    #[test]
    fn another_mount_with_the_same_key_is_named_until_it_holds_another_or_goes() {
        let all = Arc::new(KeyHolders::default());
        let (one, two) = (join(&all, "aws/"), join(&all, "auth/aws/"));
        one.set("AKIA1");
        assert!(one.others("AKIA1").is_empty());
        two.set("AKIA1");
        assert_eq!(names(&one.others("AKIA1")), ["auth/aws/"]);
        assert_eq!(names(&two.others("AKIA1")), ["aws/"]);
        two.set("AKIA2");
        assert!(one.others("AKIA1").is_empty());
        two.set("AKIA1");
        drop(two);
        assert!(one.others("AKIA1").is_empty());
    }

    #[test]
    fn a_mount_that_moved_is_named_by_its_new_path() {
        let all = Arc::new(KeyHolders::default());
        let (one, two) = (join(&all, "a/"), join(&all, "b/"));
        two.set("AKIA1");
        all.moved(&two.mount, &MountPath::parse("c/").unwrap());
        assert_eq!(names(&one.others("AKIA1")), ["c/"]);
    }

    #[test]
    fn a_mount_that_is_opened_anew_is_not_another_one_and_keeps_its_place() {
        let all = Arc::new(KeyHolders::default());
        let (id, path) = (MountId::fresh(), MountPath::parse("aws/").unwrap());
        let before = all.join(&id, &path);
        before.set("AKIA1");
        let after = all.join(&id, &path);
        after.set("AKIA1");
        assert!(after.others("AKIA1").is_empty());
        drop(before);
        assert_eq!(names(&join(&all, "x/").others("AKIA1")), ["aws/"]);
    }

    #[test]
    fn who_holds_no_key_shares_none() {
        let all = Arc::new(KeyHolders::default());
        let (one, two) = (join(&all, "a/"), join(&all, "b/"));
        one.set("");
        two.set("");
        assert!(one.others("").is_empty());
    }
}
