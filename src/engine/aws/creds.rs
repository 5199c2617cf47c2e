//! `creds/{name}` and `sts/{name}`: which type, how long, and what of which role (`aws-secrets-engine.md` §9, §14).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::aws::{AssumeRole, Aws, AwsError, Federate, Session};
use crate::base::{Secret, Timestamp, Ttl};
use crate::lease::{Leased, Terms};
use crate::mount::field::{SecretText, Text};
use crate::mount::{ApiError, Ctx, Reply};

use super::AwsSecrets;
use super::document::merged;
use super::names::{iam_name, normalized, sts_name};
use super::patience::{Patience, overdue, shown};
use super::role::{self, CredentialType, Role};
use super::template::Template;

/// Body or query of `creds/{name}` and `sts/{name}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CredsInput {
    /// Name of the role.
    name: String,
    /// Which of the role's `role_arns`; not needed when there is one.
    role_arn: Option<Text>,
    /// Life of the session; users live as `config/lease` says.
    ttl: Option<Ttl>,
    /// Name of the session of an assumed role.
    role_session_name: Option<Text>,
    /// Code of the second factor, for session tokens.
    mfa_code: Option<SecretText>,
}

/// Which of the two paths was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Creds,
    Sts,
}

/// A lease on credentials that end by themselves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sts {
    credential_type: CredentialType,
    /// Of the session or federated user; empty for session tokens.
    username: String,
}

impl Leased for Sts {
    const KIND: &'static str = "sts";
}

impl AwsSecrets {
    pub(super) async fn creds(self: Arc<Self>, cx: Ctx, input: CredsInput) -> Result<Reply, ApiError> {
        self.issue(cx, input, Path::Creds).await
    }

    pub(super) async fn sts(self: Arc<Self>, cx: Ctx, input: CredsInput) -> Result<Reply, ApiError> {
        self.issue(cx, input, Path::Sts).await
    }

    async fn issue(&self, cx: Ctx, input: CredsInput, path: Path) -> Result<Reply, ApiError> {
        let stored = self.view.read::<Role>(&role::key(&input.name)).await?;
        let role = stored.ok_or_else(|| ApiError::invalid(format!("Role \"{}\" not found", input.name)))?;
        let kind = kind_for(&role, path)?;
        let ttl = session_ttl(&role, input.ttl, cx.limits.max_ttl);
        if kind == CredentialType::AssumedRole {
            // Told before AWS is asked for anything.
            role_arn(&role, &input)?;
        }
        let connection = self.connection().await?;
        if kind == CredentialType::IamUser {
            return Box::pin(self.issue_user(&cx, &connection, &role, &input.name)).await;
        }
        let patience = Patience::new(&*cx.clock);
        let asking = Asking { aws: connection.aws.waiting_until(patience.until), template: &connection.template };
        let lent = async {
            match kind {
                CredentialType::AssumedRole => assumed(&cx, &asking, &role, &input, ttl).await,
                CredentialType::FederationToken => federated(&cx, &asking, &role, ttl).await,
                _ => session_token(&cx, &asking, &role, &input, ttl).await,
            }
        };
        Box::pin(patience.bound(lent)).await.unwrap_or_else(|| Err(overdue("")))
    }
}

/// What credentials of STS are made with.
struct Asking<'a> {
    aws: Aws,
    template: &'a Template,
}

/// A role in the old form gives each of its types on one path only; with two types the path decides (§9.3).
fn kind_for(role: &Role, path: Path) -> Result<CredentialType, ApiError> {
    let kind = match (role.credential_types.as_slice(), path) {
        ([], _) => return Err(ApiError::invalid("unknown credential_type: \"\"")),
        ([only], _) => *only,
        (_, Path::Creds) => CredentialType::IamUser,
        (_, Path::Sts) => CredentialType::FederationToken,
    };
    if !role.credential_types.contains(&kind) {
        let types: Vec<&str> = role.credential_types.iter().map(|kind| kind.as_str()).collect();
        return Err(ApiError::invalid(format!(
            "requested credential type \"{kind}\" not in allowed credential types [{}]",
            types.join(" ")
        )));
    }
    if role.prohibit_flexible_cred_path && (kind == CredentialType::IamUser) != (path == Path::Creds) {
        let path = if path == Path::Creds { "creds" } else { "sts" };
        return Err(ApiError::invalid(format!(
            "attempted to retrieve {kind} credentials through the {path} path; this is not allowed for legacy roles"
        )));
    }
    Ok(kind)
}

/// What the caller asks for, else the role's, else an hour; at most the role's maximum, else the mount's.
fn session_ttl(role: &Role, asked: Option<Ttl>, mount_max: Ttl) -> Ttl {
    let wanted = asked.or(role.default_sts_ttl.nonzero()).unwrap_or(SESSION);
    wanted.min(role.max_sts_ttl.nonzero().unwrap_or(mount_max))
}

