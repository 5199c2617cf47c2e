//! What goes to a plugin and what comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::barrier::{BarrierError, Txn};
use crate::base::turns::Turn;
use crate::base::{ApiPath, Clock, LeaseId, RequestId, Secret, TokenKey, Ttl};
use crate::lease::{Issued, LeaseManager, Leases, Limits, Owner};
use crate::policy::{Acl, Operation};
use crate::token::{BoundCidr, TokenInfo};

use super::MountEntry;
use super::error::ApiError;
use super::flow::Flow;

/// A request, as the edge read it.
#[derive(Debug)]
pub struct Request {
    /// All but its data.
    pub asked: Asked,
    /// Its body; the query string of those that have no body.
    pub data: Map<String, Value>,
}

/// A request without its data.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Names it in the reply, the audit log and the log.
    pub id: RequestId,
    /// What is wanted; of a write the edge cannot know whether it creates: `Update`.
    pub operation: Operation,
    /// The logical path; of a list with a `/` at its end.
    pub path: ApiPath,
    /// The token as presented.
    pub token: Option<Secret<String>>,
    /// How long the reply shall stay wrapped.
    pub wrap_ttl: Option<Ttl>,
    /// Where it came from.
    pub remote: Remote,
    /// Its headers, without token and authorization.
    pub headers: Arc<HeaderMap>,
}

impl Asked {
    /// One that came from nowhere, without headers and not to be wrapped: as the server asks itself.
    pub fn new(operation: Operation, path: ApiPath, token: Option<Secret<String>>) -> Self {
        Self {
            id: RequestId::fresh(),
            operation,
            path,
            token,
            wrap_ttl: None,
            remote: Remote::default(),
            headers: Arc::default(),
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// The address; none over a unix socket.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl Remote {
    /// The address as text; empty over a unix socket.
    pub fn address(&self) -> String {
        self.ip.map(|ip| ip.to_string()).unwrap_or_default()
    }
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The token; none on paths that need none.
    pub token: Option<Arc<TokenInfo>>,
    /// What it may do; none without a token.
    pub acl: Option<Arc<Acl>>,
    /// Whether the rule that allowed this request holds `sudo`.
    pub has_sudo: bool,
    /// This was the token's last use.
    pub is_last_use: bool,
}

impl Caller {
    /// How the token is called; empty without one.
    pub fn display_name(&self) -> &str {
        self.token.as_ref().map_or("", |token| &token.display_name)
    }

    /// The key of the token.
    pub fn key(&self) -> Option<&TokenKey> {
        self.token.as_ref().map(|token| &token.key)
    }

    /// The key of the token that ends with this request, since its last use was taken.
    pub fn ending(&self) -> Option<TokenKey> {
        self.key().copied().filter(|_| self.is_last_use)
    }
}

/// What one request may touch.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// What was asked.
    pub asked: Arc<Asked>,
    /// Who asks.
    pub caller: Caller,
    /// The mount that was addressed.
    pub mount: Arc<MountEntry>,
    /// How long things may live on this mount.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the operation is to create what is not there, once that was asked.
    pub operation: Operation,
    pub(crate) leases: Arc<LeaseManager>,
    pub(crate) owner: Owner,
}

impl Ctx {
    /// Puts it together: core for a request, tests by hand.
    #[expect(clippy::too_many_arguments, reason = "each is another thing a request may touch")]
    pub fn new(
        asked: Arc<Asked>,
        caller: Caller,
        mount: Arc<MountEntry>,
        limits: Limits,
        clock: Arc<dyn Clock>,
        operation: Operation,
        leases: Arc<LeaseManager>,
        owner: Owner,
    ) -> Self {
        Self { asked, caller, mount, limits, clock, operation, leases, owner }
    }

    /// Commits what ends with the caller's token. Each batch `batch` makes expects the token's record as it was read, so that
    /// nothing can be added behind the walk that ends it (architecture §5); when the token merely changed it is tried again.
    ///
    /// # Errors
    /// 403 without a token, and when it has ended or is being ended.
    pub async fn commit_with_caller(&self, batch: impl Fn() -> Result<Txn, BarrierError> + Send + Sync) -> Result<(), ApiError> {
        let token = self.caller.token.as_ref().ok_or_else(ApiError::denied)?;
        let mut owner = Owner { token: Some(token.key), version: token.version, ends: None, last_use: false };
        for _ in 0..TRIES {
            let mut txn = batch()?;
            self.leases.expect_owner(&mut txn, &owner);
            match txn.commit().await {
                Err(error) if error.is_conflict() => owner = self.leases.owner_again(owner).await?,
                result => return Ok(result?),
            }
        }
        Err(ApiError::internal("the caller's token changed under every attempt"))
    }

