//! The server behind the listeners: every request passes here (spec `http-api.md` §1).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderName, Request, Response, StatusCode};
use tower::Service;

use super::app::{App, ConnectInfo, HttpService};
use super::direct::{Call, Endpoint};
use super::paths::{self, Target};
use super::read::{self, Bounds, Verb};
use super::wire;
use super::{cors, form};
use crate::base::{ApiPath, Tasks};
use crate::config::ListenerLimits;
use crate::core::{Admission, Core, RateHeaders, Refusal};
use crate::policy::Operation;

/// Something to do on SIGHUP, after audit files were opened anew.
pub type ReloadHook = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// See the module. Cheap to clone; a service by itself, so that a router in front of it is possible and not needed.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    /// What operators began.
    tasks: Tasks,
    /// Of requests that came by no listener.
    limits: ListenerLimits,
    hooks: Vec<ReloadHook>,
}

impl Server {
    /// Answers for this core.
    pub fn new(core: Arc<Core>, hooks: Vec<ReloadHook>) -> Self {
        Self(Arc::new(Inner { core, tasks: Tasks::default(), limits: ListenerLimits::default(), hooks }))
    }

    /// What it answers for.
    pub fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    async fn answer(&self, request: Request<Body>, info: Option<&ConnectInfo>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let namespace = parts.headers.get(NAMESPACE).filter(|value| !value.is_empty()).cloned();
        let mut response = match cors::judge(&self.0.core, &parts) {
            cors::Judged::Free => self.route(&parts, body, info).await.unwrap_or_else(wire::refused),
            cors::Judged::Answered(response) => response,
            cors::Judged::Allowed(origin) => {
                let mut response = self.route(&parts, body, info).await.unwrap_or_else(wire::refused);
                cors::allow(&mut response, origin);
                response
            }
        };
        if let Some(namespace) = namespace {
            response.headers_mut().insert(NAMESPACE, namespace);
        }
        response
    }

    async fn route(&self, parts: &Parts, body: Body, info: Option<&ConnectInfo>) -> Result<Response<Body>, Refusal> {
        Ok(match paths::target(parts.uri.path()) {
            Target::Api(path) => return self.api(path, parts, body, info).await,
            Target::Unprintable => wire::empty(StatusCode::BAD_REQUEST),
            Target::Relative => wire::failure(StatusCode::BAD_REQUEST, "relative paths not supported"),
            Target::TooLong => wire::failure(StatusCode::BAD_REQUEST, "the path is too long"),
            Target::Cleaned(path) => match parts.uri.query() {
                Some(query) => wire::redirect(&format!("{path}?{query}")),
                None => wire::redirect(&path),
            },
            _ if Verb::of(parts)? == Verb::Help => wire::failure(StatusCode::NOT_FOUND, NO_HELP),
            Target::Elsewhere if parts.uri.path().starts_with("/ui") => self.no_page(),
            Target::Root => wire::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            Target::Elsewhere => wire::bare(StatusCode::NOT_FOUND),
        })
    }

    async fn api(&self, path: ApiPath, parts: &Parts, body: Body, info: Option<&ConnectInfo>) -> Result<Response<Body>, Refusal> {
        let limits = info.map_or(&self.0.limits, |info| &*info.limits);
        let bounds =
            Bounds { limits, remote: info.map(|info| info.peer.into()).unwrap_or_default(), clock: &**self.0.core.clock() };
        let admission = self.0.core.admit(path.as_str(), bounds.remote.ip);
        if admission.refusal.is_some() || admission.headers.is_some() || admission.needs_role {
            return Box::pin(self.rated(admission, path, parts, body, bounds)).await;
        }
        self.admitted(path, parts, body, bounds, false).await.map(|(response, _)| response)
    }

    /// A request that a rate holds for.
    async fn rated(
        &self,
        admission: Admission,
        path: ApiPath,
        parts: &Parts,
        body: Body,
        bounds: Bounds<'_>,
    ) -> Result<Response<Body>, Refusal> {
        let Admission { refusal, headers, needs_role, is_audited } = admission;
        let Some(refusal) = refusal else {
            let (mut response, of_role) = match self.admitted(path, parts, body, bounds, needs_role).await {
                Ok(answered) => answered,
                Err(refusal) => (wire::refused(refusal), None),
            };
            tell_rate(&mut response, headers.or(of_role));
            return Ok(response);
        };
        if is_audited {
            self.0.core.note_over_rate(&read::asked(path, operation_of(Verb::of(parts)?), parts, bounds.remote)?).await;
        }
        let mut response = wire::refused(refusal);
        tell_rate(&mut response, headers);
        Ok(response)
    }

