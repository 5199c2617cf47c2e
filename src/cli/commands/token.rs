//! `token create`, `lookup`, `renew`, `revoke`, `capabilities` (spec `cli.md` §5).

use serde_json::{Map, Value, json};

use crate::base::time::parse_nanos;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::duration;
use crate::cli::flags::Flag;
use crate::cli::stop::{OK, Outcome, Stop};

pub(super) const TOKEN: Command =
    Command::group("token", "Creates, shows, renews and revokes tokens.", &[CREATE, LOOKUP, RENEW, REVOKE, CAPABILITIES]);

const ID: Flag = Flag::text("id", "TEXT", "Value of the token; by default the server makes one.");
const DISPLAY_NAME: Flag = Flag::text("display-name", "NAME", "Name shown in logs.");
const TTL: Flag = Flag::duration("ttl", "How long the token lives at first.");
const EXPLICIT_MAX_TTL: Flag = Flag::duration("explicit-max-ttl", "How long it lives at most, whatever its renewals.");
const PERIOD: Flag = Flag::duration("period", "Each renewal lasts this long, without an end.");
const RENEWABLE: Flag = Flag::switch("renewable", "Whether it can be renewed. Default true.");
const ORPHAN: Flag = Flag::switch("orphan", "Do not revoke it with the token that makes it.");
const NO_DEFAULT_POLICY: Flag = Flag::switch("no-default-policy", "Leave out the policy \"default\".");
const USE_LIMIT: Flag = Flag::number("use-limit", "How many requests it is good for.");
const ROLE: Flag = Flag::text("role", "NAME", "Token role to create it by.");
const TYPE: Flag = Flag::text("type", "TYPE", "service or batch.");
const POLICY: Flag = Flag::list("policy", "NAME", "Policy of the token; repeat for more.");
const METADATA: Flag = Flag::pairs("metadata", "Metadata of the token; repeat for more.");
const ENTITY_ALIAS: Flag = Flag::text("entity-alias", "NAME", "Entity alias, with a role that allows it.");
const ACCESSOR: Flag = Flag::switch("accessor", "The argument is an accessor.");
const INCREMENT: Flag = Flag::duration("increment", "How long from now it is to live.").or("i");
const SELF: Flag = Flag::switch("self", "The token in use.");
const MODE: Flag = Flag::text("mode", "MODE", "orphan: not its children; path: everything below a path.");

const CREATE: Command = Command::new("create", "[flags]", "Creates a token.", create)
    .flags(&[
        ID,
        DISPLAY_NAME,
        TTL,
        EXPLICIT_MAX_TTL,
        PERIOD,
        RENEWABLE,
        ORPHAN,
        NO_DEFAULT_POLICY,
        USE_LIMIT,
        ROLE,
        TYPE,
        POLICY,
        METADATA,
        ENTITY_ALIAS,
    ])
    .fields()
    .args(Args::Exactly(0));

const LOOKUP: Command =
    Command::new("lookup", "[flags] [TOKEN | -accessor ACCESSOR]", "Shows a token; without one, the token in use.", lookup)
        .flags(&[ACCESSOR])
        .fields();

const RENEW: Command =
    Command::new("renew", "[flags] [TOKEN | -accessor ACCESSOR]", "Renews a token; without one, the token in use.", renew)
        .flags(&[ACCESSOR, INCREMENT])
        .fields();

const REVOKE: Command = Command::new("revoke", "[flags] [TOKEN | ACCESSOR | PATH]", "Revokes a token and its children.", revoke)
    .flags(&[ACCESSOR, SELF, MODE]);

const CAPABILITIES: Command =
    Command::new("capabilities", "[flags] [TOKEN] PATH", "Shows what a token may do at a path.", capabilities)
        .flags(&[ACCESSOR])
        .formats();

