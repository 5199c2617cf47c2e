//! What was measured, and the table of it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::Plan;
use crate::cores::Cores;
use crate::rows::Row;

/// One row in one round.
pub(crate) struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_per_operation: Duration,
}

impl Measured {
    pub(crate) fn new(mut waits: Vec<Duration>, cpu: Duration, time: Duration) -> Self {
        waits.sort_unstable();
        let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
        let operations = u32::try_from(waits.len()).unwrap_or(u32::MAX).max(1);
        Self {
            per_second: f64::from(operations) / time.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            cpu_per_operation: cpu / operations,
        }
    }
}

/// All of one run.
pub(crate) struct Report {
    turn: Duration,
    rounds: usize,
    connections: usize,
    store: PathBuf,
    split: bool,
    started: Duration,
    resident: u64,
    bare: Vec<Measured>,
    rows: Vec<(&'static Row, Vec<Measured>)>,
    failed: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn new(plan: &Plan, cores: &Cores) -> Self {
        Self {
            turn: plan.turn,
            rounds: plan.rounds,
            connections: plan.connections,
            store: plan.store.clone(),
            split: cores.are_split(),
            started: Duration::ZERO,
            resident: 0,
            bare: vec![],
            rows: vec![],
            failed: vec![],
        }
    }

    pub(crate) fn started(&mut self, after: Duration) {
        self.started = after;
    }

    pub(crate) fn ended(&mut self, resident: u64) {
        self.resident = resident;
    }

    pub(crate) fn bare(&mut self, measured: Measured) {
        self.bare.push(measured);
    }

    pub(crate) fn row(&mut self, row: &'static Row, measured: Measured) {
        match self.rows.iter_mut().find(|(known, _)| known.name == row.name) {
            Some((_, all)) => all.push(measured),
            None => self.rows.push((row, vec![measured])),
        }
    }

    pub(crate) fn cannot(&mut self, row: &'static Row, why: &str) {
        if !self.failed.iter().any(|(name, _)| *name == row.name) {
            self.failed.push((row.name, why.to_owned()));
        }
    }

    pub(crate) fn print(&self) {
        let (turn, rounds, store) = (self.turn.as_secs_f64(), self.rounds, self.store.display());
        let connections = self.connections;
        say(&format!("{rounds} rounds of {turn} s a row, {connections} connections, store in {store}"));
        if !self.split {
            say("one core only: server and load share it, rates mean little");
        }
        let (started, resident) = (self.started.as_secs_f64() * 1e3, self.resident >> 20);
        say(&format!("listening after {started:.1} ms, {resident} MiB resident at the end\n"));
        say(&format!(
            "{:<26}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}{:>8}",
            "row", "ops/s", "p50 µs", "p99 µs", "CPU µs", "C", "must", "reach"
        ));
        let ceiling = median(&self.bare, |one| one.cpu_per_operation.as_secs_f64());
        line("bare", &self.bare, ceiling, None);
        for (row, all) in &self.rows {
            line(row.name, all, ceiling, row.target);
        }
        for (name, why) in &self.failed {
            say(&format!("{name:<26}not measured: {why}"));
        }
    }
}

fn line(name: &str, all: &[Measured], ceiling: f64, target: Option<(f64, f64)>) {
    let rate = median(all, |one| one.per_second);
    let micros = |of: fn(&Measured) -> Duration| median(all, |one| of(one).as_secs_f64() * 1e6);
    let (p50, p99, cpu) = (micros(|one| one.p50), micros(|one| one.p99), micros(|one| one.cpu_per_operation));
    let times = cpu / 1e6 / ceiling;
    let (must, reach) = target.map_or_else(Default::default, |(must, reach)| (must.to_string(), reach.to_string()));
    say(&format!("{name:<26}{rate:>10.0}{p50:>10.0}{p99:>10.0}{cpu:>10.1}{times:>8.2}{must:>8}{reach:>8}"));
}

/// The middle one; of an even number the upper.
fn median(all: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<_> = all.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One line of output.
pub(crate) fn say(text: &str) {
    // Who closed the pipe does not want to know.
    let _ = writeln!(std::io::stdout(), "{text}");
}
