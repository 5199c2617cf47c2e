//! Behaviour through the real router, one binary.
#![cfg(test)]

mod cli;
mod fuzz_hcl;
mod fuzz_shares;
mod law;
mod lease;
mod listen;
mod storage;
mod tidy;
mod token;
