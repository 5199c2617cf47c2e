//! Endpoints of keys.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::Ttl;
use crate::mount::field::{CommaList, SignedSeconds, Text};
use crate::mount::{ApiError, Both, Ctx, Named, Nothing, Reply, Table};

use super::algorithm::Algorithm;
use super::key::{DEFAULT, NamedKey};
use super::{Identity, checked};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("oidc/key/", "Names of the keys that sign identity tokens.").list(list);
    table.at("oidc/key/{name}", "A key that signs identity tokens.").read(read).update(write).delete(delete);
    table.at("oidc/key/{name}/rotate", "Lets the next pair of a key sign from now on.").update(rotate);
}

/// Absent fields keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
struct KeyInput {
    /// How long a pair signs. Default: a day.
    rotation_period: Option<SignedSeconds>,
    /// How long it may verify after that. Default: a day.
    verification_ttl: Option<SignedSeconds>,
    /// Ids of the clients tokens may be signed for; `*` for all. Default: none.
    allowed_client_ids: Option<CommaList>,
    /// RS256, RS384, RS512, ES256, ES384 or `EdDSA`. Default: RS256.
    algorithm: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RotateInput {
    /// How long the pair that signed until now may verify. Default: what the key says.
    verification_ttl: Option<SignedSeconds>,
}

async fn list(identity: Arc<Identity>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::list(identity.oidc.key_names().await?))
}

async fn read(identity: Arc<Identity>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
    let Some(key) = identity.oidc.key(&named.name).await? else { return Ok(Reply::empty()) };
    Reply::object(&json!({
        "algorithm": key.algorithm.as_str(),
        "allowed_client_ids": key.allowed_client_ids,
        "rotation_period": key.rotation_period.as_seconds(),
        "verification_ttl": key.verification_ttl.as_seconds(),
    }))
}

async fn write(identity: Arc<Identity>, _: Ctx, Both(named, input): Both<Named, KeyInput>) -> Result<Reply, ApiError> {
    let (oidc, name) = (&identity.oidc, checked(&named.name)?);
    let _turn = oidc.turn().await;
    let found = oidc.key(name).await?;
    let old_ttl = found.as_ref().map(|key| key.verification_ttl);
    let mut key = found.unwrap_or_else(NamedKey::fresh);
    change(&mut key, &input)?;
    if old_ttl.is_some_and(|old| key.verification_ttl < old) {
        let roles = oidc.roles_of(name).await?;
        if roles.iter().any(|(_, role)| role.ttl > key.verification_ttl) {
            let seconds = key.verification_ttl.as_seconds();
            return Err(ApiError::invalid(format!(
                "unable to update key {name:?} because it is currently referenced by one or more roles with a token ttl greater \
                 than {seconds} seconds"
            )));
        }
    }
    oidc.fill_key(&mut key).await?;
    oidc.put_key(name, &key).await?;
    Ok(Reply::empty())
}

fn change(key: &mut NamedKey, input: &KeyInput) -> Result<(), ApiError> {
    let short = || ApiError::invalid("rotation_period must be at least one minute");
    if let Some(period) = input.rotation_period {
        key.rotation_period = period.ttl().ok_or_else(short)?;
    }
    if key.rotation_period < Ttl::minutes(1) {
        return Err(short());
    }
    if let Some(ttl) = input.verification_ttl {
        key.verification_ttl = ttl.ttl().ok_or_else(|| ApiError::invalid("verification_ttl cannot be negative"))?;
    }
    let longest = key.rotation_period.as_seconds().saturating_mul(10);
    if key.verification_ttl.as_seconds() > longest {
        return Err(ApiError::invalid("verification_ttl cannot be longer than 10x rotation_period"));
    }
    if let Some(ids) = &input.allowed_client_ids {
        key.allowed_client_ids.clone_from(ids);
    }
    if let Some(name) = &input.algorithm {
        let unknown = || ApiError::invalid(format!("unknown signing algorithm {:?}", name.0));
        key.algorithm = Algorithm::parse(name).ok_or_else(unknown)?;
    }
    Ok(())
}

async fn delete(identity: Arc<Identity>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
    let (oidc, name) = (&identity.oidc, named.name.as_str());
    if name == DEFAULT {
        return Err(ApiError::invalid(format!("deletion of key {DEFAULT:?} not allowed")));
    }
    let _turn = oidc.turn().await;
    let roles = oidc.roles_of(name).await?;
    if !roles.is_empty() {
        let names: Vec<_> = roles.into_iter().map(|(role, _)| role).collect();
        return Err(ApiError::invalid(format!(
            "unable to delete key {name:?} because it is currently referenced by these roles: {}",
            names.join(", ")
        )));
    }
    oidc.remove_key(name).await?;
    Ok(Reply::empty())
}

async fn rotate(identity: Arc<Identity>, _: Ctx, Both(named, input): Both<Named, RotateInput>) -> Result<Reply, ApiError> {
    let (oidc, name) = (&identity.oidc, named.name.as_str());
    let _turn = oidc.turn().await;
    let key = oidc.key(name).await?;
    let mut key = key.ok_or_else(|| ApiError::invalid(format!("no named key found at {name:?}")))?;
    let ttl = match input.verification_ttl {
        Some(ttl) => ttl.ttl().ok_or_else(|| ApiError::invalid("verification_ttl cannot be negative"))?,
        None => key.verification_ttl,
    };
    oidc.rotate_key(&mut key, ttl).await?;
    oidc.put_key(name, &key).await?;
    Ok(Reply::empty())
}
