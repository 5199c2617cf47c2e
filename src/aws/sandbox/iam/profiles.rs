//! Instance profiles: what gives a role to an instance.

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::state::{InstanceProfile, State, fold, new_id};
use super::super::xml::Xml;
use super::names;
use super::roles;

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("InstanceProfileName")?;
    names::name("instanceProfileName", name, 128)?;
    let path = names::path(call.form)?.to_owned();
    if state.profiles.contains_key(&fold(name)) {
        return Err(Failure::taken(format!("Instance Profile {name} already exists.")));
    }
    if state.profiles.len() >= PROFILES {
        return Err(Failure::quota("InstanceProfilesPerAccount", PROFILES));
    }
    let profile = InstanceProfile {
        account: state.account,
        name: name.to_owned(),
        path,
        id: new_id("AIPA", 17),
        created: call.now.time,
        role: None,
    };
    state.profiles.insert(fold(name), profile);
    get(state, call)
}

pub(super) fn get(state: &State, call: &Call<'_>) -> Outcome {
    let profile = named(state, call)?;
    let role = profile.role.as_deref().and_then(|role| state.roles.get(role));
    let mut xml = Xml::default();
    xml.group("InstanceProfile", |xml| {
        xml.leaf("Path", &profile.path);
        xml.leaf("InstanceProfileName", &profile.name);
        xml.leaf("InstanceProfileId", &profile.id);
        xml.leaf("Arn", &profile.arn());
        xml.leaf("CreateDate", &profile.created.rfc3339());
        xml.list("Roles", role, roles::write);
    });
    Ok(xml)
}

pub(super) fn add_role(state: &mut State, call: &Call<'_>) -> Outcome {
    let role = fold(&state.role(call.form.required("RoleName")?)?.name);
    if named(state, call)?.role.is_some() {
        return Err(Failure::quota("InstanceSessionsPerInstanceProfile", 1));
    }
    if let Some(profile) = state.profiles.get_mut(&fold(call.form.required("InstanceProfileName")?)) {
        profile.role = Some(role);
    }
    Ok(Xml::default())
}

pub(super) fn remove_role(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("RoleName")?;
    let missing = || Failure::missing(format!("The role with name {name} cannot be found."));
    named(state, call)?.role.as_ref().filter(|role| **role == fold(name)).ok_or_else(missing)?;
    if let Some(profile) = state.profiles.get_mut(&fold(call.form.required("InstanceProfileName")?)) {
        profile.role = None;
    }
    Ok(Xml::default())
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Outcome {
    if named(state, call)?.role.is_some() {
        return Err(Failure::conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    state.profiles.remove(&fold(call.form.required("InstanceProfileName")?));
    Ok(Xml::default())
}

fn named<'s>(state: &'s State, call: &Call<'_>) -> Result<&'s InstanceProfile, Failure> {
    let name = call.form.required("InstanceProfileName")?;
    let profile = state.profiles.get(&fold(name)).filter(|profile| profile.name == name);
    profile.ok_or_else(|| Failure::missing(format!("Instance Profile {name} cannot be found.")))
}

/// Instance profiles of an account.
const PROFILES: usize = 1000;
