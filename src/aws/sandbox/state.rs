//! What an account of the stand-in holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ec2::Machine;
use super::failure::Failure;
use super::session::Session;
use crate::base::{Secret, Timestamp, random};

/// Everything in the account.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Its number.
    pub(super) account: &'static str,
    /// By [`fold`]ed name, as are groups and roles.
    pub(super) users: BTreeMap<String, User>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) roles: BTreeMap<String, Role>,
    /// Instance profiles by folded name.
    pub(super) profiles: BTreeMap<String, InstanceProfile>,
    /// Customer managed policies by ARN.
    pub(super) policies: BTreeMap<String, ManagedPolicy>,
    /// MFA devices by serial number.
    pub(super) devices: BTreeMap<String, MfaDevice>,
    /// Access key → folded name of its user.
    pub(super) keys: HashMap<String, String>,
    /// Temporary keys.
    pub(super) sessions: HashMap<String, Session>,
    /// Instances by id.
    pub(super) instances: BTreeMap<String, Machine>,
}

/// The time of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) time: Timestamp,
    pub(super) precise: DateTime<Utc>,
    pub(super) elapsed: Duration,
}

/// A user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) account: &'static str,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) boundary: Option<String>,
    pub(super) policies: Policies,
    /// Folded names.
    pub(super) groups: BTreeSet<String>,
    pub(super) keys: BTreeMap<String, AccessKey>,
    pub(super) login: Option<LoginProfile>,
    /// Serial numbers of enabled devices.
    pub(super) devices: BTreeSet<String>,
    pub(super) certificates: BTreeMap<String, Certificate>,
    pub(super) ssh_keys: BTreeMap<String, SshKey>,
    pub(super) service_credentials: BTreeMap<String, ServiceCredential>,
    /// Reported missing before this time on the clock's `elapsed`.
    pub(super) hidden_until: Option<Duration>,
}

/// Policies of a user, a group or a role.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// ARNs.
    pub(super) attached: BTreeSet<String>,
    /// Name → document.
    pub(super) inline: BTreeMap<String, String>,
}

/// A long-term key.
#[derive(Debug)]
pub(super) struct AccessKey {
    pub(super) secret: Secret<String>,
    pub(super) active: bool,
    pub(super) created: Timestamp,
    pub(super) used: Option<KeyUse>,
    /// Refused as unknown before this time on the clock's `elapsed`.
    pub(super) hidden_until: Option<Duration>,
    /// Whether lists show it while it is hidden.
    pub(super) listed: bool,
}

/// The latest use of a key.
#[derive(Debug)]
pub(super) struct KeyUse {
    pub(super) time: Timestamp,
    pub(super) service: &'static str,
    pub(super) region: String,
}

/// A password for the console; the password itself is of no use here and not kept.
#[derive(Debug)]
pub(super) struct LoginProfile {
    pub(super) created: Timestamp,
    pub(super) reset_required: bool,
}

/// A signing certificate.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) body: String,
    pub(super) uploaded: Timestamp,
}

/// A public SSH key.
#[derive(Debug)]
pub(super) struct SshKey {
    pub(super) body: String,
    pub(super) fingerprint: String,
    pub(super) uploaded: Timestamp,
}

/// A password for one service.
#[derive(Debug)]
pub(super) struct ServiceCredential {
    pub(super) service: String,
    pub(super) user_name: String,
    pub(super) created: Timestamp,
}

/// A virtual MFA device.
#[derive(Debug)]
pub(super) struct MfaDevice {
    pub(super) seed: Secret<Vec<u8>>,
    /// Folded name of who uses it, and since when.
    pub(super) enabled: Option<(String, Timestamp)>,
}

/// A group of users.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) account: &'static str,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) policies: Policies,
    /// Folded names.
    pub(super) members: BTreeSet<String>,
}

/// A role.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) account: &'static str,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) description: Option<String>,
    pub(super) trust: String,
    pub(super) longest_session_seconds: u64,
    pub(super) policies: Policies,
    pub(super) tags: BTreeMap<String, String>,
}

/// An instance profile.
#[derive(Debug)]
pub(super) struct InstanceProfile {
    pub(super) account: &'static str,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) created: Timestamp,
    /// Folded name of its role.
    pub(super) role: Option<String>,
}

/// A managed policy of the account's own.
#[derive(Debug)]
pub(super) struct ManagedPolicy {
    pub(super) account: &'static str,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) description: Option<String>,
    pub(super) document: String,
    /// Users, groups and roles it is attached to.
    pub(super) attachments: usize,
}

impl State {
    /// An empty account.
    pub(super) fn of(account: &'static str) -> Self {
        Self { account, ..Self::default() }
    }

