//! How many calls of each action the account takes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Calls since a limit was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Calls that were let through.
    pub passed: u64,
    /// Calls that were refused as too many.
    pub refused: u64,
}

/// A limit, if there is one: so many calls a second of each action, and as many at once when there were none before.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Guards the counts; all calls wait for it; held for a computation.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    per_second: f64,
    /// By action: what is left, and when that was so on the clock's `elapsed`.
    left: HashMap<String, (f64, Duration)>,
    counts: Throttling,
}

impl Limits {
    /// None: as many as anybody likes.
    pub(super) fn set(&self, per_second: Option<f64>) {
        *self.state() = per_second.map(|per_second| State { per_second, left: HashMap::new(), counts: Throttling::default() });
    }

    pub(super) fn counts(&self) -> Throttling {
        self.state().as_ref().map(|state| state.counts).unwrap_or_default()
    }

    /// Counts a call; whether it is taken.
    pub(super) fn admit(&self, action: &str, now: Duration) -> bool {
        let mut state = self.state();
        let Some(state) = state.as_mut() else { return true };
        let (left, at) = state.left.entry(action.to_owned()).or_insert((state.per_second, now));
        let gained = now.saturating_sub(*at).as_secs_f64() * state.per_second;
        (*left, *at) = ((*left + gained).min(state.per_second.max(1.0)), now);
        let is_taken = *left >= 1.0 - ROUNDING;
        if is_taken {
            *left -= 1.0;
            state.counts.passed += 1;
        } else {
            state.counts.refused += 1;
        }
        is_taken
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenth and nine more are not quite one.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_so_many_calls_a_second() {
        let limits = Limits::default();
        assert!((0..100).all(|_| limits.admit("GetUser", Duration::ZERO)));
        limits.set(Some(2.0));
        let taken = |at: u64| limits.admit("GetUser", Duration::from_millis(at));
        assert_eq!([taken(0), taken(0), taken(0), taken(500), taken(600)], [true, true, false, true, false]);
        assert!(limits.admit("DeleteUser", Duration::ZERO));
        assert_eq!(limits.counts(), Throttling { passed: 4, refused: 2 });
        limits.set(None);
        assert!(taken(600));
    }
}
