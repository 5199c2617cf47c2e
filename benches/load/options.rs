//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::Failed;
use crate::rows::{ALL, Row};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// CPU time of single operations.
    Cpu,
    /// Rates on a disk.
    Durable,
    /// Start, memory, size.
    Start,
    /// Very many creations, and what comes after a restart.
    Restart,
    /// Leases that ended while the server was down.
    Expired,
    /// A store of a million leases beside an empty one.
    Many,
    /// Passwords guessed at.
    Attack,
}

impl Mode {
    /// In the order in which they run.
    pub(crate) const ALL: [Self; 7] =
        [Self::Cpu, Self::Durable, Self::Start, Self::Restart, Self::Expired, Self::Many, Self::Attack];

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }

    /// As it is named on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Durable => "durable",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Expired => "expired",
            Self::Many => "many",
            Self::Attack => "attack",
        }
    }
}

/// What the driver does.
pub(crate) enum Task {
    /// Measures.
    Measure,
    /// Makes a store of as many leases in a folder.
    Fill(usize, PathBuf),
    /// Says this text.
    Say(String),
}

/// See [`HELP`].
pub(crate) struct Options {
    pub(crate) modes: Vec<Mode>,
    pub(crate) rows: Vec<&'static Row>,
    /// Of one row in one round.
    pub(crate) turn: Duration,
    pub(crate) rounds: usize,
    pub(crate) connections: usize,
    /// Where flushes cost nothing.
    pub(crate) store: PathBuf,
    /// Where they cost something.
    pub(crate) disk: PathBuf,
    /// Of `restart`, `expired` and `many`.
    pub(crate) leases: [usize; 3],
    /// How long the leases of `expired` last, in seconds.
    pub(crate) lifetime: u64,
    /// Lookups and logins before memory is read.
    pub(crate) settling: usize,
    /// Wrong ones, of `attack`.
    pub(crate) logins: usize,
    pub(crate) filled: Option<PathBuf>,
    pub(crate) server: PathBuf,
    /// The server's `cache_size`.
    pub(crate) cache: Option<String>,
    /// Whether what cannot be measured is a failure.
    pub(crate) strict: bool,
}

impl Options {
    /// Reads the words of the command line.
    pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<(Self, Task), Failed> {
        let (mut options, mut task, mut args) = (Self::usual(), Task::Measure, args);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                // Given by `cargo bench` to every target.
                "--bench" => {}
                "all" => options.modes = Mode::ALL.to_vec(),
                "fill" => task = Task::Fill(value()?.parse()?, value()?.into()),
                "--quick" => options.quick(),
                "--strict" => options.strict = true,
                "--rows" => options.rows = named(&value()?)?,
                "--seconds" => options.turn = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--connections" => options.connections = value()?.parse::<usize>()?.clamp(1, 1000),
                "--store" => options.store = value()?.into(),
                "--disk" => options.disk = value()?.into(),
                "--leases" => options.leases = [value()?.parse::<usize>()?.max(100); 3],
                "--lifetime" => options.lifetime = value()?.parse::<u64>()?.clamp(1, 3600),
                "--filled" => options.filled = Some(value()?.into()),
                "--cache" => options.cache = Some(value()?),
                "--server" => options.server = value()?.into(),
                "--list" => task = Task::Say(ALL.iter().map(|row| row.name).collect::<Vec<_>>().join("\n")),
                "--help" | "-h" => task = Task::Say(HELP.to_owned()),
                word => options.modes.push(Mode::of(word).ok_or_else(|| format!("{word} is not known; see --help"))?),
            }
        }
        if options.modes.is_empty() {
            options.modes.push(Mode::Cpu);
        }
        Ok((options, task))
    }

    fn usual() -> Self {
        let shm = PathBuf::from("/dev/shm");
        Self {
            modes: vec![],
            rows: ALL.iter().collect(),
            turn: Duration::from_secs(3),
            rounds: 5,
            connections: 16,
            store: if shm.is_dir() { shm } else { std::env::temp_dir() },
            disk: std::env::temp_dir(),
            leases: [100_000, 10_000, 1_000_000],
            lifetime: 20,
            settling: 10_000,
            logins: 10_000,
            filled: None,
            server: env!("CARGO_BIN_EXE_leasehold").into(),
            cache: None,
            strict: false,
        }
    }

    /// All of it once, in small: a second a row, with and without audit.
    fn quick(&mut self) {
        self.modes = Mode::ALL.to_vec();
        (self.turn, self.rounds) = (Duration::from_millis(400), 1);
        (self.leases, self.lifetime, self.settling) = ([2000, 500, 5000], 4, 500);
        self.logins = 200;
    }
}

fn named(names: &str) -> Result<Vec<&'static Row>, Failed> {
    let find = |name| ALL.iter().find(|row| row.name == name).ok_or_else(|| format!("there is no row {name}; see --list"));
    Ok(names.split(',').map(find).collect::<Result<_, _>>()?)
}

/// The text of `--help`.
const HELP: &str = "\
usage: load [MODE]... [OPTION]...        measure; the tables are Markdown
       load fill LEASES FOLDER           make a store of as many token leases, for `many --filled FOLDER`

  cpu       CPU time of the server per operation, beside a bare server that answers a constant (the default)
  durable   operations a second on a disk, beside its rate of flushes
  start     time to start, resident memory, size of the program
  restart   100,000 token leases: what each costs, and the first request after a restart
  expired   10,000 token leases that ended while the server was down
  many      1,000,000 token leases: start, also after kill -9 under load, memory and CPU time beside an empty store
  attack    10,000 wrong passwords over 64 connections: right logins, lookups and memory meanwhile and afterwards
  all       all of these, in this order

  --quick            all modes once, in small; the figures mean nothing
  --strict           fail if anything could not be measured
  --rows A,B         of `cpu`, only these; --list names them
  --seconds N        of load, for one row in one round (3)
  --rounds N         (5); what is shown are medians over the rounds
  --connections N    of `cpu` (16)
  --store FOLDER     where a flush costs nothing: stores of `cpu`, `start` and `restart` (/dev/shm)
  --disk FOLDER      a folder on a disk: stores of `durable`, `expired` and `many` (the folder for temporary files)
  --leases N         of `restart`, `expired` and `many`, instead of the numbers above
  --lifetime SECONDS of the leases of `expired` (20); the server has to be down before the first of them ends
  --filled FOLDER    for `many`: a store that `fill` made; it is changed, and may be used again
  --cache SIZE       of the server for pages of its store, as `cache_size` in its configuration, instead of its default
  --server PROGRAM   to be measured, instead of the one that was built with this driver

Server and load have a core each; two cores that do nothing else are the least. Everything stays on 127.0.0.1.";
