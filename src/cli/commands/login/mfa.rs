//! The second step of a login that a second factor guards.

use serde_json::{Map, Value, json};

use crate::cli::client::Request;
use crate::cli::cx::Cx;
use crate::cli::output::Envelope;
use crate::cli::settings::NON_INTERACTIVE;
use crate::cli::stop::Stop;

/// What the server wants to see before it hands out the token.
pub(super) struct Requirement {
    id: String,
    methods: Vec<Method>,
}

struct Method {
    enforcement: String,
    kind: String,
    id: String,
    name: String,
    uses_passcode: bool,
}

/// The requirement in a login's reply, if there is one.
pub(super) fn requirement(envelope: &Envelope) -> Option<Requirement> {
    let requirement = envelope.auth()?.get("mfa_requirement").and_then(Value::as_object)?;
    let id = requirement.get("mfa_request_id").and_then(Value::as_str)?.to_owned();
    let constraints = requirement.get("mfa_constraints").and_then(Value::as_object)?;
    let methods = constraints.iter().flat_map(|(enforcement, constraint)| {
        let any = constraint.get("any").and_then(Value::as_array).into_iter().flatten();
        any.map(|method| {
            let text = |name: &str| method.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            Method {
                enforcement: enforcement.clone(),
                kind: text("type"),
                id: text("id"),
                name: text("name"),
                uses_passcode: method.get("uses_passcode").and_then(Value::as_bool).unwrap_or(false),
            }
        })
    });
    Some(Requirement { id, methods: methods.collect() })
}

/// Asks for the passcode and finishes the login. `None` when there is no one to ask, or a choice to make: then the
/// way to go on is printed.
pub(super) fn satisfy(cx: &mut Cx<'_>, requirement: &Requirement) -> Result<Option<Envelope>, Stop> {
    let can_ask = cx.io.terminal.stdin && !cx.flags.is(&NON_INTERACTIVE);
    let [method] = requirement.methods.as_slice() else {
        return tell(cx, requirement);
    };
    let mut passcodes = Vec::new();
    if method.uses_passcode {
        if !can_ask {
            return tell(cx, requirement);
        }
        let prompt = format!("Enter the passcode for the {} method \"{}\" (will be hidden): ", method.kind, method.id);
        passcodes.push(cx.ask(&prompt, "passcode")?);
    } else if can_ask {
        cx.note("Asking the second factor to confirm this login; answer it there.");
    } else {
        return tell(cx, requirement);
    }
    let mut payload = Map::new();
    payload.insert(method.id.clone(), json!(passcodes));
    let body = json!({ "mfa_request_id": requirement.id, "mfa_payload": payload });
    let request = Request::put("sys/mfa/validate", body).anonymous().unwrapped();
    cx.send_for(&request, "Error authenticating")
}

fn tell(cx: &mut Cx<'_>, requirement: &Requirement) -> Result<Option<Envelope>, Stop> {
    cx.say("The login is not complete: a second factor is required. Send its passcode to sys/mfa/validate with")?;
    cx.say(&format!("mfa_request_id    {}", requirement.id))?;
    for method in &requirement.methods {
        let passcode = if method.uses_passcode { "passcode" } else { "no passcode" };
        let line = format!("{}: {} method {} {} ({passcode})", method.enforcement, method.kind, method.id, method.name);
        cx.say(line.trim_end())?;
    }
    Ok(None)
}
