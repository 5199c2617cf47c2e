//! The `iam` login: the client signs a request to STS that asks who it is; we send it on, and believe what STS answers
//! (spec `aws-auth-method.md` §12, §13).

mod bound;
mod headers;
mod names;
mod preview;
mod renewal;
mod reply;
mod request;
mod scope;
mod sts;
mod url;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::auth::cidr;
use crate::mount::{Alias, Ctx, Grant};

use super::AwsAuth;
use super::attempt::Attempt;
use super::client_config::ClientConfig;
use super::clients::{OWN_CALLS, Place};
use super::ec2::Running;
use super::failure::{Code, Failure};
use super::identity_config::{IdentityConfig, chosen};
use super::login::LoginInput;
use super::principal::{Kind, Principal};
use super::role::{AuthType, EC2_INSTANCE, Role};

use names::Names;
use reply::Identity;
use request::Request;
use scope::{Scope, check_server_id};

pub(super) use headers::HeaderField;
pub use preview::{Preview, preview};

/// What the iam logins of a mount share.
#[derive(Debug)]
pub(super) struct Iam {
    /// Places among the logins that wait for STS.
    relays: Semaphore,
    names: Names,
}

/// Who logs in, as STS says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Caller {
    principal: Principal,
    /// `AIDA…`, `AROA…`: without the session.
    unique_id: String,
}

/// An instance that the session of a login names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inferred {
    /// Its id.
    id: String,
    /// Its private host name.
    hostname: String,
}

impl Default for Iam {
    fn default() -> Self {
        Self { relays: Semaphore::new(RELAYS), names: Names::default() }
    }
}

/// Judges a login; see [`Attempt`] for how.
pub(super) async fn log_in(
    auth: &Arc<AwsAuth>,
    cx: &Ctx,
    input: &LoginInput,
    attempt: &mut Attempt,
) -> Result<Option<Grant>, Failure> {
    let config = auth.stored_client().await?.unwrap_or_default();
    let caller = who(auth, input, &config, attempt).await?;
    if attempt.role.is_empty()
        && let Some(caller) = &caller
    {
        attempt.role = caller.principal.name.to_lowercase();
    }
    let Some(role) = role(auth, cx, attempt).await? else { return Ok(None) };
    let Some(caller) = caller else {
        attempt.skip(&["bound_principal", "instance", "bounds"], "the principal is not known");
        return Ok(None);
    };
    let bound = if role.bound_iam_principal_arn.is_empty() { Ok(()) } else { auth.check_principal(&role, &caller).await };
    attempt.check("bound_principal", bound)?;
    let inferred = match infer(auth, &role, &caller, attempt).await? {
        Some(inferred) if !attempt.has_failed() => inferred,
        _ => return Ok(None),
    };
    let identity = auth.identity_config().await?;
    Ok(Some(grant(&role, &caller, &inferred, &identity)))
}

/// From the request to the principal.
async fn who(
    auth: &Arc<AwsAuth>,
    input: &LoginInput,
    config: &ClientConfig,
    attempt: &mut Attempt,
) -> Result<Option<Caller>, Failure> {
    let Some(request) = attempt.check("request", Request::read(input))? else {
        attempt.skip(&["server_id", "headers", "signature", "endpoint", "sts", "principal"], "the request cannot be read");
        return Ok(None);
    };
    attempt.check("server_id", check_server_id(&request, config))?;
    let headers = attempt.check("headers", request.check_headers(config))?;
    let scope = attempt.check("signature", Scope::read(&request))?;
    let (Some(()), Some(scope)) = (headers, scope) else {
        attempt.skip(&["endpoint", "sts", "principal"], "the request may not be sent on");
        return Ok(None);
    };
    let Some(to) = attempt.check("endpoint", sts::destination(&request, &scope, config))? else {
        attempt.skip(&["sts", "principal"], "there is nowhere to send the request");
        return Ok(None);
    };
    attempt.detail(to.host());
    let asked = auth.relay(&request, &scope, &to, config).await;
    let read = asked.and_then(|answer| sts::identity(&answer, &request, &scope, &to, &*auth.deps.clock));
    let Some(identity) = attempt.check("sts", read)? else {
        attempt.skip(&["principal"], "STS has named nobody");
        return Ok(None);
    };
    attempt.principal.clone_from(&identity.arn);
    let caller = attempt.check("principal", Caller::of(&identity))?;
    if let Some(caller) = &caller {
        attempt.detail(&caller.principal.arn);
    }
    Ok(caller)
}

/// The role, and whether it may be used from there and for this type of login.
async fn role(auth: &Arc<AwsAuth>, cx: &Ctx, attempt: &mut Attempt) -> Result<Option<Role>, Failure> {
    let name = attempt.role.clone();
    let shown = request::shortened(&name);
    let found = auth.role_of_login(&name, || Failure::plain(format!("entry for role {shown} not found"))).await;
    let Some(role) = attempt.check("role", found)? else {
        attempt.skip(&["cidr", "auth_type", "bound_principal", "instance", "bounds"], "there is no role");
        return Ok(None);
    };
    let blocks = &role.token.bound_cidrs;
    let is_near = blocks.is_empty() || cidr::holds(blocks, cx.asked.remote.ip);
    attempt.check("cidr", if is_near { Ok(()) } else { Err(Failure::cidr()) })?;
    let is_iam = role.auth_type == AuthType::Iam;
    let other = || Err(Failure::plain(format!("auth method iam not allowed for role {shown}")));
    if attempt.check("auth_type", if is_iam { Ok(()) } else { other() })?.is_none() {
        attempt.skip(&["bound_principal", "instance", "bounds"], "the role is for another type of login");
        return Ok(None);
    }
    Ok(Some(role))
}

