//! Steps 3 and 4 of a request: who asks, and may he (architecture §5).

use std::sync::Arc;

use crate::identity::{IdentityError, Principal};
use crate::mount::{ApiError, Asked, Caller, ErrorKind};
use crate::policy::{Acl, NoEntity, TemplateSource};
use crate::token::{TokenError, TokenInfo};

use super::Active;

/// Who asks, before anything was checked against his policies.
#[derive(Clone, Debug)]
pub(super) struct Identified {
    /// His token, as it was before this request.
    pub(super) before: Arc<TokenInfo>,
    /// His token and what it may do.
    pub(super) caller: Caller,
}

impl Active {
    /// The caller of a request that needs a token. A use of a limited token is taken here, also when the request is denied
    /// later (spec `tokens.md` §6).
    ///
    /// # Errors
    /// 403 in plain words: no token, an unknown or ended one, or one that may not be used from there.
    pub(super) async fn identify(&self, asked: &Asked) -> Result<Identified, ApiError> {
        let (before, acl) = self.look(asked).await?.ok_or_else(refused)?;
        let mut caller = Caller { token: Some(Arc::clone(&before)), acl: Some(acl), has_sudo: false, is_last_use: false };
        if before.is_limited() {
            let spent = Box::pin(self.tokens.spend(&before)).await.map_err(of_token)?;
            caller.is_last_use = spent.last;
            caller.token = Some(spent.info);
        }
        Ok(Identified { before, caller })
    }

    /// The token of a request and what it may do; no use of it is taken. `None`: the request has no token.
    ///
    /// # Errors
    /// 403 in plain words: an unknown or ended token, or one that may not be used from there.
    pub(super) async fn look(&self, asked: &Asked) -> Result<Option<(Arc<TokenInfo>, Arc<Acl>)>, ApiError> {
        let Some(token) = asked.token.as_ref().filter(|token| !token.expose().is_empty()) else { return Ok(None) };
        let info = self.tokens.find(token.expose()).await.map_err(of_token)?.ok_or_else(refused)?;
        check_origin(&info, asked)?;
        let acl = self.acl_of(&info).await?;
        Ok(Some((info, acl)))
    }

    /// What a token may do.
    ///
    /// # Errors
    /// 403 when its entity is gone or disabled.
    pub(super) async fn acl_of(&self, token: &TokenInfo) -> Result<Arc<Acl>, ApiError> {
        let Some(principal) = self.principal_of(token).await? else {
            return Ok(self.policies.acl(&token.policies, &[], &NoEntity).await?);
        };
        let source: &dyn TemplateSource = &*principal;
        Ok(self.policies.acl(&token.policies, added(token, &principal), source).await?)
    }

    /// Whom a token belongs to; `None`: to nobody.
    ///
    /// # Errors
    /// 403 when its entity is gone or disabled.
    async fn principal_of(&self, token: &TokenInfo) -> Result<Option<Arc<Principal>>, ApiError> {
        if token.entity_id.is_empty() {
            return Ok(None);
        }
        let found = self.entities.find(&token.entity_id).await?;
        found.filter(|principal| !principal.entity.disabled).ok_or_else(refused).map(Some)
    }

    /// What a token's entity and its groups add to its policies; nothing when it has none that counts.
    pub(super) async fn identity_policies(&self, token: &TokenInfo) -> Result<Vec<String>, ApiError> {
        if token.entity_id.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.entities.find(&token.entity_id).await?;
        Ok(found.map(|principal| added(token, &principal).to_vec()).unwrap_or_default())
    }
}

/// What an entity adds to the policies of its token.
pub(super) fn added<'a>(token: &TokenInfo, principal: &'a Principal) -> &'a [String] {
    if token.no_identity_policies { &[] } else { &principal.policies }
}

/// 403 when a token may not be used from where the request came.
pub(super) fn check_origin(token: &TokenInfo, asked: &Asked) -> Result<(), ApiError> {
    if token.bound_cidrs.is_empty() {
        return Ok(());
    }
    let allowed = asked.remote.ip.is_some_and(|ip| token.bound_cidrs.iter().any(|cidr| cidr.contains(ip)));
    if allowed { Ok(()) } else { Err(refused()) }
}

/// 403 in plain words.
pub(super) fn refused() -> ApiError {
    ApiError::new(ErrorKind::Denied, "permission denied")
}

/// What a failing token store means for a caller.
pub(super) fn of_token(error: TokenError) -> ApiError {
    match error {
        TokenError::Ended => refused(),
        TokenError::ParentEnded | TokenError::Duplicate => ApiError::invalid(error.to_string()),
        TokenError::Lease(error) => error.into(),
        TokenError::Barrier(error) => error.into(),
        error => ApiError::internal(error),
    }
}

/// What a failing identity store means for a login.
pub(super) fn of_identity(error: IdentityError) -> ApiError {
    match error {
        IdentityError::Barrier(error) => error.into(),
        IdentityError::NamelessLogin => ApiError::fault(error.to_string()),
        IdentityError::Contended => ApiError::internal(error),
        error => ApiError::invalid(error.to_string()),
    }
}
