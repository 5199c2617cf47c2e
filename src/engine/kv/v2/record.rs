//! What is stored besides the objects, and the rules of versions: which one falls off, which one is deleted when.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::time::{rfc3339_nano, stored_time};
use crate::base::{Ttl, random};
use crate::mount::ApiError;
use crate::mount::field::{Int, SignedSeconds};

use super::stored_versions;

/// What holds for all keys of a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    /// Versions that are kept of a key; zero: not set.
    pub(super) max_versions: u64,
    /// Each write must carry a check-and-set number.
    pub(super) cas_required: bool,
    /// A version is deleted after so long; zero: not set; `None`: none ever is, whatever its key says.
    pub(super) delete_version_after: Option<Ttl>,
}

/// What is known of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Metadata {
    /// Names its objects in storage.
    pub(super) id: String,
    /// When the key was made.
    #[serde(with = "stored_time")]
    pub(super) created: DateTime<Utc>,
    /// When its last version was.
    #[serde(with = "stored_time")]
    pub(super) updated: DateTime<Utc>,
    /// The number of the last version; zero: there was none yet.
    #[serde(default)]
    pub(super) current: u64,
    /// The number of the first version that is kept; zero: nothing was to fall off yet.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub(super) oldest: u64,
    /// As in [`Config`]; either is enough.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub(super) cas_required: bool,
    /// As in [`Config`]; the larger one counts.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub(super) max_versions: u64,
    /// As in [`Config`]; the shorter one counts. Zero: not set.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub(super) delete_version_after: Ttl,
    /// What its owner noted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) custom: BTreeMap<String, String>,
    /// The versions that are kept, by number.
    #[serde(with = "stored_versions")]
    pub(super) versions: BTreeMap<u64, Version>,
}

/// What is known of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// When it was written.
    pub(super) created: DateTime<Utc>,
    /// From when on it is deleted; in the future: it will be.
    pub(super) deletion: Option<DateTime<Utc>>,
    /// Its object is gone for good.
    pub(super) destroyed: bool,
}

/// What came of adding a version.
pub(super) struct Added {
    pub(super) version: Version,
    /// Those that fall off, whose objects must go.
    pub(super) without: Vec<(u64, Version)>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_versions: 0, cas_required: false, delete_version_after: Some(Ttl::ZERO) }
    }
}

impl Config {
    /// As the API shows it.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("max_versions".to_owned(), json!(self.max_versions));
        shown.insert("cas_required".to_owned(), json!(self.cas_required));
        let after = self.delete_version_after.map_or_else(|| "-1s".to_owned(), Ttl::go);
        shown.insert("delete_version_after".to_owned(), json!(after));
        shown
    }
}

impl Metadata {
    /// Of a key without versions.
    pub(super) fn fresh(now: DateTime<Utc>) -> Self {
        Self {
            id: random::base62(16),
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            cas_required: false,
            max_versions: 0,
            delete_version_after: Ttl::ZERO,
            custom: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Adds a version under the next number.
    pub(super) fn add(&mut self, config: &Config, now: DateTime<Utc>) -> Added {
        self.current += 1;
        self.updated = now;
        let version = Version { created: now, deletion: self.deletion_time(config, now), destroyed: false };
        self.versions.insert(self.current, version);
        let kept = match self.max_versions.max(config.max_versions) {
            0 => DEFAULT_VERSIONS,
            set => set,
        };
        if self.current.saturating_sub(self.oldest) < kept {
            return Added { version, without: Vec::new() };
        }
        self.oldest = self.current.saturating_sub(kept) + 1;
        let staying = self.versions.split_off(&self.oldest);
        let without = std::mem::replace(&mut self.versions, staying).into_iter().collect();
        Added { version, without }
    }

    /// When a version that is written or undeleted now will be deleted by itself.
    pub(super) fn deletion_time(&self, config: &Config, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let of_mount = config.delete_version_after?;
        let after = [of_mount, self.delete_version_after].into_iter().filter(|ttl| !ttl.is_zero()).min()?;
        let after = i64::try_from(after.as_seconds()).ok().and_then(TimeDelta::try_seconds)?;
        now.checked_add_signed(after)
    }

    /// A version as the API shows it beside its object.
    pub(super) fn shown_version(&self, number: u64, version: Version) -> Map<String, Value> {
        let mut shown = version.shown();
        shown.insert("version".to_owned(), json!(number));
        shown.insert("custom_metadata".to_owned(), self.shown_custom());
        shown
    }

    /// As the API shows it.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("cas_required".to_owned(), json!(self.cas_required));
        shown.insert("created_time".to_owned(), json!(rfc3339_nano(self.created)));
        shown.insert("current_version".to_owned(), json!(self.current));
        shown.insert("custom_metadata".to_owned(), self.shown_custom());
        shown.insert("delete_version_after".to_owned(), json!(self.delete_version_after.go()));
        shown.insert("max_versions".to_owned(), json!(self.max_versions));
        shown.insert("oldest_version".to_owned(), json!(self.oldest));
        shown.insert("updated_time".to_owned(), json!(rfc3339_nano(self.updated)));
        let versions = self.versions.iter().map(|(number, version)| (number.to_string(), Value::Object(version.shown())));
        shown.insert("versions".to_owned(), Value::Object(versions.collect()));
        shown
    }

    fn shown_custom(&self) -> Value {
        if self.custom.is_empty() { Value::Null } else { json!(self.custom) }
    }
}

impl Version {
    /// Whether its object is not shown any more.
    pub(super) fn is_gone(&self, now: DateTime<Utc>) -> bool {
        self.destroyed || self.is_deleted(now)
    }

