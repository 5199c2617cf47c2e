//! Something to end, taken out of a lane's queue or waited for, and what came of it.

use crate::barrier::BarrierError;
use crate::base::{Timestamp, TokenKey};

use super::attempt::{Outcome, Pace};
use super::lane::Waited;
use super::{Lease, LeaseError, LeaseManager, RevokeError, Revoker, State};

/// Something to end.
pub(super) enum Job {
    Lease(Box<Lease>),
    /// Read when its turn comes.
    Waited(Waited),
    Tokens(Vec<(TokenKey, Timestamp)>),
}

/// What became of a job.
pub(super) enum JobResult {
    Lease(Box<Lease>, Outcome),
    Waited(Waited, bool, Outcome),
    /// The tokens, and which of them are still there.
    Tokens(Vec<(TokenKey, Timestamp)>, Result<Vec<(TokenKey, Timestamp)>, RevokeError>),
}

impl Job {
    /// Suffixes, and when they were due.
    pub(super) fn held(&self) -> Vec<(Box<str>, Timestamp)> {
        match self {
            Self::Lease(lease) => vec![(lease.id.suffix().into(), lease.due)],
            Self::Waited(waited) => vec![(waited.id.suffix().into(), waited.due)],
            Self::Tokens(tokens) => tokens.iter().map(|(token, at)| (token.as_str().into(), *at)).collect(),
        }
    }

    pub(super) async fn run(self, manager: &LeaseManager, revoker: &dyn Revoker, pace: Pace) -> JobResult {
        match self {
            Self::Lease(lease) => {
                let _place = manager.places.acquire().await;
                let outcome = manager.attempt(revoker, &lease, pace).await;
                JobResult::Lease(lease, outcome)
            }
            Self::Waited(waited) => {
                let _place = manager.waited_places.acquire().await;
                let pace = if waited.force { Pace::Forced } else { Pace::Whole };
                match manager.read(&waited.id).await {
                    Ok(Some((lease, _))) if lease.state == State::Revoking => {
                        let outcome = manager.attempt(revoker, &lease, pace).await;
                        JobResult::Waited(waited, lease.intent, outcome)
                    }
                    Ok(_) => JobResult::Waited(waited, false, Outcome::Ended),
                    Err(error) => JobResult::Waited(waited, false, Outcome::Unwritten(error.into())),
                }
            }
            Self::Tokens(tokens) => {
                let keys: Vec<TokenKey> = tokens.iter().map(|(key, _)| *key).collect();
                let result = match revoker.end_tokens(&keys).await {
                    Ok(()) => manager.tokens_left(&tokens).await.map_err(|error| RevokeError::Upstream(error.to_string())),
                    Err(error) => Err(error),
                };
                JobResult::Tokens(tokens, result)
            }
        }
    }
}

/// Whether it is the stored value that is bad: trying again at once changes nothing.
pub(super) fn is_of_value(error: &LeaseError) -> bool {
    use BarrierError::{Decode, Forged, UnknownTerm};
    matches!(error, LeaseError::Barrier(Forged(_) | Decode(..) | UnknownTerm(_)))
}

/// What those are told who waited for an attempt.
pub(super) fn answer_of(outcome: &Outcome, is_intent: bool) -> Result<(), LeaseError> {
    match outcome {
        Outcome::Ended => Ok(()),
        // The intent's absence cannot be believed yet, which holds nobody up.
        Outcome::Unseen if is_intent => Ok(()),
        Outcome::Unseen => Err(LeaseError::Refused(NOT_SHOWN.to_owned())),
        Outcome::PutOff(text) | Outcome::Upstream(text) | Outcome::Throttled(text) => Err(LeaseError::Refused(text.clone())),
        Outcome::Unwritten(error) => Err(error.clone()),
    }
}

const NOT_SHOWN: &str = "what the lease holds is not shown yet, and may still appear: it is looked for again";
