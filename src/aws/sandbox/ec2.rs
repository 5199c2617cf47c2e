//! EC2: instances, as far as a login asks about them. They are started, stopped and ended over the wire, or set as data.
//!
//! Not as AWS: an instance runs at once, costs nothing, and its network is what whoever starts it says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::ACCOUNT;
use super::call::{Call, Outcome};
use super::failure::Failure;
use super::state::State;
use super::xml::Xml;
use crate::base::random;

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `i-…`.
    pub id: String,
    /// `ami-…`.
    pub image: String,
    /// The account that owns it.
    pub account: String,
    /// `running`, `stopped`, … as EC2 calls it.
    pub state: String,
    /// Its network; empty: none.
    pub vpc: String,
    /// Its subnet; empty: none.
    pub subnet: String,
    /// ARN of its profile; empty: none.
    pub profile: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Machine {
    /// One that runs in the stand-in's account, with nothing besides.
    pub fn running(id: &str, image: &str) -> Self {
        Self {
            id: id.to_owned(),
            image: image.to_owned(),
            account: ACCOUNT.to_owned(),
            state: RUNNING.to_owned(),
            vpc: String::new(),
            subnet: String::new(),
            profile: String::new(),
            tags: BTreeMap::new(),
        }
    }

    fn write(&self, xml: &mut Xml) {
        xml.leaf("instanceId", &self.id);
        xml.leaf("imageId", &self.image);
        write_state(xml, "instanceState", &self.state);
        let address = self.id.trim_start_matches("i-");
        xml.leaf("privateDnsName", &format!("ip-{address}.ec2.internal"));
        xml.leaf_if("vpcId", Some(self.vpc.as_str()).filter(|vpc| !vpc.is_empty()));
        xml.leaf_if("subnetId", Some(self.subnet.as_str()).filter(|subnet| !subnet.is_empty()));
        if !self.profile.is_empty() {
            xml.group("iamInstanceProfile", |xml| xml.leaf("arn", &self.profile));
        }
        if !self.tags.is_empty() {
            items(xml, "tagSet", &self.tags, |xml, (key, value)| {
                xml.leaf("key", key);
                xml.leaf("value", value);
            });
        }
    }
}

/// Carries an action out; `None` where there is none of this name.
pub(super) fn run(state: &mut State, call: &Call<'_>, action: &str) -> Option<Outcome> {
    Some(match action {
        "DescribeInstances" => describe(state, call),
        "RunInstances" => start_new(state, call),
        "StartInstances" => change(state, call, RUNNING),
        "StopInstances" => change(state, call, "stopped"),
        "TerminateInstances" => change(state, call, "terminated"),
        _ => return None,
    })
}

/// The answer to a call that was carried out.
pub(super) fn success(action: &str, namespace: &str, result: &Xml, request_id: &str) -> String {
    let mut xml = Xml::default();
    xml.root(&format!("{action}Response"), namespace, |xml| {
        xml.leaf("requestId", request_id);
        xml.append(result);
    });
    xml.into_text()
}

/// The answer to one that was refused (EC2 API reference, "Error codes").
pub(super) fn failure(failure: &Failure, request_id: &str) -> String {
    let mut xml = Xml::default();
    xml.group("Response", |xml| {
        xml.group("Errors", |xml| {
            xml.group("Error", |xml| {
                xml.leaf("Code", &failure.code);
                xml.leaf("Message", &failure.message);
            });
        });
        xml.leaf("RequestID", request_id);
    });
    xml.into_text()
}

/// Who asks for too much.
pub(super) fn throttled() -> Failure {
    Failure::new(503, "RequestLimitExceeded", "Request limit exceeded.")
}

/// Who may not.
pub(super) fn unauthorized(arn: &str, action: &str) -> Failure {
    let text =
        format!("You are not authorized to perform this operation. User: {arn} is not authorized to perform: ec2:{action}");
    Failure::new(403, "UnauthorizedOperation", text)
}

fn describe(state: &State, call: &Call<'_>) -> Outcome {
    if call.form.get("Filter.1.Name").is_some() {
        return Err(invalid("The stand-in knows no filters."));
    }
    let ids = ids(call);
    if ids.is_empty() {
        return page(state, call);
    }
    if call.form.get("MaxResults").is_some() {
        return Err(Failure::new(
            400,
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with maxResults",
        ));
    }
    let found = named(state, &ids)?;
    let mut xml = Xml::default();
    write_reservations(&mut xml, found);
    Ok(xml)
}

/// All instances, in order of their ids.
fn page(state: &State, call: &Call<'_>) -> Outcome {
    let size = call.form.number("MaxResults", 5, 1000, 1000)?;
    let size = usize::try_from(size).unwrap_or(1).min(call.page_limit).max(1);
    let after = call.form.get("NextToken").map(|token| {
        let bytes = BASE64.decode(token).ok();
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| invalid("The specified value for nextToken is not valid."))
    });
    let after = after.transpose()?;
    let is_past = |id: &String| after.as_ref().is_none_or(|after| id > after);
    let mut rest = state.instances.values().filter(|machine| is_past(&machine.id)).peekable();
    let mut machines = Vec::new();
    while machines.len() < size {
        let Some(machine) = rest.next() else { break };
        machines.push(machine);
    }
    let next = rest.peek().and(machines.last()).map(|last| BASE64.encode(&last.id));
    let mut xml = Xml::default();
    write_reservations(&mut xml, machines);
    xml.leaf_if("nextToken", next.as_deref());
    Ok(xml)
}

