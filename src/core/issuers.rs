//! How the token store asks the auth method that gave a token, and whose a token is; how `identity/` knows mounts.

use std::sync::Arc;

use async_trait::async_trait;

use crate::auth::token::Issuers;
use crate::base::MountId;
use crate::engine::identity::MountNames;
use crate::lease::Limits;
use crate::mount::{ApiError, Ctx, MountEntry, TokenRenewal};
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
    async fn identity_policies(&self, token: &TokenInfo) -> Result<Vec<String>, ApiError> {
        self.back.active()?.identity_policies(token).await
    }
}

impl MountNames for Methods {
    fn by_accessor(&self, accessor: &str) -> Option<Arc<MountEntry>> {
        let routes = self.back.active().ok()?.routes.load_full();
        let mut ready = routes.mounts().filter(|mount| mount.entry.is_ready());
        ready.find(|mount| mount.entry.accessor == accessor).map(|mount| Arc::clone(&mount.entry))
    }

    fn by_id(&self, id: &MountId) -> Option<Arc<MountEntry>> {
        let routes = self.back.active().ok()?.routes.load_full();
        let mounted = routes.by_id(id).filter(|mount| routes.at(mount.entry.path.as_str()).is_some_and(|at| at.entry.id == *id));
        mounted.map(|mount| Arc::clone(&mount.entry))
    }
}
