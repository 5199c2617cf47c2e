//! Groups and who is in them.

use std::collections::BTreeSet;

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::state::{Group, Policies, State, fold, new_id};
use super::super::xml::Xml;
use super::names;
use super::users;

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("GroupName")?;
    names::name("groupName", name, 128)?;
    let path = names::path(call.form)?;
    if state.groups.contains_key(&fold(name)) {
        return Err(Failure::taken(format!("Group with name {name} already exists.")));
    }
    if state.groups.len() >= GROUPS {
        return Err(Failure::quota("GroupsPerAccount", GROUPS));
    }
    let group = Group {
        account: state.account,
        name: name.to_owned(),
        path: path.to_owned(),
        id: new_id("AGPA", 17),
        created: call.now.time,
        policies: Policies::default(),
        members: BTreeSet::new(),
    };
    let mut xml = Xml::default();
    xml.group("Group", |xml| write(xml, &group));
    state.groups.insert(fold(name), group);
    Ok(xml)
}

pub(super) fn get(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let group = state.group(call.form.required("GroupName")?)?;
    let members = group.members.iter().filter_map(|member| Some((member, state.users.get(member)?)));
    let mut xml = Xml::default();
    xml.group("Group", |xml| write(xml, group));
    page.write(&mut xml, "Users", members.filter(|(_, user)| user.is_visible(call.now)), users::write);
    Ok(xml)
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("GroupName")?;
    let group = state.group(name)?;
    let holds = [
        (!group.members.is_empty(), "must remove users from group first."),
        (!group.policies.attached.is_empty(), "must detach all policies first."),
        (!group.policies.inline.is_empty(), "must delete policies first."),
    ];
    if let Some((_, what)) = holds.iter().find(|(holds, _)| *holds) {
        return Err(Failure::conflict(format!("Cannot delete entity, {what}")));
    }
    state.groups.remove(&fold(name));
    Ok(Xml::default())
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let prefix = call.form.get("PathPrefix").unwrap_or("/");
    let groups = page.of(&state.groups).filter(|(_, group)| group.path.starts_with(prefix));
    let mut xml = Xml::default();
    page.write(&mut xml, "Groups", groups, write);
    Ok(xml)
}

/// Adding twice succeeds, as it does in AWS.
pub(super) fn add(state: &mut State, call: &Call<'_>) -> Outcome {
    let (group, name) = (call.form.required("GroupName")?, call.form.required("UserName")?);
    state.group(group)?;
    let user = state.user_mut(name, call.now)?;
    if user.groups.len() >= PER_USER && !user.groups.contains(&fold(group)) {
        return Err(Failure::quota("GroupsPerUser", PER_USER));
    }
    user.groups.insert(fold(group));
    state.group_mut(group)?.members.insert(fold(name));
    Ok(Xml::default())
}

/// Removing who is not in the group succeeds, as it does in AWS.
pub(super) fn remove(state: &mut State, call: &Call<'_>) -> Outcome {
    let (group, name) = (call.form.required("GroupName")?, call.form.required("UserName")?);
    state.group(group)?;
    state.user_mut(name, call.now)?.groups.remove(&fold(group));
    state.group_mut(group)?.members.remove(&fold(name));
    Ok(Xml::default())
}

pub(super) fn list_for_user(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let user = state.user(call.form.required("UserName")?, call.now)?;
    let groups = user.groups.iter().filter_map(|group| Some((group, state.groups.get(group)?)));
    let mut xml = Xml::default();
    page.write(&mut xml, "Groups", groups, write);
    Ok(xml)
}

pub(super) fn write(xml: &mut Xml, group: &Group) {
    xml.leaf("Path", &group.path);
    xml.leaf("GroupName", &group.name);
    xml.leaf("GroupId", &group.id);
    xml.leaf("Arn", &group.arn());
    xml.leaf("CreateDate", &group.created.rfc3339());
}

/// Groups of the account.
const GROUPS: usize = 1000;

/// Groups of one user (IAM User Guide, "IAM and AWS STS quotas").
const PER_USER: usize = 10;