    /// A request that is within its rate, or whose role has to be known to say so.
    async fn admitted(
        &self,
        path: ApiPath,
        parts: &Parts,
        body: Body,
        bounds: Bounds<'_>,
        needs_role: bool,
    ) -> Result<(Response<Body>, Option<RateHeaders>), Refusal> {
        let verb = Verb::of(parts)?;
        if bounds.limits.unauthenticated_metrics && verb == Verb::Get && path.as_str() == "sys/metrics" {
            return Ok((Box::pin(self.metrics(parts)).await, None));
        }
        if verb != Verb::Help
            && let Some(endpoint) = Endpoint::of(path.as_str())
        {
            // Aside, so that all other requests do not carry the room for these.
            return Ok((Box::pin(Call { server: self, endpoint, path, verb, parts, bounds }.answer(body)).await, None));
        }
        let Some(request) = read::request(path, verb, parts, body, bounds).await? else { return Ok((wire::unsupported(), None)) };
        let mut headers = None;
        if needs_role {
            let admission = Box::pin(self.0.core.admit_login(&request)).await;
            headers = admission.headers;
            if let Some(refusal) = admission.refusal {
                if admission.is_audited {
                    self.0.core.note_over_rate(&request.asked).await;
                }
                return Ok((wire::refused(refusal), headers));
            }
        }
        let outcome = self.0.core.handle(request, bounds.limits.max_request_duration).await;
        Ok((wire::outcome(outcome), headers))
    }

    /// `sys/metrics` without a token, where the listener says so.
    async fn metrics(&self, parts: &Parts) -> Response<Body> {
        let format = form::first(parts.uri.query().unwrap_or_default(), "format").ok().flatten().unwrap_or_default();
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        wire::outcome(self.0.core.metrics(&format, accept).await)
    }

    /// There is no user interface; browsers that look for one get the headers set for it.
    fn no_page(&self) -> Response<Body> {
        let mut response = wire::bare(StatusCode::NOT_FOUND);
        response.headers_mut().extend(self.0.core.ui_headers().lines());
        response
    }
}

/// What a request asks for, as far as its method tells.
fn operation_of(verb: Verb) -> Operation {
    match verb {
        Verb::Write => Operation::Update,
        Verb::Patch => Operation::Patch,
        Verb::Delete => Operation::Delete,
        Verb::List => Operation::List,
        Verb::Help => Operation::Help,
        Verb::Get | Verb::Head | Verb::Other => Operation::Read,
    }
}

/// What is left of the rate (spec `http-api.md` §4).
fn tell_rate(response: &mut Response<Body>, rate: Option<RateHeaders>) {
    let Some(RateHeaders { limit, remaining, reset }) = rate else { return };
    for (name, value) in RATE_HEADERS.into_iter().zip([limit, remaining, reset]) {
        response.headers_mut().insert(name, value.into());
    }
}

impl HttpService for Server {
    async fn respond(self, request: Request<Body>, info: Arc<ConnectInfo>) -> Response<Body> {
        self.answer(request, Some(&info)).await
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, info) = (self.clone(), ConnectInfo::of(request.extensions()).cloned());
        Box::pin(async move { Ok(server.answer(request, info.as_deref()).await) })
    }
}

#[async_trait]
impl App for Server {
    fn router(&self) -> Router {
        Router::new().fallback_service(self.clone())
    }

    async fn reload(&self) {
        self.0.core.reopen_audit().await;
        for hook in &self.0.hooks {
            hook().await;
        }
    }

    async fn shutdown(&self) {
        self.0.tasks.drained().await;
        self.0.core.seal().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("core", &self.0.core).finish_non_exhaustive()
    }
}

const RATE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

const NO_HELP: &str = "Missing /v1/ prefix in path. Use vault path-help command to retrieve API help for paths";
