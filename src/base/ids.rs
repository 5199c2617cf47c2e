//! Identifiers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::random;
use super::time::Timestamp;

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
pub fn timed_suffix(at: Timestamp) -> String {
    let mut text = random::time62(at.seconds());
    text.push_str(&random::base62(17));
    text
}

impl LeaseId {
    /// A fresh id below `path`.
    pub fn fresh(path: &str, at: Timestamp) -> Self {
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
    pub fn fresh(at: Timestamp) -> Self {
        Self::new(timed_suffix(at))
    }
}

impl RequestId {
    /// A fresh random id.
    pub fn fresh() -> Self {
        Self::new(random::uuid())
    }
}

/// The keyed hash under which a token is stored: 7 characters of issue time, then 64 hex digits (architecture §6). The
/// token itself is never a key and never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey([u8; TokenKey::LEN]);

impl TokenKey {
    /// Characters of a token key.
    pub const LEN: usize = 7 + 64;

    /// From the time part and the hash.
    pub fn new(time: &str, hash: &[u8; 32]) -> Option<Self> {
        let mut out = [0; Self::LEN];
        let (head, tail) = out.split_at_mut(7);
        if time.len() != 7 || !time.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        head.copy_from_slice(time.as_bytes());
        hex::encode_to_slice(hash, tail).ok()?;
        Some(Self(out))
    }

    /// From the hash of a token that does not tell when it was issued: seven zeros stand for the time.
    pub fn untimed(hash: &[u8; 32]) -> Self {
        let mut out = [b'0'; Self::LEN];
        let (_, tail) = out.split_at_mut(7);
        for (pair, byte) in tail.chunks_exact_mut(2).zip(hash) {
            pair.iter_mut().zip([byte >> 4, byte & 15]).for_each(|(digit, value)| *digit = hex_digit(value));
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

const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

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
