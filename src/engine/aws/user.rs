//! What a lease on an IAM user knows, and whether a user that is there is ours (`aws-secrets-engine.md` §21.1, §21.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aws::{AwsError, User};
use crate::base::{LeaseId, Timestamp, Ttl};
use crate::lease::Leased;

use super::connection::Account;
use super::names::ENOUGH_CHANCE;
use super::role_rules::OURS;

/// Everything it takes to end a user, whoever the role or the configuration is by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IamUser {
    pub(super) username: String,
    pub(super) path: String,
    pub(super) role: String,
    /// IAM's own id of it, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access_key_id: Option<String>,
    /// Where it is, if that was known when it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<Account>,
    /// The credentials it was begun with.
    pub(super) generation: String,
    /// The access key id of those credentials, and where it is one; none for what the machine has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// AWS said that it was created.
    #[serde(default)]
    pub(super) acknowledged: bool,
    /// Characters of chance in its name.
    #[serde(default)]
    pub(super) chance: usize,
}

impl Leased for IamUser {
    const KIND: &'static str = "iam_user";

    fn name(&self) -> String {
        let account = self.account.as_ref().map_or("an account that is not known", |account| &account.id);
        format!("IAM user \"{}\" in {account}", self.username)
    }
}

impl IamUser {
    /// How long "there is no such user" proves nothing.
    pub(super) fn settle(&self) -> Ttl {
        if self.acknowledged { YOUNG } else { HORIZON }
    }
}

/// Who a user is said to be of, by its tags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<'a> {
    pub(super) cluster: &'a str,
    pub(super) lease: &'a LeaseId,
}

impl Marks<'_> {
    /// The tags of ours that a user is made with.
    pub(super) fn tags(&self, mount: &str, role: &str) -> Vec<(String, String)> {
        let tag = |key: &str, value: &str| (format!("{OURS}{key}"), value.to_owned());
        vec![tag("cluster", self.cluster), tag("mount", mount), tag("role", role), tag("lease", self.lease.suffix())]
    }

    /// What the tags of a user say; nothing where there are none of ours.
    fn read(&self, user: &User) -> Option<bool> {
        let tags: BTreeMap<&str, &str> = user.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let of = |key: &str| tags.get(format!("{OURS}{key}").as_str()).copied();
        let (cluster, lease) = (of("cluster"), of("lease")?);
        Some(cluster == Some(self.cluster) && lease == self.lease.suffix())
    }
}

/// What a look at IAM says of a lease's user.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is ours, and there; shown, if we may look.
    Ours(Option<User>),
    /// Somebody else's has this name.
    NotOurs,
    /// Nobody has it, or it is not visible yet.
    Absent,
    /// It could not be asked.
    Failed(AwsError),
}

/// The table of §21.2. `begun` is the intent's time; `ahead`, seconds, is how far AWS's clock is before ours.
pub(super) fn verdict(
    what: &IamUser,
    marks: Marks<'_>,
    begun: Timestamp,
    ahead: Option<i64>,
    shown: Result<User, AwsError>,
) -> Verdict {
    let has_chance = what.chance >= ENOUGH_CHANCE;
    let user = match shown {
        Ok(user) => user,
        Err(error) if error.is_absent() => return Verdict::Absent,
        // As without a mark and without a date.
        Err(error) if error.is_denied() && has_chance => return Verdict::Ours(None),
        // It was made, so it is not given up before somebody may look.
        Err(error) if error.is_denied() && !what.acknowledged => return Verdict::NotOurs,
        Err(error) => return Verdict::Failed(error),
    };
    let is_ours = match (marks.read(&user), &what.user_id) {
        (_, Some(id)) if *id != user.id => false,
        (Some(is_marked), _) => is_marked,
        (None, Some(_)) => true,
        (None, None) if has_chance => true,
        (None, None) => {
            let ours = i64::try_from(user.created.seconds()).unwrap_or(i64::MAX).saturating_sub(ahead.unwrap_or(0));
            ours >= i64::try_from(begun.seconds()).unwrap_or(i64::MAX).saturating_sub(SLACK)
        }
    };
    if is_ours { Verdict::Ours(Some(user)) } else { Verdict::NotOurs }
}

/// After an acknowledged `CreateUser` IAM's reads may not show the user yet (§21).
pub(super) const YOUNG: Ttl = Ttl::minutes(5);

/// As long a `CreateUser` whose answer was lost can take effect: the 90 seconds of an issue, the oldest signature AWS may
/// accept, and the time it takes to show (§21).
pub(super) const HORIZON: Ttl = Ttl::minutes(18);

