//! Users.

use std::collections::{BTreeMap, BTreeSet};

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::faults::Tags;
use super::super::state::{Policies, State, User, fold, new_id};
use super::super::xml::Xml;
use super::managed;
use super::names;

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("UserName")?;
    names::name("userName", name, 64)?;
    let path = names::path(call.form)?;
    let tags = match call.tags {
        Tags::Kept => names::tags(call.form)?,
        Tags::Dropped => BTreeMap::new(),
        Tags::Refused if call.form.members("Tags", "Key").is_empty() => BTreeMap::new(),
        Tags::Refused => return Err(no_tags(call)),
    };
    let boundary = call.form.get("PermissionsBoundary").map(|arn| boundary(state, arn)).transpose()?;
    if state.users.contains_key(&fold(name)) {
        return Err(Failure::taken(format!("User with name {name} already exists.")));
    }
    if state.users.len() >= USERS {
        return Err(Failure::quota("UsersPerAccount", USERS));
    }
    let user = User {
        name: name.to_owned(),
        path: path.to_owned(),
        id: new_id("AIDA", 17),
        created: call.now.time,
        tags,
        boundary,
        policies: Policies::default(),
        groups: BTreeSet::new(),
        keys: BTreeMap::new(),
        login: None,
        devices: BTreeSet::new(),
        certificates: BTreeMap::new(),
        ssh_keys: BTreeMap::new(),
        service_credentials: BTreeMap::new(),
        hidden_until: call.hide.user.map(|lasting| call.now.elapsed.saturating_add(lasting)),
    };
    let mut xml = Xml::default();
    xml.group("User", |xml| write_whole(xml, &user));
    state.users.insert(fold(name), user);
    Ok(xml)
}

/// What AWS says to who may create users, and not with tags.
fn no_tags(call: &Call<'_>) -> Failure {
    let (arn, name) = (&call.caller.arn, call.form.get("UserName").unwrap_or_default());
    Failure::denied(format!(
        "User: {arn} is not authorized to perform: iam:TagUser on resource: user {name} because no identity-based policy allows \
         the iam:TagUser action"
    ))
}

pub(super) fn get(state: &State, call: &Call<'_>) -> Outcome {
    let user = state.user(call.user_name()?, call.now)?;
    let mut xml = Xml::default();
    xml.group("User", |xml| write_whole(xml, user));
    Ok(xml)
}

/// Refused while anything hangs on the user (`DeleteUser`, "must first delete or detach").
pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("UserName")?;
    let user = state.user(name, call.now)?;
    let holds = [
        (!user.policies.attached.is_empty(), "must detach all policies first."),
        (!user.policies.inline.is_empty(), "must delete policies first."),
        (!user.groups.is_empty(), "must remove users from group first."),
        (!user.keys.is_empty(), "must delete access keys first."),
        (user.login.is_some(), "must delete login profile first."),
        (!user.devices.is_empty(), "must delete MFA device first."),
        (!user.certificates.is_empty(), "must delete signing certificates first."),
        (!user.ssh_keys.is_empty(), "must delete SSH public keys first."),
        (!user.service_credentials.is_empty(), "must delete service specific credentials first."),
    ];
    if let Some((_, what)) = holds.iter().find(|(holds, _)| *holds) {
        return Err(Failure::conflict(format!("Cannot delete entity, {what}")));
    }
    state.users.remove(&fold(name));
    Ok(Xml::default())
}

/// As AWS: neither tags nor boundary are shown.
pub(super) fn list(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let prefix = call.form.get("PathPrefix").unwrap_or("/");
    let users = page.of(&state.users).filter(|(_, user)| user.path.starts_with(prefix) && user.is_visible(call.now));
    let mut xml = Xml::default();
    page.write(&mut xml, "Users", users, write);
    Ok(xml)
}

pub(super) fn tag(state: &mut State, call: &Call<'_>) -> Outcome {
    let user = state.user_mut(call.form.required("UserName")?, call.now)?;
    let mut tags = user.tags.clone();
    for (key, value) in names::tags(call.form)? {
        tags.retain(|other, _| !other.eq_ignore_ascii_case(&key));
        tags.insert(key, value);
    }
    if tags.len() > names::TAGS {
        return Err(Failure::quota("TagsPerUser", names::TAGS));
    }
    user.tags = tags;
    Ok(Xml::default())
}

pub(super) fn untag(state: &mut State, call: &Call<'_>) -> Outcome {
    let user = state.user_mut(call.form.required("UserName")?, call.now)?;
    let keys = call.form.members("TagKeys", "");
    user.tags.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
    Ok(Xml::default())
}

pub(super) fn list_tags(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let user = state.user(call.form.required("UserName")?, call.now)?;
    let mut xml = Xml::default();
    page.write(&mut xml, "Tags", user.tags.iter().map(|(key, value)| (key, (key, value))), |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
    Ok(xml)
}

pub(super) fn put_boundary(state: &mut State, call: &Call<'_>) -> Outcome {
    let arn = boundary(state, call.form.required("PermissionsBoundary")?)?;
    state.user_mut(call.form.required("UserName")?, call.now)?.boundary = Some(arn);
    Ok(Xml::default())
}

pub(super) fn delete_boundary(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("UserName")?;
    let boundary = state.user_mut(name, call.now)?.boundary.take();
    boundary.map(|_| Xml::default()).ok_or_else(|| Failure::missing(format!("User {name} does not have a permissions boundary.")))
}

/// The policy that is to bound a user, if it exists.
fn boundary(state: &State, arn: &str) -> Result<String, Failure> {
    if managed::exists(state, arn)? {
        Ok(arn.to_owned())
    } else {
        Err(Failure::missing(format!("Scope ARN: {arn} does not exist or is not attachable.")))
    }
}

/// What lists show of a user.
pub(super) fn write(xml: &mut Xml, user: &User) {
    xml.leaf("Path", &user.path);
    xml.leaf("UserName", &user.name);
    xml.leaf("UserId", &user.id);
    xml.leaf("Arn", &user.arn());
    xml.leaf("CreateDate", &user.created.rfc3339());
}

fn write_whole(xml: &mut Xml, user: &User) {
    write(xml, user);
    write_marks(xml, user);
}

/// Boundary and tags, where there are any.
pub(super) fn write_marks(xml: &mut Xml, user: &User) {
    if let Some(arn) = &user.boundary {
        xml.group("PermissionsBoundary", |xml| {
            xml.leaf("PermissionsBoundaryType", "Policy");
            xml.leaf("PermissionsBoundaryArn", arn);
        });
    }
    if !user.tags.is_empty() {
        write_tags(xml, &user.tags);
    }
}

pub(super) fn write_tags(xml: &mut Xml, tags: &BTreeMap<String, String>) {
    xml.list("Tags", tags, |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
}

/// Users of the account: about a kilobyte each.
const USERS: usize = 100_000;
