//! The same for real: the server is a process over storage on disk, ended by `kill -9` at each call of an issue and of a
//! revocation, and at every millisecond after the last answer of AWS. The stand-in for AWS is in the process of the test.
//!
//! `LEASEHOLD` names the program, `LEASEHOLD_KILLS` how often it is killed; see `docs/testing.md`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use leasehold::aws::sandbox::{Phase, Sandbox};
use leasehold::base::time::SystemClock;
use leasehold::base::{Clock, Shutdown, Tasks};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Issue,
    Revoke,
}

/// Where the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// A call has arrived, counted from one, and nothing is done yet.
    Before(usize),
    /// It is done, and not answered.
    After(usize),
    /// So many milliseconds after the last call was done.
    Later(u64),
}

/// A server that can be killed.
struct Server {
    child: Arc<Mutex<Child>>,
    port: u16,
}

/// What a request came to; none: there was no answer.
type Answer = Option<(u16, Value)>;

fn ask(port: u16, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
    let body = body.to_string();
    let head = format!("{method} /v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Vault-Token: {token}\r\n");
    write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    if body.is_empty() {
        return Some((status, Value::Null));
    }
    // An answer that is cut is none.
    Some((status, serde_json::from_str(body).ok()?))
}

impl Server {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = json!({
            "storage": { "file": { "path": folder.join("data") } },
            "listener": { "tcp": { "address": format!("127.0.0.1:{port}"), "tls_disable": true } },
        });
        let file = folder.join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let program = std::env::var_os("LEASEHOLD").unwrap_or_else(|| env!("CARGO_BIN_EXE_leasehold").into());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let child = Command::new(program)
            .arg("server")
            .arg(format!("-config={}", file.display()))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child: Arc::new(Mutex::new(child)), port };
        for _ in 0..600 {
            if server.ask("", "GET", "sys/seal-status", &json!({})).is_some() {
                return server;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not come up: {}", std::fs::read_to_string(folder.join("log")).unwrap());
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        ask(self.port, token, method, path, body)
    }

    fn must(&self, token: &str, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(token, method, path, body).unwrap_or_else(|| panic!("{path}: no answer"));
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    }

    fn wait_for_its_end(&self) {
        // Whoever is to kill it needs it meanwhile.
        while self.child.lock().unwrap().try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ended = child.kill();
        let _ended = child.wait();
    }
}

struct Campaign {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    clock: Arc<SystemClock>,
    root: String,
    unseal_key: String,
}

