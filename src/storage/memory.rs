//! Storage in memory, for dev mode and tests. It can lose power after commit *n*, lose an answer, be full, and hold
//! commits and reads where a test wants them.
//!
//! A handle is one process's sight of a disk. [`MemoryStorage::reopen`] is the next process: the same durable entries,
//! no hooks, and the handle before it is cut off.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::ordered::{self, Ordered};
use super::{Batch, CommitHook, Page, Storage, StorageError, Stored, Write};
use crate::base::Key;

/// Ordered entries in memory. Clones are the same handle.
#[derive(Clone)]
pub struct MemoryStorage(Arc<Handle>);

impl MemoryStorage {
    /// An empty store.
    pub fn new() -> Self {
        Self::on(Arc::default())
    }

    fn on(disk: Arc<Disk>) -> Self {
        Self(Arc::new(Handle { disk, dead: AtomicBool::new(false), writer: Mutex::default(), held_get: Mutex::default() }))
    }

    /// How many batches have become durable since the store was made, over all its handles.
    pub fn commits(&self) -> u64 {
        self.0.disk.commits.load(Ordering::Acquire)
    }

    /// Every key under `prefix`, whatever state the handle is in: for assertions.
    pub fn keys(&self, prefix: &str) -> Vec<Key> {
        let entries = self.0.disk.read();
        let under = entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        under.map(|(key, _)| key.clone()).take_while(|key| key.as_str().starts_with(prefix)).collect()
    }

    /// The power goes with the commit after the next `commits` durable ones: that commit changes nothing, and from then
    /// on every call on this handle fails.
    pub fn lose_power_after(&self, commits: u64) {
        self.0.writer().fault = Some(Fault { commits, kind: FaultKind::PowerBefore });
    }

    /// The next `commits` durable commits are answered; the one after them becomes durable too, but the power goes before
    /// its hooks and its answer: its committer gets an error, and from then on every call on this handle fails.
    pub fn lose_power_answering(&self, commits: u64) {
        self.0.writer().fault = Some(Fault { commits, kind: FaultKind::PowerAfter });
    }

    /// The next `commits` durable commits are answered; the one after them becomes durable and its hooks are called, but
    /// its committer gets an error. The store lives on.
    pub fn lose_answer_after(&self, commits: u64) {
        self.0.writer().fault = Some(Fault { commits, kind: FaultKind::Answer });
    }

    /// Whether the power is gone, or another handle has taken the disk.
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Acquire)
    }

    /// With `true`, every commit fails as on a full disk and changes nothing; reads go on. With `false`, there is space.
    pub fn set_full(&self, full: bool) {
        self.0.writer().full = full;
    }

    /// A new handle to what is durable, as a restarted process would open it. This handle is dead from now on, its waiting
    /// commits have failed.
    #[must_use]
    pub fn reopen(&self) -> Self {
        self.0.die(&mut self.0.writer());
        Self::on(Arc::clone(&self.0.disk))
    }

    /// Lets the next `commits` batches pass and holds those that come after, in order, until the hold lets them go.
    pub fn hold_after(&self, commits: u64) -> HeldCommits {
        let (waiting, _) = watch::channel(0);
        self.0.writer().hold = Some(Gate { passes: commits, waiting: waiting.clone() });
        HeldCommits { handle: Arc::clone(&self.0), waiting }
    }

    /// The next `get` of `key` reads its value, then waits before it answers: what commits meanwhile, it has not seen.
    pub fn hold_get(&self, key: impl Into<Key>) -> HeldGet {
        let (reached, on_reached) = oneshot::channel();
        let (release, on_release) = oneshot::channel();
        *self.0.held_get() = Some(GetGate { key: key.into(), reached, on_release });
        HeldGet { on_reached: Some(on_reached), release: Some(release) }
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StorageError> {
        self.0.alive()?;
        let stored = self.0.disk.read().get(key).map(|bytes| Stored::new(bytes.clone()));
        if let Some(gate) = self.0.gate_of(key) {
            let _ = gate.reached.send(());
            let _ = gate.on_release.await;
        }
        Ok(stored)
    }

    async fn scan(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<(Key, Stored)>, StorageError> {
        self.0.alive()?;
        ordered::scan(&*self.0.disk.read(), prefix, page)
    }

    async fn list(&self, prefix: &Key, page: Page<'_>) -> Result<Vec<String>, StorageError> {
        self.0.alive()?;
        ordered::list(&*self.0.disk.read(), prefix, page)
    }

    async fn commit(&self, batch: Batch) -> Result<(), StorageError> {
        let answer = {
            let mut writer = self.0.writer();
            if writer.hold.is_none() {
                return self.0.execute(&mut writer, &batch);
            }
            let (asker, answer) = oneshot::channel();
            writer.queue.push_back(Queued { batch, asker });
            self.0.drain(&mut writer);
            answer
        };
        answer.await.unwrap_or_else(|_| Err(power_lost()))
    }

    fn on_commit(&self, hook: CommitHook) {
        self.0.writer().hooks.push(hook);
    }

    fn kind(&self) -> &'static str {
        "inmem"
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("commits", &self.commits()).finish_non_exhaustive()
    }
}

