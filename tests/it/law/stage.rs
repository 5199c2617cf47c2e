//! What all runs of a test share: the stand-in for AWS, and a disk with a server that is set up.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold::aws::sandbox::Sandbox;
use leasehold::base::{Clock, Secret, Shutdown, Tasks, Timestamp};
use leasehold::core::{Core, InitInput, Settings};
use leasehold::mount::Registry;
use leasehold::policy::Operation;
use leasehold::storage::memory::MemoryStorage;
use leasehold::storage::{Batch, Storage, Write};
use serde_json::{Value, json};

use super::client::ask;
use super::clock::LawClock;
use super::log::Log;
use super::store::Store;

/// See the module.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    /// Another account.
    pub(super) other: Sandbox,
    /// What `config/root` says: as it is, with the account's other key, and for the other account.
    pub(super) roots: Roots,
    /// AWS's.
    pub(super) clock: Arc<LawClock>,
    pub(super) unseal_key: String,
    pub(super) root: String,
    pub(super) tasks: Tasks,
    pub(super) log: Log,
    disk: Vec<Write>,
}

/// Bodies of `config/root`.
pub(super) struct Roots {
    pub(super) first: Value,
    pub(super) second_key: Value,
    pub(super) other_account: Value,
}

fn root_of(sandbox: &Sandbox, (id, secret): (String, Secret<String>)) -> Value {
    let url = sandbox.url();
    json!({
        "access_key": id, "secret_key": secret.expose(), "region": "us-east-1", "iam_endpoint": url, "sts_endpoint": url,
    })
}

impl Stage {
    async fn new(log: Log) -> Self {
        let clock = Arc::new(LawClock::at(Timestamp::from_seconds(1_800_000_000)));
        let tasks = Tasks::default();
        let sandbox = Sandbox::start(clock.clone(), &tasks, &Shutdown::new()).await.unwrap();
        let storage = MemoryStorage::new();
        let core = core_over(&Store::over(storage.clone(), Arc::default()), &clock);
        let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
        let made = core.initialize(&input).await.unwrap();
        let unseal_key = STANDARD.encode(made.shares[0].expose());
        let root = made.root_token.expose().clone();
        core.unseal(&unseal_key).await.unwrap();
        let other = sandbox.second_account();
        let other_keys = other.create_user("leasehold-admin").unwrap();
        let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
        other.prepare("AttachUserPolicy", &[("UserName", "leasehold-admin"), ("PolicyArn", admin)]).unwrap();
        let roots = Roots {
            first: root_of(&sandbox, sandbox.root_keys()),
            second_key: root_of(&sandbox, sandbox.another_root_key().unwrap()),
            other_account: root_of(&other, other_keys),
        };
        sandbox.create_group("law", &[], &[]).unwrap();
        let assumed = sandbox.create_role("law", None, &[]).unwrap();
        let role = json!({ "credential_type": "iam_user", "policy_document": POLICY });
        let full = json!({
            "credential_type": "iam_user", "policy_document": POLICY, "policy_arns": "arn:aws:iam::aws:policy/AdministratorAccess",
            "iam_groups": "law",
        });
        for (path, body) in [
            ("sys/mounts/aws", json!({ "type": "aws" })),
            ("aws/config/root", roots.first.clone()),
            ("aws/config/lease", json!({ "lease": "10m", "lease_max": "20m" })),
            ("aws/roles/r", role),
            ("aws/roles/full", full),
            ("aws/roles/assume", json!({ "credential_type": "assumed_role", "role_arns": assumed })),
            ("aws/roles/federate", json!({ "credential_type": "federation_token", "policy_document": POLICY })),
            ("aws/roles/session", json!({ "credential_type": "session_token" })),
        ] {
            let reply = ask(&core, &root, Operation::Update, path, body).await;
            assert!(reply.is_ok, "{path}: {}", reply.text);
        }
        core.seal().await;
        let mut disk = Vec::new();
        for key in storage.keys("") {
            let bytes = storage.get(&key).await.unwrap().unwrap().bytes;
            disk.push(Write::Put(key, bytes));
        }
        Self { sandbox, other, roots, clock, unseal_key, root, tasks, log, disk }
    }

    /// The user of `config/root` has its first key alone, or both again.
    pub(super) fn give_keys(&self, both: bool) {
        let of = |root: &'_ Value| ["access_key", "secret_key"].map(|name| root[name].as_str().unwrap().to_owned());
        let keys = [of(&self.roots.first), of(&self.roots.second_key)];
        let keys: Vec<(&str, &str)> = keys.iter().map(|[id, secret]| (id.as_str(), secret.as_str())).collect();
        self.sandbox.set_root_keys(if both { &keys } else { &keys[..1] });
    }

    /// A copy of the disk.
    pub(super) async fn disk(&self) -> MemoryStorage {
        let storage = MemoryStorage::new();
        storage.commit(Batch { writes: self.disk.clone(), expects: vec![] }).await.unwrap();
        storage
    }
}

/// A sealed server.
pub(super) fn core_over(store: &Store, clock: &Arc<LawClock>) -> Arc<Core> {
    let mut registry = Registry::new();
    leasehold::engine::builtin(&mut registry);
    leasehold::auth::builtin(&mut registry);
    let clock: Arc<dyn Clock> = clock.clone();
    Core::new(Arc::new(store.clone()), Settings::default(), registry, clock)
}

/// Runs a test on one thread, so that it can be seen when nothing is left to be done.
pub(super) fn on_stage<F: Future<Output = ()>>(play: impl FnOnce(Arc<Stage>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = Log::default();
    let _heard = log.listen();
    runtime.block_on(async {
        let stage = Arc::new(Stage::new(log.clone()).await);
        play(stage).await;
    });
}

/// What happened in a run, line by line.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail(pub(super) Arc<Mutex<Vec<String>>>);

impl Trail {
    pub(super) fn note(&self, line: impl Display) {
        self.0.lock().unwrap().push(line.to_string());
    }

    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n  ")
    }
}

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
