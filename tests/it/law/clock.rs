//! A clock that knows who waits for it: time goes on from one end of a wait to the next, and nothing that is put off is
//! passed over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use leasehold::base::{Clock, Timestamp};
use tokio::sync::oneshot;

/// See the module. It stands still until it is moved.
#[derive(Debug)]
pub(super) struct LawClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    wall: Duration,
    elapsed: Duration,
    waits: BTreeMap<u64, Wait>,
    /// Waits begun, ended and left so far.
    changes: u64,
}

#[derive(Debug)]
struct Wait {
    until: Until,
    wake: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Elapsed(Duration),
    Wall(Duration),
}

impl State {
    /// How long that is from now.
    fn left(&self, until: Until) -> Duration {
        match until {
            Until::Elapsed(at) => at.saturating_sub(self.elapsed),
            Until::Wall(at) => at.saturating_sub(self.wall),
        }
    }
}

impl LawClock {
    pub(super) fn at(start: Timestamp) -> Self {
        let (wall, elapsed) = (Duration::from_secs(start.seconds()), Duration::from_secs(1));
        Self { state: Mutex::new(State { wall, elapsed, waits: BTreeMap::new(), changes: 0 }) }
    }

    /// Time passes.
    pub(super) fn advance(&self, by: Duration) {
        self.change(|state| {
            state.wall += by;
            state.elapsed += by;
        });
    }

    /// The wall clock is set ahead; no time passes.
    pub(super) fn jump(&self, by: Duration) {
        self.change(|state| state.wall += by);
    }

    /// How long until the next wait ends.
    pub(super) fn next(&self) -> Option<Duration> {
        let state = self.state();
        state.waits.values().map(|wait| state.left(wait.until)).min()
    }

    /// Moves whenever somebody begins to wait, or waits no more.
    pub(super) fn changes(&self) -> u64 {
        self.state().changes
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let over: Vec<u64> = state.waits.iter().filter(|(_, wait)| state.left(wait.until).is_zero()).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(wait) = state.waits.remove(&id) {
                let _ = wait.wake.send(());
            }
        }
    }

    async fn wait(&self, until: Until) {
        let (id, woken) = {
            let mut state = self.state();
            if state.left(until).is_zero() {
                return;
            }
            let (wake, woken) = oneshot::channel();
            state.changes += 1;
            let id = state.changes;
            state.waits.insert(id, Wait { until, wake });
            (id, woken)
        };
        let _waiting = Waiting { clock: self, id };
        let _ = woken.await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

struct Waiting<'a> {
    clock: &'a LawClock,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.clock.state();
        state.waits.remove(&self.id);
        state.changes += 1;
    }
}

#[async_trait]
impl Clock for LawClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.state().wall.as_secs())
    }

    fn precise(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(i64::try_from(self.state().wall.as_nanos()).unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.elapsed() + duration;
        self.wait(Until::Elapsed(end)).await;
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.wait(Until::Wall(Duration::from_secs(at.seconds()))).await;
    }
}