/// Commits held by [`MemoryStorage::hold_after`]; dropping it lets all of them go.
pub struct HeldCommits {
    handle: Arc<Handle>,
    waiting: watch::Sender<usize>,
}

impl HeldCommits {
    /// Returns when at least `commits` of them wait.
    pub async fn waiting(&self, commits: usize) {
        let mut waiting = self.waiting.subscribe();
        // Cannot fail: the sender is ours.
        let _ = waiting.wait_for(|&now| now >= commits).await;
    }

    /// Lets the next `commits` of them pass, those that wait first.
    pub fn let_pass(&self, commits: u64) {
        let mut writer = self.handle.writer();
        if let Some(gate) = &mut writer.hold {
            gate.passes += commits;
        }
        self.handle.drain(&mut writer);
    }

    /// Lets all of them go, and holds no more.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for HeldCommits {
    fn drop(&mut self) {
        let mut writer = self.handle.writer();
        if writer.hold.as_ref().is_some_and(|gate| gate.waiting.same_channel(&self.waiting)) {
            writer.hold = None;
            self.handle.drain(&mut writer);
        }
    }
}

impl fmt::Debug for HeldCommits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldCommits").field("waiting", &*self.waiting.borrow()).finish_non_exhaustive()
    }
}

/// A read held by [`MemoryStorage::hold_get`]; dropping it lets the read go.
#[derive(Debug)]
pub struct HeldGet {
    on_reached: Option<oneshot::Receiver<()>>,
    release: Option<oneshot::Sender<()>>,
}

impl HeldGet {
    /// Returns when the read has its value and waits.
    pub async fn reached(&mut self) {
        if let Some(on_reached) = self.on_reached.take() {
            let _ = on_reached.await;
        }
    }

    /// Lets the read answer.
    pub fn release(mut self) {
        if let Some(release) = self.release.take() {
            let _ = release.send(());
        }
    }
}

/// What outlives a process.
#[derive(Default)]
struct Disk {
    /// Guards the entries; readers share it, the writer takes it for the time of one batch.
    entries: RwLock<BTreeMap<Key, Bytes>>,
    commits: AtomicU64,
}

