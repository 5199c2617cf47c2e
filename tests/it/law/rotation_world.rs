//! A server whose keys are rotated, with an account of its own; its crashes, and what must be true at every look.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::Sandbox;
use leasehold::base::{Shutdown, Timestamp};
use leasehold::policy::Operation;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::client::Reply;
use super::clock::LawClock;
use super::process::Process;
use super::stage::Stage;

/// See the module.
pub(super) struct Play {
    process: Process,
    /// Keys that somebody else made, with whose they are.
    strangers: Vec<(&'static str, String)>,
    /// Whether there is a static role that has had a key, and that nobody has asked to delete.
    pub(super) has_static: bool,
    over: Shutdown,
}

pub(super) const ADMIN: &str = "leasehold-admin";
pub(super) const APP: &str = "app";

impl Play {
    pub(super) async fn new(stage: &Arc<Stage>, title: String) -> Self {
        let start = Timestamp::from_seconds(1_800_000_000);
        let (aws, over) = (Arc::new(LawClock::at(start)), Shutdown::new());
        let sandbox = Sandbox::start(aws.clone(), &stage.tasks, &over).await.unwrap();
        let process = Process::new(stage, sandbox, aws, start, title).await;
        let play = Self { process, strangers: Vec::new(), has_static: false, over };
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
        self.process.request(&self.stage.root, operation, path, body)
    }

    pub(super) async fn ask(&self, operation: Operation, path: &'static str, body: Value) -> Reply {
        self.finish(self.request(operation, path, body)).await
    }

    async fn unseal(&self) {
        self.process.unseal(|| self.count()).await;
    }

    /// Time passes step by step, as long as that.
    pub(super) async fn live(&self, long: Duration) {
        self.process.live(long, || self.count()).await;
    }

    /// Lets time pass until a task is done.
    pub(super) async fn finish<T>(&self, task: JoinHandle<T>) -> T {
        self.process.finish(task, || self.count()).await
    }

    /// The process is killed; another one starts on what is durable.
    pub(super) async fn crash(&mut self) {
        self.process.crash(Duration::ZERO).await;
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
        self.process.end(|| self.count()).await;
        self.over.cancel();
    }
}

impl Deref for Play {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Whether a key of storage is of a rotation that is not finished.
fn is_open(key: &str) -> bool {
    key.ends_with("/rotation/root") || key.contains("/static-gone/")
}
