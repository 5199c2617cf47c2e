//! The load driver: what the server takes of CPU time, of a disk, of memory (`docs/architecture.md` §15).
//!
//! `cargo bench --bench load -- --help` says what can be measured; `docs/benchmarks.md` how.

#![expect(clippy::disallowed_methods, reason = "a driver measures real time and starts processes itself")]

mod attack;
mod aws_logins;
mod bare;
mod client;
mod cores;
mod cpu;
mod durable;
mod expired;
mod fill;
mod flush;
mod many;
mod options;
mod report;
mod restart;
mod rows;
mod server;
mod start;
mod world;

use std::process::ExitCode;

use cores::Cores;
use options::{Mode, Options, Task};
use report::Report;
use server::Launcher;

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

fn drive() -> Result<(), Failed> {
    let (options, task) = Options::read(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cores = Cores::of_this_machine()?;
    let launcher = Launcher { program: &options.server, cores: &cores, cache: options.cache.as_deref() };
    cores.take_load()?;
    match task {
        Task::Measure => runtime.block_on(measure(&options, &launcher)),
        Task::Fill(leases, folder) => runtime.block_on(fill::fill_aloud(&launcher, &folder, leases)),
        Task::Say(text) => {
            report::say(&text);
            Ok(())
        }
    }
}

async fn measure(options: &Options, launcher: &Launcher<'_>) -> Result<(), Failed> {
    let mut report = Report::default();
    report::machine(launcher.cores.count());
    if !launcher.cores.are_split() {
        report::say("\nOne core only: server and load share it, rates mean little.");
    }
    for &mode in &options.modes {
        let report = &mut report;
        report::progress(mode.word());
        let measured = match mode {
            Mode::Cpu => cpu::measure(options, launcher, report).await,
            Mode::Durable => durable::measure(options, launcher, report).await,
            Mode::Start => start::measure(options, launcher, report).await,
            Mode::Restart => restart::measure(options, launcher, report).await,
            Mode::Expired => expired::measure(options, launcher, report).await,
            Mode::Many => many::measure(options, launcher, report).await,
            Mode::Attack => attack::measure(options, launcher, report).await,
        };
        // One that cannot be measured leaves the others alone.
        if let Err(error) = measured {
            report.cannot(mode.word(), &error.to_string());
        }
    }
    if report.end() || !options.strict { Ok(()) } else { Err("not everything could be measured".into()) }
}
