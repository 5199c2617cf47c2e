//! A number that many batches change without waiting for each other, exact after a crash.
//!
//! It is stored in stripes whose sum it is. A batch that changes it takes a stripe that nobody else has, writes the stripe's
//! new value among its other writes, and gives it back when it is durable: so what is counted and the count become true together,
//! and nothing is ever scanned to know it.
//!
//! In memory, what is added counts from the moment it is put into a batch, and what is taken away from the moment it is durable:
//! a bound that is checked with [`Txn::add_within`] is never passed.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BarrierError, Txn, View};
use crate::storage::Page;

/// See the module.
pub struct Tally {
    view: View,
    live: AtomicI64,
    /// Guards a short list of numbers; who builds or ends a batch takes it, for a look along the list.
    stripes: Mutex<Vec<Stripe>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stripe {
    /// As stored; while its fate is open, as it is counted.
    value: i64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Taken,
    /// Nobody knows what became of the batch that wrote it.
    Open,
}

/// The stripe of a batch.
#[derive(Debug)]
pub(super) struct Held {
    tally: Arc<Tally>,
    stripe: usize,
    value: i64,
    added: i64,
    removed: i64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing happened yet.
    Building,
    /// It may have happened.
    Committing,
    /// What became of it is written down.
    Settled,
}

impl Tally {
    /// The number stored in this view, which is its own; zero when it never was.
    ///
    /// # Errors
    /// Of storage.
    pub async fn open(view: View) -> Result<Arc<Self>, BarrierError> {
        let stored: Vec<(String, i64)> = view.scan("", Page::first(STRIPES)).await?;
        let mut stripes: Vec<Stripe> = Vec::new();
        for (key, value) in stored {
            let Ok(place) = key.parse::<usize>() else { continue };
            if place < STRIPES {
                stripes.resize(stripes.len().max(place + 1), Stripe::default());
                if let Some(stripe) = stripes.get_mut(place) {
                    stripe.value = value;
                }
            }
        }
        let live = stripes.iter().map(|stripe| stripe.value).sum::<i64>();
        Ok(Arc::new(Self { view, live: live.into(), stripes: Mutex::new(stripes) }))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        u64::try_from(self.live.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Reads again what a failure of storage left open. Cheap when there is none.
    ///
    /// # Errors
    /// Of storage; it stays open.
    pub async fn mend(&self) -> Result<(), BarrierError> {
        let open: Vec<usize> = {
            let stripes = self.stripes();
            stripes.iter().enumerate().filter(|(_, stripe)| stripe.state == State::Open).map(|(place, _)| place).collect()
        };
        for place in open {
            let stored: i64 = self.view.read(&place.to_string()).await?.unwrap_or_default();
            let mut stripes = self.stripes();
            if let Some(stripe) = stripes.get_mut(place).filter(|stripe| stripe.state == State::Open) {
                self.live.fetch_add(stored - stripe.value, Ordering::AcqRel);
                *stripe = Stripe { value: stored, state: State::Free };
            }
        }
        Ok(())
    }

    /// Removes what is stored of it.
    pub fn forget(&self, txn: &mut Txn) {
        for place in 0..self.stripes().len() {
            txn.delete(&self.view, &place.to_string());
        }
    }

    /// One more, unless there are `most` already.
    fn reserve(&self, most: u64) -> bool {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.live.fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| (live < most).then(|| live + 1)).is_ok()
    }

    /// A stripe nobody has.
    fn take(self: &Arc<Self>) -> Option<Held> {
        let mut stripes = self.stripes();
        let free = stripes.iter().position(|stripe| stripe.state == State::Free);
        let place = free.unwrap_or(stripes.len());
        if place >= STRIPES {
            return None;
        }
        if free.is_none() {
            stripes.push(Stripe::default());
        }
        let stripe = stripes.get_mut(place)?;
        stripe.state = State::Taken;
        let value = stripe.value;
        drop(stripes);
        Some(Held { tally: Arc::clone(self), stripe: place, value, added: 0, removed: 0, phase: Phase::Building })
    }

    fn put_back(&self, place: usize, value: i64, state: State) {
        if let Some(stripe) = self.stripes().get_mut(place) {
            *stripe = Stripe { value, state };
        }
    }

    fn stripes(&self) -> MutexGuard<'_, Vec<Stripe>> {
        self.stripes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new_value(&self) -> i64 {
        self.value + self.added - self.removed
    }

    /// Adds the stripe's new value to the batch that holds it.
    pub(super) fn write(&mut self, txn: &mut Txn) -> Result<(), BarrierError> {
        txn.put(&self.tally.view, &self.stripe.to_string(), &self.new_value())?;
        self.phase = Phase::Committing;
        Ok(())
    }

    /// The batch is durable.
    pub(super) fn done(mut self) {
        self.tally.live.fetch_sub(self.removed, Ordering::AcqRel);
        self.tally.put_back(self.stripe, self.new_value(), State::Free);
        self.phase = Phase::Settled;
    }

    /// The batch did not happen.
    pub(super) fn undone(mut self) {
        self.phase = Phase::Building;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match self.phase {
            Phase::Building => {
                self.tally.live.fetch_sub(self.added, Ordering::AcqRel);
                self.tally.put_back(self.stripe, self.value, State::Free);
            }
            // What was added counts, what was removed still does, until it is read again.
            Phase::Committing => self.tally.put_back(self.stripe, self.value + self.added, State::Open),
            Phase::Settled => {}
        }
    }
}

impl Txn {
    /// One more with this batch, unless there are `most` already: `false`.
    ///
    /// # Errors
    /// [`BarrierError::Busy`].
    pub fn add_within(&mut self, tally: &Arc<Tally>, most: u64) -> Result<bool, BarrierError> {
        if !tally.reserve(most) {
            return Ok(false);
        }
        if let Err(error) = self.note(tally, 1, 0) {
            tally.live.fetch_sub(1, Ordering::AcqRel);
            return Err(error);
        }
        Ok(true)
    }

    /// One more with this batch, whatever there are.
    ///
    /// # Errors
    /// [`BarrierError::Busy`].
    pub fn add(&mut self, tally: &Arc<Tally>) -> Result<(), BarrierError> {
        self.note(tally, 1, 0)?;
        tally.live.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// One less with this batch.
    ///
    /// # Errors
    /// [`BarrierError::Busy`].
    pub fn take_away(&mut self, tally: &Arc<Tally>) -> Result<(), BarrierError> {
        self.note(tally, 0, 1)
    }

    fn note(&mut self, tally: &Arc<Tally>, added: i64, removed: i64) -> Result<(), BarrierError> {
        if let Some(held) = self.tallies.iter_mut().find(|held| Arc::ptr_eq(&held.tally, tally)) {
            held.added += added;
            held.removed += removed;
            return Ok(());
        }
        let mut held = tally.take().ok_or(BarrierError::Busy)?;
        (held.added, held.removed) = (added, removed);
        self.tallies.push(held);
        Ok(())
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tally({})", self.live.load(Ordering::Relaxed))
    }
}

/// Batches that change one number at once: twice what storage takes into one commit.
const STRIPES: usize = 1024;

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
