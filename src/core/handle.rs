//! A request's way through the server, in steps that are types: to forget one does not compile (architecture §5).
//!
//! ```text
//! Routed ─ (3) who ─ (4) may he ─► Authorized ─ (5) audit ─► Audited ─ (6) run ─► Ran ─ (7) settle ─► Settled ─ (8) audit ─► answer
//! ```

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};

use crate::audit::{Said, Writing};
use crate::base::Ttl;
use crate::base::time::timeout;
use crate::lease::Owner;
use crate::mount::{ApiError, Asked, Body, Caller, Ctx, EndpointSpec, ErrorKind, Found, Mount, Reply, Request};
use crate::policy::{Ask, Operation, Verdict};

use super::access::{Identified, refused};
use super::answer::{Answer, Outcome, Refusal};
use super::audited::{Facts, is_write};
use super::settle::{self, Settled};
use super::{Active, wrapping};

/// A request and where it leads.
struct Routed {
    active: Arc<Active>,
    asked: Arc<Asked>,
    data: Map<String, Value>,
    mount: Option<Arc<Mount>>,
    found: Option<Found>,
    flags: Flags,
}

/// What the endpoint says of itself.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is another thing an endpoint declares")]
struct Flags {
    is_login: bool,
    needs_sudo: bool,
    issues: bool,
    only_looks: bool,
    is_top: bool,
    has_probe: bool,
}

/// A request whose caller may do what he asks.
struct Authorized {
    routed: Routed,
    caller: Caller,
    operation: Operation,
    verdict: Option<Verdict>,
    /// The token before this request took a use of it.
    before: Option<Identified>,
}

/// A request whose line is written, or handed over when it changes nothing.
struct Audited {
    authorized: Authorized,
    /// Waited for with the line of the reply.
    line: Option<Writing>,
    said: Said,
}

/// A request that ran.
struct Ran {
    authorized: Authorized,
    /// Kept for the line of the reply, when somebody writes it.
    data: Map<String, Value>,
    line: Option<Writing>,
    said: Said,
    reply: Result<Reply, ApiError>,
}

impl Active {
    /// Answers a request within `limit`.
    pub(super) async fn handle(self: &Arc<Self>, request: Request, limit: Ttl) -> Outcome {
        let routed = Routed::new(self, request);
        let is_plain_read = routed.is_plain_read();
        // The one large future of a request; whatever is around it stays small enough to be moved.
        let work = Box::pin(routed.answer(limit));
        if is_plain_read {
            // Goes with the connection.
            return work.await;
        }
        // The client may leave; the work goes on.
        self.tasks.see_through(work).await
    }
}

impl Routed {
    /// Step 2.
    fn new(active: &Arc<Active>, request: Request) -> Self {
        let Request { asked, data } = request;
        let routes = active.routes.load();
        let mut flags = Flags::default();
        let (mut mount, mut found) = (None, None);
        if let Some((there, rest)) = routes.find(asked.path.as_str()) {
            found = there.plugin.find(rest);
            if let Some(spec) = found.as_ref().and_then(|found| there.plugin.spec(found)) {
                flags = Flags::of(spec);
            }
            mount = Some(Arc::clone(there));
        }
        Self { active: Arc::clone(active), asked: Arc::new(asked), data, mount, found, flags }
    }

    fn is_plain_read(&self) -> bool {
        let reads = matches!(self.asked.operation, Operation::Read | Operation::List | Operation::Help);
        (reads || self.flags.only_looks) && !self.flags.issues && self.asked.wrap_ttl.is_none()
    }

