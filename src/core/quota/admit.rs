//! Whether a request may be asked at all, before anything is read of it but its path and where it comes from.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::Map;

use crate::base::Ttl;
use crate::core::answer::Refusal;
use crate::core::audited::Facts;
use crate::core::{Active, Core};
use crate::mount::{ApiError, Asked, ErrorKind, Request};

use super::Quotas;
use super::rate::Pass;

/// What the rates say to a request.
#[derive(Debug, Default)]
pub struct Admission {
    /// It is over its rate.
    pub refusal: Option<Refusal>,
    /// What the reply tells of the rate; none unless it is to tell.
    pub headers: Option<RateHeaders>,
    /// Its role has to be known first: ask [`Core::admit_login`] when its body is read.
    pub needs_role: bool,
    /// The refusal is to be audited: tell [`Core::note_over_rate`].
    pub is_audited: bool,
}

/// Values of the headers `X-RateLimit-…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests in an interval.
    pub limit: u64,
    /// Requests left.
    pub remaining: u64,
    /// Seconds until all of them are there again.
    pub reset: u64,
}

impl Core {
    /// Judges a request by its path and the address it comes from.
    pub fn admit(&self, path: &str, from: Option<IpAddr>) -> Admission {
        let state = self.state();
        let Some(active) = &*state else { return Admission::default() };
        if active.quotas.has_no_rates() {
            return Admission::default();
        }
        active.admit(path, from)
    }

    /// Judges a login whose role matters.
    pub async fn admit_login(&self, request: &Request) -> Admission {
        let Some(active) = self.active() else { return Admission::default() };
        let path = request.asked.path.as_str();
        let routes = active.routes.load_full();
        let role = match routes.find(path) {
            // Who names no role that there is is held to the rule of all others.
            Some((mount, rest)) => mount.plugin.login_role(rest, &request.data).await.unwrap_or_default(),
            None => None,
        };
        active.judge(path, role.as_deref(), request.asked.remote.ip)
    }

    /// Audits a request that was refused for its rate.
    pub async fn note_over_rate(&self, asked: &Asked) {
        let Some(active) = self.active() else { return };
        let (routes, data) = (active.routes.load_full(), Map::new());
        let facts = Facts {
            active: &active,
            asked,
            data: &data,
            mount: routes.find(asked.path.as_str()).map(|(mount, _)| &**mount),
            operation: asked.operation,
            verdict: None,
            is_login: true,
            has_accessor: false,
        };
        if let Err(error) = facts.denied(None, false, &over_rate(asked.path.as_str())).await {
            tracing::warn!(error = %error, "a request over its rate was not audited");
        }
    }
}

impl Active {
    fn admit(self: &Arc<Self>, path: &str, from: Option<IpAddr>) -> Admission {
        if self.quotas.rates.load().asks_for_role(path) {
            let routes = self.routes.load();
            let is_login = routes.find(path).is_some_and(|(mount, rest)| {
                let found = mount.plugin.find(rest);
                found.and_then(|found| mount.plugin.spec(&found).map(|spec| spec.is_login)).unwrap_or(false)
            });
            if is_login {
                return Admission { needs_role: true, ..Admission::default() };
            }
        }
        self.judge(path, None, from)
    }

    fn judge(&self, path: &str, role: Option<&str>, from: Option<IpAddr>) -> Admission {
        let config = self.quotas.config();
        let Some(pass) = self.quotas.pass(path, role, from, self.clock.elapsed()) else { return Admission::default() };
        let headers = config.tells.then_some(RateHeaders { limit: pass.limit, remaining: pass.remaining, reset: pass.reset });
        if pass.allowed {
            return Admission { headers, ..Admission::default() };
        }
        self.seen.metrics.over_rate();
        let mut error = over_rate(path);
        if config.tells {
            error = error.retry_after(Ttl::seconds(pass.retry));
        }
        Admission {
            refusal: Some(error.into()),
            headers,
            needs_role: false,
            is_audited: config.audits && self.audit.is_enabled(),
        }
    }
}

impl Quotas {
    fn has_no_rates(&self) -> bool {
        self.rates.load().is_empty()
    }

    /// `None`: no rule holds.
    fn pass(&self, path: &str, role: Option<&str>, from: Option<IpAddr>, now: std::time::Duration) -> Option<Pass> {
        if self.config.load().exempts(path) {
            return None;
        }
        let book = self.rates.load();
        let rate = book.find(path, role)?;
        // Of a unix socket: one client.
        Some(rate.limiter.pass(from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), now))
    }
}

fn over_rate(path: &str) -> ApiError {
    ApiError::new(ErrorKind::Limited, format!("request path \"{path}\": rate limit quota exceeded"))
}
