//! What is known of tokens.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::{Accessor, Timestamp};
use crate::mount::{ApiError, Ctx, Nothing, Reply};
use crate::token::{TokenInfo, TokenKind};

use super::{AccessorInput, TokenAuth, TokenInput, bad_token, missing_accessor, of_token, own};

impl TokenAuth {
    pub(super) async fn lookup(self: Arc<Self>, cx: Ctx, input: TokenInput) -> Result<Reply, ApiError> {
        let token = input.token.expose();
        if token.is_empty() || cx.asked.token.as_ref().is_some_and(|own| own.matches(token)) {
            return self.lookup_self(cx, Nothing).await;
        }
        let info = self.tokens.find(token).await.map_err(of_token)?.ok_or_else(bad_token)?;
        self.looked_up(&info, token, cx.clock.now()).await
    }

    /// The caller's token is known, also when this is its last use.
    pub(super) async fn lookup_self(self: Arc<Self>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let token = cx.asked.token.as_ref().map(|token| token.expose().as_str()).unwrap_or_default();
        self.looked_up(own(&cx)?, token, cx.clock.now()).await
    }

    pub(super) async fn lookup_accessor(self: Arc<Self>, cx: Ctx, input: AccessorInput) -> Result<Reply, ApiError> {
        if input.accessor.expose().is_empty() {
            return Err(missing_accessor());
        }
        let info = self.by_accessor(&input).await?.ok_or_else(|| ApiError::invalid_listed("invalid accessor"))?;
        // Who has an accessor does not get the token for it.
        self.looked_up(&info, "", cx.clock.now()).await
    }

    async fn looked_up(&self, info: &TokenInfo, token: &str, now: Timestamp) -> Result<Reply, ApiError> {
        let mut data = shown(info, token, now);
        let policies = if info.entity_id.is_empty() { Vec::new() } else { self.issuers.identity_policies(info).await? };
        if !policies.is_empty() {
            data.insert("identity_policies".to_owned(), json!(policies));
        }
        Ok(Reply::data(data))
    }

    pub(super) async fn accessors(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let all = self.tokens.accessors().await.map_err(of_token)?;
        let names = all.accessors.iter().map(|accessor| accessor.as_str().to_owned()).collect();
        let warnings =
            all.unreadable.iter().map(|key| format!("Found an accessor entry that could not be successfully decoded: {key}"));
        Ok(Reply::list(names).warn_all(warnings.collect()))
    }
}

/// A token as lookups show it. Its parent is never shown.
fn shown(info: &TokenInfo, token: &str, now: Timestamp) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| {
        data.insert(key.to_owned(), value);
    };
    put("id", token.into());
    put("accessor", info.accessor.as_ref().map(Accessor::as_str).unwrap_or_default().into());
    put("policies", json!(info.policies));
    put("path", info.path.as_str().into());
    put("display_name", info.display_name.as_str().into());
    put("entity_id", info.entity_id.as_str().into());
    put("type", info.kind.as_str().into());
    put("meta", json!(info.meta));
    put("num_uses", info.uses_shown().into());
    put("orphan", info.is_orphan().into());
    put("creation_time", info.created.seconds().into());
    put("creation_ttl", info.creation_ttl.as_seconds().into());
    put("expire_time", info.end.map_or(Value::Null, |end| end.rfc3339().into()));
    put("ttl", info.ttl(now).as_seconds().into());
    put("explicit_max_ttl", info.explicit_max_ttl.as_seconds().into());
    if let Some(role) = &info.role {
        put("role", role.as_str().into());
    }
    if !info.period.is_zero() {
        put("period", info.period.as_seconds().into());
    }
    if !info.bound_cidrs.is_empty() {
        put("bound_cidrs", info.bound_cidrs.iter().map(ToString::to_string).collect());
    }
    if let Some(at) = info.last_renewal {
        put("last_renewal", at.rfc3339().into());
        put("last_renewal_time", at.seconds().into());
    }
    if info.has_lease || info.kind == TokenKind::Batch {
        put("renewable", info.renewable.into());
        put("issue_time", info.created.rfc3339().into());
    }
    data
}
