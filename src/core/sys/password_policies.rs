//! Password policies (spec `sys.md` §4). All texts of this family are shown as lists of one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::mount::field::Text;
use crate::mount::{ApiError, Ctx, ErrorKind, Named, Nothing, Reply, Table};
use crate::policy::PolicyStoreError;

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("policies/password/", "Names of all password policies.").list(list);
    table.at("policies/password/{name:any}/generate", "A new password that follows a policy.").read(generate);
    table
        .at("policies/password/{name:any}", "How passwords are made: their length and their characters.")
        .read(read)
        .update(write)
        .delete(delete);
}

/// A password policy to store.
#[derive(Debug, Deserialize, JsonSchema)]
struct Write {
    /// Name of the policy.
    name: String,
    /// Length and rules in HCL or JSON, plain or in base64.
    policy: Option<Text>,
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::list(sys.active()?.policies.list_passwords().await?))
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let text = sys.active()?.policies.read_password(&input.name).await?.ok_or_else(absent)?;
    Ok(data([("policy", json!(text))]))
}

async fn generate(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    let password = sys.active()?.policies.generate_password(&input.name).await.map_err(listed)?.ok_or_else(absent)?;
    Ok(data([("password", json!(password.expose()))]))
}

async fn write(sys: Arc<Sys>, _: Ctx, input: Write) -> Result<Reply, ApiError> {
    let text = input.policy.filter(|text| !text.is_empty()).ok_or_else(|| ApiError::invalid_listed("missing policy"))?;
    sys.active()?.policies.write_password(&input.name, &text).await.map_err(listed)?;
    Ok(Reply::empty())
}

async fn delete(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    sys.active()?.policies.delete_password(&input.name).await?;
    Ok(Reply::empty())
}

fn absent() -> ApiError {
    ApiError::new(ErrorKind::NotFound, "policy does not exist").listed()
}

fn listed(error: PolicyStoreError) -> ApiError {
    ApiError::from(error).listed()
}
