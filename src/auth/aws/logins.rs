//! The traces of the last logins of a mount, in memory: `GET logins/<request id>` (spec `aws-auth-method.md` §21.2).

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::base::RequestId;
use crate::mount::{ApiError, Ctx, Named, Reply, Table};

use super::AwsAuth;
use super::attempt::Attempt;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Logins {
    /// Guards the traces, the oldest first; every login; held to add one or to look for one.
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    request: RequestId,
    /// On `Clock::elapsed`.
    since: Duration,
    trace: Map<String, Value>,
}

impl Logins {
    /// Keeps the trace of a login that has ended now.
    pub(super) fn keep(&self, attempt: &Attempt, now: Duration) {
        let kept = Kept { request: attempt.request().clone(), since: now, trace: attempt.trace(now) };
        let mut all = self.fresh(now);
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(kept);
    }

    /// The trace of a login, unless it is gone.
    pub(super) fn find(&self, request: &str, now: Duration) -> Option<Map<String, Value>> {
        let all = self.fresh(now);
        all.iter().rev().find(|kept| kept.request.as_str() == request).map(|kept| kept.trace.clone())
    }

    /// Without those that are too old.
    pub(super) fn drop_old(&self, now: Duration) {
        drop(self.fresh(now));
    }

    fn fresh(&self, now: Duration) -> MutexGuard<'_, VecDeque<Kept>> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while all.front().is_some_and(|kept| now.saturating_sub(kept.since) >= LIFE) {
            all.pop_front();
        }
        all
    }
}

/// Declares the endpoint.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table
        .at("logins/{request_id}", "What became of a login, check by check: the last thousand, for an hour.")
        .read(AwsAuth::read_login);
}

impl AwsAuth {
    #[expect(clippy::needless_pass_by_value, reason = "the form of all that serves an endpoint")]
    fn read_login(self: Arc<Self>, cx: Ctx, named: Named) -> Ready<Result<Reply, ApiError>> {
        ready(Ok(self.logins.find(&named.name, cx.clock.elapsed()).map_or_else(Reply::empty, Reply::data)))
    }
}

/// Traces of one mount, of some two kilobytes each.
const MOST: usize = 1000;
/// How long a trace is kept.
const LIFE: Duration = Duration::from_hours(1);
