//! The key that exists as shares only, and seals the root key.

use async_trait::async_trait;
use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::barrier::RootKey;
use crate::base::{Secret, random};

use super::{ROOT_PATH, Seal, SealConfig, SealError, Wrapped, root_path};

/// The key the shares give back: 32 bytes, in memory for the length of one ceremony. It is the seal of kind `shamir`.
#[derive(Clone, Debug)]
pub struct Kek(Secret<[u8; 32]>);

impl Kek {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(Secret::new(random::bytes()))
    }

    /// From its bytes; `None` unless there are 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Secret::new(bytes)))
    }

    /// Its bytes. Every call is a place a reviewer looks at.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Whether two keys are the same, without telling by time where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }

    #[expect(clippy::expect_used, reason = "an AES-256 key is 32 bytes, and so is this")]
    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.expose()).expect("32 bytes make a key"))
    }
}

/// Form: version 1, nonce (12), ciphertext (32), tag (16); the storage key is the associated data.
#[async_trait]
impl Seal for Kek {
    fn kind(&self) -> &'static str {
        SealConfig::SHAMIR
    }

    async fn wrap(&self, root: &RootKey) -> Result<Wrapped, SealError> {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut sealed = Zeroizing::new(*root.expose());
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(ROOT_PATH), sealed.as_mut_slice())
            .map_err(|_| SealError::Damaged(root_path()))?;
        Ok(Wrapped(Bytes::from([&[VERSION], &nonce[..], &sealed[..], tag.as_ref()].concat())))
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<RootKey, SealError> {
        let damaged = || SealError::Damaged(root_path());
        let (version, rest) = wrapped.0.split_first().ok_or_else(damaged)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        if *version != VERSION || body.len() != 32 + AES_256_GCM.tag_len() {
            return Err(damaged());
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = self.cipher().open_in_place(nonce, Aad::from(ROOT_PATH), &mut body).map_err(|_| SealError::WrongKey)?;
        let root = Zeroizing::new(<[u8; 32]>::try_from(&*plain).map_err(|_| damaged())?);
        Ok(RootKey::from_bytes(*root))
    }
}

/// The only form there is.
const VERSION: u8 = 1;
