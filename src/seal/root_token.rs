//! A root token for those who hold the unseal shares: collected one by one, and told so that only who began it can read it
//! (spec `sys.md` §2, `generate-root`).
//!
//! The machine does not touch storage or tokens: whoever drives it checks the key, makes the token, and gives it to
//! [`RootGeneration::finish`]. In memory only.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::base::{Secret, random};

use super::unseal::{Pile, decode};
use super::{Fault, Kek, KeyFault, KeyRefused, SealConfig, SealError};

/// At most one attempt to make a root token.
#[derive(Debug, Default)]
pub struct RootGeneration {
    attempt: Option<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    nonce: String,
    otp: Secret<String>,
    shares: Pile,
}

/// Body of the replies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootStatus {
    /// Names the attempt; empty for none.
    pub nonce: String,
    /// Whether there is one.
    pub started: bool,
    /// Different shares so far.
    pub progress: usize,
    /// Shares needed.
    pub required: u8,
    /// Whether the token is made.
    pub complete: bool,
    /// The token, hidden by the one-time pad.
    pub encoded_token: String,
    /// The same.
    pub encoded_root_token: String,
    /// Always empty: PGP is not supported.
    pub pgp_fingerprint: String,
    /// The pad, when the server made it; in the reply that begins the attempt and no other.
    pub otp: String,
    /// Characters a pad must have.
    pub otp_length: usize,
}

/// What a share has led to.
#[derive(Debug)]
pub enum RootStep {
    /// More are needed.
    Waiting(RootStatus),
    /// The shares made a key. If it opens the stored root key, make a root token and call [`RootGeneration::finish`]; else
    /// answer with [`RootGenerationError::aborted`]. The attempt stays, without shares.
    Authenticate(Kek),
}

impl RootGeneration {
    /// Length of a root token and of the pad that hides it.
    pub const OTP_LENGTH: usize = 28;

    /// How far it has come. `config` is the seal in force.
    pub fn status(&self, config: &SealConfig) -> RootStatus {
        let attempt = self.attempt.as_ref();
        RootStatus {
            nonce: attempt.map(|attempt| attempt.nonce.clone()).unwrap_or_default(),
            started: attempt.is_some(),
            progress: attempt.map_or(0, |attempt| attempt.shares.len()),
            required: config.secret_threshold,
            complete: false,
            encoded_token: String::new(),
            encoded_root_token: String::new(),
            pgp_fingerprint: String::new(),
            otp: String::new(),
            otp_length: Self::OTP_LENGTH,
        }
    }

    /// Begins an attempt with the caller's pad, or with a fresh one, which the status then holds.
    pub fn begin(&mut self, config: &SealConfig, otp: &str, pgp_key: &str) -> Result<RootStatus, RootGenerationError> {
        if !otp.is_empty() && otp.len() != Self::OTP_LENGTH {
            return Err(RootGenerationError::OtpLength);
        }
        if !pgp_key.is_empty() {
            return Err(RootGenerationError::Pgp);
        }
        if self.attempt.is_some() {
            return Err(RootGenerationError::InProgress);
        }
        let fresh = if otp.is_empty() { random::base62(Self::OTP_LENGTH) } else { String::new() };
        let pad = if otp.is_empty() { fresh.clone() } else { otp.to_owned() };
        self.attempt = Some(Attempt { nonce: random::uuid(), otp: Secret::new(pad), shares: Pile::default() });
        Ok(RootStatus { otp: fresh, ..self.status(config) })
    }

    /// Takes a share as hex or base64.
    pub fn update(&mut self, config: &SealConfig, key: &str, nonce: &str) -> Result<RootStep, RootGenerationError> {
        if key.is_empty() {
            return Err(RootGenerationError::KeyMissing);
        }
        let share = decode(key).map_err(|fault| match fault {
            KeyFault::Encoding => RootGenerationError::KeyText(fault),
            KeyFault::Short | KeyFault::Long => RootGenerationError::KeyLength(fault),
        })?;
        let attempt = self.attempt.as_mut().ok_or(RootGenerationError::NotInProgress)?;
        if nonce != attempt.nonce {
            return Err(RootGenerationError::Nonce(attempt.nonce.clone()));
        }
        if !attempt.shares.add(share) {
            return Err(RootGenerationError::Duplicate);
        }
        match attempt.shares.key(config) {
            None => Ok(RootStep::Waiting(self.status(config))),
            Some(key) => key.map(RootStep::Authenticate).map_err(RootGenerationError::Aborted),
        }
    }

