//! Pairs of a private and a public key: made, stored, signing and verifying.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::UnparsedPublicKey;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::rand_core::{CryptoRng, Error, RngCore};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BigUint, RsaPrivateKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::secret::stored_secret;
use crate::base::{Secret, random};

use super::algorithm::{Algorithm, Scheme};

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pair {
    /// What anybody may know.
    pub(super) public: Public,
    /// PKCS #1 of an RSA key, PKCS #8 of the others; base64.
    #[serde(with = "stored_secret")]
    private: Secret<String>,
}

/// The public half of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Public {
    /// Names the pair in tokens.
    pub(super) kid: String,
    /// How it signs.
    pub(super) algorithm: Algorithm,
    numbers: Numbers,
}

/// What a public key is made of, in base64url as in a JWK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Numbers {
    Rsa { n: String, e: String },
    Ec { x: String, y: String },
    Ed { x: String },
}

/// A private key that is ready to sign.
pub(super) enum Signer {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A pair could not be made or read; says at what.
#[derive(Debug, thiserror::Error)]
#[error("a signing key cannot be {0}")]
pub(super) struct Unusable(&'static str);

impl Pair {
    /// A fresh one. Takes a while for RSA: off the workers of requests.
    pub(super) fn make(algorithm: Algorithm) -> Result<Self, Unusable> {
        let unmade = || Unusable("made");
        let chance = SystemRandom::new();
        let (private, numbers) = match algorithm.scheme() {
            Scheme::Rsa(..) => make_rsa()?,
            Scheme::Ec(signing, ..) => {
                let document = EcdsaKeyPair::generate_pkcs8(signing, &chance).map_err(|_| unmade())?;
                let pair = EcdsaKeyPair::from_pkcs8(signing, document.as_ref(), &chance).map_err(|_| unmade())?;
                // A byte that says "not compressed", then both coordinates.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                (STANDARD.encode(document.as_ref()), Numbers::Ec { x: encoded(x), y: encoded(y) })
            }
            Scheme::Ed => {
                let document = Ed25519KeyPair::generate_pkcs8(&chance).map_err(|_| unmade())?;
                let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| unmade())?;
                (STANDARD.encode(document.as_ref()), Numbers::Ed { x: encoded(pair.public_key().as_ref()) })
            }
        };
        let pair = Self { public: Public { kid: random::uuid(), algorithm, numbers }, private: Secret::new(private) };
        // One that is not accepted back is not kept.
        pair.signer()?;
        Ok(pair)
    }

    /// Ready to sign.
    pub(super) fn signer(&self) -> Result<Signer, Unusable> {
        let unread = || Unusable("read");
        let document = STANDARD.decode(self.private.expose()).map(Secret::new).map_err(|_| unread())?;
        let document = document.expose();
        Ok(match self.public.algorithm.scheme() {
            Scheme::Rsa(encoding, _) => Signer::Rsa(RsaKeyPair::from_der(document).map_err(|_| unread())?, encoding),
            Scheme::Ec(signing, ..) => {
                Signer::Ec(EcdsaKeyPair::from_pkcs8(signing, document, &SystemRandom::new()).map_err(|_| unread())?)
            }
            Scheme::Ed => Signer::Ed(Ed25519KeyPair::from_pkcs8(document).map_err(|_| unread())?),
        })
    }
}

impl Signer {
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unusable> {
        let unused = |_| Unusable("used");
        let chance = SystemRandom::new();
        Ok(match self {
            Self::Rsa(pair, encoding) => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &chance, message, &mut out).map_err(unused)?;
                out
            }
            Self::Ec(pair) => pair.sign(&chance, message).map_err(unused)?.as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

impl Public {
    /// Whether a signature of a message is this pair's.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match (&self.numbers, self.algorithm.scheme()) {
            (Numbers::Rsa { n, e }, Scheme::Rsa(_, parameters)) => {
                let (Some(n), Some(e)) = (decoded(n), decoded(e)) else { return false };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Numbers::Ec { x, y }, Scheme::Ec(_, verifying, _)) => {
                let (Some(x), Some(y)) = (decoded(x), decoded(y)) else { return false };
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(verifying, point).verify(message, signature).is_ok()
            }
            (Numbers::Ed { x }, Scheme::Ed) => {
                let Some(x) = decoded(x) else { return false };
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }

    /// As a JWK (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match (&self.numbers, self.algorithm.scheme()) {
            (Numbers::Rsa { n, e }, _) => json!({ "kty": "RSA", "n": n, "e": e }),
            (Numbers::Ec { x, y }, Scheme::Ec(_, _, curve)) => json!({ "kty": "EC", "crv": curve, "x": x, "y": y }),
            (Numbers::Ec { x, y }, _) => json!({ "kty": "EC", "x": x, "y": y }),
            (Numbers::Ed { x }, _) => json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
        };
        if let Value::Object(jwk) = &mut jwk {
            jwk.insert("use".to_owned(), json!("sig"));
            jwk.insert("kid".to_owned(), json!(self.kid));
            jwk.insert("alg".to_owned(), json!(self.algorithm.as_str()));
        }
        jwk
    }
}

fn make_rsa() -> Result<(String, Numbers), Unusable> {
    let unmade = |_| Unusable("made");
    let made = RsaPrivateKey::new(&mut Chance, RSA_BITS).map_err(unmade)?;
    let mut primes: Vec<BigUint> = made.primes().to_vec();
    // The larger one first, as strict readers want it.
    primes.sort_by(|one, other| other.cmp(one));
    let (n, e, d) = (made.n().clone(), made.e().clone(), made.d().clone());
    let numbers = Numbers::Rsa { n: encoded(&n.to_bytes_be()), e: encoded(&e.to_bytes_be()) };
    let sorted = RsaPrivateKey::from_components(n, e, d, primes).map_err(unmade)?;
    let document = sorted.to_pkcs1_der().map_err(|_| Unusable("made"))?;
    Ok((STANDARD.encode(document.as_bytes()), numbers))
}

/// The operating system's chance, for a library that asks for a generator.
struct Chance;

impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(random::bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(random::bytes())
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        random::fill(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        random::fill(out);
        Ok(())
    }
}

impl CryptoRng for Chance {}

pub(super) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Spec `identity.md` §4.
const RSA_BITS: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pair_signs_its_public_half_verifies_and_no_other() {
        for algorithm in Algorithm::ALL {
            let (pair, other) = (Pair::make(algorithm).unwrap(), Pair::make(Algorithm::EdDsa).unwrap());
            let stored: Pair = serde_json::from_str(&serde_json::to_string(&pair).unwrap()).unwrap();
            let signature = stored.signer().unwrap().sign(b"message").unwrap();
            assert!(pair.public.verifies(b"message", &signature), "{algorithm:?}");
            assert!(!pair.public.verifies(b"massage", &signature), "{algorithm:?}");
            assert!(!other.public.verifies(b"message", &signature), "{algorithm:?}");
        }
    }

    #[test]
    fn a_jwk_says_what_a_verifier_needs_and_nothing_private() {
        for (algorithm, kty, numbers) in [
            (Algorithm::Rs256, "RSA", vec!["n", "e"]),
            (Algorithm::Es384, "EC", vec!["crv", "x", "y"]),
            (Algorithm::EdDsa, "OKP", vec!["crv", "x"]),
        ] {
            let jwk = Pair::make(algorithm).unwrap().public.jwk();
            let mut expected = vec!["alg", "kid", "kty", "use"];
            expected.extend(numbers);
            expected.sort_unstable();
            let keys: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
            assert_eq!((jwk["kty"].as_str(), keys), (Some(kty), expected.iter().map(|key| (*key).to_owned()).collect()));
        }
    }
}
