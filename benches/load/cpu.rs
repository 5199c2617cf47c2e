//! CPU time of the server per operation, beside a bare server that answers a constant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::options::Options;
use crate::report::{Measured, Report, Table, median, progress, say, section, verdict};
use crate::rows::{self, Row};
use crate::server::{Launcher, Server};
use crate::world::{self, World};
use crate::{Failed, bare};

/// One row in all rounds, without and with a file audit device.
struct Results {
    row: &'static Row,
    plain: Vec<Measured>,
    audited: Vec<Measured>,
}

/// What the rows run against.
struct Target<'a> {
    server: &'a Server,
    world: World,
    connections: usize,
    log: PathBuf,
    time: Duration,
}

/// Measures the rows in turns.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir_in(&options.store)?;
    let bare = launcher.cores.for_server(bare::start)?;
    let mut server = launcher.start(folder.path())?;
    server.initialize().await?;
    let target = Target {
        world: World::prepare(&server, options.connections).await?,
        server: &server,
        connections: options.connections,
        log: folder.path().join("audit.log"),
        time: options.turn,
    };
    let mut ceiling = Vec::new();
    let mut constant = rows::constant(options.connections);
    let mut all: Vec<_> = options.rows.iter().map(|&row| Results { row, plain: vec![], audited: vec![] }).collect();
    for round in 0..options.rounds {
        let at = format!("round {} of {}", round + 1, options.rounds);
        // Each round begins with another row, so that what one leaves behind does not always meet the same.
        let places = all.len();
        for place in 0..places {
            let Some(results) = all.get_mut((place + round) % places) else { continue };
            // Beside each row: what else the machine does, and what the load has become, is then in both.
            let turn = Measured::turn(&bare, &mut constant, options.turn / 3).await?;
            let beside = micros(&turn);
            ceiling.push(turn);
            match target.turns(results.row).await {
                Ok((plain, audited)) => {
                    progress(&format!(
                        "{at}: {} {:.1} µs, audited {:.1}, bare {beside:.1}",
                        results.row.name,
                        micros(&plain),
                        micros(&audited)
                    ));
                    results.plain.push(plain);
                    results.audited.push(audited);
                }
                Err(error) => report.cannot(results.row.name, &error.to_string()),
            }
        }
    }
    show(options, report, &ceiling, &all);
    Ok(())
}

impl Target<'_> {
    async fn turns(&self, row: &Row) -> Result<(Measured, Measured), Failed> {
        let mut scripts = row.scripts(&self.world, self.connections)?;
        let plain = Measured::turn(self.server, &mut scripts, self.time).await?;
        let mut scripts = row.scripts(&self.world, self.connections)?;
        // On connections of their own: one that is silent for long is closed.
        world::audit(&self.server.operator().await?, self.log.to_str()).await?;
        let audited = Measured::turn(self.server, &mut scripts, self.time).await;
        world::audit(&self.server.operator().await?, None).await?;
        // Some hundred megabytes a turn.
        remove(&self.log)?;
        Ok((plain, audited?))
    }
}

fn remove(log: &Path) -> Result<(), Failed> {
    std::fs::remove_file(log).map_err(|error| format!("there is no audit log: {error}").into())
}

fn show(options: &Options, report: &mut Report, ceiling: &[Measured], all: &[Results]) {
    let how = format!(
        "{} rounds of {:.1} s a row, {} connections, store in `{}`: flushes are made and cost nothing there. C is what the bare \
         server takes; with an audit device an operation must not take more than 15 µs more, and we reach for 8.",
        options.rounds,
        options.turn.as_secs_f64(),
        options.connections,
        options.store.display()
    );
    section("CPU time of single operations", &how);
    let mut table = Table::new(&[
        "Work",
        "CPU µs",
        "C",
        "must",
        "reach",
        "",
        "peer",
        "op/s",
        "p50 µs",
        "p99 µs",
        "audited: + µs",
        "",
        "op/s",
        "p99 µs",
    ]);
    let cpu_of = |all: &[Measured]| median(all, micros);
    let bare = cpu_of(ceiling);
    let rate = |all: &[Measured]| format!("{:.0}", median(all, |one| one.per_second));
    let wait = |all: &[Measured], of: fn(&Measured) -> Duration| format!("{:.0}", median(all, |one| of(one).as_secs_f64() * 1e6));
    let mut line = vec!["bare".to_owned(), format!("{bare:.1}"), "1".to_owned()];
    line.extend(vec![String::new(); 4]);
    line.extend([rate(ceiling), wait(ceiling, |one| one.p50), wait(ceiling, |one| one.p99)]);
    line.extend(vec![String::new(); 4]);
    table.line(line);
    for Results { row, plain, audited } in all.iter().filter(|results| !results.plain.is_empty()) {
        let (cpu, more) = (cpu_of(plain), cpu_of(audited) - cpu_of(plain));
        let mut line = vec![row.name.to_owned(), format!("{cpu:.1}"), format!("{:.2}", cpu / bare)];
        line.extend(match row.target {
            Some((must, reach)) => [must.to_string(), reach.to_string(), verdict(cpu / bare, (must, reach)).to_owned()],
            None => Default::default(),
        });
        line.extend([row.peer.to_owned(), rate(plain), wait(plain, |one| one.p50), wait(plain, |one| one.p99)]);
        let judged = if row.target.is_some() { verdict(more, AUDITED) } else { "" };
        line.extend([format!("{more:.1}"), judged.to_owned(), rate(audited), wait(audited, |one| one.p99)]);
        table.line(line);
    }
    report.table(&table);
    let mut of_bare: Vec<f64> = ceiling.iter().map(micros).collect();
    of_bare.sort_unstable_by(f64::total_cmp);
    let at = |quarter: usize| of_bare.get(of_bare.len().saturating_sub(1) * quarter / 4).copied().unwrap_or(f64::NAN);
    let (least, most) = (at(1), at(3));
    let quiet = if most > least * NOISE { ": the machine was not quiet, and these figures are no good" } else { "" };
    say(&format!("\nThe bare server took {least:.1} to {most:.1} µs in the middle half of its {} turns{quiet}.", of_bare.len()));
}

/// CPU time of an operation in microseconds.
fn micros(one: &Measured) -> f64 {
    one.cpu.as_secs_f64() * 1e6
}

/// Microseconds that auditing may add to an operation, and what we reach for (architecture §15).
const AUDITED: (f64, f64) = (15.0, 8.0);

/// How much more at the third quartile than at the first the bare server may take on a machine that does nothing else.
const NOISE: f64 = 1.2;
