//! What a test may see of a user.

use std::collections::BTreeMap;

use super::state::{State, User};
use crate::base::Timestamp;

/// A user as the account has it, hidden or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// The name.
    pub name: String,
    /// The path, `/` or between two slashes.
    pub path: String,
    /// The ARN.
    pub arn: String,
    /// The unique id, which another user of the same name would not have.
    pub id: String,
    /// When it was created.
    pub created: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Access keys: id, and whether it is active.
    pub keys: BTreeMap<String, bool>,
    /// Names of the groups it is in.
    pub groups: Vec<String>,
    /// ARNs of attached policies.
    pub attached: Vec<String>,
    /// Inline policies: name and document.
    pub inline: BTreeMap<String, String>,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// Whether it has a password for the console.
    pub has_login: bool,
    /// How many other things hang on it: MFA devices, certificates, SSH keys, passwords for services.
    pub attachments: usize,
}

impl UserView {
    pub(super) fn of(state: &State, user: &User) -> Self {
        Self {
            name: user.name.clone(),
            path: user.path.clone(),
            arn: user.arn(),
            id: user.id.clone(),
            created: user.created,
            tags: user.tags.clone(),
            keys: user.keys.iter().map(|(id, key)| (id.clone(), key.active)).collect(),
            groups: user.groups.iter().filter_map(|group| state.groups.get(group)).map(|group| group.name.clone()).collect(),
            attached: user.policies.attached.iter().cloned().collect(),
            inline: user.policies.inline.clone(),
            boundary: user.boundary.clone(),
            has_login: user.login.is_some(),
            attachments: user.devices.len() + user.certificates.len() + user.ssh_keys.len() + user.service_credentials.len(),
        }
    }
}
