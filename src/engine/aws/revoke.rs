//! Ends a user with everything that hangs on it: its known key first, the user last. Every step takes "it is not there" for
//! done, so the whole can be done again after any cut (`aws-secrets-engine.md` §21.4, §21.5).

use std::sync::Arc;
use std::time::Duration;

use crate::aws::{Aws, AwsError, ForeignKind, Urgency};
use crate::base::Ttl;
use crate::lease::{RevokeError, Revoked};
use crate::mount::LeaseCtx;

use super::AwsSecrets;
use super::connection::Connection;
use super::user::{HORIZON, IamUser, Marks, Verdict, verdict};

impl AwsSecrets {
    pub(super) async fn revoke_user(self: Arc<Self>, cx: LeaseCtx, what: IamUser) -> Result<Revoked, RevokeError> {
        let connection = self.connection().await.map_err(|error| RevokeError::Upstream(error.text))?;
        let is_here = check_account(&connection, &what).await?;
        let aws = connection.aws.waiting_until(cx.clock.elapsed() + WAIT);
        let mut ending = Ending { plugin: &self, cx: &cx, connection: &connection, aws, what: &what, key_is_dead: false };
        let result = Box::pin(ending.run()).await;
        match result {
            Ok(Ended::Gone) => {
                connection.succeeded();
                Ok(Revoked::Done)
            }
            Ok(Ended::Absent { settle }) if is_here => Ok(Revoked::Absent { settle }),
            Ok(Ended::Absent { .. }) => Err(RevokeError::Lease(format!(
                "IAM knows no user \"{}\", but it is not known whether the credentials are of the account it was made in",
                what.username
            ))),
            Err(error) => {
                let key_is_dead = ending.key_is_dead;
                Err(classified(&connection, &cx, &error, key_is_dead))
            }
        }
    }
}

/// Whether the credentials are of the account the user is in; `false`: it cannot be told (§21.6).
async fn check_account(connection: &Connection, what: &IamUser) -> Result<bool, RevokeError> {
    let Some(theirs) = &what.account else {
        // A key is of one account, whatever was configured meanwhile.
        let is_same_key = what.key.is_some() && what.key == connection.key;
        return Ok(is_same_key || what.generation == connection.generation);
    };
    let Some(ours) = connection.account().await else { return Ok(false) };
    if *theirs == ours {
        return Ok(true);
    }
    Err(RevokeError::Lease(format!(
        "{MISMATCH}: user \"{}\" is in account {} ({}), the credentials of config/root are of account {} ({})",
        what.username, theirs.id, theirs.partition, ours.id, ours.partition
    )))
}

/// Whether it is the account that ails, or this lease alone.
fn classified(connection: &Connection, cx: &LeaseCtx, error: &AwsError, key_is_dead: bool) -> RevokeError {
    let mut text = match error.action().filter(|_| error.is_denied()) {
        Some(action) => format!("{error} ({action} is needed)"),
        None => error.to_string(),
    };
    if key_is_dead {
        text.push_str("; its access key is deleted already");
    }
    if error.is_throttled() {
        RevokeError::Throttled(text)
    } else if error.is_of_account() || connection.is_denied_to_all(error, &cx.lease.id) {
        RevokeError::Upstream(text)
    } else {
        RevokeError::Lease(text)
    }
}

enum Ended {
    Gone,
    /// Nobody of that name is seen.
    Absent {
        settle: Ttl,
    },
}

/// One attempt.
struct Ending<'a> {
    plugin: &'a AwsSecrets,
    cx: &'a LeaseCtx,
    connection: &'a Connection,
    aws: Aws,
    what: &'a IamUser,
    key_is_dead: bool,
}

