//! The law: nothing is issued that could be forgotten.
//!
//! A whole server over storage in memory against the stand-in for AWS. Whatever goes wrong, wherever, with a kill or
//! without: once everything has ended the account has no users and storage no leases and no tokens but the root token, and
//! no client ever held a credential without a lease that shows it.

#![expect(clippy::print_stdout, reason = "a campaign tells its seed and how many cases it had")]

mod account;
mod calls;
mod client;
mod clock;
mod commits;
mod crash;
mod force;
mod foreign;
mod kill;
mod log;
mod operation;
mod outage;
mod pairs;
mod process;
mod rates;
mod rotation;
mod rotation_world;
mod schedules;
mod stage;
mod store;
mod world;
