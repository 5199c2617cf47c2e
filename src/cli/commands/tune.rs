//! Settings of mounts: the flags of `enable` and `tune`, and the bodies made of them.

use serde_json::{Map, Value, json};

use crate::cli::duration;
use crate::cli::flags::{Flag, Values};

pub(super) const PATH: Flag = Flag::text("path", "PATH", "Where to mount it. Default: its type.");
pub(super) const PLUGIN_NAME: Flag = Flag::text("plugin-name", "NAME", "The type, when the argument is \"plugin\".");
const DESCRIPTION: Flag = Flag::text("description", "TEXT", "What it is for.");
const DEFAULT_LEASE_TTL: Flag = Flag::duration("default-lease-ttl", "How long leases and tokens last by default.");
const MAX_LEASE_TTL: Flag = Flag::duration("max-lease-ttl", "How long they last at most.");
const FORCE_NO_CACHE: Flag = Flag::switch("force-no-cache", "Do not cache its storage.");
const LOCAL: Flag = Flag::switch("local", "Not replicated.");
const SEAL_WRAP: Flag = Flag::switch("seal-wrap", "Wrap its critical values by the seal.");
const ENTROPY: Flag = Flag::switch("external-entropy-access", "Let it draw on the seal's entropy.");
const LISTING_VISIBILITY: Flag =
    Flag::text("listing-visibility", "WHEN", "\"unauth\" lists it to everyone, \"hidden\" does not.");
const AUDIT_REQUEST: Flag = Flag::list("audit-non-hmac-request-keys", "KEY", "Key of requests that audit shows in clear.");
const AUDIT_RESPONSE: Flag = Flag::list("audit-non-hmac-response-keys", "KEY", "Key of replies that audit shows in clear.");
const PASSTHROUGH: Flag = Flag::list("passthrough-request-headers", "NAME", "Request header it may see.");
const ALLOWED_HEADERS: Flag = Flag::list("allowed-response-headers", "NAME", "Reply header it may set.");
const MANAGED_KEYS: Flag = Flag::list("allowed-managed-keys", "NAME", "Managed key it may use.");
const OPTIONS: Flag = Flag::pairs("options", "Option of the type.");
const VERSION: Flag = Flag::number("version", "Version of the type, as for kv.");
const PLUGIN_VERSION: Flag = Flag::text("plugin-version", "VERSION", "Version of the plugin.");
const TOKEN_TYPE: Flag =
    Flag::text("token-type", "TYPE", "Type of its tokens: default-service, default-batch, service or batch.");
const LOCKOUT_THRESHOLD: Flag = Flag::number("user-lockout-threshold", "Failures before a user is locked out.");
const LOCKOUT_DURATION: Flag = Flag::duration("user-lockout-duration", "How long that lasts.");
const LOCKOUT_RESET: Flag = Flag::duration("user-lockout-counter-reset-duration", "Failures are forgotten after this long.");
const LOCKOUT_DISABLE: Flag = Flag::switch("user-lockout-disable", "No lockout.");

pub(super) const ENABLE_SECRETS: &[Flag] = &[
    PATH,
    DESCRIPTION,
    DEFAULT_LEASE_TTL,
    MAX_LEASE_TTL,
    FORCE_NO_CACHE,
    LOCAL,
    SEAL_WRAP,
    ENTROPY,
    LISTING_VISIBILITY,
    AUDIT_REQUEST,
    AUDIT_RESPONSE,
    PASSTHROUGH,
    ALLOWED_HEADERS,
    MANAGED_KEYS,
    OPTIONS,
    VERSION,
    PLUGIN_NAME,
    PLUGIN_VERSION,
];

pub(super) const TUNE_SECRETS: &[Flag] = &[
    DESCRIPTION,
    DEFAULT_LEASE_TTL,
    MAX_LEASE_TTL,
    FORCE_NO_CACHE,
    LISTING_VISIBILITY,
    AUDIT_REQUEST,
    AUDIT_RESPONSE,
    PASSTHROUGH,
    ALLOWED_HEADERS,
    MANAGED_KEYS,
    OPTIONS,
    VERSION,
    PLUGIN_VERSION,
];

