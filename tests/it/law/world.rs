//! One run: a server on the stage, its clients, its crashes, and the judgement at the end.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use leasehold::base::{Clock, Timestamp, Ttl};
use leasehold::policy::Operation;
use serde_json::json;
use tokio::task::JoinHandle;

use super::client::{Held, Seen, is_alive, is_ours_to_end, look_up};
use super::log::Forgotten;
use super::process::Process;
use super::stage::Stage;

/// See the module.
pub(super) struct World {
    process: Process,
    /// The token that holds leases.
    pub(super) holder: String,
    /// The token that one hangs on, and when it ends.
    pub(super) parent: String,
    pub(super) parent_ends: Timestamp,
    /// What clients were given.
    pub(super) held: Vec<Held>,
    /// Somebody has asked for the end of what is held, or jumped over it.
    pub(super) may_end: bool,
    /// Force may leave users behind, if the log names them: the operator ends those.
    pub(super) force_may_leave: bool,
    /// Users are made with marks, and keep them.
    pub(super) has_marks: bool,
    /// The role that is asked for.
    pub(super) role: &'static str,
    /// Keys of tokens on a server that nobody uses.
    token_keys: usize,
}

impl World {
    /// A server that is unsealed, a token with so many seconds to live, and one that hangs on it.
    pub(super) async fn new(stage: &Arc<Stage>, title: String, ttl: u64) -> Self {
        let process = Process::new(stage, stage.sandbox.clone(), Arc::clone(&stage.clock), stage.clock.now(), title).await;
        stage.log.clear();
        let token_keys = process.store.disk.keys("token/").len();
        let mut world = Self {
            process,
            holder: String::new(),
            parent: String::new(),
            parent_ends: Timestamp::default(),
            held: Vec::new(),
            may_end: false,
            force_may_leave: false,
            has_marks: true,
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

    /// Credentials are asked for; the lease is looked up before they are used.
    pub(super) fn issue(&self) -> JoinHandle<Result<Option<Held>, String>> {
        let (core, stage, clock) = (Arc::clone(&self.core), Arc::clone(&self.stage), Arc::clone(&self.clock));
        let asked = self.request(&self.holder, Operation::Read, &format!("aws/creds/{}", self.role), json!({}));
        self.stage.tasks.spawn(async move {
            let Some(held) = asked.await.unwrap().held(clock.now()) else { return Ok(None) };
            if look_up(&core, &stage.root, &held.lease).await == Seen::NotFound && is_ours_to_end(&stage, &held.access_key) {
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

    pub(super) async fn unseal(&self) {
        self.process.unseal(|| {}).await;
        self.quiet().await;
    }

    /// Time passes step by step, as long as that.
    pub(super) async fn live(&self, long: Duration) {
        self.process.live(long, || {}).await;
    }

    /// Lets time pass until a task is done.
    pub(super) async fn finish<T>(&self, task: JoinHandle<T>) -> T {
        self.process.finish(task, || {}).await
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
        self.process.crash(back).await;
        self.unseal().await;
        self.check_held().await;
    }

    /// Each credential in a client's hands is shown by its lease, or dead.
    pub(super) async fn check_held(&self) {
        for held in &self.held {
            if !is_alive(&self.stage, &held.access_key) {
                // What it hangs on may end before it: a clock may have been set ahead meanwhile.
                if !self.may_end && self.clock.now() < held.ends.min(self.parent_ends) {
                    self.violated(&format!("what lease {} holds was ended before its end", held.lease));
                }
                continue;
            }
            match look_up(&self.core, &self.stage.root, &held.lease).await {
                Seen::Shown => {}
                Seen::NotFound if !is_ours_to_end(&self.stage, &held.access_key) => {}
                Seen::NotFound => self.violated(&format!("lease {} is not shown, and its credential lives", held.lease)),
                Seen::Unanswered(text) => self.violated(&format!("no answer on lease {}: {text}", held.lease)),
            }
        }
    }

    /// Whatever went wrong, a rotation of the key in `config/root` works at once; it needs the place of the other key.
    pub(super) async fn rotates(&self) {
        self.stage.give_keys(false);
        let reply = self.finish(self.request(&self.stage.root, Operation::Update, "aws/config/rotate-root", json!({}))).await;
        let new = reply.body["data"]["access_key"].as_str().unwrap_or_default().to_owned();
        let held: Vec<String> = self.stage.sandbox.user("leasehold-admin").unwrap().keys.into_keys().collect();
        if !reply.is_ok || held != [new] || self.stage.roots.first["access_key"] == held[0].as_str() {
            self.violated(&format!("a rotation does not work: {} {held:?}", reply.text));
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
            self.end_what_was_named();
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
        self.process.end(|| {}).await;
    }

    /// The operator ends the users of leases that were removed by force: the log has named them, and their marks tell that they
    /// are ours.
    fn end_what_was_named(&self) {
        let named = if self.force_may_leave { self.stage.log.forgotten() } else { Vec::new() };
        for sandbox in [&self.stage.sandbox, &self.stage.other] {
            for Forgotten { lease, user, is_warning, line } in &named {
                let Some(shown) = sandbox.user(user) else { continue };
                let suffix = lease.rsplit('/').next();
                let is_marked = shown.tags.contains_key("leasehold:cluster")
                    && shown.tags.get("leasehold:lease").map(String::as_str) == suffix;
                if self.has_marks && !is_marked {
                    self.violated(&format!("{user}, which was forgotten, has no marks: {:?}", shown.tags));
                }
                let is_placed = line.contains(sandbox.account()) || line.contains("an account that is not known");
                if !is_warning || !is_placed || !line.contains(" error=") {
                    self.violated(&format!("of {user} the log says too little: {line}"));
                }
                sandbox.remove_user(user);
                self.trail.note(format!("the operator deletes {user}"));
            }
        }
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
}

impl Deref for World {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Seconds a token lives that ends with its parent.
const HOLDER_TTL: u64 = 1800;

/// Longer than anything lives, put off for an hour and tried again.
const END: Duration = Duration::from_hours(6);
