//! A server under load: its process, its address, what it uses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failed;
use crate::client::{Connection, Operator, failure, request};

/// A process that serves; ended when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    began: Instant,
    root: String,
}

impl Server {
    /// Starts the server with its store in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self, Failed> {
        let address = free_address()?;
        let config = folder.join("load.hcl");
        let store = folder.join("store").display().to_string();
        let text = format!(
            "disable_mlock = true\nlog_level = \"warn\"\nstorage \"embedded\" {{ path = {store:?} }}\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        let began = Instant::now();
        let child = command.arg("server").arg(format!("-config={}", config.display())).stdout(Stdio::null()).spawn()?;
        Ok(Self { child, address, began, root: String::new() })
    }

    /// A server that listens already.
    pub(crate) fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, address, began: Instant::now(), root: String::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// An operator with the root token.
    pub(crate) async fn operator(&self) -> Result<Operator, Failed> {
        Operator::at(self.address, self.root.clone()).await
    }

    /// Waits for the port, initialises and unseals; how long the port took.
    pub(crate) async fn until_ready(&mut self) -> Result<Duration, Failed> {
        let mut connection = loop {
            match Connection::open(self.address).await {
                Ok(connection) => break connection,
                Err(error) if self.began.elapsed() > PATIENCE => return Err(error),
                Err(_) => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(format!("the server ended with {status}").into());
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let listening = self.began.elapsed();
        let mut put = async |path: &str, body: Value| {
            let reply = connection.ask(&request("PUT", path, "", &body.to_string())).await?;
            if reply.is_ok() { reply.json() } else { Err(failure(&reply)) }
        };
        let init = put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await?;
        let key = init.pointer("/keys/0").and_then(Value::as_str).ok_or("init gave no key")?;
        let root = init.pointer("/root_token").and_then(Value::as_str).ok_or("init gave no token")?;
        put("sys/unseal", json!({"key": key})).await?;
        root.clone_into(&mut self.root);
        Ok(listening)
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
    pub(crate) fn resident_bytes(&self) -> Result<u64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to do for a process that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

/// For a server to listen.
const PATIENCE: Duration = Duration::from_secs(10);
