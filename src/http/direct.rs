//! Endpoints that do not go through the routes, for they answer while sealed (spec `sys.md` §1, §2). Their replies have no
//! envelope.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::form;
use super::read::{self, Bounds, Verb};
use super::server::Server;
use super::wire;
use crate::base::{ApiPath, Secret};
use crate::core::{Core, InitInput, Refusal, RekeyInput, ShareInput, State, UnsealInput};
use crate::mount::ApiError;
use crate::policy::Operation;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Init,
    SealStatus,
    Unseal,
    Seal,
    StepDown,
    Health,
    Leader,
    RootAttempt,
    RootUpdate,
    RekeyInit,
    RekeyUpdate,
    RekeyVerify,
    /// Of keys that this kind of seal does not have.
    RecoveryInit,
    RecoveryUpdate,
    RecoveryVerify,
}

impl Endpoint {
    /// The endpoint of a path.
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("sys/")? {
            "init" => Self::Init,
            "seal-status" => Self::SealStatus,
            "unseal" => Self::Unseal,
            "seal" => Self::Seal,
            "step-down" => Self::StepDown,
            "health" => Self::Health,
            "leader" => Self::Leader,
            "generate-root/attempt" => Self::RootAttempt,
            "generate-root/update" => Self::RootUpdate,
            "rekey/init" => Self::RekeyInit,
            "rekey/update" => Self::RekeyUpdate,
            "rekey/verify" => Self::RekeyVerify,
            "rekey-recovery-key/init" => Self::RecoveryInit,
            "rekey-recovery-key/update" => Self::RecoveryUpdate,
            "rekey-recovery-key/verify" => Self::RecoveryVerify,
            _ => return None,
        })
    }
}

/// A request to one of them.
pub(super) struct Call<'a> {
    pub(super) server: &'a Server,
    pub(super) endpoint: Endpoint,
    pub(super) path: ApiPath,
    pub(super) verb: Verb,
    pub(super) parts: &'a Parts,
    pub(super) bounds: Bounds<'a>,
}

#[derive(Serialize)]
struct Initialized {
    initialized: bool,
}

#[derive(Debug, Default, Deserialize)]
struct RootInput {
    #[serde(default)]
    otp: Option<Secret<String>>,
    #[serde(default)]
    pgp_key: Option<String>,
}

