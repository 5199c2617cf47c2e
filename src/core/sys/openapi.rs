//! An OpenAPI 3.0.2 document from the tables of endpoints (spec `http-api.md` §9).

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::mount::field::{Flag, Text};
use crate::mount::{ApiError, Class, Ctx, EndpointSpec, ErrorKind, FieldInfo, Mount, Reply, Table};
use crate::policy::{Acl, Operation};

use super::Sys;

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table
        .at("internal/specs/openapi", "All endpoints the caller's token can see, as an OpenAPI document.")
        .read(specs)
        .update(specs)
        .login();
}

/// How the document is written.
#[derive(Debug, Deserialize, JsonSchema)]
struct Ask {
    /// Stands at the end of each operation id.
    #[serde(default)]
    context: Text,
    /// Paths of mounts become parameters; of mounts of one type only one is described.
    #[serde(default)]
    generic_mount_paths: Flag,
}

/// How paths and operations are named.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming {
    context: String,
    is_generic: bool,
}

async fn specs(sys: Arc<Sys>, cx: Ctx, input: Ask) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let naming = Naming { context: input.context.0, is_generic: input.generic_mount_paths.0 };
    let acl = match active.look(&cx.asked).await {
        Ok(seen) => seen.map(|(_, acl)| acl),
        // A token that may not be used says as much as none.
        Err(error) if error.kind == ErrorKind::Denied => None,
        Err(error) => return Err(error),
    };
    let routes = active.routes.load_full();
    let mut mounts: Vec<&Arc<Mount>> = routes.mounts().filter(|mount| is_visible(mount, acl.as_deref())).collect();
    mounts.sort_by(|one, other| one.entry.path.cmp(&other.entry.path));
    let mut described = HashSet::new();
    let mut all = Map::new();
    for mount in mounts {
        if !naming.is_generic || described.insert((mount.entry.class, mount.entry.kind.clone())) {
            all.append(&mut paths(mount, &mount.plugin.specs(), &naming));
        }
    }
    Reply::bare(&document(&active.settings.version, &all))
}

fn is_visible(mount: &Mount, acl: Option<&Acl>) -> bool {
    let is_public = || mount.entry.config.listing_visibility.as_deref() == Some("unauth");
    acl.map_or_else(is_public, |acl| acl.may_touch(mount.entry.path.as_str()))
}

