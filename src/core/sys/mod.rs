//! The mount `sys/`: the server itself, behind the same steps as every other mount.

pub(super) mod audit_devices;
pub(super) mod cluster;
pub(super) mod help;

use crate::barrier::View;
use crate::mount::{ApiError, Deps, Plugin, Table};

use super::active::Back;

/// See the module.
#[derive(Debug)]
pub(super) struct Sys {
    /// What it belongs to.
    pub(super) back: Back,
}

impl Sys {
    pub(super) fn new(back: Back) -> Self {
        Self { back }
    }
}

impl Plugin for Sys {
    const KIND: &'static str = "system";
    const ABOUT: &'static str = "The system backend: the server itself.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Err(ApiError::invalid("mount type of \"system\" is not mountable"))
    }

    fn endpoints(_: &mut Table<Self>) {}
}
