//! One run: a server on the stage, its clients, its crashes, and the judgement at the end.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Phase, Rule, When};
use leasehold::base::{Clock, Timestamp, Ttl};
use leasehold::core::Core;
use leasehold::policy::Operation;
use serde_json::json;
use tokio::task::JoinHandle;

use super::client::{Held, Reply, Seen, ask, is_alive, look_up};
use super::clock::LawClock;
use super::stage::{Stage, Trail, core_over};
use super::store::Store;

/// See the module.
pub(super) struct World {
    pub(super) stage: Arc<Stage>,
    /// The process: its clock, its sight of the disk, its server.
    pub(super) clock: Arc<LawClock>,
    pub(super) store: Store,
    pub(super) core: Arc<Core>,
    /// The token that holds leases.
    pub(super) holder: String,
    /// The token that one hangs on, and when it ends.
    pub(super) parent: String,
    pub(super) parent_ends: Timestamp,
    /// What clients were given.
    pub(super) held: Vec<Held>,
    /// Somebody has asked for the end of what is held, or jumped over it.
    pub(super) may_end: bool,
    pub(super) trail: Trail,
    title: String,
    /// The role that is asked for.
    pub(super) role: &'static str,
    /// Keys of tokens on a server that nobody uses.
    token_keys: usize,
}

impl World {
    /// A server that is unsealed, a token with so many seconds to live, and one that hangs on it.
    pub(super) async fn new(stage: &Arc<Stage>, title: String, ttl: u64) -> Self {
        let trail = Trail::default();
        let noted = trail.clone();
        stage.sandbox.faults().on_call(Arc::new(move |action, phase| {
            noted.note(match phase {
                Phase::Before => format!("AWS is asked {action}"),
                Phase::After => format!("AWS has judged {action}"),
            });
        }));
        let clock = Arc::new(LawClock::at(stage.clock.now()));
        let store = Store::over(stage.disk().await, Arc::clone(&trail.0));
        let core = core_over(&store, &clock);
        let token_keys = store.disk.keys("token/").len();
        let mut world = Self {
            stage: Arc::clone(stage),
            clock,
            store,
            core,
            holder: String::new(),
            parent: String::new(),
            parent_ends: Timestamp::default(),
            held: Vec::new(),
            may_end: false,
            trail,
            title,
            role: "r",
            token_keys,
        };
        world.unseal().await;
        world.parent = world.token(&stage.root, ttl).await;
        world.parent_ends = world.clock.now().plus(Ttl::seconds(ttl));
        world.holder = world.token(&world.parent, HOLDER_TTL).await;
        world
    }

    async fn token(&self, parent: &str, ttl: u64) -> String {
        let body = json!({ "policies": ["root"], "ttl": format!("{ttl}s") });
        let made = self.finish(self.request(parent, Operation::Update, "auth/token/create", body)).await;
        let token = made.body["auth"]["client_token"].as_str();
        token.unwrap_or_else(|| panic!("no token was made: {}", made.text)).to_owned()
    }

    /// A request under way.
    pub(super) fn request(&self, token: &str, operation: Operation, path: &str, body: serde_json::Value) -> JoinHandle<Reply> {
        let (core, token, path, trail) = (Arc::clone(&self.core), token.to_owned(), path.to_owned(), self.trail.clone());
        trail.note(format!("{operation:?} {path}"));
        self.stage.tasks.spawn(async move {
            let reply = ask(&core, &token, operation, &path, body).await;
            trail.note(format!("{operation:?} {path} answered: {}", if reply.is_ok { "done" } else { &reply.text }));
            reply
        })
    }

    /// Credentials are asked for; the lease is looked up before they are used.
    pub(super) fn issue(&self) -> JoinHandle<Result<Option<Held>, String>> {
        let (core, stage, clock) = (Arc::clone(&self.core), Arc::clone(&self.stage), Arc::clone(&self.clock));
        let asked = self.request(&self.holder, Operation::Read, &format!("aws/creds/{}", self.role), json!({}));
        self.stage.tasks.spawn(async move {
            let Some(held) = asked.await.unwrap().held(clock.now()) else { return Ok(None) };
            if look_up(&core, &stage.root, &held.lease).await == Seen::NotFound && is_alive(&stage, &held.access_key) {
                return Err(held.lease);
            }
            Ok(Some(held))
        })
    }

    /// Takes what an issue gave.
    pub(super) fn take(&mut self, issued: Result<Option<Held>, String>) {
        match issued {
            Ok(held) => self.held.extend(held),
            Err(lease) => self.violated(&format!("a credential was handed out, and lease {lease} is not shown")),
        }
    }

    /// The server has these credentials from now on.
    pub(super) async fn set_root(&self, root: &serde_json::Value) {
        self.stage.sandbox.faults().clear();
        let asked = self.request(&self.stage.root, Operation::Update, "aws/config/root", root.clone());
        let written = self.finish(asked).await;
        if !written.is_ok {
            self.violated(&format!("credentials are not taken: {}", written.text));
        }
    }

    pub(super) async fn unseal(&mut self) {
        let (core, key) = (Arc::clone(&self.core), self.stage.unseal_key.clone());
        let unsealed = self.stage.tasks.spawn(async move { core.unseal(&key).await.map_err(|error| error.to_string()) });
        if let Err(error) = self.finish(unsealed).await {
            self.violated(&format!("the server does not unseal: {error}"));
        }
        self.quiet().await;
    }