    /// What the plugin issues with; leases hang on the caller's token.
    pub fn leases(&self) -> Leases {
        self.leases.leases(self.mount.id.clone(), &self.asked.path, self.owner.clone())
    }

    /// The path within the mount.
    pub fn rest(&self) -> &str {
        let path = self.asked.path.as_str();
        path.strip_prefix(self.mount.path.as_str()).unwrap_or_default()
    }
}

/// What a plugin answers.
#[derive(Debug)]
pub struct Reply {
    /// The thing itself.
    pub body: Body,
    /// For the caller.
    pub warnings: Vec<String>,
    /// The plugin wants it wrapped for so long.
    pub wrap_ttl: Option<Ttl>,
    /// Something was accepted and goes on: 202.
    pub is_accepted: bool,
    /// There is nothing, and the body says more about it: 404 with the body.
    pub is_missing: bool,
    /// An empty list of warnings is written as such, not as `null`.
    pub lists_no_warnings: bool,
}

/// See [`Reply`].
#[derive(Debug)]
pub enum Body {
    /// Nothing: 204, or 404 where something was to be read or listed.
    Empty,
    /// A reply without data: 200 with `data: null`.
    Null,
    /// Data.
    Data(Map<String, Value>),
    /// A secret that is not leased, with the time it should be kept at most.
    Kept(Map<String, Value>, Ttl),
    /// Names, and what stands beside them; no name: 404.
    List(Vec<String>, Map<String, Value>),
    /// A secret, whose lease core makes active.
    Leased(Box<Issued>, Map<String, Value>),
    /// A lease that lives on.
    Renewed(Renewed),
    /// A token to make.
    Login(Box<Grant>),
    /// A token there is, as `auth`.
    Token(Box<TokenReply>),
    /// Not an envelope.
    Raw(Raw),
    /// Bytes that go on coming.
    Flow(Flow),
    /// A wrapping token made by the endpoint itself, as `wrap_info`.
    Wrapped(Box<WrapInfo>),
}

/// A wrapping token, as the reply shows it (spec `cubbyhole-and-wrapping.md` §2).
#[derive(Clone, Debug)]
pub struct WrapInfo {
    /// The token.
    pub token: Secret<String>,
    /// Its accessor.
    pub accessor: String,
    /// How long it lives, in whole seconds.
    pub ttl: Ttl,
    /// When it was made; RFC 3339 with nanoseconds.
    pub creation_time: String,
    /// The path whose reply is wrapped.
    pub creation_path: String,
    /// The accessor of what is inside; empty for none.
    pub wrapped_accessor: String,
}

/// A lease that was renewed.
#[derive(Debug)]
pub struct Renewed {
    /// Its id.
    pub id: LeaseId,
    /// Whether it can be again.
    pub renewable: bool,
    /// From now.
    pub ttl: Ttl,
}

/// A token that was renewed, as the reply shows it.
#[derive(Debug)]
pub struct TokenReply {
    /// The token as presented; none: the caller named it by accessor and does not get it.
    pub token: Option<Secret<String>>,
    /// What is known of it.
    pub info: Arc<TokenInfo>,
    /// From now.
    pub ttl: Ttl,
}

/// Bytes of their own type.
#[derive(Debug)]
pub struct Raw {
    /// Of the body.
    pub content_type: &'static str,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// Of a body.
    pub fn new(body: Body) -> Self {
        Self { body, warnings: Vec::new(), wrap_ttl: None, is_accepted: false, is_missing: false, lists_no_warnings: false }
    }

    /// Nothing to say.
    pub fn empty() -> Self {
        Self::new(Body::Empty)
    }

    /// Data.
    pub fn data(data: Map<String, Value>) -> Self {
        Self::new(Body::Data(data))
    }

    /// One field as data; see [`Reply::and`].
    pub fn field(name: &str, value: Value) -> Self {
        Self::data(Map::new()).and(name, value)
    }

    /// With one more field, when it is a reply of data.
    #[must_use]
    pub fn and(mut self, name: &str, value: Value) -> Self {
        if let Body::Data(data) = &mut self.body {
            data.insert(name.to_owned(), value);
        }
        self
    }

    /// A record as data.
    ///
    /// # Errors
    /// When it is not an object, which is a mistake of ours.
    pub fn object<T: Serialize>(record: &T) -> Result<Self, ApiError> {
        match serde_json::to_value(record) {
            Ok(Value::Object(map)) => Ok(Self::data(map)),
            Ok(_) => Err(ApiError::internal("a reply that is no object")),
            Err(error) => Err(ApiError::internal(error)),
        }
    }

    /// Names.
    pub fn list(names: Vec<String>) -> Self {
        Self::new(Body::List(names, Map::new()))
    }

    /// A secret with the lease that core makes active.
    pub fn leased(issued: Issued, data: Map<String, Value>) -> Self {
        Self::new(Body::Leased(Box::new(issued), data))
    }

