//! The endpoints of a plugin, declared once with types. From the table come the match, the decoding of fields, warnings
//! about unknown ones, help, OpenAPI, and the list that tests walk.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::policy::Operation;

use super::error::ApiError;
use super::input::{Decoded, FieldInfo, Input, data_for};
use super::message::{Body, Ctx, Reply};
use super::pattern::{Captures, Pattern};

type Handler<P> = Arc<dyn Fn(Arc<P>, Ctx, Decoded) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;
type Probe<P> =
    Arc<dyn Fn(Arc<P>, Ctx, Captures, &Map<String, Value>) -> BoxFuture<'static, Result<bool, ApiError>> + Send + Sync>;

/// All endpoints of a type of plugin.
pub struct Table<P> {
    endpoints: Vec<Endpoint<P>>,
    /// Places of endpoints by their first segment, and of those that begin with a capture.
    by_first: HashMap<&'static str, Vec<usize>>,
    open: Vec<usize>,
}

/// One path and what can be done there.
pub struct Endpoint<P> {
    pattern: Pattern,
    spec: EndpointSpec,
    calls: Vec<(Operation, Handler<P>)>,
    probe: Option<Probe<P>>,
}

/// What is known of an endpoint without its plugin.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is another thing an endpoint declares")]
pub struct EndpointSpec {
    /// As declared.
    pub pattern: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Operations, each with its fields.
    pub operations: Vec<(Operation, Vec<FieldInfo>)>,
    /// Needs no token.
    pub is_login: bool,
    /// Needs `sudo` besides.
    pub needs_sudo: bool,
    /// Runs to its end when the client leaves, reads included.
    pub issues: bool,
    /// Its data stands at the top level of the reply as well (spec `http-api.md` §5).
    pub is_top: bool,
    /// It changes nothing, whatever the method.
    pub only_looks: bool,
    /// A write asks first whether it creates.
    pub has_probe: bool,
    /// Replies carry no warnings about unknown fields.
    pub is_lenient: bool,
}

/// Which endpoint a path is of, and what it took.
#[derive(Debug)]
pub struct Found {
    place: usize,
    /// By name.
    pub captures: Captures,
}

impl<P: Send + Sync + 'static> Table<P> {
    /// Without endpoints.
    pub fn new() -> Self {
        Self { endpoints: Vec::new(), by_first: HashMap::new(), open: Vec::new() }
    }

    /// A path to declare operations at; of several that take a path the first declared one is asked. See `pattern` for the
    /// form of paths.
    pub fn at(&mut self, pattern: &'static str, about: &'static str) -> &mut Endpoint<P> {
        let place = self.endpoints.len();
        let parsed = Pattern::new(pattern);
        match parsed.first_literal() {
            Some(first) => self.by_first.entry(first).or_default().push(place),
            None => self.open.push(place),
        }
        self.endpoints.push(Endpoint {
            pattern: parsed,
            spec: EndpointSpec {
                pattern,
                about,
                operations: Vec::new(),
                is_login: false,
                needs_sudo: false,
                issues: false,
                is_top: false,
                only_looks: false,
                has_probe: false,
                is_lenient: false,
            },
            calls: Vec::new(),
            probe: None,
        });
        #[expect(clippy::indexing_slicing, reason = "it was pushed a line above")]
        &mut self.endpoints[place]
    }

    /// The endpoint of a path within the mount.
    pub fn find(&self, path: &str) -> Option<Found> {
        let first = path.split('/').next().unwrap_or(path);
        let mut literal = self.by_first.get(first).map(Vec::as_slice).unwrap_or_default().iter().copied().peekable();
        let mut open = self.open.iter().copied().peekable();
        loop {
            // In order of declaration.
            let place = match (literal.peek(), open.peek()) {
                (Some(one), Some(other)) if one < other => literal.next(),
                (Some(_), None) => literal.next(),
                (_, Some(_)) => open.next(),
                (None, None) => return None,
            }?;
            if let Some(captures) = self.endpoints.get(place)?.pattern.matches(path) {
                return Some(Found { place, captures });
            }
        }
    }

    /// What is known of an endpoint.
    pub fn spec(&self, found: &Found) -> Option<&EndpointSpec> {
        self.endpoints.get(found.place).map(|endpoint| &endpoint.spec)
    }

    /// All endpoints, in order of declaration.
    pub fn specs(&self) -> impl Iterator<Item = &EndpointSpec> {
        self.endpoints.iter().map(|endpoint| &endpoint.spec)
    }

    /// Whether what a write addresses is there; `None` when nobody asks.
    pub(super) async fn probe(
        &self,
        plugin: &Arc<P>,
        cx: &Ctx,
        found: &Found,
        data: &Map<String, Value>,
    ) -> Result<Option<bool>, ApiError> {
        let Some(probe) = self.endpoints.get(found.place).and_then(|endpoint| endpoint.probe.as_ref()) else {
            return Ok(None);
        };
        probe(Arc::clone(plugin), cx.clone(), found.captures.clone(), data).await.map(Some)
    }

    /// Runs an operation.
    pub(super) async fn call(&self, plugin: &Arc<P>, cx: Ctx, found: Found, data: Map<String, Value>) -> Result<Reply, ApiError> {
        let endpoint = self.endpoints.get(found.place).ok_or_else(ApiError::unsupported_path)?;
        let wanted = if cx.operation == Operation::Create { Operation::Update } else { cx.operation };
        let Some((place, (_, handler))) = endpoint.calls.iter().enumerate().find(|(_, (operation, _))| *operation == wanted)
        else {
            return Err(ApiError::unsupported_operation());
        };
        let fields = endpoint.spec.operations.get(place).map(|(_, fields)| fields.as_slice()).unwrap_or_default();
        let (ignored, replaced) = if endpoint.spec.is_lenient {
            (Vec::new(), Vec::new())
        } else {
            let ignored = data.keys().filter(|key| !fields.iter().any(|field| field.name == **key || field.takes_all));
            let replaced = data.keys().filter(|key| found.captures.iter().any(|(name, _)| name == key));
            (ignored.cloned().collect(), replaced.cloned().collect())
        };
        let ignored: Vec<String> = ignored;
        let replaced: Vec<String> = replaced;
        // What a write sends was read by its probe already.
        let is_probe = endpoint.probe.is_some() && wanted == Operation::Update;
        let decoded = Decoded { captures: found.captures, data, is_probe };
        let mut reply = handler(Arc::clone(plugin), cx, decoded).await?;
        if !matches!(reply.body, Body::Empty | Body::Raw(_) | Body::Flow(_)) {
            let ignored: Vec<_> = ignored.iter().filter(|key| !replaced.contains(key)).map(String::as_str).collect();
            if !ignored.is_empty() {
                let names = ignored.join(" ");
                reply.warnings.push(format!("Endpoint ignored these unrecognized parameters: [{names}]"));
            }
            if !replaced.is_empty() {
                let names = replaced.join(" ");
                reply.warnings.push(format!(
                    "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{names}]"
                ));
            }
        }
        Ok(reply)
    }
}

