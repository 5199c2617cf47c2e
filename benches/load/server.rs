//! A server under load: its process, its address, what it uses.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::Failed;
use crate::client::{Connection, Operator, failure, request};
use crate::cores::Cores;

/// Starts servers.
pub(crate) struct Launcher<'a> {
    pub(crate) program: &'a Path,
    pub(crate) cores: &'a Cores,
    /// Its `cache_size`, if not the default.
    pub(crate) cache: Option<&'a str>,
}

impl Launcher<'_> {
    /// Starts the server with its store in `folder`, as it was left there.
    pub(crate) fn start(&self, folder: &Path) -> Result<Server, Failed> {
        let address = free_address()?;
        let config = folder.join("load.hcl");
        let store = store_in(folder).display().to_string();
        let cache = self.cache.map(|size| format!("cache_size = {size:?}")).unwrap_or_default();
        // The raw endpoint tells an operator what is left in the queue of leases.
        let text = format!(
            "disable_mlock = true\nlog_level = \"warn\"\nraw_storage_endpoint = true\nstorage \"embedded\" {{\n  path = {store:?}\n  {cache}\n}}\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n"
        );
        fs::write(&config, text)?;
        let log = folder.join("server.log");
        let mut command = Command::new(self.program);
        command.arg("server").arg(format!("-config={}", config.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        self.cores.for_server(|| {
            let began = Instant::now();
            let child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
            Ok(Server { child, address, began, root: String::new(), log })
        })
    }

    /// The same, once more with the keys it was initialised with; how long it took until it served.
    pub(crate) async fn start_again(&self, folder: &Path, keys: &Keys) -> Result<(Server, Opened), Failed> {
        let mut server = self.start(folder)?;
        let opened = server.unseal(keys).await?;
        Ok((server, opened))
    }
}

/// The file of the store.
pub(crate) fn store_in(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// Bytes that the store in `folder` takes on its disk, while no server has it open: it is one file then, whose length runs ahead
/// in doublings.
pub(crate) fn size_of_store(folder: &Path) -> Result<u64, Failed> {
    Ok(fs::metadata(store_in(folder))?.blocks() * 512)
}

/// What an initialisation tells.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Keys {
    /// The only share.
    pub(crate) unseal: String,
    pub(crate) root: String,
}

/// How long after the start of the process it had come so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Opened {
    /// The port was open.
    pub(crate) listening: Duration,
    /// The key was taken.
    pub(crate) unsealed: Duration,
    /// A request with a token was answered.
    pub(crate) answered: Duration,
}

impl Opened {
    /// From the key to the answer.
    pub(crate) fn first_request(&self) -> Duration {
        self.answered.saturating_sub(self.unsealed)
    }
}

/// A process that serves; ended when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    began: Instant,
    root: String,
    log: PathBuf,
}

impl Server {
    /// A server that listens already.
    pub(crate) fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, address, began: Instant::now(), root: String::new(), log: PathBuf::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token that may do anything.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// An operator with the root token.
    pub(crate) async fn operator(&self) -> Result<Operator, Failed> {
        Operator::at(self.address, self.root.clone()).await
    }

    /// Waits for the port, initialises and unseals.
    pub(crate) async fn initialize(&mut self) -> Result<Keys, Failed> {
        let mut connection = self.connect().await?;
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let init = ask(&mut connection, "PUT", "sys/init", "", &body).await?;
        let text = |pointer| init.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let unseal = text("/keys/0").ok_or("init gave no key")?;
        let root = text("/root_token").ok_or("init gave no token")?;
        ask(&mut connection, "PUT", "sys/unseal", "", &json!({"key": unseal})).await?;
        self.root.clone_from(&root);
        Ok(Keys { unseal, root })
    }

    /// Waits for the port, sends the key at once, then a request with a token.
    pub(crate) async fn unseal(&mut self, keys: &Keys) -> Result<Opened, Failed> {
        let mut connection = self.connect().await?;
        let listening = self.began.elapsed();
        ask(&mut connection, "PUT", "sys/unseal", "", &json!({"key": keys.unseal})).await?;
        let unsealed = self.began.elapsed();
        ask(&mut connection, "GET", "auth/token/lookup-self", &keys.root, &Value::Null).await?;
        let answered = self.began.elapsed();
        self.root.clone_from(&keys.root);
        Ok(Opened { listening, unsealed, answered })
    }

    async fn connect(&mut self) -> Result<Connection, Failed> {
        loop {
            match Connection::open(self.address).await {
                Ok(connection) => return Ok(connection),
                Err(error) if self.began.elapsed() > PATIENCE => return Err(error),
                Err(_) => {
                    if let Some(status) = self.child.try_wait()? {
                        let log = fs::read_to_string(&self.log).unwrap_or_default();
                        return Err(format!("the server ended with {status}: {}", log.trim()).into());
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // The first number is time on a core in nanoseconds. A thread may end while we look.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Memory it holds, in bytes.
    pub(crate) fn resident(&self) -> Result<u64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(mut self) -> Result<(), Failed> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) };
            }
            tokio::time::sleep(LOOK).await;
        }
        Err("the server does not end".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As `kill -9`. Nothing is left to do for a process that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(connection: &mut Connection, method: &str, path: &str, token: &str, body: &Value) -> Result<Value, Failed> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = connection.ask(&request(method, path, token, &body)).await?;
    if reply.is_ok() { reply.json() } else { Err(format!("{path}: {}", failure(&reply)).into()) }
}

/// The first line that `child` prints.
pub(crate) fn first_line(child: &mut Child) -> Result<String, Failed> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("no pipe")?).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// An address of this machine that nobody listens on.
fn free_address() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// For a server to listen, or to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_micros(200);