    /// The user whom a call names, unless hidden.
    pub(super) fn user(&self, name: &str, now: Moment) -> Result<&User, Failure> {
        let user = self.users.get(&fold(name)).filter(|user| user.name == name && user.is_visible(now));
        user.ok_or_else(|| Failure::missing_user(name))
    }

    /// The same, to be changed.
    pub(super) fn user_mut(&mut self, name: &str, now: Moment) -> Result<&mut User, Failure> {
        let user = self.users.get_mut(&fold(name)).filter(|user| user.name == name && user.is_visible(now));
        user.ok_or_else(|| Failure::missing_user(name))
    }

    pub(super) fn group(&self, name: &str) -> Result<&Group, Failure> {
        self.groups.get(&fold(name)).filter(|group| group.name == name).ok_or_else(|| missing_group(name))
    }

    pub(super) fn group_mut(&mut self, name: &str) -> Result<&mut Group, Failure> {
        self.groups.get_mut(&fold(name)).filter(|group| group.name == name).ok_or_else(|| missing_group(name))
    }

    pub(super) fn role(&self, name: &str) -> Result<&Role, Failure> {
        self.roles.get(&fold(name)).filter(|role| role.name == name).ok_or_else(|| missing_role(name))
    }

    pub(super) fn role_mut(&mut self, name: &str) -> Result<&mut Role, Failure> {
        self.roles.get_mut(&fold(name)).filter(|role| role.name == name).ok_or_else(|| missing_role(name))
    }

    /// Takes a user away with everything that hangs on it, as nobody can over the wire.
    /// Gives a user these access keys, id and secret, instead of those it has.
    pub(super) fn set_keys(&mut self, name: &str, keys: &[(&str, &str)], now: Timestamp) {
        let Some(user) = self.users.get_mut(&fold(name)) else { return };
        for id in std::mem::take(&mut user.keys).into_keys() {
            self.keys.remove(&id);
        }
        for (id, secret) in keys {
            let secret = Secret::new((*secret).to_owned());
            let key = AccessKey { secret, active: true, created: now, used: None, hidden_until: None, listed: true };
            user.keys.insert((*id).to_owned(), key);
            self.keys.insert((*id).to_owned(), fold(name));
        }
    }

    pub(super) fn wipe_user(&mut self, name: &str) -> bool {
        let Some(user) = self.users.remove(&fold(name)) else { return false };
        user.keys.keys().for_each(|id| drop(self.keys.remove(id)));
        for group in &user.groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.members.remove(&fold(name));
            }
        }
        for serial in &user.devices {
            if let Some(device) = self.devices.get_mut(serial) {
                device.enabled = None;
            }
        }
        for arn in &user.policies.attached {
            if let Some(policy) = self.policies.get_mut(arn) {
                policy.attachments = policy.attachments.saturating_sub(1);
            }
        }
        true
    }
}

impl User {
    pub(super) fn arn(&self) -> String {
        arn(self.account, "user", &self.path, &self.name)
    }

    pub(super) fn is_visible(&self, now: Moment) -> bool {
        is_over(self.hidden_until, now)
    }
}

impl AccessKey {
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        self.active && is_over(self.hidden_until, now)
    }

    pub(super) fn is_listed(&self, now: Moment) -> bool {
        self.listed || is_over(self.hidden_until, now)
    }
}

impl Group {
    pub(super) fn arn(&self) -> String {
        arn(self.account, "group", &self.path, &self.name)
    }
}

impl ManagedPolicy {
    pub(super) fn arn(&self) -> String {
        arn(self.account, "policy", &self.path, &self.name)
    }
}

impl InstanceProfile {
    pub(super) fn arn(&self) -> String {
        arn(self.account, "instance-profile", &self.path, &self.name)
    }
}

impl Role {
    pub(super) fn arn(&self) -> String {
        arn(self.account, "role", &self.path, &self.name)
    }
}

/// The form in which names are compared: IAM does not distinguish them by case.
pub(super) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The ARN of something in an account.
pub(super) fn arn(account: &str, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// A new identifier: `prefix` and `len` characters more, as AWS makes them.
pub(super) fn new_id(prefix: &str, len: usize) -> String {
    let mut id = prefix.to_owned();
    id.extend((0..len).map(|_| ID_LETTERS.get(random::below(ID_LETTERS.len())).map_or('A', |&letter| char::from(letter))));
    id
}

fn is_over(until: Option<Duration>, now: Moment) -> bool {
    until.is_none_or(|until| now.elapsed >= until)
}

fn missing_group(name: &str) -> Failure {
    Failure::missing(format!("The group with name {name} cannot be found."))
}

fn missing_role(name: &str) -> Failure {
    Failure::missing(format!("The role with name {name} cannot be found."))
}

const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
