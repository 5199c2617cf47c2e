//! Endpoints of roles as a whole, and of their role id.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::auth::cidr;
use crate::auth::token_fields::{TokenInput, renamed, sanitized};
use crate::base::Ttl;
use crate::lease::Limits;
use crate::mount::field::{CommaList, Flag, Int, Text};
use crate::mount::{ApiError, Both, Ctx, Named, Nothing, Reply, Table};

use super::AppRole;
use super::role::Role;

/// Declares them.
pub(super) fn endpoints(table: &mut Table<AppRole>) {
    table.at("role/", "Names of the roles.").list(AppRole::list_roles);
    table
        .at("role/{role_name}", "A role: who may log in with it, and what tokens it gives.")
        .exists(AppRole::has_role)
        .read(AppRole::read_role)
        .update(AppRole::write_role)
        .delete(AppRole::delete_role);
    table.at("role/{role_name}/role-id", "The role id of a role.").read(AppRole::read_role_id).update(AppRole::write_role_id);
}

/// Fields of a role beside those of its tokens. Absent ones keep their value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct RoleInput {
    /// Whether a login needs a secret id. Default: yes.
    bind_secret_id: Option<Flag>,
    /// Blocks of addresses logins may come from. Default: all.
    secret_id_bound_cidrs: Option<CommaList>,
    /// Old name of `secret_id_bound_cidrs`.
    bound_cidr_list: Option<CommaList>,
    /// How often a secret id can be used: what one gets, and the most it can get. Default: without limit.
    secret_id_num_uses: Option<Int>,
    /// How long a secret id lives: what one gets, and the most it can get. Default: for good.
    secret_id_ttl: Option<Ttl>,
    /// What a login shows. Default: chosen at random.
    role_id: Option<Text>,
    /// Whether secret ids stay in this cluster. Fixed when the role is created.
    local_secret_ids: Option<Flag>,
    /// Old name of `token_policies`.
    policies: Option<CommaList>,
    /// Old name of `token_period`.
    period: Option<Ttl>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct RoleIdInput {
    /// What a login shows.
    role_id: Option<Text>,
}

impl AppRole {
    async fn list_roles(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all("role/").await?))
    }

    async fn has_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<bool, ApiError> {
        Ok(self.role(&lower(&named)?).await?.is_some())
    }

    async fn read_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let Some((role, _)) = self.role(&lower(&named)?).await? else { return Ok(Reply::empty()) };
        let mut data = role.token.shown();
        data.insert("bind_secret_id".to_owned(), json!(role.bind_secret_id));
        data.insert("local_secret_ids".to_owned(), json!(role.local_secret_ids));
        data.insert("secret_id_bound_cidrs".to_owned(), json!(role.secret_id_bound_cidrs));
        data.insert("secret_id_num_uses".to_owned(), json!(role.secret_id_num_uses));
        data.insert("secret_id_ttl".to_owned(), json!(role.secret_id_ttl));
        if !role.policies.is_empty() {
            data.insert("policies".to_owned(), json!(role.policies));
        }
        if !role.period.is_zero() {
            data.insert("period".to_owned(), json!(role.period));
        }
        let reply = Reply::data(data);
        if role.is_constrained() {
            return Ok(reply);
        }
        Ok(reply.warn("nothing but its role id protects this role: set bind_secret_id or bound addresses"))
    }

    async fn write_role(
        self: Arc<Self>,
        cx: Ctx,
        Both(named, Both(input, token)): Both<Named, Both<RoleInput, TokenInput>>,
    ) -> Result<Reply, ApiError> {
        let name = lower(&named)?;
        let warnings = self.change_role(&name, |stored| written(stored, &name, &input, &token, cx.limits).map(Some)).await?;
        Ok(Reply::empty().warn_all(warnings))
    }

    async fn delete_role(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.remove_role(&lower(&named)?).await?;
        Ok(Reply::empty())
    }

    async fn read_role_id(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let Some((role, _)) = self.role(&lower(&named)?).await? else { return Ok(Reply::empty()) };
        Ok(Reply::field("role_id", json!(role.role_id)))
    }

    async fn write_role_id(self: Arc<Self>, _: Ctx, Both(named, input): Both<Named, RoleIdInput>) -> Result<Reply, ApiError> {
        let role_id = input.role_id.map(|text| text.0).unwrap_or_default();
        let change = |stored: Option<&Role>| {
            let mut role = stored.cloned().ok_or_else(ApiError::unsupported_path)?;
            if role_id.is_empty() {
                return Err(ApiError::invalid("missing role_id"));
            }
            role.role_id = checked_role_id(&role_id)?;
            Ok(Some((role, Vec::new())))
        };
        self.change_role(&lower(&named)?, change).await?;
        Ok(Reply::empty())
    }
}