fn create(cx: &mut Cx<'_>) -> Outcome {
    let mut body = Map::new();
    for (flag, name) in [(&ID, "id"), (&DISPLAY_NAME, "display_name"), (&TYPE, "type"), (&ENTITY_ALIAS, "entity_alias")] {
        if let Some(text) = cx.flags.text(flag) {
            body.insert(name.to_owned(), json!(text));
        }
    }
    for (flag, name) in [(&TTL, "ttl"), (&EXPLICIT_MAX_TTL, "explicit_max_ttl"), (&PERIOD, "period")] {
        if let Some(nanos) = cx.flags.nanos(flag) {
            body.insert(name.to_owned(), json!(duration::go(nanos)));
        }
    }
    for (flag, name) in [(&ORPHAN, "no_parent"), (&NO_DEFAULT_POLICY, "no_default_policy")] {
        if let Some(on) = cx.flags.switch(flag) {
            body.insert(name.to_owned(), json!(on));
        }
    }
    body.insert("renewable".to_owned(), json!(cx.flags.switch(&RENEWABLE).unwrap_or(true)));
    if let Some(uses) = cx.flags.number(&USE_LIMIT) {
        body.insert("num_uses".to_owned(), json!(uses));
    }
    if cx.flags.has(&POLICY) {
        body.insert("policies".to_owned(), json!(cx.flags.list(&POLICY)));
    }
    if cx.flags.has(&METADATA) {
        body.insert("meta".to_owned(), json!(cx.flags.pairs(&METADATA)));
    }
    let path = match cx.flags.text(&ROLE) {
        Some(role) => format!("auth/token/create/{role}"),
        None => "auth/token/create".to_owned(),
    };
    let envelope = cx.send_for(&Request::post(&path, Value::Object(body)), "Error creating token")?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn lookup(cx: &mut Cx<'_>) -> Outcome {
    let request = match (cx.flags.is(&ACCESSOR), cx.args.as_slice()) {
        (true, [accessor]) => Request::post("auth/token/lookup-accessor", json!({ "accessor": accessor.trim() })),
        (true, []) => return Err(Stop::local("Not enough arguments with -accessor (expected 1, got 0)")),
        (false, []) => Request::get("auth/token/lookup-self"),
        (false, [token]) => Request::post("auth/token/lookup", json!({ "token": token.trim() })),
        (_, more) => return Err(Stop::Local(format!("Too many arguments (expected 0-1, got {})", more.len()))),
    };
    let envelope = cx.send_for(&request, "Error looking up token")?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

fn renew(cx: &mut Cx<'_>) -> Outcome {
    let by_accessor = cx.flags.is(&ACCESSOR);
    match (by_accessor, cx.args.len()) {
        (true, 0) => return Err(Stop::local("Not enough arguments with -accessor (expected 1, got 0)")),
        (true, count @ 2..) => return Err(Stop::Local(format!("Too many arguments with -accessor (expected 1, got {count})"))),
        (false, count @ 3..) => return Err(Stop::Local(format!("Too many arguments (expected 0-2, got {count})"))),
        _ => {}
    }
    let mut body = Map::new();
    if let Some(seconds) = increment(cx, &INCREMENT)? {
        body.insert("increment".to_owned(), json!(seconds));
    }
    let id = cx.arg(0).trim().to_owned();
    let request = match (by_accessor, id.as_str()) {
        (true, accessor) => {
            body.insert("accessor".to_owned(), json!(accessor));
            Request::post("auth/token/renew-accessor", Value::Object(body))
        }
        (false, "") => Request::put("auth/token/renew-self", Value::Object(body)),
        (false, token) => {
            body.insert("token".to_owned(), json!(token));
            Request::put("auth/token/renew", Value::Object(body))
        }
    };
    let envelope = cx.send_for(&request, "Error renewing token")?;
    envelope.map_or(Ok(OK), |envelope| cx.show(&envelope))
}

/// The increment in whole seconds: the flag's, or the second argument's, which is the old form of it.
pub(super) fn increment(cx: &mut Cx<'_>, flag: &Flag) -> Result<Option<i64>, Stop> {
    let nanos = match (cx.flags.nanos(flag), cx.args.get(1).cloned()) {
        (Some(nanos), _) => nanos,
        (None, None) => return Ok(None),
        (None, Some(text)) => {
            cx.warn("The second argument is deprecated. Use -increment instead.");
            parse_nanos(&text).map_err(|error| Stop::Local(format!("Invalid increment: {error}")))?
        }
    };
    i64::try_from(duration::seconds(nanos)).map(Some).map_err(|_| Stop::local("Invalid increment: out of range"))
}

fn revoke(cx: &mut Cx<'_>) -> Outcome {
    let (accessor, own) = (cx.flags.is(&ACCESSOR), cx.flags.is(&SELF));
    let mode = cx.flags.text(&MODE).unwrap_or_default().to_owned();
    check_revoke(accessor, own, &mode, cx.args.len())?;
    let id = cx.arg(0).trim().to_owned();
    let request = match mode.as_str() {
        _ if own => Request::poke("auth/token/revoke-self"),
        "orphan" => Request::put("auth/token/revoke-orphan", json!({ "token": id })),
        "path" => Request::poke(&format!("sys/leases/revoke-prefix/{}", id.trim_start_matches('/'))),
        _ if accessor => Request::post("auth/token/revoke-accessor", json!({ "accessor": id })),
        _ => Request::put("auth/token/revoke", json!({ "token": id })),
    };
    cx.send(&request.unwrapped(), "Error revoking token")?;
    cx.say("Success! Revoked token (if it existed)")?;
    Ok(OK)
}

fn check_revoke(accessor: bool, own: bool, mode: &str, count: usize) -> Result<(), Stop> {
    if !matches!(mode, "" | "orphan" | "path") {
        return Err(Stop::Local(format!("Invalid mode: {mode}")));
    }
    if own && count > 0 {
        return Err(Stop::Local(format!("Too many arguments with -self (expected 0, got {count})")));
    }
    if !own && count > 1 {
        return Err(Stop::Local(format!("Too many arguments (expected 1 or -self, got {count})")));
    }
    if !own && count == 0 {
        return Err(Stop::Local("Not enough arguments (expected 1 or -self, got 0)".to_owned()));
    }
    if own && accessor {
        return Err(Stop::local("Cannot use -self with -accessor!"));
    }
    for (flag, is_given) in [("-self", own), ("-accessor", accessor)] {
        if is_given && !mode.is_empty() {
            return Err(Stop::Local(format!("Cannot use {flag} with -mode={mode}!")));
        }
    }
    Ok(())
}

fn capabilities(cx: &mut Cx<'_>) -> Outcome {
    let request = match (cx.flags.is(&ACCESSOR), cx.args.as_slice()) {
        (true, [accessor, path]) => Request::post("sys/capabilities-accessor", json!({ "accessor": accessor, "path": path })),
        (true, other) => {
            return Err(Stop::Local(format!("Not enough arguments with -accessor (expected 2, got {})", other.len())));
        }
        (false, [path]) => Request::post("sys/capabilities-self", json!({ "path": path })),
        (false, [token, path]) => Request::post("sys/capabilities", json!({ "path": path, "token": token })),
        (false, []) => return Err(Stop::local("Not enough arguments (expected 1-2, got 0)")),
        (false, more) => return Err(Stop::Local(format!("Too many arguments (expected 1-2, got {})", more.len()))),
    };
    let envelope = cx.send_for(&request.unwrapped(), "Error listing capabilities")?.unwrap_or_default();
    let all = envelope.data().and_then(|data| data.get("capabilities")).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut names: Vec<String> = all.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    names.sort();
    let doc = crate::cli::output::Doc::Value(json!(names));
    cx.show_doc(&doc, || names.join(", "))
}