    /// Ends the attempt with its token.
    pub fn finish(&mut self, config: &SealConfig, token: &Secret<String>) -> Result<RootStatus, RootGenerationError> {
        let status = self.status(config);
        let attempt = self.attempt.take().ok_or(RootGenerationError::NotInProgress)?;
        let encoded = encode(token.expose(), attempt.otp.expose()).ok_or(RootGenerationError::TokenLength)?;
        Ok(RootStatus {
            progress: config.secret_threshold.into(),
            complete: true,
            encoded_root_token: encoded.clone(),
            encoded_token: encoded,
            ..status
        })
    }

    /// Forgets the attempt, if there is one.
    pub fn cancel(&mut self) {
        self.attempt = None;
    }
}

/// Hides a token: its bytes and the pad's, combined by exclusive or, as base64 without padding. `None` when their lengths
/// differ.
fn encode(token: &str, otp: &str) -> Option<String> {
    (token.len() == otp.len()).then(|| STANDARD_NO_PAD.encode(combined(token.as_bytes(), otp.as_bytes())))
}

/// Undoes what [`RootGeneration::finish`] did (`sys/decode-token`); padding is allowed. `None` when the pad is not that of the
/// token.
pub fn decode_token(encoded: &str, otp: &str) -> Option<Secret<String>> {
    let hidden = STANDARD_NO_PAD.decode(encoded).or_else(|_| STANDARD.decode(encoded)).ok()?;
    let is_same_length = hidden.len() == otp.len();
    let plain = combined(&hidden, otp.as_bytes());
    let text = is_same_length.then(|| std::str::from_utf8(&plain).ok()).flatten()?;
    Some(Secret::new(text.to_owned()))
}

fn combined(one: &[u8], other: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(one.iter().zip(other).map(|(one, other)| one ^ other).collect())
}

