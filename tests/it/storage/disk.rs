//! A disk in memory that forgets what was not flushed, fills up, and fails.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use leasehold::storage::embedded::Medium;

/// See the module. It has room for a store and its journal.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

/// One file of a disk.
#[derive(Debug)]
struct Part {
    disk: Disk,
    number: usize,
}

/// The bytes of both files.
pub(super) type Image = [Vec<u8>; 2];

#[derive(Debug, Default)]
struct State {
    files: [File; 2],
    /// Changes and flushes so far.
    steps: u64,
    /// Where in them something goes wrong.
    fault: Option<(u64, Fault)>,
    /// How many steps after it another one fails.
    again: Option<u64>,
    full: bool,
    dead: bool,
    reads_fail: bool,
}

#[derive(Debug, Default)]
struct File {
    /// What reads see.
    seen: Vec<u8>,
    /// What a flush has made certain.
    durable: Vec<u8>,
    /// What was done since, in order.
    unsure: Vec<Change>,
    /// Blocks that have space of their own.
    allocated: HashSet<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// This step fails; later ones succeed.
    Once,
    /// This step and all that follow fail, reads too.
    Power,
}

impl Disk {
    /// A disk with these durable bytes.
    pub(super) fn with(image: Image) -> Self {
        let disk = Self::default();
        disk.state().files = image.map(|bytes| {
            let allocated = (0..u64::try_from(bytes.len()).unwrap().div_ceil(BLOCK)).collect();
            File { seen: bytes.clone(), durable: bytes, unsure: vec![], allocated }
        });
        disk
    }

    /// The media of a store and its journal.
    pub(super) fn media(&self) -> [Arc<dyn Medium>; 2] {
        [0, 1].map(|number| Arc::new(Part { disk: self.clone(), number }) as Arc<dyn Medium>)
    }

    /// The bytes as a process sees them.
    pub(super) fn image(&self) -> Image {
        self.state().files.each_ref().map(|file| file.seen.clone())
    }

    /// Changes and flushes so far.
    pub(super) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Lets `fault` strike after `steps` more changes or flushes.
    pub(super) fn fail_after(&self, steps: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.steps + steps, fault));
    }

    /// After the fault of [`Self::fail_after`] and `steps` more, one more step fails.
    pub(super) fn fail_again_after(&self, steps: u64) {
        self.state().again = Some(steps);
    }

    /// With `true`, there is no space for blocks that have none; what has a block can be written again.
    pub(super) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// With `true`, everything fails; with `false`, all works again and nothing is to go wrong.
    pub(super) fn set_dead(&self, dead: bool) {
        let mut state = self.state();
        (state.dead, state.fault, state.again) = (dead, None, None);
    }

    /// Whether reads fail.
    pub(super) fn set_reads_fail(&self, fail: bool) {
        self.state().reads_fail = fail;
    }

    /// What the platter may hold after power was lost: of what was not flushed, any part, in any order, torn at sectors.
    pub(super) fn after_power_loss(&self, mut chance: impl FnMut() -> u32) -> Image {
        self.state().files.each_ref().map(|file| file.after_power_loss(&mut chance))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl File {
    fn after_power_loss(&self, chance: &mut impl FnMut() -> u32) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut left = self.unsure.clone();
        while !left.is_empty() {
            let pick = usize::try_from(chance()).unwrap() % left.len();
            match left.remove(pick) {
                Change::Len(len) if chance().is_multiple_of(2) => bytes.resize(usize::try_from(len).unwrap(), 0),
                Change::Len(_) => {}
                Change::Write(offset, data) => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        if chance().is_multiple_of(2) {
                            place(&mut bytes, usize::try_from(offset).unwrap() + sector * SECTOR, part);
                        }
                    }
                }
            }
        }
        bytes
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match self.fault {
            Some((at, fault)) if self.steps > at => {
                self.fault = self.again.take().map(|steps| (self.steps + steps, Fault::Once));
                self.dead |= fault == Fault::Power;
                Err(io::Error::other("the device failed"))
            }
            _ => self.alive(),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the device is gone")) } else { Ok(()) }
    }
}

impl Medium for Part {
    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.alive()?;
        Ok(u64::try_from(state.files[self.number].seen.len()).unwrap())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        state.alive()?;
        if state.reads_fail {
            return Err(io::Error::other("unreadable sector"));
        }
        let offset = usize::try_from(offset).unwrap();
        let bytes = state.files[self.number].seen.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let full = state.full;
        let file = &mut state.files[self.number];
        let blocks = offset / BLOCK..(offset + u64::try_from(data.len()).unwrap()).div_ceil(BLOCK);
        for block in blocks {
            if full && !file.allocated.contains(&block) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.allocated.insert(block);
        }
        place(&mut file.seen, usize::try_from(offset).unwrap(), data);
        file.unsure.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let file = &mut state.files[self.number];
        file.seen.resize(usize::try_from(len).unwrap(), 0);
        file.allocated.retain(|block| block * BLOCK < len);
        file.unsure.push(Change::Len(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let file = &mut state.files[self.number];
        file.durable = file.seen.clone();
        file.unsure.clear();
        Ok(())
    }
}

fn place(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

const BLOCK: u64 = 4096;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
