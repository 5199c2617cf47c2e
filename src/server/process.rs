//! What the process does to itself at its start: keeps secrets out of core dumps and swap, and says who it is.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Whether memory may be swapped out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The system can keep it.
    pub(super) is_supported: bool,
    /// It does.
    pub(super) is_locked: bool,
}

/// Switches core dumps off, and locks memory unless told not to. Failing to is told once, in the log of the terminal.
///
/// Pages are locked when they are touched, and only where there is no limit on locked memory: with one, a later allocation
/// would end the process (architecture §9).
pub(super) fn harden(disable_mlock: bool) -> Memory {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let no_dumps = setrlimit(Resource::Core, none).is_ok() && set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
    if !no_dumps {
        super::say_error("WARNING: core dumps cannot be switched off; one would hold secrets");
    }
    if disable_mlock {
        return Memory { is_supported: true, is_locked: false };
    }
    let is_unlimited = getrlimit(Resource::Memlock).current.is_none();
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let is_locked = is_unlimited && mlockall(flags).is_ok();
    if !is_locked {
        super::say_error(
            "WARNING: memory is not locked and may be swapped to disk: raise the limit on locked memory (ulimit -l unlimited, \
             LimitMEMLOCK=infinity), or set disable_mlock to say that this is meant",
        );
    }
    Memory { is_supported: true, is_locked }
}

/// A file with the process's number, removed when it is dropped.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    pub(super) fn write(path: &Path) -> Result<Self, String> {
        let text = format!("{}", std::process::id());
        fs::write(path, text).map_err(|error| format!("pid_file {}: {error}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Left behind it names a process that is no more, and the next start writes over it.
        let _ = fs::remove_file(&self.0);
    }
}
