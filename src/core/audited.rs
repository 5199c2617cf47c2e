//! Steps 5 and 8 of a request: its line, and that of its reply (spec `seal-and-barrier.md` §6).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::audit::{
    AuthFacts, Common, HeaderFacts, MountFacts, PolicyResults, Record, Reply, RequestFacts, ResponseFacts, Said, WrapFacts,
    Writing, both,
};
use crate::barrier::{Barrier, BarrierError, View};
use crate::base::version;
use crate::mount::error::listed;
use crate::mount::{ApiError, Asked, Mount};
use crate::policy::{Operation, Verdict};
use crate::token::TokenInfo;

use super::Active;
use super::access::Identified;
use super::envelope::{Data, Envelope};
use super::settle::{LoginFacts, Settled, SettledBody};

/// Everything a line may speak of.
pub(super) struct Facts<'a> {
    pub(super) active: &'a Active,
    pub(super) asked: &'a Asked,
    pub(super) data: &'a Map<String, Value>,
    pub(super) mount: Option<&'a Mount>,
    pub(super) operation: Operation,
    pub(super) verdict: Option<&'a Verdict>,
    pub(super) is_login: bool,
    /// The mount's accessor is part of the line: it is once the mount was asked something.
    pub(super) has_accessor: bool,
}

impl Facts<'_> {
    /// The line of a request that may run.
    pub(super) fn request(&self, before: Option<&Identified>) -> Result<Writing, ApiError> {
        let granting = self.granting();
        let auth = self.auth(before, Some(PolicyResults { allowed: true, granting: &granting }));
        self.line(&auth, before, self.has_accessor, None, "", None)
    }

    /// Both lines of a request that may not.
    pub(super) async fn denied(&self, before: Option<&Identified>, was_asked: bool, error: &ApiError) -> Result<(), ApiError> {
        if !self.active.audit.is_enabled() {
            return Ok(());
        }
        let results = was_asked.then_some(PolicyResults { allowed: false, granting: &[] });
        let auth = self.auth(before, results);
        let text = error.shown(false);
        let mut first = self.line(&auth, before, self.has_accessor, None, &text, None)?;
        let said = first.take_said();
        first.await.map_err(ApiError::internal)?;
        let response = ResponseFacts { data: Reply::Error(&text), ..ResponseFacts::default() };
        let whole = if error.is_listed { text.clone() } else { listed(&error.text) };
        let first = Some((&said, Common { auth: true, request: true }));
        self.line(&auth, before, self.has_accessor, Some(&response), &whole, first)?.await.map_err(ApiError::internal)
    }

    /// The only line of a request whose wrapping token is none.
    pub(super) async fn wrapping_refused(&self, error: &ApiError) -> Result<(), ApiError> {
        if !self.active.audit.is_enabled() {
            return Ok(());
        }
        let token = self.asked.token.as_ref().map_or("", |token| token.expose().as_str());
        let known = self.active.tokens.find(token).await.ok().flatten().filter(|_| !token.is_empty());
        let accessor = known.as_ref().and_then(|info| info.accessor.as_ref()).map_or("", |accessor| accessor.as_str());
        let auth = AuthFacts { client_token: if known.is_some() { token } else { "" }, accessor, ..AuthFacts::ANONYMOUS };
        let remote = self.asked.remote.address();
        let heard = self.active.audited_headers.load().of(self.asked);
        let headers: Vec<_> = heard.iter().map(Heard::facts).collect();
        let mut request = self.request_facts(&remote, &headers, false);
        request.mount = self.mount.map(|mount| MountFacts { point: mount.entry.path.as_str(), ..MountFacts::default() });
        (request.client_token, request.client_token_accessor) = (token, accessor);
        let time = self.active.clock.precise();
        let record = Record { time, auth: &auth, request: &request, response: None, error: &error.text };
        self.active.audit.write(&record).await.map_err(ApiError::internal)
    }

    /// The line of a reply, behind that of its request, unless that is written already. `said`: what that says.
    pub(super) async fn response(
        &self,
        first: Option<Writing>,
        said: &Said,
        before: Option<&Identified>,
        settled: Result<&Settled, &ApiError>,
    ) -> Result<(), ApiError> {
        let granting = self.granting();
        let results = (!self.is_login).then_some(PolicyResults { allowed: true, granting: &granting });
        let auth = self.auth(before, results);
        // A login turns out to be somebody, and the first line of a read does not name the mount's accessor.
        let common = Common { auth: !self.is_login, request: is_write(self.asked.operation) };
        let said = Some((said, common));
        let second = match settled {
            Ok(settled) => self.success(before, &auth, settled, said),
            Err(error) => {
                let shown = error.shown(self.is_login);
                let data = if shown.is_empty() { Reply::Empty } else { Reply::Error(&shown) };
                let response = ResponseFacts { data, ..ResponseFacts::default() };
                let text = error.audited.map_or(shown.as_str(), |text| text);
                self.line(&auth, before, true, Some(&response), text, said)
            }
        };
        let (first, mut second) = match (first, second?) {
            (None, second) => return second.await.map_err(ApiError::internal),
            (Some(first), second) => (first, second),
        };
        second.hand_over();
        both(first, second).await.map_err(ApiError::internal)
    }

    fn success(
        &self,
        before: Option<&Identified>,
        auth: &AuthFacts<'_>,
        settled: &Settled,
        first: Option<(&Said, Common)>,
    ) -> Result<Writing, ApiError> {
        let mut response = ResponseFacts::default();
        let made = settled.login.as_ref().map(of_made);
        let decoded;
        match &settled.body {
            SettledBody::Nothing | SettledBody::Flow(_) => {}
            SettledBody::Raw(raw) => {
                // An unwrapped reply is shown as what it is (spec §6).
                decoded = serde_json::from_slice::<Map<String, Value>>(&raw.bytes).ok();
                let inner = decoded.as_ref().filter(|_| self.asked.path.as_str() == "sys/wrapping/unwrap");
                if let Some(Value::Object(data)) = inner.and_then(|inner| inner.get("data")) {
                    response.data = Reply::Data(data);
                }
            }
            SettledBody::Envelope(envelope) => {
                response.warnings = &envelope.warnings;
                fill(&mut response, envelope, settled);
                if envelope.wrap_info.is_none() {
                    response.auth = made.as_ref();
                }
            }
        }
        let login = settled.login.as_ref().filter(|login| login.is_login);
        match (login, &made) {
            (Some(login), Some(made)) => {
                let auth = AuthFacts { entity_created: login.entity_created, ..made.clone() };
                self.line(&auth, before, true, Some(&response), "", first)
            }
            _ => self.line(auth, before, true, Some(&response), "", first),
        }
    }

    fn line(
        &self,
        auth: &AuthFacts<'_>,
        before: Option<&Identified>,
        has_accessor: bool,
        response: Option<&ResponseFacts<'_>>,
        error: &str,
        first: Option<(&Said, Common)>,
    ) -> Result<Writing, ApiError> {
        let remote = self.asked.remote.address();
        let heard = self.active.audited_headers.load().of(self.asked);
        let headers: Vec<_> = heard.iter().map(Heard::facts).collect();
        let mut request = self.request_facts(&remote, &headers, has_accessor);
        let client_id;
        if !self.is_login {
            request.client_token = self.asked.token.as_ref().map_or("", |token| token.expose().as_str());
            if let Some(identified) = before {
                request.client_token_accessor = accessor(&identified.before);
                client_id = client_id_of(&identified.before);
                request.client_id = &client_id;
            }
        }
        let record = Record { time: self.active.clock.precise(), auth, request: &request, response, error };
        self.active.audit.start_after(&record, first).map_err(ApiError::internal)
    }

    fn request_facts<'b>(&'b self, remote: &'b str, headers: &'b [HeaderFacts<'b>], has_accessor: bool) -> RequestFacts<'b> {
        RequestFacts {
            id: self.asked.id.as_str(),
            operation: self.operation.as_str(),
            mount: self.mount.map(|mount| facts_of(mount, has_accessor)),
            path: self.asked.path.as_str(),
            data: Some(self.data).filter(|data| !data.is_empty()),
            remote_address: remote,
            remote_port: self.asked.remote.port,
            wrap_ttl: self.asked.wrap_ttl.map_or(0, crate::base::Ttl::as_seconds),
            headers,
            ..RequestFacts::default()
        }
    }

    fn granting(&self) -> Vec<&str> {
        self.verdict.map(|verdict| verdict.granting.iter().map(AsRef::as_ref).collect()).unwrap_or_default()
    }

    fn auth<'b>(&'b self, before: Option<&'b Identified>, results: Option<PolicyResults<'b>>) -> AuthFacts<'b> {
        let Some(identified) = before else {
            return AuthFacts { policy_results: results, ..AuthFacts::ANONYMOUS };
        };
        let token = self.asked.token.as_ref().map_or("", |token| token.expose().as_str());
        AuthFacts {
            client_token: token,
            policy_results: results,
            remaining_uses: identified.before.num_uses,
            token_issue_time: Some(identified.before.created),
            ..of_token(&identified.before)
        }
    }
}

