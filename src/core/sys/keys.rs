//! The key everything is sealed with: its age and use, and its rotation (spec `sys.md` §2, `seal-and-barrier.md` §1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::barrier::{BarrierError, KeyStatus, RotationConfig};
use crate::base::{Timestamp, Ttl};
use crate::core::Active;
use crate::mount::field::{Flag, Int};
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("key-status", "Age and use of the key that everything is sealed with.").read(status).top();
    table.at("rotate", "Puts a new key in force; what older ones sealed stays readable.").update(rotate).sudo().top();
    table.at("rotate/config", "When keys are rotated by themselves.").read(read_config).update(write_config);
}

/// What the automatic rotation remembers between two looks.
#[derive(Debug, Default)]
pub(in crate::core) struct Watch {
    rounds: AtomicU64,
    /// The count of encryptions that was stored last.
    saved: AtomicU64,
}

/// Called once a minute; every fifth time it looks whether the key is to be rotated, and stores the count of its use.
pub(in crate::core) async fn watch(active: &Active) {
    if !active.key_watch.rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(ROUNDS) {
        return;
    }
    // Somebody changes keys, mounts or devices: the next look comes soon.
    let Ok(_one_at_a_time) = active.admin.try_lock() else { return };
    match look(active).await {
        Ok(()) | Err(BarrierError::Sealed) => {}
        Err(error) => tracing::error!(error = %error, "the barrier key could not be looked after: {error}"),
    }
}

/// Settings of the automatic rotation; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
struct Rotation {
    /// After so many encryptions.
    max_operations: Option<Int>,
    /// After so long; zero: never by age.
    interval: Option<Ttl>,
    /// Whether keys are rotated by themselves.
    enabled: Option<Flag>,
}

async fn status(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let KeyStatus { term, installed, encryptions } = sys.active()?.barrier.key_status()?;
    Ok(data([("term", json!(term)), ("install_time", json!(installed.rfc3339())), ("encryptions", json!(encryptions))]))
}

async fn rotate(sys: Arc<Sys>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    active.barrier.rotate(cx.clock.now()).await?;
    tracing::info!("a new barrier key is in force");
    Ok(Reply::empty())
}

async fn read_config(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let config = sys.active()?.barrier.rotation_config()?;
    let interval = config.interval.nonzero().map_or_else(|| json!(0), |interval| json!(interval.go()));
    Ok(data([("enabled", json!(config.enabled)), ("max_operations", json!(config.max_operations)), ("interval", interval)]))
}

async fn write_config(sys: Arc<Sys>, _: Ctx, input: Rotation) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    let mut config = active.barrier.rotation_config()?;
    if let Some(operations) = input.max_operations {
        let operations = u64::try_from(operations.0).ok().filter(|count| (FEWEST_OPERATIONS..=MOST_OPERATIONS).contains(count));
        config.max_operations = operations.ok_or_else(|| {
            ApiError::invalid(format!("max_operations must be in the range [{FEWEST_OPERATIONS},{MOST_OPERATIONS}]"))
        })?;
    }
    if let Some(interval) = input.interval {
        if !interval.is_zero() && interval < SHORTEST_INTERVAL {
            return Err(ApiError::invalid(format!("interval must be greater or equal to {}", SHORTEST_INTERVAL.go())));
        }
        config.interval = interval;
    }
    if let Some(enabled) = input.enabled {
        config.enabled = enabled.0;
    }
    active.barrier.configure_rotation(config).await?;
    Ok(Reply::empty())
}

async fn look(active: &Active) -> Result<(), BarrierError> {
    let (status, config) = (active.barrier.key_status()?, active.barrier.rotation_config()?);
    let now = active.clock.now();
    if is_due(&status, &config, now) {
        active.barrier.rotate(now).await?;
        tracing::info!(key.term = status.term, "the barrier key of term {} was rotated by itself", status.term);
    } else if status.encryptions != active.key_watch.saved.load(Ordering::Relaxed) {
        active.barrier.save_counts().await?;
        active.key_watch.saved.store(status.encryptions, Ordering::Relaxed);
    }
    Ok(())
}

/// Spec `seal-and-barrier.md` §1, "Rotation": by count, by age when told to, and once a year when the count is unknown.
fn is_due(status: &KeyStatus, config: &RotationConfig, now: Timestamp) -> bool {
    let age = now.since(status.installed);
    let is_old = config.interval.nonzero().is_some_and(|interval| age >= interval);
    config.enabled && (status.encryptions > config.max_operations || is_old || (age > YEAR && status.encryptions == 0))
}

/// Minutes between two looks.
const ROUNDS: u64 = 5;
const YEAR: Ttl = Ttl::hours(365 * 24);
/// Bounds of spec `sys.md` §2; the upper one is what the cipher allows for one key.
const FEWEST_OPERATIONS: u64 = 1_000_000;
const MOST_OPERATIONS: u64 = 3_865_470_566;
const SHORTEST_INTERVAL: Ttl = Ttl::hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    fn due(age: Ttl, encryptions: u64, config: RotationConfig) -> bool {
        let installed = Timestamp::from_seconds(1_700_000_000);
        is_due(&KeyStatus { term: 1, installed, encryptions }, &config, installed.plus(age))
    }

    #[test]
    fn a_key_is_rotated_by_count_by_age_and_after_a_year_without_a_count() {
        let by_default = RotationConfig::default();
        let daily = RotationConfig { interval: Ttl::hours(24), ..by_default };
        let off = RotationConfig { enabled: false, ..daily };
        assert!(!due(Ttl::hours(1), 1, by_default));
        assert!(!due(Ttl::hours(1), MOST_OPERATIONS, by_default));
        assert!(due(Ttl::hours(1), MOST_OPERATIONS + 1, by_default));
        assert!(!due(Ttl::hours(24 * 400), 1, by_default));
        assert!(due(Ttl::hours(24 * 400), 0, by_default));
        assert!(!due(Ttl::hours(23), 1, daily));
        assert!(due(Ttl::hours(24), 1, daily));
        assert!(!due(Ttl::hours(24 * 400), MOST_OPERATIONS + 1, off));
    }
}
