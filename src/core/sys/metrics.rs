//! `sys/metrics` and `sys/in-flight-req`: what the server does and did (spec `sys.md` §12).

use std::sync::Arc;

use chrono::TimeDelta;
use http::header::ACCEPT;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::time::rfc3339_nano;
use crate::core::Active;
use crate::core::access::of_token;
use crate::core::metrics::Format;
use crate::mount::field::Text;
use crate::mount::{ApiError, Asked, Body, Ctx, Nothing, Reply, Table};
use crate::policy::Operation;

use super::Sys;

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("metrics", "Numbers of this server, for people or for Prometheus.").read(metrics);
    table.at("in-flight-req", "Requests that are under way.").read(in_flight);
}

/// The form of the numbers.
#[derive(Debug, Deserialize, JsonSchema)]
struct Ask {
    /// prometheus, or empty for JSON.
    #[serde(default)]
    format: Text,
}

async fn metrics(sys: Arc<Sys>, cx: Ctx, input: Ask) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let accept = cx.asked.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = match Format::of(&input.format, accept) {
        Ok(format) => format,
        Err(name) => return Err(ApiError::invalid(format!("metric response format \"{name}\" unknown")).plain()),
    };
    let told = active.seen.metrics.tell(format, &active.settings, &active.seen.flights, &active.clock, Some(&active));
    Ok(Reply::new(Body::Raw(told.await?)))
}

async fn in_flight(sys: Arc<Sys>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let (now, elapsed) = (cx.clock.precise(), cx.clock.elapsed());
    let mut shown = Map::new();
    for listed in active.seen.flights.list() {
        let ago = TimeDelta::from_std(elapsed.saturating_sub(listed.since)).unwrap_or_default();
        let told = json!({
            "start_time": rfc3339_nano(now - ago),
            "client_remote_address": remote(&listed.asked),
            "request_path": format!("/v1/{}", listed.asked.path.as_str()),
            "request_method": method(listed.asked.operation),
            "client_id": client(&active, &listed.asked).await?,
        });
        shown.insert(listed.id, told);
    }
    Reply::bare(&Value::Object(shown))
}

fn remote(asked: &Asked) -> String {
    match asked.remote.ip {
        Some(ip) => std::net::SocketAddr::new(ip, asked.remote.port).to_string(),
        None => String::new(),
    }
}

fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::List => "LIST",
        Operation::Create | Operation::Update => "POST",
        Operation::Patch => "PATCH",
        Operation::Delete => "DELETE",
        Operation::Help => "HELP",
        _ => "GET",
    }
}

/// Whom the token belongs to: its entity, else the hash it is stored under; empty without one that can be used.
async fn client(active: &Active, asked: &Asked) -> Result<String, ApiError> {
    let Some(token) = asked.token.as_ref().filter(|token| !token.expose().is_empty()) else { return Ok(String::new()) };
    let Some(info) = active.tokens.find(token.expose()).await.map_err(of_token)? else { return Ok(String::new()) };
    Ok(if info.entity_id.is_empty() { info.key.as_str().to_owned() } else { info.entity_id.clone() })
}
