//! Policies of users, groups and roles: attached ones by ARN, inline ones by name.

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::sigv4::encode;
use super::super::state::{Policies, State};
use super::super::xml::Xml;
use super::document;
use super::managed;
use super::names;

/// Whose policies a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    User,
    Group,
    Role,
}

impl Holder {
    /// The parameter that names it.
    fn field(self) -> &'static str {
        match self {
            Self::User => "UserName",
            Self::Group => "GroupName",
            Self::Role => "RoleName",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// Characters of all its inline policies, white space left out.
    fn inline_size(self) -> usize {
        match self {
            Self::User => 2048,
            Self::Group => 5120,
            Self::Role => 10_240,
        }
    }

    fn quota(self) -> &'static str {
        match self {
            Self::User => "PoliciesPerUser",
            Self::Group => "PoliciesPerGroup",
            Self::Role => "PoliciesPerRole",
        }
    }

    fn policies<'s>(self, state: &'s State, call: &Call<'_>) -> Result<&'s Policies, Failure> {
        let name = call.form.required(self.field())?;
        Ok(match self {
            Self::User => &state.user(name, call.now)?.policies,
            Self::Group => &state.group(name)?.policies,
            Self::Role => &state.role(name)?.policies,
        })
    }

    fn policies_mut<'s>(self, state: &'s mut State, call: &Call<'_>) -> Result<&'s mut Policies, Failure> {
        let name = call.form.required(self.field())?;
        Ok(match self {
            Self::User => &mut state.user_mut(name, call.now)?.policies,
            Self::Group => &mut state.group_mut(name)?.policies,
            Self::Role => &mut state.role_mut(name)?.policies,
        })
    }
}

/// Attaching twice succeeds, as it does in AWS.
pub(super) fn attach(state: &mut State, call: &Call<'_>, holder: Holder) -> Outcome {
    let arn = call.form.required("PolicyArn")?;
    holder.policies(state, call)?;
    if !managed::exists(state, arn)? {
        return Err(Failure::missing(format!("Policy {arn} does not exist or is not attachable.")));
    }
    let policies = holder.policies_mut(state, call)?;
    if policies.attached.contains(arn) {
        return Ok(Xml::default());
    }
    if policies.attached.len() >= ATTACHED {
        return Err(Failure::quota(holder.quota(), ATTACHED));
    }
    policies.attached.insert(arn.to_owned());
    if let Some(policy) = state.policies.get_mut(arn) {
        policy.attachments += 1;
    }
    Ok(Xml::default())
}

pub(super) fn detach(state: &mut State, call: &Call<'_>, holder: Holder) -> Outcome {
    let arn = call.form.required("PolicyArn")?;
    if !holder.policies_mut(state, call)?.attached.remove(arn) {
        return Err(Failure::missing(format!("Policy {arn} was not found.")));
    }
    if let Some(policy) = state.policies.get_mut(arn) {
        policy.attachments = policy.attachments.saturating_sub(1);
    }
    Ok(Xml::default())
}

pub(super) fn list_attached(state: &State, call: &Call<'_>, holder: Holder) -> Outcome {
    let page = call.page()?;
    let prefix = call.form.get("PathPrefix").unwrap_or("/");
    let attached = holder.policies(state, call)?.attached.iter().filter(|arn| managed::path(arn).starts_with(prefix));
    let mut xml = Xml::default();
    page.write(&mut xml, "AttachedPolicies", attached.map(|arn| (arn, arn)), |xml, arn| write_attached(xml, arn));
    Ok(xml)
}

pub(super) fn write_attached(xml: &mut Xml, arn: &str) {
    xml.leaf("PolicyName", managed::name(arn));
    xml.leaf("PolicyArn", arn);
}

pub(super) fn put(state: &mut State, call: &Call<'_>, holder: Holder) -> Outcome {
    let (name, text) = (call.form.required("PolicyName")?, call.form.required("PolicyDocument")?);
    names::name("policyName", name, 128)?;
    let policies = holder.policies_mut(state, call)?;
    document::identity(text)?;
    let others: usize = policies.inline.iter().filter(|(own, _)| *own != name).map(|(_, text)| document::size(text)).sum();
    if others + document::size(text) > holder.inline_size() {
        let (limit, word) = (holder.inline_size(), holder.word());
        let named = call.form.required(holder.field())?;
        let message = format!("Maximum policy size of {limit} bytes exceeded for {word} {named}");
        return Err(Failure::new(409, "LimitExceeded", message));
    }
    policies.inline.insert(name.to_owned(), text.to_owned());
    Ok(Xml::default())
}

pub(super) fn get(state: &State, call: &Call<'_>, holder: Holder) -> Outcome {
    let name = call.form.required("PolicyName")?;
    let text = holder.policies(state, call)?.inline.get(name).ok_or_else(|| missing(holder, name))?;
    let mut xml = Xml::default();
    xml.leaf(holder.field(), call.form.required(holder.field())?);
    xml.leaf("PolicyName", name);
    xml.leaf("PolicyDocument", &encode(text));
    Ok(xml)
}

pub(super) fn delete(state: &mut State, call: &Call<'_>, holder: Holder) -> Outcome {
    let name = call.form.required("PolicyName")?;
    let removed = holder.policies_mut(state, call)?.inline.remove(name);
    removed.map(|_| Xml::default()).ok_or_else(|| missing(holder, name))
}

pub(super) fn list(state: &State, call: &Call<'_>, holder: Holder) -> Outcome {
    let page = call.page()?;
    let policies = holder.policies(state, call)?;
    let mut xml = Xml::default();
    page.write(&mut xml, "PolicyNames", policies.inline.keys().map(|name| (name, name)), |xml, name| xml.text(name));
    Ok(xml)
}

fn missing(holder: Holder, name: &str) -> Failure {
    Failure::missing(format!("The {} policy with name {name} cannot be found.", holder.word()))
}

/// Managed policies attached to one user, group or role (IAM User Guide, "IAM and AWS STS quotas").
const ATTACHED: usize = 10;
