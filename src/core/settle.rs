//! Step 7 of a request: what a plugin answered becomes true in one batch, with everything that hangs on it (architecture §5).
//! A lease becomes active, a token is made, a reply is wrapped; or nothing of it happened.

use std::sync::Arc;

use crate::barrier::Txn;
use crate::base::{LeaseId, Secret, TokenKey, Ttl};
use crate::lease::{Activation, Issued, LeaseError, When};
use crate::mount::{ApiError, Asked, Body, Caller, Flow, Grant, Mount, Raw, Reply, WrapInfo};
use crate::token::{TokenInfo, TokenKind};

use super::answer::{Answer, AnswerBody};
use super::envelope::{Auth, Data, Envelope};
use super::wrapping;
use super::{Active, grant};

/// What settling looks at.
pub(super) struct Scene<'a> {
    pub(super) active: &'a Arc<Active>,
    pub(super) asked: &'a Asked,
    pub(super) mount: Option<&'a Mount>,
    pub(super) caller: &'a Caller,
    pub(super) is_top: bool,
}

/// A reply that is true now.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) body: SettledBody,
    pub(super) is_accepted: bool,
    pub(super) is_missing: bool,
    /// To be taken back when nobody is told.
    lease: Option<LeaseId>,
    made: Vec<TokenKey>,
    /// Of a login: the token, for the audit log.
    pub(super) login: Option<LoginFacts>,
    /// The secret is not leased, but is one.
    pub(super) is_kept: bool,
}

/// What the audit log says of a token that was made.
#[derive(Debug)]
pub(super) struct LoginFacts {
    pub(super) info: Arc<TokenInfo>,
    pub(super) token: Secret<String>,
    pub(super) identity_policies: Vec<String>,
    /// Of the token and its entity together.
    pub(super) policies: Vec<String>,
    pub(super) entity_created: bool,
    pub(super) no_default_policy: bool,
    /// By an auth method: the line speaks of the new token from now on.
    pub(super) is_login: bool,
}

#[derive(Debug)]
pub(super) enum SettledBody {
    Nothing,
    Envelope(Box<Envelope>),
    Raw(Raw),
    Flow(Flow),
}

/// What is tried until its batch is committed.
enum Draft {
    Ready,
    Lease(Box<Issued>),
    Login(Box<Grant>),
}

