//! Policies: `sys/policies/acl`, and the older `sys/policy` (spec `sys.md` §4).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::mount::field::Text;
use crate::mount::{ApiError, Body, Ctx, Named, Nothing, Reply, Table};
use crate::policy::builtin::normal_name;

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("policies/acl/", "Names of all policies.").read(list).list(list);
    table.at("policies/acl/{name:rest}", "What a policy grants.").read(read).update(write).delete(delete);
    table.at("policy/", "Names of all policies; the older form of policies/acl.").read(list_legacy).list(list_legacy).top();
    table
        .at("policy/{name:rest}", "What a policy grants; the older form of policies/acl.")
        .read(read_legacy)
        .update(write_legacy)
        .delete(delete)
        .top();
}

/// A policy to store.
#[derive(Debug, Deserialize, JsonSchema)]
struct Write {
    /// Name of the policy; in lower case once it is stored.
    name: String,
    /// The rules in HCL or JSON, plain or in base64.
    policy: Option<Text>,
}

/// The same in its older form.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteLegacy {
    /// Name of the policy; in lower case once it is stored.
    name: String,
    /// The rules in HCL or JSON, plain or in base64.
    policy: Option<Text>,
    /// The older name of `policy`.
    rules: Option<Text>,
}

async fn list(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    Ok(Reply::list(sys.active()?.policies.list().await?))
}

async fn list_legacy(sys: Arc<Sys>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let names = sys.active()?.policies.list().await?;
    let beside = Map::from_iter([("policies".to_owned(), json!(names))]);
    Ok(Reply::new(Body::List(names, beside)))
}

async fn read(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    show(&sys, &input.name, "policy").await
}

async fn read_legacy(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    show(&sys, &input.name, "rules").await
}

async fn write(sys: Arc<Sys>, _: Ctx, input: Write) -> Result<Reply, ApiError> {
    store(&sys, &input.name, input.policy, Vec::new()).await
}

async fn write_legacy(sys: Arc<Sys>, _: Ctx, input: WriteLegacy) -> Result<Reply, ApiError> {
    match (given(input.policy), given(input.rules)) {
        (None, Some(rules)) => store(&sys, &input.name, Some(rules), vec![OLD_NAME.to_owned()]).await,
        (policy, _) => store(&sys, &input.name, policy, Vec::new()).await,
    }
}

async fn delete(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    check_name(&input.name)?;
    sys.active()?.policies.delete(&input.name).await?;
    Ok(Reply::empty())
}

async fn show(sys: &Sys, name: &str, text_key: &str) -> Result<Reply, ApiError> {
    check_name(name)?;
    let Some(text) = sys.active()?.policies.read(name).await? else { return Ok(Reply::empty()) };
    Ok(data([("name", json!(normal_name(name))), (text_key, json!(text))]))
}

async fn store(sys: &Sys, name: &str, text: Option<Text>, mut warnings: Vec<String>) -> Result<Reply, ApiError> {
    check_name(name)?;
    let text = given(text).ok_or_else(|| ApiError::invalid("'policy' parameter not supplied or empty"))?;
    let mut said = sys.active()?.policies.write(name, &text).await?;
    said.append(&mut warnings);
    Ok(Reply::empty().warn_all(said))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if normal_name(name).is_empty() {
        return Err(ApiError::invalid("policy name must be provided in the URL"));
    }
    Ok(())
}

fn given(text: Option<Text>) -> Option<Text> {
    text.filter(|text| !text.is_empty())
}

const OLD_NAME: &str = "'rules' is deprecated, please use 'policy' instead";