fn start_new(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    if state.instances.len() >= MACHINES {
        return Err(Failure::new(400, "InstanceLimitExceeded", "The stand-in has no room for more instances."));
    }
    let image = form.get("ImageId").filter(|image| image.starts_with("ami-"));
    let image = image.ok_or_else(|| Failure::new(400, "InvalidAMIID.Malformed", "Invalid id: expecting \"ami-...\""))?;
    if form.number("MaxCount", 1, 1, 1)? != 1 {
        return Err(invalid("The stand-in starts one instance at a time."));
    }
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let mut machine = Machine::running(&format!("i-{}", hex::encode(random::bytes::<8>())), image);
    machine.subnet = text("SubnetId");
    machine.profile = text("IamInstanceProfile.Arn");
    for number in 1..=TAGS {
        let Some(key) = form.get(&format!("TagSpecification.1.Tag.{number}.Key")) else { break };
        machine.tags.insert(key.to_owned(), text(&format!("TagSpecification.1.Tag.{number}.Value")));
    }
    let mut xml = Xml::default();
    xml.leaf("reservationId", "r-0");
    xml.leaf("ownerId", &machine.account);
    items(&mut xml, "instancesSet", [&machine], |xml, machine| machine.write(xml));
    state.instances.insert(machine.id.clone(), machine);
    Ok(xml)
}

fn change(state: &mut State, call: &Call<'_>, to: &str) -> Outcome {
    let ids = ids(call);
    named(state, &ids)?;
    let mut xml = Xml::default();
    let mut changed = Vec::new();
    for id in &ids {
        let Some(machine) = state.instances.get_mut(id) else { continue };
        if machine.state == "terminated" && to != "terminated" {
            let text = format!("The instance '{id}' is not in a state from which it can be changed.");
            return Err(Failure::new(400, "IncorrectInstanceState", text));
        }
        changed.push((id.clone(), std::mem::replace(&mut machine.state, to.to_owned())));
    }
    items(&mut xml, "instancesSet", changed, |xml, (id, before)| {
        xml.leaf("instanceId", &id);
        write_state(xml, "currentState", to);
        write_state(xml, "previousState", &before);
    });
    Ok(xml)
}

/// The instances of these ids; all or none.
fn named<'s>(state: &'s State, ids: &[String]) -> Result<Vec<&'s Machine>, Failure> {
    for id in ids {
        let digits = id.strip_prefix("i-").unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::new(400, "InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")));
        }
    }
    let missing: Vec<&str> = ids.iter().filter(|id| !state.instances.contains_key(*id)).map(String::as_str).collect();
    match missing.as_slice() {
        [] => Ok(ids.iter().filter_map(|id| state.instances.get(id)).collect()),
        [one] => Err(Failure::new(400, NOT_FOUND, format!("The instance ID '{one}' does not exist"))),
        many => Err(Failure::new(400, NOT_FOUND, format!("The instance IDs '{}' do not exist", many.join(", ")))),
    }
}

fn ids(call: &Call<'_>) -> Vec<String> {
    (1..=IDS).map_while(|number| call.form.get(&format!("InstanceId.{number}"))).map(str::to_owned).collect()
}

fn write_reservations<'m>(xml: &mut Xml, machines: impl IntoIterator<Item = &'m Machine>) {
    items(xml, "reservationSet", machines, |xml, machine| {
        xml.leaf("reservationId", "r-0");
        xml.leaf("ownerId", &machine.account);
        items(xml, "instancesSet", [machine], |xml, machine| machine.write(xml));
    });
}

fn write_state(xml: &mut Xml, name: &str, state: &str) {
    let code = STATES.iter().find(|(known, _)| *known == state).map_or("0", |(_, code)| code);
    xml.group(name, |xml| {
        xml.leaf("code", code);
        xml.leaf("name", state);
    });
}

/// A list in the form of EC2.
fn items<T>(xml: &mut Xml, name: &str, all: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Xml, T)) {
    xml.group(name, |xml| {
        for item in all {
            xml.group("item", |xml| write(xml, item));
        }
    });
}

fn invalid(message: &str) -> Failure {
    Failure::new(400, "InvalidParameterValue", message)
}

const RUNNING: &str = "running";
const NOT_FOUND: &str = "InvalidInstanceID.NotFound";

/// As EC2 numbers them.
const STATES: &[(&str, &str)] =
    &[("pending", "0"), (RUNNING, "16"), ("shutting-down", "32"), ("terminated", "48"), ("stopping", "64"), ("stopped", "80")];

/// Instances of the stand-in.
const MACHINES: usize = 100_000;

/// Ids of one call.
const IDS: usize = 1000;

/// Tags of one instance.
const TAGS: usize = 50;
