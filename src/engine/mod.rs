//! Secrets engines. Each is a plugin over the contract of `mount`, a folder or a file of its own, and one line here.

pub mod aws;
pub mod cubbyhole;
pub mod identity;
pub mod inert;
pub mod kv;

use crate::mount::Registry;

/// Adds the engines this server comes with, and the types that are mounted and do nothing.
pub fn builtin(registry: &mut Registry) {
    registry.secrets::<aws::AwsSecrets>();
    registry.secrets::<cubbyhole::Cubbyhole>();
    registry.secrets::<kv::Kv>().secrets::<kv::v2::KvV2>();
    inert::auth_methods(registry);
}