impl Ending<'_> {
    async fn run(&mut self) -> Result<Ended, AwsError> {
        let (aws, what) = (&self.aws.for_urgency(Urgency::Clean), self.what);
        let user = what.username.as_str();
        let is_proven = match &what.access_key_id {
            Some(id) => match self.first().for_urgency(Urgency::Kill).delete_access_key(user, id).await {
                Ok(()) => {
                    self.key_is_dead = true;
                    true
                }
                Err(error) if error.is_absent() => false,
                Err(error) => return Err(error),
            },
            None => false,
        };
        // A key that is ours was there: so the user is ours.
        if !is_proven && let Some(ended) = self.is_ours().await? {
            return Ok(ended);
        }
        // Of an intent that may be seconds old, lists lag most.
        let rounds = if self.cx.lease.intent { ROUNDS.as_slice() } else { ROUNDS.get(..3).unwrap_or_default() };
        let (mut rounds, mut kept) = (rounds.iter(), None::<AwsError>);
        loop {
            strip(aws, user).await?;
            match aws.delete_user(user).await {
                Ok(()) => return Ok(Ended::Gone),
                Err(error) if error.is_absent() => return Ok(Ended::Absent { settle: what.settle() }),
                Err(error) if error.code() == "DeleteConflict" => {
                    // What AWS says of a thing of others that may not be taken away tells more than the conflict.
                    let Some(pause) = rounds.next() else { return Err(kept.unwrap_or(error)) };
                    self.cx.clock.sleep(*pause).await;
                    kept = strip_foreign(aws, user).await;
                    if let Some(error) = kept.take_if(|error| error.is_of_account()) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The client of step 1. Where the question is whether AWS answers at all, it has a short time and one try.
    fn first(&self) -> Aws {
        if self.cx.is_probe { self.aws.probing(PROBE) } else { self.aws.clone() }
    }

    /// `None`: it is there, and ours.
    async fn is_ours(&self) -> Result<Option<Ended>, AwsError> {
        let (aws, what, lease) = (self.first().for_urgency(Urgency::Clean), self.what, &self.cx.lease);
        let shown = aws.get_user(Some(&what.username)).await;
        if let Ok(user) = &shown {
            self.connection.sees(&user.arn);
        }
        let marks = Marks { cluster: self.plugin.cluster(), lease: &lease.id };
        match verdict(what, marks, lease.issued, aws.ahead(), shown) {
            Verdict::Ours(_) => Ok(None),
            Verdict::Absent => Ok(Some(Ended::Absent { settle: what.settle() })),
            Verdict::NotOurs => {
                tracing::warn!(
                    lease.id = %lease.id, aws.user = what.username,
                    "user `{}` is there and not of lease `{}`: left alone", what.username, lease.id
                );
                Ok(Some(Ended::Absent { settle: HORIZON }))
            }
            Verdict::Failed(error) => Err(error),
        }
    }
}

/// Takes away what IAM lists, keys first. A list of nobody is empty, what is gone is gone.
async fn strip(aws: &Aws, user: &str) -> Result<(), AwsError> {
    for key in listed(aws.access_keys(user).await)? {
        gone(aws.delete_access_key(user, &key.id).await)?;
    }
    for group in listed(aws.groups_of_user(user).await)? {
        gone(aws.remove_user_from_group(user, &group).await)?;
    }
    for arn in listed(aws.attached_user_policies(user).await)? {
        gone(aws.detach_user_policy(user, &arn).await)?;
    }
    for name in listed(aws.user_policies(user).await)? {
        gone(aws.delete_user_policy(user, &name).await)?;
    }
    Ok(())
}

/// Takes away what others may have hung on the user; the last refusal on the way, which others need not wait for.
async fn strip_foreign(aws: &Aws, user: &str) -> Option<AwsError> {
    let mut refused = None;
    for kind in ForeignKind::ALL {
        let all = match listed(aws.foreigners(user, kind).await) {
            Ok(all) => all,
            Err(error) => {
                refused = Some(error);
                continue;
            }
        };
        for foreigner in all {
            if let Err(error) = gone(aws.remove_foreigner(user, &foreigner).await) {
                refused = Some(error);
            }
        }
    }
    refused
}

fn listed<T>(list: Result<Vec<T>, AwsError>) -> Result<Vec<T>, AwsError> {
    match list {
        Err(error) if error.is_absent() => Ok(Vec::new()),
        list => list,
    }
}

fn gone(removed: Result<(), AwsError>) -> Result<(), AwsError> {
    match removed {
        Err(error) if error.is_absent() => Ok(()),
        removed => removed,
    }
}

/// Before each further round: lists lag, and who holds a key may make new ones meanwhile. The last one is for intents.
const ROUNDS: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(3)];

/// The code of what other credentials than ours made.
pub(super) const MISMATCH: &str = "AccountMismatch";

/// So long one attempt waits where AWS takes no more calls.
const WAIT: Duration = Duration::from_mins(1);

/// A probe's one call (§21.5).
const PROBE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{AwsEnvironment, Outside, Refusal, Settings};
    use crate::base::time::ManualClock;
    use crate::base::{Clock, LeaseId, Timestamp};
    use crate::engine::aws::connection::Account;
    use crate::engine::aws::template::{DEFAULT, Template};

    const A: &str = "arn:aws:iam::111111111111:user/x";

    async fn connection(sees: &str) -> Connection {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)));
        let settings = Settings { access_key: "AKIA".to_owned(), secret_key: "s".into(), ..Settings::default() };
        let outside = Outside::new(Arc::clone(&clock), AwsEnvironment::default()).unwrap();
        let aws = outside.connect(&settings).await.unwrap();
        let connection = Connection::new(aws, Template::parse(DEFAULT).unwrap(), "3".to_owned(), Some("AKIA".to_owned()), clock);
        connection.sees(sees);
        connection
    }

    fn what(account: Option<&str>, generation: &str) -> IamUser {
        IamUser {
            username: "u".to_owned(),
            path: "/".to_owned(),
            role: "r".to_owned(),
            user_id: None,
            access_key_id: None,
            account: account.and_then(Account::of_arn),
            generation: generation.to_owned(),
            key: None,
            acknowledged: false,
            chance: 20,
        }
    }

    #[tokio::test]
    async fn credentials_of_another_account_are_not_used() {
        let connection = connection("arn:aws:iam::222222222222:user/y").await;
        let Err(RevokeError::Lease(text)) = check_account(&connection, &what(Some(A), "3")).await else { panic!() };
        assert!(text.starts_with("AccountMismatch: user \"u\" is in account 111111111111 (aws)"), "{text}");
        assert!(text.contains("222222222222"), "{text}");
    }

    #[tokio::test]
    async fn of_the_same_account_or_the_same_credentials_absence_is_believed() {
        let connection = connection(A).await;
        assert!(check_account(&connection, &what(Some(A), "1")).await.unwrap());
        assert!(check_account(&connection, &what(None, "3")).await.unwrap());
        assert!(!check_account(&connection, &what(None, "2")).await.unwrap());
        let with = |key: &str| IamUser { key: Some(key.to_owned()), ..what(None, "2") };
        assert!(check_account(&connection, &with("AKIA")).await.unwrap(), "a key is of one account");
        assert!(!check_account(&connection, &with("AKIB")).await.unwrap());
    }

    #[tokio::test]
    async fn an_action_denied_to_five_leases_is_denied_to_all() {
        let connection = connection(A).await;
        let code = "AccessDenied".to_owned();
        let error =
            AwsError::Refused(Refusal { action: "iam:DeleteUser", code, message: String::new(), status: 403, retry_after: None });
        let deny = |lease: &str| connection.is_denied_to_all(&error, &LeaseId::new(lease));
        assert!((0..10).all(|_| !deny("a/1")));
        assert!(["a/2", "a/3", "a/4"].into_iter().all(|lease| !deny(lease)));
        assert!(deny("a/5"));
        connection.succeeded();
        assert!(!deny("a/6"));
    }
}
