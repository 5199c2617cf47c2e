//! Operations a second on a disk, beside its rate of flushes.

use std::time::Duration;

use crate::Failed;
use crate::client::Script;
use crate::flush::{Flush, file_system};
use crate::options::Options;
use crate::report::{Measured, Report, Table, median, say, section, verdict};
use crate::rows;
use crate::server::{Launcher, Server};
use crate::world::World;

/// Durable work.
struct Work {
    name: &'static str,
    /// What the peer did a second where it was measured, and how many times that we must do and reach for (architecture §15).
    peer: f64,
    must: f64,
    reach: f64,
    script: fn(&World, usize) -> Result<Script, Failed>,
}

const ALL: [Work; 4] = [
    Work { name: "kv1-write", peer: 955.0, must: 10.0, reach: 20.0, script: rows::kv1_write },
    Work {
        name: "token-create-revoke",
        peer: 274.0,
        must: 15.0,
        reach: 20.0,
        script: |world, lane| Ok(rows::create_and_revoke(world.token(lane))),
    },
    Work { name: "approle-login", peer: 462.0, must: 12.0, reach: 20.0, script: |world, _| Ok(rows::login(world.login()?)) },
    Work { name: "mixed", peer: 1007.0, must: 6.0, reach: 9.0, script: rows::mixed },
];

/// Measures the work in turns, and the disk before each round.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir_in(&options.disk)?;
    let mut server = launcher.start(folder.path())?;
    server.initialize().await?;
    let world = World::prepare(&server, MANY).await?;
    let cases = || ALL.iter().flat_map(|work| [16, MANY].map(|connections| (work, connections)));
    let mut all: Vec<_> = cases().map(|_| Vec::new()).collect();
    let (mut flushes, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        flushes.push(Flush::measure(folder.path(), options.turn.min(A_SECOND))?);
        for ((work, connections), results) in cases().zip(&mut all) {
            match turn(work, connections, &world, &server, options.turn).await {
                Ok(measured) => results.push(measured),
                Err(error) => report.cannot(&format!("durable {}", work.name), &error.to_string()),
            }
        }
        match turn(&ALL[0], 1, &world, &server, options.turn).await {
            Ok(measured) => alone.push(measured),
            Err(error) => report.cannot("durable kv1-write, one connection", &error.to_string()),
        }
    }
    let flush = Flush::median(&flushes);
    head(options, flush)?;
    let mut table =
        Table::new(&["Work", "connections", "op/s", "p50 ms", "p99 ms", "peer here", "× peer", "must", "reach", "", "CPU µs"]);
    for ((work, connections), results) in cases().zip(&all).filter(|(_, results)| !results.is_empty()) {
        table.line(line(work, connections, results, flush));
    }
    report.table(&table);
    if !alone.is_empty() {
        one(report, &alone, flush);
    }
    Ok(())
}

async fn turn(work: &Work, connections: usize, world: &World, server: &Server, time: Duration) -> Result<Measured, Failed> {
    let scripts: Result<Vec<_>, Failed> = (0..connections).map(|lane| (work.script)(world, lane)).collect();
    Measured::turn(server, &mut scripts?, time).await
}

fn head(options: &Options, flush: Flush) -> Result<(), Failed> {
    let kind = file_system(&options.disk)?;
    let warning = if kind == "tmpfs" { " This is no disk: the figures are not durable ones." } else { "" };
    let how = format!(
        "Store in `{}`, {kind}. An append of 512 bytes and its flush take {:.3} ms there, {:.0} a second, a write into a file \
         that keeps its length and its flush {:.3} ms (medians of {} rounds); the peer was measured at 3,950 a second, and its rates are shown as they would be here, in the same ratio. `mixed` is 20 % \
         login, 60 % KV v2 read, 20 % KV v2 write; of token-create-revoke each of the two counts.{warning}",
        options.disk.display(),
        flush.append.as_secs_f64() * 1e3,
        flush.appends_per_second,
        flush.in_place.as_secs_f64() * 1e3,
        options.rounds,
    );
    section("Durable work on a disk", &how);
    Ok(())
}

fn line(work: &Work, connections: usize, results: &[Measured], flush: Flush) -> Vec<String> {
    let rate = median(results, |one| one.per_second);
    let peer = work.peer * flush.scale();
    let millis = |of: fn(&Measured) -> Duration| format!("{:.2}", median(results, |one| of(one).as_secs_f64() * 1e3));
    // Of a rate more is better.
    let judged = verdict(-rate / peer, (-work.must, -work.reach));
    vec![
        work.name.to_owned(),
        connections.to_string(),
        format!("{rate:.0}"),
        millis(|one| one.p50),
        millis(|one| one.p99),
        format!("{peer:.0}"),
        format!("{:.1}", rate / peer),
        work.must.to_string(),
        work.reach.to_string(),
        judged.to_owned(),
        format!("{:.1}", median(results, |one| one.cpu.as_secs_f64() * 1e6)),
    ]
}

fn one(report: &mut Report, alone: &[Measured], flush: Flush) {
    let p50 = median(alone, |one| one.p50.as_secs_f64() * 1e3);
    let more = p50 - flush.append.min(flush.in_place).as_secs_f64() * 1e3;
    say("");
    let mut table = Table::of_facts();
    table.fact("one connection, KV v1 write, p50", format!("{p50:.3} ms"), ["", "", "1.13 ms"]);
    let measured = format!("{more:+.3} ms: {}", verdict(more, (0.3, 0.1)));
    table.fact("the same, beside the faster flush", measured, ["+ 0.3 ms", "+ 0.1 ms", ""]);
    report.table(&table);
}

/// Connections of the larger case.
const MANY: usize = 64;
/// Of flushes in each round.
const A_SECOND: Duration = Duration::from_secs(1);
