//! The two forms of `sys/metrics`: a summary in JSON, and the text Prometheus reads (version 0.0.4).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::Clock;
use crate::config::Telemetry;
use crate::core::in_flight::InFlight;
use crate::core::{Active, Settings};
use crate::mount::{ApiError, Raw};

use super::{Metrics, Sample, Worth, float};

/// How the numbers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Format {
    Json,
    Prometheus,
}

/// By name and labels: what was told last, and since when it is so.
pub(super) type Told = HashMap<String, (Worth, Duration)>;

impl Format {
    /// The one a request names by its query or, without one, by what it accepts.
    ///
    /// # Errors
    /// The name, when there is no such form.
    pub(in crate::core) fn of(query: &str, accept: &str) -> Result<Self, String> {
        match query {
            "" if accept.starts_with("application/openmetrics-text") || accept.starts_with("text/plain") => Ok(Self::Prometheus),
            "" => Ok(Self::Json),
            "prometheus" => Ok(Self::Prometheus),
            other => Err(other.to_owned()),
        }
    }
}

impl Metrics {
    /// The page.
    ///
    /// # Errors
    /// 400 when Prometheus is not served.
    pub(in crate::core) async fn tell(
        &self,
        format: Format,
        settings: &Settings,
        flights: &InFlight,
        clock: &Arc<dyn Clock>,
        active: Option<&Arc<Active>>,
    ) -> Result<Raw, ApiError> {
        let telemetry = &settings.telemetry;
        let retention = telemetry.prometheus_retention;
        if format == Format::Prometheus && retention.is_zero() {
            return Err(ApiError::invalid("prometheus is not enabled"));
        }
        let samples = self.gather(settings, flights, active).await;
        Ok(match format {
            Format::Json => {
                let since = clock.elapsed().saturating_sub(self.began.get().copied().unwrap_or_default());
                let page = json(&samples, telemetry, clock, since);
                Raw { content_type: "application/json", bytes: serde_json::to_vec(&page).map_err(ApiError::internal)? }
            }
            Format::Prometheus => {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                let samples = fresh(samples, &mut told, clock.elapsed(), retention.to_duration());
                let text = prometheus(&samples, &telemetry.metrics_prefix);
                Raw { content_type: "text/plain; version=0.0.4; charset=utf-8", bytes: text.into_bytes() }
            }
        })
    }
}

/// Without those that nothing has changed for longer than `retention`, gauges apart: they say what is now.
fn fresh(samples: Vec<Sample>, told: &mut Told, now: Duration, retention: Duration) -> Vec<Sample> {
    let mut next = Told::with_capacity(samples.len());
    let mut kept = Vec::with_capacity(samples.len());
    for sample in samples {
        let name = format!("{} {:?}", sample.name, sample.labels);
        let since = told.get(&name).filter(|(worth, _)| *worth == sample.worth).map_or(now, |(_, since)| *since);
        next.insert(name, (sample.worth.clone(), since));
        if matches!(sample.worth, Worth::Gauge(_)) || now.saturating_sub(since) <= retention {
            kept.push(sample);
        }
    }
    *told = next;
    kept
}

fn json(samples: &[Sample], telemetry: &Telemetry, clock: &Arc<dyn Clock>, since: Duration) -> Value {
    let (mut gauges, mut counters, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
    let seconds = since.as_secs_f64().max(1.0);
    let host = if telemetry.disable_hostname { String::new() } else { format!("{}.", crate::core::sys::host_info::hostname()) };
    for sample in samples {
        let labels: Map<String, Value> = sample.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let name = |host: &str| format!("{}.{host}{}", telemetry.metrics_prefix, sample.name);
        match &sample.worth {
            Worth::Gauge(value) => gauges.push(json!({ "Name": name(&host), "Value": value, "Labels": labels })),
            Worth::Counter(value) => counters.push(json!({
                "Name": name(""), "Count": whole(*value), "Rate": value / seconds, "Sum": value, "Min": 1, "Max": 1, "Mean": 1,
                "Stddev": 0, "Labels": labels,
            })),
            Worth::Summary { count, sum, quantiles } => {
                let of = |part: f64| quantiles.iter().find(|(at, _)| (at - part).abs() < 0.001).map(|(_, time)| *time);
                let mean = if *count == 0 { 0.0 } else { sum / float(*count) };
                let mut told = Map::new();
                told.insert("Name".to_owned(), json!(name("")));
                told.insert("Count".to_owned(), json!(count));
                for (key, value) in [("Rate", sum / seconds), ("Sum", *sum), ("Mean", mean)] {
                    told.insert(key.to_owned(), json!(value));
                }
                for (key, value) in [("P50", of(0.5)), ("P90", of(0.9)), ("P99", of(0.99))] {
                    told.extend(value.map(|value| (key.to_owned(), json!(value))));
                }
                told.insert("Labels".to_owned(), Value::Object(labels));
                summaries.push(Value::Object(told));
            }
        }
    }
    json!({
        "Timestamp": clock.precise().format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "Gauges": gauges,
        "Points": [],
        "Counters": counters,
        "Samples": summaries,
    })
}

/// Clients read counts as integers.
fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap_or_default()
}

