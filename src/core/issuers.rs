//! How the token store asks the auth method that gave a token.

use std::sync::Arc;

use async_trait::async_trait;

use crate::auth::token::Issuers;
use crate::lease::Limits;
use crate::mount::{ApiError, Ctx, TokenRenewal};
use crate::token::TokenInfo;

use super::active::Back;

/// The auth methods of a server.
pub(super) struct Methods {
    back: Back,
}

impl Methods {
    pub(super) fn new(back: Back) -> Self {
        Self { back }
    }
}

#[async_trait]
impl Issuers for Methods {
    async fn renewal(&self, cx: &Ctx, token: &Arc<TokenInfo>) -> Result<(TokenRenewal, Limits), ApiError> {
        let active = self.back.active()?;
        let mount = active.routes.load().by_id(&token.mount).cloned();
        let mount = mount.ok_or_else(|| ApiError::fault("the auth method that gave the token is gone, not renewing"))?;
        let limits = active.settings.limits(&mount.entry.config);
        let cx = Ctx { mount: Arc::clone(&mount.entry), limits, ..cx.clone() };
        Ok((mount.plugin.renew_token(cx, Arc::clone(token)).await?, limits))
    }
}
