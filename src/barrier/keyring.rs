//! The keys of the barrier, one a term. The newest seals; all of them open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::base::{Key, Secret, Timestamp, Ttl, random};

use super::BarrierError;

/// The key that opens the keyring: 32 bytes, held by whoever holds the seal.
#[derive(Clone, Debug)]
pub struct RootKey(Secret<[u8; 32]>);

impl RootKey {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(Secret::new(random::bytes()))
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Its 32 bytes. Every call is a place a reviewer looks at.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// Term, age and use of a key, as `sys/key-status` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Counts from 1.
    pub term: u32,
    /// When the key came into force.
    pub installed: Timestamp,
    /// Values sealed with it; about right after a restart.
    pub encryptions: u64,
}

/// When the key is rotated by itself (spec `sys.md` §2, `rotate/config`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationConfig {
    /// Whether it is.
    pub enabled: bool,
    /// After so many encryptions.
    pub max_operations: u64,
    /// After so long; zero: never by age.
    pub interval: Ttl,
}

impl Default for RotationConfig {
    fn default() -> Self {
        Self { enabled: true, max_operations: MAX_OPERATIONS, interval: Ttl::ZERO }
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Keyring {
    root: RootKey,
    terms: BTreeMap<u32, Arc<TermKey>>,
    active: Arc<TermKey>,
    rotation: RotationConfig,
}

struct TermKey {
    term: u32,
    bytes: Secret<[u8; 32]>,
    cipher: LessSafeKey,
    installed: Timestamp,
    encryptions: AtomicU64,
}

/// The keyring as stored, sealed with the root key.
#[derive(Serialize, Deserialize)]
struct KeyringRecord {
    keys: Vec<TermRecord>,
    rotation: RotationConfig,
}

#[derive(Serialize, Deserialize)]
struct TermRecord {
    term: u32,
    #[serde(with = "crate::base::secret::stored_secret")]
    value: Secret<String>,
    installed: Timestamp,
    encryptions: u64,
}

/// Nonces of one batch: the first is random, each of the others is one more than the one before it (NIST SP 800-38D, section
/// 8.2.2). None outlives its batch: a machine that is copied while it runs has none in store to use twice.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    last: Option<u128>,
}

impl Nonces {
    fn next(&mut self) -> [u8; NONCE_LEN] {
        let next = self.last.map_or_else(random_nonce, |last| last.wrapping_add(1) & LARGEST_NONCE);
        self.last = Some(next);
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().rev().zip(next.to_le_bytes()).for_each(|(to, from)| *to = from);
        nonce
    }
}

fn random_nonce() -> u128 {
    random::bytes::<NONCE_LEN>().into_iter().fold(0, |number, byte| number << 8 | u128::from(byte))
}

impl Keyring {
    pub(super) fn fresh(root: RootKey, now: Timestamp) -> Self {
        let first = Arc::new(TermKey::new(1, Secret::new(random::bytes()), now, 0));
        Self { root, terms: BTreeMap::from([(1, Arc::clone(&first))]), active: first, rotation: RotationConfig::default() }
    }

    pub(super) fn open(sealed: &[u8], root: &RootKey) -> Result<Self, BarrierError> {
        let holder = TermKey::new(ROOT_TERM, Secret::new(*root.expose()), Timestamp::default(), 0);
        let plain = Secret::new(holder.open(&path(), sealed).map_err(|_| BarrierError::WrongRootKey)?);
        let record: KeyringRecord =
            serde_json::from_slice(plain.expose()).map_err(|error| BarrierError::Decode(path(), error.to_string()))?;
        let mut terms = BTreeMap::new();
        for key in record.keys {
            let bytes = STANDARD
                .decode(key.value.expose())
                .ok()
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                .ok_or_else(|| BarrierError::Decode(path(), format!("the key of term {} is not 32 bytes", key.term)))?;
            terms.insert(key.term, Arc::new(TermKey::new(key.term, Secret::new(bytes), key.installed, key.encryptions)));
        }
        let active = terms.last_key_value().map(|(_, key)| Arc::clone(key));
        let active = active.ok_or_else(|| BarrierError::Decode(path(), "it holds no key".to_owned()))?;
        Ok(Self { root: root.clone(), terms, active, rotation: record.rotation })
    }

    /// As stored: sealed with the root key.
    pub(super) fn sealed(&self) -> Result<Bytes, BarrierError> {
        let keys = self.terms.values().map(|key| TermRecord {
            term: key.term,
            value: Secret::new(STANDARD.encode(key.bytes.expose())),
            installed: key.installed,
            encryptions: key.encryptions.load(Ordering::Relaxed),
        });
        let record = KeyringRecord { keys: keys.collect(), rotation: self.rotation };
        let plain = serde_json::to_vec(&record).map_err(|error| BarrierError::Decode(path(), error.to_string()))?;
        let holder = TermKey::new(ROOT_TERM, Secret::new(*self.root.expose()), Timestamp::default(), 0);
        holder.seal(path().as_str(), Secret::new(plain).expose(), Nonces::default().next())
    }

