//! Auth methods. Each is a plugin over the contract of `mount`, a folder or a file of its own, and one line here.
//!
//! What their roles share is in [`token_fields`]; addresses and blocks of them in [`cidr`].

pub mod approle;
pub mod aws;
mod busy;
pub mod cidr;
pub mod token;
pub mod token_fields;
pub mod userpass;

use crate::mount::Registry;

/// Adds the auth methods this server comes with.
pub fn builtin(registry: &mut Registry) {
    registry.auth::<approle::AppRole>().auth::<aws::AwsAuth>().auth::<userpass::Userpass>();
}
