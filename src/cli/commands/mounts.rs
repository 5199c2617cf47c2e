//! `secrets` and `auth`: enable, disable, list, move (spec `cli.md` §5). Tuning is in `tune`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::tune;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command, Complete};
use crate::cli::cx::{Cx, clean};
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome, REMOTE, Stop};

pub(super) const SECRETS: Command = Command::group(
    "secrets",
    "Mounts and tunes secrets engines.",
    &[
        Command::new("enable", "[flags] TYPE", "Mounts a secrets engine.", enable_secrets)
            .flags(tune::ENABLE_SECRETS)
            .args(Args::From(1)),
        Command::new(
            "disable",
            "[flags] PATH",
            "Unmounts a secrets engine; its leases end and its data is gone.",
            disable_secrets,
        )
        .args(Args::Exactly(1))
        .complete(Complete::Mounts),
        Command::new("list", "[flags]", "Lists the secrets engines.", list_secrets)
            .flags(&[DETAILED])
            .formats()
            .args(Args::Exactly(0)),
        Command::new("move", "[flags] FROM TO", "Moves a secrets engine to another path.", move_secrets)
            .args(Args::Exactly(2))
            .complete(Complete::Mounts),
        Command::new("tune", "[flags] PATH", "Changes the settings of a secrets engine.", tune_secrets)
            .flags(tune::TUNE_SECRETS)
            .args(Args::Exactly(1))
            .complete(Complete::Mounts),
    ],
);

pub(super) const AUTH: Command = Command::group(
    "auth",
    "Mounts and tunes auth methods.",
    &[
        Command::new("enable", "[flags] TYPE", "Mounts an auth method.", enable_auth)
            .flags(tune::ENABLE_AUTH)
            .args(Args::From(1)),
        Command::new("disable", "[flags] PATH", "Unmounts an auth method; its tokens end.", disable_auth)
            .args(Args::Exactly(1))
            .complete(Complete::AuthMounts),
        Command::new("list", "[flags]", "Lists the auth methods.", list_auth).flags(&[DETAILED]).formats().args(Args::Exactly(0)),
        Command::new("move", "[flags] FROM TO", "Moves an auth method to another path.", move_auth)
            .args(Args::Exactly(2))
            .complete(Complete::AuthMounts),
        Command::new("tune", "[flags] PATH", "Changes the settings of an auth method.", tune_auth)
            .flags(tune::TUNE_AUTH)
            .args(Args::Exactly(1))
            .complete(Complete::AuthMounts),
        super::login::HELP,
    ],
);

const DETAILED: Flag = Flag::switch("detailed", "Show every setting.");

/// The two kinds of mounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Secrets,
    Auth,
}

impl Sort {
    fn table(self) -> &'static str {
        match self {
            Self::Secrets => "sys/mounts",
            Self::Auth => "sys/auth",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Secrets => "secrets engine",
            Self::Auth => "auth method",
        }
    }

    /// The path as the mount table of both kinds knows it.
    fn full(self, path: &str) -> String {
        match self {
            Self::Secrets => format!("{path}/"),
            Self::Auth => format!("auth/{path}/"),
        }
    }
}

fn enable_secrets(cx: &mut Cx<'_>) -> Outcome {
    enable(cx, Sort::Secrets)
}
fn enable_auth(cx: &mut Cx<'_>) -> Outcome {
    enable(cx, Sort::Auth)
}
fn disable_secrets(cx: &mut Cx<'_>) -> Outcome {
    disable(cx, Sort::Secrets)
}
fn disable_auth(cx: &mut Cx<'_>) -> Outcome {
    disable(cx, Sort::Auth)
}
fn list_secrets(cx: &mut Cx<'_>) -> Outcome {
    list(cx, Sort::Secrets)
}
fn list_auth(cx: &mut Cx<'_>) -> Outcome {
    list(cx, Sort::Auth)
}
fn move_secrets(cx: &mut Cx<'_>) -> Outcome {
    move_mount(cx, Sort::Secrets)
}
fn move_auth(cx: &mut Cx<'_>) -> Outcome {
    move_mount(cx, Sort::Auth)
}
fn tune_secrets(cx: &mut Cx<'_>) -> Outcome {
    tune_mount(cx, Sort::Secrets)
}
fn tune_auth(cx: &mut Cx<'_>) -> Outcome {
    tune_mount(cx, Sort::Auth)
}

