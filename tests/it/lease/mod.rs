//! Leases over memory storage, against an outside whose users are counted: what is issued ends, whatever happens.

mod crash;
mod issue;
mod reaper;
mod revoke;
mod schedule;
mod world;
