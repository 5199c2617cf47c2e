//! A server whose keys are rotated, with an account of its own; its crashes, and what must be true at every look.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Phase, Rule, Sandbox, When};
use leasehold::base::{Clock, Shutdown, Timestamp};
use leasehold::core::Core;
use leasehold::policy::Operation;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::client::{Reply, ask};
use super::clock::LawClock;
use super::stage::{Stage, Trail, core_over};
use super::store::Store;

/// See the module.
pub(super) struct Play {
    pub(super) stage: Arc<Stage>,
    pub(super) sandbox: Sandbox,
    /// AWS's.
    aws: Arc<LawClock>,
    pub(super) clock: Arc<LawClock>,
    pub(super) store: Store,
    core: Arc<Core>,
    /// Keys that somebody else made, with whose they are.
    strangers: Vec<(&'static str, String)>,
    /// Whether there is a static role that has had a key, and that nobody has asked to delete.
    pub(super) has_static: bool,
    title: String,
    trail: Trail,
    over: Shutdown,
}

pub(super) const ADMIN: &str = "leasehold-admin";
pub(super) const APP: &str = "app";

impl Play {
    pub(super) async fn new(stage: &Arc<Stage>, title: String) -> Self {
        let start = Timestamp::from_seconds(1_800_000_000);
        let (aws, clock, over) = (Arc::new(LawClock::at(start)), Arc::new(LawClock::at(start)), Shutdown::new());
        let sandbox = Sandbox::start(aws.clone(), &stage.tasks, &over).await.unwrap();
        let trail = Trail::default();
        let noted = trail.clone();
        sandbox.faults().on_call(Arc::new(move |action, phase| {
            noted.note(match phase {
                Phase::Before => format!("AWS is asked {action}"),
                Phase::After => format!("AWS has judged {action}"),
            });
        }));
        let store = Store::over(stage.disk().await, Arc::clone(&trail.0));
        let core = core_over(&store, &clock);
        let strangers = Vec::new();
        let play =
            Self { stage: Arc::clone(stage), sandbox, aws, clock, store, core, strangers, has_static: false, title, trail, over };
        play.unseal().await;
        let (id, secret) = play.sandbox.root_keys();
        let url = play.sandbox.url();
        let config = json!({
            "access_key": id, "secret_key": secret.expose(), "iam_endpoint": url, "sts_endpoint": url, "verify": false,
        });
        let written = play.ask(Operation::Update, "aws/config/root", config).await;
        assert!(written.is_ok, "{}", written.text);
        play.sandbox.prepare("CreateUser", &[("UserName", APP)]).unwrap();
        play
    }

    /// Somebody else gives a user a key.
    pub(super) fn stranger(&mut self, user: &'static str) {
        let before = self.keys(user);
        self.sandbox.prepare("CreateAccessKey", &[("UserName", user)]).unwrap();
        let key = self.keys(user).into_iter().find(|key| !before.contains(key)).unwrap();
        self.strangers.push((user, key));
        // What is made later is not made in the same second.
        self.pass(Duration::from_mins(1));
    }

    pub(super) fn keys(&self, user: &str) -> Vec<String> {
        self.sandbox.user(user).unwrap().keys.into_keys().collect()
    }

    /// A request under way.
    pub(super) fn request(&self, operation: Operation, path: &'static str, body: Value) -> JoinHandle<Reply> {
        let (core, token, trail) = (Arc::clone(&self.core), self.stage.root.clone(), self.trail.clone());
        trail.note(format!("{operation:?} {path}"));
        self.stage.tasks.spawn(async move {
            let reply = ask(&core, &token, operation, path, body).await;
            trail.note(format!("{operation:?} {path} answered: {}", if reply.is_ok { "done" } else { &reply.text }));
            reply
        })
    }

    pub(super) async fn ask(&self, operation: Operation, path: &'static str, body: Value) -> Reply {
        self.finish(self.request(operation, path, body)).await
    }