    /// Runs it within `limit`, and says in one place what the log and the client are told of a failure.
    async fn answer(self, limit: Ttl) -> Outcome {
        let (active, asked, mount) = (Arc::clone(&self.active), Arc::clone(&self.asked), self.mount.clone());
        let is_login = self.flags.is_login;
        let began = active.clock.elapsed();
        let _flight = active.seen.flights.enter(&asked, began);
        // A panic would take the connection along, with HTTP/2 all its streams.
        let work = std::pin::pin!(AssertUnwindSafe(self.run()).catch_unwind());
        let outcome = match timeout(&*active.clock, limit.to_duration(), work).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(ApiError::internal("the request panicked")),
            None => Err(ApiError::fault("context deadline exceeded")),
        };
        let took = active.clock.elapsed().saturating_sub(began);
        active.seen.metrics.record(mount.as_deref(), asked.operation, is_login, outcome.is_err(), took);
        outcome.map_err(|error| {
            if let Some(cause) = &error.cause {
                tracing::error!(request.id = %asked.id, request.path = %asked.path, error = cause, "a request failed: {cause}");
            }
            Refusal::of(error, is_login)
        })
    }

    async fn run(self) -> Result<Answer, ApiError> {
        let active = Arc::clone(&self.active);
        if wrapping::is_checked(self.asked.path.as_str())
            && let Err(error) = Box::pin(wrapping::check(&active, &self.asked, &self.data)).await
        {
            return Err(Box::pin(self.refuse_wrapping(error)).await);
        }
        let authorized = self.authorize().await;
        let caller = match &authorized {
            Ok(authorized) => Some(&authorized.caller),
            Err(denied) => denied.before.as_ref().map(|identified| &identified.caller),
        };
        let ending = caller.and_then(Caller::ending);
        let outcome = match authorized {
            Ok(authorized) => authorized.finish().await,
            Err(denied) => Err(Box::pin(denied.refuse()).await),
        };
        if let Some(token) = ending {
            active.end_behind(token);
        }
        outcome
    }

    /// Steps 3 and 4.
    async fn authorize(self) -> Result<Authorized, Box<Denied>> {
        if self.flags.is_login {
            let operation = self.asked.operation;
            let authorized = Authorized { routed: self, caller: Caller::default(), operation, verdict: None, before: None };
            return Ok(authorized);
        }
        let identified = match self.active.identify(&self.asked).await {
            Ok(identified) => identified,
            Err(error) => return Err(Box::new(Denied { routed: self, before: None, operation: None, error })),
        };
        let mut caller = identified.caller.clone();
        let (operation, verdict) = match self.judge(&caller).await {
            Ok(judged) => judged,
            Err(error) => {
                return Err(Box::new(Denied { routed: self, before: Some(identified), operation: None, error }));
            }
        };
        if !verdict.allowed {
            let error = ApiError::denied();
            return Err(Box::new(Denied { routed: self, before: Some(identified), operation: Some(operation), error }));
        }
        caller.has_sudo = verdict.sudo;
        Ok(Authorized { routed: self, caller, operation, verdict: Some(verdict), before: Some(identified) })
    }

    /// What is asked, and whether he may. Whether a write creates or updates its endpoint may know; it is asked, which is a read
    /// of storage, when it makes a difference: to his policies, or in the lines of the log.
    async fn judge(&self, caller: &Caller) -> Result<(Operation, Verdict), ApiError> {
        let asked = self.asked.operation;
        let verdict = self.verdict(caller, asked);
        let (Some(mount), Some(found), true) = (&self.mount, &self.found, self.flags.has_probe) else {
            return Ok((asked, verdict));
        };
        if asked != Operation::Update || !mount.entry.is_ready() {
            return Ok((asked, verdict));
        }
        if verdict.allowed && !self.active.audit.is_enabled() && self.verdict(caller, Operation::Create).allowed {
            return Ok((asked, verdict));
        }
        let cx = self.cx(mount, caller.clone(), Operation::Update);
        Ok(match mount.plugin.exists(&cx, found, &self.data).await? {
            Some(false) => (Operation::Create, self.verdict(caller, Operation::Create)),
            _ => (asked, verdict),
        })
    }

    fn verdict(&self, caller: &Caller, operation: Operation) -> Verdict {
        let ask = Ask {
            path: self.asked.path.as_str(),
            operation,
            data: Some(&self.data),
            wrap_ttl: self.asked.wrap_ttl,
            sudo_path: self.flags.needs_sudo,
        };
        match &caller.acl {
            Some(acl) => acl.check(&ask),
            None => Verdict { allowed: false, is_root: false, sudo: false, granting: Arc::from([]) },
        }
    }

    fn cx(&self, mount: &Mount, caller: Caller, operation: Operation) -> Ctx {
        let owner = caller.token.as_ref().map_or_else(Owner::default, |token| token.owner(caller.is_last_use));
        Ctx::new(
            Arc::clone(&self.asked),
            caller,
            Arc::clone(&mount.entry),
            self.active.settings.limits(&mount.entry.config),
            Arc::clone(&self.active.clock),
            operation,
            Arc::clone(&self.active.leases),
            owner,
        )
    }

    /// A wrapping token that is none leaves one line, the sign that somebody was first (spec `cubbyhole-and-wrapping.md` §4).
    async fn refuse_wrapping(self, error: ApiError) -> ApiError {
        let facts = Facts {
            active: &self.active,
            asked: &self.asked,
            data: &self.data,
            mount: self.mount.as_deref(),
            operation: self.asked.operation,
            verdict: None,
            is_login: false,
            has_accessor: false,
        };
        facts.wrapping_refused(&error).await.err().unwrap_or(error)
    }
}

