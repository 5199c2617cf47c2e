//! Time to start, resident memory, size of the program.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failed;
use crate::client::{Connection, Load, Script, Until, request};
use crate::options::Options;
use crate::report::{Report, Table, median_ms, mib, mib_of, section, verdict};
use crate::rows;
use crate::server::{Launcher, Opened, Server};
use crate::world::{self, World};

/// Fills a store with a thousand keys, and starts the server on it again and again.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir_in(&options.store)?;
    let mut server = launcher.start(folder.path())?;
    let keys = server.initialize().await?;
    let world = World::prepare(&server, options.connections).await?;
    write_keys(&server, &world).await?;
    server.stop().await?;
    let mut opened = Vec::new();
    for _ in 0..options.rounds.max(5) {
        let (server, times) = launcher.start_again(folder.path(), &keys).await?;
        opened.push(times);
        server.stop().await?;
    }
    let (server, _) = launcher.start_again(folder.path(), &keys).await?;
    let at_first = server.resident()?;
    read_keys(&server, &world, options.settling).await?;
    settle(&server, &world.tokens, world.login()?, options.settling).await?;
    let settled = server.resident()?;
    server.stop().await?;
    show(options, report, &opened, [at_first, settled]);
    Ok(())
}

/// Every token is asked for, in turn, and there are as many logins: what a server holds afterwards it holds for long.
pub(crate) async fn settle(server: &Server, tokens: &[String], login: &str, times: usize) -> Result<(), Failed> {
    let mut spread = spread(tokens, LANES);
    Load::connect(server.address(), &mut spread).await?.run(&Until::times(times.div_ceil(LANES))).await?;
    let mut logins: Vec<_> = (0..LANES).map(|_| rows::login(login)).collect();
    Load::connect(server.address(), &mut logins).await?.run(&Until::times(times.div_ceil(LANES))).await?;
    Ok(())
}

/// Scripts that together ask for one token after the other.
pub(crate) fn spread(tokens: &[String], lanes: usize) -> Vec<Script> {
    let of_lane = |lane: usize| -> Script {
        let own: Vec<String> = tokens.iter().skip(lane % tokens.len().max(1)).step_by(lanes).cloned().collect();
        let mut number = 0;
        Box::new(move |_| {
            number += 1;
            let token = own.get(number % own.len().max(1)).map_or("", String::as_str);
            request("GET", "auth/token/lookup-self", token, "")
        })
    };
    (0..lanes).map(of_lane).collect()
}

async fn write_keys(server: &Server, world: &World) -> Result<(), Failed> {
    let operator = server.operator().await?;
    let folder = world.mount(1)?;
    for number in 0..KEYS {
        operator.ask("PUT", &format!("{folder}keys/{number}"), &world::secret()).await?;
    }
    Ok(())
}

async fn read_keys(server: &Server, world: &World, times: usize) -> Result<(), Failed> {
    let (folder, mut connection) = (world.mount(1)?, Connection::open(server.address()).await?);
    for number in 0..times {
        let path = format!("{folder}keys/{}", number % KEYS);
        let reply = connection.ask(&request("GET", &path, world.token(0), "")).await?;
        if !reply.is_ok() {
            return Err(crate::client::failure(&reply));
        }
    }
    Ok(())
}

fn show(options: &Options, report: &mut Report, opened: &[Opened], resident: [u64; 2]) {
    let how = format!(
        "{} starts with 1,000 keys in `{}`, medians, from the start of the process; the key is sent when the port opens. \
         Resident memory settled: after each key was read, {times} lookups and {times} logins.",
        opened.len(),
        options.store.display(),
        times = options.settling
    );
    section("Start and size", &how);
    let mut table = Table::of_facts();
    let millis = |of: fn(&Opened) -> Duration| median_ms(&opened.iter().map(of).collect::<Vec<_>>());
    let listening = millis(|times| times.listening);
    let judged = verdict(listening, (30.0, 15.0));
    table.fact("start to listening", format!("{listening:.1} ms: {judged}"), ["30 ms", "15 ms", "330 ms"]);
    table.fact("start to unsealed", format!("{:.1} ms", millis(|times| times.unsealed)), [""; 3]);
    table.fact("start to the first authenticated answer", format!("{:.1} ms", millis(|times| times.answered)), [""; 3]);
    let [at_first, settled] = resident;
    table.fact("resident, just unsealed", mib(at_first), [""; 3]);
    let judged = verdict(mib_of(settled), (25.0, 15.0));
    table.fact("resident, settled", format!("{}: {judged}", mib(settled)), ["25 MiB", "15 MiB", "123 MiB"]);
    match stripped(&options.server) {
        Ok(bytes) => {
            // Megabytes of 10^6, as the target is.
            let megabytes = mib_of(bytes) * 1.048_576;
            let judged = verdict(megabytes, (25.0, 15.0));
            table.fact("program, stripped", format!("{megabytes:.1} MB: {judged}"), ["25 MB", "15 MB", "117 MB"]);
        }
        Err(error) => report.cannot("size of the stripped program", &error.to_string()),
    }
    report.table(&table);
}

/// The size of the program without symbols.
fn stripped(program: &Path) -> Result<u64, Failed> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("stripped");
    let mut command = Command::new("strip");
    let status = command.arg("-s").arg("-o").arg(&out).arg(program).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.map_err(|error| format!("strip: {error}"))?;
    if !status.success() {
        return Err(format!("strip ended with {status}").into());
    }
    Ok(std::fs::metadata(&out)?.len())
}

/// Secrets in the store.
const KEYS: usize = 1000;
/// Connections that settle a server.
const LANES: usize = 16;
