//! `lease lookup`, `renew`, `revoke` (spec `cli.md` §5, `leases.md` §7).

use serde_json::{Map, Value, json};

use super::token::increment;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::stop::{OK, Outcome, Stop};

pub(super) const LEASE: Command = Command::group("lease", "Shows, renews and revokes leases.", &[LOOKUP, RENEW, REVOKE]);

const INCREMENT: Flag = Flag::duration("increment", "How long from now it is to last.").or("i");
const SYNC: Flag = Flag::switch("sync", "Wait until it is done.");
const PREFIX: Flag = Flag::switch("prefix", "Revoke every lease whose id starts so.");
const FORCE: Flag = Flag::switch("force", "Forget the leases even when the engine fails; with -prefix.").or("f");

const LOOKUP: Command = Command::new("lookup", "[flags] ID", "Shows a lease.", lookup).fields();
const RENEW: Command = Command::new("renew", "[flags] ID", "Renews a lease.", renew).flags(&[INCREMENT]).fields();
const REVOKE: Command = Command::new("revoke", "[flags] ID", "Revokes a lease, or all with a prefix.", revoke)
    .flags(&[SYNC, PREFIX, FORCE])
    .args(Args::Exactly(1));

fn lookup(cx: &mut Cx<'_>) -> Outcome {
    let id = id(cx, 1)?;
    let request = Request::put("sys/leases/lookup", json!({ "lease_id": id }));
    let envelope = cx.send_for(&request, &format!("error looking up lease id {id}"))?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn renew(cx: &mut Cx<'_>) -> Outcome {
    let id = id(cx, 2)?;
    let mut body = Map::from_iter([("lease_id".to_owned(), json!(id))]);
    if let Some(seconds) = increment(cx, &INCREMENT)? {
        body.insert("increment".to_owned(), json!(seconds));
    }
    let request = Request::put("sys/leases/renew", Value::Object(body));
    let envelope = cx.send_for(&request, &format!("Error renewing {id}"))?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn id(cx: &Cx<'_>, most: usize) -> Result<String, Stop> {
    let id = cx.arg(0).trim().to_owned();
    if id.is_empty() {
        return Err(Stop::local("Missing ID!"));
    }
    if cx.args.len() > most {
        let expected = if most == 1 { "1" } else { "1-2" };
        return Err(Stop::Local(format!("Too many arguments (expected {expected}, got {})", cx.args.len())));
    }
    Ok(id)
}

fn revoke(cx: &mut Cx<'_>) -> Outcome {
    let (sync, prefix, force) = (cx.flags.is(&SYNC), cx.flags.is(&PREFIX), cx.flags.is(&FORCE));
    let id = cx.arg(0).trim().to_owned();
    let below = id.trim_start_matches('/');
    if force && !prefix {
        return Err(Stop::local("Specifying -force requires also specifying -prefix"));
    }
    if force {
        cx.warn("Forced revocation forgets leases whatever the engine says. What could not be revoked keeps working outside, unseen by these secret engines!");
    }
    let (request, done) = match (prefix, force) {
        (true, true) => (
            Request::poke(&format!("sys/leases/revoke-force/{below}")),
            format!("Success! Force revoked any leases with prefix: {id}"),
        ),
        (true, false) => (
            Request::put(&format!("sys/leases/revoke-prefix/{below}"), json!({ "sync": sync })),
            format!("Success! Revoked any leases with prefix: {id}"),
        ),
        (false, _) => {
            (Request::put("sys/leases/revoke", json!({ "lease_id": id, "sync": sync })), format!("Success! Revoked lease: {id}"))
        }
    };
    cx.send(&request.unwrapped(), &format!("Error revoking lease {id}"))?;
    cx.say(if sync || force { &done } else { "All revocation operations queued successfully!" })?;
    Ok(OK)
}
