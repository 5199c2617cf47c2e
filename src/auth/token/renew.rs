//! Tokens that live on (spec `tokens.md` §5).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Secret, Ttl};
use crate::lease::ttl::{self, Wish};
use crate::mount::field::SecretText;
use crate::mount::{ApiError, Body, Ctx, Reply, TokenReply};
use crate::token::{Renewal, TokenInfo, TokenKind};

use super::{AccessorInput, TokenAuth, missing_accessor, of_token, own};

/// Body of a renewal.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RenewInput {
    /// The token.
    #[serde(default)]
    token: SecretText,
    /// How long it shall live from now; nothing: as long as at first.
    #[serde(default)]
    increment: Ttl,
}

/// Body of a renewal of the caller's token.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RenewSelfInput {
    /// Taken and not looked at: it is the caller's own.
    #[serde(default, rename = "token")]
    _token: SecretText,
    /// How long it shall live from now; nothing: as long as at first.
    #[serde(default)]
    increment: Ttl,
}

/// Body of a renewal by accessor.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RenewAccessorInput {
    /// Names the token.
    #[serde(default)]
    accessor: SecretText,
    /// How long it shall live from now; nothing: as long as at first.
    #[serde(default)]
    increment: Ttl,
}

/// What holds for each renewal of a token of ours.
pub(super) struct Rules {
    pub(super) period: Ttl,
    pub(super) explicit_max_ttl: Ttl,
}

impl TokenAuth {
    pub(super) async fn renew(self: Arc<Self>, cx: Ctx, input: RenewInput) -> Result<Reply, ApiError> {
        let token = input.token.0;
        if token.expose().is_empty() {
            return Err(ApiError::invalid("missing token ID"));
        }
        let info = self.tokens.find(token.expose()).await.map_err(of_token)?.ok_or_else(not_found)?;
        self.renew_info(&cx, &info, Some(token), input.increment).await
    }

    pub(super) async fn renew_self(self: Arc<Self>, cx: Ctx, input: RenewSelfInput) -> Result<Reply, ApiError> {
        self.renew_info(&cx, own(&cx)?, cx.asked.token.clone(), input.increment).await
    }

    pub(super) async fn renew_accessor(self: Arc<Self>, cx: Ctx, input: RenewAccessorInput) -> Result<Reply, ApiError> {
        let accessor = AccessorInput { accessor: input.accessor };
        if accessor.accessor.expose().is_empty() {
            return Err(missing_accessor());
        }
        let info = self.by_accessor(&accessor).await?.ok_or_else(|| ApiError::invalid_listed("invalid accessor"))?;
        self.renew_info(&cx, &info, None, input.increment).await
    }

    async fn renew_info(
        &self,
        cx: &Ctx,
        info: &Arc<TokenInfo>,
        token: Option<Secret<String>>,
        increment: Ttl,
    ) -> Result<Reply, ApiError> {
        if info.kind == TokenKind::Batch {
            return Err(ApiError::invalid("batch tokens cannot be renewed"));
        }
        if !info.has_lease {
            return Err(ApiError::invalid("invalid lease ID"));
        }
        if !info.renewable || info.end.is_none() {
            return Err(ApiError::invalid("lease is not renewable"));
        }
        let (wish, limits) = if info.mount == cx.mount.id {
            let rules = self.rules_of(info).await.map_err(refused)?;
            let wish = Wish {
                increment,
                ttl: info.creation_ttl,
                max_ttl: Ttl::ZERO,
                period: rules.period,
                explicit_max_ttl: rules.explicit_max_ttl,
                issued: info.created,
            };
            (wish, cx.limits)
        } else {
            let (said, limits) = self.issuers.renewal(cx, info).await.map_err(refused)?;
            if said.is_nothing {
                return Ok(Reply::empty());
            }
            let wish = Wish {
                increment,
                ttl: said.ttl,
                max_ttl: said.max_ttl,
                period: said.period,
                explicit_max_ttl: info.explicit_max_ttl,
                issued: info.created,
            };
            (wish, limits)
        };
        let now = cx.clock.now();
        let granted = ttl::ttl(&wish, limits, now).map_err(|past| ApiError::invalid(past.to_string()))?;
        let renewal = Renewal { end: now.plus(granted.ttl), internal_meta: None };
        let renewed = self.tokens.renew(&info.key, &renewal).await.map_err(of_token)?;
        let reply = TokenReply { token, info: renewed, ttl: granted.ttl };
        Ok(Reply::new(Body::Token(Box::new(reply))).warn_all(granted.warnings))
    }

    /// What holds for a token of ours: what its role says now, or what it was made with.
    pub(super) async fn rules_of(&self, info: &TokenInfo) -> Result<Rules, ApiError> {
        let Some(name) = &info.role else {
            return Ok(Rules { period: info.period, explicit_max_ttl: info.explicit_max_ttl });
        };
        let gone = || ApiError::fault(format!("original token role \"{name}\" could not be found, not renewing"));
        let role = self.role(name).await?.ok_or_else(gone)?;
        Ok(Rules { period: role.token_period, explicit_max_ttl: role.token_explicit_max_ttl })
    }
}

/// The method that gave the token does not let it live on.
fn refused(error: ApiError) -> ApiError {
    if error.text.is_empty() || error.cause.is_some() {
        return error;
    }
    let text = format!("failed to renew entry: {}", error.text);
    ApiError { advice: error.advice, ..ApiError::fault(text) }
}

fn not_found() -> ApiError {
    ApiError::invalid("token not found")
}
