//! The mount `auth/token/`: tokens made, looked up, renewed and revoked by whoever may (spec `tokens.md` §4).
//!
//! It is a plugin like any other but for what core gives it besides: the token store, and a way to ask other auth methods
//! about tokens they gave.

mod create;
mod end;
mod lookup;
mod policies;
mod renew;
mod role;
mod roles;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::barrier::View;
use crate::lease::Limits;
use crate::mount::field::SecretText;
use crate::mount::{ApiError, Ctx, Deps, ErrorKind, Plugin, Table, TokenRenewal};
use crate::policy::PolicyStore;
use crate::token::{TokenError, TokenInfo, TokenStore};

/// See the module.
pub struct TokenAuth {
    tokens: Arc<TokenStore>,
    policies: Arc<PolicyStore>,
    view: View,
    issuers: Arc<dyn Issuers>,
}

/// The auth methods of the server. Core implements it over its routes.
#[async_trait]
pub trait Issuers: Send + Sync + 'static {
    /// What the mount that gave a token says to its renewal, and how long things may live there. `cx` is that of the request
    /// to `auth/token/`.
    ///
    /// # Errors
    /// What the method said when it refused.
    async fn renewal(&self, cx: &Ctx, token: &Arc<TokenInfo>) -> Result<(TokenRenewal, Limits), ApiError>;

    /// What the entity of a token and its groups add to its policies.
    async fn identity_policies(&self, token: &TokenInfo) -> Result<Vec<String>, ApiError>;
}

/// Body of what is done to a token.
#[derive(Debug, Deserialize, JsonSchema)]
struct TokenInput {
    /// The token; where it may be left out, the caller's own.
    #[serde(default)]
    token: SecretText,
}

/// Body of what is done to the token of an accessor.
#[derive(Debug, Deserialize, JsonSchema)]
struct AccessorInput {
    /// Names the token.
    #[serde(default)]
    accessor: SecretText,
}

impl TokenAuth {
    /// Over the tokens and policies of a server; roles lie in `view`.
    pub fn new(tokens: Arc<TokenStore>, policies: Arc<PolicyStore>, view: View, issuers: Arc<dyn Issuers>) -> Self {
        Self { tokens, policies, view, issuers }
    }

    /// The token of an accessor.
    async fn by_accessor(&self, input: &AccessorInput) -> Result<Option<Arc<TokenInfo>>, ApiError> {
        match self.tokens.by_accessor(input.accessor.expose()).await.map_err(of_token)? {
            Some(key) => self.tokens.find_key(&key).await.map_err(of_token),
            None => Ok(None),
        }
    }
}

impl Plugin for TokenAuth {
    const KIND: &'static str = "token";
    const ABOUT: &'static str = "The token credential backend is always enabled: it makes, looks up, renews and revokes tokens.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Err(ApiError::invalid("mount type of \"token\" is not mountable"))
    }

    fn endpoints(table: &mut Table<Self>) {
        table.at("create", "Make a token, a child of the caller's.").update(Self::create);
        table.at("create-orphan", "Make a token that ends with no other.").update(Self::create_orphan);
        table.at("create/{role_name}", "Make a token as a role says.").update(Self::create_with_role);
        table.at("lookup", "What is known of a token.").read(Self::lookup).update(Self::lookup).looks();
        table.at("lookup-self", "What is known of the caller's token.").read(Self::lookup_self).update(Self::lookup_self).looks();
        table.at("lookup-accessor", "What is known of the token of an accessor.").update(Self::lookup_accessor).looks();
        table.at("renew", "Let a token live on.").update(Self::renew);
        table.at("renew-self", "Let the caller's token live on.").update(Self::renew_self);
        table.at("renew-accessor", "Let the token of an accessor live on.").update(Self::renew_accessor);
        table.at("revoke", "End a token and all its children.").update(Self::revoke);
        table.at("revoke-self", "End the caller's token and all its children.").update(Self::revoke_self);
        table.at("revoke-accessor", "End the token of an accessor and all its children.").update(Self::revoke_accessor);
        table.at("revoke-orphan", "End a token; its children live on as orphans.").update(Self::revoke_orphan);
        table.at("accessors/", "The accessors of all tokens.").list(Self::accessors).sudo();
        table.at("roles/", "Names of the configured roles.").list(Self::list_roles);
        table
            .at("roles/{role_name}", "What tokens made with a role are like.")
            .exists(Self::role_exists)
            .read(Self::read_role)
            .update(Self::write_role)
            .delete(Self::delete_role);
        table.at("tidy", "Remove what tokens that ended badly left behind.").update(Self::tidy);
    }

    async fn renew_token(self: Arc<Self>, _: Ctx, token: Arc<TokenInfo>) -> Result<TokenRenewal, ApiError> {
        let rules = self.rules_of(&token).await?;
        Ok(TokenRenewal { ttl: token.creation_ttl, max_ttl: rules.explicit_max_ttl, period: rules.period, is_nothing: false })
    }
}

impl fmt::Debug for TokenAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuth").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// Whether the caller holds `sudo` on the path of the request.
fn has_sudo(cx: &Ctx) -> bool {
    cx.caller.has_sudo || cx.caller.token.as_ref().is_some_and(|token| token.is_root())
}

/// The caller's token.
fn own(cx: &Ctx) -> Result<&Arc<TokenInfo>, ApiError> {
    // Core lets nobody in without one.
    cx.caller.token.as_ref().ok_or_else(bad_token)
}

fn bad_token() -> ApiError {
    ApiError::new(ErrorKind::Denied, "bad token")
}

fn missing_accessor() -> ApiError {
    ApiError::invalid_listed("missing accessor")
}

/// What a failing token store means for a caller who speaks of some token.
fn of_token(error: TokenError) -> ApiError {
    match error {
        TokenError::Ended | TokenError::ParentEnded | TokenError::Duplicate => ApiError::invalid(error.to_string()),
        TokenError::Lease(error) => error.into(),
        TokenError::Barrier(error) => error.into(),
        error => ApiError::internal(error),
    }
}