/// One block a name, as the format wants it.
fn prometheus(samples: &[Sample], prefix: &str) -> String {
    let mut blocks: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        blocks.entry(name_of(&format!("{prefix}.{}", sample.name))).or_default().push(sample);
    }
    let mut text = String::new();
    for (name, samples) in blocks {
        let kind = match samples.first().map(|sample| &sample.worth) {
            Some(Worth::Counter(_)) => "counter",
            Some(Worth::Summary { .. }) => "summary",
            _ => "gauge",
        };
        // Writing to memory does not fail.
        let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} {kind}");
        for sample in samples {
            line(&mut text, &name, sample);
        }
    }
    text
}

fn line(text: &mut String, name: &str, sample: &Sample) {
    match &sample.worth {
        Worth::Gauge(value) | Worth::Counter(value) => _ = writeln!(text, "{name}{} {value}", braces(&sample.labels, None)),
        Worth::Summary { count, sum, quantiles } => {
            for (part, time) in quantiles {
                let _ = writeln!(text, "{name}{} {time}", braces(&sample.labels, Some(*part)));
            }
            let labels = braces(&sample.labels, None);
            let _ = writeln!(text, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}");
        }
    }
}

fn braces(labels: &[(String, String)], quantile: Option<f64>) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let own = labels.iter().map(|(name, value)| format!("{}=\"{}\"", name_of(name), escaped(value)));
    let all: Vec<String> = own.chain(quantile.map(|part| format!("quantile=\"{part}\""))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// With nothing in it that a name may not have.
fn name_of(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, worth: Worth) -> Sample {
        Sample { name: name.to_owned(), labels: vec![("mount_point".to_owned(), "a\"b/".to_owned())], worth }
    }

    #[test]
    fn prometheus_gets_a_block_for_each_name() {
        let summary = Worth::Summary { count: 2, sum: 1.5, quantiles: vec![(0.5, 0.5)] };
        let text = prometheus(&[sample("x.y", Worth::Gauge(1.0)), sample("route.read.a-", summary)], "vault");
        assert_eq!(
            text,
            "# HELP vault_route_read_a_ vault_route_read_a_\n# TYPE vault_route_read_a_ summary\n\
             vault_route_read_a_{mount_point=\"a\\\"b/\",quantile=\"0.5\"} 0.5\n\
             vault_route_read_a__sum{mount_point=\"a\\\"b/\"} 1.5\nvault_route_read_a__count{mount_point=\"a\\\"b/\"} 2\n\
             # HELP vault_x_y vault_x_y\n# TYPE vault_x_y gauge\nvault_x_y{mount_point=\"a\\\"b/\"} 1\n"
        );
    }

    #[test]
    fn what_nothing_changes_is_left_out_after_the_retention() {
        let (mut told, retention) = (Told::default(), Duration::from_secs(30));
        let both = || vec![sample("c", Worth::Counter(3.0)), sample("g", Worth::Gauge(1.0))];
        assert_eq!(fresh(both(), &mut told, Duration::from_secs(0), retention).len(), 2);
        assert_eq!(fresh(both(), &mut told, Duration::from_secs(30), retention).len(), 2);
        assert_eq!(fresh(both(), &mut told, Duration::from_secs(31), retention).len(), 1);
        let changed = vec![sample("c", Worth::Counter(4.0))];
        assert_eq!(fresh(changed, &mut told, Duration::from_secs(40), retention).len(), 1);
    }

    #[test]
    fn the_form_is_named_by_the_query_or_by_what_is_accepted() {
        assert_eq!(Format::of("", "*/*"), Ok(Format::Json));
        assert_eq!(Format::of("prometheus", ""), Ok(Format::Prometheus));
        assert_eq!(Format::of("", "application/openmetrics-text; version=1.0.0"), Ok(Format::Prometheus));
        assert_eq!(Format::of("xml", ""), Err("xml".to_owned()));
    }
}