/// A request that is refused before it runs.
struct Denied {
    routed: Routed,
    before: Option<Identified>,
    /// Known once the policies were asked.
    operation: Option<Operation>,
    error: ApiError,
}

impl Denied {
    async fn refuse(self) -> ApiError {
        let Self { routed, before, operation, error } = self;
        let facts = Facts {
            active: &routed.active,
            asked: &routed.asked,
            data: &routed.data,
            mount: routed.mount.as_deref(),
            operation: operation.unwrap_or(routed.asked.operation),
            verdict: None,
            is_login: false,
            has_accessor: operation.is_some() && is_write(routed.asked.operation),
        };
        facts.denied(before.as_ref(), operation.is_some(), &error).await.err().unwrap_or(error)
    }
}

impl Authorized {
    async fn finish(self) -> Result<Answer, ApiError> {
        let audited = self.audit().await?;
        let ran = audited.run().await;
        ran.settle().await
    }

    /// Step 5.
    async fn audit(self) -> Result<Audited, ApiError> {
        let (mut line, mut said) = (None, Said::default());
        if self.routed.active.audit.is_enabled() {
            let facts = self.facts(&self.routed.data, is_write(self.routed.asked.operation));
            let mut first = facts.request(self.before.as_ref())?;
            said = first.take_said();
            if self.routed.is_plain_read() && !self.routed.flags.is_login {
                first.hand_over();
                line = Some(first);
            } else {
                first.await.map_err(ApiError::internal)?;
            }
        }
        Ok(Audited { authorized: self, line, said })
    }

    fn facts<'a>(&'a self, data: &'a Map<String, Value>, has_accessor: bool) -> Facts<'a> {
        Facts {
            active: &self.routed.active,
            asked: &self.routed.asked,
            data,
            mount: self.routed.mount.as_deref(),
            operation: self.operation,
            verdict: self.verdict.as_ref(),
            is_login: self.routed.flags.is_login,
            has_accessor,
        }
    }
}

impl Audited {
    /// Step 6.
    async fn run(self) -> Ran {
        let Self { mut authorized, mut line, said } = self;
        let routed = &mut authorized.routed;
        let is_recorded = routed.active.audit.is_enabled() || routed.asked.path.as_str().starts_with("sys/audit");
        let data = std::mem::take(&mut routed.data);
        let kept = if is_recorded { data.clone() } else { Map::new() };
        let reply = match (&routed.mount, routed.found.take()) {
            (None, _) => Err(no_route(routed.asked.path.as_str(), "route entry not found.")),
            (Some(mount), _) if !mount.entry.is_ready() => Err(no_route(routed.asked.path.as_str(), "the mount is tainted.")),
            (Some(mount), found) if authorized.operation == Operation::Help => {
                super::sys::help::reply(mount, found.as_ref(), routed.asked.path.as_str())
            }
            (Some(mount), Some(found)) => {
                let mount = Arc::clone(mount);
                let cx = routed.cx(&mount, authorized.caller.clone(), authorized.operation);
                if routed.flags.issues
                    && let Err(error) = routed.active.leases.check_room(routed.asked.path.as_str())
                {
                    Err(error.into())
                } else if routed.flags.is_login {
                    Box::pin(login(&routed.active, &mount, cx, found, data)).await
                } else {
                    beside(&mut line, mount.plugin.handle(cx, found, data)).await
                }
            }
            (Some(_), None) => Err(ApiError::unsupported_path()),
        };
        Ran { authorized, data: kept, line, said, reply }
    }
}

