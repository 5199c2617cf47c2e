//! The keys of a configuration: which have their effect here, which have none, and which we refuse to leave out.
//!
//! They are Vault's (spec `seal-and-barrier.md` §5), some of `OpenBao`'s, and `reported_version` and `cache_size` of a
//! storage, which are ours.

/// The keys of one kind of block.
pub(super) type Keys<'a> = &'a [(&'static str, How)];

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It has its effect.
    Read,
    /// It has none, for this reason; a warning.
    Idle(&'static str),
    /// Without it the server would be less safe, or lose data; an error when it asks for something.
    Refused(&'static str),
}

use How::{Idle, Read, Refused};

/// What becomes of `key`; `None` when nobody knows it.
pub(super) fn find(keys: Keys<'_>, key: &str) -> Option<How> {
    keys.iter().find(|(name, _)| *name == key).map(|(_, how)| *how)
}

/// What may have been meant by an unknown key.
pub(super) fn hint(keys: Keys<'_>, key: &str) -> String {
    if let Some((block, _)) = BLOCKS.iter().find(|(_, keys)| find(keys, key).is_some()) {
        return format!(": it belongs {block}");
    }
    let near = nearest(keys.iter().map(|(name, _)| *name), key);
    near.map(|name| format!(": did you mean \"{name}\"?")).unwrap_or_default()
}

/// The name that differs least from `text`, when more of it is alike than different.
pub(super) fn nearest(names: impl Iterator<Item = &'static str>, text: &str) -> Option<&'static str> {
    let lower: Vec<char> = text.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    let (distance, name) = names.map(|name| (distance(&lower, name), name)).min()?;
    (distance <= (lower.len() / 2).max(2)).then_some(name)
}

/// How many letters must be changed, put in, left out or swapped with the next to get from one to the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.iter().enumerate() {
        let mut next = vec![at + 1];
        for (column, other) in to.iter().enumerate() {
            let here = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = here(&row, column) + usize::from(letter != other);
            best = best.min(here(&row, column + 1) + 1).min(here(&next, column) + 1);
            let swapped = at > 0 && column > 0 && from.get(at - 1) == Some(other) && to.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(here(&before, column - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// Keys outside all blocks, and the names of blocks.
pub(super) const TOP: Keys<'static> = &[
    ("api_addr", Read),
    ("backend", Read),
    ("cluster_addr", Read),
    ("cluster_name", Read),
    ("default_lease_ttl", Read),
    ("default_max_request_duration", Read),
    ("disable_mlock", Read),
    ("enable_response_header_hostname", Read),
    ("introspection_endpoint", Read),
    ("listener", Read),
    ("log_file", Read),
    ("log_format", Read),
    ("log_level", Read),
    ("max_lease_ttl", Read),
    ("pid_file", Read),
    ("raw_storage_endpoint", Read),
    ("reported_version", Read),
    ("seal", Read),
    ("storage", Read),
    ("telemetry", Read),
    ("ui", Read),
    ("user_lockout", Read),
    ("audit", Refused("nothing would be audited; enable devices at sys/audit")),
    ("disable_unauthed_generate_root_endpoints", Refused(OPEN)),
    ("disable_unauthed_rekey_endpoints", Refused(OPEN)),
    ("ha_storage", Refused("there are no standby servers")),
    ("administrative_namespace_path", Idle(NO_NAMESPACES)),
    ("allow_audit_log_prefixing", Idle("what audit devices may do is fixed")),
    ("cache_size", Idle("memory for the storage is cache_size in its own block, in bytes")),
    ("cluster_cipher_suites", Idle(NO_CLUSTER)),
    ("detect_deadlocks", Idle(NOT_GO)),
    ("disable_cache", Idle("the storage keeps its own cache")),
    ("disable_clustering", Idle(NO_CLUSTER)),
    ("disable_indexing", Idle(NOT_ENTERPRISE)),
    ("disable_performance_standby", Idle(NO_CLUSTER)),
    ("disable_printable_check", Idle("keys of all characters are taken where they are safe")),
    ("disable_sealwrap", Idle(NOT_ENTERPRISE)),
    ("disable_sentinel_trace", Idle(NOT_ENTERPRISE)),
    ("enable_post_unseal_trace", Idle(NOT_GO)),
    ("enable_response_header_raft_node_id", Idle(NO_CLUSTER)),
    ("entropy", Idle(NOT_ENTERPRISE)),
    ("experiments", Idle("there are no experiments")),
    ("imprecise_lease_role_tracking", Idle("leases are counted exactly")),
    ("initialize", Idle("a new server is initialised by its operators")),
    ("kms_library", Idle(NOT_ENTERPRISE)),
    ("license_path", Idle(NOT_ENTERPRISE)),
    ("log_requests_level", Idle("requests are logged at the level debug")),
    ("log_rotate_bytes", Idle(ROTATE)),
    ("log_rotate_duration", Idle(ROTATE)),
    ("log_rotate_max_files", Idle(ROTATE)),
    ("plugin_auto_download", Idle(NO_PLUGINS)),
    ("plugin_auto_register", Idle(NO_PLUGINS)),
    ("plugin_directory", Idle(NO_PLUGINS)),
    ("plugin_download_behavior", Idle(NO_PLUGINS)),
    ("plugin_file_permissions", Idle(NO_PLUGINS)),
    ("plugin_file_uid", Idle(NO_PLUGINS)),
    ("plugin_tmpdir", Idle(NO_PLUGINS)),
    ("post_unseal_trace_directory", Idle(NOT_GO)),
    ("remove_irrevocable_lease_after", Idle("irrevocable leases stay until an operator forgets them")),
    ("replication", Idle(NOT_ENTERPRISE)),
    ("reporting", Idle(NOT_ENTERPRISE)),
    ("request_limiter", Idle("requests are bounded by what they use")),
    ("service_registration", Idle("the server registers nowhere; let probes ask sys/health")),
    ("unsafe_allow_api_audit_creation", Idle("audit devices are made at sys/audit")),
];

/// Keys of `listener "tcp"`.
pub(super) const TCP: Keys<'static> = &[
    ("address", Read),
    ("custom_response_headers", Read),
    ("http_idle_timeout", Read),
    ("http_read_header_timeout", Read),
    ("http_read_timeout", Read),
    ("http_write_timeout", Read),
    ("max_json_array_element_count", Read),
    ("max_json_depth", Read),
    ("max_json_object_entry_count", Read),
    ("max_json_string_value_length", Read),
    ("max_json_token", Read),
    ("max_request_duration", Read),
    ("max_request_size", Read),
    ("telemetry", Read),
    ("tls_cert_file", Read),
    ("tls_disable", Read),
    ("tls_key_file", Read),
    ("tls_max_version", Read),
    ("tls_min_version", Read),
    ("chroot_namespace", Refused("there are no namespaces, so clients would reach everything")),
    ("disable_unauthed_generate_root_endpoints", Refused(OPEN)),
    ("disable_unauthed_rekey_endpoints", Refused(OPEN)),
    ("proxy_protocol_authorized_addrs", Refused("the PROXY protocol is not spoken, so clients would have the proxy's address")),
    ("proxy_protocol_behavior", Refused("the PROXY protocol is not spoken, so clients would have the proxy's address")),
    ("redact_addresses", Refused("addresses would be shown to clients without a token")),
    ("redact_cluster_name", Refused("the cluster's name would be shown to clients without a token")),
    ("redact_version", Refused("the version would be shown to clients without a token")),
    ("tls_acme_domains", Refused("certificates come from files")),
    ("tls_require_and_verify_client_cert", Refused("client certificates are not asked for, so anyone could connect")),
    ("x_forwarded_for_authorized_addrs", Refused("the header is not read, so clients would have the proxy's address")),
    ("cluster_address", Idle(NO_CLUSTER)),
    ("cors_allowed_headers", Idle("CORS is set at sys/config/cors")),
    ("cors_allowed_origins", Idle("CORS is set at sys/config/cors")),
    ("cors_enabled", Idle("CORS is set at sys/config/cors")),
    ("disable_replication_status_endpoints", Idle(NOT_ENTERPRISE)),
    ("disable_request_limiter", Idle("there is no such limiter")),
    ("inflight_requests_logging", Idle("there is no list of requests in flight")),
    ("max_request_json_memory", Idle("the bounds on JSON are max_json_…")),
    ("max_request_json_strings", Idle("the bounds on JSON are max_json_…")),
    ("max_token_header_size", Idle("the head of a request is bounded as a whole")),
    ("profiling", Idle("there are no profiles")),
    ("require_request_header", Idle("agents have it, servers do not")),
    ("tls_cipher_suites", Idle("only suites with forward secrecy and authenticated encryption are spoken")),
    ("tls_client_ca_file", Idle("client certificates are not asked for")),
    ("tls_disable_client_certs", Idle("client certificates are not asked for")),
    ("tls_prefer_server_cipher_suites", Idle("the better suite is chosen anyway")),
    ("x_forwarded_for_client_cert_header", Idle(NO_FORWARDED)),
    ("x_forwarded_for_client_cert_header_decoders", Idle(NO_FORWARDED)),
    ("x_forwarded_for_hop_skips", Idle(NO_FORWARDED)),
    ("x_forwarded_for_reject_not_authorized", Idle(NO_FORWARDED)),
    ("x_forwarded_for_reject_not_present", Idle(NO_FORWARDED)),
];

/// Keys of `listener "unix"` beside those of `tcp`.
pub(super) const UNIX: Keys<'static> = &[("socket_group", Read), ("socket_mode", Read), ("socket_user", Read)];

/// Keys of `telemetry` in a listener.
pub(super) const LISTENER_TELEMETRY: Keys<'static> = &[("unauthenticated_metrics_access", Read)];

/// Keys of the block `telemetry`.
pub(super) const TELEMETRY: Keys<'static> = &[
    ("disable_hostname", Read),
    ("metrics_prefix", Read),
    ("prometheus_retention_time", Read),
    ("add_lease_metrics_namespace_labels", Idle(NO_NAMESPACES)),
    ("add_mount_point_rollback_metrics", Idle(FIXED)),
    ("circonus_api_app", Idle(PULLED)),
    ("circonus_api_token", Idle(PULLED)),
    ("circonus_api_url", Idle(PULLED)),
    ("circonus_broker_id", Idle(PULLED)),
    ("circonus_broker_select_tag", Idle(PULLED)),
    ("circonus_check_display_name", Idle(PULLED)),
    ("circonus_check_force_metric_activation", Idle(PULLED)),
    ("circonus_check_id", Idle(PULLED)),
    ("circonus_check_instance_id", Idle(PULLED)),
    ("circonus_check_search_tag", Idle(PULLED)),
    ("circonus_check_tags", Idle(PULLED)),
    ("circonus_submission_interval", Idle(PULLED)),
    ("circonus_submission_url", Idle(PULLED)),
    ("dogstatsd_addr", Idle(PULLED)),
    ("dogstatsd_tags", Idle(PULLED)),
    ("enable_hostname_label", Idle(FIXED)),
    ("filter_default", Idle(FIXED)),
    ("lease_metrics_epsilon", Idle(FIXED)),
    ("maximum_gauge_cardinality", Idle(FIXED)),
    ("num_lease_metrics_buckets", Idle(FIXED)),
    ("prefix_filter", Idle(FIXED)),
    ("stackdriver_debug_logs", Idle(PULLED)),
    ("stackdriver_location", Idle(PULLED)),
    ("stackdriver_namespace", Idle(PULLED)),
    ("stackdriver_project_id", Idle(PULLED)),
    ("statsd_address", Idle(PULLED)),
    ("statsite_address", Idle(PULLED)),
    ("usage_gauge_period", Idle(FIXED)),
];

/// Keys of `user_lockout`.
pub(super) const LOCKOUT: Keys<'static> =
    &[("disable_lockout", Read), ("lockout_counter_reset", Read), ("lockout_duration", Read), ("lockout_threshold", Read)];

/// Keys of `storage "file"` and `storage "embedded"`.
pub(super) const FILE: Keys<'static> = &[("cache_size", Read), ("path", Read)];

/// Blocks in which a key may belong that was written elsewhere.
const BLOCKS: &[(&str, Keys<'static>)] = &[
    ("in a listener", TCP),
    ("in a listener of type unix", UNIX),
    ("in telemetry", TELEMETRY),
    ("in user_lockout", LOCKOUT),
    ("in storage \"file\"", FILE),
    ("outside of blocks", TOP),
];

const FIXED: &str = "which metrics there are is fixed";
const NOT_ENTERPRISE: &str = "it belongs to another edition";
const NOT_GO: &str = "it belongs to another implementation";
const NO_CLUSTER: &str = "one server runs alone";
const NO_FORWARDED: &str = "forwarded addresses are not read";
const NO_NAMESPACES: &str = "there are no namespaces";
const NO_PLUGINS: &str = "engines and auth methods are built in";
const OPEN: &str = "those paths would stay open to holders of key shares without a token";
const PULLED: &str = "metrics are not sent anywhere; they are read at sys/metrics";
const ROTATE: &str = "move the log file away and send SIGHUP: the server then opens a new one";

/// No known name is longer; more of a key's letters are not looked at.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_for_slips_of_the_pen() {
        for (written, meant) in [
            ("tls_dissable", "tls_disable"),
            ("tls_cret_file", "tls_cert_file"),
            ("adress", "address"),
            ("Max_Request_Size", "max_request_size"),
            ("tls_certificate_file", "tls_cert_file"),
        ] {
            assert_eq!(nearest(TCP.iter().map(|(name, _)| *name), written), Some(meant), "{written}");
        }
        assert_eq!(nearest(TCP.iter().map(|(name, _)| *name), "colour_of_the_sea"), None);
    }

    #[test]
    fn a_swap_of_two_letters_is_one_step() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("ui"), "iu"), 1);
        assert_eq!(distance(&letters("kitten"), "sitting"), 3);
        assert_eq!(distance(&letters(""), "abc"), 3);
    }

    #[test]
    fn a_key_that_belongs_elsewhere_is_told_where() {
        assert_eq!(hint(TOP, "tls_cert_file"), ": it belongs in a listener");
        assert_eq!(hint(TCP, "default_lease_ttl"), ": it belongs outside of blocks");
    }

    #[test]
    fn no_key_is_listed_twice() {
        for keys in [TOP, TCP, UNIX, TELEMETRY, LOCKOUT, FILE, LISTENER_TELEMETRY] {
            let mut names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
