//! From what the server knows of itself to samples.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::version;
use crate::core::in_flight::InFlight;
use crate::core::{Active, Settings};
use crate::mount::{Class, Mount};

use super::histogram::{Histogram, Times};
use super::{Metrics, Sample, Worth, float};

impl Metrics {
    /// Everything there is to tell now. Sealed: only what belongs to the process.
    pub(super) async fn gather(&self, settings: &Settings, flights: &InFlight, active: Option<&Arc<Active>>) -> Vec<Sample> {
        let mut samples = vec![
            gauge("core.unsealed", if active.is_some() { 1.0 } else { 0.0 }),
            gauge("core.in_flight_requests", float(flights.count())),
            gauge("build.info", 1.0).with("version", &settings.version).with("program", version::VERSION),
            counter("quota.rate_limit.violation", float(self.refused_by_rate.load(Ordering::Relaxed))),
            counter("quota.lease_count.violation", float(self.refused_by_leases.load(Ordering::Relaxed))),
        ];
        if let Some(log) = &settings.log {
            samples.push(counter("log.dropped", float(log.dropped())));
        }
        samples.extend(process());
        samples.extend(summary("core.handle_request", &self.requests));
        samples.extend(summary("core.handle_login_request", &self.logins));
        if let Some(active) = active {
            samples.extend(of_active(active).await);
        }
        samples
    }
}

async fn of_active(active: &Arc<Active>) -> Vec<Sample> {
    let mut samples = Vec::new();
    let routes = active.routes.load_full();
    for class in [Class::Secret, Class::Auth] {
        let count = routes.mounts().filter(|mount| mount.entry.class == class).count();
        let kind = if class == Class::Auth { "auth" } else { "logical" };
        samples.push(gauge("core.mount_table.num_entries", float(count as u64)).with("type", kind));
    }
    for mount in routes.mounts() {
        samples.extend(of_mount(mount));
    }
    match active.leases.count_irrevocable().await {
        Ok(counts) => samples.push(gauge("expire.num_irrevocable_leases", float(counts.values().sum()))),
        Err(error) => tracing::warn!(error = %error, "leases that need an operator cannot be counted"),
    }
    if let Ok(status) = active.barrier.key_status() {
        samples.push(gauge("barrier.term", f64::from(status.term)));
        samples.push(gauge("barrier.estimated_encryptions", float(status.encryptions)));
    }
    samples.push(gauge("core.locked_users", float(active.lockouts.locked(active.clock.now()).len() as u64)));
    samples.push(gauge("core.tasks", float(active.tasks.running() as u64)));
    for told in active.quotas.lease_counts() {
        let labelled = |sample: Sample| sample.with("name", &told.name);
        samples.push(labelled(gauge("quota.lease_count.counter", float(told.counter))));
        samples.push(labelled(gauge("quota.lease_count.max", float(told.max))));
    }
    samples
}

/// What was asked of a mount, under the names dashboards know: `route.read.secret-`.
fn of_mount(mount: &Arc<Mount>) -> Vec<Sample> {
    let path = mount.entry.path.as_str();
    let mut samples = Vec::new();
    for (kind, tally) in mount.meter.read() {
        let kind = if kind == "write" { "update" } else { kind };
        let worth = Worth::Summary { count: tally.count, sum: millis(tally.took), quantiles: Vec::new() };
        samples.push(Sample { name: format!("route.{kind}.{}", path.replace('/', "-")), labels: Vec::new(), worth });
        let failed = counter("route.failures", float(tally.failed));
        samples.push(failed.with("mount_point", path).with("operation", kind).with("type", &mount.entry.kind));
    }
    for number in mount.plugin.numbers() {
        let mut sample = if number.is_counter { counter(number.name, number.value) } else { gauge(number.name, number.value) };
        sample.labels.extend(number.labels.into_iter().map(|(name, value)| (name.to_owned(), value)));
        samples.push(sample.with("mount_point", path));
    }
    samples
}

fn summary(name: &str, histogram: &Histogram) -> Option<Sample> {
    let times: Times = histogram.read();
    let quantile = |part| Some((part, millis(times.quantile(part)?)));
    let quantiles = [0.5, 0.9, 0.99].into_iter().filter_map(quantile).collect();
    let worth = Worth::Summary { count: times.count, sum: millis(times.sum), quantiles };
    (times.count > 0).then(|| Sample { name: name.to_owned(), labels: Vec::new(), worth })
}

/// Memory and threads of the process, as the kernel tells them.
fn process() -> Vec<Sample> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |key: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| *name == key)?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    };
    let memory = number("VmRSS").map(|kilobytes| gauge("runtime.sys_bytes", float(kilobytes.saturating_mul(1024))));
    let threads = number("Threads").map(|threads| gauge("runtime.num_threads", float(threads)));
    memory.into_iter().chain(threads).collect()
}

fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn gauge(name: &str, value: f64) -> Sample {
    Sample { name: name.to_owned(), labels: Vec::new(), worth: Worth::Gauge(value) }
}

fn counter(name: &str, value: f64) -> Sample {
    Sample { name: name.to_owned(), labels: Vec::new(), worth: Worth::Counter(value) }
}

impl Sample {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }
}
