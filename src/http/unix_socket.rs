//! Unix sockets: who may connect is the file's owner, group and mode.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use tokio::net::UnixListener;

/// Why a socket file cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Somebody answers on it.
    #[error("listen unix {0}: bind: address already in use")]
    InUse(PathBuf),
    /// Something else has that name.
    #[error("listen unix {0}: there is a file that is not a socket")]
    NotASocket(PathBuf),
    /// The operating system refused.
    #[error("listen unix {path}: {error}")]
    Io {
        /// The socket's file.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
    /// `socket_user` or `socket_group` is neither a number nor a known name.
    #[error("listen unix {path}: {key} \"{name}\" is not known on this machine")]
    UnknownOwner {
        /// The socket's file.
        path: PathBuf,
        /// The key of the configuration.
        key: &'static str,
        /// Its value.
        name: String,
    },
}

/// Binds the socket `path`, taking the place of one that a dead server left.
///
/// The file gets its owner and group before its mode: nobody new may connect in between.
pub(super) fn bind(
    path: &Path,
    mode: Option<u32>,
    user: Option<&str>,
    group: Option<&str>,
) -> Result<UnixListener, UnixSocketError> {
    let failed = |error: io::Error| UnixSocketError::Io { path: path.to_owned(), error };
    let unknown = |key, name: &str| UnixSocketError::UnknownOwner { path: path.to_owned(), key, name: name.to_owned() };
    let uid = user.map(|name| id_of(name, "/etc/passwd").ok_or_else(|| unknown("socket_user", name))).transpose()?;
    let gid = group.map(|name| id_of(name, "/etc/group").ok_or_else(|| unknown("socket_group", name))).transpose()?;
    clear(path)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    if uid.is_some() || gid.is_some() {
        rustix::fs::chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw)).map_err(|error| failed(error.into()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode.unwrap_or(OWNER_ONLY))).map_err(failed)?;
    Ok(listener)
}

/// Removes a socket that nobody listens on.
fn clear(path: &Path) -> Result<(), UnixSocketError> {
    let failed = |error: io::Error| UnixSocketError::Io { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(UnixSocketError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(UnixSocketError::InUse(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(failed),
    }
}

/// The number of a user or group: the text itself, or the third field of its line in `table`.
fn id_of(name: &str, table: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let table = fs::read_to_string(table).ok()?;
    let mut lines = table.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None })
}

/// Without `socket_mode`, only the server's own user may connect.
const OWNER_ONLY: u32 = 0o600;
