//! Wrapped replies: a token that can be used once, with the reply in its cubbyhole (spec `cubbyhole-and-wrapping.md`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::barrier::Txn;
use crate::base::time::rfc3339_nano;
use crate::base::{MountId, Secret, Ttl};
use crate::mount::{ApiError, Asked, ErrorKind, WrapInfo};
use crate::policy::builtin::RESPONSE_WRAPPING;
use crate::token::{NewToken, TokenInfo};

use super::Active;
use super::access::of_token;

/// What is wrapped.
pub(super) struct Inner<'a> {
    /// The whole reply, as JSON.
    pub(super) text: String,
    /// The path whose reply it is.
    pub(super) path: &'a str,
    /// The accessor of what is inside; empty for none.
    pub(super) accessor: String,
}

/// What a wrapping token says of itself, in its cubbyhole at [`WRAP_INFO`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    /// As given, in seconds.
    pub(super) creation_ttl: Ttl,
    /// RFC 3339.
    pub(super) creation_time: String,
    /// The path whose reply is wrapped.
    pub(super) creation_path: String,
    /// The accessor of what is inside; empty for none.
    #[serde(default)]
    pub(super) wrapped_accessor: String,
}

/// The smaller of what the caller and the endpoint want; `None`: the reply is not wrapped.
pub(super) fn effective_ttl(asked: Option<Ttl>, wanted: Option<Ttl>) -> Option<Ttl> {
    [asked, wanted].into_iter().flatten().filter_map(Ttl::nonzero).min()
}

/// Adds a wrapping token and what it wraps to a batch.
pub(super) async fn wrap(
    active: &Active,
    display_name: &str,
    inner: &Inner<'_>,
    ttl: Ttl,
    txn: &mut Txn,
) -> Result<(Arc<TokenInfo>, WrapInfo), ApiError> {
    let mut new = NewToken::service(vec![RESPONSE_WRAPPING.to_owned()], inner.path, token_mount(active));
    new.display_name = display_name.to_owned();
    new.num_uses = 1;
    new.ttl = ttl;
    new.explicit_max_ttl = ttl;
    new.renewable = false;
    let made = active.tokens.create(&new, txn).await.map_err(of_token)?;
    let facts = Facts {
        creation_ttl: ttl,
        creation_time: rfc3339_nano(active.clock.precise()),
        creation_path: inner.path.to_owned(),
        wrapped_accessor: inner.accessor.clone(),
    };
    let cubbyhole = active.tokens.cubbyhole(&made.info.key);
    let response = Map::from_iter([("response".to_owned(), Value::String(inner.text.clone()))]);
    txn.put(&cubbyhole, RESPONSE, &response)?.put(&cubbyhole, WRAP_INFO, &facts)?;
    let info = WrapInfo {
        token: made.token,
        accessor: made.info.accessor.as_ref().map(|accessor| accessor.as_str().to_owned()).unwrap_or_default(),
        ttl,
        creation_time: facts.creation_time,
        creation_path: facts.creation_path,
        wrapped_accessor: facts.wrapped_accessor,
    };
    Ok((made.info, info))
}

/// Whether a path speaks of a wrapping token, which is checked before anything else.
pub(super) fn is_checked(path: &str) -> bool {
    path.starts_with("sys/w") && matches!(path, "sys/wrapping/lookup" | "sys/wrapping/unwrap" | "sys/wrapping/rewrap")
}

/// Checks the wrapping token of a path that [`is_checked`], before policies are asked and uses counted.
pub(super) async fn check(active: &Active, asked: &Asked, data: &Map<String, Value>) -> Result<(), ApiError> {
    let token = presented(asked, data)?;
    find(active, token.expose()).await.map(drop)
}

/// The wrapping token a request speaks of: that of its body, else its own.
pub(super) fn presented(asked: &Asked, data: &Map<String, Value>) -> Result<Secret<String>, ApiError> {
    let bad = |why: &str| ApiError::new(ErrorKind::Denied, format!("error validating wrapping token: {why}"));
    match data.get("token") {
        Some(Value::String(text)) if text.is_empty() => Err(bad("empty token in request body")),
        Some(Value::String(text)) => Ok(Secret::from(text.as_str())),
        Some(Value::Null) | None => {
            asked.token.clone().filter(|token| !token.expose().is_empty()).ok_or_else(|| bad("token is empty"))
        }
        Some(_) => Err(bad("could not decode token in request body")),
    }
}

/// A live wrapping token.
///
/// # Errors
/// 400 when it is none, or not any more.
pub(super) async fn find(active: &Active, token: &str) -> Result<Arc<TokenInfo>, ApiError> {
    let found = active.tokens.find(token).await.map_err(of_token)?;
    found.filter(|info| is_wrapping(info)).ok_or_else(invalid)
}

/// Whether the token stands for a wrapped reply.
pub(super) fn is_wrapping(info: &TokenInfo) -> bool {
    matches!(info.policies.as_slice(), [name] if name == RESPONSE_WRAPPING)
}

/// 400: it is no wrapping token, or not any more.
pub(super) fn invalid() -> ApiError {
    ApiError::invalid("wrapping token is not valid or does not exist")
}

/// What a wrapping token wraps: the JSON text, and what it says of itself.
pub(super) async fn contents(active: &Active, info: &TokenInfo) -> Result<(String, Facts), ApiError> {
    let cubbyhole = active.tokens.cubbyhole(&info.key);
    let response: Map<String, Value> = cubbyhole.read(RESPONSE).await?.ok_or_else(invalid)?;
    let text = response.get("response").and_then(Value::as_str).ok_or_else(invalid)?.to_owned();
    Ok((text, facts(active, info).await?))
}

/// What a wrapping token says of itself.
pub(super) async fn facts(active: &Active, info: &TokenInfo) -> Result<Facts, ApiError> {
    let found = active.tokens.cubbyhole(&info.key).read(WRAP_INFO).await?;
    found.ok_or_else(|| ApiError::invalid("no information found; wrapping token may be from a previous Vault version"))
}

fn token_mount(active: &Active) -> MountId {
    active.routes.load().at("auth/token/").map_or_else(|| MountId::new("token"), |mount| mount.entry.id.clone())
}

/// Where the reply lies, also for those who read it there by hand.
const RESPONSE: &str = "response";
/// Where its token says what it is.
const WRAP_INFO: &str = "wrapinfo";
