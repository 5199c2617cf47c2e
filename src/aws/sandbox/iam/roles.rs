//! Roles.

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::sigv4::encode;
use super::super::state::{Policies, Role, State, fold, new_id};
use super::super::xml::Xml;
use super::document;
use super::names;
use super::users;

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let (name, trust) = (call.form.required("RoleName")?, call.form.required("AssumeRolePolicyDocument")?);
    names::name("roleName", name, 64)?;
    let path = names::path(call.form)?;
    document::trust(trust)?;
    if document::size(trust) > TRUST {
        return Err(Failure::quota("ACLSizePerRole", TRUST));
    }
    let longest_session_seconds = call.form.number("MaxSessionDuration", 3600, 43_200, 3600)?;
    if state.roles.contains_key(&fold(name)) {
        return Err(Failure::taken(format!("Role with name {name} already exists.")));
    }
    if state.roles.len() >= ROLES {
        return Err(Failure::quota("RolesPerAccount", ROLES));
    }
    let role = Role {
        account: state.account,
        name: name.to_owned(),
        path: path.to_owned(),
        id: new_id("AROA", 17),
        created: call.now.time,
        description: call.form.get("Description").map(str::to_owned),
        trust: trust.to_owned(),
        longest_session_seconds,
        policies: Policies::default(),
        tags: names::tags(call.form)?,
    };
    let mut xml = Xml::default();
    xml.group("Role", |xml| write(xml, &role));
    state.roles.insert(fold(name), role);
    Ok(xml)
}

pub(super) fn get(state: &State, call: &Call<'_>) -> Outcome {
    let role = state.role(call.form.required("RoleName")?)?;
    let mut xml = Xml::default();
    xml.group("Role", |xml| write(xml, role));
    Ok(xml)
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("RoleName")?;
    let role = state.role(name)?;
    if !role.policies.attached.is_empty() {
        return Err(Failure::conflict("Cannot delete entity, must detach all policies first."));
    }
    if !role.policies.inline.is_empty() {
        return Err(Failure::conflict("Cannot delete entity, must delete policies first."));
    }
    state.roles.remove(&fold(name));
    Ok(Xml::default())
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let prefix = call.form.get("PathPrefix").unwrap_or("/");
    let roles = page.of(&state.roles).filter(|(_, role)| role.path.starts_with(prefix));
    let mut xml = Xml::default();
    page.write(&mut xml, "Roles", roles, write);
    Ok(xml)
}

pub(super) fn write(xml: &mut Xml, role: &Role) {
    xml.leaf("Path", &role.path);
    xml.leaf("RoleName", &role.name);
    xml.leaf("RoleId", &role.id);
    xml.leaf("Arn", &role.arn());
    xml.leaf("CreateDate", &role.created.rfc3339());
    xml.leaf("AssumeRolePolicyDocument", &encode(&role.trust));
    xml.leaf_if("Description", role.description.as_deref());
    xml.leaf("MaxSessionDuration", &role.longest_session_seconds.to_string());
    if !role.tags.is_empty() {
        users::write_tags(xml, &role.tags);
    }
}

/// Roles of the account.
const ROLES: usize = 1000;

/// Characters of a trust policy, white space left out (IAM User Guide, "IAM and AWS STS quotas").
const TRUST: usize = 2048;