impl Scene<'_> {
    pub(super) async fn settle(&self, reply: Reply) -> Result<Settled, ApiError> {
        let Reply { body, warnings, wrap_ttl, is_accepted, is_missing, lists_no_warnings } = reply;
        let body = match body {
            Body::Empty => return Ok(Settled::nothing(is_accepted)),
            Body::Raw(raw) => return Ok(Settled::raw(raw, is_accepted, is_missing)),
            Body::Flow(flow) => return Ok(Settled { body: SettledBody::Flow(flow), ..Settled::nothing(is_accepted) }),
            body => body,
        };
        let mut envelope =
            Box::new(Envelope { request_id: Some(self.asked.id.clone()), is_top: self.is_top, ..Envelope::default() });
        (envelope.warnings, envelope.lists_no_warnings) = (warnings, lists_no_warnings);
        let mut is_kept = false;
        let draft = match body {
            Body::Empty | Body::Raw(_) | Body::Flow(_) | Body::Null => Draft::Ready,
            Body::Data(data) => {
                envelope.data = Data::Object(data);
                Draft::Ready
            }
            Body::Kept(data, ttl) => {
                is_kept = true;
                envelope.data = Data::Object(data);
                envelope.lease_duration = ttl.as_seconds();
                Draft::Ready
            }
            Body::List(names, beside) => {
                envelope.data = Data::List(names, beside);
                Draft::Ready
            }
            Body::Renewed(renewed) => {
                envelope.lease_id = Some(renewed.id);
                envelope.renewable = renewed.renewable;
                envelope.lease_duration = renewed.ttl.as_seconds();
                Draft::Ready
            }
            Body::Token(reply) => {
                let identity_policies = Box::pin(self.active.identity_policies(&reply.info)).await?;
                envelope.auth = Some(grant::shown(&reply.info, identity_policies, reply.token, reply.ttl));
                Draft::Ready
            }
            Body::Wrapped(info) => {
                *envelope = Envelope { wrap_info: Some(*info), ..Envelope::default() };
                return Ok(Settled { is_accepted, ..Settled::envelope(envelope) });
            }
            Body::Leased(issued, data) => {
                envelope.data = Data::Object(data);
                Draft::Lease(issued)
            }
            Body::Login(grant) => Draft::Login(grant),
        };
        let wrap = wrapping::effective_ttl(self.asked.wrap_ttl, wrap_ttl);
        // What is wrapped is the plain form (spec `cubbyhole-and-wrapping.md` §3).
        envelope.is_top &= wrap.is_none();
        if matches!(draft, Draft::Ready) && wrap.is_none() {
            return Ok(Settled { is_accepted, is_missing, is_kept, ..Settled::envelope(envelope) });
        }
        let mut settled = Box::pin(self.commit(draft, envelope, wrap)).await?;
        (settled.is_accepted, settled.is_missing) = (is_accepted, is_missing);
        settled.is_kept |= is_kept;
        Ok(settled)
    }

    /// Tries until the batch is durable; a conflict that says something ends it.
    async fn commit(&self, mut draft: Draft, mut envelope: Box<Envelope>, wrap: Option<Ttl>) -> Result<Settled, ApiError> {
        let said = envelope.warnings.clone();
        for _ in 0..TRIES {
            let mut txn = self.active.barrier.txn();
            envelope.warnings.clone_from(&said);
            let mut settled = Settled::nothing(false);
            let mut activation: Option<Activation> = None;
            let mut held: Option<Box<Grant>> = None;
            match draft {
                Draft::Ready => {}
                Draft::Lease(issued) => {
                    let active = self.activate(*issued, &mut envelope, &mut txn)?;
                    settled.lease = Some(active.lease.id.clone());
                    activation = Some(active);
                }
                Draft::Login(grant) => {
                    let (facts, auth) = self.make_token(&grant, &mut envelope.warnings, &mut txn).await?;
                    settled.made.extend(stored(&facts.info));
                    settled.login = Some(facts);
                    envelope.auth = Some(auth);
                    held = Some(grant);
                }
            }
            let wrapped = match wrap {
                Some(ttl) => {
                    let (made, info) = self.wrap(&envelope, ttl, &mut txn).await?;
                    settled.made.extend(stored(&made));
                    Some(info)
                }
                None => None,
            };
            match txn.commit().await {
                Ok(()) => {
                    if let Some(activation) = activation {
                        activation.settled();
                    }
                    drop(held);
                    if let Some(info) = wrapped {
                        *envelope = Envelope { wrap_info: Some(info), ..Envelope::default() };
                    }
                    settled.body = SettledBody::Envelope(envelope);
                    return Ok(settled);
                }
                Err(error) if error.is_conflict() => {
                    draft = match (activation, held) {
                        (Some(activation), _) => Draft::Lease(Box::new(activation.conflicted().await?)),
                        (None, Some(grant)) => Draft::Login(grant),
                        (None, None) => Draft::Ready,
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::internal(LeaseError::Contended))
    }

    fn activate(&self, issued: Issued, envelope: &mut Envelope, txn: &mut Txn) -> Result<Activation, ApiError> {
        let mount = self.mount.ok_or_else(ApiError::unsupported_path)?;
        let limits = self.active.settings.limits(&mount.entry.config);
        let activation = self.active.leases.activate(issued, limits, txn)?;
        let lease = &activation.lease;
        envelope.lease_id = Some(lease.id.clone());
        envelope.renewable = lease.terms.renewable;
        envelope.lease_duration = lease.end.since(lease.issued).as_seconds();
        envelope.warnings.extend(activation.warnings.iter().cloned());
        Ok(activation)
    }

    async fn make_token(&self, grant: &Grant, warnings: &mut Vec<String>, txn: &mut Txn) -> Result<(LoginFacts, Auth), ApiError> {
        let mount = self.mount.ok_or_else(ApiError::unsupported_path)?;
        grant::make(self.active, self.asked, &mount.entry, grant, warnings, txn).await
    }

    async fn wrap(&self, envelope: &Envelope, ttl: Ttl, txn: &mut Txn) -> Result<(Arc<TokenInfo>, WrapInfo), ApiError> {
        let inner = wrapping::Inner {
            text: String::from_utf8(envelope.to_json()).map_err(ApiError::internal)?,
            path: self.asked.path.as_str(),
            accessor: self.accessor_inside(envelope),
        };
        wrapping::wrap(self.active, self.caller.display_name(), &inner, ttl, txn).await
    }

    /// What a wrapped reply is named by: its token's accessor, or a secret id's (spec `cubbyhole-and-wrapping.md` §2).
    fn accessor_inside(&self, envelope: &Envelope) -> String {
        if let Some(auth) = &envelope.auth {
            return auth.accessor.clone();
        }
        let is_approle = self.mount.is_some_and(|mount| mount.entry.kind == "approle");
        match &envelope.data {
            Data::Object(data) if is_approle && data.contains_key("secret_id") => {
                data.get("secret_id_accessor").and_then(|accessor| accessor.as_str()).unwrap_or_default().to_owned()
            }
            _ => String::new(),
        }
    }
}

impl Settled {
    fn nothing(is_accepted: bool) -> Self {
        Self {
            body: SettledBody::Nothing,
            is_accepted,
            is_missing: false,
            lease: None,
            made: Vec::new(),
            login: None,
            is_kept: false,
        }
    }

    fn raw(raw: Raw, is_accepted: bool, is_missing: bool) -> Self {
        Self { body: SettledBody::Raw(raw), is_missing, ..Self::nothing(is_accepted) }
    }

    fn envelope(envelope: Box<Envelope>) -> Self {
        Self { body: SettledBody::Envelope(envelope), ..Self::nothing(false) }
    }

    /// Nobody was told: ends what was made.
    pub(super) async fn undo(&self, active: &Active) {
        if let Some(lease) = &self.lease
            && let Err(error) = active.leases.revoke(lease, When::Soon).await
        {
            tracing::error!(lease.id = %lease, error = %error, "lease `{lease}` was told to nobody and lives to its end");
        }
        for key in &self.made {
            if let Err(error) = active.tokens.revoke(key).await {
                tracing::error!(token.key = %key, error = %error, "a token was told to nobody and lives to its end");
            }
        }
    }

    pub(super) fn into_answer(self) -> Answer {
        let body = match self.body {
            SettledBody::Nothing => AnswerBody::Nothing,
            SettledBody::Envelope(envelope) => AnswerBody::Envelope(envelope),
            SettledBody::Raw(raw) => AnswerBody::Raw(raw),
            SettledBody::Flow(flow) => AnswerBody::Flow(flow),
        };
        Answer { body, is_accepted: self.is_accepted, is_missing: self.is_missing }
    }

    pub(super) fn has_lease(&self) -> bool {
        self.lease.is_some()
    }
}

/// The key of a token that can be ended.
fn stored(info: &TokenInfo) -> Option<TokenKey> {
    (info.kind == TokenKind::Service).then_some(info.key)
}

/// Times a batch is put together again when something else was first.
const TRIES: usize = 8;
