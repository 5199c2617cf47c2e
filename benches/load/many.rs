//! A store of a million leases beside an empty one: start, memory, CPU time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::Failed;
use crate::client::{Load, Script, Until};
use crate::fill::{Filled, fill};
use crate::flush::file_system;
use crate::options::Options;
use crate::report::{Measured, Report, Table, each, longest_ms, median, median_ms, mib, mib_of, say, section, verdict};
use crate::rows;
use crate::server::{Launcher, Opened, Server, size_of_store, store_in};
use crate::start::{settle, spread};

/// A store and what is known of it.
struct Store {
    folder: PathBuf,
    filled: Filled,
    /// Removed with it, when it was made here.
    _made: Option<TempDir>,
}

impl Store {
    async fn make(place: &Path, launcher: &Launcher<'_>, leases: usize) -> Result<Self, Failed> {
        let made = tempfile::tempdir_in(place)?;
        let folder = made.path().to_owned();
        Ok(Self { filled: fill(launcher, &folder, leases).await?, folder, _made: Some(made) })
    }

    fn of(folder: &Path) -> Result<Self, Failed> {
        Ok(Self { filled: Filled::of(folder)?, folder: folder.to_owned(), _made: None })
    }

    async fn start(&self, launcher: &Launcher<'_>) -> Result<(Server, Opened), Failed> {
        launcher.start_again(&self.folder, &self.filled.keys).await
    }

    /// Has the system forget what it knows of the file.
    fn cool(&self) -> Result<(), Failed> {
        let file = std::fs::File::open(store_in(&self.folder))?;
        file.sync_all()?;
        Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    /// Resident memory, at once and after lookups and logins all over the store, of a server that goes on.
    async fn settled(&self, server: &Server, times: usize) -> Result<[u64; 2], Failed> {
        let at_first = server.resident()?;
        let tokens = if self.filled.sample.is_empty() { &self.filled.hot } else { &self.filled.sample };
        settle(server, tokens, &self.filled.login, times).await?;
        Ok([at_first, server.resident()?])
    }
}

/// Starts of three kinds.
struct Starts {
    warm: Vec<Duration>,
    cold: Vec<Duration>,
    killed: Vec<Duration>,
}

/// CPU time of operations, of the empty store and of the full one.
#[derive(Default)]
struct Work {
    lookup: [Vec<Measured>; 2],
    login: [Vec<Measured>; 2],
    /// Lookups of tokens from all over the full store.
    spread: Vec<Measured>,
}

/// Fills a store, unless one is given, and measures it beside an empty one.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let [.., leases] = options.leases;
    let full = match &options.filled {
        Some(folder) => Store::of(folder)?,
        None => Store::make(&options.disk, launcher, leases).await?,
    };
    let empty = Store::make(full.folder.parent().unwrap_or(&options.disk), launcher, 0).await?;
    let sizes = [size_of_store(&empty.folder)?, size_of_store(&full.folder)?];
    let starts = starts(options, launcher, &full).await?;
    let (of_empty, _) = empty.start(launcher).await?;
    let (of_full, _) = full.start(launcher).await?;
    let held = [empty.settled(&of_empty, options.settling).await?, full.settled(&of_full, options.settling).await?];
    let mut work = Work::default();
    for round in 0..options.rounds {
        let mut pair = [(0, &of_empty, &empty), (1, &of_full, &full)];
        pair.rotate_left(round % 2);
        for (place, server, store) in pair {
            work.turns(place, server, store, options.turn).await?;
        }
        work.spread.push(Measured::turn(&of_full, &mut spread(&full.filled.sample, HOT), options.turn).await?);
    }
    of_empty.stop().await?;
    of_full.stop().await?;
    head(options, &full)?;
    show(report, &starts, held, sizes, full.filled.leases);
    show_work(report, &work);
    Ok(())
}

async fn starts(options: &Options, launcher: &Launcher<'_>, full: &Store) -> Result<Starts, Failed> {
    let mut starts = Starts { warm: vec![], cold: vec![], killed: vec![] };
    for _ in 0..options.rounds.clamp(1, 5) {
        full.cool()?;
        let (server, opened) = full.start(launcher).await?;
        starts.cold.push(opened.answered);
        server.stop().await?;
        let (server, opened) = full.start(launcher).await?;
        starts.warm.push(opened.answered);
        kill_under_load(server, full, options.turn).await?;
        let (server, opened) = full.start(launcher).await?;
        starts.killed.push(opened.answered);
        server.stop().await?;
    }
    Ok(starts)
}

