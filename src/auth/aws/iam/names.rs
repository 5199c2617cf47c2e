//! Whole ARNs, path included, of who has logged in: asked of IAM once, and remembered by who he is, never by his name alone
//! (spec `aws-auth-method.md` §12.4).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::principal::{Kind, Principal};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Guards the ARNs; logins with wildcards; held for a look.
    known: Mutex<HashMap<Who, Known>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Who {
    partition: String,
    account: String,
    kind: Kind,
    unique_id: String,
}

#[derive(Debug)]
struct Known {
    arn: String,
    /// On `Clock::elapsed`.
    used: Duration,
}

impl Names {
    /// The whole ARN, if it is known; it stays known for another week.
    pub(super) fn find(&self, principal: &Principal, unique_id: &str, now: Duration) -> Option<String> {
        let mut known = self.known();
        let found = known.get_mut(&who(principal, unique_id)).filter(|known| now.saturating_sub(known.used) < LIFE)?;
        found.used = now;
        Some(found.arn.clone())
    }

    /// Remembers a whole ARN.
    pub(super) fn keep(&self, principal: &Principal, unique_id: &str, arn: String, now: Duration) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, known| now.saturating_sub(known.used) < LIFE);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(who(principal, unique_id), Known { arn, used: now });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Who, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn who(principal: &Principal, unique_id: &str) -> Who {
    Who {
        partition: principal.partition.clone(),
        account: principal.account.clone(),
        kind: principal.kind,
        unique_id: unique_id.to_owned(),
    }
}

/// Since it was last used.
const LIFE: Duration = Duration::from_hours(7 * 24);

/// Some 300 bytes each.
const MOST: usize = 10_000;
