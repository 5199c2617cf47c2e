//! What a plugin is, and its form once its type is forgotten.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::barrier::View;
use crate::base::turns::Turns;
use crate::base::{Clock, Key, MountPath, Shutdown, Tasks, Ttl};
use crate::lease::{Lease, RevokeError, Revoked, Terms};
use crate::policy::PolicyStore;
use crate::token::TokenInfo;

use super::error::ApiError;
use super::kinds::{LeaseCtx, LeaseKinds};
use super::message::{Ctx, Reply};
use super::meter::Number;
use super::shared::Shared;
use super::table::{EndpointSpec, Found, Table};
use super::{Class, MountEntry};

/// What a plugin is opened with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where work of its own is started.
    pub tasks: Tasks,
    /// Ends such work.
    pub shutdown: Shutdown,
    /// The mount as it is now; path and settings may change, the id stays.
    pub entry: Arc<MountEntry>,
    /// Who changes one record waits for its turn; keys are the plugin's own.
    pub turns: Arc<Turns>,
    /// For password policies.
    pub policies: Arc<PolicyStore>,
    /// Regions and such of the environment, read at start.
    pub environment: Arc<BTreeMap<String, String>>,
    /// Names the server, and its nodes, among all others.
    pub cluster: Arc<str>,
    /// What all mounts of this server have in common, such as what is known of an account.
    pub shared: Arc<Shared>,
}