impl Disk {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Bytes>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handle {
    disk: Arc<Disk>,
    dead: AtomicBool,
    /// Guards the order of commits; committers wait for it; held while one batch is judged, applied and told to hooks.
    writer: Mutex<Writer>,
    /// Guards the read to be held; readers take it; held for a comparison.
    held_get: Mutex<Option<GetGate>>,
}

#[derive(Default)]
struct Writer {
    hooks: Vec<CommitHook>,
    /// Batches held by the gate, in order of arrival: they are the store's, whether or not their committer still waits.
    queue: VecDeque<Queued>,
    hold: Option<Gate>,
    fault: Option<Fault>,
    full: bool,
}

struct Queued {
    batch: Batch,
    asker: oneshot::Sender<Result<(), StorageError>>,
}

struct Gate {
    passes: u64,
    waiting: watch::Sender<usize>,
}

struct GetGate {
    key: Key,
    reached: oneshot::Sender<()>,
    on_release: oneshot::Receiver<()>,
}

#[derive(Clone, Copy)]
struct Fault {
    /// How many durable commits are still to come before it.
    commits: u64,
    kind: FaultKind,
}

#[derive(Clone, Copy)]
enum FaultKind {
    PowerBefore,
    PowerAfter,
    Answer,
}

impl Handle {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_get(&self) -> MutexGuard<'_, Option<GetGate>> {
        self.held_get.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate_of(&self, key: &Key) -> Option<GetGate> {
        self.held_get().take_if(|gate| gate.key == *key)
    }

    fn alive(&self) -> Result<(), StorageError> {
        if self.dead.load(Ordering::Acquire) { Err(power_lost()) } else { Ok(()) }
    }

    /// Executes what the gate lets pass.
    fn drain(&self, writer: &mut Writer) {
        while let Some(queued) = writer.next() {
            let result = self.execute(writer, &queued.batch);
            // Who dropped the future does not hear of it; the batch stands.
            let _ = queued.asker.send(result);
        }
    }

    fn execute(&self, writer: &mut Writer, batch: &Batch) -> Result<(), StorageError> {
        self.alive()?;
        ordered::judge(&*self.disk.read(), &batch.expects)?;
        if batch.writes.is_empty() {
            return Ok(());
        }
        if writer.full {
            return Err(StorageError::Io("no space left on device".to_owned()));
        }
        let fault = writer.strike();
        if let Some(FaultKind::PowerBefore) = fault {
            self.die(writer);
            return Err(power_lost());
        }
        self.apply(&batch.writes);
        if let Some(FaultKind::PowerAfter) = fault {
            self.die(writer);
            return Err(power_lost());
        }
        writer.hooks.iter().for_each(|hook| hook(&batch.writes));
        match fault {
            Some(_) => Err(StorageError::Io("the answer was lost".to_owned())),
            None => Ok(()),
        }
    }

    fn apply(&self, writes: &[Write]) {
        let mut entries = self.disk.entries.write().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            match write {
                Write::Put(key, bytes) => drop(entries.insert(key.clone(), bytes.clone())),
                Write::Delete(key) => drop(entries.remove(key)),
            }
        }
        self.disk.commits.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on every call fails, and who waits gets an error.
    fn die(&self, writer: &mut Writer) {
        self.dead.store(true, Ordering::Release);
        writer.hold = None;
        writer.hooks.clear();
        writer.queue.drain(..).for_each(|queued| drop(queued.asker.send(Err(power_lost()))));
    }
}

impl Writer {
    /// The next batch the gate lets pass.
    fn next(&mut self) -> Option<Queued> {
        let Some(gate) = &mut self.hold else { return self.queue.pop_front() };
        let queued = if gate.passes > 0 { self.queue.pop_front() } else { None };
        if queued.is_some() {
            gate.passes -= 1;
        }
        gate.waiting.send_replace(self.queue.len());
        queued
    }

    /// The fault whose turn is this commit, counted down.
    fn strike(&mut self) -> Option<FaultKind> {
        let fault = self.fault.as_mut()?;
        if let Some(left) = fault.commits.checked_sub(1) {
            fault.commits = left;
            return None;
        }
        self.fault.take().map(|fault| fault.kind)
    }
}

impl Ordered for BTreeMap<Key, Bytes> {
    fn with<T>(&self, key: &str, visit: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StorageError> {
        Ok(self.get(key).map(|bytes| visit(bytes)))
    }

    fn walk(
        &self,
        within: &str,
        start: Bound<&str>,
        mut visit: impl FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        for (key, bytes) in self.range::<str, _>((start, Bound::Unbounded)) {
            if !key.as_str().starts_with(within) || visit(key.as_str(), bytes).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn power_lost() -> StorageError {
    StorageError::Io("the power is lost".to_owned())
}
