//! Whether a token still says something: its signature, its issuer, its end, its entity.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::Timestamp;
use crate::mount::field::{SecretText, Text};
use crate::mount::{ApiError, Ctx, Reply, Table};

use super::jwt::Unchecked;
use super::{Identity, Oidc};

/// Declares its endpoint.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("oidc/introspect", "Whether an identity token counts.").update(introspect);
}

#[derive(Debug, Deserialize, JsonSchema)]
struct IntrospectInput {
    /// The token.
    #[serde(default)]
    token: SecretText,
    /// Whom it must be for. Default: anybody.
    #[serde(default)]
    client_id: Text,
}

async fn introspect(identity: Arc<Identity>, cx: Ctx, input: IntrospectInput) -> Result<Reply, ApiError> {
    match identity.oidc.judge(input.token.expose(), &input.client_id, cx.clock.now()).await? {
        None => Reply::bare(&json!({ "active": true })),
        Some(why) => Reply::bare(&json!({ "active": false, "error": why })),
    }
}

impl Oidc {
    /// Why a token does not count; `None`: it does.
    async fn judge(&self, token: &str, client_id: &str, now: Timestamp) -> Result<Option<String>, ApiError> {
        let unchecked = match Unchecked::parse(token) {
            Ok(unchecked) => unchecked,
            Err(why) => return Ok(Some(format!("error parsing token: {why}"))),
        };
        let published = self.published().await?;
        let public = published.find(&unchecked.kid, now).filter(|public| public.algorithm.as_str() == unchecked.alg);
        if !public.is_some_and(|public| public.verifies(unchecked.message.as_bytes(), &unchecked.signature)) {
            return Ok(Some("unable to validate the token signature".to_owned()));
        }
        let claims = &unchecked.claims;
        let wrong = if claims.iss != published.issuer() {
            Some("the issuer is another one")
        } else if claims.exp <= now.seconds() {
            Some("the token is expired")
        } else if !client_id.is_empty() && claims.aud != client_id {
            Some("the audience is another one")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Ok(Some(format!("error validating claims: {wrong}")));
        }
        Ok(match self.entities.find(&claims.sub).await? {
            None => Some("entity was not found".to_owned()),
            Some(principal) if principal.entity.disabled => Some("entity is disabled".to_owned()),
            Some(_) => None,
        })
    }
}
