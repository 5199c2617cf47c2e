//! What `sys/config/state/sanitized` shows of the configuration (spec `sys.md` §10). There is no secret in it.

use serde_json::{Value, json};

use super::listener::{ListenAddress, ListenerConfig, TlsVersion};
use super::log::LogFormat;
use super::server::ServerConfig;
use super::storage::StorageConfig;

impl ServerConfig {
    /// The configuration in effect, lease times in seconds and 0 when nobody set them.
    pub fn sanitized(&self) -> Value {
        let (default_lease_ttl, max_lease_ttl) = self.written_ttls;
        let format = match self.log.format {
            LogFormat::Standard => "standard",
            LogFormat::Json => "json",
        };
        json!({
            "api_addr": self.api_addr.as_deref().unwrap_or_default(),
            "cache_size": 0,
            "cluster_addr": self.cluster_addr.as_deref().unwrap_or_default(),
            "cluster_name": self.cluster_name.as_deref().unwrap_or_default(),
            "default_lease_ttl": default_lease_ttl,
            "default_max_request_duration": self.default_max_request_duration,
            "disable_mlock": self.disable_mlock,
            "enable_response_header_hostname": self.enable_response_header_hostname,
            "enable_ui": self.ui,
            "introspection_endpoint": self.introspection_endpoint,
            "listeners": self.listeners.iter().map(listener).collect::<Value>(),
            "log_file": self.log.file,
            "log_format": format,
            "log_level": if self.is_log_level_set { self.log.level.as_str() } else { "" },
            "max_lease_ttl": max_lease_ttl,
            "pid_file": self.pid_file.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default(),
            "raw_storage_endpoint": self.raw_storage_endpoint,
            "reported_version": self.reported_version,
            "seals": [{ "type": "shamir", "disabled": false }],
            "storage": storage(&self.storage),
            "telemetry": {
                "disable_hostname": self.telemetry.disable_hostname,
                "metrics_prefix": self.telemetry.metrics_prefix,
                "prometheus_retention_time": self.telemetry.prometheus_retention,
            },
        })
    }
}

fn listener(listener: &ListenerConfig) -> Value {
    let mut config = json!({
        "address": listener.address.shown(),
        "max_request_duration": listener.limits.max_request_duration,
        "max_request_size": listener.limits.max_request_size,
        "tls_disable": listener.tls.is_none(),
    });
    if let (Some(tls), Some(config)) = (&listener.tls, config.as_object_mut()) {
        config.insert("tls_cert_file".to_owned(), json!(tls.cert));
        config.insert("tls_key_file".to_owned(), json!(tls.key));
        config.insert("tls_min_version".to_owned(), json!(version(tls.min)));
        config.insert("tls_max_version".to_owned(), json!(version(tls.max)));
    }
    if let (ListenAddress::Unix { mode: Some(mode), .. }, Some(config)) = (&listener.address, config.as_object_mut()) {
        config.insert("socket_mode".to_owned(), json!(format!("{mode:04o}")));
    }
    json!({ "type": listener.address.kind(), "config": config })
}

fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V12 => "tls12",
        TlsVersion::V13 => "tls13",
    }
}

fn storage(storage: &StorageConfig) -> Value {
    match storage {
        StorageConfig::Inmem => json!({ "type": storage.kind() }),
        StorageConfig::File(file) => json!({ "type": storage.kind(), "file": file.file }),
    }
}
