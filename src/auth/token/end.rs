//! Ending tokens.

use std::sync::Arc;

use crate::mount::{ApiError, Ctx, Nothing, Reply};
use crate::token::TokenKind;

use super::{AccessorInput, TokenAuth, TokenInput, has_sudo, missing_accessor, of_token, own};

impl TokenAuth {
    /// One that is not there has ended.
    pub(super) async fn revoke(self: Arc<Self>, _: Ctx, input: TokenInput) -> Result<Reply, ApiError> {
        let token = input.token.expose();
        if token.is_empty() {
            return Err(ApiError::invalid("missing token ID"));
        }
        let found = self.tokens.find_spent(token).await.map_err(of_token)?;
        if found.is_some_and(|info| info.kind == TokenKind::Batch) {
            return Err(of_batch());
        }
        // Also one that is being ended: its end is waited for.
        self.tokens.revoke(&self.tokens.key(token)).await.map_err(of_token)?;
        Ok(Reply::empty())
    }

    pub(super) async fn revoke_self(self: Arc<Self>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let info = own(&cx)?;
        if info.kind == TokenKind::Batch {
            return Err(of_batch());
        }
        self.tokens.revoke(&info.key).await.map_err(of_token)?;
        Ok(Reply::empty())
    }

    pub(super) async fn revoke_accessor(self: Arc<Self>, _: Ctx, input: AccessorInput) -> Result<Reply, ApiError> {
        let accessor = input.accessor.expose();
        if accessor.is_empty() {
            return Err(missing_accessor());
        }
        let Some(key) = self.tokens.by_accessor(accessor).await.map_err(of_token)? else {
            return Ok(Reply::warning("No token found with this accessor"));
        };
        if self.tokens.find_spent_key(&key).await.map_err(of_token)?.is_none() {
            return Err(ApiError::invalid("token not found"));
        }
        self.tokens.revoke(&key).await.map_err(of_token)?;
        Ok(Reply::empty())
    }

    pub(super) async fn revoke_orphan(self: Arc<Self>, cx: Ctx, input: TokenInput) -> Result<Reply, ApiError> {
        let token = input.token.expose();
        if token.is_empty() {
            return Err(ApiError::invalid("missing token ID"));
        }
        if !has_sudo(&cx) {
            return Err(ApiError::invalid("root or sudo privileges required to revoke and orphan"));
        }
        let not_found = || ApiError::invalid("token to revoke not found");
        let info = self.tokens.find_spent(token).await.map_err(of_token)?.ok_or_else(not_found)?;
        if info.kind == TokenKind::Batch {
            return Err(of_batch());
        }
        if self.tokens.revoke_orphan(&info.key).await.map_err(of_token)? { Ok(Reply::empty()) } else { Err(not_found()) }
    }

    #[expect(clippy::unused_async, reason = "endpoints are asynchronous")]
    pub(super) async fn tidy(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        if self.tokens.start_tidy() {
            Ok(Reply::warning(TIDY_STARTED).accepted())
        } else {
            Ok(Reply::warning("Tidy operation already in progress."))
        }
    }
}

fn of_batch() -> ApiError {
    ApiError::invalid("batch tokens cannot be revoked")
}

/// Literal (spec `tokens.md` §4).
const TIDY_STARTED: &str =
    "Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.";