/// Which request headers are audited (spec `sys.md` §7).
#[derive(Debug)]
pub(super) struct AuditedHeaders {
    view: View,
    now: ArcSwap<HeaderRules>,
}

/// Names in lower case, and whether their values are hashed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct HeaderRules(pub(super) BTreeMap<String, HeaderRule>);

/// Of one header.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct HeaderRule {
    /// Its values are hashed.
    pub(super) hmac: bool,
}

impl AuditedHeaders {
    pub(super) async fn open(barrier: &Arc<Barrier>) -> Result<Self, BarrierError> {
        let view = barrier.view("core/");
        let rules: Option<HeaderRules> = view.read(HEADERS).await?;
        let rules =
            rules.unwrap_or_else(|| HeaderRules(DEFAULT_HEADERS.map(|name| (name.to_owned(), HeaderRule::default())).into()));
        Ok(Self { view, now: ArcSwap::from_pointee(rules) })
    }

    pub(super) fn load(&self) -> Arc<HeaderRules> {
        self.now.load_full()
    }

    /// The caller keeps two changes from running at once.
    pub(super) async fn replace(&self, rules: HeaderRules) -> Result<(), BarrierError> {
        self.view.put(HEADERS, &rules).await?;
        self.now.store(Arc::new(rules));
        Ok(())
    }
}

