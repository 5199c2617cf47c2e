//! `sys/auth`: auth methods are mounted, shown and unmounted (spec `sys.md` §3).

use std::sync::Arc;

use crate::mount::{ApiError, Class, Ctx, Named, Nothing, Reply, Table};

use super::mount_input::{MountInput, auth_path};
use super::{Sys, mounts, tune};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("auth", "All auth methods.").top().read(list);
    table
        .at("auth/{path:rest}/tune", "What can be tuned of an auth method.")
        .top()
        .sudo()
        .read(tune::read_auth)
        .update(tune::write_auth);
    table.at("auth/{path:rest}", "An auth method.").top().sudo().read(read).update(mount).delete(unmount);
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::data(mounts::all(&*sys.active()?, Class::Auth)))
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let path = auth_path(&input.name)?;
    let missing = || ApiError::invalid(format!("No auth engine at {}", path.in_table()));
    mounts::show(&*sys.active()?, Class::Auth, &path).ok_or_else(missing)
}

async fn mount(sys: Arc<Sys>, _: Ctx, input: MountInput) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let entry = input.entry(Class::Auth, &active)?;
    active.enable(entry).await?;
    Ok(Reply::empty())
}

async fn unmount(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let parting = sys.active()?.disable(Class::Auth, auth_path(&input.name)?.as_str()).await?;
    Ok(Reply::empty().warn_all(parting))
}