impl Campaign {
    async fn new() -> (Self, Server) {
        let (clock, tasks) = (Arc::new(SystemClock::new()), Tasks::default());
        let sandbox = Sandbox::start(clock.clone(), &tasks, &Shutdown::new()).await.unwrap();
        sandbox.create_group("law", &[], &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path());
        let made = server.must("", "PUT", "sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 }));
        let root = made["root_token"].as_str().unwrap().to_owned();
        let unseal_key = made["keys_base64"][0].as_str().unwrap().to_owned();
        server.must("", "PUT", "sys/unseal", &json!({ "key": unseal_key }));
        let (id, secret) = sandbox.root_keys();
        let url = sandbox.url();
        let config = json!({
            "access_key": id, "secret_key": secret.expose(), "region": "us-east-1", "iam_endpoint": url, "sts_endpoint": url,
        });
        let role = json!({
            "credential_type": "iam_user", "policy_document": POLICY, "iam_groups": "law",
            "policy_arns": "arn:aws:iam::aws:policy/AdministratorAccess",
        });
        for (path, body) in [
            ("sys/mounts/aws", json!({ "type": "aws" })),
            ("aws/config/root", config),
            ("aws/config/lease", json!({ "lease": "1h", "lease_max": "2h" })),
            ("aws/roles/r", role),
        ] {
            server.must(&root, "POST", path, &body);
        }
        (Self { folder, sandbox, clock, root, unseal_key }, server)
    }

    fn restart(&self) -> Server {
        let server = Server::start(self.folder.path());
        server.must("", "PUT", "sys/unseal", &json!({ "key": self.unseal_key }));
        server
    }

    /// The calls of a deed that nobody disturbs, after a start.
    fn healthy(&self, deed: Deed) -> usize {
        let server = self.restart();
        let before = if deed == Deed::Issue { self.sandbox.count() } else { self.lend(&server) };
        match deed {
            Deed::Issue => drop(server.must(&self.root, "GET", "aws/creds/r", &json!({}))),
            Deed::Revoke => self.revoke_all(&server),
        }
        let calls = usize::try_from(self.sandbox.count() - before).unwrap();
        self.revoke_all(&server);
        calls
    }

    /// A lease; how many calls there were by then.
    fn lend(&self, server: &Server) -> u64 {
        server.must(&self.root, "GET", "aws/creds/r", &json!({}));
        self.sandbox.count()
    }

    fn revoke_all(&self, server: &Server) {
        server.must(&self.root, "PUT", "sys/leases/revoke-prefix/aws/creds/r", &json!({ "sync": true }));
    }

    /// Leases that are shown.
    fn leases(&self, server: &Server) -> usize {
        let (status, answer) = server.ask(&self.root, "GET", "sys/leases/lookup/aws/creds/r/?list=true", &json!({})).unwrap();
        if status == 404 { 0 } else { answer["data"]["keys"].as_array().unwrap().len() }
    }

    /// One kill, a start, and the judgement.
    async fn kill(&self, deed: Deed, calls: usize, point: Point) {
        let server = self.restart();
        if deed == Deed::Revoke {
            self.lend(&server);
        }
        self.arm(&server, calls, point);
        let (port, token) = (server.port, self.root.clone());
        let asked = tokio::task::spawn_blocking(move || match deed {
            Deed::Issue => ask(port, &token, "GET", "aws/creds/r", &json!({})),
            Deed::Revoke => ask(port, &token, "PUT", "sys/leases/revoke-prefix/aws/creds/r", &json!({ "sync": true })),
        });
        let answer = asked.await.unwrap();
        tokio::task::block_in_place(|| server.wait_for_its_end());
        self.sandbox.faults().on_call(Arc::new(|_, _| {}));

        let server = self.restart();
        if let Some((200, answer)) = &answer
            && deed == Deed::Issue
        {
            let lease = json!({ "lease_id": answer["lease_id"] });
            server.must(&self.root, "PUT", "sys/leases/lookup", &lease);
        }
        if deed == Deed::Revoke && answer.is_some_and(|(status, _)| status < 300) {
            assert_eq!(self.leases(&server), 0, "{deed:?} {point:?}: it was said to be revoked");
        }
        // Half-built users are gone ten seconds after the start: there are as many users as leases, and as many keys. A lease
        // whose user's deletion was not answered stays for some minutes, until it can be believed that the user is gone.
        let end = self.clock.elapsed() + Duration::from_secs(10);
        loop {
            let (users, keys) = (self.sandbox.users().len(), self.sandbox.key_count());
            let leases = self.leases(&server);
            let is_ended = deed == Deed::Revoke && users == 0;
            if keys == users && (users == leases || is_ended) {
                break;
            }
            let what = format!("{deed:?} {point:?}: {users} users, {keys} keys and {leases} leases");
            assert!(self.clock.elapsed() < end, "{what}\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
            self.clock.sleep(Duration::from_millis(20)).await;
        }
        if deed == Deed::Revoke && self.sandbox.users().is_empty() {
            server.must(&self.root, "PUT", "sys/leases/revoke-force/aws/creds/r", &json!({}));
        } else {
            self.revoke_all(&server);
        }
        assert_eq!((self.sandbox.users().len(), self.leases(&server)), (0, 0), "{deed:?} {point:?}");
    }

    fn arm(&self, server: &Server, calls: usize, point: Point) {
        let (child, seen) = (Arc::clone(&server.child), AtomicUsize::new(0));
        self.sandbox.faults().on_call(Arc::new(move |_, phase| {
            let place = match phase {
                Phase::Before => seen.fetch_add(1, Ordering::SeqCst) + 1,
                Phase::After => seen.load(Ordering::SeqCst),
            };
            let is_here = match point {
                Point::Before(k) => phase == Phase::Before && place == k,
                Point::After(k) => phase == Phase::After && place == k,
                Point::Later(_) => phase == Phase::After && place == calls,
            };
            if !is_here {
                return;
            }
            let Point::Later(millis) = point else {
                child.lock().unwrap().kill().unwrap();
                return;
            };
            let child = Arc::clone(&child);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(millis));
                child.lock().unwrap().kill().unwrap();
            });
        }));
    }
}

/// All places, each deed's calls and then the milliseconds.
fn points(calls: [(Deed, usize); 2]) -> Vec<(Deed, usize, Point)> {
    let mut all = Vec::new();
    for (deed, calls) in calls {
        all.extend((1..=calls).flat_map(|k| [(deed, calls, Point::Before(k)), (deed, calls, Point::After(k))]));
        all.extend((0..=20).map(|millis| (deed, calls, Point::Later(millis))));
    }
    all
}

#[test]
fn a_server_killed_anywhere_forgets_nothing() {
    let kills = std::env::var_os("LEASEHOLD_KILLS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(FEW);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (campaign, server) = Campaign::new().await;
        drop(server);
        let calls = tokio::task::block_in_place(|| [Deed::Issue, Deed::Revoke].map(|deed| (deed, campaign.healthy(deed))));
        let all = points(calls);
        let began = campaign.clock.elapsed();
        for kill in 0..kills {
            // Spread over all places, and then over all again.
            let place = if kills < all.len() { kill * all.len() / kills } else { kill % all.len() };
            let (deed, calls, point) = all[place];
            campaign.kill(deed, calls, point).await;
        }
        let took = campaign.clock.elapsed().saturating_sub(began);
        assert!(kills > all.len() || took <= Duration::from_mins(5), "{kills} kills took {took:?}");
        println!("kills: {kills} at {} of {} places, {} s", kills.min(all.len()), all.len(), took.as_secs());
    });
}

/// In every run of the tests; `tests/run -k kill` does all of them.
const FEW: usize = 8;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
