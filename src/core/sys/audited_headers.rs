//! Which request headers the audit log shows (spec `sys.md` §7).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::core::audited::{HeaderRule, HeaderRules};
use crate::mount::field::Flag;
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("config/auditing/request-headers", "Request headers that are audited.").read(list).sudo().top();
    table
        .at("config/auditing/request-headers/{header:any}", "A request header that is audited.")
        .read(read)
        .update(write)
        .delete(delete)
        .sudo()
        .top();
}

/// How a header is audited.
#[derive(Debug, Deserialize, JsonSchema)]
struct Write {
    /// Name of the header.
    header: String,
    /// Its values are hashed.
    #[serde(default)]
    hmac: Flag,
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let rules = sys.active()?.audited_headers.load();
    Ok(data([("headers", json!(*rules))]))
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let rules = sys.active()?.audited_headers.load();
    let rule = rules.0.get(&input.name.to_lowercase()).copied();
    let rule = rule.ok_or_else(|| ApiError::invalid("Could not find header in config"))?;
    Ok(data([(input.name.as_str(), json!(rule))]))
}

async fn write(sys: Arc<Sys>, _: Ctx, input: Write) -> Result<Reply, ApiError> {
    let rule = HeaderRule { hmac: input.hmac.0 };
    change(&sys, |rules| {
        rules.0.insert(input.header.to_lowercase(), rule);
    })
    .await
}

async fn delete(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    change(&sys, |rules| {
        rules.0.remove(&input.name.to_lowercase());
    })
    .await
}

async fn change(sys: &Sys, change: impl FnOnce(&mut HeaderRules)) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    let mut rules = HeaderRules::clone(&active.audited_headers.load());
    change(&mut rules);
    active.audited_headers.replace(rules).await?;
    Ok(Reply::empty())
}