impl<P: Send + Sync + 'static> Default for Table<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Table<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints.iter().map(|endpoint| endpoint.spec.pattern)).finish()
    }
}

impl<P> fmt::Debug for Endpoint<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

impl<P: Send + Sync + 'static> Endpoint<P> {
    /// GET.
    pub fn read<I, X, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, X>> + Send + 'static,
    {
        self.on(Operation::Read, handler)
    }

    /// LIST; the pattern ends in `/`.
    pub fn list<I, X, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, X>> + Send + 'static,
    {
        self.on(Operation::List, handler)
    }

    /// POST and PUT: creates or updates.
    pub fn update<I, X, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, X>> + Send + 'static,
    {
        self.on(Operation::Update, handler)
    }

    /// PATCH.
    pub fn patch<I, X, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, X>> + Send + 'static,
    {
        self.on(Operation::Patch, handler)
    }

    /// DELETE.
    pub fn delete<I, X, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, X>> + Send + 'static,
    {
        self.on(Operation::Delete, handler)
    }

    /// Asked before a write: whether what it addresses is there. Its fields are those of the write.
    pub fn exists<I, X, F, Fut>(&mut self, probe: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, X>> + Send + 'static,
    {
        self.spec.has_probe = true;
        self.probe = Some(Arc::new(move |plugin, cx, captures, data| {
            let decoded = Decoded { captures, data: data_for::<I>(data), is_probe: true };
            match I::decode(decoded) {
                Ok(input) => Box::pin(probe(plugin, cx, input).err_into()),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        }));
        self
    }

    /// Needs no token. Errors are not shown as lists.
    pub fn login(&mut self) -> &mut Self {
        self.spec.is_login = true;
        self
    }

    /// Needs `sudo` besides the operation's capability.
    pub fn sudo(&mut self) -> &mut Self {
        self.spec.needs_sudo = true;
        self
    }

    /// Runs to its end when the client leaves, also a read.
    pub fn issues(&mut self) -> &mut Self {
        self.spec.issues = true;
        self
    }

    /// Changes nothing, also when it is written to: it goes with its connection, as a read does.
    pub fn looks(&mut self) -> &mut Self {
        self.spec.only_looks = true;
        self
    }

    /// The data of its replies stands at their top level as well.
    pub fn top(&mut self) -> &mut Self {
        self.spec.is_top = true;
        self
    }

    /// Takes any field without a warning.
    pub fn lenient(&mut self) -> &mut Self {
        self.spec.is_lenient = true;
        self
    }

    fn on<I, X, F, Fut>(&mut self, operation: Operation, handler: F) -> &mut Self
    where
        I: Input,
        X: Into<ApiError> + 'static,
        F: Fn(Arc<P>, Ctx, I) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, X>> + Send + 'static,
    {
        self.spec.operations.push((operation, I::fields()));
        let call: Handler<P> = Arc::new(move |plugin, cx, decoded| match I::decode(decoded) {
            // Not awaited in a block of its own, which would have room for the work twice.
            Ok(input) => Box::pin(handler(plugin, cx, input).err_into()),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        });
        self.calls.push((operation, call));
        self
    }
}
