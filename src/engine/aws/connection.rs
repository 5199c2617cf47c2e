//! The client of a mount, and what was learnt about its credentials. Made anew when `config/root` changes; an issue uses one
//! from its first call to its last (`aws-secrets-engine.md` §4.4, §21.6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::DropGuard;

use crate::aws::{Action, Arn, Aws, AwsError};
use crate::base::time::timeout;
use crate::base::{Clock, LeaseId, Shutdown};

use super::preflight::Preflight;
use super::template::Template;

/// The account that something is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// `aws`, `aws-cn`, …
    pub(super) partition: String,
    /// Twelve digits.
    pub(super) id: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) aws: Aws,
    pub(super) template: Template,
    /// Names the credentials where their account is not known (§21.6).
    pub(super) generation: String,
    clock: Arc<dyn Clock>,
    /// Guards what was learnt; whoever issues, revokes or reads `status`; held for a look.
    learnt: Mutex<Learnt>,
    ended: Shutdown,
    /// Dropped with the connection.
    _end: DropGuard,
}

#[derive(Debug, Default)]
struct Learnt {
    /// On `Clock::elapsed`: until then users are made without our marks.
    unmarked_until: Option<Duration>,
    /// Told by an ARN before anybody could be asked.
    account: Option<Account>,
    identity_error: Option<String>,
    preflight: Preflight,
    /// On `Clock::elapsed`: not asked again before.
    ask_again: Option<Duration>,
    /// Leases an action was denied for, with no success between.
    denied: BTreeMap<Action, BTreeSet<LeaseId>>,
}

impl Connection {
    pub(super) fn new(aws: Aws, template: Template, generation: String, clock: Arc<dyn Clock>) -> Self {
        let ended = Shutdown::new();
        let end = ended.clone().drop_guard();
        Self { aws, template, generation, clock, learnt: Mutex::default(), ended, _end: end }
    }

    /// The same user's, with another key: what was learnt still holds.
    pub(super) fn follows(&self, before: &Self) {
        let (unmarked_until, account, preflight) = {
            let learnt = before.learnt();
            (learnt.unmarked_until, learnt.account.clone(), learnt.preflight.clone())
        };
        let mut learnt = self.learnt();
        (learnt.unmarked_until, learnt.preflight) = (unmarked_until, preflight);
        learnt.account = learnt.account.take().or(account);
    }

    /// Is cancelled when nobody uses the connection any more.
    pub(super) fn ended(&self) -> Shutdown {
        self.ended.clone()
    }

    /// The account of the credentials, asked once, in a short time; after a failure not again for a while.
    pub(super) async fn account(&self) -> Option<Account> {
        {
            let learnt = self.learnt();
            if learnt.account.is_some() || learnt.ask_again.is_some_and(|at| at > self.clock.elapsed()) {
                return learnt.account.clone();
            }
        }
        let asked = timeout(&*self.clock, IDENTITY, Box::pin(self.aws.identity())).await;
        let error = match asked {
            Some(Ok(identity)) => {
                let account = Account { partition: identity.partition.clone(), id: identity.account.clone() };
                let mut learnt = self.learnt();
                (learnt.identity_error, learnt.account) = (None, Some(account.clone()));
                return Some(account);
            }
            Some(Err(error)) => error.to_string(),
            None => format!("no answer within {} s", IDENTITY.as_secs()),
        };
        let mut learnt = self.learnt();
        (learnt.identity_error, learnt.ask_again) = (Some(error), Some(self.clock.elapsed() + ASK_AGAIN));
        None
    }

    /// What IAM named is in the account of the credentials.
    pub(super) fn sees(&self, arn: &str) {
        if let Some(account) = Account::of_arn(arn) {
            self.learnt().account.get_or_insert(account);
        }
    }

    /// The account, if it is known without asking.
    pub(super) fn known_account(&self) -> Option<Account> {
        self.learnt().account.clone()
    }

    /// What a look at the credentials came to.
    pub(super) fn looked_at(&self, preflight: Preflight) {
        self.learnt().preflight = preflight;
    }

    /// What the last look came to.
    pub(super) fn preflight(&self) -> Preflight {
        self.learnt().preflight.clone()
    }

    /// Why the account is not known.
    pub(super) fn identity_error(&self) -> Option<String> {
        self.learnt().identity_error.clone()
    }

    /// Whether users are made with our marks.
    pub(super) fn marks(&self) -> bool {
        let elapsed = self.clock.elapsed();
        self.learnt().unmarked_until.is_none_or(|until| until <= elapsed)
    }

    /// The account forbids them: without, for an hour or until `config/root` is written.
    pub(super) fn gives_up_marks(&self) {
        let elapsed = self.clock.elapsed();
        let before = self.learnt().unmarked_until.replace(elapsed + UNMARKED);
        if before.is_none_or(|until| until <= elapsed) {
            tracing::warn!("users are made without marks: the credentials lack iam:TagUser");
        }
    }

    /// Notes that an action was denied for a lease; whether that is for so many that permissions were taken away (§21.5).
    pub(super) fn is_denied_to_all(&self, error: &AwsError, lease: &LeaseId) -> bool {
        let Some(action) = error.action().filter(|_| error.is_denied()) else { return false };
        let mut learnt = self.learnt();
        let leases = learnt.denied.entry(action).or_default();
        if leases.len() < DENIED {
            leases.insert(lease.clone());
        }
        leases.len() >= DENIED
    }

    /// A revocation succeeded.
    pub(super) fn succeeded(&self) {
        self.learnt().denied.clear();
    }

    fn learnt(&self) -> std::sync::MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// The account of something that IAM named.
    pub(super) fn of_arn(text: &str) -> Option<Self> {
        let arn = Arn::parse(text).ok().filter(|arn| !arn.account.is_empty())?;
        Some(Self { partition: arn.partition.to_owned(), id: arn.account.to_owned() })
    }
}

/// To ask whose credentials these are (§21.6).
const IDENTITY: Duration = Duration::from_secs(2);

/// Between questions that were not answered.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// How long a refusal of marks is remembered (§21.1).
const UNMARKED: Duration = Duration::from_hours(1);

/// So many leases denied one after the other are not the fault of each (§21.5).
const DENIED: usize = 5;