/// The whole document.
pub(super) fn document(version: &str, paths: &Map<String, Value>) -> Value {
    json!({
        "openapi": "3.0.2",
        "info": {
            "title": "HashiCorp Vault API",
            "description": "The HTTP API of this server. All routes begin with `/v1/`.",
            "version": version,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "paths": paths,
    })
}

/// The path items of a mount's endpoints, by path.
pub(super) fn paths(mount: &Mount, specs: &[&EndpointSpec], naming: &Naming) -> Map<String, Value> {
    let root = Root::of(mount, naming);
    let mut all = Map::new();
    for spec in specs {
        let path = format!("/{}{}", root.path, template(spec.pattern));
        let path = path.strip_suffix('/').unwrap_or(&path).to_owned();
        let mut item = item(spec, &root, naming);
        if let Some(Value::Object(there)) = all.get_mut(&path) {
            // Two endpoints share a path when one of them lists.
            for (key, value) in item {
                there.entry(key).or_insert(value);
            }
        } else {
            item.insert("description".to_owned(), json!(spec.about));
            all.insert(path, Value::Object(item));
        }
    }
    all
}

/// The names in braces of a pattern.
pub(super) fn captures(pattern: &str) -> impl Iterator<Item = &str> {
    let inner = |piece: &'_ str| -> bool { piece.starts_with('{') && piece.ends_with('}') };
    pattern.split('/').filter(move |piece| inner(piece)).map(|piece| {
        let name = piece.trim_matches(['{', '}']);
        name.split_once(':').map_or(name, |(name, _)| name)
    })
}

/// A pattern as a path template: `role/{name:any}` is `role/{name}`.
pub(super) fn template(pattern: &str) -> String {
    let piece = |piece: &str| match piece.strip_prefix('{').and_then(|inner| inner.split_once(':')) {
        Some((name, _)) => format!("{{{name}}}"),
        None => piece.to_owned(),
    };
    pattern.split('/').map(piece).collect::<Vec<_>>().join("/")
}

/// The schema of a field, as far as OpenAPI 3.0 knows it: there, nothing has two types.
pub(super) fn schema(field: &FieldInfo) -> Map<String, Value> {
    let mut schema = Map::new();
    let Value::Object(given) = &field.schema else { return schema };
    let given = match given.get("anyOf") {
        Some(Value::Array(either)) => either.iter().filter_map(Value::as_object).find(|one| !is_null(one)).unwrap_or(given),
        _ => given,
    };
    for (key, value) in given {
        match (key.as_str(), value) {
            ("type", Value::Array(types)) => {
                let kind = types.iter().find(|kind| kind.as_str() != Some("null"));
                schema.extend(kind.map(|kind| ("type".to_owned(), kind.clone())));
            }
            ("type" | "format" | "items" | "enum" | "default", value) => {
                schema.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    schema
}

fn is_null(schema: &Map<String, Value>) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

/// Where the paths of a mount begin.
struct Root {
    path: String,
    /// The mount's path as a parameter, with what it is here.
    parameter: Option<Value>,
    words: String,
    tag: &'static str,
}

impl Root {
    fn of(mount: &Mount, naming: &Naming) -> Self {
        let entry = &mount.entry;
        let tag = match (entry.class, entry.kind.as_str()) {
            (Class::Auth, _) => "auth",
            (Class::Secret, "system") => "system",
            (Class::Secret, "identity") => "identity",
            (Class::Secret, _) => "secrets",
        };
        let is_single = matches!(entry.kind.as_str(), "system" | "identity" | "cubbyhole" | "token");
        if !naming.is_generic || is_single {
            return Self { path: entry.path.as_str().to_owned(), parameter: None, words: words(entry.path.as_str()), tag };
        }
        let name = format!("{}_mount_path", entry.kind.replace('-', "_"));
        let below = if entry.class == Class::Auth { "auth/" } else { "" };
        let parameter = json!({
            "name": name,
            "in": "path",
            "description": "Where the mount hangs.",
            "schema": { "type": "string", "default": entry.path.in_table().trim_end_matches('/') },
            "required": true,
        });
        Self { path: format!("{below}{{{name}}}/"), parameter: Some(parameter), words: entry.kind.clone(), tag }
    }
}

fn item(spec: &EndpointSpec, root: &Root, naming: &Naming) -> Map<String, Value> {
    let mut item = Map::new();
    let names: Vec<&str> = captures(spec.pattern).collect();
    let of_path = names.iter().map(|name| path_parameter(spec, name));
    let parameters: Vec<Value> = root.parameter.iter().cloned().chain(of_path).collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    for (flag, key) in [
        (spec.is_login, "x-vault-unauthenticated"),
        (spec.needs_sudo, "x-vault-sudo"),
        (spec.has_probe, "x-vault-createSupported"),
    ] {
        if flag {
            item.insert(key.to_owned(), Value::Bool(true));
        }
    }
    let has = |wanted: Operation| spec.operations.iter().any(|(operation, _)| *operation == wanted);
    for (operation, fields) in &spec.operations {
        let (method, verb) = match operation {
            Operation::Read => ("get", "read"),
            Operation::List => ("get", "list"),
            Operation::Create | Operation::Update => ("post", "write"),
            Operation::Patch => ("patch", "patch"),
            Operation::Delete => ("delete", "delete"),
            _ => continue,
        };
        if *operation == Operation::List && has(Operation::Read) {
            // Described with the read, which takes the parameter as well.
            continue;
        }
        let mut call = Map::new();
        call.insert("operationId".to_owned(), json!(operation_id(spec, root, naming, verb)));
        call.insert("summary".to_owned(), json!(spec.about));
        call.insert("tags".to_owned(), json!([root.tag]));
        let fields: Vec<&FieldInfo> =
            fields.iter().filter(|field| !field.takes_all && !names.contains(&field.name.as_str())).collect();
        match method {
            "post" | "patch" => {
                let media = if method == "patch" { "application/merge-patch+json" } else { "application/json" };
                call.insert("requestBody".to_owned(), json!({ "content": { media: { "schema": body(&fields) } } }));
            }
            _ => {
                let mut query: Vec<Value> = fields.iter().map(|field| query_parameter(field)).collect();
                if method == "get" && has(Operation::List) {
                    query.push(list_parameter(!has(Operation::Read)));
                }
                if !query.is_empty() {
                    call.insert("parameters".to_owned(), Value::Array(query));
                }
            }
        }
        let (status, words) = if method == "delete" { ("204", "empty body") } else { ("200", "OK") };
        call.insert("responses".to_owned(), json!({ status: { "description": words } }));
        item.insert(method.to_owned(), Value::Object(call));
    }
    item
}

fn path_parameter(spec: &EndpointSpec, name: &str) -> Value {
    let known = spec.operations.iter().flat_map(|(_, fields)| fields).find(|field| field.name == name);
    let about = known.map_or("", |field| field.about.as_str());
    json!({ "name": name, "in": "path", "description": about, "schema": { "type": "string" }, "required": true })
}

fn query_parameter(field: &FieldInfo) -> Value {
    json!({ "name": field.name, "in": "query", "description": field.about, "schema": schema(field) })
}

fn list_parameter(is_required: bool) -> Value {
    let about = "Must be `true` to list.";
    json!({
        "name": "list",
        "in": "query",
        "description": about,
        "schema": { "type": "string", "enum": ["true"] },
        "required": is_required,
    })
}

fn body(fields: &[&FieldInfo]) -> Value {
    let described = |field: &&FieldInfo| {
        let mut schema = schema(field);
        schema.insert("description".to_owned(), json!(field.about));
        (field.name.clone(), Value::Object(schema))
    };
    json!({ "type": "object", "properties": fields.iter().map(described).collect::<Map<_, _>>() })
}

/// One name for each operation of the document: `read-sys-policies-acl-name`.
fn operation_id(spec: &EndpointSpec, root: &Root, naming: &Naming, verb: &str) -> String {
    let path = words(&template(spec.pattern));
    let mut id = [verb, &root.words, &path].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    if !naming.context.is_empty() {
        id = format!("{id}_{}", naming.context);
    }
    id
}

fn words(path: &str) -> String {
    let parts = path.split(|c: char| !c.is_ascii_alphanumeric());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
