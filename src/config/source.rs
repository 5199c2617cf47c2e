//! The documents a configuration is made of, in the order they are merged in.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::environment::{Environment, LOCAL_CONFIG};
use super::error::ConfigError;
use super::stanza::Stanza;
use crate::base::hcl::{self, Body};

/// A document, read.
#[derive(Debug)]
pub(super) struct Source {
    /// The file's path as it was named, or the variable's name.
    name: String,
    body: Body,
}

impl Source {
    fn parse(name: String, text: &str) -> Result<Self, ConfigError> {
        match hcl::parse(text) {
            Ok(body) => Ok(Self { name, body }),
            Err(error) => Err(ConfigError::of_document(&name, &error)),
        }
    }

    /// The document as one stanza.
    pub(super) fn stanza(&self) -> Stanza<'_> {
        Stanza { source: &self.name, line: 0, name: "the configuration".to_owned(), body: &self.body }
    }
}

/// Reads each file, the `.hcl` and `.json` files of each folder in the order of their names, and the environment's document.
pub(super) fn read_all(paths: &[PathBuf], environment: &Environment) -> Result<Vec<Source>, ConfigError> {
    let mut sources = Vec::new();
    for path in paths {
        for file in files(path)? {
            sources.push(Source::parse(file.display().to_string(), &text_of(&file)?)?);
        }
    }
    if let Some(text) = &environment.local_config {
        sources.push(Source::parse(LOCAL_CONFIG.to_owned(), text.expose())?);
    }
    Ok(sources)
}

/// The path itself, or what of a folder counts.
fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let cannot = |error: io::Error| unreadable(path, at("stat", path, &error));
    if !std::fs::metadata(path).map_err(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(cannot)? {
        let file = entry.map_err(cannot)?.path();
        let counts = file.extension().is_some_and(|extension| extension == "hcl" || extension == "json");
        if counts && file.is_file() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(unreadable(path, format!("the folder holds more than {MAX_FILES} files")));
        }
    }
    if files.is_empty() {
        return Err(unreadable(path, "the folder holds no .hcl and no .json file"));
    }
    files.sort();
    Ok(files)
}

/// The text of a file; a longer one than a document may be is read only so far, and the parser then says so.
fn text_of(path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let limit = hcl::MAX_LEN as u64 + 1;
    match File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(unreadable(path, "the file is not text in UTF-8")),
        Err(error) => Err(unreadable(path, at("open", path, &error))),
    }
}

/// `stat F: no such file or directory`.
fn at(verb: &str, path: &Path, error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    format!("{verb} {}: {}", path.display(), reason.to_lowercase())
}

fn unreadable(path: &Path, reason: impl Into<String>) -> ConfigError {
    ConfigError::Unreadable { path: path.display().to_string(), reason: reason.into() }
}

/// Bound on the files of a folder; a mounted folder of a container has some ten.
const MAX_FILES: usize = 1000;
