//! `kv`: versioned and plain key-value secrets under the same words (spec `cli.md` §5, `kv.md` §8).

mod get;
mod metadata;
mod put;
mod versions;

use serde_json::Value;

use crate::cli::client::Request;
use crate::cli::command::Command;
use crate::cli::cx::{Cx, clean};
use crate::cli::flags::Flag;
use crate::cli::output::{Envelope, table};
use crate::cli::stop::{Outcome, Stop};

pub(super) const KV: Command = Command::group(
    "kv",
    "Reads and writes key-value secrets.",
    &[
        get::GET,
        put::PUT,
        put::PATCH,
        versions::DELETE,
        versions::UNDELETE,
        versions::DESTROY,
        versions::ROLLBACK,
        get::LIST,
        metadata::METADATA,
        versions::ENABLE_VERSIONING,
    ],
);

const MOUNT: Flag = Flag::text("mount", "PATH", "Where the engine is mounted; the argument is then the key alone.");

/// A key of a mount whose version is known.
struct Place {
    /// Without a slash at its end.
    mount: String,
    key: String,
    versioned: bool,
}

impl Place {
    /// The API path of the key: below `part` of a versioned mount.
    fn at(&self, part: &str) -> String {
        let path =
            if self.versioned { format!("{}/{part}/{}", self.mount, self.key) } else { format!("{}/{}", self.mount, self.key) };
        path.trim_matches('/').to_owned()
    }
}

/// Asks the server where the key's mount is and whether it keeps versions.
fn place(cx: &mut Cx<'_>) -> Result<Place, Stop> {
    let argument = cx.path(0);
    let mount = cx.flags.text(&MOUNT).map(clean);
    let asked = mount.clone().unwrap_or_else(|| argument.clone());
    let request = Request::get(&format!("sys/internal/ui/mounts/{asked}")).unwrapped().sent_always();
    let reply = match cx.try_send(&request)? {
        Ok(reply) => Some(reply),
        // A server without this path has no versions.
        Err(fault) if fault.status() == Some(404) => None,
        Err(fault) => return Err(fault.bare()),
    };
    let envelope = reply.map(|reply| Envelope::of(&reply).map_err(Stop::Remote)).transpose()?.flatten().unwrap_or_default();
    let of_mount = |name: &str| envelope.data().and_then(|data| data.get(name)).cloned().unwrap_or(Value::Null);
    let versioned = match of_mount("options").get("version") {
        Some(Value::String(version)) => version == "2",
        Some(Value::Number(version)) => version.as_i64() == Some(2),
        _ => false,
    };
    let found = clean(of_mount("path").as_str().unwrap_or_default());
    if let Some(mount) = mount {
        return Ok(Place { mount: if found.is_empty() { mount } else { found }, key: argument, versioned });
    }
    let key = match argument.strip_prefix(&found) {
        Some(rest) if !found.is_empty() => clean(rest),
        _ => return Ok(Place { mount: String::new(), key: argument, versioned: false }),
    };
    Ok(Place { mount: found, key, versioned })
}

/// Checks that a key was given.
fn one_key(cx: &Cx<'_>) -> Result<(), Stop> {
    match cx.args.len() {
        1 => Ok(()),
        0 => Err(Stop::local("Not enough arguments (expected 1, got 0)")),
        more => Err(Stop::Local(format!("Too many arguments (expected 1, got {more})"))),
    }
}

/// `== Secret Path ==`, the path and an empty line.
fn path_block(title: &str, path: &str) -> String {
    format!("{}\n{path}\n\n", table::title(title, path.len()))
}

/// A table under its title.
fn titled(title: &str, members: &serde_json::Map<String, Value>) -> String {
    let rows = table::rows(members);
    let longest = rows.iter().map(|(key, _)| table::width(key)).max().unwrap_or(0);
    format!("{}\n{}\n", table::title(title, longest + TITLE_EXTRA), table::key_value(&rows))
}

/// Shows what a write of a version came to: path and metadata in tables.
fn show_written(cx: &mut Cx<'_>, envelope: &Envelope, path: &str) -> Outcome {
    let plain = !cx.is_table() || cx.flags.has(&crate::cli::output::FIELD) || envelope.wrap_info().is_some();
    match envelope.data() {
        Some(data) if !plain => {
            let text = format!("{}{}", path_block("Secret Path", path), titled("Metadata", data));
            cx.print(&text)?;
            cx.warn_all(&envelope.warnings());
            Ok(crate::cli::stop::OK)
        }
        _ => cx.show(envelope),
    }
}

/// A table is this much wider than its longest key: four blanks and the head of the values.
const TITLE_EXTRA: usize = 9;
