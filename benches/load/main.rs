//! The load driver: the server's own CPU time per operation, rates and waiting times, beside a bare server that answers
//! a constant (`docs/architecture.md` §15).
//!
//! `cargo bench --bench load -- [--small] [--rows a,b] [--seconds n] [--rounds n] [--connections n] [--store folder] [--list]`
//!
//! Server on one core, load on the other; the bare server and the rows take turns, and the medians over the rounds count.
//! Without `--store` the store lies in `/dev/shm`: flush calls are made and cost no disk.

#![expect(clippy::disallowed_methods, reason = "a driver measures real time and starts processes itself")]

mod bare;
mod client;
mod cores;
mod report;
mod rows;
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use client::{Load, Operator, Script};
use cores::Cores;
use report::{Measured, Report};
use rows::{ALL, Row, World};
use server::Server;

/// What stops the driver, in words for whoever runs it.
type Failed = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = if std::env::args().nth(1).as_deref() == Some(bare::ARGUMENT) { bare::serve() } else { drive() };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("load: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What is to be measured.
struct Plan {
    rows: Vec<&'static Row>,
    /// Of one row in one round.
    turn: Duration,
    rounds: usize,
    connections: usize,
    store: PathBuf,
}

impl Plan {
    fn from_args(args: impl Iterator<Item = String>) -> Result<Option<Self>, Failed> {
        let shm = PathBuf::from("/dev/shm");
        let store = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let rows = ALL.iter().collect();
        let mut plan = Self { rows, turn: Duration::from_secs(3), rounds: 5, connections: 16, store };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                // Given by `cargo bench` to every target.
                "--bench" => {}
                "--small" => (plan.turn, plan.rounds) = (Duration::from_secs(1), 1),
                "--seconds" => plan.turn = Duration::from_secs_f64(value()?.parse()?),
                "--rounds" => plan.rounds = value()?.parse::<usize>()?.max(1),
                "--connections" => plan.connections = value()?.parse::<usize>()?.max(1),
                "--store" => plan.store = value()?.into(),
                "--rows" => plan.rows = named(&value()?)?,
                "--list" => {
                    for row in ALL {
                        report::say(row.name);
                    }
                    return Ok(None);
                }
                _ => return Err(format!("{arg} is not known; see the head of benches/load/main.rs").into()),
            }
        }
        Ok(Some(plan))
    }
}

fn named(names: &str) -> Result<Vec<&'static Row>, Failed> {
    let find = |name| ALL.iter().find(|row| row.name == name).ok_or_else(|| format!("there is no row {name}; see --list"));
    Ok(names.split(',').map(find).collect::<Result<_, _>>()?)
}

fn drive() -> Result<(), Failed> {
    let Some(plan) = Plan::from_args(std::env::args().skip(1))? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cores = Cores::of_this_machine()?;
    let folder = tempfile::tempdir_in(&plan.store)?;
    let bare = cores.for_server(bare::start)?;
    let server = cores.for_server(|| Server::start(folder.path()))?;
    cores.take_load()?;
    let log = folder.path().join("audit.log");
    runtime.block_on(measure(&plan, &bare, server, &log, &cores))
}

async fn measure(plan: &Plan, bare: &Server, mut server: Server, log: &Path, cores: &Cores) -> Result<(), Failed> {
    let mut report = Report::new(plan, cores);
    report.started(server.until_ready().await?);
    let world = World::prepare(&server, plan.connections).await?;
    let operator = server.operator().await?;
    let mut ceiling = rows::constant(plan.connections);
    for round in 0..plan.rounds {
        report.bare(turn(bare, &mut ceiling, plan.turn).await?);
        for place in 0..plan.rows.len() {
            // Each round begins with another row, so that what one leaves behind does not always meet the same.
            let Some(row) = plan.rows.get((place + round) % plan.rows.len()) else { continue };
            match turn_of(row, &world, &server, &operator, log, plan.turn).await {
                Ok(measured) => report.row(row, measured),
                Err(error) => report.cannot(row, &error.to_string()),
            }
        }
    }
    report.ended(server.resident_bytes()?);
    report.print();
    Ok(())
}

async fn turn_of(
    row: &Row,
    world: &World,
    server: &Server,
    operator: &Operator,
    log: &Path,
    time: Duration,
) -> Result<Measured, Failed> {
    let mut scripts = row.scripts(world)?;
    if row.audited {
        rows::audit(operator, log.to_str()).await?;
    }
    let measured = turn(server, &mut scripts, time).await;
    if row.audited {
        rows::audit(operator, None).await?;
    }
    measured
}

/// Some time of load, after a moment in which caches and connections come to rest.
async fn turn(server: &Server, scripts: &mut [Script], time: Duration) -> Result<Measured, Failed> {
    let mut load = Load::connect(server.address(), scripts).await?;
    load.run(time.mul_f64(WARM_UP)).await?;
    let before = server.cpu()?;
    let waits = load.run(time).await?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Measured::new(waits, cpu, time))
}

/// Part of a turn that goes by before it is measured.
const WARM_UP: f64 = 0.2;