    pub(super) fn rotated(&self, now: Timestamp) -> Self {
        let next = Arc::new(TermKey::new(self.active.term.saturating_add(1), Secret::new(random::bytes()), now, 0));
        let mut terms = self.terms.clone();
        terms.insert(next.term, Arc::clone(&next));
        Self { root: self.root.clone(), terms, active: next, rotation: self.rotation }
    }

    pub(super) fn with_rotation(&self, rotation: RotationConfig) -> Self {
        Self { rotation, ..self.clone() }
    }

    pub(super) fn rotation(&self) -> RotationConfig {
        self.rotation
    }

    pub(super) fn status(&self) -> KeyStatus {
        KeyStatus {
            term: self.active.term,
            installed: self.active.installed,
            encryptions: self.active.encryptions.load(Ordering::Relaxed),
        }
    }

    pub(super) fn seal(&self, key: &str, plain: &[u8], nonces: &mut Nonces) -> Result<Bytes, BarrierError> {
        self.active.seal(key, plain, nonces.next())
    }

    pub(super) fn open_value(&self, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, BarrierError> {
        let term = sealed.first_chunk().map(|term| u32::from_be_bytes(*term)).ok_or_else(|| BarrierError::Forged(key.clone()))?;
        if term == self.active.term {
            return self.active.open(key, sealed);
        }
        self.terms.get(&term).ok_or(BarrierError::UnknownTerm(term))?.open(key, sealed)
    }
}

impl TermKey {
    #[expect(clippy::expect_used, reason = "an AES-256 key is 32 bytes, and so is every array given")]
    fn new(term: u32, bytes: Secret<[u8; 32]>, installed: Timestamp, encryptions: u64) -> Self {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.expose()).expect("32 bytes make a key"));
        Self { term, bytes, cipher, installed, encryptions: AtomicU64::new(encryptions) }
    }

    /// Term (4 bytes, big-endian), version, nonce (12), ciphertext, tag (16).
    fn seal(&self, key: &str, plain: &[u8], nonce: [u8; NONCE_LEN]) -> Result<Bytes, BarrierError> {
        let mut out = BytesMut::with_capacity(HEADER + plain.len() + AES_256_GCM.tag_len());
        out.put_u32(self.term);
        out.put_u8(VERSION);
        out.put_slice(&nonce);
        out.put_slice(plain);
        let mut body = out.split_off(HEADER);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(key.as_bytes()), &mut body)
            .map_err(|_| BarrierError::Forged(Key::from(key)))?;
        out.unsplit(body);
        out.put_slice(tag.as_ref());
        self.encryptions.fetch_add(1, Ordering::Relaxed);
        Ok(out.freeze())
    }

    fn open(&self, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, BarrierError> {
        let forged = || BarrierError::Forged(key.clone());
        let (header, body) = sealed.split_at_checked(HEADER).ok_or_else(forged)?;
        let (prefix, nonce) = header.split_at_checked(HEADER - NONCE_LEN).ok_or_else(forged)?;
        if prefix.last() != Some(&VERSION) {
            return Err(forged());
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| forged())?;
        let mut body = body.to_vec();
        let len = self.cipher.open_in_place(nonce, Aad::from(key.as_str().as_bytes()), &mut body).map_err(|_| forged())?.len();
        body.truncate(len);
        Ok(body)
    }
}

/// Where the keyring is stored.
pub(super) fn path() -> Key {
    Key::from("core/keyring")
}

/// With the storage key as associated data; the one form we write.
const VERSION: u8 = 2;
/// Term, version and nonce.
const HEADER: usize = 4 + 1 + NONCE_LEN;
/// All bits of a nonce.
const LARGEST_NONCE: u128 = (1 << (8 * NONCE_LEN)) - 1;
/// What the header of the keyring's own value says.
const ROOT_TERM: u32 = 1;
/// Ceiling for one key with random 96-bit nonces, as in Vault (spec `sys.md` §2).
const MAX_OPERATIONS: u64 = 3_865_470_566;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_of_a_batch_count_on_from_a_random_one() {
        let mut nonces = Nonces::default();
        let (first, second) = (nonces.next(), nonces.next());
        assert_ne!(first, Nonces::default().next());
        let number = |nonce: [u8; NONCE_LEN]| nonce.into_iter().fold(0_u128, |number, byte| number << 8 | u128::from(byte));
        assert_eq!(number(second), (number(first) + 1) & LARGEST_NONCE);
        let mut last = Nonces { last: Some(LARGEST_NONCE) };
        assert_eq!((last.next(), last.next()), ([0; NONCE_LEN], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    }
}
