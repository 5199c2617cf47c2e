//! Access keys of users.

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::state::{AccessKey, State, fold, new_id};
use super::super::xml::Xml;
use crate::base::{Secret, random};

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.user_name()?.to_owned();
    let user = state.user_mut(&name, call.now)?;
    if user.keys.len() >= KEYS {
        return Err(Failure::quota("AccessKeysPerUser", KEYS));
    }
    let (id, secret) = (new_id("AKIA", 16), Secret::new(random::base62(40)));
    let mut xml = Xml::default();
    xml.group("AccessKey", |xml| {
        xml.leaf("UserName", &name);
        xml.leaf("AccessKeyId", &id);
        xml.leaf("Status", "Active");
        xml.leaf("SecretAccessKey", secret.expose());
        xml.leaf("CreateDate", &call.now.time.rfc3339());
    });
    let hidden = call.hide.key;
    let key = AccessKey {
        secret,
        active: true,
        created: call.now.time,
        used: None,
        hidden_until: hidden.map(|(lasting, _)| call.now.elapsed.saturating_add(lasting)),
        listed: hidden.is_none_or(|(_, listed)| listed),
    };
    user.keys.insert(id.clone(), key);
    state.keys.insert(id, fold(&name));
    Ok(xml)
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Outcome {
    let id = call.form.required("AccessKeyId")?;
    let user = state.user_mut(call.user_name()?, call.now)?;
    user.keys.remove(id).ok_or_else(|| missing_key(id))?;
    state.keys.remove(id);
    Ok(Xml::default())
}

pub(super) fn update(state: &mut State, call: &Call<'_>) -> Outcome {
    let id = call.form.required("AccessKeyId")?;
    let active = match call.form.required("Status")? {
        "Active" => true,
        "Inactive" => false,
        other => {
            let rule = "Member must satisfy enum value set: [Active, Inactive]";
            return Err(Failure::constraint("status", other, rule));
        }
    };
    let user = state.user_mut(call.user_name()?, call.now)?;
    user.keys.get_mut(id).ok_or_else(|| missing_key(id))?.active = active;
    Ok(Xml::default())
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let user = state.user(call.user_name()?, call.now)?;
    let keys = page.of(&user.keys).filter(|(_, key)| key.is_listed(call.now)).map(|(id, key)| (id, (id, key)));
    let mut xml = Xml::default();
    page.write(&mut xml, "AccessKeyMetadata", keys, |xml, (id, key)| {
        xml.leaf("UserName", &user.name);
        xml.leaf("AccessKeyId", id);
        xml.leaf("Status", if key.active { "Active" } else { "Inactive" });
        xml.leaf("CreateDate", &key.created.rfc3339());
    });
    Ok(xml)
}

pub(super) fn last_used(state: &State, call: &Call<'_>) -> Outcome {
    let id = call.form.required("AccessKeyId")?;
    let user = state.keys.get(id).and_then(|user| state.users.get(user)).ok_or_else(|| missing_key(id))?;
    let used = user.keys.get(id).and_then(|key| key.used.as_ref());
    let mut xml = Xml::default();
    xml.leaf("UserName", &user.name);
    xml.group("AccessKeyLastUsed", |xml| {
        xml.leaf_if("LastUsedDate", used.map(|used| used.time.rfc3339()).as_deref());
        xml.leaf("ServiceName", used.map_or("N/A", |used| used.service));
        xml.leaf("Region", used.map_or("N/A", |used| &used.region));
    });
    Ok(xml)
}

fn missing_key(id: &str) -> Failure {
    Failure::missing(format!("The Access Key with id {id} cannot be found."))
}

/// Access keys of one user (IAM User Guide, "IAM and AWS STS quotas").
const KEYS: usize = 2;