/// Tokens are made, and logins answered, when the process ends without a word.
async fn kill_under_load(server: Server, full: &Store, time: Duration) -> Result<(), Failed> {
    let filled = &full.filled;
    let create = |token: &String| rows::create(token, "1h");
    let mut scripts: Vec<Script> = filled.hot.iter().map(create).chain([rows::login(&filled.login)]).collect();
    let mut load = Load::connect(server.address(), &mut scripts).await?;
    load.run(&Until::time(time)).await?;
    let killing = async {
        tokio::time::sleep(time.min(SHORT)).await;
        drop(server);
    };
    let until = Until::time(time + Duration::from_secs(5));
    let (ran, ()) = futures_util::join!(load.run(&until), killing);
    // Every connection was cut.
    if ran.is_ok() { Err("a server that was killed went on".into()) } else { Ok(()) }
}

impl Work {
    async fn turns(&mut self, place: usize, server: &Server, store: &Store, time: Duration) -> Result<(), Failed> {
        let filled = &store.filled;
        let mut lookups: Vec<_> = filled.hot.iter().map(|token| rows::lookup_self(token)).collect();
        let measured = Measured::turn(server, &mut lookups, time).await?;
        self.lookup.get_mut(place).ok_or("two stores")?.push(measured);
        let mut logins: Vec<_> = filled.hot.iter().map(|_| rows::login(&filled.login)).collect();
        let measured = Measured::turn(server, &mut logins, time).await?;
        self.login.get_mut(place).ok_or("two stores")?.push(measured);
        Ok(())
    }
}

fn head(options: &Options, full: &Store) -> Result<(), Failed> {
    let parent = full.folder.parent().unwrap_or(&full.folder);
    let how = format!(
        "{} token leases beside an empty store, both in `{}`, {}. Starts run from the start of the process to the first \
         authenticated answer, the slowest of {}; \"cold\": the system was told to forget the file. Settled: after {times} lookups \
         and {times} logins all over the store. CPU time over 16 connections with 16 tokens, medians of {} turns each.",
        full.filled.leases,
        parent.display(),
        file_system(&full.folder)?,
        options.rounds.clamp(1, 5),
        options.rounds,
        times = options.settling
    );
    section("A million leases", &how);
    Ok(())
}

fn show(report: &mut Report, starts: &Starts, [empty, full]: [[u64; 2]; 2], sizes: [u64; 2], leases: usize) {
    let mut table = Table::of_facts();
    for (name, times) in
        [("start", &starts.warm), ("start, cold", &starts.cold), ("start after kill -9 under load", &starts.killed)]
    {
        let slowest = longest_ms(times);
        let judged = verdict(slowest, (1000.0, 1000.0));
        let measured = format!("{slowest:.0} ms, median {:.0} ms: {judged}", median_ms(times));
        table.fact(name, measured, ["1 s", "", ""]);
    }
    let [[empty_first, empty_settled], [full_first, full_settled]] = [empty, full];
    table.fact("resident, just unsealed: empty, full", format!("{}, {}", mib(empty_first), mib(full_first)), [""; 3]);
    table.fact("resident, settled: empty, full", format!("{}, {}", mib(empty_settled), mib(full_settled)), [""; 3]);
    let more = mib_of(full_settled) - mib_of(empty_settled);
    table.fact("resident more than an empty one", format!("{more:+.1} MiB: {}", verdict(more, (64.0, 64.0))), ["64 MiB", "", ""]);
    let [empty, full] = sizes;
    let stored = each(mib_of(full.saturating_sub(empty)) * f64::from(1 << 20), leases);
    let measured = format!("{stored:.0} B: {}", verdict(stored, (1000.0, 600.0)));
    table.fact("storage a lease", measured, ["1 kB", "0.6 kB", "7.1 kB"]);
    report.table(&table);
    say("");
}

fn show_work(report: &mut Report, work: &Work) {
    let mut table = Table::new(&["Work", "CPU µs, empty", "CPU µs, full", "ratio", "must", "", "op/s, empty", "op/s, full"]);
    let cpu = |all: &[Measured]| median(all, |one| one.cpu.as_secs_f64() * 1e6);
    let rate = |all: &[Measured]| format!("{:.0}", median(all, |one| one.per_second));
    for (name, [empty, full]) in [("lookup-self", &work.lookup), ("approle-login", &work.login)] {
        let ratio = cpu(full) / cpu(empty);
        let mut line = vec![name.to_owned(), format!("{:.1}", cpu(empty)), format!("{:.1}", cpu(full)), format!("{ratio:.2}")];
        line.extend(["1.20".to_owned(), verdict(ratio, (1.2, 1.2)).to_owned(), rate(empty), rate(full)]);
        table.line(line);
    }
    let mut line = vec!["lookup-self, tokens from all over".to_owned(), String::new(), format!("{:.1}", cpu(&work.spread))];
    line.extend(vec![String::new(); 4]);
    line.push(rate(&work.spread));
    table.line(line);
    report.table(&table);
}

/// Connections that ask for tokens from all over.
const HOT: usize = 16;
/// Under load before the end.
const SHORT: Duration = Duration::from_millis(300);