fn enable(cx: &mut Cx<'_>, sort: Sort) -> Outcome {
    if cx.args.len() > 1 {
        return Err(Stop::Local(format!("Too many arguments (expected 1, got {})", cx.args.len())));
    }
    let mut kind = cx.arg(0).trim().to_owned();
    if kind == "plugin" {
        kind = match cx.flags.text(&tune::PLUGIN_NAME) {
            Some(name) => name.to_owned(),
            None => return Err(Stop::local("Missing plugin name: use -plugin-name to supply it")),
        };
    }
    let path = cx.flags.text(&tune::PATH).map_or_else(|| clean(&kind), clean);
    let mut body = tune::settings(&cx.flags);
    let mut members = tune::identity(&cx.flags);
    for name in ["options", "description"] {
        if let Some(value) = body.remove(name) {
            members.insert(name.to_owned(), value);
        }
    }
    members.insert("type".to_owned(), json!(kind));
    members.insert("config".to_owned(), Value::Object(body));
    let request = Request::post(&format!("{}/{path}", sort.table()), Value::Object(members)).unwrapped();
    let (attempt, done) = match sort {
        Sort::Secrets => ("Error enabling".to_owned(), format!("Success! Enabled the {kind} secrets engine at: {path}/")),
        Sort::Auth => (format!("Error enabling {kind} auth"), format!("Success! Enabled {kind} auth method at: {path}/")),
    };
    cx.send(&request, &attempt)?;
    cx.say(&done)?;
    Ok(OK)
}

fn tune_mount(cx: &mut Cx<'_>, sort: Sort) -> Outcome {
    let path = cx.path(0);
    let body = tune::settings(&cx.flags);
    let target = match sort {
        Sort::Secrets => format!("sys/mounts/{path}/tune"),
        Sort::Auth => format!("sys/mounts/auth/{path}/tune"),
    };
    let request = Request::post(&target, Value::Object(body)).unwrapped();
    cx.send(&request, &format!("Error tuning {} {path}/", sort.noun()))?;
    cx.say(&format!("Success! Tuned the {} at: {path}/", sort.noun()))?;
    Ok(OK)
}

fn disable(cx: &mut Cx<'_>, sort: Sort) -> Outcome {
    let path = cx.path(0);
    let noun = sort.noun();
    cx.send(&Request::delete(&format!("{}/{path}", sort.table())).unwrapped(), &format!("Error disabling {noun} at {path}/"))?;
    cx.say(&format!("Success! Disabled the {noun} (if it existed) at: {path}/"))?;
    Ok(OK)
}

fn move_mount(cx: &mut Cx<'_>, sort: Sort) -> Outcome {
    let (from, to, noun) = (cx.path(0), cx.path(1), sort.noun());
    let attempt = format!("Error moving {noun} {from}/ to {to}/");
    let body = json!({ "from": sort.full(&from), "to": sort.full(&to) });
    let reply = cx.send_for(&Request::post("sys/remount", body).unwrapped(), &attempt)?.unwrap_or_default();
    let id = reply.data().and_then(|data| data.get("migration_id")).and_then(Value::as_str).unwrap_or_default().to_owned();
    let what = format!("{noun} {from}/ to {to}/, with migration ID {id}");
    cx.say(&format!("Started moving {what}"))?;
    for _ in 0..MAX_LOOKS {
        cx.say(&format!("Waiting for terminal status in migration of {what}"))?;
        let status = cx.send_for(&Request::get(&format!("sys/remount/status/{id}")).unwrapped(), &attempt)?.unwrap_or_default();
        let status = status.data().and_then(|data| data.get("migration_info")?.get("status")?.as_str().map(str::to_owned));
        match status.as_deref() {
            Some("success") => {
                cx.say(&format!("Success! Finished moving {what}"))?;
                return Ok(OK);
            }
            Some("failure") => return Err(Stop::Remote(format!("Failure! Error encountered moving {what}"))),
            _ => cx.client()?.pause(LOOK_AGAIN),
        }
    }
    Err(Stop::Remote(format!("{attempt}: still under way; see sys/remount/status/{id}")))
}

