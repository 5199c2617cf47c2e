//! `storage` and `seal`: what keeps the data, and what we refuse to do without.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::environment::{self, Environment};
use super::error::{ConfigError, Place, Warning};
use super::keys;
use super::stanza::{Layers, Spot, Stanza};
use crate::base::hcl::Value;

/// Where the data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageConfig {
    /// In memory, until the process ends.
    Inmem,
    /// In a file and the journal beside it.
    File(StorageFile),
}

/// A storage in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageFile {
    /// What the operator called it: `file` (the path is a folder's) or `embedded` (it is the file's).
    pub kind: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Memory for pages of the file, in bytes; `None` leaves it to the storage.
    pub cache_bytes: Option<usize>,
}

impl StorageConfig {
    /// What `sys/seal-status` and the text at the start call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Inmem => "inmem",
            Self::File(file) => file.kind,
        }
    }

    /// Makes the folder of the file, for its owner alone, when there is none. Blocks for a moment.
    ///
    /// # Errors
    /// When it cannot be made, and when it holds data of another server and none of ours: starting empty beside them would
    /// look like having lost them.
    pub fn prepare(&self) -> Result<(), ConfigError> {
        let Self::File(StorageFile { file, .. }) = self else { return Ok(()) };
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let foreign = FOREIGN.iter().map(|name| folder.join(name)).find(|path| path.exists());
        if let Some(path) = foreign.filter(|_| !file.exists()) {
            let place = Place::named(folder.display().to_string());
            let message = format!("holds {}, data of another server, which cannot be read here", path.display());
            return Err(ConfigError::Invalid { place, message });
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| ConfigError::Unreadable { path: folder.display().to_string(), reason: error.to_string() })
    }
}

/// The storage of the last document that names one, or `usual`.
pub(super) fn read(
    layers: &Layers<'_>,
    usual: Option<StorageConfig>,
    warnings: &mut Vec<Warning>,
) -> Result<StorageConfig, ConfigError> {
    let mut storage: Option<Spot<StorageConfig>> = None;
    for layer in &layers.0 {
        let mut blocks = layer.blocks("storage", 1)?;
        blocks.extend(layer.blocks("backend", 1)?);
        if let [_, (_, second), ..] = blocks.as_slice() {
            return Err(second.invalid("there is another storage already"));
        }
        for (kind, stanza) in blocks {
            let spot = Spot { value: read_one(&stanza, kind, warnings)?, place: stanza.place() };
            if let Some(before) = storage.filter(|before| before.value != spot.value) {
                warnings.push(Warning::new(before.place, format!("this storage is not used: that of {} is", spot.place)));
            }
            storage = Some(spot);
        }
    }
    let missing = || ConfigError::Invalid {
        place: layers.0.last().map_or_else(|| Place::named("the configuration"), Stanza::place),
        message: format!("storage is missing: {AVAILABLE}"),
    };
    storage.map(|spot| spot.value).or(usual).ok_or_else(missing)
}

fn read_one(stanza: &Stanza<'_>, kind: &str, warnings: &mut Vec<Warning>) -> Result<StorageConfig, ConfigError> {
    let kind = match kind {
        "inmem" => return stanza.check(&[], warnings).map(|()| StorageConfig::Inmem),
        "inmem_ha" | "inmem_transactional" => {
            warnings.push(Warning::new(stanza.place(), format!("storage \"{kind}\" is \"inmem\" here")));
            return stanza.check(&[], warnings).map(|()| StorageConfig::Inmem);
        }
        "file" => "file",
        "embedded" => "embedded",
        _ => {
            let reason = format!("data would be kept elsewhere than the configuration says; {AVAILABLE}");
            return Err(ConfigError::Refused { place: stanza.place(), what: stanza.name.clone(), reason });
        }
    };
    stanza.check(keys::FILE, warnings)?;
    let Some(path) = stanza.text("path")? else { return Err(stanza.invalid("path is missing")) };
    let path = PathBuf::from(path.value);
    let cache = stanza.read("cache_size", "a size, such as \"32MiB\", of one mebibyte at least", size)?;
    Ok(StorageConfig::File(StorageFile {
        kind,
        file: if kind == "file" { path.join(FILE_NAME) } else { path },
        cache_bytes: cache.map(|spot| spot.value),
    }))
}

/// Bytes: a number, or one with `KiB`, `MiB` or `GiB`.
fn size(value: &Value) -> Option<usize> {
    let text = value.to_text()?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text.as_str(), 1));
    let bytes = digits.trim().parse::<usize>().ok()?.checked_mul(unit)?;
    (bytes >= MIN_CACHE).then_some(bytes)
}

/// Refuses each seal but Shamir's.
pub(super) fn check_seal(layers: &Layers<'_>, environment: &Environment) -> Result<(), ConfigError> {
    let refused = |place, what: String| ConfigError::Refused {
        place,
        what,
        reason: "keys would be kept otherwise than the configuration says; there is \"shamir\" only".to_owned(),
    };
    for (kind, stanza) in layers.blocks("seal", 1)? {
        if kind != "shamir" {
            return Err(refused(stanza.place(), stanza.name));
        }
    }
    match environment::spot(environment.seal_type.as_ref(), environment::SEAL_TYPE) {
        Some(spot) if spot.value != "shamir" => Err(refused(spot.place, format!("seal \"{}\"", spot.value))),
        _ => Ok(()),
    }
}

/// The file's name where only a folder is given.
const FILE_NAME: &str = "leasehold.redb";

/// What other servers keep in such a folder.
const FOREIGN: &[&str] = &["core/_keyring", "core/_seal-config", "vault.db", "raft/raft.db"];

/// The least cache the storage works well with.
const MIN_CACHE: usize = 1 << 20;

const AVAILABLE: &str = "there are \"inmem\", \"file\" with a folder as path and \"embedded\" with a file as path";
