//! Behaviour through the real router, one binary.
#![cfg(test)]

mod auth_aws;
mod auth_token;
mod cli;
mod counted;
mod edge;
mod fuzz;
mod identity;
mod law;
mod lease;
mod listen;
mod mounts;
mod storage;
mod sys;
mod tidy;
mod token;
