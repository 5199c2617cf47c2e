//! Random bytes and hashes (spec `sys.md` §8).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sha3::{Digest as _, Sha3_224, Sha3_256, Sha3_384, Sha3_512};
use zeroize::Zeroizing;

use crate::base::random;
use crate::mount::field::{Int, Text};
use crate::mount::{ApiError, Ctx, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    // The one segment of the second is a source or a number of bytes.
    for pattern in ["tools/random", "tools/random/{source}", "tools/random/{source}/{urlbytes}"] {
        table.at(pattern, "Random bytes.").update(random_bytes);
    }
    for pattern in ["tools/hash", "tools/hash/{urlalgorithm}"] {
        table.at(pattern, "The hash of what it is given.").update(hash);
    }
}

/// Bytes to make.
#[derive(Debug, Deserialize, JsonSchema)]
struct Random {
    /// Where they come from: platform, seal or all.
    #[serde(default)]
    source: Text,
    /// How many, as part of the path.
    #[serde(default)]
    urlbytes: Text,
    /// How many.
    bytes: Option<Int>,
    /// Their form: base64 or hex.
    format: Option<Text>,
}

/// What to hash.
#[derive(Debug, Deserialize, JsonSchema)]
struct Hash {
    /// The input, in base64.
    #[serde(default)]
    input: Text,
    /// The hash function: sha2-224, sha2-256, sha2-384, sha2-512, sha3-224, sha3-256, sha3-384 or sha3-512.
    algorithm: Option<Text>,
    /// The same as part of the path.
    #[serde(default)]
    urlalgorithm: Text,
    /// The form of the sum: hex or base64.
    format: Option<Text>,
}

async fn random_bytes(_: Arc<Sys>, _: Ctx, input: Random) -> Result<Reply, ApiError> {
    let count = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            ApiError::invalid(format!("error parsing url-set byte count: strconv.Atoi: parsing {text:?}: invalid syntax"))
        })
    };
    let asked = input.bytes.map_or(RANDOM_BYTES, |bytes| bytes.0);
    let (source, bytes) = match (input.source.as_str(), input.urlbytes.as_str()) {
        ("", _) => ("platform", asked),
        (source @ ("platform" | "seal" | "all"), "") => (source, asked),
        (number, "") => ("platform", count(number)?),
        (source, number) => (source, count(number)?),
    };
    if bytes < 1 {
        return Err(ApiError::invalid("'bytes' cannot be less than 1"));
    }
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= MOST_BYTES);
    let bytes = bytes.ok_or_else(|| ApiError::invalid(format!("'bytes' should be less than {MOST_BYTES}")))?;
    let form = input.format.as_deref().map_or("base64", String::as_str);
    let form = Form::named(form)
        .ok_or_else(|| ApiError::invalid(format!("unsupported encoding format {form:?}; must be \"hex\" or \"base64\"")))?;
    if !matches!(source, "platform" | "seal" | "all") {
        let text = format!("unsupported entropy source {source:?}; must be \"platform\" or \"seal\", or \"all\"");
        return Err(ApiError::invalid(text));
    }
    let mut made = Zeroizing::new(vec![0; bytes]);
    random::fill(&mut made);
    let reply = data([("random_bytes", json!(form.text(&made)))]);
    Ok(if source == "platform" { reply } else { reply.warn("the seal of this server gives no entropy; the platform's was used") })
}

async fn hash(_: Arc<Sys>, _: Ctx, input: Hash) -> Result<Reply, ApiError> {
    let plain = STANDARD.decode(input.input.as_bytes());
    let plain = plain.map_err(|error| ApiError::invalid(format!("unable to decode input as base64: {error}")))?;
    let form = input.format.as_deref().map_or("hex", String::as_str);
    let form = Form::named(form)
        .ok_or_else(|| ApiError::invalid(format!("unsupported encoding format {form}; must be \"hex\" or \"base64\"")))?;
    let algorithm = match input.urlalgorithm.as_str() {
        "" => input.algorithm.as_deref().map_or("sha2-256", String::as_str),
        algorithm => algorithm,
    };
    let of_ring = |algorithm| digest::digest(algorithm, &plain).as_ref().to_vec();
    let sum = match algorithm {
        "sha2-224" => rsa::sha2::Sha224::digest(&plain).to_vec(),
        "sha2-256" => of_ring(&digest::SHA256),
        "sha2-384" => of_ring(&digest::SHA384),
        "sha2-512" => of_ring(&digest::SHA512),
        "sha3-224" => Sha3_224::digest(&plain).to_vec(),
        "sha3-256" => Sha3_256::digest(&plain).to_vec(),
        "sha3-384" => Sha3_384::digest(&plain).to_vec(),
        "sha3-512" => Sha3_512::digest(&plain).to_vec(),
        other => return Err(ApiError::invalid(format!("unsupported algorithm {other}"))),
    };
    Ok(data([("sum", json!(form.text(&sum)))]))
}

#[derive(Clone, Copy)]
enum Form {
    Hex,
    Base64,
}

impl Form {
    fn named(name: &str) -> Option<Self> {
        match name {
            "hex" => Some(Self::Hex),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

/// Made when nobody says how many (spec §8).
const RANDOM_BYTES: i64 = 32;
/// Made at once at most (spec §8).
const MOST_BYTES: usize = 128 * 1024;
