//! What a plugin leases, and how it takes it back.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::base::{Clock, Ttl};
use crate::lease::{Lease, Leased, Limits, RevokeError, Revoked, Terms};

use super::MountEntry;
use super::error::ApiError;

type Revoke<P> = Arc<dyn Fn(Arc<P>, LeaseCtx) -> BoxFuture<'static, Result<Revoked, RevokeError>> + Send + Sync>;
type Renew<P> = Arc<dyn Fn(Arc<P>, LeaseCtx, Ttl) -> BoxFuture<'static, Result<Terms, ApiError>> + Send + Sync>;

/// What the end or the renewal of a lease may touch.
#[derive(Clone, Debug)]
pub struct LeaseCtx {
    /// The lease, as stored.
    pub lease: Arc<Lease>,
    /// The mount that issued it.
    pub mount: Arc<MountEntry>,
    /// How long things may live on this mount.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The outside was unwell when it was asked last: what this is for is to see soon whether it answers.
    pub is_probe: bool,
}

/// The kinds of leases a type of plugin has.
pub struct LeaseKinds<P> {
    kinds: HashMap<&'static str, Kind<P>>,
}

struct Kind<P> {
    revoke: Option<Revoke<P>>,
    renew: Option<Renew<P>>,
    name: fn(&Lease) -> String,
}

impl<P> Kind<P> {
    fn of<L: Leased>() -> Self {
        Self { revoke: None, renew: None, name: |lease| lease.what::<L>().map(|what| what.name()).unwrap_or_default() }
    }
}

impl<P: Send + Sync + 'static> LeaseKinds<P> {
    /// None.
    pub fn new() -> Self {
        Self { kinds: HashMap::new() }
    }

    /// A kind that ends by itself: nothing is called.
    pub fn ends_by_itself<L: Leased>(&mut self) -> &mut Self {
        self.kinds.entry(L::KIND).or_insert_with(Kind::of::<L>);
        self
    }

    /// A kind that is taken back by `revoke`, which is called again after a crash, an error or a cut.
    pub fn revoked_by<L, F, Fut>(&mut self, revoke: F) -> &mut Self
    where
        L: Leased,
        F: Fn(Arc<P>, LeaseCtx, L) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Revoked, RevokeError>> + Send + 'static,
    {
        let kind = self.kinds.entry(L::KIND).or_insert_with(Kind::of::<L>);
        kind.revoke = Some(Arc::new(move |plugin, cx| match cx.lease.what::<L>() {
            Ok(what) => Box::pin(revoke(plugin, cx, what)),
            Err(error) => Box::pin(std::future::ready(Err(RevokeError::Unsupported(error.to_string())))),
        }));
        self
    }

    /// What a renewal of this kind asks for now, given the caller's increment; without this the terms of the issue hold.
    pub fn renewed_by<L, F, Fut>(&mut self, renew: F) -> &mut Self
    where
        L: Leased,
        F: Fn(Arc<P>, LeaseCtx, L, Ttl) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Terms, ApiError>> + Send + 'static,
    {
        let kind = self.kinds.entry(L::KIND).or_insert_with(Kind::of::<L>);
        kind.renew = Some(Arc::new(move |plugin, cx, increment| match cx.lease.what::<L>() {
            Ok(what) => Box::pin(renew(plugin, cx, what, increment)),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }));
        self
    }

    /// Whether ending this kind takes a call. One nobody knows is asked for, so that somebody says so.
    pub(super) fn needs_call(&self, kind: &str) -> bool {
        self.kinds.get(kind).is_none_or(|kind| kind.revoke.is_some())
    }

    /// What a lease holds, in words.
    pub(super) fn name(&self, lease: &Lease) -> String {
        self.kinds.get(lease.kind.as_str()).map(|kind| (kind.name)(lease)).unwrap_or_default()
    }

    pub(super) async fn revoke(&self, plugin: &Arc<P>, cx: LeaseCtx) -> Result<Revoked, RevokeError> {
        match self.kinds.get(cx.lease.kind.as_str()) {
            Some(Kind { revoke: Some(revoke), .. }) => revoke(Arc::clone(plugin), cx).await,
            Some(_) => Ok(Revoked::Done),
            None => Err(RevokeError::Unsupported(format!("nobody knows how to end a lease of kind {:?}", cx.lease.kind))),
        }
    }

    pub(super) async fn renew(&self, plugin: &Arc<P>, cx: LeaseCtx, increment: Ttl) -> Result<Option<Terms>, ApiError> {
        match self.kinds.get(cx.lease.kind.as_str()) {
            Some(Kind { renew: Some(renew), .. }) => renew(Arc::clone(plugin), cx, increment).await.map(Some),
            _ => Ok(None),
        }
    }
}

impl<P: Send + Sync + 'static> Default for LeaseKinds<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for LeaseKinds<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}