impl Ran {
    /// Steps 7 and 8.
    async fn settle(self) -> Result<Answer, ApiError> {
        let Self { authorized, data, line, said, reply } = self;
        let routed = &authorized.routed;
        let settled = match reply {
            Ok(reply) => {
                if let Some(error) = nothing_found(&reply, authorized.operation, routed.asked.wrap_ttl.is_some()) {
                    Err(error)
                } else {
                    let scene = settle::Scene {
                        active: &routed.active,
                        asked: &routed.asked,
                        mount: routed.mount.as_deref(),
                        caller: &authorized.caller,
                        is_top: routed.flags.is_top,
                    };
                    scene.settle(reply).await
                }
            }
            Err(error) => Err(error),
        };
        if routed.active.audit.is_enabled() {
            let facts = authorized.facts(&data, true);
            if let Err(error) = Box::pin(facts.response(line, &said, authorized.before.as_ref(), settled.as_ref())).await {
                // Nobody knows of it, nobody keeps it.
                if let Ok(settled) = &settled {
                    Box::pin(settled.undo(&routed.active)).await;
                }
                return Err(error);
            }
        }
        settled.map(Settled::into_answer)
    }
}

impl Flags {
    fn of(spec: &EndpointSpec) -> Self {
        Self {
            is_login: spec.is_login,
            needs_sudo: spec.needs_sudo,
            issues: spec.issues,
            only_looks: spec.only_looks,
            is_top: spec.is_top,
            has_probe: spec.has_probe,
        }
    }
}

/// Runs `work`. When it has to wait, the line goes out meanwhile.
async fn beside<T>(line: &mut Option<Writing>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        let done = work.as_mut().poll(cx);
        if done.is_pending()
            && let Some(line) = line
        {
            line.go_on(cx);
        }
        done
    })
    .await
}

/// A login, of somebody who is not locked out.
async fn login(active: &Active, mount: &Mount, cx: Ctx, found: Found, data: Map<String, Value>) -> Result<Reply, ApiError> {
    if !active.quotas.asks_for_role(cx.asked.path.as_str()) {
        return judged_login(active, mount, cx, found, data).await;
    }
    // Who names no role that there is fails anyway.
    let role = mount.plugin.login_role(cx.rest(), &data).await.unwrap_or_default();
    let mut reply = judged_login(active, mount, cx, found, data).await?;
    if let Body::Login(grant) = &mut reply.body {
        grant.role = role;
    }
    Ok(reply)
}

async fn judged_login(
    active: &Active,
    mount: &Mount,
    cx: Ctx,
    found: Found,
    data: Map<String, Value>,
) -> Result<Reply, ApiError> {
    let rule = active.settings.lockout_of(&mount.entry);
    let name = rule.and_then(|rule| Some((rule, mount.plugin.login_name(cx.rest(), &data)?)));
    let Some((rule, name)) = name else { return mount.plugin.handle(cx, found, data).await };
    let id = &mount.entry.id;
    if active.lockouts.is_locked(id, &name, active.clock.now()) {
        return Err(refused());
    }
    let reply = mount.plugin.handle(cx, found, data).await;
    match &reply {
        Err(error) if error.is_bad_credentials => active.lockouts.failed(id, &name, rule, active.clock.now()),
        Ok(_) => active.lockouts.succeeded(id, &name),
        Err(_) => {}
    }
    reply
}

/// 404 where a reply says that there is nothing (spec `http-api.md` §5, "Empty rules").
fn nothing_found(reply: &Reply, operation: Operation, is_wrapped: bool) -> Option<ApiError> {
    let is_read = matches!(operation, Operation::Read | Operation::List | Operation::Patch);
    match &reply.body {
        Body::Empty if is_read => Some(ApiError::missing()),
        Body::List(names, beside) if names.is_empty() && beside.is_empty() && reply.warnings.is_empty() => {
            Some(if is_wrapped { ApiError::new(ErrorKind::NotFound, "unsupported path") } else { ApiError::missing() })
        }
        _ => None,
    }
}

fn no_route(path: &str, why: &str) -> ApiError {
    let mut error = ApiError::new(ErrorKind::NotFound, format!("no handler for route \"{path}\". {why}"));
    error.audited = Some("1 error occurred:\n\t* unsupported path\n\n");
    error
}
