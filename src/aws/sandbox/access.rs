//! Who may call what.
//!
//! This stand-in evaluates no policies but one: who has `AdministratorAccess` may do everything. All others may ask who
//! they are, and what is theirs by rule of AWS.

use super::call::Call;
use super::failure::Failure;
use super::server::Service;
use super::session::Kind;

/// Refuses what the caller may not do.
pub(super) fn check(service: Service, action: &str, call: &Call<'_>) -> Result<(), Failure> {
    let caller = call.caller;
    match (service, &caller.kind) {
        // Sessions of users and federated ones cannot call IAM, whatever the user may (STS API reference,
        // `GetSessionToken`, `GetFederationToken`).
        (Service::Iam, Kind::UserSession | Kind::Federated) => return Err(Failure::unknown_key()),
        // What these allow is looked at where the role's trust and the kind of key are known.
        (Service::Sts, _) if ["GetCallerIdentity", "AssumeRole", "GetSessionToken"].contains(&action) => return Ok(()),
        (Service::Sts, Kind::UserSession | Kind::Federated | Kind::Role) if action == "GetFederationToken" => return Ok(()),
        _ if caller.is_admin => return Ok(()),
        (Service::Iam, Kind::User { name }) if action == "GetUser" && asks_for(call, name) => return Ok(()),
        _ => {}
    }
    if service == Service::Ec2 {
        return Err(super::ec2::unauthorized(&caller.arn, action));
    }
    let prefix = service.name();
    let (arn, on) = (&caller.arn, call.form.get("UserName").map_or("*".to_owned(), |name| format!("user {name}")));
    Err(Failure::denied(format!(
        "User: {arn} is not authorized to perform: {prefix}:{action} on resource: {on} because no identity-based policy allows \
         the {prefix}:{action} action"
    )))
}

/// Whether the call names this user, or none, which means who calls.
fn asks_for(call: &Call<'_>, name: &str) -> bool {
    call.form.get("UserName").is_none_or(|asked| asked == name)
}