fn role_arn(role: &Role, input: &CredsInput) -> Result<String, ApiError> {
    let asked = input.role_arn.as_ref().map(|text| text.0.as_str()).filter(|text| !text.is_empty());
    match (asked, role.role_arns()) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(ApiError::invalid("did not supply a role_arn parameter and unable to determine one")),
        (Some(asked), known) if known.iter().any(|arn| arn == asked) => Ok(asked.to_owned()),
        (Some(asked), _) => {
            Err(ApiError::invalid(format!("role_arn \"{asked}\" not in allowed role arns for Vault role \"{}\"", input.name)))
        }
    }
}

async fn assumed(cx: &Ctx, asking: &Asking<'_>, role: &Role, input: &CredsInput, ttl: Ttl) -> Result<Reply, ApiError> {
    let role_arn = role_arn(role, input)?;
    let (policy, policy_arns) = filter(asking, role).await?;
    answering(asking).await?;
    let session_name = if let Some(name) = input.role_session_name.as_ref().filter(|text| !text.is_empty()) {
        normalized(name)
    } else {
        iam_name(asking.template, cx.caller.display_name(), &input.name, cx.clock.precise())?.text
    };
    let tags = role.session_tags.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let external_id = role.external_id.clone();
    let wish = AssumeRole { role_arn, session_name, ttl, policy, policy_arns, tags, external_id };
    let given = asking.aws.assume_role(&wish).await.map_err(|error| shown("Error assuming role: ", &error))?;
    let mut data = data_of(&given.session);
    data.insert("arn".to_owned(), given.arn.into());
    lent(cx, asking, CredentialType::AssumedRole, wish.session_name, &given.session, data)
}

async fn federated(cx: &Ctx, asking: &Asking<'_>, role: &Role, ttl: Ttl) -> Result<Reply, ApiError> {
    let (policy, policy_arns) = filter(asking, role).await?;
    answering(asking).await?;
    let name = sts_name(asking.template, cx.clock.precise())?.text;
    if policy.is_empty() && policy_arns.is_empty() {
        // Without one the credentials would be as strong as ours where resources have policies.
        return Err(ApiError::invalid(
            "must specify at least one of policy_arns or policy_document with federation_token credential_type",
        ));
    }
    let wish = Federate { name, ttl, policy, policy_arns };
    let given = asking.aws.federation_token(&wish).await.map_err(|error| shown("Error generating STS keys: ", &error))?;
    let data = data_of(&given);
    lent(cx, asking, CredentialType::FederationToken, wish.name, &given, data)
}

async fn session_token(cx: &Ctx, asking: &Asking<'_>, role: &Role, input: &CredsInput, ttl: Ttl) -> Result<Reply, ApiError> {
    answering(asking).await?;
    let code = input.mfa_code.as_ref().map_or_else(Secret::default, |code| code.0.clone());
    let given = asking.aws.session_token(ttl, &role.mfa_serial_number, &code).await;
    let given = given.map_err(|error| shown("Error generating STS keys: ", &error))?;
    let data = data_of(&given);
    lent(cx, asking, CredentialType::SessionToken, String::new(), &given, data)
}

/// The session policy: the role's own, and what its groups allow (§14.1).
async fn filter(asking: &Asking<'_>, role: &Role) -> Result<(String, Vec<String>), ApiError> {
    let mut arns = role.policy_arns().to_vec();
    let mut documents = Vec::new();
    for group in role.iam_groups() {
        let of_group = async {
            let attached = asking.aws.attached_group_policies(group).await?;
            Ok::<_, AwsError>((attached, asking.aws.group_policies(group).await?))
        };
        let (attached, inline) = of_group.await.map_err(|error| shown("", &error))?;
        arns.extend(attached);
        documents.extend(inline);
    }
    let policy = merged(&documents, &role.policy_document).map_err(ApiError::invalid)?;
    Ok((policy, arns))
}

/// Some STS answers.
async fn answering(asking: &Asking<'_>) -> Result<(), ApiError> {
    let asked = asking.aws.identity().await;
    asked.map(drop).map_err(|error| shown("could not obtain sts client: ", &error))
}

