//! Passwords guessed at by many connections: who else has to wait, and what is left of it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::json;

use crate::Failed;
use crate::client::{Connection, Load, Operator, Reply, Script, Until, failure, request};
use crate::options::Options;
use crate::report::{Measured, Report, Table, mib, mib_of, section, verdict};
use crate::rows;
use crate::server::{Launcher, Server};
use crate::world;

/// How the wrong logins ended.
#[derive(Clone, Copy, Default)]
struct Refusals {
    /// 400: a password was compared.
    wrong: usize,
    /// 403: the user is locked out.
    locked: usize,
    /// 429: too many wait already.
    full: usize,
}

/// How the right ones fared.
#[derive(Default)]
struct Honest {
    waits: Vec<Duration>,
    /// 429, and then repeated.
    repeated: usize,
}

/// What was seen.
struct Seen {
    idle: Measured,
    beside: Measured,
    refusals: Refusals,
    honest: Honest,
    took: Duration,
    resident: [u64; 2],
}

/// Attacks a server of its own.
pub(crate) async fn measure(options: &Options, launcher: &Launcher<'_>, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir_in(&options.store)?;
    let mut server = launcher.start(folder.path())?;
    server.initialize().await?;
    let operator = server.operator().await?;
    let attacked = users(&operator, options.logins).await?;
    let tokens = world::tokens(&operator, BESIDE).await?;
    let mut lookups: Vec<Script> = tokens.iter().map(|token| rows::lookup_self(token)).collect();
    let idle = Measured::turn(&server, &mut lookups, options.turn).await?;
    // The first comparisons have their memory and threads before it is read.
    log_in(&mut Connection::open(server.address()).await?, &mut Honest::default()).await?;
    let before = server.resident()?;
    let began = Instant::now();
    let done = Cell::new(false);
    let until = Until::told(&done, PATIENCE);
    let mut load = Load::connect(server.address(), &mut lookups).await?;
    let attacking = async {
        let refusals = attack(&server, options.logins, attacked).await;
        let took = began.elapsed();
        done.set(true);
        refusals.map(|refusals| (refusals, took))
    };
    let (attacked_, honest, beside) =
        futures_util::join!(attacking, log_in_until(&server, &done), Measured::of(&server, &mut load, &until));
    let (refusals, took) = attacked_?;
    tokio::time::sleep(REST).await;
    let resident = [before, server.resident()?];
    server.stop().await?;
    show(options, report, &Seen { idle, beside: beside?, refusals, honest: honest?, took, resident });
    Ok(())
}

/// Those who are attacked, and one who is not; how many of the first there are.
async fn users(operator: &Operator, logins: usize) -> Result<usize, Failed> {
    operator.ask("POST", "sys/auth/userpass", &json!({"type": "userpass"})).await?;
    let attacked = (logins / 100).clamp(4, 100);
    let body = json!({"password": "known to him alone", "token_policies": "default", "token_ttl": "1h"});
    for number in 0..attacked {
        operator.ask("POST", &format!("auth/userpass/users/user-{number}"), &body).await?;
    }
    operator.ask("POST", &format!("auth/userpass/users/{HONEST}"), &body).await?;
    Ok(attacked)
}

/// Of ten wrong logins nine are for users that there are.
async fn attack(server: &Server, logins: usize, users: usize) -> Result<Refusals, Failed> {
    let next = Cell::new(0);
    let lanes = (0..ATTACKERS).map(async |_| {
        let mut connection = Connection::open(server.address()).await?;
        let mut refusals = Refusals::default();
        while next.get() < logins {
            let number = next.replace(next.get() + 1);
            let name = if number % 10 == 9 { format!("nobody-{number}") } else { format!("user-{}", number % users) };
            let body = json!({"password": format!("guess {number}")}).to_string();
            let reply = connection.ask(&request("POST", &format!("auth/userpass/login/{name}"), "", &body)).await?;
            refusals.count(&reply)?;
        }
        Ok::<_, Failed>(refusals)
    });
    let all = try_join_all(lanes).await?;
    Ok(all.iter().fold(Refusals::default(), |sum, one| Refusals {
        wrong: sum.wrong + one.wrong,
        locked: sum.locked + one.locked,
        full: sum.full + one.full,
    }))
}

