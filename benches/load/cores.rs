//! Which core serves and which one loads.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failed;

/// The cores this process may use, split in two.
pub(crate) struct Cores {
    all: CpuSet,
    split: Option<(usize, usize)>,
}

impl Cores {
    pub(crate) fn of_this_machine() -> Result<Self, Failed> {
        let all = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu));
        let split = usable.next().zip(usable.next());
        Ok(Self { all, split })
    }

    /// How many cores there are.
    pub(crate) fn count(&self) -> usize {
        (0..CpuSet::MAX_CPU).filter(|&cpu| self.all.is_set(cpu)).count()
    }

    /// Whether server and load have a core each.
    pub(crate) fn are_split(&self) -> bool {
        self.split.is_some()
    }

    /// Runs `start` on the server's core: a process started inside stays there.
    pub(crate) fn for_server<T>(&self, start: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        let Some((server, _)) = self.split else { return start() };
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &only(server))?;
        let started = start();
        sched_setaffinity(None, &before)?;
        started
    }

    /// Lets this thread run anywhere again.
    pub(crate) fn take_all(&self) -> Result<(), Failed> {
        Ok(sched_setaffinity(None, &self.all)?)
    }

    /// Moves this thread to the core that loads.
    pub(crate) fn take_load(&self) -> Result<(), Failed> {
        if let Some((_, load)) = self.split {
            sched_setaffinity(None, &only(load))?;
        }
        Ok(())
    }
}

fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}
