//! Leasehold: a secrets server that speaks `HashiCorp` Vault's HTTP API.
//!
//! The folders stand on floors; each imports only from lower ones (`docs/architecture.md` §3):
//!
//! | floor | folders |
//! |---|---|
//! | 0 | `base` |
//! | 1 | `storage`, `aws`, `config` |
//! | 2 | `barrier` |
//! | 3 | `seal`, `policy`, `lease`, `rotation` |
//! | 4 | `token`, `identity` |
//! | 5 | `mount` |
//! | 6 | `audit`, `engine`, `auth` |
//! | 7 | `core` |
//! | 8 | `http`, `cli` |
//! | 9 | `server` |

pub mod base;
pub mod storage;

pub mod audit;
pub mod auth;
pub mod aws;
pub mod barrier;
pub mod cli;
pub mod config;
pub mod core;
pub mod engine;
pub mod http;
pub mod identity;
pub mod lease;
pub mod mount;
pub mod policy;
pub mod rotation;
pub mod seal;
pub mod server;
pub mod token;
