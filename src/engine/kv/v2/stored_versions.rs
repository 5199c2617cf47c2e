//! `#[serde(with = "stored_versions")]`: what is known of the versions of a key, as short as it can be, for each write of the key
//! reads and writes all of it. Their numbers follow each other, and most versions are nothing but their time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::record::Version;
use crate::base::time::stored_time;

/// The list as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// The number of the first one.
    #[serde(rename = "n")]
    first: u64,
    /// When each was written.
    #[serde(rename = "c")]
    created: Vec<Time>,
    /// Those that are deleted, will be, or are destroyed.
    #[serde(rename = "d", default, skip_serializing_if = "BTreeMap::is_empty")]
    ending: BTreeMap<u64, Ending>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Time(#[serde(with = "stored_time")] DateTime<Utc>);

#[derive(Serialize, Deserialize)]
struct Ending {
    #[serde(rename = "d", with = "stored_time::option", default, skip_serializing_if = "Option::is_none")]
    deletion: Option<DateTime<Utc>>,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    destroyed: bool,
}

/// Writes the list.
pub(super) fn serialize<S: Serializer>(versions: &BTreeMap<u64, Version>, serializer: S) -> Result<S::Ok, S::Error> {
    let first = versions.first_key_value().map_or(0, |(number, _)| *number);
    if !versions.keys().copied().eq((first..).take(versions.len())) {
        return Err(serde::ser::Error::custom("the numbers of versions do not follow each other"));
    }
    let ends = |(number, version): (&u64, &Version)| {
        let Version { deletion, destroyed, .. } = *version;
        (deletion.is_some() || destroyed).then_some((*number, Ending { deletion, destroyed }))
    };
    let created = versions.values().map(|version| Time(version.created)).collect();
    Stored { first, created, ending: versions.iter().filter_map(ends).collect() }.serialize(serializer)
}

/// Reads it.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, Version>, D::Error> {
    let Stored { first, created, mut ending } = Stored::deserialize(deserializer)?;
    let version = |(number, Time(created))| {
        let Ending { deletion, destroyed } = ending.remove(&number).unwrap_or(Ending { deletion: None, destroyed: false });
        (number, Version { created, deletion, destroyed })
    };
    Ok((first..).zip(created).map(version).collect())
}
