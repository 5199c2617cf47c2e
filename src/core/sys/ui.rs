//! `sys/internal/ui`: what user interfaces and the command line ask first (spec `sys.md` §11, `kv.md` §8).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::MountPath;
use crate::core::access::refused;
use crate::mount::{ApiError, Class, Ctx, ErrorKind, Named, Nothing, Reply, Table};

use super::{Sys, mount_info};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    // They look at the token themselves: no policy need grant them.
    table.at("internal/ui/mounts", "Mounts the token reaches; without one, those that list themselves.").login().read(mounts);
    table.at("internal/ui/mounts/", "Names no mount.").login().read(no_mount);
    table.at("internal/ui/mounts/{path:rest}", "The mount a path lies in.").login().read(mount);
    table.at("internal/ui/namespaces", "There is one namespace.").login().read(namespaces);
    table.at("internal/ui/feature-flags", "There are none.").login().read(feature_flags);
    table.at("internal/ui/resultant-acl", "What the token may do.").read(resultant_acl);
    table.at("internal/ui/version", "The version of the API.").read(version);
}

async fn mounts(sys: Arc<Sys>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let seen = active.look(&cx.asked).await?;
    let (mut secret, mut auth) = (Map::new(), Map::new());
    for mount in active.routes.load().mounts() {
        let entry = &mount.entry;
        let lists_itself = entry.config.listing_visibility.as_deref() == Some("unauth");
        let info = match &seen {
            Some((_, acl)) if lists_itself || acl.may_touch(entry.path.as_str()) => mount_info::whole(entry),
            None if lists_itself => mount_info::brief(entry),
            _ => continue,
        };
        let class = match entry.class {
            Class::Secret => &mut secret,
            Class::Auth => &mut auth,
        };
        class.insert(entry.path.in_table().to_owned(), Value::Object(info));
    }
    Reply::object(&json!({ "secret": secret, "auth": auth }))
}

async fn no_mount(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Err(ApiError::invalid("path not set"))
}

async fn mount(sys: Arc<Sys>, cx: Ctx, input: Named) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let (_, acl) = active.look(&cx.asked).await?.ok_or_else(refused)?;
    let path = MountPath::parse(&input.name)?;
    let routes = active.routes.load();
    let found = routes.find(path.as_str()).filter(|(mount, _)| acl.may_touch(mount.entry.path.as_str()));
    // The same for a mount that is not there: mounts cannot be guessed.
    let (mount, _) = found.ok_or_else(|| {
        let text = "preflight capability check returned 403, please ensure client's policies grant access to path";
        ApiError::new(ErrorKind::Denied, format!("{text} \"{path}\""))
    })?;
    let mut info = mount_info::whole(&mount.entry);
    info.insert("path".to_owned(), json!(mount.entry.path.in_table()));
    Ok(Reply::data(info))
}

async fn namespaces(sys: Arc<Sys>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    sys.active()?.look(&cx.asked).await?.ok_or_else(refused)?;
    Ok(Reply::list(vec![String::new()]))
}

async fn feature_flags(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Reply::bare(&json!({ "feature_flags": [] }))
}

async fn resultant_acl(_: Arc<Sys>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let acl = cx.caller.acl.as_ref().ok_or_else(refused)?;
    Reply::object(&acl.resultant())
}

async fn version(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Reply::object(&json!({ "version": sys.active()?.settings.version }))
}
