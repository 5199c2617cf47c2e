//! `sys/mounts`: secrets engines are mounted, shown and unmounted (spec `sys.md` §3).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::MountPath;
use crate::core::Active;
use crate::mount::{ApiError, Class, Ctx, Named, Nothing, Reply, Table};

use super::mount_info;
use super::mount_input::MountInput;
use super::{Sys, tune};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("mounts", "All secrets engines.").top().read(list);
    table.at("mounts/{path:rest}/tune", "What can be tuned of a mount.").top().read(tune::read_mount).update(tune::write_mount);
    table.at("mounts/{path:rest}", "A secrets engine.").top().read(read).update(mount).delete(unmount);
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::data(all(&*sys.active()?, Class::Secret)))
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let path = MountPath::parse(&input.name)?;
    let missing = || ApiError::invalid(format!("No secret engine mount at {path}"));
    show(&*sys.active()?, Class::Secret, &path).ok_or_else(missing)
}

async fn mount(sys: Arc<Sys>, _: Ctx, input: MountInput) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let entry = input.entry(Class::Secret, &active)?;
    active.enable(entry).await?;
    Ok(Reply::empty())
}

async fn unmount(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let parting = sys.active()?.disable(Class::Secret, MountPath::parse(&input.name)?.as_str()).await?;
    Ok(Reply::empty().warn_all(parting))
}

/// All mounts of a class by their paths in its table.
pub(super) fn all(active: &Active, class: Class) -> Map<String, Value> {
    let routes = active.routes.load();
    let mounts = routes.mounts().filter(|mount| mount.entry.class == class);
    mounts.map(|mount| (mount.entry.path.in_table().to_owned(), Value::Object(mount_info::whole(&mount.entry)))).collect()
}

/// One mount.
pub(super) fn show(active: &Active, class: Class, path: &MountPath) -> Option<Reply> {
    let routes = active.routes.load();
    let mount = routes.at(path.as_str()).filter(|mount| mount.entry.class == class)?;
    Some(Reply::data(mount_info::whole(&mount.entry)))
}
