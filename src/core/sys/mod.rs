//! The mount `sys/`: the server itself, behind the same steps as every other mount.

pub(super) mod audit_devices;
mod auth;
pub(super) mod cluster;
pub(super) mod help;
mod mount_info;
mod mount_input;
mod mounts;
mod remount;
mod tune;
mod ui;

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

    fn endpoints(table: &mut Table<Self>) {
        mounts::endpoints(table);
        auth::endpoints(table);
        remount::endpoints(table);
        ui::endpoints(table);
    }
}
