//! The AWS auth method through the router, against the stand-in for AWS: honest logins, hostile ones, and what is told of them.

mod ec2;
mod logins;
mod roles;
mod signer;
mod silence;
mod world;