    async fn unseal(&self) {
        let (core, key) = (Arc::clone(&self.core), self.stage.unseal_key.clone());
        let unsealed = self.stage.tasks.spawn(async move { core.unseal(&key).await.map_err(|error| error.to_string()) });
        if let Err(error) = self.finish(unsealed).await {
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

    fn pass(&self, by: Duration) {
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

    /// Time passes step by step, as long as that.
    pub(super) async fn live(&self, long: Duration) {
        let mut left = long;
        while !left.is_zero() {
            self.quiet().await;
            self.count();
            left = left.saturating_sub(self.step(left));
        }
        self.quiet().await;
    }

    /// Lets time pass until a task is done.
    pub(super) async fn finish<T>(&self, task: JoinHandle<T>) -> T {
        let mut left = LONGEST;
        loop {
            self.quiet().await;
            if task.is_finished() {
                return task.await.unwrap();
            }
            self.count();
            if left.is_zero() {
                self.violated("a request is not answered");
            }
            left = left.saturating_sub(self.step(Duration::from_secs(10)));
        }
    }

    /// The process is killed; another one starts on what is durable.
    pub(super) async fn crash(&mut self) {
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
        self.clock = Arc::new(LawClock::at(self.aws.now()));
        self.store = Store::over(disk, Arc::clone(&self.trail.0));
        self.core = core_over(&self.store, &self.clock);
        self.trail.note("a process starts");
        self.unseal().await;
        self.check().await;
    }

    /// The key that the server holds for a user; none of a static role that has had none yet.
    pub(super) async fn held(&self, user: &str) -> Option<String> {
        let path = if user == ADMIN { "aws/config/root" } else { "aws/static-creds/r" };
        let reply = self.ask(Operation::Read, path, json!({})).await;
        reply.body["data"]["access_key"].as_str().map(str::to_owned)
    }

    /// What must be true at every moment: the keys that the server holds are there, nobody has more than two, and what is
    /// not ours is as it was.
    pub(super) async fn check(&self) {
        self.count();
        for user in [ADMIN, APP] {
            let before = self.keys(user);
            let Some(held) = self.held(user).await else {
                if user == ADMIN || self.has_static {
                    self.violated(&format!("the server holds no key of {user}"));
                }
                continue;
            };
            // Looking takes time, in which it may be rotated.
            let is_promised = user == ADMIN || self.has_static;
            if is_promised && !before.contains(&held) && !self.keys(user).contains(&held) {
                self.violated(&format!("the server holds {held} of {user}, who has {before:?}"));
            }
        }
    }

    fn count(&self) {
        for user in [ADMIN, APP] {
            let keys = self.keys(user);
            if keys.len() > 2 {
                self.violated(&format!("{user} has {keys:?}"));
            }
        }
        for (user, key) in &self.strangers {
            if !self.keys(user).contains(key) {
                self.violated(&format!("the key {key} of {user}, which somebody else made, is gone"));
            }
        }
    }

    /// Everything that is open comes to its end: then each user has the keys that he should.
    pub(super) async fn end(self, previous: usize) {
        self.sandbox.faults().clear();
        self.sandbox.faults().release();
        self.check().await;
        self.live(Duration::from_mins(25)).await;
        self.check().await;
        let of_strangers = |user: &str| self.strangers.iter().filter(|(of, _)| *of == user).count();
        let app = if self.has_static { 1 + previous } else { 0 };
        for (user, ours) in [(ADMIN, 1), (APP, app)] {
            let keys = self.keys(user);
            if keys.len() != ours + of_strangers(user) {
                self.violated(&format!("left at the end: {user} has {keys:?}, of which {ours} should be ours"));
            }
        }
        let open: Vec<_> = self.store.disk.keys("logical/").into_iter().filter(|key| is_open(key.as_str())).collect();
        if !open.is_empty() {
            self.violated(&format!("still open: {open:?}"));
        }
        let core = Arc::clone(&self.core);
        self.finish(self.stage.tasks.spawn(async move { core.seal().await })).await;
        self.over.cancel();
    }

    /// The law does not hold.
    pub(super) fn violated(&self, what: &str) -> ! {
        panic!("{}: {what}\n  {}", self.title, self.trail.text());
    }
}

/// Whether a key of storage is of a rotation that is not finished.
fn is_open(key: &str) -> bool {
    key.ends_with("/rotation/root") || key.contains("/static-gone/")
}

/// Turns of the loop in which nothing is begun or ended, before it is believed that nothing will be.
const ROUNDS: usize = 8;

/// Longer than any request may take.
const LONGEST: Duration = Duration::from_mins(10);
