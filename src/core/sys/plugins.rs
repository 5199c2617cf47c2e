//! `sys/plugins`: what can be mounted. Everything is built in (spec `sys.md` §16).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::MountPath;
use crate::base::version::RUNNING_PLUGIN;
use crate::mount::field::{CommaList, Text};
use crate::mount::{ApiError, Class, Ctx, Nothing, Registry, Reply, Table, Whole};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("plugins/catalog/", "All plugins, by type.").read(catalog).list(catalog);
    table.at("plugins/reload/backend", "Opens mounts anew, from what is stored.").update(reload);
    table.at("plugins/catalog/{type}/", "Names of the plugins of a type.").list(of_type).sudo();
    table
        .at("plugins/catalog/{type}/{name}", "A plugin. None can be added: this server runs only what is built in.")
        .read(read)
        .update(refuse)
        .delete(refuse)
        .sudo();
}

/// A type of plugins.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfType {
    /// auth, database or secret.
    #[serde(rename = "type")]
    kind: String,
}

/// A plugin.
#[derive(Debug, Deserialize, JsonSchema)]
struct Read {
    /// auth, database or secret.
    #[serde(rename = "type")]
    kind: String,
    /// Its name.
    name: String,
}

/// Mounts to open anew.
#[derive(Debug, Deserialize, JsonSchema)]
struct Reload {
    /// All mounts of this type.
    #[serde(default)]
    plugin: Text,
    /// These mounts; of auth methods with `auth/`.
    #[serde(default)]
    mounts: CommaList,
    /// Empty or global: there is one node.
    #[serde(default)]
    scope: Text,
}

async fn catalog(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let mut shown = Map::new();
    let mut detailed = Vec::new();
    for kind in TYPES {
        let names = names(&active.registry, kind).unwrap_or_default();
        detailed.extend(names.iter().map(|name| {
            json!({
                "type": kind, "name": name, "version": RUNNING_PLUGIN, "builtin": true, "deprecation_status": "supported",
            })
        }));
        shown.insert(kind.to_owned(), json!(names));
    }
    shown.insert("detailed".to_owned(), Value::Array(detailed));
    Ok(Reply::data(shown))
}

async fn of_type(sys: Arc<Sys>, _: Ctx, input: OfType) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let names = names(&active.registry, &input.kind).ok_or_else(|| unknown(&input.kind))?;
    Ok(Reply::list(names.into_iter().map(str::to_owned).collect()))
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Read) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let names = names(&active.registry, &input.kind).ok_or_else(|| unknown(&input.kind))?;
    if !names.contains(&input.name.as_str()) {
        return Ok(Reply::empty());
    }
    Ok(data([
        ("args", json!([])),
        ("builtin", json!(true)),
        ("command", json!("")),
        ("deprecation_status", json!("supported")),
        ("name", json!(input.name)),
        ("sha256", json!("")),
        ("version", json!(RUNNING_PLUGIN)),
    ]))
}

async fn refuse(_: Arc<Sys>, _: Ctx, _: Whole) -> Result<Reply, ApiError> {
    Err(ApiError::invalid("plugins cannot be registered on this server: it runs only what is built in"))
}

async fn reload(sys: Arc<Sys>, cx: Ctx, input: Reload) -> Result<Reply, ApiError> {
    let (Text(plugin), CommaList(mounts)) = (input.plugin, input.mounts);
    if !matches!(input.scope.as_str(), "" | "global") {
        return Err(ApiError::invalid("reload scope must be omitted or 'global'"));
    }
    if plugin.is_empty() == mounts.is_empty() {
        return Err(ApiError::invalid("either plugin or mounts must be provided, and not both"));
    }
    let active = sys.active()?;
    if !plugin.is_empty()
        && ![Class::Auth, Class::Secret].iter().any(|class| active.registry.kinds(*class).contains(&plugin.as_str()))
    {
        return Err(ApiError::invalid(format!("plugin not found in the catalog: {plugin}")));
    }
    let paths = mounts.iter().map(|path| MountPath::parse(path)).collect::<Result<Vec<_>, _>>()?;
    let routes = active.routes.load_full();
    if let Some(missing) = paths.iter().find(|path| routes.at(path.as_str()).is_none()) {
        return Err(ApiError::invalid(format!("no matching mount at \"{missing}\"")));
    }
    let count = active.open_anew(move |entry| entry.kind == plugin || paths.contains(&entry.path)).await?;
    tracing::info!(mount.count = count, "{count} mounts were opened anew");
    Ok(data([("reload_id", json!(cx.asked.id.as_str()))]))
}

/// The plugins of a type that can be mounted, in order; `None`: there is no such type.
fn names(registry: &Registry, kind: &str) -> Option<Vec<&'static str>> {
    match kind {
        "auth" => Some(registry.kinds(Class::Auth)),
        "secret" => {
            let mut names = registry.kinds(Class::Secret);
            // Every server has one already.
            names.retain(|name| *name != "cubbyhole");
            Some(names)
        }
        "database" => Some(Vec::new()),
        _ => None,
    }
}

fn unknown(kind: &str) -> ApiError {
    ApiError::invalid(format!("unsupported plugin type {kind:?}; must be \"auth\", \"database\" or \"secret\""))
}

const TYPES: [&str; 3] = ["auth", "database", "secret"];
