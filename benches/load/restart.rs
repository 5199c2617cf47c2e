//! What each of very many token leases costs, and the first request after a restart with them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failed;
use crate::client::{Connection, Load, Script, Until, failure};
use crate::options::Options;
use crate::report::{Measured, Report, Table, each, longest_ms, median_ms, mib, section, verdict};
use crate::rows;
use crate::server::{Keys, Launcher, Opened, Server, size_of_store};
use crate::start::settle;
use crate::world::{self, login};

/// A store that gains leases.
struct Growing {
    tokens: Vec<String>,
    login: String,
    keys: Keys,
}

/// Makes leases in quarters, then starts the server with them again and again.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let [leases, ..] = options.leases;
    let folder = tempfile::tempdir_in(&options.store)?;
    let mut server = launcher.start(folder.path())?;
    let keys = server.initialize().await?;
    let operator = server.operator().await?;
    let tokens = world::tokens(&operator, options.connections).await?;
    let growing = Growing { tokens, login: login(&operator).await?, keys };
    drop(operator);
    let empty = growing.settled(launcher, server, folder.path(), options.settling).await?;
    let (server, _) = launcher.start_again(folder.path(), &growing.keys).await?;
    let mut quarters = Vec::new();
    let mut scripts: Vec<Script> = growing.tokens.iter().map(|token| rows::create(token, "24h")).collect();
    // Caches fill, connections come to rest.
    Load::connect(server.address(), &mut scripts).await?.run(&Until::times(leases.div_ceil(100 * options.connections))).await?;
    for _ in 0..4 {
        let mut load = Load::connect(server.address(), &mut scripts).await?;
        let until = Until::times(leases.div_ceil(4 * options.connections));
        quarters.push(Measured::of(&server, &mut load, &until).await?);
    }
    let full = growing.settled(launcher, server, folder.path(), options.settling).await?;
    let mut starts = Vec::new();
    for _ in 0..options.rounds.max(3) {
        starts.push(growing.first_requests(launcher, folder.path()).await?);
    }
    show(options, report, &quarters, &starts, [empty, full]);
    Ok(())
}

/// What a server holds and what its store takes.
#[derive(Clone, Copy)]
struct Holds {
    resident: u64,
    /// Before it was settled, and after.
    stored: [u64; 2],
}

/// A start: how long it took, the wait for the first request once it was unsealed, and the longest of those after it.
struct Start {
    opened: Opened,
    longest: Duration,
}

impl Growing {
    /// Ends this server, starts another on its store, and settles that.
    async fn settled(&self, launcher: &Launcher<'_>, server: Server, folder: &Path, times: usize) -> Result<Holds, Failed> {
        server.stop().await?;
        let stored = size_of_store(folder)?;
        let (server, _) = launcher.start_again(folder, &self.keys).await?;
        settle(&server, &self.tokens, &self.login, times).await?;
        let resident = server.resident()?;
        server.stop().await?;
        Ok(Holds { resident, stored: [stored, size_of_store(folder)?] })
    }

    async fn first_requests(&self, launcher: &Launcher<'_>, folder: &Path) -> Result<Start, Failed> {
        let (server, opened) = launcher.start_again(folder, &self.keys).await?;
        let mut connection = Connection::open(server.address()).await?;
        let (mut longest, began) = (Duration::ZERO, Instant::now());
        let mut scripts: Vec<Script> = self.tokens.iter().map(|token| rows::lookup_self(token)).collect();
        while began.elapsed() < A_WHILE {
            for script in &mut scripts {
                let sent = Instant::now();
                let reply = connection.ask(&script(None)).await?;
                longest = longest.max(sent.elapsed());
                if !reply.is_ok() {
                    return Err(failure(&reply));
                }
            }
        }
        server.stop().await?;
        Ok(Start { opened, longest })
    }
}

fn show(options: &Options, report: &mut Report, quarters: &[Measured], starts: &[Start], [empty, full]: [Holds; 2]) {
    let [leases, ..] = options.leases;
    let how = format!(
        "{leases} tokens are made over {} connections, store in `{}`; then {} starts with them, medians. Memory and storage are \
         those of a server that was settled (as under \"Start and size\") before and after.",
        options.connections,
        options.store.display(),
        starts.len()
    );
    section("Many leases, and a restart", &how);
    let mut table = Table::of_facts();
    let cpu: Vec<f64> = quarters.iter().map(|one| one.cpu.as_secs_f64() * 1e6).collect();
    let texts: Vec<_> = cpu.iter().map(|cpu| format!("{cpu:.1}")).collect();
    table.fact("CPU of a creation, by quarters", format!("{} µs", texts.join(" · ")), [""; 3]);
    let ratio = cpu.last().zip(cpu.first()).map_or(f64::NAN, |(last, first)| last / first);
    table.fact(
        "the last quarter against the first",
        format!("{ratio:.2}: {}", verdict(ratio, (1.15, 1.05))),
        ["1.15", "1.05", "1.7"],
    );
    let first: Vec<_> = starts.iter().map(|start| start.opened.first_request()).collect();
    let wait = median_ms(&first);
    table.fact(
        "first request after unseal",
        format!("{wait:.1} ms: {}", verdict(wait, (50.0, 15.0))),
        ["50 ms", "15 ms", "14 ms"],
    );
    let longest = longest_ms(&starts.iter().map(|start| start.longest).collect::<Vec<_>>());
    table.fact("the longest within 2 s after it", format!("{longest:.1} ms"), ["", "", "10 s of loading"]);
    let answered = median_ms(&starts.iter().map(|start| start.opened.answered).collect::<Vec<_>>());
    table.fact("start to the first authenticated answer", format!("{answered:.1} ms"), [""; 3]);
    let grown = full.resident.saturating_sub(empty.resident);
    let measured = format!("{} to {}", mib(empty.resident), mib(full.resident));
    table.fact("resident, before and after", measured, ["caches only", "", ""]);
    table.fact("memory a lease", format!("{:.0} B", each(bytes(grown), leases)), ["0", "", "2.6–3.8 kB"]);
    let ([_, before], [after, _]) = (empty.stored, full.stored);
    let grown = after.saturating_sub(before);
    let stored = each(bytes(grown), leases);
    table.fact("storage a lease", format!("{stored:.0} B: {}", verdict(stored, (1000.0, 600.0))), ["1 kB", "0.6 kB", "7.1 kB"]);
    report.table(&table);
}

fn bytes(bytes: u64) -> f64 {
    crate::report::mib_of(bytes) * f64::from(1 << 20)
}

/// In which requests after a start are watched.
const A_WHILE: Duration = Duration::from_secs(2);
