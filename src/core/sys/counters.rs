//! `sys/internal/counters`: how many there are of what (spec `sys.md` §11).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::barrier::{BarrierError, View};
use crate::mount::{ApiError, Ctx, ErrorKind, Nothing, Reply, Table};
use crate::storage::Page;

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("internal/counters/requests", "Removed from this API.").read(requests);
    table.at("internal/counters/tokens", "How many service tokens there are.").read(tokens);
    table.at("internal/counters/entities", "How many entities there are.").read(entities);
    for pattern in ["internal/counters/activity", "internal/counters/activity/monthly"] {
        table.at(pattern, "How many clients there were; this server does not count them.").read(activity);
    }
    table.at("internal/counters/config", "Whether clients are counted.").read(config);
}

async fn requests(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Err(ApiError::new(ErrorKind::NotFound, "The functionality has been removed on this path"))
}

async fn tokens(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let total = count(&sys.active()?.barrier.view(TOKENS)).await?;
    Ok(data([("counters", json!({ "service_tokens": { "total": total } }))]))
}

async fn entities(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let total = count(&sys.active()?.barrier.view(ENTITIES)).await?;
    Ok(data([("counters", json!({ "entities": { "total": total } }))]))
}

async fn activity(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    // A read of nothing would be 404; this one is 204, as of a server that has nothing yet.
    Ok(Reply::bytes("application/json", Vec::new()))
}

async fn config(_: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(data([
        ("billing_start_timestamp", Value::Null),
        ("default_report_months", json!(12)),
        ("enabled", json!("default-disabled")),
        ("minimum_retention_months", json!(0)),
        ("queries_available", json!(false)),
        ("reporting_enabled", json!(false)),
        ("retention_months", json!(48)),
    ]))
}

/// Keys of a folder, counted by pages; their values are not opened.
async fn count(view: &View) -> Result<u64, BarrierError> {
    let (mut total, mut after) = (0_u64, None::<String>);
    loop {
        let page = view.scan_keys("", Page { after: after.as_deref(), limit: PAGE }).await?;
        total = total.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.clone()),
            _ => return Ok(total),
        }
    }
}

/// Where the token store keeps its records (architecture §6).
const TOKENS: &str = "token/id/";
/// Where the identity store keeps its entities.
const ENTITIES: &str = "identity/entity/";
const PAGE: usize = 1024;
