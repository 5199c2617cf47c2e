//! What the disk can do: small appends, each flushed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failed;
use crate::report::median;

/// One flush, and how many of them a second.
#[derive(Clone, Copy)]
pub(crate) struct Flush {
    pub(crate) p50: Duration,
    pub(crate) per_second: f64,
}

impl Flush {
    /// Appends to a file in `folder` for `time`, and removes it. Blocks.
    pub(crate) fn measure(folder: &Path, time: Duration) -> Result<Self, Failed> {
        let path = folder.join("flush");
        let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        let mut waits = Vec::new();
        let began = Instant::now();
        while began.elapsed() < time {
            let sent = Instant::now();
            file.write_all(&[b'x'; SMALL])?;
            file.sync_data()?;
            waits.push(sent.elapsed());
        }
        std::fs::remove_file(&path)?;
        waits.sort_unstable();
        let count = u32::try_from(waits.len()).unwrap_or(u32::MAX);
        let p50 = waits.get(waits.len() / 2).copied().unwrap_or_default();
        Ok(Self { p50, per_second: f64::from(count) / began.elapsed().as_secs_f64() })
    }

    /// The middle of several.
    pub(crate) fn median(all: &[Self]) -> Self {
        let p50 = Duration::try_from_secs_f64(median(all, |one| one.p50.as_secs_f64())).unwrap_or_default();
        Self { p50, per_second: median(all, |one| one.per_second) }
    }

    /// How much faster this disk is than the one on which the peer was measured.
    pub(crate) fn scale(self) -> f64 {
        self.per_second / OF_THE_PEER
    }
}

/// What kind of file system a folder is on.
pub(crate) fn file_system(folder: &Path) -> Result<&'static str, Failed> {
    Ok(match rustix::fs::statfs(folder)?.f_type {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        _ => "another file system",
    })
}

/// Bytes of one append: about what a write of a secret adds to a log.
const SMALL: usize = 512;
/// Flushes a second where the peer was measured (architecture §15).
const OF_THE_PEER: f64 = 3950.0;