/// Why there is no root token. The texts are the API's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RootGenerationError {
    /// A pad that does not fit a token.
    #[error("OTP string has incorrect length")]
    OtpLength,
    /// PGP instead of a pad.
    #[error("error parsing PGP key: encryption with PGP keys is not supported by this server")]
    Pgp,
    /// One at a time.
    #[error("root generation already in progress")]
    InProgress,
    /// Nobody began.
    #[error("no root generation in progress")]
    NotInProgress,
    /// No share.
    #[error("'key' must be specified in request body as JSON")]
    KeyMissing,
    /// Not a share, by its text alone.
    #[error("{0}")]
    KeyText(KeyFault),
    /// Not a share, by its length.
    #[error("invalid key: {0}")]
    KeyLength(KeyFault),
    /// Meant for another attempt.
    #[error("incorrect nonce supplied; nonce for this root generation operation is \"{0}\"")]
    Nonce(String),
    /// The same share again.
    #[error("given key has already been provided during this generation operation")]
    Duplicate,
    /// The shares are not those of the seal.
    #[error("root generation aborted: unable to authenticate: {0}")]
    Aborted(KeyRefused),
    /// The token made does not fit its pad.
    #[error("the root token is not of {} characters", RootGeneration::OTP_LENGTH)]
    TokenLength,
    /// Below.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl RootGenerationError {
    /// The answer when the key of the shares does not open the stored root key.
    pub fn aborted(error: SealError) -> Self {
        match error {
            SealError::WrongKey => Self::Aborted(KeyRefused::Wrong),
            error => Self::Seal(error),
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TokenLength => Fault::Internal,
            Self::Seal(error) => error.fault(),
            _ => Fault::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Share;

    fn config() -> SealConfig {
        SealConfig::shamir(3, 2).unwrap()
    }

    fn shares() -> (Kek, Vec<String>) {
        let kek = Kek::generate();
        let shares = config().deal(&kek).unwrap();
        (kek, shares.iter().map(|share: &Share| hex::encode(share.expose())).collect())
    }

    fn error(step: Result<RootStep, RootGenerationError>) -> String {
        step.unwrap_err().to_string()
    }

    #[test]
    fn the_shares_lead_to_a_token_only_the_pad_reveals() {
        let (kek, shares) = shares();
        let mut generation = RootGeneration::default();
        let begun = generation.begin(&config(), "", "").unwrap();
        assert_eq!((begun.otp.len(), begun.started, begun.required), (28, true, 2));
        assert_eq!(generation.status(&config()).otp, "", "told once");
        assert!(matches!(
            generation.update(&config(), &shares[0], &begun.nonce),
            Ok(RootStep::Waiting(RootStatus { progress: 1, .. }))
        ));
        let Ok(RootStep::Authenticate(key)) = generation.update(&config(), &shares[2], &begun.nonce) else { panic!() };
        assert!(key.is(&kek));
        let token = Secret::from("hvs.012345678901234567890123");
        let done = generation.finish(&config(), &token).unwrap();
        assert!(done.complete && done.started && done.progress == 2 && done.nonce == begun.nonce);
        assert_eq!(done.encoded_token, done.encoded_root_token);
        assert!(!done.encoded_token.contains('='));
        assert!(decode_token(&done.encoded_token, &begun.otp).unwrap().matches(token.expose()));
        assert!(!generation.status(&config()).started);
    }

    #[test]
    fn the_encoding_is_that_of_the_api() {
        // Worked out by hand: 'h'^'A' = 0x29, 'v'^'B' = 0x34, 's'^'C' = 0x30, '.'^'D' = 0x6a.
        assert_eq!(encode("hvs.", "ABCD").unwrap(), "KTQwag");
        assert!(decode_token("KTQwag", "ABCD").unwrap().matches("hvs."));
        assert!(decode_token("KTQwag==", "ABCD").unwrap().matches("hvs."));
        for (encoded, otp) in [("KTQwag", "ABC"), ("!", "ABCD"), ("", "A"), ("/w", "A")] {
            assert!(decode_token(encoded, otp).is_none(), "{encoded} {otp}");
        }
    }

    #[test]
    fn every_refusal_has_its_text_and_keeps_the_attempt() {
        let (_, shares) = shares();
        let mut generation = RootGeneration::default();
        let config = config();
        assert_eq!(error(generation.update(&config, &shares[0], "x")), "no root generation in progress");
        for (otp, pgp, text) in [
            ("short", "", "OTP string has incorrect length"),
            ("", "x", "error parsing PGP key: encryption with PGP keys is not supported by this server"),
        ] {
            assert_eq!(generation.begin(&config, otp, pgp).unwrap_err().to_string(), text);
        }
        let own = generation.begin(&config, &"x".repeat(28), "").unwrap();
        assert_eq!(own.otp, "", "the caller knows its own");
        assert_eq!(generation.begin(&config, "", "").unwrap_err().to_string(), "root generation already in progress");
        let nonce = own.nonce.as_str();
        let wrong = format!("incorrect nonce supplied; nonce for this root generation operation is \"{nonce}\"");
        assert_eq!(error(generation.update(&config, &shares[0], "bad")), wrong);
        assert_eq!(error(generation.update(&config, "", nonce)), "'key' must be specified in request body as JSON");
        assert_eq!(error(generation.update(&config, "abcd", nonce)), "invalid key: key is shorter than minimum 16 bytes");
        assert_eq!(error(generation.update(&config, "zz!!", nonce)), "'key' must be a valid hex or base64 string");
        generation.update(&config, &shares[0], nonce).unwrap();
        let twice = "given key has already been provided during this generation operation";
        assert_eq!(error(generation.update(&config, &shares[0], nonce)), twice);
        assert_eq!(generation.status(&config).progress, 1);
        let aborted = error(generation.update(&config, &"ab".repeat(32), nonce));
        assert!(aborted.starts_with("root generation aborted: unable to authenticate: "), "{aborted}");
        let after = generation.status(&config);
        assert_eq!((after.progress, after.nonce.as_str()), (0, nonce));
        generation.cancel();
        assert!(!generation.status(&config).started);
    }
}
