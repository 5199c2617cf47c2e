//! Files and the standard output: where a writer's lines end up.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use bytes::Bytes;

/// A medium, used by one writer thread; every call may block. It begins closed.
pub(super) trait Sink: std::fmt::Debug + Send {
    /// Hands lines to the operating system. Fails when the medium is closed.
    fn write(&mut self, lines: &[Bytes]) -> Written;

    /// Lets go of the medium and opens it again by its name.
    fn reopen(&mut self) -> io::Result<()>;
}

/// How far a write came.
#[derive(Debug)]
pub(super) struct Written {
    /// Lines that are wholly out.
    pub(super) lines: usize,
    /// Why it ended there; `Ok` when all are out.
    pub(super) outcome: io::Result<()>,
    /// The next line can never be written, however well the medium is.
    pub(super) is_refused: bool,
}

impl Written {
    pub(super) fn new(lines: usize, outcome: io::Result<()>) -> Self {
        Self { lines, outcome, is_refused: false }
    }

    /// Nothing, for the medium is not open.
    pub(super) fn closed() -> Self {
        Self::new(0, Err(io::ErrorKind::NotConnected.into()))
    }
}

/// A file that grows at its end; others may write to it as well.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    mode: u32,
    file: Option<File>,
    joined: Joined,
}

impl FileSink {
    /// `mode` 0 leaves an existing file's mode alone.
    pub(super) fn new(path: impl Into<PathBuf>, mode: u32) -> Self {
        Self { path: path.into(), mode, file: None, joined: Joined::default() }
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        }
        let created = if self.mode == 0 { DEFAULT_MODE } else { self.mode };
        let file = OpenOptions::new().append(true).create(true).mode(created).open(&self.path)?;
        let is_ours = file.metadata()?.is_file();
        // Pipes and devices keep their mode: they belong to others.
        if self.mode != 0 && is_ours {
            file.set_permissions(Permissions::from_mode(self.mode))?;
        }
        Ok(file)
    }
}

impl Sink for FileSink {
    fn write(&mut self, lines: &[Bytes]) -> Written {
        self.file.as_mut().map_or_else(Written::closed, |file| self.joined.write(file, lines))
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        self.file = Some(self.open().map_err(named)?);
        Ok(())
    }
}

/// The standard output of the server.
#[derive(Debug, Default)]
pub(super) struct StdoutSink(Joined);

impl Sink for StdoutSink {
    fn write(&mut self, lines: &[Bytes]) -> Written {
        let mut out = io::stdout().lock();
        let written = self.0.write(&mut out, lines);
        match (&written.outcome, out.flush()) {
            (Ok(()), Err(error)) => Written::new(0, Err(error)),
            _ => written,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines in one write, and what to do when only a part of it went through.
#[derive(Debug, Default)]
pub(super) struct Joined {
    buffer: Vec<u8>,
    /// The last write ended within a line: end that line first, then write it again as a whole.
    torn: bool,
}

impl Joined {
    pub(super) fn write(&mut self, out: &mut impl Write, lines: &[Bytes]) -> Written {
        self.buffer.clear();
        let start = usize::from(self.torn);
        self.buffer.extend(self.torn.then_some(b'\n'));
        let joined: &[u8] = match lines {
            [only] if !self.torn => only,
            lines => {
                for line in lines {
                    self.buffer.extend_from_slice(line);
                }
                &self.buffer
            }
        };
        let (count, outcome) = write_all(out, joined);
        let ends = lines.iter().scan(start, |end, line| {
            *end += line.len();
            Some(*end)
        });
        let whole: Vec<usize> = ends.take_while(|end| *end <= count).collect();
        let at_end = whole.last().copied().unwrap_or(start);
        if count >= start {
            self.torn = count > at_end;
        }
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        Written::new(whole.len(), outcome)
    }
}

/// As `Write::write_all`, but tells how much went through.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut count = 0;
    while let Some(rest) = bytes.get(count..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (count, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

/// For the server's user alone.
const FOLDER_MODE: u32 = 0o700;
/// The same, for a file that is created while its mode is to be left alone.
const DEFAULT_MODE: u32 = 0o600;
/// A larger buffer is given back after use.
const KEPT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then no more.
    struct Disk {
        room: usize,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.held.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_cut_anywhere_loses_no_line_and_leaves_no_half_one_glued_to_another() {
        let lines = [Bytes::from_static(b"one\n"), Bytes::from_static(b"two\n"), Bytes::from_static(b"three\n")];
        for room in 0..=14 {
            let mut disk = Disk { room, held: Vec::new() };
            let mut joined = Joined::default();
            let written = joined.write(&mut disk, &lines);
            assert_eq!(written.outcome.is_ok(), room == 14);
            let whole = disk.held.split(|&byte| byte == b'\n').count() - 1;
            assert_eq!(written.lines, whole, "room {room}");
            disk.room = 100;
            let rest = joined.write(&mut disk, &lines[written.lines..]);
            assert!(rest.outcome.is_ok() && rest.lines == 3 - whole);
            let text = String::from_utf8(disk.held).unwrap();
            let mut good: Vec<&str> = text.lines().filter(|line| ["one", "two", "three"].contains(line)).collect();
            good.dedup();
            assert_eq!(good, ["one", "two", "three"], "room {room}: {text:?}");
        }
    }

    #[test]
    fn modes_are_those_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/audit.log");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        FileSink::new(&path, 0o640).reopen().unwrap();
        assert_eq!(mode(), 0o640);
        FileSink::new(&path, 0).reopen().unwrap();
        assert_eq!(mode(), 0o640, "0 keeps it");
        FileSink::new(&path, 0o600).reopen().unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(FileSink::new(folder.path(), 0o600).reopen().is_err(), "a folder is no log");
    }
}
