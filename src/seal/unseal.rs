//! Shares come in one by one, until there are enough. Kept in memory of this process only.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::base::{Secret, random};

use super::{Kek, KeyRefused, SealConfig, SealError, Share, shamir};

/// Shares that were sent so far (spec `seal-and-barrier.md` §2, "Unseal state machine"). Whoever drives it keeps two callers
/// from submitting at once.
#[derive(Debug, Default)]
pub struct Unsealing {
    nonce: String,
    shares: Pile,
}

/// As `sys/seal-status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Different shares so far.
    pub count: usize,
    /// Names this attempt; empty before the first share.
    pub nonce: String,
}

/// What a share has led to.
#[derive(Debug)]
pub enum Step {
    /// More are needed.
    Waiting(Progress),
    /// The shares made a key; whether the right one, the stored root key tells ([`super::open`]). Progress is at zero again,
    /// whatever comes of it.
    Complete(Kek),
}

impl Unsealing {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress { count: self.shares.len(), nonce: self.nonce.clone() }
    }

    /// Forgets the shares.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a share as hex or base64. One that was sent before changes nothing. At the threshold all are consumed, also when
    /// they do not fit together.
    pub fn submit(&mut self, config: &SealConfig, key: &str) -> Result<Step, SealError> {
        if key.is_empty() {
            return Err(SealError::KeyMissing);
        }
        let share = decode(key).map_err(|fault| match fault {
            KeyFault::Encoding => SealError::KeyText(fault),
            KeyFault::Short | KeyFault::Long => SealError::KeyLength(fault),
        })?;
        if self.nonce.is_empty() {
            self.nonce = random::uuid();
        }
        self.shares.add(share);
        match self.shares.key(config) {
            None => Ok(Step::Waiting(self.progress())),
            Some(key) => {
                self.reset();
                Ok(Step::Complete(key?))
            }
        }
    }
}

/// Different shares.
#[derive(Debug, Default)]
pub(super) struct Pile(Vec<Share>);

impl Pile {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// `false` when it is there already.
    pub(super) fn add(&mut self, share: Share) -> bool {
        let is_new = !self.0.iter().any(|known| shamir::same(known, &share));
        if is_new {
            self.0.push(share);
        }
        is_new
    }

    /// What the shares make once they are enough, which uses them up.
    pub(super) fn key(&mut self, config: &SealConfig) -> Option<Result<Kek, KeyRefused>> {
        let is_enough = self.0.len() >= usize::from(config.secret_threshold);
        is_enough.then(|| config.collect(&std::mem::take(&mut self.0)))
    }
}

/// Why a text is not a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Neither hex nor base64.
    #[error("'key' must be a valid hex or base64 string")]
    Encoding,
    /// Fewer bytes than any key has.
    #[error("key is shorter than minimum {MIN_LEN} bytes")]
    Short,
    /// More bytes than a share has.
    #[error("key is longer than maximum {MAX_LEN} bytes")]
    Long,
}

/// A share of its text. Hex is tried first; hex digits of an unfitting number are taken for base64 if they are that as well.
pub fn decode(text: &str) -> Result<Share, KeyFault> {
    let fits = |share: &Share| (MIN_LEN..=MAX_LEN).contains(&share.expose().len());
    let hex = hex::decode(text).ok().map(Secret::new);
    let share = match hex {
        Some(share) if fits(&share) => share,
        hex => BASE64.decode(text).ok().map(Secret::new).or(hex).ok_or(KeyFault::Encoding)?,
    };
    match share.expose().len() {
        0..MIN_LEN => Err(KeyFault::Short),
        MIN_LEN..=MAX_LEN => Ok(share),
        _ => Err(KeyFault::Long),
    }
}

/// Standard alphabet with padding; unused bits at the end may be anything, as Go's decoder allows.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);
/// An AES-128 key, the shortest key that ever was a single share.
const MIN_LEN: usize = 16;
/// A key of 32 bytes and the share's x.
const MAX_LEN: usize = 33;
