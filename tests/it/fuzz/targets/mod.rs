//! What every text of somebody else is held to, as plain functions over bytes: here they get seeded mutants of the kept
//! corpus, in `tests/fuzz` libFuzzer calls the same ones. Each tells what it saw, for a target that never comes past its
//! first check proves nothing.

pub(crate) mod aws_login;
pub(crate) mod hcl;
pub(crate) mod paths;
pub(crate) mod request;
pub(crate) mod shares;
