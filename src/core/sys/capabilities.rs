//! What a token may do with paths (spec `policies.md` §8).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::core::access::of_token;
use crate::mount::field::{CommaList, SecretText, Text};
use crate::mount::{ApiError, Ctx, Reply, Table};
use crate::policy::Acl;

use super::Sys;

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("capabilities", "What a token may do with paths.").update(of_any).looks().top();
    table.at("capabilities-accessor", "What the token of an accessor may do with paths.").update(of_accessor).looks().top();
    table.at("capabilities-self", "What the caller's own token may do with paths.").update(of_self).looks().top();
}

/// Paths to judge.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfAny {
    /// The token whose capabilities are asked for; without effect on capabilities-self.
    token: Option<SecretText>,
    /// The paths.
    #[serde(default)]
    paths: CommaList,
    /// The older name of `paths`.
    #[serde(default)]
    path: CommaList,
}

/// Paths to judge for the token of an accessor.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfAccessor {
    /// The accessor of the token.
    accessor: Option<Text>,
    /// The paths.
    #[serde(default)]
    paths: CommaList,
    /// The older name of `paths`.
    #[serde(default)]
    path: CommaList,
}

async fn of_any(sys: Arc<Sys>, cx: Ctx, input: OfAny) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let token = input.token.filter(|token| !token.expose().is_empty());
    let token = token.ok_or_else(|| ApiError::invalid_listed("no token found"))?;
    let key = active.tokens.key(token.expose());
    if let (true, Some(acl)) = (cx.caller.key() == Some(&key), &cx.caller.acl) {
        return judged(acl, input.paths, input.path);
    }
    let info = active.tokens.find(token.expose()).await.map_err(of_token)?;
    let info = info.ok_or_else(|| ApiError::invalid_listed("invalid token"))?;
    judged(&*active.acl_of(&info).await?, input.paths, input.path)
}

async fn of_accessor(sys: Arc<Sys>, _: Ctx, input: OfAccessor) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let accessor = input.accessor.filter(|accessor| !accessor.is_empty());
    let accessor = accessor.ok_or_else(|| ApiError::invalid("missing accessor"))?;
    let unknown = || ApiError::invalid_listed("invalid accessor");
    let key = active.tokens.by_accessor(&accessor).await.map_err(of_token)?.ok_or_else(unknown)?;
    let info = active.tokens.find_spent_key(&key).await.map_err(of_token)?.ok_or_else(unknown)?;
    judged(&*active.acl_of(&info).await?, input.paths, input.path)
}

async fn of_self(_: Arc<Sys>, cx: Ctx, input: OfAny) -> Result<Reply, ApiError> {
    let acl = cx.caller.acl.as_ref().ok_or_else(|| ApiError::invalid_listed("no token found"))?;
    judged(acl, input.paths, input.path)
}

fn judged(acl: &Acl, paths: CommaList, path: CommaList) -> Result<Reply, ApiError> {
    let paths = if paths.is_empty() { path.0 } else { paths.0 };
    if paths.is_empty() {
        return Err(ApiError::invalid("paths must be supplied"));
    }
    let mut data = Map::new();
    if let [only] = paths.as_slice() {
        data.insert("capabilities".to_owned(), json!(acl.capabilities(only)));
    }
    for path in paths {
        let capabilities = json!(acl.capabilities(&path));
        data.insert(path, capabilities);
    }
    Ok(Reply::data(data))
}