    fn is_deleted(&self, now: DateTime<Utc>) -> bool {
        self.deletion.is_some_and(|at| at <= now)
    }

    /// Deletes it now, unless it is gone; false: it is. A deletion that lies ahead becomes one of now.
    pub(super) fn delete(&mut self, now: DateTime<Utc>) -> bool {
        let changes = !self.is_gone(now);
        if changes {
            self.deletion = Some(now);
        }
        changes
    }

    fn shown(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("created_time".to_owned(), json!(rfc3339_nano(self.created)));
        shown.insert("deletion_time".to_owned(), json!(self.deletion.map(rfc3339_nano).unwrap_or_default()));
        shown.insert("destroyed".to_owned(), json!(self.destroyed));
        shown
    }
}

/// Reads `max_versions`.
///
/// # Errors
/// 400 that names the field.
pub(super) fn max_versions(given: &Int) -> Result<u64, ApiError> {
    match u64::try_from(**given) {
        Ok(versions) if versions <= MOST_VERSIONS => Ok(versions),
        Ok(_) => Err(ApiError::invalid(format!("'max_versions' cannot be more than {MOST_VERSIONS}"))),
        Err(_) => Err(negative("max_versions")),
    }
}

/// Reads `delete_version_after`; `None`: it is below zero.
///
/// # Errors
/// 400 that names the field.
pub(super) fn delete_version_after(given: SignedSeconds) -> Result<Option<Ttl>, ApiError> {
    match given.ttl() {
        Some(ttl) if ttl > LONGEST => Err(ApiError::invalid("'delete_version_after' cannot be longer than 292 years")),
        ttl => Ok(ttl),
    }
}

/// 400 that names the field.
pub(super) fn negative(field: &str) -> ApiError {
    ApiError::invalid(format!("'{field}' cannot be negative"))
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Versions kept when nobody says how many (spec `kv.md` §4).
const DEFAULT_VERSIONS: u64 = 10;

/// All versions of a key are listed in one record, some twenty bytes each, which each write replaces.
const MOST_VERSIONS: u64 = 100_000;

/// What a duration of Go's can hold.
const LONGEST: Ttl = Ttl::hours(24 * 365 * 292);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 5).unwrap()
    }

    fn config(max_versions: u64) -> Config {
        Config { max_versions, ..Config::default() }
    }

    fn dropped(added: Added) -> Vec<u64> {
        added.without.into_iter().map(|(number, _)| number).collect()
    }

    fn numbers(metadata: &Metadata) -> Vec<u64> {
        metadata.versions.keys().copied().collect()
    }

    #[test]
    fn the_tenth_last_version_is_the_last_one_kept() {
        let mut metadata = Metadata::fresh(at(0));
        let dropped: Vec<_> = (1..=12).map(|second| dropped(metadata.add(&config(0), at(second)))).collect();
        assert_eq!(dropped[..10], vec![Vec::<u64>::new(); 10]);
        assert_eq!(dropped[10..], [[1], [2]]);
        assert_eq!((numbers(&metadata), metadata.oldest), ((3..=12).collect(), 3));
        assert_eq!((metadata.current, metadata.created, metadata.updated), (12, at(0), at(12)));
    }

    #[test]
    fn the_larger_maximum_counts_and_a_lowered_one_waits_for_a_write() {
        let mut metadata = Metadata::fresh(at(0));
        metadata.max_versions = 3;
        for _ in 0..6 {
            metadata.add(&config(5), at(1));
        }
        assert_eq!(numbers(&metadata), [2, 3, 4, 5, 6]);
        assert_eq!(dropped(metadata.add(&config(2), at(2))), [2, 3, 4]);
        assert_eq!((numbers(&metadata), metadata.oldest), (vec![5, 6, 7], 5));
        metadata.max_versions = 1;
        assert_eq!(dropped(metadata.add(&config(0), at(3))), [5, 6, 7]);
        assert_eq!(numbers(&metadata), [8]);
    }

    #[test]
    fn the_shorter_time_that_is_set_counts() {
        let metadata = |seconds| Metadata { delete_version_after: Ttl::seconds(seconds), ..Metadata::fresh(at(0)) };
        let config = |seconds| Config { delete_version_after: Some(Ttl::seconds(seconds)), ..Config::default() };
        assert_eq!(metadata(0).deletion_time(&config(0), at(0)), None);
        assert_eq!(metadata(9).deletion_time(&config(0), at(0)), Some(at(9)));
        assert_eq!(metadata(0).deletion_time(&config(7), at(0)), Some(at(7)));
        assert_eq!(metadata(9).deletion_time(&config(7), at(0)), Some(at(7)));
        let off = Config { delete_version_after: None, ..Config::default() };
        assert_eq!(metadata(9).deletion_time(&off, at(0)), None);
        assert_eq!(off.shown()["delete_version_after"], json!("-1s"));
    }

    #[test]
    fn a_version_is_deleted_from_its_time_on() {
        let mut version = Version { created: at(0), deletion: Some(at(5)), destroyed: false };
        assert!(!version.is_gone(at(4)));
        assert!(version.is_gone(at(5)));
        assert!(version.delete(at(2)), "what lies ahead becomes now");
        assert!(!version.delete(at(3)));
        assert_eq!(version.deletion, Some(at(2)));
    }

    #[test]
    fn records_read_back_as_they_were() {
        let mut metadata = Metadata { custom: BTreeMap::from([("k".to_owned(), "v".to_owned())]), ..Metadata::fresh(at(0)) };
        let read = |metadata: &Metadata| serde_json::from_slice::<Metadata>(&serde_json::to_vec(metadata).unwrap()).unwrap();
        assert_eq!(read(&metadata).shown(), metadata.shown(), "without versions");
        for second in 1..=12 {
            metadata.add(&config(0), at(second));
        }
        metadata.versions.get_mut(&5).unwrap().deletion = Some(at(11_000_000_000));
        metadata.versions.get_mut(&6).unwrap().destroyed = true;
        assert_eq!(read(&metadata).versions, metadata.versions);
        assert_eq!(read(&metadata).shown(), metadata.shown());
        metadata.versions.remove(&7);
        assert!(serde_json::to_vec(&metadata).is_err(), "a gap would shift the numbers behind it");
        for config in [config(3), Config { delete_version_after: None, ..config(0) }] {
            assert_eq!(serde_json::from_slice::<Config>(&serde_json::to_vec(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_by_name() {
        assert_eq!(max_versions(&Int(-1)).unwrap_err().text, "'max_versions' cannot be negative");
        assert_eq!(max_versions(&Int(100_001)).unwrap_err().text, "'max_versions' cannot be more than 100000");
        assert_eq!(delete_version_after(SignedSeconds(-5)).unwrap(), None);
        assert!(delete_version_after(SignedSeconds(i64::MAX)).unwrap_err().text.contains("'delete_version_after'"));
    }
}
