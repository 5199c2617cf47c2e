//! The mount `sys/`: the server itself, behind the same steps as every other mount.

pub(super) mod audit_devices;
mod audited_headers;
mod auth;
mod capabilities;
pub(super) mod cluster;
pub(super) mod config;
mod counters;
mod edge_headers;
pub(super) mod help;
pub(super) mod host_info;
mod inspect;
pub(super) mod keys;
mod leases;
mod lockouts;
mod loggers;
mod metrics;
mod mount_info;
mod mount_input;
mod mounts;
mod openapi;
mod password_policies;
mod plugins;
mod policies;
mod quotas;
mod raw;
mod remount;
mod seal;
mod tools;
mod tune;
mod ui;
mod wrapping;

use std::sync::Arc;

use serde_json::Value;

use crate::barrier::View;
use crate::mount::{ApiError, Deps, Plugin, Reply, Table};

use super::Active;
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

    /// The server; there is none any more while it is being sealed.
    fn active(&self) -> Result<Arc<Active>, ApiError> {
        self.back.active()
    }
}

impl Plugin for Sys {
    const KIND: &'static str = "system";
    const ABOUT: &'static str = "The system backend: the server itself.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Err(ApiError::invalid("mount type of \"system\" is not mountable"))
    }

    fn endpoints(table: &mut Table<Self>) {
        audit_devices::endpoints(table);
        audited_headers::endpoints(table);
        capabilities::endpoints(table);
        config::endpoints(table);
        counters::endpoints(table);
        edge_headers::endpoints(table);
        host_info::endpoints(table);
        inspect::endpoints(table);
        keys::endpoints(table);
        leases::endpoints(table);
        lockouts::endpoints(table);
        loggers::endpoints(table);
        metrics::endpoints(table);
        openapi::endpoints(table);
        password_policies::endpoints(table);
        plugins::endpoints(table);
        policies::endpoints(table);
        quotas::endpoints(table);
        raw::endpoints(table);
        seal::endpoints(table);
        tools::endpoints(table);
        wrapping::endpoints(table);
        mounts::endpoints(table);
        auth::endpoints(table);
        remount::endpoints(table);
        ui::endpoints(table);
    }
}

/// A reply of these fields.
fn data<const N: usize>(fields: [(&str, Value); N]) -> Reply {
    Reply::data(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests;
