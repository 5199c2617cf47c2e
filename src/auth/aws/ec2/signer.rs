//! Certificates that documents may be signed with, and whether a signature is theirs.
//!
//! They are trusted as they are: no chain, no revocation, and no end, but that a time of signing must lie within theirs
//! (spec `aws-auth-method.md` §6.2, §6.3). RSA is `ring`'s, DSA a crate's of its own, since TLS libraries have dropped it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dsa::pkcs8::DecodePublicKey as _;
use dsa::signature::hazmat::PrehashVerifier as _;
use ring::{digest, signature};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// The hash that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// Of AWS's DSA signatures.
    Sha1,
    /// Of all others.
    Sha256,
}

/// A certificate that is trusted.
#[derive(Clone)]
pub(super) struct Anchor {
    /// DER of the issuer's name.
    pub(super) issuer: Vec<u8>,
    /// As the certificate has it.
    pub(super) serial: Vec<u8>,
    /// Seconds since 1970: from, until.
    validity: (u64, u64),
    key: Key,
}

#[derive(Clone, PartialEq)]
enum Key {
    /// DER of the `RSAPublicKey`.
    Rsa(Vec<u8>),
    Dsa(Box<dsa::VerifyingKey>),
}

/// Why a certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnchorError {
    /// Not one block of PEM that says `CERTIFICATE`.
    #[error("invalid certificate; should be one PEM block only")]
    Pem,
    /// No X.509.
    #[error("invalid certificate; it is not X.509")]
    Form,
    /// A key of another kind or size than is taken.
    #[error("invalid certificate; its key is neither RSA of 1024 to 4096 bits nor DSA of 1024 to 3072 bits")]
    Key,
}

impl Hash {
    /// The hash of a message.
    pub(super) fn of(self, message: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, message)
    }
}

impl Anchor {
    /// From one block of PEM.
    pub(super) fn from_pem(text: &str) -> Result<Self, AnchorError> {
        Self::from_der(&block(text, "CERTIFICATE").ok_or(AnchorError::Pem)?)
    }

    /// From DER.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, AnchorError> {
        if der.len() > LARGEST {
            return Err(AnchorError::Form);
        }
        let certificate = Certificate::from_der(der).map_err(|_| AnchorError::Form)?.tbs_certificate;
        let validity = certificate.validity;
        Ok(Self {
            issuer: certificate.issuer.to_der().map_err(|_| AnchorError::Form)?,
            serial: certificate.serial_number.as_bytes().to_vec(),
            validity: (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()),
            key: Key::of(&certificate.subject_public_key_info)?,
        })
    }

    /// Whether it signed that message.
    pub(super) fn signed(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        match (&self.key, hash) {
            (Key::Rsa(key), Hash::Sha256) => {
                rsa(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key, message, signature)
            }
            (Key::Rsa(key), Hash::Sha1) => rsa(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, key, message, signature),
            (Key::Dsa(key), hash) => {
                let parts = dsa::Signature::try_from(signature);
                parts.is_ok_and(|parts| key.verify_prehash(hash.of(message).as_ref(), &parts).is_ok())
            }
        }
    }

    /// Whether its key is RSA.
    pub(super) fn is_rsa(&self) -> bool {
        matches!(self.key, Key::Rsa(_))
    }

    /// Whether both have the same key.
    pub(super) fn has_key_of(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether it was valid then, in seconds since 1970.
    pub(super) fn is_valid_at(&self, seconds: u64) -> bool {
        (self.validity.0..=self.validity.1).contains(&seconds)
    }
}

impl Key {
    fn of(info: &x509_cert::spki::SubjectPublicKeyInfoOwned) -> Result<Self, AnchorError> {
        let bits = info.subject_public_key.as_bytes().ok_or(AnchorError::Key)?;
        match info.algorithm.oid.to_string().as_str() {
            RSA_KEY => {
                let key =
                    <rsa::RsaPublicKey as rsa::pkcs1::DecodeRsaPublicKey>::from_pkcs1_der(bits).map_err(|_| AnchorError::Key)?;
                let size = rsa::traits::PublicKeyParts::n(&key).bits();
                (1024..=4096).contains(&size).then(|| Self::Rsa(bits.to_vec())).ok_or(AnchorError::Key)
            }
            DSA_KEY => {
                // Its size bounds what may follow: numbers of that length are raised to powers.
                let der = info.to_der().ok().filter(|der| der.len() <= LARGEST_DSA).ok_or(AnchorError::Key)?;
                let key = dsa::VerifyingKey::from_public_key_der(&der).map_err(|_| AnchorError::Key)?;
                let (p, q, g) = (key.components().p(), key.components().q(), key.components().g());
                let fits = (1024..=3072).contains(&p.bits()) && (160..=256).contains(&q.bits()) && g < p && key.y() < p;
                let is_odd = |number: &dsa::BigUint| number.to_bytes_le().first().is_some_and(|byte| byte & 1 == 1);
                (fits && is_odd(p) && is_odd(q)).then(|| Self::Dsa(Box::new(key))).ok_or(AnchorError::Key)
            }
            _ => Err(AnchorError::Key),
        }
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").field("serial", &hex::encode(&self.serial)).finish_non_exhaustive()
    }
}

fn rsa(algorithm: &'static signature::RsaParameters, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

/// What the only block of PEM in a text holds, if it is called so.
pub(super) fn block(text: &str, label: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inner = inner.strip_suffix(&format!("-----END {label}-----"))?;
    let digits: String = inner.split_ascii_whitespace().collect();
    // A second block would have brought dashes.
    BASE64.decode(digits).ok()
}

/// Object identifiers of keys (RFC 3279 §2.3).
const RSA_KEY: &str = "1.2.840.113549.1.1.1";
const DSA_KEY: &str = "1.2.840.10040.4.1";

/// Bytes of a certificate.
const LARGEST: usize = 16 * 1024;

/// Bytes of a DSA key with its parameters: one of 3072 bits has some twelve hundred.
const LARGEST_DSA: usize = 1400;