impl HeaderRules {
    fn of(&self, asked: &Asked) -> Vec<Heard> {
        let present = self.0.iter().filter(|(name, _)| asked.headers.contains_key(name.as_str()));
        let heard = present.map(|(name, rule)| {
            let values = asked.headers.get_all(name.as_str()).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
            Heard { name: name.clone(), values, hashed: rule.hmac }
        });
        heard.collect()
    }
}

/// A header of a request that is audited.
struct Heard {
    name: String,
    values: Vec<String>,
    hashed: bool,
}

impl Heard {
    fn facts(&self) -> HeaderFacts<'_> {
        HeaderFacts { name: &self.name, values: &self.values, hashed: self.hashed }
    }
}

fn fill<'a>(response: &mut ResponseFacts<'a>, envelope: &'a Envelope, settled: &'a Settled) {
    if let Some(wrap) = &envelope.wrap_info {
        response.wrap = Some(WrapFacts {
            ttl: wrap.ttl.as_seconds(),
            token: wrap.token.expose(),
            accessor: &wrap.accessor,
            creation_time: &wrap.creation_time,
            creation_path: &wrap.creation_path,
            wrapped_accessor: &wrap.wrapped_accessor,
        });
        return;
    }
    response.data = match &envelope.data {
        Data::None => Reply::Empty,
        Data::Object(data) => Reply::Data(data),
        Data::List(keys, beside) => Reply::List(keys, beside),
    };
    if settled.has_lease() || settled.is_kept || envelope.lease_id.is_some() {
        response.lease = Some(envelope.lease_id.as_ref().map_or("", |id| id.as_str()));
    }
}

fn of_made(login: &LoginFacts) -> AuthFacts<'_> {
    AuthFacts {
        client_token: login.token.expose(),
        policies: &login.policies,
        identity_policies: &login.identity_policies,
        num_uses: login.info.num_uses,
        no_default_policy: login.no_default_policy,
        ..of_token(&login.info)
    }
}

fn of_token(info: &TokenInfo) -> AuthFacts<'_> {
    AuthFacts {
        accessor: accessor(info),
        display_name: &info.display_name,
        policies: &info.policies,
        token_policies: &info.policies,
        metadata: info.meta.as_ref(),
        entity_id: &info.entity_id,
        token_type: info.kind.as_str(),
        token_ttl: info.creation_ttl.as_seconds(),
        ..AuthFacts::ANONYMOUS
    }
}

fn accessor(info: &TokenInfo) -> &str {
    info.accessor.as_ref().map_or("", |accessor| accessor.as_str())
}

fn facts_of(mount: &Mount, has_accessor: bool) -> MountFacts<'_> {
    let entry = &mount.entry;
    MountFacts {
        point: entry.path.as_str(),
        kind: &entry.kind,
        accessor: if has_accessor { &entry.accessor } else { "" },
        running_version: RUNNING_VERSION,
        class: entry.class.as_str(),
        clear_request_keys: entry.config.audit_non_hmac_request_keys.as_deref().unwrap_or_default(),
        clear_response_keys: entry.config.audit_non_hmac_response_keys.as_deref().unwrap_or_default(),
    }
}

/// Whether it writes: then the first line names the mount's accessor, as the second of any operation does.
pub(super) fn is_write(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update | Operation::Patch)
}

/// The entity, or a hash of the policies.
fn client_id_of(info: &TokenInfo) -> String {
    if !info.entity_id.is_empty() {
        return info.entity_id.clone();
    }
    let hash = digest::digest(&digest::SHA256, info.policies.join("\u{1f}").as_bytes());
    STANDARD.encode(hash.as_ref())
}

/// Of plugins that are part of the program.
pub(super) const RUNNING_VERSION: &str = version::RUNNING_PLUGIN;

/// Audited unless the operator changed it (spec §6, "Headers").
const DEFAULT_HEADERS: [&str; 2] = ["correlation-id", "x-correlation-id"];

const HEADERS: &str = "audited-headers";