/// Seconds between two clocks that are the same for us.
const SLACK: i64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;

    const BEGUN: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn what(user_id: Option<&str>, chance: usize) -> IamUser {
        IamUser {
            username: "u".to_owned(),
            path: "/".to_owned(),
            role: "r".to_owned(),
            user_id: user_id.map(str::to_owned),
            access_key_id: None,
            account: None,
            generation: String::new(),
            key: None,
            acknowledged: false,
            chance,
        }
    }

    fn user(created: u64, tags: &[(&str, &str)]) -> User {
        User {
            name: "u".to_owned(),
            id: "AIDA1".to_owned(),
            arn: "arn:aws:iam::123456789012:user/u".to_owned(),
            path: "/".to_owned(),
            created: Timestamp::from_seconds(created),
            tags: tags.iter().map(|(key, value)| (format!("{OURS}{key}"), (*value).to_owned())).collect(),
        }
    }

    fn of(what: &IamUser, shown: Result<User, AwsError>) -> &'static str {
        let lease = LeaseId::new("aws/creds/r/SUFFIX");
        match verdict(what, Marks { cluster: "c", lease: &lease }, BEGUN, None, shown) {
            Verdict::Ours(_) => "ours",
            Verdict::NotOurs => "not ours",
            Verdict::Absent => "absent",
            Verdict::Failed(_) => "failed",
        }
    }

    fn refused(code: &str) -> AwsError {
        AwsError::Refused(Refusal {
            action: "iam:GetUser",
            code: code.to_owned(),
            message: String::new(),
            status: 400,
            retry_after: None,
        })
    }

    const OLD: u64 = 1_700_000_000;
    const NEW: u64 = 1_800_000_001;

    #[test]
    fn a_mark_of_this_lease_decides_and_one_of_another_too() {
        let old = |tags: &[(&str, &str)]| Ok(user(OLD, tags));
        assert_eq!(of(&what(None, 0), old(&[("lease", "SUFFIX"), ("cluster", "c")])), "ours");
        assert_eq!(of(&what(None, 20), Ok(user(NEW, &[("lease", "OTHER"), ("cluster", "c")]))), "not ours");
        assert_eq!(of(&what(None, 20), Ok(user(NEW, &[("lease", "SUFFIX"), ("cluster", "d")]))), "not ours");
    }

    #[test]
    fn who_removes_a_lease_by_force_is_told_which_user_may_be_left() {
        let account = Account { partition: "aws".to_owned(), id: "111122223333".to_owned() };
        let name = |account: Option<Account>| IamUser { account, ..what(None, 0) }.name();
        assert_eq!(name(Some(account)), "IAM user \"u\" in 111122223333");
        assert_eq!(name(None), "IAM user \"u\" in an account that is not known");
    }

    #[test]
    fn another_user_id_is_another_user() {
        assert_eq!(of(&what(Some("AIDA2"), 20), Ok(user(NEW, &[("lease", "SUFFIX"), ("cluster", "c")]))), "not ours");
        assert_eq!(of(&what(Some("AIDA1"), 0), Ok(user(OLD, &[]))), "ours");
    }

    #[test]
    fn without_a_mark_chance_in_the_name_decides_and_then_the_date() {
        assert_eq!(of(&what(None, 4), Ok(user(OLD, &[]))), "ours");
        assert_eq!(of(&what(None, 3), Ok(user(OLD, &[]))), "not ours");
        assert_eq!(of(&what(None, 3), Ok(user(NEW, &[]))), "ours");
        assert_eq!(of(&what(None, 0), Ok(user(BEGUN.seconds() - 5, &[]))), "ours");
        assert_eq!(of(&what(None, 0), Ok(user(BEGUN.seconds() - 6, &[]))), "not ours");
    }

    #[test]
    fn the_date_is_read_by_our_clock() {
        let lease = LeaseId::new("aws/creds/r/SUFFIX");
        let shown = || Ok(user(BEGUN.seconds() - 600, &[]));
        let marks = Marks { cluster: "c", lease: &lease };
        assert!(matches!(verdict(&what(None, 0), marks, BEGUN, Some(-600), shown()), Verdict::Ours(_)));
        assert!(matches!(verdict(&what(None, 0), marks, BEGUN, Some(0), shown()), Verdict::NotOurs));
    }

    #[test]
    fn who_may_not_look_goes_by_the_name() {
        assert_eq!(of(&what(None, 4), Err(refused("AccessDenied"))), "ours");
        assert_eq!(of(&what(None, 0), Err(refused("AccessDenied"))), "not ours");
        let made = IamUser { acknowledged: true, ..what(Some("AIDA1"), 0) };
        assert_eq!(of(&made, Err(refused("AccessDenied"))), "failed");
        assert_eq!(of(&what(None, 4), Err(refused("NoSuchEntity"))), "absent");
        assert_eq!(of(&what(None, 4), Err(refused("ExpiredToken"))), "failed");
    }
}