impl Refusals {
    fn count(&mut self, reply: &Reply) -> Result<(), Failed> {
        match reply.status {
            400 => self.wrong += 1,
            403 => self.locked += 1,
            429 => self.full += 1,
            _ => return Err(failure(reply)),
        }
        Ok(())
    }
}

/// Somebody who knows his password logs in again and again while it goes on.
async fn log_in_until(server: &Server, done: &Cell<bool>) -> Result<Honest, Failed> {
    let mut connection = Connection::open(server.address()).await?;
    let mut honest = Honest::default();
    while !done.get() {
        log_in(&mut connection, &mut honest).await?;
    }
    Ok(honest)
}

/// Logs in; a 429 is repeated after the second it asks for, anything else but success ends the run.
async fn log_in(connection: &mut Connection, honest: &mut Honest) -> Result<(), Failed> {
    let body = r#"{"password":"known to him alone"}"#;
    let request = request("POST", &format!("auth/userpass/login/{HONEST}"), "", body);
    let began = Instant::now();
    for _ in 0..TRIES {
        let reply = connection.ask(&request).await?;
        if reply.is_ok() {
            honest.waits.push(began.elapsed());
            return Ok(());
        }
        if reply.status != 429 {
            return Err(format!("a right login was refused: {}", failure(&reply)).into());
        }
        honest.repeated += 1;
        tokio::time::sleep(A_SECOND).await;
    }
    Err(format!("a right login got 429 {TRIES} times").into())
}

fn show(options: &Options, report: &mut Report, seen: &Seen) {
    let how = format!(
        "{ATTACKERS} connections send {} wrong logins, nine of ten for users that there are, who lock; the others for names that \
         nobody has. Beside them one connection logs another user in with the right password, and {BESIDE} look up a token.",
        options.logins
    );
    section("Userpass under attack", &how);
    let Refusals { wrong, locked, full } = seen.refusals;
    let mut table = Table::of_facts();
    table.fact("wrong logins", format!("{wrong} compared, {locked} locked out, {full} too many"), [""; 3]);
    table.fact("it took", format!("{:.1} s", seen.took.as_secs_f64()), [""; 3]);
    let longest = seen.honest.waits.iter().max().copied().unwrap_or_default();
    let right = format!(
        "{} of {} succeeded, {} after a 429; the longest took {:.2} s",
        seen.honest.waits.len(),
        seen.honest.waits.len(),
        seen.honest.repeated,
        longest.as_secs_f64()
    );
    table.fact("right logins of another user", right, ["all", "", ""]);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (idle, beside) = (ms(seen.idle.p99), ms(seen.beside.p99));
    let measured = format!("{beside:.2} ms, {idle:.2} ms at idle: {}", verdict(beside, (20.0, 20.0)));
    table.fact("lookup-self, p99", measured, ["20 ms", "", ""]);
    let [before, after] = seen.resident;
    let more = mib_of(after) - mib_of(before);
    let measured = format!("{} before, {more:+.1} MiB: {}", mib(before), verdict(more, (16.0, 16.0)));
    table.fact("resident afterwards", measured, ["+16 MiB", "", ""]);
    report.table(&table);
}

/// Connections that guess.
const ATTACKERS: usize = 64;
/// Connections that look up a token meanwhile.
const BESIDE: usize = 4;
/// Who is not attacked.
const HONEST: &str = "somebody";
/// A right login that gets 429 so often has not been let in.
const TRIES: usize = 60;
const A_SECOND: Duration = Duration::from_secs(1);
/// For threads without work to end, before memory is read.
const REST: Duration = Duration::from_secs(1);
/// For the attack to end.
const PATIENCE: Duration = Duration::from_mins(10);
