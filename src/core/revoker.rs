//! How the reaper reaches whoever issued: over the routes, and the token store.

use std::sync::{Arc, Weak};

use async_trait::async_trait;

use crate::base::TokenKey;
use crate::lease::{Lease, RevokeError, Revoked, Revoker};
use crate::mount::LeaseCtx;

use super::Active;

/// See the module. Holds on to nothing: a server that is sealed goes away.
#[derive(Debug)]
pub(super) struct CoreRevoker(Weak<Active>);

impl CoreRevoker {
    pub(super) fn new(active: Weak<Active>) -> Self {
        Self(active)
    }

    fn active(&self) -> Result<Arc<Active>, RevokeError> {
        self.0.upgrade().ok_or_else(|| RevokeError::Upstream("the server is sealed".to_owned()))
    }
}

impl CoreRevoker {
    async fn asked(&self, lease: &Lease, is_probe: bool) -> Result<Revoked, RevokeError> {
        let active = self.active()?;
        match active.lease_cx(lease) {
            Some((mount, cx)) => mount.plugin.revoke(LeaseCtx { is_probe, ..cx }).await,
            None => Err(RevokeError::Unsupported("the mount that issued it is gone".to_owned())),
        }
    }
}

impl Active {
    /// What a lease's end or renewal may touch, and who is asked.
    pub(super) fn lease_cx(&self, lease: &Lease) -> Option<(Arc<crate::mount::Mount>, LeaseCtx)> {
        let mount = Arc::clone(self.routes.load().by_id(&lease.mount)?);
        let cx = LeaseCtx {
            lease: Arc::new(lease.clone()),
            limits: self.settings.limits(&mount.entry.config),
            mount: Arc::clone(&mount.entry),
            clock: Arc::clone(&self.clock),
            is_probe: false,
        };
        Some((mount, cx))
    }
}

#[async_trait]
impl Revoker for CoreRevoker {
    async fn revoke(&self, lease: &Lease) -> Result<Revoked, RevokeError> {
        self.asked(lease, false).await
    }

    async fn probe(&self, lease: &Lease) -> Result<Revoked, RevokeError> {
        self.asked(lease, true).await
    }

    fn name(&self, lease: &Lease) -> String {
        let routes = self.0.upgrade().map(|active| active.routes.load_full());
        let mount = routes.as_ref().and_then(|routes| routes.by_id(&lease.mount));
        mount.map(|mount| mount.plugin.name_of(lease)).unwrap_or_default()
    }

    async fn end_tokens(&self, due: &[TokenKey]) -> Result<(), RevokeError> {
        self.active()?.tokens.end_due(due).await
    }

    async fn revoke_tokens(&self, tokens: &[TokenKey]) -> Result<(), RevokeError> {
        self.active()?.tokens.revoke_all(tokens).await
    }

    fn needs_call(&self, lease: &Lease) -> bool {
        let Some(active) = self.0.upgrade() else { return true };
        let routes = active.routes.load();
        routes.by_id(&lease.mount).is_none_or(|mount| mount.plugin.needs_call(lease))
    }
}
