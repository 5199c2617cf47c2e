//! Who does something that one does at a time, such as tidying.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Held while it is done.
pub(super) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// `None`: somebody else is at it.
    pub(super) fn new(flag: &Arc<AtomicBool>) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(flag)))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