    /// A token to make.
    pub fn login(grant: Grant) -> Self {
        Self::new(Body::Login(Box::new(grant)))
    }

    /// JSON without an envelope.
    pub fn bare<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(ApiError::internal)?;
        Ok(Self::new(Body::Raw(Raw { content_type: "application/json", bytes })))
    }

    /// Bytes of their own type.
    pub fn bytes(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Self::new(Body::Raw(Raw { content_type, bytes }))
    }

    /// Only a warning.
    pub fn warning(text: impl Into<String>) -> Self {
        Self::new(Body::Null).warn(text)
    }

    /// With a list of warnings even when there are none.
    #[must_use]
    pub fn lists_no_warnings(mut self) -> Self {
        self.lists_no_warnings = true;
        self
    }

    /// With one more warning.
    #[must_use]
    pub fn warn(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// With these warnings; a reply of nothing but warnings is a reply.
    #[must_use]
    pub fn warn_all(mut self, texts: Vec<String>) -> Self {
        if !texts.is_empty() && matches!(self.body, Body::Empty) {
            self.body = Body::Null;
        }
        self.warnings.extend(texts);
        self
    }

    /// As 202.
    #[must_use]
    pub fn accepted(mut self) -> Self {
        self.is_accepted = true;
        self
    }

    /// As 404 with its body.
    #[must_use]
    pub fn missing(mut self) -> Self {
        self.is_missing = true;
        self
    }
}

/// A token to be made: what an auth method, or `auth/token/create`, found the caller worth.
#[derive(Debug, Default)]
pub struct Grant {
    /// How the token is called. Of a login the part after the mount's path; of a created token all of it.
    pub display_name: String,
    /// Its own policies.
    pub policies: Vec<String>,
    /// Without `default`.
    pub no_default_policy: bool,
    /// How long it lives unless renewed; zero: the mount's.
    pub ttl: Ttl,
    /// Lowers the mount's maximum; zero: does not.
    pub max_ttl: Ttl,
    /// A maximum for good, for periodic tokens as well; zero: none.
    pub explicit_max_ttl: Ttl,
    /// Each renewal gives this; zero: not periodic.
    pub period: Ttl,
    /// How often it can be used; zero: without limit.
    pub num_uses: u64,
    /// What kind it shall be.
    pub token_type: GrantType,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// From where it may be used; empty: from everywhere.
    pub bound_cidrs: Vec<BoundCidr>,
    /// Shown as `auth.metadata`, kept with the token; `None` shows `null`.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Kept with the token and never shown: what a renewal needs to know.
    pub internal: BTreeMap<String, String>,
    /// Who logged in; none for created tokens.
    pub alias: Option<Alias>,
    /// The groups he is in, as the method names them.
    pub group_aliases: Vec<String>,
    /// How it came about.
    pub origin: Origin,
    /// Written in the batch that makes the token.
    pub along: Option<Along>,
    /// The role the login was for, where a quota is of a role; core fills it in.
    pub role: Option<String>,
}

/// The kind of a token to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantType {
    /// As the mount says.
    #[default]
    Default,
    /// Stored, revocable.
    Service,
    /// Not stored.
    Batch,
}

/// A user of an auth method, as the identity store knows him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    /// Unique within the mount.
    pub name: String,
    /// As of this login.
    pub metadata: BTreeMap<String, String>,
}

/// How a token comes about.
#[derive(Debug, Default)]
pub enum Origin {
    /// By a login: an orphan, its path that of the request.
    #[default]
    Login,
    /// By `auth/token/create`.
    Created(Box<Creation>),
}

/// What `auth/token/create` decided besides.
#[derive(Debug, Default)]
pub struct Creation {
    /// The token it hangs on; none: an orphan.
    pub parent: Option<Arc<TokenInfo>>,
    /// The path to remember, which a role may have lengthened.
    pub path: String,
    /// The role.
    pub role: Option<String>,
    /// A text chosen by the caller.
    pub id: Option<Secret<String>>,
    /// The entity it belongs to; empty: none.
    pub entity_id: String,
    /// For the caller.
    pub warnings: Vec<String>,
}

/// Adds writes to a batch.
pub type Writes = Box<dyn Fn(&mut Txn) -> Result<(), BarrierError> + Send + Sync>;

/// Writes that become true with a token, or not at all.
pub struct Along {
    /// Adds them to the batch; called again when the batch conflicts.
    pub write: Writes,
    /// Held until the batch is durable.
    pub turn: Option<Turn>,
}

impl fmt::Debug for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Along").field("turn", &self.turn.is_some()).finish_non_exhaustive()
    }
}

/// How often a batch that hangs on a token is tried. The token changes when it is renewed or used, not by the hundreds.
const TRIES: usize = 8;
