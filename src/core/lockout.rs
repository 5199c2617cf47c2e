//! Who fails to log in too often is locked out for a while (spec `00-conventions.md`, "User lockout"). Kept in memory: a restart
//! forgets it, as it forgets who was near.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{MountId, Timestamp, Ttl};
use crate::config::Lockout;
use crate::mount::MountEntry;

use super::Settings;

/// Failed logins by mount and by how the mount names who logs in.
#[derive(Default)]
pub(super) struct Lockouts {
    /// Guards the counts; only logins take it; held for a look-up.
    users: Mutex<HashMap<User, Failures>>,
}

type User = (MountId, String);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u64,
    last: Timestamp,
    locked_until: Option<Timestamp>,
}

impl Lockouts {
    /// Whether a user is locked out now.
    pub(super) fn is_locked(&self, mount: &MountId, name: &str, now: Timestamp) -> bool {
        let users = self.users();
        let failures = users.get(&(mount.clone(), name.to_owned()));
        failures.and_then(|failures| failures.locked_until).is_some_and(|until| now < until)
    }

    /// A login failed over what was presented.
    pub(super) fn failed(&self, mount: &MountId, name: &str, rule: Lockout, now: Timestamp) {
        let mut users = self.users();
        if users.len() >= MOST_USERS {
            users.retain(|_, failures| !failures.is_over(rule.counter_reset, now));
        }
        let user = (mount.clone(), name.to_owned());
        if users.len() >= MOST_USERS && !users.contains_key(&user) {
            return;
        }
        let failures = users.entry(user).or_insert(Failures { count: 0, last: now, locked_until: None });
        if failures.is_over(rule.counter_reset, now) {
            (failures.count, failures.locked_until) = (0, None);
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if failures.count >= rule.threshold {
            failures.locked_until = Some(now.plus(rule.duration));
        }
    }

    /// A login went well.
    pub(super) fn succeeded(&self, mount: &MountId, name: &str) {
        self.users().remove(&(mount.clone(), name.to_owned()));
    }

    /// Who is locked out now.
    pub(super) fn locked(&self, now: Timestamp) -> Vec<(MountId, String)> {
        let users = self.users();
        let locked = users.iter().filter(|(_, failures)| failures.locked_until.is_some_and(|until| now < until));
        locked.map(|(user, _)| user.clone()).collect()
    }

    fn users(&self) -> MutexGuard<'_, HashMap<User, Failures>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// Whether they count no more.
    fn is_over(&self, reset: Ttl, now: Timestamp) -> bool {
        match self.locked_until {
            Some(until) => until <= now,
            None => now.since(self.last) >= reset,
        }
    }
}

impl Settings {
    /// What holds on a mount: the environment above its own tuning above the configuration; `None`: nobody is locked out.
    pub(super) fn lockout_of(&self, mount: &MountEntry) -> Option<Lockout> {
        let mut rule = self.lockout.of(&mount.kind);
        if self.lockout.disabled_by_environment {
            return None;
        }
        if let Some(tuned) = mount.config.user_lockout {
            rule.threshold = tuned.threshold.unwrap_or(rule.threshold);
            rule.duration = tuned.duration.unwrap_or(rule.duration);
            rule.counter_reset = tuned.counter_reset.unwrap_or(rule.counter_reset);
            rule.disabled = tuned.disable.unwrap_or(rule.disabled);
        }
        (!rule.disabled).then_some(rule)
    }
}

impl fmt::Debug for Lockouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lockouts({})", self.users().len())
    }
}

/// Users whose failures are remembered; about a hundred bytes each. Beyond that the newest ones are not counted: who floods the
/// table locks nobody out.
const MOST_USERS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Lockout = Lockout { threshold: 3, duration: Ttl::minutes(15), counter_reset: Ttl::minutes(5), disabled: false };
    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn the_third_failure_locks_out_for_a_while() {
        let (lockouts, mount) = (Lockouts::default(), MountId::new("m"));
        for _ in 0..3 {
            assert!(!lockouts.is_locked(&mount, "bob", START));
            lockouts.failed(&mount, "bob", RULE, START);
        }
        assert!(lockouts.is_locked(&mount, "bob", START));
        assert!(!lockouts.is_locked(&mount, "eve", START));
        assert!(!lockouts.is_locked(&MountId::new("other"), "bob", START));
        assert!(!lockouts.is_locked(&mount, "bob", START.plus(Ttl::minutes(15))));
    }

    #[test]
    fn a_success_and_a_pause_forget_failures() {
        let (lockouts, mount) = (Lockouts::default(), MountId::new("m"));
        lockouts.failed(&mount, "bob", RULE, START);
        lockouts.failed(&mount, "bob", RULE, START);
        lockouts.succeeded(&mount, "bob");
        lockouts.failed(&mount, "bob", RULE, START);
        lockouts.failed(&mount, "bob", RULE, START);
        lockouts.failed(&mount, "bob", RULE, START.plus(Ttl::minutes(6)));
        assert!(!lockouts.is_locked(&mount, "bob", START.plus(Ttl::minutes(6))));
    }
}
