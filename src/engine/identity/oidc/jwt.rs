//! The form of a signed token (RFC 7519, compact).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::claims::Claims;
use super::pair::{Signer, Unusable, decoded, encoded};

/// A token that can be read; nobody has checked its signature.
#[derive(Debug)]
pub(super) struct Unchecked<'t> {
    pub(super) kid: String,
    pub(super) alg: String,
    pub(super) claims: Claims,
    /// What is signed.
    pub(super) message: &'t str,
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Signs claims.
pub(super) fn signed(signer: &Signer, alg: &str, kid: &str, claims: &Map<String, Value>) -> Result<String, Unusable> {
    let header = json!({ "alg": alg, "kid": kid });
    let message = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(json!(claims).to_string().as_bytes()));
    let signature = encoded(&signer.sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

impl<'t> Unchecked<'t> {
    /// Reads a token; what is wrong with its form.
    pub(super) fn parse(token: &'t str) -> Result<Self, String> {
        if token.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or("compact JWS format must have three parts")?;
        let (header, claims) = message.split_once('.').ok_or("compact JWS format must have three parts")?;
        let header: Header = part(header).ok_or("its header cannot be read")?;
        let claims = part(claims).ok_or("its claims cannot be read")?;
        let signature = decoded(signature).ok_or("its signature cannot be read")?;
        Ok(Self { kid: header.kid, alg: header.alg, claims, message, signature })
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&decoded(text)?).ok()
}

/// In bytes; a template may fill a good part of it.
const LONGEST: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_told_so() {
        for text in ["", "a", "a.b", "a.b.c", "e30.e30.x", "....", &"x".repeat(LONGEST + 1)] {
            assert!(Unchecked::parse(text).is_err(), "{text:.20}");
        }
    }
}
