//! What browsers are told: `sys/config/cors` and `sys/config/ui/headers` (spec `sys.md` §10, `http-api.md` §10).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::core::browser::{Cors, UiHeaders};
use crate::mount::field::{CommaList, Flag, TextList};
use crate::mount::{ApiError, Body, Ctx, Named, Nothing, Reply, Table};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table
        .at("config/cors", "Which web pages of other origins may ask this server.")
        .read(read_cors)
        .update(write_cors)
        .delete(delete_cors)
        .sudo()
        .top();
    table.at("config/ui/headers/", "Names of headers on replies below `/ui/`.").list(list_headers).sudo();
    table
        .at("config/ui/headers/{header:any}", "A header on replies below `/ui/`.")
        .read(read_header)
        .update(write_header)
        .delete(delete_header)
        .sudo();
}

/// Who may ask.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteCors {
    /// Without effect: to switch it off it is deleted.
    #[serde(rename = "enable")]
    _enable: Option<Flag>,
    /// Origins, or `*` for all of them.
    #[serde(default)]
    allowed_origins: CommaList,
    /// Request headers that pages may send besides the usual ones.
    #[serde(default)]
    allowed_headers: CommaList,
}

/// A header to show.
#[derive(Debug, Deserialize, JsonSchema)]
struct ReadHeader {
    /// Its name.
    header: String,
    /// Shows all of its values.
    #[serde(default)]
    multivalue: Flag,
}

/// A header to set.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteHeader {
    /// Its name.
    header: String,
    /// Its values.
    #[serde(default)]
    values: TextList,
}

async fn read_cors(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let cors = active.browser.cors();
    let Some(cors) = cors else { return Ok(data([("enabled", json!(false))])) };
    Ok(data([("enabled", json!(true)), ("allowed_origins", json!(cors.origins())), ("allowed_headers", json!(cors.headers()))]))
}

async fn write_cors(sys: Arc<Sys>, _: Ctx, input: WriteCors) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let cors = Cors::new(input.allowed_origins.0, input.allowed_headers.0)?;
    let _one_at_a_time = active.admin.lock().await;
    active.browser.set_cors(Some(cors)).await?;
    Ok(Reply::empty())
}

async fn delete_cors(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    active.browser.set_cors(None).await?;
    Ok(Reply::empty())
}

async fn list_headers(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::list(sys.active()?.browser.headers().names()))
}

async fn read_header(sys: Arc<Sys>, _: Ctx, input: ReadHeader) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let headers = active.browser.headers();
    let Some(values) = headers.get(&input.header) else { return Ok(Reply::empty()) };
    Ok(if *input.multivalue {
        data([("values", json!(values))])
    } else {
        data([("value", json!(values.first().map(String::as_str).unwrap_or_default()))])
    })
}

async fn write_header(sys: Arc<Sys>, _: Ctx, input: WriteHeader) -> Result<Reply, ApiError> {
    let name = input.header.to_lowercase();
    let values: Vec<String> = input.values.0.into_iter().filter(|value| !value.is_empty()).collect();
    if name.is_empty() || values.is_empty() {
        return Err(ApiError::invalid("header and values must be specified"));
    }
    if name.starts_with("x-vault-") {
        return Err(ApiError::invalid("X-Vault headers cannot be set"));
    }
    let active = sys.active()?;
    if active.settings.is_response_header(&name) {
        return Err(ApiError::invalid("This header already exists in the server configuration and cannot be set in the UI."));
    }
    let is_policy = name == "content-security-policy";
    let _one_at_a_time = active.admin.lock().await;
    let mut headers = UiHeaders::clone(&active.browser.headers());
    headers.set(&name, values)?;
    active.browser.set_headers(headers).await?;
    let reply = Reply::new(Body::Null);
    Ok(if is_policy {
        reply.warn("overriding default Content-Security-Policy which is secure by default, proceed with caution")
    } else {
        reply
    })
}

async fn delete_header(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let _one_at_a_time = active.admin.lock().await;
    let mut headers = UiHeaders::clone(&active.browser.headers());
    headers.remove(&input.name);
    active.browser.set_headers(headers).await?;
    Ok(Reply::empty())
}