/// What a write makes of a role, checked in the order of the spec, with warnings.
fn written(
    stored: Option<&Role>,
    name: &str,
    input: &RoleInput,
    token: &TokenInput,
    limits: Limits,
) -> Result<(Role, Vec<String>), ApiError> {
    let mut role = stored.cloned().unwrap_or_else(|| Role::fresh(name));
    let mut warnings = role.token.merge(token)?;
    if let Some(flag) = &input.local_secret_ids {
        if stored.is_some() {
            return Err(ApiError::invalid("local_secret_ids can only be modified during role creation"));
        }
        role.local_secret_ids = **flag;
    }
    if let Some(role_id) = &input.role_id {
        if role_id.is_empty() {
            return Err(ApiError::invalid("invalid role_id supplied, or failed to generate a role_id"));
        }
        role.role_id = checked_role_id(role_id)?;
    }
    if let Some(flag) = &input.bind_secret_id {
        role.bind_secret_id = **flag;
    }
    if let Some(texts) = input.secret_id_bound_cidrs.as_ref().or(input.bound_cidr_list.as_ref()) {
        role.secret_id_bound_cidrs = Some(checked_cidrs(texts)?);
    }
    if let Some(uses) = &input.secret_id_num_uses {
        role.secret_id_num_uses = checked_num_uses(uses)?;
    }
    if let Some(ttl) = input.secret_id_ttl {
        role.secret_id_ttl = ttl;
    }
    let policies = input.policies.as_ref().map(|names| sanitized(names));
    renamed(policies, token.token_policies.is_some(), &mut role.policies, &mut role.token.policies);
    if let Some(period) = input.period {
        checked_period(period, limits)?;
    }
    renamed(input.period, token.token_period.is_some(), &mut role.period, &mut role.token.period);
    if role.token.max_ttl > limits.max_ttl {
        warnings.push(
            "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated"
                .to_owned(),
        );
    }
    Ok((role, warnings))
}

/// The name of the role in a path; names differ in more than case.
///
/// # Errors
/// 400 when it is too long.
pub(super) fn lower(named: &Named) -> Result<String, ApiError> {
    if named.name.len() > MAX_LEN {
        return Err(ApiError::invalid(format!("role_name is longer than maximum of {MAX_LEN} bytes")));
    }
    Ok(named.name.to_ascii_lowercase())
}

/// The blocks logins may come from, if all of them are blocks.
pub(super) fn checked_cidrs(texts: &[String]) -> Result<Vec<String>, ApiError> {
    cidr::blocks(texts).map_err(|error| ApiError::invalid(format!("failed to validate CIDR blocks: {error}")))?;
    Ok(texts.to_vec())
}

pub(super) fn checked_num_uses(uses: &Int) -> Result<u64, ApiError> {
    u64::try_from(**uses).map_err(|_| ApiError::invalid("secret_id_num_uses cannot be negative"))
}

pub(super) fn checked_period(period: Ttl, limits: Limits) -> Result<(), ApiError> {
    if period > limits.max_ttl {
        let text =
            format!("period of {:?} is greater than the backend's maximum lease TTL of {:?}", period.go(), limits.max_ttl.go());
        return Err(ApiError::invalid(text));
    }
    Ok(())
}

fn checked_role_id(role_id: &str) -> Result<String, ApiError> {
    if role_id.len() > MAX_LEN {
        return Err(ApiError::invalid(format!("role_id is longer than maximum of {MAX_LEN} bytes")));
    }
    Ok(role_id.to_owned())
}

/// The longest role name, role id or secret id, in bytes (spec `approle.md` §1).
pub(super) const MAX_LEN: usize = 4096;
