//! What was measured, in tables of Markdown.

use std::io::Write;
use std::time::Duration;

use crate::Failed;
use crate::client::{Load, Ran, Script, Until};
use crate::server::Server;

/// One kind of work in one round.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) cpu: Duration,
}

impl Measured {
    /// What a load took of a server that used `cpu` meanwhile.
    pub(crate) fn new(ran: &Ran, cpu: Duration) -> Self {
        let mut waits = ran.waits.concat();
        waits.sort_unstable();
        let at = |part: usize| waits.get(waits.len() * part / 100).copied().unwrap_or_default();
        let operations = u32::try_from(waits.len()).unwrap_or(u32::MAX).max(1);
        Self { per_second: f64::from(operations) / ran.took.as_secs_f64(), p50: at(50), p99: at(99), cpu: cpu / operations }
    }

    /// Some time of load, after a moment in which caches and connections come to rest.
    pub(crate) async fn turn(server: &Server, scripts: &mut [Script], time: Duration) -> Result<Self, Failed> {
        let mut load = Load::connect(server.address(), scripts).await?;
        load.run(&Until::time(time.mul_f64(WARM_UP))).await?;
        Self::of(server, &mut load, &Until::time(time)).await
    }

    /// A load without such a moment.
    pub(crate) async fn of(server: &Server, load: &mut Load<'_>, until: &Until<'_>) -> Result<Self, Failed> {
        let before = server.cpu()?;
        let ran = load.run(until).await?;
        Ok(Self::new(&ran, server.cpu()?.saturating_sub(before)))
    }
}

/// What a run has said so far.
#[derive(Default)]
pub(crate) struct Report {
    measured: usize,
    missing: Vec<String>,
}

impl Report {
    /// Shows a table; each line of it was measured.
    pub(crate) fn table(&mut self, table: &Table) {
        self.measured += table.lines.len();
        table.print();
    }

    /// Something could not be measured.
    pub(crate) fn cannot(&mut self, what: &str, why: &str) {
        let text = format!("{what}: not measured: {}", why.split_whitespace().collect::<Vec<_>>().join(" "));
        if !self.missing.contains(&text) {
            self.missing.push(text);
        }
    }

    /// Says what is missing, and counts. Whether nothing is missing.
    pub(crate) fn end(&self) -> bool {
        say("");
        self.missing.iter().for_each(|text| say(text));
        say(&format!("load: {} rows measured, {} not", self.measured, self.missing.len()));
        self.missing.is_empty()
    }
}

/// Lines under a head.
pub(crate) struct Table {
    head: Vec<&'static str>,
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), lines: vec![] }
    }

    /// A table of single facts beside what is asked of them.
    pub(crate) fn of_facts() -> Self {
        Self::new(&["What", "Measured", "Must", "Reach", "Peer"])
    }

    pub(crate) fn line(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// A line of [`Table::of_facts`]; `asked`: must, reach for, the peer.
    pub(crate) fn fact(&mut self, what: &str, measured: String, asked: [&str; 3]) {
        self.line([what.to_owned(), measured].into_iter().chain(asked.map(str::to_owned)).collect());
    }

    fn print(&self) {
        let head: Vec<String> = self.head.iter().map(|&cell| cell.to_owned()).collect();
        let all = || std::iter::once(&head).chain(&self.lines);
        let width = |column: usize| {
            all().filter_map(|line| line.get(column)).map(|cell: &String| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for (number, line) in all().enumerate() {
            say(&joined(line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            })));
            if number == 0 {
                say(&joined(widths.iter().enumerate().map(|(column, &width)| {
                    if column == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
                })));
            }
        }
    }
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

/// The middle one; of an even number the upper.
pub(crate) fn median<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<_> = all.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The middle one of durations, in milliseconds.
pub(crate) fn median_ms(all: &[Duration]) -> f64 {
    median(all, |time| time.as_secs_f64() * 1e3)
}

/// The longest of durations, in milliseconds.
pub(crate) fn longest_ms(all: &[Duration]) -> f64 {
    all.iter().max().map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// How a number of something stands to what it must be and what we reach for; less is better.
pub(crate) fn verdict(value: f64, (must, reach): (f64, f64)) -> &'static str {
    match value {
        value if value <= reach => "reached",
        value if value <= must => "met",
        _ => "missed",
    }
}

/// Bytes as megabytes of 2^20.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", mib_of(bytes))
}

/// The same as a number.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
pub(crate) fn mib_of(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// `part` of so many, in the unit of `part`.
#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
pub(crate) fn each(part: f64, of: usize) -> f64 {
    part / of as f64
}

/// The machine, for whoever compares.
pub(crate) fn machine(cores: usize) {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    say(&format!("Measured on {cores} cores of {}, Linux {}.", model.trim_start_matches(['\t', ' ', ':']), kernel.trim()));
}

/// A headline and how it was measured.
pub(crate) fn section(title: &str, how: &str) {
    say(&format!("\n### {title}\n\n{how}\n"));
}

/// One line of output.
pub(crate) fn say(text: &str) {
    // Who closed the pipe does not want to know.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// How far a long run is, beside the output.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Part of a turn that goes by before it is measured.
const WARM_UP: f64 = 0.2;
