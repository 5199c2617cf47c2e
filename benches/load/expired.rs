//! Token leases that ended while the server was down: when all of them are gone, and who had to wait meanwhile.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Failed;
use crate::client::{Connection, Load, Script, Until, failure, request};
use crate::flush::file_system;
use crate::options::Options;
use crate::report::{Report, Table, longest_ms, section, verdict};
use crate::rows;
use crate::server::{Keys, Launcher, Server};
use crate::world::World;

/// What was seen of one round.
struct Drained {
    /// Since the key was taken.
    after: Duration,
    /// Longest wait of a read, and of a write.
    read: Duration,
    write: Duration,
}

/// Makes leases that end while nobody serves, and starts again.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let [_, leases, _] = options.leases;
    let folder = tempfile::tempdir_in(&options.disk)?;
    let mut server = launcher.start(folder.path())?;
    let keys = server.initialize().await?;
    let world = World::prepare(&server, options.connections).await?;
    let made = make(&server, &world, leases, options.lifetime).await?;
    server.stop().await?;
    let lifetime = Duration::from_secs(options.lifetime);
    if made.first.elapsed() >= lifetime {
        return Err(
            format!("the first of {leases} leases ended before the server was down: give them more than {lifetime:?}").into()
        );
    }
    // The ends are whole seconds, rounded down.
    tokio::time::sleep((lifetime + A_SECOND).saturating_sub(made.last.elapsed())).await;
    let (server, opened) = launcher.start_again(folder.path(), &keys).await?;
    let since = Instant::now();
    let lag = opened.first_request();
    let drained = drain(&server, &world, &keys, since, lag).await?;
    server.stop().await?;
    show(options, report, &drained)
}

/// When the first and the last lease were made.
struct Made {
    first: Instant,
    last: Instant,
}

async fn make(server: &Server, world: &World, leases: usize, lifetime: u64) -> Result<Made, Failed> {
    let ttl = format!("{lifetime}s");
    let mut scripts: Vec<Script> = world.tokens.iter().map(|token| rows::create(token, &ttl)).collect();
    let mut load = Load::connect(server.address(), &mut scripts).await?;
    let first = Instant::now();
    load.run(&Until::times(leases.div_ceil(world.tokens.len()))).await?;
    let last = Instant::now();
    let due = due(&mut Connection::open(server.address()).await?, server.root(), u64::MAX).await?;
    if due == 0 {
        return Err("no lease is in the queue".into());
    }
    Ok(Made { first, last })
}

/// Reads and writes go on until nothing is due any more. `lag`: how long ago the key was taken at `since`.
async fn drain(server: &Server, world: &World, keys: &Keys, since: Instant, lag: Duration) -> Result<Drained, Failed> {
    let done = Cell::new(false);
    let until = Until::told(&done, PATIENCE);
    let mut reads: Vec<Script> = world.tokens.iter().take(BESIDE).map(|token| rows::lookup_self(token)).collect();
    let mut writes = (0..BESIDE).map(|lane| rows::kv1_write(world, lane)).collect::<Result<Vec<_>, _>>()?;
    let mut reading = Load::connect(server.address(), &mut reads).await?;
    let mut writing = Load::connect(server.address(), &mut writes).await?;
    let watching = async {
        let watched = watch(server, &keys.root).await;
        let after = since.elapsed() + lag;
        done.set(true);
        watched.map(|()| after)
    };
    let (after, read, write) = futures_util::join!(watching, reading.run(&until), writing.run(&until));
    Ok(Drained { after: after?, read: read?.longest(), write: write?.longest() })
}

/// Returns once no key of the queue of tokens is due.
async fn watch(server: &Server, root: &str) -> Result<(), Failed> {
    let mut connection = Connection::open(server.address()).await?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        if due(&mut connection, root, now).await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("leases are left after {PATIENCE:?}").into())
}

/// Seconds up to `now` at which the queue of tokens has leases: they are its folders.
async fn due(connection: &mut Connection, root: &str, now: u64) -> Result<usize, Failed> {
    let reply = connection.ask(&request("LIST", "sys/raw/lease/due/token", root, "")).await?;
    if reply.status == 404 {
        return Ok(0);
    }
    if !reply.is_ok() {
        return Err(failure(&reply));
    }
    let listed = reply.json()?;
    let names = listed.pointer("/data/keys").and_then(Value::as_array).ok_or("a list without keys")?;
    let seconds = names.iter().filter_map(Value::as_str).map(|name| u64::from_str_radix(name.trim_end_matches('/'), 16));
    Ok(seconds.filter(|second| second.as_ref().is_ok_and(|&second| second <= now)).count())
}

fn show(options: &Options, report: &mut Report, drained: &Drained) -> Result<(), Failed> {
    let [_, leases, _] = options.leases;
    let how = format!(
        "{leases} tokens ended while the server was down, store in `{}`, {}; from the unsealing until no key of the queue is due. \
         Beside it {BESIDE} connections look up a token and {BESIDE} write secrets.",
        options.disk.display(),
        file_system(&options.disk)?
    );
    section("Leases that ended while the server was down", &how);
    let mut table = Table::of_facts();
    let after = drained.after.as_secs_f64();
    table.fact("drained", format!("{after:.2} s: {}", verdict(after, (4.0, 1.0))), ["4 s", "1 s", "36 s"]);
    let longest = longest_ms(&[drained.read, drained.write]);
    let measured = format!("{longest:.1} ms: {}", verdict(longest, (100.0, 30.0)));
    table.fact("longest request beside it", measured, ["100 ms", "30 ms", "1.6 s"]);
    table.fact("longest lookup", format!("{:.1} ms", longest_ms(&[drained.read])), [""; 3]);
    table.fact("longest write", format!("{:.1} ms", longest_ms(&[drained.write])), [""; 3]);
    report.table(&table);
    Ok(())
}

/// Connections of each kind that ask meanwhile.
const BESIDE: usize = 2;
/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(5);
/// For the queue to be empty.
const PATIENCE: Duration = Duration::from_mins(2);
const A_SECOND: Duration = Duration::from_secs(1);
