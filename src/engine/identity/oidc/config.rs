//! Who tokens say they are from.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};

use super::{Identity, Oidc};

/// Declares its endpoint.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("oidc/config", "Who identity tokens say they are from.").read(read).update(write);
}

/// What is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Config {
    /// Empty: the server's address.
    issuer: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ConfigInput {
    /// Scheme, host and port. Empty: the server's own address.
    issuer: Option<Text>,
}

async fn read(identity: Arc<Identity>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::field("issuer", json!(identity.oidc.config().await?.issuer)))
}

async fn write(identity: Arc<Identity>, _: Ctx, input: ConfigInput) -> Result<Reply, ApiError> {
    let Some(issuer) = input.issuer.map(|text| text.0) else { return Ok(Reply::empty()) };
    if !issuer.is_empty() && !is_origin(&issuer) {
        return Err(ApiError::invalid(
            "invalid issuer, which must include only a scheme, host, and optional port (e.g. https://example.com:8200)",
        ));
    }
    identity.oidc.view.put(CONFIG, &Config { issuer: issuer.clone() }).await?;
    if issuer.is_empty() {
        return Ok(Reply::empty());
    }
    Ok(Reply::warning(format!(
        "All identity tokens, those already given among them, are from now on checked against the issuer {issuer:?}. An empty \
         issuer brings back the server's own address."
    )))
}

impl Oidc {
    async fn config(&self) -> Result<Config, ApiError> {
        Ok(self.view.read(CONFIG).await?.unwrap_or_default())
    }

    /// As it stands in tokens.
    pub(super) async fn issuer(&self) -> Result<String, ApiError> {
        let set = self.config().await?.issuer;
        let origin = if set.is_empty() { &self.address } else { &set };
        Ok(format!("{origin}/v1/identity/oidc"))
    }
}

/// Whether a text is a scheme, a host and perhaps a port.
fn is_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let plain = !authority.contains('@') && !authority.ends_with(':');
    plain && authority.parse::<http::uri::Authority>().is_ok_and(|parsed| !parsed.host().is_empty() && parsed == authority)
}

const CONFIG: &str = "config";

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn an_issuer_is_scheme_host_and_port() {
        for good in ["https://example.com:8200", "http://127.0.0.1:8200", "https://example.com", "https://[::1]:8200"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://a/b",
            "https://a/",
            "https://a?x",
            "https://u@a",
            "https://a:",
            "https://a b",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
