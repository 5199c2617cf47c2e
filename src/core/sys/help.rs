//! Help on a path, from the table of endpoints (spec `http-api.md` §9).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::base::version::API_LEVEL;
use crate::mount::{ApiError, EndpointSpec, FieldInfo, Found, Mount, Reply};

use super::openapi::{self, Naming};

/// Describes a path; without a path within the mount, the mount.
pub(in crate::core) fn reply(mount: &Mount, found: Option<&Found>, path: &str) -> Result<Reply, ApiError> {
    let rest = path.strip_prefix(mount.entry.path.as_str()).unwrap_or_default();
    let naming = Naming::default();
    let (text, paths) = if rest.is_empty() {
        let specs = mount.plugin.specs();
        (of_mount(mount.plugin.about(), &specs), openapi::paths(mount, &specs, &naming))
    } else {
        let spec = found.and_then(|found| mount.plugin.spec(found)).ok_or_else(ApiError::unsupported_path)?;
        (of_endpoint(rest, spec), openapi::paths(mount, &[spec], &naming))
    };
    let document = openapi::document(API_LEVEL, &paths);
    Reply::bare(&json!({ "help": text, "see_also": null, "openapi": document }))
}

fn of_mount(about: &str, specs: &[&EndpointSpec]) -> String {
    let mut text = format!(
        "## DESCRIPTION\n\n{about}\n\n## PATHS\n\nEach pattern with what it is for. Ask for help on a path that fits one to see \
         its parameters;\nwhether it may be used is up to the policies of the token.\n\n"
    );
    let by_pattern: BTreeMap<&str, &str> = specs.iter().map(|spec| (spec.pattern, spec.about)).collect();
    for (pattern, about) in by_pattern {
        // Writing to memory does not fail.
        let _ = write!(text, "    {}\n        {about}\n\n", shown(pattern));
    }
    text
}

fn of_endpoint(path: &str, spec: &EndpointSpec) -> String {
    let mut text = format!("Request:        {path}\nMatching Route: {}\n\n{}\n\n", shown(spec.pattern), spec.about);
    let fields = fields(spec);
    if !fields.is_empty() {
        text.push_str("## PARAMETERS\n\n");
        for (name, (kind, about)) in fields {
            let _ = write!(text, "    {name} ({kind})\n        {about}\n\n");
        }
    }
    let _ = write!(text, "## DESCRIPTION\n\n{}\n\nOperations: {}.\n", spec.about, operations(spec));
    if spec.is_login {
        text.push_str("Needs no token.\n");
    }
    if spec.needs_sudo {
        text.push_str("Needs the capability `sudo` besides that of the operation.\n");
    }
    text
}

fn operations(spec: &EndpointSpec) -> String {
    let mut names: Vec<&str> = spec.operations.iter().map(|(operation, _)| operation.as_str()).collect();
    if spec.has_probe {
        names.push("create");
    }
    names.sort_unstable();
    names.join(", ")
}

/// Type and description of all fields by name, those of the path included.
fn fields(spec: &EndpointSpec) -> BTreeMap<&str, (&'static str, &str)> {
    let mut all: BTreeMap<&str, (&str, &str)> = openapi::captures(spec.pattern).map(|name| (name, ("string", ""))).collect();
    for field in spec.operations.iter().flat_map(|(_, fields)| fields).filter(|field| !field.takes_all) {
        all.insert(&field.name, (kind(field), &field.about));
    }
    all
}

fn kind(field: &FieldInfo) -> &'static str {
    let schema = openapi::schema(field);
    match (schema.get("type").and_then(|kind| kind.as_str()), schema.get("format").and_then(|form| form.as_str())) {
        (Some("integer"), Some("seconds")) => "duration (sec)",
        (Some("integer"), _) => "int",
        (Some("number"), _) => "float",
        (Some("boolean"), _) => "bool",
        (Some("array"), _) => "slice",
        (Some("object"), _) => "map",
        (Some("string"), _) => "string",
        _ => "any",
    }
}

/// A pattern without the kinds of its pieces.
fn shown(pattern: &str) -> String {
    openapi::template(pattern)
}
