//! What the disk can do: small writes, each flushed.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failed;
use crate::report::median;

/// What small writes and their flushes take. Appends make a file longer, and the file system has that to flush as well.
#[derive(Clone, Copy)]
pub(crate) struct Flush {
    pub(crate) append: Duration,
    pub(crate) appends_per_second: f64,
    /// Into a file that stays as long as it is.
    pub(crate) in_place: Duration,
}

impl Flush {
    /// Writes to a file in `folder` for `time` in each way, and removes it. Blocks.
    pub(crate) fn measure(folder: &Path, time: Duration) -> Result<Self, Failed> {
        let path = folder.join("flush");
        let (append, appends_per_second) = write(&path, time, usize::MAX)?;
        let (in_place, _) = write(&path, time, PLACES)?;
        std::fs::remove_file(&path)?;
        Ok(Self { append, appends_per_second, in_place })
    }

    /// The middle of several.
    pub(crate) fn median(all: &[Self]) -> Self {
        let middle =
            |of: fn(&Self) -> Duration| Duration::try_from_secs_f64(median(all, |one| of(one).as_secs_f64())).unwrap_or_default();
        Self {
            append: middle(|one| one.append),
            appends_per_second: median(all, |one| one.appends_per_second),
            in_place: middle(|one| one.in_place),
        }
    }

    /// How much faster this disk is than the one on which the peer was measured.
    pub(crate) fn scale(self) -> f64 {
        self.appends_per_second / OF_THE_PEER
    }
}

/// The middle wait and the rate of writes at as many places, one after the other; the file has those that were written before.
fn write(path: &Path, time: Duration, places: usize) -> Result<(Duration, f64), Failed> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    if places < usize::MAX {
        file.write_all_at(&vec![b'y'; places * SMALL], 0)?;
        file.sync_all()?;
    }
    let mut waits: Vec<Duration> = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        let offset = u64::try_from(waits.len() % places * SMALL)?;
        let sent = Instant::now();
        file.write_all_at(&[b'x'; SMALL], offset)?;
        file.sync_data()?;
        waits.push(sent.elapsed());
    }
    let took = began.elapsed().as_secs_f64();
    waits.sort_unstable();
    let count = u32::try_from(waits.len()).unwrap_or(u32::MAX);
    Ok((waits.get(waits.len() / 2).copied().unwrap_or_default(), f64::from(count) / took))
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

/// Places of those in a file that keeps its length.
const PLACES: usize = 512;
/// Bytes of one write: about what a write of a secret adds to a log.
const SMALL: usize = 512;
/// Flushes a second where the peer was measured (architecture §15).
const OF_THE_PEER: f64 = 3950.0;
