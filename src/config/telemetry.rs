//! `telemetry`: what `sys/metrics` tells.

use super::error::{ConfigError, Warning};
use super::keys;
use super::stanza::Layers;
use crate::base::Ttl;

/// How metrics are kept and named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// How long a metric that nothing changes is still shown to Prometheus; zero means Prometheus is not served.
    pub prometheus_retention: Ttl,
    /// The names of gauges do not begin with the machine's name.
    pub disable_hostname: bool,
    /// What the names of metrics begin with.
    pub metrics_prefix: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { prometheus_retention: Ttl::hours(24), disable_hostname: false, metrics_prefix: "vault".to_owned() }
    }
}

pub(super) fn read(layers: &Layers<'_>, warnings: &mut Vec<Warning>) -> Result<Telemetry, ConfigError> {
    let blocks = layers.blocks("telemetry", 0)?.into_iter().map(|(_, stanza)| stanza).collect();
    let layers = Layers(blocks);
    layers.check(keys::TELEMETRY, warnings)?;
    let usual = Telemetry::default();
    Ok(Telemetry {
        prometheus_retention: layers.ttl("prometheus_retention_time")?.map_or(usual.prometheus_retention, |spot| spot.value),
        disable_hostname: layers.switch("disable_hostname")?.unwrap_or(usual.disable_hostname),
        metrics_prefix: layers.text("metrics_prefix")?.map_or(usual.metrics_prefix, |spot| spot.value),
    })
}
