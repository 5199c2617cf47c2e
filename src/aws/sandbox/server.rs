//! The wire: a loopback listener, requests in the Query protocol of AWS, answers in XML.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::call::{Call, Hide, Outcome};
use super::calls::CallRecord;
use super::failure::Failure;
use super::faults::{Effect, Phase, Strike};
use super::form::Form;
use super::session::Caller;
use super::sigv4::Signed;
use super::xml::Xml;
use super::{ACCOUNT, Inner};
use super::{access, iam, sts};
use crate::base::{random, time};

/// The services that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Iam,
    Sts,
}

impl Service {
    /// By the version of the API, which each call names.
    fn of_version(version: &str) -> Option<Self> {
        match version {
            "2010-05-08" => Some(Self::Iam),
            "2011-06-15" => Some(Self::Sts),
            _ => None,
        }
    }

    /// As in scopes and permissions.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// What a request asks for.
#[derive(Debug)]
struct Asked {
    service: Service,
    action: String,
    form: Form,
}

/// The connection is to be cut instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

/// Takes connections until shutdown.
pub(super) async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
        let (slot, accepted) = tokio::select! {
            next = next => next,
            () = inner.shutdown.cancelled() => return,
        };
        if let Ok((stream, _)) = accepted {
            let shared = Arc::clone(&inner);
            inner.tasks.spawn(async move {
                serve(stream, shared).await;
                drop(slot);
            });
            continue;
        }
        // The peer left already, or descriptors are short.
        tokio::select! {
            () = inner.clock.sleep(ACCEPT_PAUSE) => {}
            () = inner.shutdown.cancelled() => return,
        }
    }
}

/// Answers what comes over one connection; at shutdown it is cut.
async fn serve(stream: TcpStream, inner: Arc<Inner>) {
    // Without it a reply may wait for an acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let shared = Arc::clone(&inner);
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error is the peer's, or a cut that a fault asked for.
        _ = connection => {}
        () = inner.shutdown.cancelled() => {}
    }
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let too_large = || {
        let failure = Failure::new(413, "RequestEntityTooLarge", "Request body is larger than 1 MiB");
        Ok(respond(&inner, Service::Iam, "", Err(failure)))
    };
    if body.size_hint().lower() > u64::try_from(BODY).unwrap_or(u64::MAX) {
        return too_large();
    }
    let read = time::timeout(&*inner.clock, BODY_TIME, Limited::new(body, BODY).collect()).await.ok_or(Cut)?;
    let body = match read {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return too_large(),
        Err(_) => return Err(Cut),
    };
    let asked = match Asked::read(&parts, &inner.own(&body)) {
        Ok(asked) => asked,
        Err(failure) => return Ok(respond(&inner, Service::Iam, "", Err(failure))),
    };
    let (service, action) = (asked.service, asked.action.clone());
    let outcome = handle(&inner, &parts, &body, asked).await?;
    Ok(respond(&inner, service, &action, outcome))
}

impl Inner {
    /// A body in which the account has the number that it has inside.
    fn own<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        match std::str::from_utf8(body) {
            Ok(text) if self.account != ACCOUNT => Cow::Owned(text.replace(&self.account, ACCOUNT).into_bytes()),
            _ => Cow::Borrowed(body),
        }
    }
}

impl Asked {
    fn read(parts: &Parts, body: &[u8]) -> Result<Self, Failure> {
        if parts.uri.path() != "/" {
            return Err(Failure::new(404, "NotFound", "This stand-in for AWS answers IAM and STS at / only."));
        }
        let form = match parts.method {
            Method::POST => {
                let text = std::str::from_utf8(body);
                Form::parse(text.map_err(|_| Failure::new(400, "MalformedQueryString", "The body is not text in UTF-8."))?)?
            }
            Method::GET => Form::parse(parts.uri.query().unwrap_or_default())?,
            _ => return Err(Failure::new(405, "MethodNotAllowed", "Calls are made with POST or GET.")),
        };
        let missing = || Failure::new(400, "MissingAction", "The request is missing an action or a required parameter.");
        let action = form.get("Action").filter(|action| action.len() <= 128).ok_or_else(missing)?.to_owned();
        let version = form.get("Version").unwrap_or_default();
        let service = Service::of_version(version).ok_or_else(|| no_action(&action, version))?;
        Ok(Self { service, action, form })
    }
}

/// Records the call, authenticates it, and lets it happen or go wrong.
async fn handle(inner: &Arc<Inner>, parts: &Parts, body: &[u8], asked: Asked) -> Result<Outcome, Cut> {
    let signed = Signed::read(&parts.headers);
    inner.record(CallRecord {
        action: asked.action.clone(),
        user: asked.form.get("UserName").map(str::to_owned),
        access_key: signed.as_ref().ok().map(|signed| signed.key_id.clone()),
        time: inner.clock.now(),
    });
    inner.faults.tell(&asked.action, Phase::Before);
    let caller = match signed.and_then(|signed| authenticate(inner, parts, body, asked.service, &signed)) {
        Ok(caller) => caller,
        Err(failure) => return Ok(Err(failure)),
    };
    let Strike { effect, hide } = inner.faults.strike(&asked.action, asked.form.get("UserName"));
    match effect {
        Some(effect) => suffer(inner, asked, caller, effect, hide).await,
        None if !inner.limits.admit(&asked.action, inner.clock.elapsed()) => Ok(Err(too_many())),
        None => Ok(execute(inner, &asked, &caller, hide)),
    }
}

