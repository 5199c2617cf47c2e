//! Managed policies: the account's own, and those of AWS, all of which count as existing.

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::sigv4::encode;
use super::super::state::{ManagedPolicy, State, new_id};
use super::super::xml::Xml;
use super::document;
use super::names;

/// Whether there is a policy of this ARN; an error where it is no ARN of a policy.
pub(in crate::aws::sandbox) fn exists(state: &State, arn: &str) -> Result<bool, Failure> {
    if !arn.starts_with("arn:") || !(20..=2048).contains(&arn.len()) || arn.split(':').count() < 6 {
        return Err(Failure::input(format!("ARN {arn} is not valid.")));
    }
    Ok(state.policies.contains_key(arn) || is_of_aws(arn))
}

fn is_of_aws(arn: &str) -> bool {
    arn.starts_with(OF_AWS) && names::name("policyName", name(arn), 128).is_ok()
}

/// The name at the end of a policy's ARN.
pub(super) fn name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The path within a policy's ARN.
pub(super) fn path(arn: &str) -> &str {
    let path = arn.split_once(":policy").map_or("/", |(_, path)| path);
    path.strip_suffix(name(arn)).unwrap_or(path)
}

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let (name, text) = (call.form.required("PolicyName")?, call.form.required("PolicyDocument")?);
    names::name("policyName", name, 128)?;
    let path = names::path(call.form)?;
    document::identity(text)?;
    if document::size(text) > DOCUMENT {
        return Err(Failure::new(409, "LimitExceeded", format!("Cannot exceed quota for PolicySize: {DOCUMENT}")));
    }
    let is_taken = state.policies.values().any(|policy| policy.name.eq_ignore_ascii_case(name));
    if is_taken {
        return Err(Failure::taken(format!("A policy called {name} already exists. Duplicate names are not allowed.")));
    }
    if state.policies.len() >= POLICIES {
        return Err(Failure::quota("PoliciesPerAccount", POLICIES));
    }
    let policy = ManagedPolicy {
        account: state.account,
        name: name.to_owned(),
        path: path.to_owned(),
        id: new_id("ANPA", 17),
        created: call.now.time,
        description: call.form.get("Description").map(str::to_owned),
        document: text.to_owned(),
        attachments: 0,
    };
    let mut xml = Xml::default();
    xml.group("Policy", |xml| write(xml, state, &policy));
    state.policies.insert(policy.arn(), policy);
    Ok(xml)
}

pub(super) fn get(state: &State, call: &Call<'_>) -> Outcome {
    let arn = call.form.required("PolicyArn")?;
    let mut xml = Xml::default();
    if let Some(policy) = state.policies.get(arn) {
        xml.group("Policy", |xml| write(xml, state, policy));
    } else if exists(state, arn)? {
        xml.group("Policy", |xml| {
            xml.leaf("PolicyName", name(arn));
            xml.leaf("Arn", arn);
            xml.leaf("Path", path(arn));
            xml.leaf("DefaultVersionId", "v1");
            xml.leaf("PermissionsBoundaryUsageCount", &bounded(state, arn).to_string());
            xml.leaf("IsAttachable", "true");
        });
    } else {
        return Err(Failure::missing(format!("Policy {arn} was not found.")));
    }
    Ok(xml)
}

/// Each policy has one version. Of the policies of AWS only the text of `AdministratorAccess` is known here.
pub(super) fn get_version(state: &State, call: &Call<'_>) -> Outcome {
    let (arn, version) = (call.form.required("PolicyArn")?, call.form.required("VersionId")?);
    let policy = state.policies.get(arn);
    let text = match policy {
        Some(policy) => &policy.document,
        None if arn == ADMINISTRATOR_ACCESS => ADMINISTRATOR_DOCUMENT,
        None if exists(state, arn)? => {
            return Err(Failure::missing(format!("The text of the AWS managed policy {arn} is not known to this stand-in.")));
        }
        None => return Err(Failure::missing(format!("Policy {arn} was not found."))),
    };
    if version != "v1" {
        return Err(Failure::missing(format!("Policy {arn} version {version} does not exist or is not attachable.")));
    }
    let mut xml = Xml::default();
    xml.group("PolicyVersion", |xml| {
        xml.leaf("Document", &encode(text));
        xml.leaf("VersionId", "v1");
        xml.leaf("IsDefaultVersion", "true");
        xml.leaf_if("CreateDate", policy.map(|policy| policy.created.rfc3339()).as_deref());
    });
    Ok(xml)
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Outcome {
    let arn = call.form.required("PolicyArn")?;
    if is_of_aws(arn) {
        return Err(Failure::denied(format!(
            "User: {} is not authorized to perform: iam:DeletePolicy on resource: policy {arn}",
            call.caller.arn
        )));
    }
    let policy = state.policies.get(arn).ok_or_else(|| Failure::missing(format!("Policy {arn} was not found.")))?;
    if policy.attachments > 0 || bounded(state, arn) > 0 {
        return Err(Failure::conflict("Cannot delete a policy attached to entities."));
    }
    state.policies.remove(arn);
    Ok(Xml::default())
}

/// How many users a policy bounds.
fn bounded(state: &State, arn: &str) -> usize {
    state.users.values().filter(|user| user.boundary.as_deref() == Some(arn)).count()
}

/// What is told of a policy, without its text.
pub(super) fn write(xml: &mut Xml, state: &State, policy: &ManagedPolicy) {
    xml.leaf("PolicyName", &policy.name);
    xml.leaf("PolicyId", &policy.id);
    xml.leaf("Arn", &policy.arn());
    xml.leaf("Path", &policy.path);
    xml.leaf("DefaultVersionId", "v1");
    xml.leaf("AttachmentCount", &policy.attachments.to_string());
    xml.leaf("PermissionsBoundaryUsageCount", &bounded(state, &policy.arn()).to_string());
    xml.leaf("IsAttachable", "true");
    xml.leaf_if("Description", policy.description.as_deref());
    xml.leaf("CreateDate", &policy.created.rfc3339());
    xml.leaf("UpdateDate", &policy.created.rfc3339());
}

/// The one policy of AWS that this stand-in heeds: who has it may do everything.
pub(in crate::aws::sandbox) const ADMINISTRATOR_ACCESS: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

const ADMINISTRATOR_DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

const OF_AWS: &str = "arn:aws:iam::aws:policy/";

/// Characters of a managed policy, white space left out.
const DOCUMENT: usize = 6144;

/// Managed policies of the account, the default quota of AWS.
const POLICIES: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_managed_policy_of_aws_exists() {
        let state = State::default();
        assert_eq!(exists(&state, "arn:aws:iam::aws:policy/ReadOnlyAccess"), Ok(true));
        assert_eq!(exists(&state, "arn:aws:iam::aws:policy/service-role/AWSLambdaRole"), Ok(true));
        assert_eq!(exists(&state, "arn:aws:iam::123456789012:policy/none"), Ok(false));
        assert!(exists(&state, "ReadOnlyAccess").is_err());
    }

    #[test]
    fn an_arn_has_a_path_and_a_name() {
        let arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaRole";
        assert_eq!((path(arn), name(arn)), ("/service-role/", "AWSLambdaRole"));
        assert_eq!(path("arn:aws:iam::aws:policy/ReadOnlyAccess"), "/");
    }
}