fn data_of(session: &Session) -> Map<String, Value> {
    let token = session.token.expose();
    let data = json!({
        "access_key": session.access_key,
        "secret_key": session.secret_key.expose(),
        "security_token": token,
        "session_token": token,
    });
    match data {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A lease that lives as long as the credentials.
fn lent(
    cx: &Ctx,
    asking: &Asking<'_>,
    credential_type: CredentialType,
    username: String,
    session: &Session,
    mut data: Map<String, Value>,
) -> Result<Reply, ApiError> {
    let ttl = left(session.ends, cx.clock.now(), asking.aws.ahead());
    data.insert("ttl".to_owned(), ttl.as_seconds().into());
    let terms = Terms { ttl, max_ttl: Ttl::ZERO, renewable: false };
    let issued = cx.leases().lend(Sts { credential_type, username }, terms)?;
    Ok(Reply::leased(issued, data))
}

/// How long credentials live that end at `ends` by a clock that is `ahead` seconds before ours.
fn left(ends: Timestamp, now: Timestamp, ahead: Option<i64>) -> Ttl {
    let ahead = ahead.unwrap_or(0);
    let seconds = now.seconds();
    let theirs =
        if ahead < 0 { seconds.saturating_sub(ahead.unsigned_abs()) } else { seconds.saturating_add(ahead.unsigned_abs()) };
    // AWS's header has whole seconds: two clocks that are the same may look a second apart.
    ends.since(Timestamp::from_seconds(if ahead.abs() <= 1 { seconds } else { theirs }))
}

/// Where nobody says how long (§9.1).
const SESSION: Ttl = Ttl::hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn role(types: &[CredentialType], is_old: bool) -> Role {
        Role { credential_types: types.to_vec(), prohibit_flexible_cred_path: is_old, ..Role::default() }
    }

    #[test]
    fn a_role_of_two_types_gives_the_one_of_the_path() {
        let role = role(&[CredentialType::IamUser, CredentialType::FederationToken], true);
        assert_eq!(kind_for(&role, Path::Creds).unwrap(), CredentialType::IamUser);
        assert_eq!(kind_for(&role, Path::Sts).unwrap(), CredentialType::FederationToken);
    }

    #[test]
    fn a_role_in_the_old_form_gives_its_type_on_one_path_only() {
        let text = |types: &[CredentialType], path| kind_for(&role(types, true), path).unwrap_err().text;
        assert_eq!(
            text(&[CredentialType::IamUser], Path::Sts),
            "attempted to retrieve iam_user credentials through the sts path; this is not allowed for legacy roles"
        );
        assert_eq!(
            text(&[CredentialType::AssumedRole], Path::Creds),
            "attempted to retrieve assumed_role credentials through the creds path; this is not allowed for legacy roles"
        );
        for path in [Path::Creds, Path::Sts] {
            assert!(kind_for(&role(&[CredentialType::IamUser], false), path).is_ok());
        }
    }

    #[test]
    fn the_life_of_a_session_is_the_callers_else_the_roles_else_an_hour() {
        let mut role = role(&[CredentialType::AssumedRole], false);
        let max = Ttl::hours(768);
        assert_eq!(session_ttl(&role, None, max), Ttl::hours(1));
        role.default_sts_ttl = Ttl::minutes(20);
        assert_eq!(session_ttl(&role, None, max), Ttl::minutes(20));
        assert_eq!(session_ttl(&role, Some(Ttl::ZERO), max), Ttl::ZERO);
        assert_eq!(session_ttl(&role, Some(Ttl::hours(1000)), max), max);
        role.max_sts_ttl = Ttl::hours(2);
        assert_eq!(session_ttl(&role, Some(Ttl::hours(3)), max), Ttl::hours(2));
    }

    #[test]
    fn the_role_to_assume_is_the_only_one_or_one_that_is_listed() {
        let mut role = role(&[CredentialType::AssumedRole], false);
        let ask = |role: &Role, arn: &str| {
            let input = CredsInput { name: "r".to_owned(), role_arn: Some(Text(arn.to_owned())), ..CredsInput::default() };
            role_arn(role, &input).map_err(|error| error.text)
        };
        let undetermined = "did not supply a role_arn parameter and unable to determine one";
        assert_eq!(ask(&role, ""), Err(undetermined.to_owned()));
        role.role_arns = Some(vec!["a".to_owned()]);
        assert_eq!(ask(&role, ""), Ok("a".to_owned()));
        assert_eq!(ask(&role, "b"), Err("role_arn \"b\" not in allowed role arns for Vault role \"r\"".to_owned()));
        role.role_arns = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(ask(&role, ""), Err(undetermined.to_owned()));
        assert_eq!(ask(&role, "b"), Ok("b".to_owned()));
    }

    #[test]
    fn what_is_left_is_counted_by_the_clock_that_set_the_end() {
        let (ends, now) = (Timestamp::from_seconds(5_000), Timestamp::from_seconds(1_400));
        assert_eq!(left(ends, now, None), Ttl::seconds(3600));
        assert_eq!(left(ends, now, Some(1)), Ttl::seconds(3600));
        assert_eq!(left(ends, now, Some(600)), Ttl::seconds(3000));
        assert_eq!(left(ends, now, Some(-600)), Ttl::seconds(4200));
    }
}
