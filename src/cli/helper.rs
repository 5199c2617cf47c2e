//! Where the token is kept between calls: `~/.vault-token`, or a program of the user's (spec `cli.md` §2).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::io::{Io, read_file, reason};
use crate::base::{Secret, random};

/// The token kept; `None` when there is none. An unreadable token file means none.
///
/// # Errors
/// When a configured helper cannot be used.
pub(crate) fn load(io: &Io) -> Result<Option<Secret<String>>, String> {
    let text = match program(io)? {
        Some(helper) => helper.call("get", None)?,
        None => match file(io).and_then(|path| fs::read_to_string(path).ok()) {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    let text = Secret::new(text);
    let token = text.expose().trim();
    Ok((!token.is_empty()).then(|| Secret::from(token)))
}

/// Keeps `token` for later calls.
///
/// # Errors
/// Why it cannot be kept.
pub fn store_token(io: &Io, token: &str) -> Result<(), String> {
    match program(io)? {
        Some(helper) => helper.call("store", Some(token)).map(|_| ()),
        None => match file(io) {
            Some(path) => write_private(&path, token).map_err(|error| format!("write {}: {}", path.display(), reason(&error))),
            None => Err("there is no home folder to keep it in: HOME is not set".to_owned()),
        },
    }
}

fn file(io: &Io) -> Option<PathBuf> {
    io.var("HOME").map(|home| Path::new(home).join(".vault-token"))
}

/// Writes to a file beside and renames it, so that no reader sees a part of it.
fn write_private(path: &Path, token: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", random::base62(8)));
    let beside = PathBuf::from(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(token.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // What is left of a failed write is in nobody's way, but it holds a token.
        let _ = fs::remove_file(&beside);
    })
}

/// A helper program with its first arguments.
struct Helper {
    words: Vec<String>,
}

impl Helper {
    fn call(&self, verb: &str, input: Option<&str>) -> Result<String, String> {
        let (program, first) = self.words.split_first().ok_or("token_helper is empty")?;
        let failed = |error: std::io::Error| format!("{program} {verb}: {}", reason(&error));
        let mut command = Command::new(program);
        command.args(first).arg(verb).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(failed)?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(text.as_bytes()).map_err(failed)?;
        }
        let done = child.wait_with_output().map_err(failed)?;
        if !done.status.success() {
            let told = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(format!("{program} {verb}: {}: {told}", done.status));
        }
        String::from_utf8(done.stdout).map_err(|_| format!("{program} {verb}: the token is not UTF-8 text"))
    }
}

/// The helper that `~/.vault` or the file of `VAULT_CONFIG_PATH` names.
fn program(io: &Io) -> Result<Option<Helper>, String> {
    let given = io.var("VAULT_CONFIG_PATH").map(PathBuf::from);
    let path = match (&given, io.var("HOME")) {
        (Some(path), _) => path.clone(),
        (None, Some(home)) => Path::new(home).join(".vault"),
        (None, None) => return Ok(None),
    };
    if given.is_none() && !path.is_file() {
        return Ok(None);
    }
    let text =
        String::from_utf8(read_file(&path.to_string_lossy())?).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    let body: hcl::Body = hcl::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let Some(attribute) = body.attributes().find(|attribute| attribute.key() == "token_helper") else { return Ok(None) };
    let hcl::Expression::String(line) = attribute.expr() else {
        return Err(format!("{}: token_helper is not a text", path.display()));
    };
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match words.first() {
        None => Ok(None),
        Some(program) if Path::new(program).is_absolute() => Ok(Some(Helper { words })),
        Some(program) => Err(format!("{}: token_helper \"{program}\" is not an absolute path", path.display())),
    }
}