impl Call<'_> {
    /// The reply.
    pub(super) async fn answer(self, body: Body) -> Response<Body> {
        self.reply(body).await.unwrap_or_else(wire::refused)
    }

    async fn reply(self, body: Body) -> Result<Response<Body>, Refusal> {
        let core = self.server.core();
        match (self.endpoint, self.verb) {
            (Endpoint::Init, Verb::Get) => Ok(ok(&Initialized { initialized: core.is_initialized().await? })),
            (Endpoint::Init, Verb::Write) => {
                let input: InitInput = read::input(body, self.bounds).await?;
                self.record(|core| async move { core.init(&input).await }).await
            }
            (Endpoint::SealStatus, Verb::Get) => Ok(ok(&core.seal_status().await?)),
            (Endpoint::Health, Verb::Get) => self.health(false).await,
            (Endpoint::Health, Verb::Head) => self.health(true).await,
            (Endpoint::Leader, Verb::Get) => Ok(ok(&core.leader())),
            (Endpoint::Unseal, Verb::Write) => {
                let input: UnsealInput = read::input(body, self.bounds).await?;
                self.record(|core| async move { core.unseal_step(&input).await }).await
            }
            (Endpoint::Seal, Verb::Write) => {
                let asked = read::asked(self.path.clone(), Operation::Update, self.parts, self.bounds.remote)?;
                self.nothing(|core| async move { core.seal_asked(&asked).await }).await
            }
            (Endpoint::StepDown, Verb::Write) => {
                let asked = read::asked(self.path.clone(), Operation::Update, self.parts, self.bounds.remote)?;
                self.nothing(|core| async move { core.step_down(&asked).await }).await
            }
            (Endpoint::RootAttempt | Endpoint::RootUpdate, _) => self.root(body).await,
            (Endpoint::RekeyInit | Endpoint::RekeyUpdate | Endpoint::RekeyVerify, _) => self.rekey(body).await,
            (Endpoint::RecoveryInit | Endpoint::RecoveryVerify, Verb::Get | Verb::Write | Verb::Delete)
            | (Endpoint::RecoveryUpdate, Verb::Write) => core.rekey_recovery_key().await.map(|()| wire::nothing()),
            _ => Ok(wire::unsupported()),
        }
    }

    async fn root(self, body: Body) -> Result<Response<Body>, Refusal> {
        match (self.endpoint, self.verb) {
            (Endpoint::RootAttempt, Verb::Get) => Ok(ok(&self.server.core().root_status().await?)),
            (Endpoint::RootAttempt, Verb::Write) => {
                let input: RootInput = read::input(body, self.bounds).await?;
                let begin = |core: Arc<Core>| async move {
                    let otp = input.otp.as_ref().map_or("", |otp| otp.expose());
                    core.begin_root(otp, input.pgp_key.as_deref().unwrap_or_default()).await
                };
                self.record(begin).await
            }
            (Endpoint::RootAttempt, Verb::Delete) => self.nothing(|core| async move { core.cancel_root().await }).await,
            (Endpoint::RootUpdate, Verb::Write) => {
                let input: ShareInput = read::input(body, self.bounds).await?;
                self.record(|core| async move { core.update_root(&input).await }).await
            }
            _ => Ok(wire::unsupported()),
        }
    }

    async fn rekey(self, body: Body) -> Result<Response<Body>, Refusal> {
        match (self.endpoint, self.verb) {
            (Endpoint::RekeyInit, Verb::Get) => Ok(ok(&self.server.core().rekey_status().await?)),
            (Endpoint::RekeyInit, Verb::Write) => {
                let input: RekeyInput = read::input(body, self.bounds).await?;
                self.record(|core| async move { core.begin_rekey(&input).await }).await
            }
            (Endpoint::RekeyInit, Verb::Delete) => self.nothing(|core| async move { core.cancel_rekey().await }).await,
            (Endpoint::RekeyUpdate, Verb::Write) => {
                let input: ShareInput = read::input(body, self.bounds).await?;
                self.record(|core| async move { core.update_rekey(&input).await }).await
            }
            (Endpoint::RekeyVerify, Verb::Get) => Ok(ok(&self.server.core().verify_status().await?)),
            (Endpoint::RekeyVerify, Verb::Write) => {
                let input: ShareInput = read::input(body, self.bounds).await?;
                self.record(|core| async move { core.verify_rekey(&input).await }).await
            }
            (Endpoint::RekeyVerify, Verb::Delete) => self.record(|core| async move { core.restart_verification().await }).await,
            _ => Ok(wire::unsupported()),
        }
    }

    /// The state is the status, which the caller may choose.
    async fn health(self, is_head: bool) -> Result<Response<Body>, Refusal> {
        let codes = Codes::read(self.parts.uri.query().unwrap_or_default());
        let Some(codes) = codes else { return Ok(wire::bare(StatusCode::BAD_REQUEST)) };
        let health = self.server.core().health().await?;
        let status = match health.state {
            State::Active => codes.active,
            State::Sealed => codes.sealed,
            State::Uninitialized => codes.uninit,
        };
        let has_body = !is_head && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
        Ok(if has_body { wire::record(status, &health) } else { wire::json_bytes(status, bytes::Bytes::new()) })
    }

    /// Work that goes on when the client leaves, and its record.
    async fn record<T, F, Fut>(&self, work: F) -> Result<Response<Body>, Refusal>
    where
        T: Serialize + Send + 'static,
        F: FnOnce(Arc<Core>) -> Fut,
        Fut: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        Ok(ok(&self.whole(work).await?))
    }

    /// Work that goes on when the client leaves, and nothing to tell of it.
    async fn nothing<F, Fut>(&self, work: F) -> Result<Response<Body>, Refusal>
    where
        F: FnOnce(Arc<Core>) -> Fut,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.whole(work).await.map(|()| wire::nothing())
    }

    async fn whole<T, F, Fut>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Core>) -> Fut,
        Fut: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let work = work(Arc::clone(self.server.core()));
        let done = self.server.tasks().spawn(work).await;
        done.unwrap_or_else(|_| Err(ApiError::internal("the request panicked").into()))
    }
}

/// Statuses of `sys/health`.
struct Codes {
    active: StatusCode,
    sealed: StatusCode,
    uninit: StatusCode,
}

impl Codes {
    /// `None` when a parameter makes no sense. Those of other states are judged as well: this server has no standbys.
    fn read(query: &str) -> Option<Self> {
        let mut codes =
            Self { active: StatusCode::OK, sealed: StatusCode::SERVICE_UNAVAILABLE, uninit: StatusCode::NOT_IMPLEMENTED };
        if query.is_empty() {
            return Some(codes);
        }
        for name in ["standbyok", "perfstandbyok"] {
            let value = form::first(query, name).ok()?;
            let _judged = value.filter(|value| !value.is_empty()).map_or(Some(true), |value| form::boolean(&value))?;
        }
        let mut ignored = StatusCode::OK;
        for name in CODES {
            let Some(value) = form::first(query, name).ok()?.filter(|value| !value.is_empty()) else { continue };
            // Below 200 a status ends nothing.
            let code =
                value.parse().ok().filter(|code| (200..1000).contains(code)).and_then(|code| StatusCode::from_u16(code).ok())?;
            *match name {
                "activecode" => &mut codes.active,
                "sealedcode" => &mut codes.sealed,
                "uninitcode" => &mut codes.uninit,
                _ => &mut ignored,
            } = code;
        }
        Some(codes)
    }
}

fn ok<T: Serialize>(record: &T) -> Response<Body> {
    wire::record(StatusCode::OK, record)
}

const CODES: [&str; 8] = [
    "activecode",
    "sealedcode",
    "uninitcode",
    "standbycode",
    "drsecondarycode",
    "performancestandbycode",
    "removedcode",
    "haunhealthycode",
];