    /// Lets everything run that can without time.
    pub(super) async fn quiet(&self) {
        let signs = || {
            let asked = (self.store.commits(), self.stage.sandbox.count() + self.stage.other.count());
            (self.clock.changes(), self.stage.clock.changes(), asked, self.trail.0.lock().unwrap().len())
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

    /// Time goes on to the next end of a wait, at most so long.
    pub(super) fn step(&self, most: Duration) -> Duration {
        let next = [self.clock.next(), self.stage.clock.next()].into_iter().flatten().min();
        let by = next.unwrap_or(most).min(most).max(Duration::from_millis(1));
        self.pass(by);
        by
    }

    /// Time passes, for the server and for AWS.
    pub(super) fn pass(&self, by: Duration) {
        self.stage.clock.advance(by);
        self.clock.advance(by);
    }

    /// Time passes step by step, as long as that.
    pub(super) async fn live(&self, long: Duration) {
        let mut left = long;
        while !left.is_zero() {
            self.quiet().await;
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
            if left.is_zero() {
                self.violated("a request is not answered");
            }
            left = left.saturating_sub(self.step(Duration::from_secs(10)));
        }
    }

    /// Users at AWS that no client holds a living lease of.
    pub(super) fn strays(&self) -> Vec<String> {
        let now = self.clock.now();
        let is_held = |name: &String| {
            let keys = self.stage.sandbox.user(name).map(|user| user.keys).unwrap_or_default();
            self.held.iter().any(|held| now < held.ends && keys.contains_key(&held.access_key))
        };
        self.stage.sandbox.users().into_iter().filter(|name| !is_held(name)).collect()
    }

    /// The process is killed; another one starts on what is durable, with a clock that is set back by that.
    pub(super) async fn crash(&mut self, back: Duration) {
        self.trail.note("the process is killed");
        let faults = self.stage.sandbox.faults();
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
        let now = self.stage.clock.now().seconds() - back.as_secs();
        self.clock = Arc::new(LawClock::at(Timestamp::from_seconds(now)));
        self.store = Store::over(disk, Arc::clone(&self.trail.0));
        self.core = core_over(&self.store, &self.clock);
        self.trail.note("a process starts");
        self.unseal().await;
        self.check_held().await;
    }

    /// Each credential in a client's hands is shown by its lease, or dead.
    pub(super) async fn check_held(&self) {
        for held in &self.held {
            if !is_alive(&self.stage, &held.access_key) {
                if !self.may_end && self.clock.now() < held.ends {
                    self.violated(&format!("what lease {} holds was ended before its end", held.lease));
                }
                continue;
            }
            match look_up(&self.core, &self.stage.root, &held.lease).await {
                Seen::Shown => {}
                Seen::NotFound => self.violated(&format!("lease {} is not shown, and its credential lives", held.lease)),
                Seen::Unanswered(text) => self.violated(&format!("no answer on lease {}: {text}", held.lease)),
            }
        }
    }

    /// Everything comes to its end; then nothing is left.
    pub(super) async fn end(self) {
        self.trail.note("everything comes to its end");
        self.stage.sandbox.faults().clear();
        self.stage.sandbox.faults().release();
        self.check_held().await;
        let mut left = END;
        let mut steps = 0;
        loop {
            self.quiet().await;
            if self.left().is_none() {
                break;
            }
            if left.is_zero() {
                self.violated(&self.left().unwrap_or_default());
            }
            left = left.saturating_sub(self.step(Duration::from_mins(1)));
            steps += 1;
            if steps % 16 == 0 {
                self.check_held().await;
            }
        }
        for _ in 0..2 {
            self.pass(Duration::from_mins(20));
            self.quiet().await;
        }
        if let Some(left) = self.left() {
            self.violated(&format!("it comes back: {left}"));
        }
        let core = Arc::clone(&self.core);
        self.finish(self.stage.tasks.spawn(async move { core.seal().await })).await;
    }

    /// What there is that should not outlive its end.
    fn left(&self) -> Option<String> {
        let (mut users, late) = (self.stage.sandbox.users(), self.stage.sandbox.faults().late());
        users.extend(self.stage.other.users());
        let leases = self.store.disk.keys("lease/");
        let tokens = self.store.disk.keys("token/");
        let mounts = self.store.disk.keys("core/gone/");
        let is_empty = users.is_empty() && leases.is_empty() && mounts.is_empty();
        if is_empty && late == 0 && tokens.len() == self.token_keys {
            return None;
        }
        let beside = format!("{mounts:?}, {tokens:?} instead of {}", self.token_keys);
        Some(format!("left: users {users:?}, {late} late calls, {leases:?}, {beside}"))
    }

    /// The law does not hold.
    pub(super) fn violated(&self, what: &str) -> ! {
        panic!("{}: {what}\n  {}", self.title, self.trail.text());
    }
}

/// Seconds a token lives that ends with its parent.
const HOLDER_TTL: u64 = 1800;

/// Turns of the loop in which nothing is begun or ended, before it is believed that nothing will be.
const ROUNDS: usize = 8;

/// Longer than any request may take.
const LONGEST: Duration = Duration::from_mins(10);

/// Longer than anything lives, put off for an hour and tried again.
const END: Duration = Duration::from_hours(6);
