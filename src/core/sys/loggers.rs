//! `sys/loggers` and `sys/monitor`: how much is logged, and the log as it goes (spec `sys.md` §12).

use std::sync::Arc;

use futures_util::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::log::{Log, LogFormat, LogLevel};
use crate::mount::field::Text;
use crate::mount::{ApiError, Body, Ctx, Flow, Named, Nothing, Reply, Table};

use super::Sys;

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("loggers", "How much each part of the server logs.").read(list).update(set_all).delete(reset_all);
    table.at("loggers/{name}", "How much a part of the server logs.").read(read).update(set).delete(reset);
    table.at("monitor", "The log from now on, until the client leaves or the server is sealed.").read(monitor);
}

/// A level for all parts.
#[derive(Debug, Deserialize, JsonSchema)]
struct SetAll {
    /// trace, debug, info, warn or error.
    level: Option<Text>,
}

/// A level for one part.
#[derive(Debug, Deserialize, JsonSchema)]
struct Set {
    /// The part.
    name: String,
    /// trace, debug, info, warn or error.
    level: Option<Text>,
}

/// What is followed.
#[derive(Debug, Deserialize, JsonSchema)]
struct Monitor {
    /// trace, debug, info, warn or error; info without it.
    #[serde(default)]
    log_level: Text,
    /// standard or json.
    #[serde(default)]
    log_format: Text,
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let levels = log(&sys)?.levels();
    let shown = levels.into_iter().map(|(name, level)| (name.to_owned(), json!(level.as_str()))).collect();
    Ok(Reply::data(shown).lists_no_warnings())
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let levels = log(&sys)?.levels();
    let found = levels.into_iter().find(|(name, _)| *name == input.name);
    let shown: Map<String, Value> = found.into_iter().map(|(name, level)| (name.to_owned(), json!(level.as_str()))).collect();
    Ok(Reply::data(shown).lists_no_warnings())
}

async fn set_all(sys: Arc<Sys>, _: Ctx, input: SetAll) -> Result<Reply, ApiError> {
    let level = level(input.level)?;
    log(&sys)?.set_all(Some(level));
    tracing::info!("everything is logged from `{}` upwards", level.as_str());
    Ok(Reply::empty())
}

async fn reset_all(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    log(&sys)?.set_all(None);
    Ok(Reply::empty())
}

async fn set(sys: Arc<Sys>, _: Ctx, input: Set) -> Result<Reply, ApiError> {
    let level = level(input.level)?;
    if !log(&sys)?.set_one(&input.name, Some(level)) {
        return Err(unknown(&input.name));
    }
    Ok(Reply::empty())
}

async fn reset(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    if log(&sys)?.set_one(&input.name, None) { Ok(Reply::empty()) } else { Err(unknown(&input.name)) }
}

async fn monitor(sys: Arc<Sys>, _: Ctx, input: Monitor) -> Result<Reply, ApiError> {
    let level: LogLevel = input.log_level.parse().map_err(|_| ApiError::invalid("unknown log level"))?;
    let format: LogFormat = input.log_format.parse().map_err(|_| ApiError::invalid("unknown log format"))?;
    let active = sys.active()?;
    let (tail, sealed) = (log(&sys)?.tail(level, format), active.shutdown.clone());
    let lines = stream::unfold((tail, sealed), |(mut tail, sealed)| async move {
        let line = tokio::select! {
            biased;
            line = tail.next() => line?,
            () = sealed.cancelled() => return None,
        };
        Some((line, (tail, sealed)))
    });
    let content_type = if format == LogFormat::Json { "application/json" } else { "text/plain; charset=utf-8" };
    Ok(Reply::new(Body::Flow(Flow::new(content_type, lines))))
}

fn log(sys: &Sys) -> Result<Log, ApiError> {
    let log = sys.active()?.settings.log.clone();
    log.ok_or_else(|| ApiError::invalid("this server keeps no log"))
}

fn level(given: Option<Text>) -> Result<LogLevel, ApiError> {
    let text = given.ok_or_else(|| ApiError::invalid("level is required"))?;
    if text.is_empty() {
        return Err(ApiError::invalid("level is empty"));
    }
    text.parse::<LogLevel>().map_err(|error| ApiError::invalid(format!("invalid level provided: {error}")))
}

fn unknown(name: &str) -> ApiError {
    ApiError::invalid(format!("logger {name:?} not found"))
}
