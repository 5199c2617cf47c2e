//! The AWS auth method through the router, against the stand-in for AWS: honest logins, hostile ones, and what is told of them.

mod doctor;
pub(crate) mod ec2;
mod hostile;
mod logins;
mod roles;
mod rotate;
pub(crate) mod signer;
mod silence;
pub(crate) mod world;
