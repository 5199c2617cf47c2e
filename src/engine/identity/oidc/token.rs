//! Making a token for the caller's entity.

use std::sync::Arc;

use serde_json::json;

use crate::base::Ttl;
use crate::mount::{ApiError, Ctx, Named, Reply, Table};

use super::claims::Facts;
use super::key::Pairs;
use super::pair::Signer;
use super::template::Template;
use super::{Identity, Oidc, jwt};

/// Declares its endpoint.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("oidc/token/{name}", "A signed statement about the caller's entity.").read(make).issues();
}

async fn make(identity: Arc<Identity>, cx: Ctx, named: Named) -> Result<Reply, ApiError> {
    let (oidc, name) = (&identity.oidc, named.name.as_str());
    let role = oidc.role(name).await?.ok_or_else(|| ApiError::invalid(format!("role {name:?} not found")))?;
    let nobody = || ApiError::invalid("no entity associated with the request's token");
    let entity_id = cx.caller.token.as_ref().map(|token| token.entity_id.as_str()).filter(|id| !id.is_empty());
    let principal = oidc.entities.find(entity_id.ok_or_else(nobody)?).await?.ok_or_else(nobody)?;
    let unknown = || ApiError::invalid(format!("key {:?} not found", role.key));
    let key = oidc.key(&role.key).await?.ok_or_else(unknown)?;
    if !key.allows(&role.client_id) {
        return Err(ApiError::invalid(format!(
            "the key {:?} does not list the client ID of the role {name:?} as an allowed client ID",
            role.key
        )));
    }
    let key = oidc.ready_key(&role.key).await?.ok_or_else(unknown)?;
    let pairs = key.pairs.as_ref().ok_or_else(|| ApiError::internal("a key without pairs"))?;
    let now = cx.clock.now();
    // No longer than the public half is sure to be published.
    let ttl: Ttl = role.ttl.min(pairs.until.plus(key.verification_ttl).since(now));
    let issuer = oidc.issuer().await?;
    let facts =
        Facts { issuer: &issuer, entity: &principal.entity.id, client_id: &role.client_id, issued: now, end: now.plus(ttl) };
    let claims = facts.with(Template::parse(&role.template)?.claims(&principal, now)?);
    let signer = oidc.signer(pairs)?;
    let public = &pairs.signing.public;
    let token = jwt::signed(&signer, public.algorithm.as_str(), &public.kid, &claims).map_err(ApiError::internal)?;
    Reply::object(&json!({ "client_id": role.client_id, "token": token, "ttl": ttl.as_seconds() }))
}

impl Oidc {
    /// The pair that signs, ready to do so.
    fn signer(&self, pairs: &Pairs) -> Result<Arc<Signer>, ApiError> {
        let kid = pairs.signing.public.kid.as_str();
        if let Some(signer) = self.signers.get(kid) {
            return Ok(signer);
        }
        let signer = Arc::new(pairs.signing.signer().map_err(ApiError::internal)?);
        self.signers.insert(kid.into(), Arc::clone(&signer));
        Ok(signer)
    }
}