/// A secrets engine or an auth method.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The type in the table of mounts.
    const KIND: &'static str;
    /// One sentence for people.
    const ABOUT: &'static str;

    /// Opens it on a mount's part of storage.
    fn open(view: View, deps: Deps) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// Declares what can be asked.
    fn endpoints(table: &mut Table<Self>);

    /// Declares what it leases.
    fn leases(_: &mut LeaseKinds<Self>) {}

    /// What a token that this method gave gets when it is renewed. Without a word of the method: what it was given.
    fn renew_token(
        self: Arc<Self>,
        _: Ctx,
        token: Arc<TokenInfo>,
    ) -> impl Future<Output = Result<TokenRenewal, ApiError>> + Send {
        std::future::ready(Ok(TokenRenewal::same(&token)))
    }

    /// Whom a login names, before it is judged: failures are counted by it, and lock him out. `None`: the method has no such
    /// names, or the request says none.
    fn login_name(_path: &str, _data: &Map<String, Value>) -> Option<String> {
        None
    }

    /// Which role a login is for, so that quotas of that role hold for it. It may read storage. `None`: the method has none,
    /// or the request names none.
    fn login_role(
        self: Arc<Self>,
        _path: &str,
        data: &Map<String, Value>,
    ) -> impl Future<Output = Result<Option<String>, ApiError>> + Send {
        let role = data.get("role").and_then(Value::as_str).filter(|role| !role.is_empty());
        std::future::ready(Ok(role.map(str::to_owned)))
    }

    /// What `sys/metrics` tells of this mount besides its requests. Called for each look at them; it must not wait.
    fn numbers(&self) -> Vec<Number> {
        Vec::new()
    }

    /// A key of its storage changed.
    fn invalidate(&self, _: &Key) {}

    /// The mount is at this path from now on; `None`: at none, although it may live on for what it lent.
    fn placed(&self, _: Option<&MountPath>) {}

    /// What whoever unmounts it should know.
    fn parting(self: Arc<Self>) -> impl Future<Output = Vec<String>> + Send {
        std::future::ready(Vec::new())
    }

    /// Called soon after the server is unsealed and then about once a minute, for tidying.
    fn tick(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What a renewal of a token asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRenewal {
    /// How long it lives unless renewed again; zero: the mount's.
    pub ttl: Ttl,
    /// Lowers the mount's maximum; zero: does not.
    pub max_ttl: Ttl,
    /// Zero: not periodic.
    pub period: Ttl,
    /// Nothing is renewed and nothing is wrong: the reply is empty.
    pub is_nothing: bool,
}

impl TokenRenewal {
    /// What the token was given.
    pub fn same(token: &TokenInfo) -> Self {
        Self { ttl: Ttl::ZERO, max_ttl: Ttl::ZERO, period: token.period, is_nothing: false }
    }
}

/// A plugin whose type is forgotten.
#[async_trait]
pub trait Mounted: fmt::Debug + Send + Sync {
    /// The endpoint of a path within the mount.
    fn find(&self, path: &str) -> Option<Found>;
    /// What is known of it.
    fn spec(&self, found: &Found) -> Option<&EndpointSpec>;
    /// All endpoints.
    fn specs(&self) -> Vec<&EndpointSpec>;
    /// One sentence for people.
    fn about(&self) -> &'static str;
    /// Whether what a write addresses is there; `None` when nobody asks.
    async fn exists(&self, cx: &Ctx, found: &Found, data: &Map<String, Value>) -> Result<Option<bool>, ApiError>;
    /// Runs an operation.
    async fn handle(&self, cx: Ctx, found: Found, data: Map<String, Value>) -> Result<Reply, ApiError>;
    /// What a renewal of a lease asks for; `None`: what its issue asked for.
    async fn renew(&self, cx: LeaseCtx, increment: Ttl) -> Result<Option<Terms>, ApiError>;
    /// Takes back what a lease holds.
    async fn revoke(&self, cx: LeaseCtx) -> Result<Revoked, RevokeError>;
    /// Whether that takes a call.
    fn needs_call(&self, lease: &Lease) -> bool;
    /// What a lease holds, in words for who removes it by force.
    fn name_of(&self, lease: &Lease) -> String;
    /// What a renewal of a token asks for.
    async fn renew_token(&self, cx: Ctx, token: Arc<TokenInfo>) -> Result<TokenRenewal, ApiError>;
    /// See [`Plugin::login_name`].
    fn login_name(&self, path: &str, data: &Map<String, Value>) -> Option<String>;
    /// See [`Plugin::login_role`].
    async fn login_role(&self, path: &str, data: &Map<String, Value>) -> Result<Option<String>, ApiError>;
    /// See [`Plugin::numbers`].
    fn numbers(&self) -> Vec<Number>;
    /// A key of its storage changed.
    fn invalidate(&self, key: &Key);
    /// See [`Plugin::placed`].
    fn placed(&self, path: Option<&MountPath>);
    /// See [`Plugin::parting`].
    async fn parting(&self) -> Vec<String>;
    /// See [`Plugin::tick`].
    async fn tick(&self);
}

/// Opens a plugin of some type.
pub type Opener = Arc<dyn Fn(View, Deps) -> BoxFuture<'static, Result<Arc<dyn Mounted>, ApiError>> + Send + Sync>;

/// The types of plugins that can be mounted.
#[derive(Default)]
pub struct Registry {
    types: BTreeMap<(&'static str, &'static str), Opener>,
}

impl Registry {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type of secrets engine.
    pub fn secrets<P: Plugin>(&mut self) -> &mut Self {
        self.add::<P>(Class::Secret)
    }

    /// Adds a type of auth method.
    pub fn auth<P: Plugin>(&mut self) -> &mut Self {
        self.add::<P>(Class::Auth)
    }

    /// How a type is opened.
    pub fn opener(&self, class: Class, kind: &str) -> Option<&Opener> {
        let mut found = self.types.iter().filter(|((of, name), _)| *of == class.as_str() && *name == kind);
        found.next().map(|(_, opener)| opener)
    }

    /// The names of a class, in order.
    pub fn kinds(&self, class: Class) -> Vec<&'static str> {
        self.types.keys().filter(|(of, _)| *of == class.as_str()).map(|(_, name)| *name).collect()
    }

    fn add<P: Plugin>(&mut self, class: Class) -> &mut Self {
        let shape = Arc::new(Shape::<P>::new());
        let opener: Opener = Arc::new(move |view, deps| {
            let shape = Arc::clone(&shape);
            Box::pin(async move {
                let plugin = Arc::new(P::open(view, deps).await?);
                Ok(Arc::new(Opened { plugin, shape }) as Arc<dyn Mounted>)
            })
        });
        self.types.insert((class.as_str(), P::KIND), opener);
        self
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.types.keys()).finish()
    }
}

