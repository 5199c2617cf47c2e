//! `GetAccountAuthorizationDetails`: everything at once, with tags and boundaries.

use super::super::call::{Call, Outcome, mark};
use super::super::failure::Failure;
use super::super::sigv4::encode;
use super::super::state::{Group, ManagedPolicy, Policies, Role, State, User};
use super::super::xml::Xml;
use super::{groups, managed, policies, roles, users};

/// Something of the account. The order of the kinds is that of the pages.
enum Detail<'s> {
    User(&'s User),
    Group(&'s Group),
    Role(&'s Role),
    Policy(&'s ManagedPolicy),
}

pub(super) fn get(state: &State, call: &Call<'_>) -> Outcome {
    let filter = call.form.members("Filter", "");
    if let Some(wrong) = filter.iter().find(|kind| !KINDS.contains(kind)) {
        let rule = format!("Member must satisfy enum value set: [{}]", KINDS.join(", "));
        return Err(Failure::constraint("filter", wrong, &rule));
    }
    let wants = |kind: &str| filter.is_empty() || filter.contains(&kind);
    let page = call.page()?;
    let users = page.of_kind(&state.users, '1').filter(|(_, user)| wants("User") && user.is_visible(call.now));
    let groups = page.of_kind(&state.groups, '2').filter(|_| wants("Group"));
    let roles = page.of_kind(&state.roles, '3').filter(|_| wants("Role"));
    let managed = page.of_kind(&state.policies, '4').filter(|_| wants("LocalManagedPolicy"));
    let all = users
        .map(|(key, user)| (key, Detail::User(user)))
        .chain(groups.map(|(key, group)| (key, Detail::Group(group))))
        .chain(roles.map(|(key, role)| (key, Detail::Role(role))))
        .chain(managed.map(|(key, policy)| (key, Detail::Policy(policy))));
    let (details, next) = page.cut(all);
    let mut xml = Xml::default();
    let found = |pick: fn(&Detail<'_>) -> bool| details.iter().filter(move |detail| pick(detail));
    xml.list("UserDetailList", found(|detail| matches!(detail, Detail::User(_))), |xml, detail| write(xml, state, detail));
    xml.list("GroupDetailList", found(|detail| matches!(detail, Detail::Group(_))), |xml, detail| write(xml, state, detail));
    xml.list("RoleDetailList", found(|detail| matches!(detail, Detail::Role(_))), |xml, detail| write(xml, state, detail));
    xml.list("Policies", found(|detail| matches!(detail, Detail::Policy(_))), |xml, detail| write(xml, state, detail));
    mark(&mut xml, next.as_deref());
    Ok(xml)
}

fn write(xml: &mut Xml, state: &State, detail: &Detail<'_>) {
    match detail {
        Detail::User(user) => {
            users::write(xml, user);
            write_policies(xml, "UserPolicyList", &user.policies);
            let names = user.groups.iter().filter_map(|group| state.groups.get(group)).map(|group| &group.name);
            xml.list("GroupList", names, |xml, name| xml.text(name));
            users::write_marks(xml, user);
        }
        Detail::Group(group) => {
            groups::write(xml, group);
            write_policies(xml, "GroupPolicyList", &group.policies);
        }
        Detail::Role(role) => {
            roles::write(xml, role);
            write_policies(xml, "RolePolicyList", &role.policies);
        }
        Detail::Policy(policy) => {
            managed::write(xml, state, policy);
            xml.list("PolicyVersionList", [policy], |xml, policy| {
                xml.leaf("Document", &encode(&policy.document));
                xml.leaf("VersionId", "v1");
                xml.leaf("IsDefaultVersion", "true");
                xml.leaf("CreateDate", &policy.created.rfc3339());
            });
        }
    }
}

fn write_policies(xml: &mut Xml, inline: &str, policies: &Policies) {
    xml.list(inline, &policies.inline, |xml, (name, text)| {
        xml.leaf("PolicyName", name);
        xml.leaf("PolicyDocument", &encode(text));
    });
    xml.list("AttachedManagedPolicies", &policies.attached, |xml, arn| policies::write_attached(xml, arn));
}

const KINDS: [&str; 5] = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];
