//! A mount as it is stored in the table of mounts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{MountId, MountPath, Ttl, random};

/// Which table a mount is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A secrets engine.
    Secret,
    /// An auth method, below `auth/`.
    Auth,
}

impl Class {
    /// The word of the audit log and the plugin catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Auth => "auth",
        }
    }
}

/// Whether a mount answers (architecture §6, "When a mount goes or moves").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountState {
    /// It does.
    #[default]
    Ready,
    /// It is being disabled: nothing but revocation reaches it.
    Tainted,
    /// It is being moved there; the same holds.
    Moving(MountPath),
}

/// One mount. Immutable; a change is a new value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    /// Stays when the mount moves; names its storage.
    pub id: MountId,
    /// Where it hangs; auth methods below `auth/`.
    pub path: MountPath,
    /// Which table it is in.
    pub class: Class,
    /// The type of its plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// `<type>_<8 hex digits>`.
    pub accessor: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Options of its type; `None` for mounts the server made.
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
    /// What can be tuned.
    #[serde(default)]
    pub config: MountConfig,
    /// Kept and shown; this server does not replicate.
    #[serde(default)]
    pub local: bool,
    /// Kept and shown; everything is sealed the same way.
    #[serde(default)]
    pub seal_wrap: bool,
    /// Kept and shown.
    #[serde(default)]
    pub external_entropy_access: bool,
    /// Whether it answers.
    #[serde(default)]
    pub state: MountState,
}

/// What can be tuned (spec `sys.md` §3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountConfig {
    /// Zero: the server's.
    pub default_lease_ttl: Ttl,
    /// Zero: the server's.
    pub max_lease_ttl: Ttl,
    /// Kept and shown.
    pub force_no_cache: bool,
    /// Keys of requests whose values the audit log shows; `None` when never set.
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// The same for replies.
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Empty, `hidden` or `unauth`.
    pub listing_visibility: Option<String>,
    /// Request headers its plugin gets.
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Response headers its plugin may set.
    pub allowed_response_headers: Option<Vec<String>>,
    /// Kept and shown.
    pub allowed_managed_keys: Option<Vec<String>>,
    /// Of an auth method: the type of tokens it gives.
    pub token_type: TokenTypeRule,
    /// Of an auth method: when failed logins lock a user out.
    pub user_lockout: Option<UserLockout>,
    /// Kept and shown.
    pub plugin_version: Option<String>,
}

/// Which tokens an auth method gives (spec `sys.md` §3, `config.token_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenTypeRule {
    /// Service tokens, unless the method's role says otherwise.
    #[default]
    DefaultService,
    /// Batch tokens, unless the method's role says otherwise.
    DefaultBatch,
    /// Service tokens.
    Service,
    /// Batch tokens.
    Batch,
}

impl TokenTypeRule {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// Reads what [`TokenTypeRule::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch].into_iter().find(|rule| rule.as_str() == text)
    }
}

/// When failed logins lock a user out. `None`: not tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLockout {
    /// So many failures.
    pub threshold: Option<u64>,
    /// For so long.
    pub duration: Option<Ttl>,
    /// Failures are forgotten after so long.
    pub counter_reset: Option<Ttl>,
    /// Never.
    pub disable: Option<bool>,
}

impl MountEntry {
    /// A mount with nothing set.
    pub fn new(class: Class, path: MountPath, kind: &str) -> Self {
        Self {
            id: MountId::fresh(),
            path,
            class,
            kind: kind.to_owned(),
            accessor: fresh_accessor(class, kind),
            description: String::new(),
            options: None,
            config: MountConfig::default(),
            local: false,
            seal_wrap: false,
            external_entropy_access: false,
            state: MountState::default(),
        }
    }

    /// Whether requests reach it.
    pub fn is_ready(&self) -> bool {
        self.state == MountState::Ready
    }

    /// One of its options.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.as_ref()?.get(key).map(String::as_str)
    }
}

fn fresh_accessor(class: Class, kind: &str) -> String {
    let id = hex::encode(random::bytes::<4>());
    match class {
        Class::Secret => format!("{kind}_{id}"),
        Class::Auth => format!("auth_{kind}_{id}"),
    }
}
