//! Identifiers.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::random;

/// Makes a newtype over shared text with the usual conversions.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Keeps a text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The id of a lease: the path that issued it, `/`, and a suffix of 24 characters, 7 of time and 17 of chance.
    LeaseId
}
text_id! {
    /// The id of a mount: a UUID that stays when the mount moves.
    MountId
}
text_id! {
    /// The accessor of a token: names it without giving its powers.
    Accessor
}
text_id! {
    /// The id of a request: a UUID, in the reply and in the audit log.
    RequestId
}

/// 24 characters that sort by time: 7 of `at`, 17 of chance (101 bits). The form of lease suffixes, tokens and accessors.
pub fn timed_suffix(at: DateTime<Utc>) -> String {
    let mut text = random::time62(ticks(at));
    text.push_str(&random::base62(17));
    text
}

/// The time of ids: 256 steps a second, so that of thousands a second neighbours in time are neighbours in storage. Seven
/// digits last until the year 2405.
fn ticks(at: DateTime<Utc>) -> u64 {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    seconds.saturating_mul(TICKS).saturating_add(u64::from(at.timestamp_subsec_nanos()) * TICKS / 1_000_000_000)
}

/// Steps of [`ticks`] in a second.
const TICKS: u64 = 256;

impl LeaseId {
    /// A fresh id below `path`.
    pub fn fresh(path: &str, at: DateTime<Utc>) -> Self {
        Self::new(format!("{}/{}", path.trim_end_matches('/'), timed_suffix(at)))
    }

    /// The part after the last `/`.
    pub fn suffix(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, suffix)| suffix)
    }

    /// The part before the last `/`: the path that issued it.
    pub fn path(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(path, _)| path)
    }
}

impl MountId {
    /// A fresh random id.
    pub fn fresh() -> Self {
        Self::new(random::uuid())
    }
}

impl Accessor {
    /// A fresh accessor.
    pub fn fresh(at: DateTime<Utc>) -> Self {
        Self::new(timed_suffix(at))
    }
}

impl RequestId {
    /// A fresh random id.
    pub fn fresh() -> Self {
        Self::new(random::public_uuid())
    }
}

/// The keyed hash under which a token is stored: 7 characters of issue time, then 128 bits of the hash in base 62
/// (architecture §6). A token has 101 bits of chance, so no more of the hash would tell more. The token itself is never a key
/// and never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey([u8; TokenKey::LEN]);

impl TokenKey {
    /// Characters of a token key. No lease's suffix is as long.
    pub const LEN: usize = TIME + HASH;

    /// From the time part and the hash.
    pub fn new(time: &str, hash: &[u8; 32]) -> Option<Self> {
        let time: [u8; TIME] = time.as_bytes().try_into().ok()?;
        time.iter().all(u8::is_ascii_alphanumeric).then(|| Self::of(time, hash))
    }

    /// From the hash of a token that does not tell when it was issued: seven zeros stand for the time.
    pub fn untimed(hash: &[u8; 32]) -> Self {
        Self::of([b'0'; TIME], hash)
    }

    fn of(time: [u8; TIME], hash: &[u8; 32]) -> Self {
        let mut out = [0; Self::LEN];
        let (head, tail) = out.split_at_mut(TIME);
        head.copy_from_slice(&time);
        for (digits, bytes) in tail.chunks_exact_mut(HASH / 2).zip(hash.as_chunks::<8>().0) {
            random::digits62(u64::from_be_bytes(*bytes), digits);
        }
        Self(out)
    }

    /// Reads back what [`TokenKey::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters and digits get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Characters of issue time.
const TIME: usize = 7;

/// Characters of the hash: eleven hold eight bytes.
const HASH: usize = 2 * 11;

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.as_str())
    }
}

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for TokenKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TokenKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a token key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_keys_differ_where_the_hash_does_and_are_read_back() {
        let key = TokenKey::new("1234567", &[255; 32]).unwrap();
        assert_eq!(TokenKey::parse(key.as_str()), Some(key));
        for place in 0..16 {
            let mut other = [255; 32];
            other[place] ^= 1;
            assert_ne!(TokenKey::new("1234567", &other).unwrap(), key);
        }
        assert_eq!(TokenKey::untimed(&[0; 32]).as_str(), "0".repeat(TokenKey::LEN));
        assert_eq!(TokenKey::new("123456/", &[0; 32]), None);
    }

    #[test]
    fn ids_sort_by_time_within_a_second() {
        let at = |nanos| DateTime::from_timestamp(1_800_000_000, nanos).unwrap();
        let ids = [0, 3_906_250, 500_000_000, 999_999_999].map(|nanos| timed_suffix(at(nanos))[..TIME].to_owned());
        assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
        assert!(ids[3] < timed_suffix(DateTime::from_timestamp(1_800_000_001, 0).unwrap()));
    }
}