/// The caller, if the request is signed as it should be.
fn authenticate(inner: &Inner, parts: &Parts, body: &[u8], service: Service, signed: &Signed) -> Result<Caller, Failure> {
    let now = inner.moment();
    let credential = inner.state().credential(&signed.key_id, now).ok_or_else(Failure::unknown_key)?;
    signed.verify(parts, body, &credential.secret, service.name(), now.precise)?;
    credential.check(signed, now)?;
    inner.state().key_used(&signed.key_id, service.name(), &signed.region, now);
    Ok(credential.caller)
}

/// What a fault makes of a call.
async fn suffer(inner: &Arc<Inner>, asked: Asked, caller: Caller, effect: Effect, hide: Hide) -> Result<Outcome, Cut> {
    let run = || execute(inner, &asked, &caller, hide);
    Ok(match effect {
        Effect::Refuse(failure) => Err(failure),
        Effect::Throttle => Err(too_many()),
        Effect::Fail500 => Err(server_error()),
        Effect::DropBefore => return Err(Cut),
        Effect::ExecuteThenDropReply => {
            let _ = run();
            return Err(Cut);
        }
        Effect::ExecuteThen500 => {
            let _ = run();
            Err(server_error())
        }
        Effect::Hang => {
            inner.faults.hang().await;
            Err(unavailable())
        }
        Effect::Silence { lasting } => {
            inner.clock.sleep(lasting).await;
            Err(unavailable())
        }
        Effect::ExecuteThenHang => {
            let outcome = run();
            inner.faults.hang().await;
            outcome
        }
        // Already within `hide`.
        Effect::HideUser { .. } | Effect::HideKeys { .. } => run(),
        Effect::LateEffect { after } => {
            take_effect_later(inner, asked, caller, after, hide);
            return Err(Cut);
        }
    })
}

/// The time is set now: whoever moves the clock before the task first runs moves it for this call too.
fn take_effect_later(inner: &Arc<Inner>, asked: Asked, caller: Caller, after: Duration, hide: Hide) {
    let Some(late) = inner.faults.be_late() else { return };
    let due = inner.clock.elapsed().saturating_add(after);
    let shared = Arc::clone(inner);
    inner.tasks.spawn(async move {
        let rest = due.saturating_sub(shared.clock.elapsed());
        tokio::select! {
            () = shared.clock.sleep(rest) => drop(execute(&shared, &asked, &caller, hide)),
            () = shared.shutdown.cancelled() => {}
        }
        drop(late);
    });
}

/// Carries the call out under the rules of the service.
fn execute(inner: &Inner, asked: &Asked, caller: &Caller, hide: Hide) -> Outcome {
    let call =
        Call { form: &asked.form, caller, now: inner.moment(), hide, tags: inner.faults.tags(), page_limit: inner.page_limit() };
    let outcome = access::check(asked.service, &asked.action, &call).and_then(|()| {
        let mut state = inner.state();
        let outcome = match asked.service {
            Service::Iam => iam::run(&mut state, &call, &asked.action),
            Service::Sts => sts::run(&mut state, &call, &asked.action),
        };
        let version = asked.form.get("Version").unwrap_or_default();
        outcome.unwrap_or_else(|| Err(no_action(&asked.action, version)))
    });
    inner.faults.tell(&asked.action, Phase::After);
    outcome
}

fn respond(inner: &Inner, service: Service, action: &str, outcome: Outcome) -> Response<Full<Bytes>> {
    let request_id = random::uuid();
    let (status, text) = match outcome {
        Ok(result) => (StatusCode::OK, success(service, action, &result, &request_id)),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, failure.body(service.namespace(), &request_id))
        }
    };
    let text = if inner.account == ACCOUNT { text } else { text.replace(ACCOUNT, &inner.account) };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    let date = inner.clock.precise().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (name, value) in [("date", date), ("x-amzn-requestid", request_id)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

fn success(service: Service, action: &str, result: &Xml, request_id: &str) -> String {
    let mut xml = Xml::default();
    xml.root(&format!("{action}Response"), service.namespace(), |xml| {
        if !result.is_empty() {
            xml.group(&format!("{action}Result"), |xml| xml.append(result));
        }
        xml.group("ResponseMetadata", |xml| xml.leaf("RequestId", request_id));
    });
    xml.into_text()
}

fn no_action(action: &str, version: &str) -> Failure {
    Failure::new(400, "InvalidAction", format!("Could not find operation {action} for version {version}"))
}

fn too_many() -> Failure {
    Failure::new(400, "Throttling", "Rate exceeded")
}

fn unavailable() -> Failure {
    Failure::new(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
}

fn server_error() -> Failure {
    let message = "The request processing has failed because of an unknown error, exception or failure.";
    Failure::new(500, "ServiceFailure", message)
}

/// Connections at the same time; further ones wait in the system's queue.
const CONNECTIONS: usize = 1024;

/// Bytes of a request's body; the largest calls, with policies in them, have some 30 kB.
const BODY: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_mins(1);

/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
