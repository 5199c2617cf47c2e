//! Seal, shares and standing of a server that is alone (spec `sys.md` §1, §2, §12, §19).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::base::Secret;
use crate::mount::field::{SecretText, Text};
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};
use crate::seal::SealConfig;

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("seal-backend-status", "Whether the seal can be reached.").read(backend);
    for pattern in ["rekey/backup", "rekey/recovery-key-backup"] {
        table
            .at(pattern, "Shares kept for their holders, encrypted; this server deals shares in plain text and keeps none.")
            .read(backup)
            .delete(forget_backup)
            .top();
    }
    table.at("decode-token", "A root token out of its encoded form and the one-time pad.").update(decode).login();
    table.at("ha-status", "The nodes of this cluster: this one.").read(nodes).top();
    table.at("replication/status", "Whether there are copies of this cluster elsewhere.").read(replication).login();
    table.at("experiments", "What can be switched on before it is finished.").read(experiments);
}

/// A root token to decode.
#[derive(Debug, Deserialize, JsonSchema)]
struct Decode {
    /// As the last share's reply showed it.
    #[serde(default)]
    encoded_token: Text,
    /// The pad the attempt was begun with.
    otp: Option<SecretText>,
}

async fn backend(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    // A seal of shares is in nobody's hands but the operators'.
    Reply::object(&json!({ "healthy": true, "backends": [{ "name": SealConfig::SHAMIR, "healthy": true }] }))
}

async fn backup(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Err(ApiError::invalid("no backed-up keys found"))
}

async fn forget_backup(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::empty())
}

async fn decode(_: Arc<Sys>, _: Ctx, input: Decode) -> Result<Reply, ApiError> {
    let otp = input.otp.filter(|otp| !otp.expose().is_empty());
    let token = decoded(&input.encoded_token, otp.as_ref().map_or("", |otp| otp.expose()))?;
    Ok(data([("token", json!(token.expose()))]))
}

/// The pad taken off: both texts combined by exclusive or.
fn decoded(encoded: &str, otp: &str) -> Result<Secret<String>, ApiError> {
    let bad = |why: &str| ApiError::invalid(format!("error decoding root token: {why}"));
    if encoded.is_empty() || otp.is_empty() {
        return Err(ApiError::invalid("missing encoded_token or otp"));
    }
    let hidden = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|error| bad(&error.to_string()))?;
    if hidden.len() != otp.len() {
        return Err(bad("length of token and one-time password differ"));
    }
    let plain: Zeroizing<Vec<u8>> = Zeroizing::new(hidden.iter().zip(otp.bytes()).map(|(one, other)| one ^ other).collect());
    let text = std::str::from_utf8(&plain).map_err(|_| bad("the one-time password is not that of this token"))?;
    Ok(Secret::new(text.to_owned()))
}

async fn nodes(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let setting = |name: &str| active.settings.sanitized.get(name).cloned().unwrap_or_else(|| json!(""));
    Reply::object(&json!({ "nodes": [{
        "hostname": super::host_info::hostname(),
        "api_address": setting("api_addr"),
        "cluster_address": setting("cluster_addr"),
        "active_node": true,
        "last_echo": Value::Null,
        "echo_duration_ms": 0,
        "clock_skew_ms": 0,
        "version": active.settings.version,
    }]}))
}

async fn replication(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(data([("mode", json!("disabled"))]))
}

async fn experiments(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(data([("available", json!([])), ("enabled", json!([]))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_decoded_with_its_pad_only() {
        let hidden: Vec<u8> = b"hvs.abcd".iter().zip(b"12345678").map(|(one, other)| one ^ other).collect();
        let encoded = STANDARD_NO_PAD.encode(hidden);
        assert_eq!(decoded(&encoded, "12345678").unwrap().expose(), "hvs.abcd");
        assert!(decoded(&encoded, "1234567").is_err());
        assert!(decoded("", "12345678").is_err());
        assert!(decoded("%%", "1").is_err());
    }
}
