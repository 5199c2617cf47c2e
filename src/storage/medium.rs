//! The bytes an embedded store lies on: a file that is ours alone, or a stand-in that fails on request.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StorageError;

/// Bytes at offsets, as a file has them. What was written is durable once `sync` has returned.
#[expect(clippy::len_without_is_empty, reason = "a medium is asked for its length alone")]
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` with the bytes at `offset`; an error when there are fewer.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Cuts or extends to `len`; what is new reads as zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns when all that was written before is durable.
    fn sync(&self) -> io::Result<()>;
    /// The store is closed: others may have the medium.
    fn release(&self) {}
    /// What is on it is not needed any more.
    fn discard(&self) {}
}

/// A store's file, locked for as long as it is open.
#[derive(Debug)]
pub(super) struct StoreFile {
    file: File,
}

impl StoreFile {
    /// Opens the file at `path` and locks it. Returns `None` when there is no such file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StorageError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Self::locked(path, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(path, "cannot be opened", &error)),
        }
    }

    /// A new file beside `path`, empty and locked. It takes its name by [`Self::name_draft`], once it holds a whole store:
    /// a crash between leaves no half-made store under the name.
    pub(super) fn draft(path: &Path) -> Result<Self, StorageError> {
        let draft = draft_path(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&draft);
        let file = file.map_err(|error| unusable(path, "cannot be created", &error))?;
        let store = Self::locked(path, file)?;
        store.file.set_len(0).map_err(|error| unusable(path, "cannot be created", &error))?;
        Ok(store)
    }

    /// Gives the draft for `path` its name, durably.
    pub(super) fn name_draft(path: &Path) -> Result<(), StorageError> {
        std::fs::rename(draft_path(path), path)
            .and_then(|()| sync_folder(path))
            .map_err(|error| unusable(path, "cannot be created", &error))
    }

    /// Removes the draft for `path`, which the caller holds.
    pub(super) fn remove_draft(path: &Path) {
        // What is left would be used again by the next draft.
        let _ = std::fs::remove_file(draft_path(path));
    }

    fn locked(path: &Path, file: File) -> Result<Self, StorageError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                Err(StorageError::Unusable(format!("{} is in use by another process", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(unusable(path, "cannot be locked", &error)),
        }
    }
}

/// The file beside a store that holds its journal. The store's lock is its lock too.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    path: PathBuf,
}

impl JournalFile {
    /// Opens the journal of the store at `path`. With `must_exist` it holds what the store has not taken in.
    pub(super) fn open(path: &Path, must_exist: bool) -> Result<Self, StorageError> {
        let journal = beside(path, ".journal");
        let opened = OpenOptions::new().read(true).write(true).create(!must_exist).truncate(false).mode(FILE_MODE).open(&journal);
        match opened.and_then(|file| sync_folder(path).map(|()| file)) {
            Ok(file) => Ok(Self { file, path: journal }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StorageError::Unusable(format!(
                "it was not closed, and its journal {} is missing: the last changes are in there",
                journal.display()
            ))),
            Err(error) => Err(unusable(&journal, "cannot be opened", &error)),
        }
    }
}

/// As [`StoreFile`] does, by its file.
macro_rules! file_medium {
    () => {
        fn len(&self) -> io::Result<u64> {
            Ok(self.file.metadata()?.len())
        }

        fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read_exact_at(out, offset)
        }

        fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.file.write_all_at(data, offset)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn sync(&self) -> io::Result<()> {
            self.file.sync_data()
        }
    };
}

impl Medium for JournalFile {
    file_medium!();

    fn discard(&self) {
        // One that stays is of an old epoch: it is passed over.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Medium for StoreFile {
    file_medium!();

    fn release(&self) {
        // An error leaves it to the end of the process.
        let _ = self.file.unlock();
    }
}

/// A medium as redb sees it through one opening of the database.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) medium: Arc<dyn Medium>,
    /// Set when this opening is given up: from then on it changes nothing, whatever its clean-up tries.
    pub(super) fenced: Arc<AtomicBool>,
}

impl Backend {
    fn writable(&self) -> io::Result<&dyn Medium> {
        if self.fenced.load(Ordering::Acquire) { Err(io::Error::other("given up")) } else { Ok(&*self.medium) }
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.medium.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.medium.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writable()?.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?.write_at(offset, data)
    }
}

fn draft_path(path: &Path) -> PathBuf {
    beside(path, ".new")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes the names in the folder of `path` durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> StorageError {
    StorageError::Unusable(format!("{} {what}: {error}", path.display()))
}

/// For its owner alone: the entries are sealed, their keys are not.
const FILE_MODE: u32 = 0o600;