fn list(cx: &mut Cx<'_>, sort: Sort) -> Outcome {
    let detailed = cx.flags.is(&DETAILED);
    let attempt = format!("Error listing {}s", sort.noun());
    let envelope = cx.send_for(&Request::get(sort.table()), &attempt)?.unwrap_or_default();
    if envelope.wrap_info().is_some() {
        return cx.show(&envelope);
    }
    let Some(mounts) = envelope.data().cloned() else {
        return Ok(REMOTE);
    };
    let doc = Doc::Object(mounts.iter().map(|(path, mount)| (path.clone(), mount_doc(mount))).collect());
    cx.show_doc(&doc, || {
        if detailed {
            let rows: Vec<_> = mounts.iter().map(|(path, mount)| detailed_row(sort, path, mount)).collect();
            let scope = if sort == Sort::Auth { "Token Type" } else { "Force No Cache" };
            let heads: Vec<&str> = DETAILED_HEADS.iter().map(|head| if head.is_empty() { scope } else { head }).collect();
            return table::with_head(&heads, &rows);
        }
        let rows: Vec<_> = mounts.iter().map(|(path, mount)| short_row(sort, path, mount)).collect();
        match sort {
            Sort::Secrets => table::with_head(&["Path", "Type", "Accessor", "Description"], &rows),
            Sort::Auth => table::with_head(&["Path", "Type", "Accessor", "Description", "Version"], &rows),
        }
    })
}

fn short_row(sort: Sort, path: &str, mount: &Value) -> Vec<String> {
    let mut row = vec![path.to_owned(), text(mount, "type"), text(mount, "accessor"), text(mount, "description")];
    if sort == Sort::Auth {
        row.push(text(mount, "plugin_version"));
    }
    row
}

fn detailed_row(sort: Sort, path: &str, mount: &Value) -> Vec<String> {
    let none = Value::Object(Map::new());
    let config = mount.get("config").unwrap_or(&none);
    let ttl = |name: &str| match config.get(name).and_then(Value::as_i64) {
        _ if sort == Sort::Secrets && matches!(path, "sys/" | "cubbyhole/") => "n/a".to_owned(),
        None | Some(0) => "system".to_owned(),
        Some(seconds) => seconds.to_string(),
    };
    let on = |name: &str| mount.get(name).and_then(Value::as_bool).unwrap_or(false);
    let scope = match sort {
        Sort::Auth => text(config, "token_type"),
        Sort::Secrets => config.get("force_no_cache").and_then(Value::as_bool).unwrap_or(false).to_string(),
    };
    let options = match mount.get("options") {
        Some(options @ Value::Object(_)) => table::cell(options),
        _ => "map[]".to_owned(),
    };
    vec![
        path.to_owned(),
        text(mount, "type"),
        text(mount, "accessor"),
        ttl("default_lease_ttl"),
        ttl("max_lease_ttl"),
        scope,
        if on("local") { "local" } else { "replicated" }.to_owned(),
        on("seal_wrap").to_string(),
        on("external_entropy_access").to_string(),
        options,
        text(mount, "description"),
        text(mount, "uuid"),
        text(mount, "plugin_version"),
        text(mount, "running_plugin_version"),
        text(mount, "running_sha256"),
        text(mount, "deprecation_status"),
    ]
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).filter(|value| !value.is_null()).map_or_else(String::new, table::cell)
}

/// A mount in the order clients know.
fn mount_doc(mount: &Value) -> Doc {
    match Doc::ordered(mount, MOUNT_FIELDS) {
        Doc::Object(members) => {
            let order = |(name, member): (String, Doc)| match (name.as_str(), member) {
                ("config", Doc::Value(config)) => (name, Doc::ordered(&config, CONFIG_FIELDS)),
                (_, member) => (name, member),
            };
            Doc::Object(members.into_iter().map(order).collect())
        }
        other @ Doc::Value(_) => other,
    }
}

const MOUNT_FIELDS: &[&str] = &[
    "uuid",
    "type",
    "description",
    "accessor",
    "config",
    "options",
    "local",
    "seal_wrap",
    "external_entropy_access",
    "plugin_version",
    "running_plugin_version",
    "running_sha256",
    "deprecation_status",
];

const CONFIG_FIELDS: &[&str] = &["default_lease_ttl", "max_lease_ttl", "force_no_cache"];

/// The empty one is the column of the kind.
const DETAILED_HEADS: &[&str] = &[
    "Path",
    "Plugin",
    "Accessor",
    "Default TTL",
    "Max TTL",
    "",
    "Replication",
    "Seal Wrap",
    "External Entropy Access",
    "Options",
    "Description",
    "UUID",
    "Version",
    "Running Version",
    "Running SHA256",
    "Deprecation Status",
];

/// Wait between two looks at a migration.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Looks before giving up waiting: about a day.
const MAX_LOOKS: u32 = 86_400;
