//! What all mounts of a server have in common, by type: made when somebody first asks for it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Default)]
pub struct Shared {
    /// Guards the table; whoever opens a mount or makes a client; held for a look-up.
    things: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Shared {
    /// The one of its type.
    pub fn of<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = Arc::clone(things.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default())));
        drop(things);
        // It was put in under its own type.
        thing.downcast().unwrap_or_default()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.things.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Shared").field("things", &count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_of_each_type() {
        let shared = Shared::default();
        let (first, second) = (shared.of::<Mutex<u32>>(), shared.of::<Mutex<u32>>());
        *first.lock().unwrap() = 7;
        assert_eq!(*second.lock().unwrap(), 7);
        assert_eq!(*shared.of::<Mutex<u64>>().lock().unwrap(), 0);
    }
}
