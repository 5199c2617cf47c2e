//! STS: who one is, and temporary keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::call::{Call, Outcome};
use super::failure::Failure;
use super::iam::{document, managed, mfa, names};
use super::session::{Holder, Kind, Session};
use super::state::{State, User, fold, new_id};
use super::trust::{Trust, trust};
use super::xml::Xml;
use crate::base::{Secret, Ttl, random};

/// Carries an action out; `None` where there is none of this name.
pub(super) fn run(state: &mut State, call: &Call<'_>, action: &str) -> Option<Outcome> {
    Some(match action {
        "GetCallerIdentity" => Ok(caller_identity(call)),
        "AssumeRole" => assume_role(state, call),
        "GetFederationToken" => federation_token(state, call),
        "GetSessionToken" => session_token(state, call),
        _ => return None,
    })
}

fn caller_identity(call: &Call<'_>) -> Xml {
    let mut xml = Xml::default();
    xml.leaf("Arn", &call.caller.arn);
    xml.leaf("UserId", &call.caller.id);
    xml.leaf("Account", call.caller.account());
    xml
}

fn assume_role(state: &mut State, call: &Call<'_>) -> Outcome {
    let (arn, session) = (call.form.required("RoleArn")?, call.form.required("RoleSessionName")?);
    session_name("roleSessionName", session, 64)?;
    if arn.len() < 20 || !arn.starts_with("arn:") {
        return Err(Failure::invalid(format!("{arn} is invalid")));
    }
    let seconds = call.form.number("DurationSeconds", 900, 43_200, 3600)?;
    let is_narrowed = session_policies(state, call)?;
    names::tags(call.form)?;
    // Whether the role exists is not told to those who may not assume it.
    let denied =
        || Failure::denied(format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}", call.caller.arn));
    let name = arn.rsplit('/').next().unwrap_or_default();
    let role = state.roles.get(&fold(name)).filter(|role| role.arn() == arn).ok_or_else(denied)?;
    let is_trusted = match trust(&role.trust, &call.caller.arn, call.form.get("ExternalId")) {
        Trust::None => false,
        Trust::Account => call.caller.is_admin,
        Trust::Caller => true,
    };
    if !is_trusted {
        return Err(denied());
    }
    if seconds > role.longest_session_seconds {
        return Err(Failure::invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    if call.caller.kind == Kind::Role && seconds > 3600 {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(Failure::invalid(message));
    }
    let mut user = Xml::default();
    user.group("AssumedRoleUser", |xml| {
        xml.leaf("AssumedRoleId", &format!("{}:{session}", role.id));
        xml.leaf("Arn", &role.session_arn(session));
    });
    let holder = Holder::Role { id: role.id.clone(), role: role.name.clone(), session: session.to_owned(), is_narrowed };
    let mut xml = issue(state, call, holder, seconds)?;
    xml.append(&user);
    Ok(xml)
}

fn federation_token(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("Name")?;
    session_name("name", name, 32)?;
    let seconds = call.form.number("DurationSeconds", 900, 129_600, 43_200)?;
    session_policies(state, call)?;
    names::tags(call.form)?;
    let user = long_term_user(state, call, "GetFederationToken")?;
    let holder = Holder::Federated { user_id: user.id.clone(), user: user.name.clone(), name: name.to_owned() };
    let account = state.account;
    let mut xml = issue(state, call, holder, seconds)?;
    xml.group("FederatedUser", |xml| {
        xml.leaf("FederatedUserId", &format!("{account}:{name}"));
        xml.leaf("Arn", &format!("arn:aws:sts::{account}:federated-user/{name}"));
    });
    Ok(xml)
}

fn session_token(state: &mut State, call: &Call<'_>) -> Outcome {
    let seconds = call.form.number("DurationSeconds", 900, 129_600, 43_200)?;
    let user = long_term_user(state, call, "GetSessionToken")?;
    if let Some(serial) = call.form.get("SerialNumber") {
        let code = call.form.get("TokenCode").unwrap_or_default();
        let device = state.devices.get(serial).filter(|_| user.devices.contains(serial));
        if !device.is_some_and(|device| mfa::is_shown(device, code, call.now.time)) {
            return Err(Failure::denied("MultiFactorAuthentication failed with invalid MFA one time pass code. "));
        }
    }
    let holder = Holder::User { id: user.id.clone(), name: user.name.clone() };
    issue(state, call, holder, seconds)
}

/// Makes temporary keys and keeps them.
fn issue(state: &mut State, call: &Call<'_>, holder: Holder, seconds: u64) -> Outcome {
    let key_id = new_id("ASIA", 16);
    let secret = Secret::new(random::base62(40));
    let token = Secret::new(BASE64.encode(random::bytes::<150>()));
    let expires = call.now.time.plus(Ttl::seconds(seconds));
    let mut xml = Xml::default();
    xml.group("Credentials", |xml| {
        xml.leaf("AccessKeyId", &key_id);
        xml.leaf("SecretAccessKey", secret.expose());
        xml.leaf("SessionToken", token.expose());
        xml.leaf("Expiration", &expires.rfc3339());
    });
    state.keep_session(key_id, Session { secret, token, expires, holder }, call.now)?;
    Ok(xml)
}

/// The user whose long-term key has signed the call.
fn long_term_user<'s>(state: &'s State, call: &Call<'_>, action: &str) -> Result<&'s User, Failure> {
    let Kind::User { name } = &call.caller.kind else {
        return Err(Failure::denied(format!("Cannot call {action} with session credentials")));
    };
    state.users.get(&fold(name)).ok_or_else(Failure::unknown_key)
}

/// Checks the policies that narrow a session; whether there are any.
fn session_policies(state: &State, call: &Call<'_>) -> Result<bool, Failure> {
    let text = call.form.get("Policy");
    if let Some(text) = text {
        if text.len() > 2048 {
            return Err(Failure::constraint("policy", "", "Member must have length less than or equal to 2048"));
        }
        document::identity(text)?;
    }
    let arns = call.form.members("PolicyArns", "arn");
    if arns.len() > SESSION_POLICIES {
        let rule = format!("Member must have length less than or equal to {SESSION_POLICIES}");
        return Err(Failure::constraint("policyArns", "", &rule));
    }
    for arn in &arns {
        if !managed::exists(state, arn)? {
            return Err(Failure::document(format!("The managed policy {arn} does not exist.")));
        }
    }
    Ok(text.is_some() || !arns.is_empty())
}

/// Names of sessions have at least two characters.
fn session_name(field: &str, name: &str, longest: usize) -> Result<(), Failure> {
    if name.len() < 2 {
        return Err(Failure::constraint(field, name, "Member must have length greater than or equal to 2"));
    }
    names::name(field, name, longest)
}

/// Managed policies of one session.
const SESSION_POLICIES: usize = 10;
