//! IAM: its actions, and the table of them.

mod credentials;
mod details;
pub(super) mod document;
mod groups;
mod keys;
pub(super) mod managed;
pub(super) mod mfa;
pub(super) mod names;
mod policies;
mod profiles;
mod roles;
mod users;

use policies::Holder::{Group, Role, User};

use super::call::{Call, Outcome};
use super::state::State;

/// Carries an action out; `None` where there is none of this name.
pub(super) fn run(state: &mut State, call: &Call<'_>, action: &str) -> Option<Outcome> {
    Some(match action {
        "CreateUser" => users::create(state, call),
        "GetUser" => users::get(state, call),
        "DeleteUser" => users::delete(state, call),
        "ListUsers" => users::list(state, call),
        "TagUser" => users::tag(state, call),
        "UntagUser" => users::untag(state, call),
        "ListUserTags" => users::list_tags(state, call),
        "PutUserPermissionsBoundary" => users::put_boundary(state, call),
        "DeleteUserPermissionsBoundary" => users::delete_boundary(state, call),

        "CreateAccessKey" => keys::create(state, call),
        "DeleteAccessKey" => keys::delete(state, call),
        "UpdateAccessKey" => keys::update(state, call),
        "ListAccessKeys" => keys::list(state, call),
        "GetAccessKeyLastUsed" => keys::last_used(state, call),

        "AttachUserPolicy" => policies::attach(state, call, User),
        "DetachUserPolicy" => policies::detach(state, call, User),
        "ListAttachedUserPolicies" => policies::list_attached(state, call, User),
        "PutUserPolicy" => policies::put(state, call, User),
        "GetUserPolicy" => policies::get(state, call, User),
        "DeleteUserPolicy" => policies::delete(state, call, User),
        "ListUserPolicies" => policies::list(state, call, User),
        "AttachGroupPolicy" => policies::attach(state, call, Group),
        "DetachGroupPolicy" => policies::detach(state, call, Group),
        "ListAttachedGroupPolicies" => policies::list_attached(state, call, Group),
        "PutGroupPolicy" => policies::put(state, call, Group),
        "GetGroupPolicy" => policies::get(state, call, Group),
        "DeleteGroupPolicy" => policies::delete(state, call, Group),
        "ListGroupPolicies" => policies::list(state, call, Group),
        "AttachRolePolicy" => policies::attach(state, call, Role),
        "DetachRolePolicy" => policies::detach(state, call, Role),
        "ListAttachedRolePolicies" => policies::list_attached(state, call, Role),
        "PutRolePolicy" => policies::put(state, call, Role),
        "GetRolePolicy" => policies::get(state, call, Role),
        "DeleteRolePolicy" => policies::delete(state, call, Role),
        "ListRolePolicies" => policies::list(state, call, Role),

        "CreateGroup" => groups::create(state, call),
        "GetGroup" => groups::get(state, call),
        "DeleteGroup" => groups::delete(state, call),
        "ListGroups" => groups::list(state, call),
        "AddUserToGroup" => groups::add(state, call),
        "RemoveUserFromGroup" => groups::remove(state, call),
        "ListGroupsForUser" => groups::list_for_user(state, call),

        "CreatePolicy" => managed::create(state, call),
        "GetPolicy" => managed::get(state, call),
        "GetPolicyVersion" => managed::get_version(state, call),
        "DeletePolicy" => managed::delete(state, call),

        "CreateRole" => roles::create(state, call),
        "GetRole" => roles::get(state, call),
        "DeleteRole" => roles::delete(state, call),
        "ListRoles" => roles::list(state, call),

        "CreateInstanceProfile" => profiles::create(state, call),
        "GetInstanceProfile" => profiles::get(state, call),
        "AddRoleToInstanceProfile" => profiles::add_role(state, call),
        "RemoveRoleFromInstanceProfile" => profiles::remove_role(state, call),
        "DeleteInstanceProfile" => profiles::delete(state, call),

        "CreateLoginProfile" => credentials::create_login(state, call),
        "GetLoginProfile" => credentials::get_login(state, call),
        "DeleteLoginProfile" => credentials::delete_login(state, call),
        "UploadSigningCertificate" => credentials::upload_certificate(state, call),
        "ListSigningCertificates" => credentials::list_certificates(state, call),
        "DeleteSigningCertificate" => credentials::delete_certificate(state, call),
        "UploadSSHPublicKey" => credentials::upload_ssh_key(state, call),
        "ListSSHPublicKeys" => credentials::list_ssh_keys(state, call),
        "DeleteSSHPublicKey" => credentials::delete_ssh_key(state, call),
        "CreateServiceSpecificCredential" => credentials::create_service_credential(state, call),
        "ListServiceSpecificCredentials" => credentials::list_service_credentials(state, call),
        "DeleteServiceSpecificCredential" => credentials::delete_service_credential(state, call),

        "CreateVirtualMFADevice" => mfa::create_virtual(state, call),
        "EnableMFADevice" => mfa::enable(state, call),
        "DeactivateMFADevice" => mfa::deactivate(state, call),
        "DeleteVirtualMFADevice" => mfa::delete_virtual(state, call),
        "ListMFADevices" => mfa::list(state, call),

        "GetAccountAuthorizationDetails" => details::get(state, call),
        _ => return None,
    })
}