/// The instance that the session names, where the role wants one. `None`: the doctor found something.
async fn infer(auth: &Arc<AwsAuth>, role: &Role, caller: &Caller, attempt: &mut Attempt) -> Result<Option<Inferred>, Failure> {
    if !role.infers_instance() {
        attempt.skip(&["instance", "bounds"], "the role infers no instance");
        return Ok(Some(Inferred::default()));
    }
    let until = auth.deps.clock.elapsed().saturating_add(OWN_CALLS);
    let found = instance(auth, role, &caller.principal, until).await;
    let Some(running) = attempt.check("instance", found)? else {
        attempt.skip(&["bounds"], "the instance is not known");
        return Ok(None);
    };
    let bounds = auth.check_bounds(role, &caller.principal.account, &running, until).await;
    let bounds = bounds.map_err(|failure| failure.within("error validating instance: "));
    let inferred = Inferred { id: running.instance.id.clone(), hostname: running.instance.private_dns.clone() };
    Ok(attempt.check("bounds", bounds)?.map(|()| inferred))
}

/// The session is named after the instance, which must run.
async fn instance(auth: &AwsAuth, role: &Role, principal: &Principal, until: Duration) -> Result<Running, Failure> {
    let (session, region) = (principal.session.as_str(), role.inferred_aws_region.as_str());
    let prefix = format!("failed to verify {} as a valid EC2 instance in region {region}: ", request::shortened(session));
    if !is_instance_id(session) {
        let sentence = "the client must log in by the role of an EC2 instance, whose session is named after the instance";
        let text = format!("{prefix}the name of the session is no instance id");
        return Err(Failure::named(Code::InstanceUnknown, text, sentence));
    }
    let place = Place { partition: &principal.partition, account: &principal.account, region };
    auth.running(place, session, until).await.map_err(|failure| failure.within(&prefix))
}

fn is_instance_id(text: &str) -> bool {
    let digits = text.strip_prefix("i-").unwrap_or_default();
    (1..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The token of a login.
fn grant(role: &Role, caller: &Caller, inferred: &Inferred, identity: &IdentityConfig) -> Grant {
    let principal = &caller.principal;
    let (canonical, user_id) = (principal.canonical_arn(), caller.unique_id.clone());
    let infers = role.infers_instance();
    let region = if infers { role.inferred_aws_region.clone() } else { String::new() };
    let known = BTreeMap::from([
        ("account_id", principal.account.clone()),
        ("auth_type", AuthType::Iam.as_str().to_owned()),
        ("canonical_arn", canonical.clone()),
        ("client_arn", principal.arn.clone()),
        ("client_user_id", user_id.clone()),
        ("inferred_aws_region", region.clone()),
        ("inferred_entity_id", inferred.id.clone()),
        ("inferred_entity_type", if infers { EC2_INSTANCE.to_owned() } else { String::new() }),
        ("inferred_hostname", inferred.hostname.clone()),
    ]);
    let told = chosen(&identity.iam_metadata, &known);
    let alias = match identity.iam_alias.as_str() {
        "unique_id" => user_id.clone(),
        "full_arn" => principal.arn.clone(),
        "canonical_arn" => canonical.clone(),
        _ => role.role_id.clone(),
    };
    let mut grant = role.token.grant();
    grant.display_name = if principal.kind == Kind::AssumedRole {
        format!("{}/{}", principal.name, principal.session)
    } else {
        principal.name.clone()
    };
    grant.alias = Some(Alias { name: alias, metadata: told.clone() });
    let mut metadata = told;
    metadata.insert("role_id".to_owned(), role.role_id.clone());
    grant.metadata = Some(metadata);
    let internal = [
        ("auth_type", AuthType::Iam.as_str().to_owned()),
        ("role_name", role.name.clone()),
        ("role_id", role.role_id.clone()),
        ("canonical_arn", canonical),
        ("client_arn", principal.arn.clone()),
        ("client_user_id", user_id),
        ("inferred_entity_id", inferred.id.clone()),
        ("inferred_aws_region", region),
        ("account_id", principal.account.clone()),
    ];
    grant.internal = internal.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    grant
}

impl Caller {
    fn of(identity: &Identity) -> Result<Self, Failure> {
        let shown = request::shortened(&identity.arn);
        let principal =
            Principal::parse(&identity.arn).map_err(|error| Failure::plain(format!("error parsing arn \"{shown}\": {error}")))?;
        if principal.account != identity.account {
            let sentence = "what STS answered is not what STS answers: the account of the ARN is another one than that beside it";
            let text = "error making upstream request: body of GetCallerIdentity is invalid";
            return Err(Failure::named(Code::StsReplyInvalid, text, sentence));
        }
        if principal.kind == Kind::InstanceProfile {
            return Err(Failure::plain(format!(
                "error parsing arn \"{shown}\": unrecognized principal type: \"instance-profile\""
            )));
        }
        let unique_id = identity.user_id.split(':').next().unwrap_or_default().to_owned();
        Ok(Self { principal, unique_id })
    }
}

/// Logins of a mount that wait for STS at the same time.
const RELAYS: usize = 1024;
