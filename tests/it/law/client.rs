//! A client: what it asks and what it is told.

use std::sync::Arc;

use leasehold::base::{ApiPath, Secret, Timestamp, Ttl};
use leasehold::core::{AnswerBody, Core};
use leasehold::mount::{Asked, Request};
use leasehold::policy::Operation;
use serde_json::{Map, Value, json};

use super::stage::Stage;

/// What the server answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) is_ok: bool,
    /// Of a refusal.
    pub(super) text: String,
    /// Of a success: the envelope.
    pub(super) body: Value,
}

/// A credential in a client's hands.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) access_key: String,
    pub(super) lease: String,
    /// When it ends, as the client was told.
    pub(super) ends: Timestamp,
}

/// What a lookup says of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Shown,
    NotFound,
    /// The server does not answer, for other reasons.
    Unanswered(String),
}

pub(super) async fn ask(core: &Arc<Core>, token: &str, operation: Operation, path: &str, body: Value) -> Reply {
    let data = match body {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    let asked = Asked::new(operation, ApiPath::parse(path).unwrap(), Some(Secret::new(token.to_owned())));
    match core.handle(Request { asked, data }, LIMIT).await {
        Ok(answer) => {
            let body = match answer.body {
                AnswerBody::Nothing => Value::Null,
                AnswerBody::Envelope(envelope) => serde_json::from_slice(&envelope.to_json()).unwrap(),
                AnswerBody::Raw(raw) => serde_json::from_slice(&raw.bytes).unwrap_or_default(),
                AnswerBody::Flow(flow) => panic!("{flow:?}"),
            };
            Reply { is_ok: true, text: String::new(), body }
        }
        Err(refusal) => {
            Reply { is_ok: false, text: refusal.text.unwrap_or_else(|| format!("{:?}", refusal.kind)), body: Value::Null }
        }
    }
}

impl Reply {
    /// The credential in it.
    pub(super) fn held(&self, now: Timestamp) -> Option<Held> {
        let access_key = self.body["data"]["access_key"].as_str()?.to_owned();
        let ttl = Ttl::seconds(self.body["lease_duration"].as_u64()?);
        Some(Held { access_key, lease: self.body["lease_id"].as_str()?.to_owned(), ends: now.plus(ttl) })
    }
}

/// Looks a lease up as the operator.
pub(super) async fn look_up(core: &Arc<Core>, root: &str, lease: &str) -> Seen {
    let reply = ask(core, root, Operation::Update, "sys/leases/lookup", json!({ "lease_id": lease })).await;
    match reply.text.as_str() {
        "" if reply.is_ok => Seen::Shown,
        "invalid lease" => Seen::NotFound,
        text => Seen::Unanswered(text.to_owned()),
    }
}

/// Whether AWS would take a key.
pub(super) fn is_alive(stage: &Stage, access_key: &str) -> bool {
    user_of(stage, access_key).is_some()
}

/// Whose key it is, as long as AWS takes it.
pub(super) fn user_of(stage: &Stage, access_key: &str) -> Option<String> {
    [&stage.sandbox, &stage.other].into_iter().find_map(|sandbox| {
        let has_it = |name: &String| sandbox.user(name).is_some_and(|user| user.keys.contains_key(access_key));
        sandbox.users().into_iter().find(has_it)
    })
}

/// Whether a key lives, and the operator was not told that he has to end its user himself.
pub(super) fn is_ours_to_end(stage: &Stage, access_key: &str) -> bool {
    user_of(stage, access_key).is_some_and(|user| stage.log.of_user(&user).is_none())
}

/// What a request may take.
const LIMIT: Ttl = Ttl::seconds(90);
