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
use http::request::Parts;
use http::{HeaderName, Request, Response, StatusCode};
use tower::Service;

use super::app::{App, ConnectInfo};
use super::direct::{Call, Endpoint};
use super::paths::{self, Target};
use super::read::{self, Bounds, Verb};
use super::wire;
use crate::base::{ApiPath, Tasks};
use crate::config::ListenerLimits;
use crate::core::{Core, Refusal};

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

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let namespace = parts.headers.get(NAMESPACE).filter(|value| !value.is_empty()).cloned();
        let mut response = self.route(&parts, body).await.unwrap_or_else(wire::refused);
        if let Some(namespace) = namespace {
            response.headers_mut().insert(NAMESPACE, namespace);
        }
        response
    }

    async fn route(&self, parts: &Parts, body: Body) -> Result<Response<Body>, Refusal> {
        Ok(match paths::target(parts.uri.path()) {
            Target::Api(path) => return self.api(path, parts, body).await,
            Target::Unprintable => wire::empty(StatusCode::BAD_REQUEST),
            Target::Relative => wire::failure(StatusCode::BAD_REQUEST, "relative paths not supported"),
            Target::TooLong => wire::failure(StatusCode::BAD_REQUEST, "the path is too long"),
            Target::Cleaned(path) => match parts.uri.query() {
                Some(query) => wire::redirect(&format!("{path}?{query}")),
                None => wire::redirect(&path),
            },
            _ if Verb::of(parts)? == Verb::Help => wire::failure(StatusCode::NOT_FOUND, NO_HELP),
            Target::Root => wire::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            Target::Elsewhere => wire::bare(StatusCode::NOT_FOUND),
        })
    }

    async fn api(&self, path: ApiPath, parts: &Parts, body: Body) -> Result<Response<Body>, Refusal> {
        let limits = ConnectInfo::of(&parts.extensions).map_or(&self.0.limits, |info| &*info.limits);
        let bounds = Bounds { limits, clock: &**self.0.core.clock() };
        let verb = Verb::of(parts)?;
        if verb != Verb::Help
            && let Some(endpoint) = Endpoint::of(path.as_str())
        {
            // Aside, so that all other requests do not carry the room for these.
            return Ok(Box::pin(Call { server: self, endpoint, path, verb, parts, bounds }.answer(body)).await);
        }
        match read::request(path, verb, parts, body, bounds).await? {
            // The one large future of a request; what is around it stays small enough to be moved.
            Some(request) => Ok(wire::outcome(Box::pin(self.0.core.handle(request, limits.max_request_duration)).await)),
            None => Ok(wire::unsupported()),
        }
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
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
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

const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

const NO_HELP: &str = "Missing /v1/ prefix in path. Use vault path-help command to retrieve API help for paths";
