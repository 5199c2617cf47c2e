//! A server process on the stage, with AWS beside it: both stand still until nothing is left to be done, and then go on together.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Phase, Rule, Sandbox, When};
use leasehold::base::{Clock, Timestamp};
use leasehold::core::Core;
use leasehold::policy::Operation;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::client::{Reply, ask};
use super::clock::LawClock;
use super::stage::{Stage, Trail, core_over};
use super::store::Store;

/// See the module.
pub(super) struct Process {
    pub(super) stage: Arc<Stage>,
    pub(super) sandbox: Sandbox,
    /// AWS's.
    pub(super) aws: Arc<LawClock>,
    pub(super) clock: Arc<LawClock>,
    /// Its sight of the disk.
    pub(super) store: Store,
    pub(super) core: Arc<Core>,
    pub(super) trail: Trail,
    title: String,
}

impl Process {
    /// One that is sealed, on a disk of its own.
    pub(super) async fn new(stage: &Arc<Stage>, sandbox: Sandbox, aws: Arc<LawClock>, start: Timestamp, title: String) -> Self {
        let trail = Trail::default();
        let noted = trail.clone();
        sandbox.faults().on_call(Arc::new(move |action, phase| {
            noted.note(match phase {
                Phase::Before => format!("AWS is asked {action}"),
                Phase::After => format!("AWS has judged {action}"),
            });
        }));
        let clock = Arc::new(LawClock::at(start));
        let store = Store::over(stage.disk().await, Arc::clone(&trail.0));
        let core = core_over(&store, &clock);
        Self { stage: Arc::clone(stage), sandbox, aws, clock, store, core, trail, title }
    }

    /// A request under way.
    pub(super) fn request(&self, token: &str, operation: Operation, path: &str, body: Value) -> JoinHandle<Reply> {
        let (core, token, path, trail) = (Arc::clone(&self.core), token.to_owned(), path.to_owned(), self.trail.clone());
        trail.note(format!("{operation:?} {path}"));
        self.stage.tasks.spawn(async move {
            let reply = ask(&core, &token, operation, &path, body).await;
            trail.note(format!("{operation:?} {path} answered: {}", if reply.is_ok { "done" } else { &reply.text }));
            reply
        })
    }

    /// `at_each`: is done whenever nothing is left to be done at some time.
    pub(super) async fn unseal(&self, at_each: impl Fn()) {
        let (core, key) = (Arc::clone(&self.core), self.stage.unseal_key.clone());
        let unsealed = self.stage.tasks.spawn(async move { core.unseal(&key).await.map_err(|error| error.to_string()) });
        if let Err(error) = self.finish(unsealed, at_each).await {
            self.violated(&format!("the server does not unseal: {error}"));
        }
    }

    /// Lets everything run that can without time.
    pub(super) async fn quiet(&self) {
        let signs = || {
            let asked = (self.store.commits(), self.sandbox.count());
            (self.clock.changes(), self.aws.changes(), asked, self.trail.0.lock().unwrap().len())
        };
        let mut before = signs();
        loop {
            for _ in 0..ROUNDS {
                tokio::task::yield_now().await;
            }
            let now = signs();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Time passes, for the server and for AWS.
    pub(super) fn pass(&self, by: Duration) {
        self.aws.advance(by);
        self.clock.advance(by);
    }

    /// Time goes on to the next end of a wait, at most so long.
    pub(super) fn step(&self, most: Duration) -> Duration {
        let next = [self.clock.next(), self.aws.next()].into_iter().flatten().min();
        let by = next.unwrap_or(most).min(most).max(Duration::from_millis(1));
        self.pass(by);
        by
    }

    /// Time passes step by step, as long as that. `at_each`: as in [`Self::unseal`].
    pub(super) async fn live(&self, long: Duration, at_each: impl Fn()) {
        let mut left = long;
        while !left.is_zero() {
            self.quiet().await;
            at_each();
            left = left.saturating_sub(self.step(left));
        }
        self.quiet().await;
    }

    /// Lets time pass until a task is done. `at_each`: as in [`Self::unseal`].
    pub(super) async fn finish<T>(&self, task: JoinHandle<T>, at_each: impl Fn()) -> T {
        let mut left = LONGEST;
        loop {
            self.quiet().await;
            if task.is_finished() {
                return task.await.unwrap();
            }
            at_each();
            if left.is_zero() {
                self.violated("a request is not answered");
            }
            left = left.saturating_sub(self.step(Duration::from_secs(10)));
        }
    }

    /// It is killed; another one takes its place, sealed, on what is durable, with a clock that is set back by that.
    pub(super) async fn crash(&mut self, back: Duration) {
        self.trail.note("the process is killed");
        let faults = self.sandbox.faults();
        faults.clear();
        // What it does from now on, it does not do.
        faults.add(Rule { action: None, user: None, when: When::Every, effect: Effect::DropBefore });
        let disk = self.store.disk.reopen();
        self.store.let_go();
        faults.release();
        let core = Arc::clone(&self.core);
        let sealed = self.stage.tasks.spawn(async move { core.seal().await });
        self.quiet().await;
        for _ in 0..200 {
            if sealed.is_finished() {
                break;
            }
            self.clock.advance(self.clock.next().unwrap_or(Duration::from_secs(1)));
            self.quiet().await;
        }
        faults.clear();
        let now = self.aws.now().seconds() - back.as_secs();
        self.clock = Arc::new(LawClock::at(Timestamp::from_seconds(now)));
        self.store = Store::over(disk, Arc::clone(&self.trail.0));
        self.core = core_over(&self.store, &self.clock);
        self.trail.note("a process starts");
    }

    /// It is sealed for good.
    pub(super) async fn end(&self, at_each: impl Fn()) {
        let core = Arc::clone(&self.core);
        self.finish(self.stage.tasks.spawn(async move { core.seal().await }), at_each).await;
    }

    /// The law does not hold.
    pub(super) fn violated(&self, what: &str) -> ! {
        panic!("{}: {what}\n  {}", self.title, self.trail.text());
    }
}

/// Turns of the loop in which nothing is begun or ended, before it is believed that nothing will be.
const ROUNDS: usize = 8;

/// Longer than any request may take.
const LONGEST: Duration = Duration::from_mins(10);
