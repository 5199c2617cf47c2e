//! The contract between core and plugins: what a secrets engine or an auth method is, which endpoints it has, what it is
//! asked and what it answers, and where paths lead.
//!
//! A plugin is a struct, a list of endpoints ([`Table`]), and what it leases ([`LeaseKinds`]). It sees its own part of storage, the
//! [`Deps`] it was opened with, and a [`Ctx`] for each request; it cannot see other mounts or HTTP.

mod automated_rotation;
mod decode;
mod entry;
pub mod error;
pub mod field;
mod flow;
#[cfg(test)]
pub(crate) mod harness;
pub mod input;
mod kinds;
mod message;
mod meter;
mod pattern;
mod plugin;
mod router;
mod shared;
mod table;

pub use automated_rotation::AutomatedRotation;
pub use entry::{Class, MountConfig, MountEntry, MountState, TokenTypeRule, UserLockout};
pub use error::{ApiError, ErrorKind};
pub use flow::Flow;
pub use input::{Both, FieldInfo, Input, Named, Nothing, Perhaps, Sent, Whole};
pub use kinds::{LeaseCtx, LeaseKinds};
pub use message::{
    Alias, Along, Asked, Body, Caller, Creation, Ctx, Grant, GrantType, Origin, Raw, Remote, Renewed, Reply, Request, TokenReply,
    WrapInfo, Writes,
};
pub use meter::{Meter, Number, Tally};
pub use pattern::{Captures, Pattern, is_name};
pub use plugin::{Deps, Mounted, Opener, Plugin, Registry, TokenRenewal, mounted};
pub use router::{Mount, RouteTable};
pub use shared::Shared;
pub use table::{Endpoint, EndpointSpec, Found, Table};
