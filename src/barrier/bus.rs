//! Tells caches which keys changed, once the change is durable and before its committer is answered (architecture §8).

use std::fmt;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use crate::base::Key;
use crate::storage::Write;

/// Called with each changed key, by the writer of storage: must be quick, and must neither wait nor panic.
pub type Subscriber = Arc<dyn Fn(&Key) + Send + Sync>;

/// Who wants to hear of which keys.
pub(super) struct Bus {
    subscribers: ArcSwap<Vec<(Key, Subscriber)>>,
    /// Guards the replacing of the list; only subscribing takes it, for a copy of the list.
    changing: Mutex<()>,
}

impl Bus {
    pub(super) fn subscribe(&self, prefix: Key, subscriber: Subscriber) {
        self.change(|list| list.push((prefix, subscriber)));
    }

    pub(super) fn clear(&self) {
        self.change(Vec::clear);
    }

    pub(super) fn publish(&self, writes: &[Write]) {
        let subscribers = self.subscribers.load();
        for write in writes {
            for (prefix, subscriber) in subscribers.iter() {
                if write.key().under(prefix).is_some() {
                    subscriber(write.key());
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<(Key, Subscriber)>)) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut list = self.subscribers.load().as_ref().clone();
        change(&mut list);
        self.subscribers.store(Arc::new(list));
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self { subscribers: ArcSwap::from_pointee(Vec::new()), changing: Mutex::new(()) }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bus({})", self.subscribers.load().len())
    }
}