pub(super) const ENABLE_AUTH: &[Flag] = &[
    PATH,
    DESCRIPTION,
    DEFAULT_LEASE_TTL,
    MAX_LEASE_TTL,
    LOCAL,
    SEAL_WRAP,
    ENTROPY,
    LISTING_VISIBILITY,
    AUDIT_REQUEST,
    AUDIT_RESPONSE,
    PASSTHROUGH,
    ALLOWED_HEADERS,
    OPTIONS,
    VERSION,
    PLUGIN_NAME,
    PLUGIN_VERSION,
    TOKEN_TYPE,
];

pub(super) const TUNE_AUTH: &[Flag] = &[
    DESCRIPTION,
    DEFAULT_LEASE_TTL,
    MAX_LEASE_TTL,
    LISTING_VISIBILITY,
    AUDIT_REQUEST,
    AUDIT_RESPONSE,
    PASSTHROUGH,
    ALLOWED_HEADERS,
    OPTIONS,
    VERSION,
    PLUGIN_VERSION,
    TOKEN_TYPE,
    LOCKOUT_THRESHOLD,
    LOCKOUT_DURATION,
    LOCKOUT_RESET,
    LOCKOUT_DISABLE,
];

/// What is said once, when mounting.
pub(super) fn identity(flags: &Values) -> Map<String, Value> {
    let mut members = Map::new();
    for (flag, name) in [(&LOCAL, "local"), (&SEAL_WRAP, "seal_wrap"), (&ENTROPY, "external_entropy_access")] {
        if let Some(on) = flags.switch(flag) {
            members.insert(name.to_owned(), json!(on));
        }
    }
    members
}

/// What can be changed later; only the flags given.
pub(super) fn settings(flags: &Values) -> Map<String, Value> {
    let mut members = Map::new();
    for (flag, name) in [(&DEFAULT_LEASE_TTL, "default_lease_ttl"), (&MAX_LEASE_TTL, "max_lease_ttl")] {
        if let Some(nanos) = flags.nanos(flag) {
            // A negative one goes back to the system's.
            members.insert(name.to_owned(), json!(if nanos < 0 { "system".to_owned() } else { duration::go(nanos) }));
        }
    }
    for (flag, name) in [
        (&DESCRIPTION, "description"),
        (&LISTING_VISIBILITY, "listing_visibility"),
        (&PLUGIN_VERSION, "plugin_version"),
        (&TOKEN_TYPE, "token_type"),
    ] {
        if let Some(text) = flags.text(flag) {
            members.insert(name.to_owned(), json!(text));
        }
    }
    for (flag, name) in [
        (&AUDIT_REQUEST, "audit_non_hmac_request_keys"),
        (&AUDIT_RESPONSE, "audit_non_hmac_response_keys"),
        (&PASSTHROUGH, "passthrough_request_headers"),
        (&ALLOWED_HEADERS, "allowed_response_headers"),
        (&MANAGED_KEYS, "allowed_managed_keys"),
    ] {
        if flags.has(flag) {
            members.insert(name.to_owned(), json!(flags.list(flag)));
        }
    }
    if let Some(on) = flags.switch(&FORCE_NO_CACHE) {
        members.insert("force_no_cache".to_owned(), json!(on));
    }
    let mut options: Map<String, Value> = flags.pairs(&OPTIONS).into_iter().map(|(key, value)| (key, json!(value))).collect();
    if let Some(version) = flags.number(&VERSION) {
        options.insert("version".to_owned(), json!(version.to_string()));
    }
    if !options.is_empty() {
        members.insert("options".to_owned(), Value::Object(options));
    }
    let lockout = lockout(flags);
    if !lockout.is_empty() {
        members.insert("user_lockout_config".to_owned(), Value::Object(lockout));
    }
    members
}

fn lockout(flags: &Values) -> Map<String, Value> {
    let mut members = Map::new();
    if let Some(failures) = flags.number(&LOCKOUT_THRESHOLD) {
        members.insert("lockout_threshold".to_owned(), json!(failures.to_string()));
    }
    for (flag, name) in [(&LOCKOUT_DURATION, "lockout_duration"), (&LOCKOUT_RESET, "lockout_counter_reset_duration")] {
        if let Some(nanos) = flags.nanos(flag) {
            members.insert(name.to_owned(), json!(duration::go(nanos)));
        }
    }
    if let Some(off) = flags.switch(&LOCKOUT_DISABLE) {
        members.insert("lockout_disable".to_owned(), json!(off));
    }
    members
}