/// A plugin that was made by hand, such as `sys`, in the form of any other.
pub fn mounted<P: Plugin>(plugin: P) -> Arc<dyn Mounted> {
    Arc::new(Opened { plugin: Arc::new(plugin), shape: Arc::new(Shape::new()) })
}

/// What all plugins of a type have in common.
struct Shape<P> {
    table: Table<P>,
    kinds: LeaseKinds<P>,
}

struct Opened<P> {
    plugin: Arc<P>,
    shape: Arc<Shape<P>>,
}

impl<P: Plugin> Shape<P> {
    fn new() -> Self {
        let mut shape = Self { table: Table::new(), kinds: LeaseKinds::new() };
        P::endpoints(&mut shape.table);
        P::leases(&mut shape.kinds);
        shape
    }
}

impl<P: Plugin> fmt::Debug for Opened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opened").field(&P::KIND).finish()
    }
}

#[async_trait]
impl<P: Plugin> Mounted for Opened<P> {
    fn find(&self, path: &str) -> Option<Found> {
        self.shape.table.find(path)
    }

    fn spec(&self, found: &Found) -> Option<&EndpointSpec> {
        self.shape.table.spec(found)
    }

    fn specs(&self) -> Vec<&EndpointSpec> {
        self.shape.table.specs().collect()
    }

    fn about(&self) -> &'static str {
        P::ABOUT
    }

    async fn exists(&self, cx: &Ctx, found: &Found, data: &Map<String, Value>) -> Result<Option<bool>, ApiError> {
        self.shape.table.probe(&self.plugin, cx, found, data).await
    }

    async fn handle(&self, cx: Ctx, found: Found, data: Map<String, Value>) -> Result<Reply, ApiError> {
        self.shape.table.call(&self.plugin, cx, found, data).await
    }

    async fn renew(&self, cx: LeaseCtx, increment: Ttl) -> Result<Option<Terms>, ApiError> {
        self.shape.kinds.renew(&self.plugin, cx, increment).await
    }

    async fn revoke(&self, cx: LeaseCtx) -> Result<Revoked, RevokeError> {
        self.shape.kinds.revoke(&self.plugin, cx).await
    }

    fn needs_call(&self, lease: &Lease) -> bool {
        self.shape.kinds.needs_call(&lease.kind)
    }

    fn name_of(&self, lease: &Lease) -> String {
        self.shape.kinds.name(lease)
    }

    async fn renew_token(&self, cx: Ctx, token: Arc<TokenInfo>) -> Result<TokenRenewal, ApiError> {
        Arc::clone(&self.plugin).renew_token(cx, token).await
    }

    fn login_name(&self, path: &str, data: &Map<String, Value>) -> Option<String> {
        P::login_name(path, data)
    }

    async fn login_role(&self, path: &str, data: &Map<String, Value>) -> Result<Option<String>, ApiError> {
        Arc::clone(&self.plugin).login_role(path, data).await
    }

    fn numbers(&self) -> Vec<Number> {
        self.plugin.numbers()
    }

    fn invalidate(&self, key: &Key) {
        self.plugin.invalidate(key);
    }

    fn placed(&self, path: Option<&MountPath>) {
        self.plugin.placed(path);
    }

    async fn parting(&self) -> Vec<String> {
        Arc::clone(&self.plugin).parting().await
    }

    async fn tick(&self) {
        Arc::clone(&self.plugin).tick().await;
    }
}
