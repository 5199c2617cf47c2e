//! `ec2` logins (spec `aws-auth-method.md` §6, §14 to §16): the signed document of an instance, the list of those that have
//! logged in, and role tags.
//!
//! What a document must be signed with is in `certificates` (AWS's own come in `certificates.txt`) and `signer`; the container
//! it comes in is read by `pkcs7`, after `ber` has put it right. Who may come again is decided in `access_list`.

mod access_api;
mod access_list;
mod ber;
mod bounds;
mod certificates;
mod deny_list;
mod document;
mod login;
mod pkcs7;
mod role_tag;
mod signer;
mod tidy;

use crate::mount::Table;

use super::AwsAuth;

pub(super) use bounds::Running;
pub(super) use tidy::Tidying;

/// Declares the endpoints of instances.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    role_tag::endpoints(table);
    certificates::endpoints(table);
    access_api::endpoints(table);
    deny_list::endpoints(table);
    tidy::endpoints(table);
}

#[cfg(test)]
mod bound_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod login_tests;
#[cfg(test)]
pub(super) mod notary;
#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tag_tests;
