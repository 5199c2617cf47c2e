//! One attempt to end one lease, and what is written down of it.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::base::time::timeout;
use crate::base::{Timestamp, Ttl, random};

use super::manager::TRIES;
use super::{Failing, Lease, LeaseError, LeaseManager, RevokeError, Revoked, Revoker, State};

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing is left, outside or in storage.
    Ended,
    /// The outside did not show it, which proves nothing yet.
    Unseen,
    /// This lease is put off.
    PutOff(String),
    /// The outside is unwell; nothing was written.
    Upstream(String),
    /// The outside takes no more calls for now; nothing was written.
    Throttled(String),
    /// What came of it could not be written down; it is done again.
    Unwritten(LeaseError),
}

/// How an attempt is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// All of it.
    Whole,
    /// Does the outside answer? At most so long.
    Probe(Duration),
    /// In a short time, and then never again.
    Forced,
}

impl Pace {
    fn limit(self) -> Duration {
        match self {
            Self::Whole => ATTEMPT,
            Self::Probe(limit) => limit,
            Self::Forced => FORCED,
        }
    }
}

impl LeaseManager {
    /// Tries to end `lease`, which is `Revoking`. By force the record goes whatever comes of it.
    pub(super) async fn attempt(&self, revoker: &dyn Revoker, lease: &Lease, pace: Pace) -> Outcome {
        let (limit, force) = (pace.limit(), matches!(pace, Pace::Forced));
        let result = if revoker.needs_call(lease) {
            let call = if matches!(pace, Pace::Probe(_)) { revoker.probe(lease) } else { revoker.revoke(lease) };
            match timeout(&*self.clock, limit, AssertUnwindSafe(call).catch_unwind()).await {
                Some(Ok(result)) => result,
                Some(Err(_)) => Err(RevokeError::Lease("the revocation panicked".to_owned())),
                None => Err(RevokeError::Upstream(format!("no answer within {} s", limit.as_secs()))),
            }
        } else {
            Ok(Revoked::Done)
        };
        let written = match result {
            Ok(Revoked::Done) => self.forget(&lease.id).await.map(|()| Outcome::Ended),
            Ok(Revoked::Absent { settle }) if self.has_settled(lease, settle) => {
                self.forget(&lease.id).await.map(|()| Outcome::Ended)
            }
            Ok(Revoked::Absent { .. }) if force => {
                self.give_up(revoker, lease, &"it is not shown yet, and may still appear").await
            }
            Ok(Revoked::Absent { .. }) => self.look_again(lease).await,
            Err(error) if force => self.give_up(revoker, lease, &error).await,
            Err(RevokeError::Upstream(text)) => Ok(Outcome::Upstream(text)),
            Err(RevokeError::Throttled(text)) => Ok(Outcome::Throttled(text)),
            Err(RevokeError::Lease(text)) => self.put_off(lease, text, false).await,
            Err(RevokeError::Unsupported(text)) => self.put_off(lease, text, true).await,
        };
        written.unwrap_or_else(Outcome::Unwritten)
    }

    /// Removes the record of what may still be there, and says so.
    async fn give_up(&self, revoker: &dyn Revoker, lease: &Lease, why: &(dyn Display + Sync)) -> Result<Outcome, LeaseError> {
        tracing::warn!(
            lease.id = %lease.id, lease.kind = lease.kind, lease.what = revoker.name(lease), error = %why,
            "lease `{}` was removed by force; what it held may still be there: {}", lease.id, revoker.name(lease)
        );
        self.forget(&lease.id).await.map(|()| Outcome::Ended)
    }

    async fn look_again(&self, lease: &Lease) -> Result<Outcome, LeaseError> {
        let is_there = self
            .rewrite(lease, |next, now| {
                // At 1, 2, 4, 8 … seconds after the first.
                next.due = now.plus(doubled(FIRST_LOOK, next.looks.saturating_sub(1), LONGEST_LOOK));
                next.looks = next.looks.saturating_add(1);
            })
            .await?;
        Ok(if is_there { Outcome::Unseen } else { Outcome::Ended })
    }

    async fn put_off(&self, lease: &Lease, text: String, hopeless: bool) -> Result<Outcome, LeaseError> {
        let is_there = self
            .rewrite(lease, |next, now| {
                next.due = now.plus(jittered(doubled(FIRST_RETRY, next.failures, LONGEST_RETRY)));
                next.failures = next.failures.saturating_add(1);
                let since = next.failing.as_ref().map_or(now, |failing| failing.since);
                next.failing = Some(Box::new(Failing { since, text: shortened(&text) }));
                if hopeless || next.failures >= STUCK_AFTER {
                    next.irrevocable = Some(shortened(&text));
                }
            })
            .await?;
        if !is_there {
            return Ok(Outcome::Ended);
        }
        tracing::warn!(
            lease.id = %lease.id, lease.kind = lease.kind, lease.failures = lease.failures.saturating_add(1), error = %text,
            "lease `{}` could not be ended", lease.id
        );
        Ok(Outcome::PutOff(text))
    }

    /// Changes the record of a lease that is being ended; whether it is still there.
    async fn rewrite(&self, lease: &Lease, change: impl Fn(&mut Lease, Timestamp)) -> Result<bool, LeaseError> {
        let _turn = self.turns.take(lease.id.as_str()).await;
        for _ in 0..TRIES {
            let Some((old, version)) = self.read(&lease.id).await? else { return Ok(false) };
            let mut next = old.clone();
            next.state = State::Revoking;
            change(&mut next, self.clock.now());
            let mut txn = self.view.txn();
            self.replace(&mut txn, &old, version, &next)?;
            match txn.commit().await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeaseError::Contended)
    }
}

/// `first`, doubled `times` times, at most `longest`.
fn doubled(first: Ttl, times: u32, longest: Ttl) -> Ttl {
    let factor = 1_u64.checked_shl(times).unwrap_or(u64::MAX);
    Ttl::seconds(first.as_seconds().saturating_mul(factor)).min(longest)
}

/// Between half and one and a half of `ttl`, so that what failed together is not tried together; never zero.
fn jittered(ttl: Ttl) -> Ttl {
    let millis = ttl.as_seconds().saturating_mul(1000);
    let spread = Duration::from_millis(millis).mul_f64(0.5 + random::unit());
    Ttl::seconds(spread.as_secs().max(1))
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// After a lease was refused: doubling from ten seconds to an hour (architecture §6).
const FIRST_RETRY: Ttl = Ttl::seconds(10);
const LONGEST_RETRY: Ttl = Ttl::hours(1);

/// After it was not seen: doubling from a second to a minute.
const FIRST_LOOK: Ttl = Ttl::seconds(1);
const LONGEST_LOOK: Ttl = Ttl::seconds(60);

/// The refusal that makes it an operator's business. It is tried on.
const STUCK_AFTER: u32 = 6;

/// Characters kept of what the outside said (spec `leases.md` §6).
const LONGEST_TEXT: usize = 240;

/// What one attempt may take: the deadline of a request.
pub(super) const ATTEMPT: Duration = Duration::from_secs(90);

/// What an attempt may take whose record goes anyway (`aws-secrets-engine.md` §21.6).
const FORCED: Duration = Duration::from_secs(10);
