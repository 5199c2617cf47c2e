//! What the composition root tells the core, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::Ttl;
use crate::base::version::API_LEVEL;
use crate::config::log::Log;
use crate::config::{LockoutConfig, Telemetry};
use crate::lease::Limits;
use crate::mount::MountConfig;

/// See the module.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of mounts that set none.
    pub default_lease_ttl: Ttl,
    /// Of mounts that set none.
    pub max_lease_ttl: Ttl,
    /// The API level to report.
    pub version: String,
    /// Where clients reach the server: scheme, host and port; empty when nobody said.
    pub api_addr: String,
    /// A name chosen by the operator; else one is made and kept.
    pub cluster_name: Option<String>,
    /// Whether `sys/raw` answers.
    pub raw_storage_endpoint: bool,
    /// Whether `sys/internal/inspect` answers.
    pub introspection_endpoint: bool,
    /// Failed logins lock users out, unless tuned otherwise.
    pub lockout: LockoutConfig,
    /// What `sys/config/state/sanitized` shows.
    pub sanitized: Arc<serde_json::Value>,
    /// Regions and such of the environment, for plugins.
    pub environment: Arc<BTreeMap<String, String>>,
    /// What `sys/metrics` tells, and how.
    pub telemetry: Telemetry,
    /// The log of the process, for those who follow or tune it.
    pub log: Option<Log>,
    /// Names of the headers listeners add to replies, in lower case.
    pub response_headers: Arc<BTreeSet<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_lease_ttl: Ttl::hours(768),
            max_lease_ttl: Ttl::hours(768),
            version: API_LEVEL.to_owned(),
            api_addr: String::new(),
            cluster_name: None,
            raw_storage_endpoint: false,
            introspection_endpoint: false,
            lockout: LockoutConfig::default(),
            sanitized: Arc::default(),
            environment: Arc::default(),
            telemetry: Telemetry::default(),
            log: None,
            response_headers: Arc::default(),
        }
    }
}

impl Settings {
    /// Whether a listener adds a header of this name, in lower case, to its replies.
    pub(super) fn is_response_header(&self, name: &str) -> bool {
        self.response_headers.contains(name)
    }

    /// How long things may live on a mount: its own settings, else the server's.
    pub fn limits(&self, config: &MountConfig) -> Limits {
        Limits {
            default_ttl: config.default_lease_ttl.nonzero().unwrap_or(self.default_lease_ttl),
            max_ttl: config.max_lease_ttl.nonzero().unwrap_or(self.max_lease_ttl),
        }
    }
}
