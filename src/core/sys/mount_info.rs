//! A mount, as replies show it (spec `sys.md` §3).

use serde_json::{Map, Value, json};

use crate::base::version;
use crate::mount::{Class, MountConfig, MountEntry, UserLockout};

/// Everything about a mount.
pub(super) fn whole(entry: &MountEntry) -> Map<String, Value> {
    let mut info = brief(entry);
    let fields = [
        ("accessor", json!(entry.accessor)),
        ("config", Value::Object(config(entry))),
        ("external_entropy_access", json!(entry.external_entropy_access)),
        ("local", json!(entry.local)),
        ("plugin_version", json!("")),
        ("running_plugin_version", json!(version::RUNNING_PLUGIN)),
        ("running_sha256", json!("")),
        ("seal_wrap", json!(entry.seal_wrap)),
        ("uuid", json!(entry.id)),
    ];
    info.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    if !is_built_in(&entry.kind) {
        info.insert("deprecation_status".to_owned(), json!("supported"));
    }
    info
}

/// What everybody may know of a mount that lists itself to everybody.
pub(super) fn brief(entry: &MountEntry) -> Map<String, Value> {
    let fields = [("type", json!(entry.kind)), ("description", json!(entry.description)), ("options", json!(entry.options))];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What the tune endpoints read besides times: settings that were set.
pub(super) fn tuned(config: &MountConfig) -> Map<String, Value> {
    let lists = [
        ("audit_non_hmac_request_keys", &config.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &config.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &config.passthrough_request_headers),
        ("allowed_response_headers", &config.allowed_response_headers),
        ("allowed_managed_keys", &config.allowed_managed_keys),
    ];
    let set = lists.into_iter().filter_map(|(key, list)| list.as_ref().map(|list| (key.to_owned(), json!(list))));
    let mut shown: Map<String, Value> = set.collect();
    if let Some(visibility) = config.listing_visibility.as_deref().filter(|visibility| !visibility.is_empty()) {
        shown.insert("listing_visibility".to_owned(), json!(visibility));
    }
    shown.insert("force_no_cache".to_owned(), json!(config.force_no_cache));
    shown
}

/// When users are locked out, as far as it was set.
pub(super) fn lockout(lockout: &UserLockout) -> Map<String, Value> {
    let fields = [
        ("user_lockout_threshold", lockout.threshold.map(|threshold| json!(threshold))),
        ("user_lockout_duration", lockout.duration.map(|duration| json!(duration))),
        ("user_lockout_counter_reset_duration", lockout.counter_reset.map(|reset| json!(reset))),
        ("user_lockout_disable", lockout.disable.map(|disable| json!(disable))),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn config(entry: &MountEntry) -> Map<String, Value> {
    let config = &entry.config;
    let mut shown = tuned(config);
    shown.insert("default_lease_ttl".to_owned(), json!(config.default_lease_ttl));
    shown.insert("max_lease_ttl".to_owned(), json!(config.max_lease_ttl));
    if entry.class == Class::Auth {
        shown.insert("token_type".to_owned(), json!(config.token_type.as_str()));
    }
    if let Some(set) = &config.user_lockout {
        shown.insert("user_lockout_config".to_owned(), Value::Object(lockout(set)));
    }
    shown
}

/// Of the server itself: clients are not told whether it is supported.
fn is_built_in(kind: &str) -> bool {
    matches!(kind, "system" | "identity" | "cubbyhole" | "token")
}
