//! Endpoints of single fields of a role (spec `approle.md` §3): read, set, and set back to the default.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::auth::token_fields::{self, renamed, sanitized};
use crate::base::Ttl;
use crate::lease::Limits;
use crate::mount::field::{CommaList, Flag, Int};
use crate::mount::{ApiError, Both, Ctx, Named, Reply, Table};

use super::AppRole;
use super::role::Role;
use super::role_api::{checked_cidrs, checked_num_uses, checked_period, lower};

/// A field of a role, and what its endpoint takes.
trait Field: Clone + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// What is read.
    fn read(role: &Role) -> Reply;
    /// Takes over what was supplied.
    fn set(self, role: &mut Role, limits: Limits) -> Result<(), ApiError>;
    /// Sets it back to the default, which is not always nothing.
    fn reset(role: &mut Role);
}

/// Declares them.
pub(super) fn endpoints(table: &mut Table<AppRole>) {
    field::<Policies>(table, "role/{role_name}/policies", "Policies of the tokens of a role.");
    field::<SecretIdNumUses>(table, "role/{role_name}/secret-id-num-uses", "How often a secret id of a role can be used.");
    field::<SecretIdTtl>(table, "role/{role_name}/secret-id-ttl", "How long a secret id of a role lives.");
    field::<TokenTtl>(table, "role/{role_name}/token-ttl", "How long a token of a role lives unless renewed.");
    field::<TokenMaxTtl>(table, "role/{role_name}/token-max-ttl", "How long a token of a role lives at most.");
    field::<TokenNumUses>(table, "role/{role_name}/token-num-uses", "How often a token of a role can be used.");
    field::<BindSecretId>(table, "role/{role_name}/bind-secret-id", "Whether a login with a role needs a secret id.");
    field::<SecretIdBoundCidrs>(table, "role/{role_name}/secret-id-bound-cidrs", "Addresses logins with a role may come from.");
    field::<TokenBoundCidrs>(table, "role/{role_name}/token-bound-cidrs", "Addresses tokens of a role may be used from.");
    field::<BoundCidrList>(table, "role/{role_name}/bound-cidr-list", "Old name of secret-id-bound-cidrs.");
    field::<Period>(table, "role/{role_name}/period", "What each renewal gives to periodic tokens of a role.");
    table
        .at("role/{role_name}/local-secret-ids", "Whether secret ids of a role stay in this cluster.")
        .read(AppRole::read_local_secret_ids);
}

fn field<F: Field>(table: &mut Table<AppRole>, pattern: &'static str, about: &'static str) {
    table.at(pattern, about).read(AppRole::read_field::<F>).update(AppRole::set_field::<F>).delete(AppRole::reset_field::<F>);
}

impl AppRole {
    async fn read_field<F: Field>(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let role = self.role(&lower(&named)?).await?;
        Ok(role.map_or_else(Reply::empty, |(role, _)| F::read(&role)))
    }

    async fn set_field<F: Field>(self: Arc<Self>, cx: Ctx, Both(named, field): Both<Named, F>) -> Result<Reply, ApiError> {
        let change = |stored: Option<&Role>| {
            let mut role = stored.cloned().ok_or_else(ApiError::unsupported_path)?;
            field.clone().set(&mut role, cx.limits)?;
            Ok(Some((role, Vec::new())))
        };
        self.change_role(&lower(&named)?, change).await?;
        Ok(Reply::empty())
    }

    async fn reset_field<F: Field>(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let change = |stored: Option<&Role>| {
            let Some(mut role) = stored.cloned() else { return Ok(None) };
            F::reset(&mut role);
            Ok(Some((role, Vec::new())))
        };
        self.change_role(&lower(&named)?, change).await?;
        Ok(Reply::empty())
    }

    async fn read_local_secret_ids(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let role = self.role(&lower(&named)?).await?;
        Ok(role.map_or_else(Reply::empty, |(role, _)| Reply::field("local_secret_ids", json!(role.local_secret_ids))))
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct Policies {
    /// Policies of the tokens.
    token_policies: Option<CommaList>,
    /// Old name of `token_policies`.
    policies: Option<CommaList>,
}

impl Field for Policies {
    fn read(role: &Role) -> Reply {
        let reply = Reply::field("token_policies", json!(role.token.policies));
        if role.policies.is_empty() { reply } else { reply.and("policies", json!(role.policies)) }
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        if self.token_policies.is_none() && self.policies.is_none() {
            return Err(missing("token_policies"));
        }
        let is_new_supplied = self.token_policies.is_some();
        if let Some(names) = self.token_policies {
            role.token.policies = sanitized(&names);
        }
        let old = self.policies.map(|names| sanitized(&names));
        renamed(old, is_new_supplied, &mut role.policies, &mut role.token.policies);
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.policies.clear();
        role.token.policies.clear();
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct SecretIdNumUses {
    /// What a secret id gets, and the most it can get; 0: without limit.
    secret_id_num_uses: Option<Int>,
}

impl Field for SecretIdNumUses {
    fn read(role: &Role) -> Reply {
        Reply::field("secret_id_num_uses", json!(role.secret_id_num_uses))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        role.secret_id_num_uses = checked_num_uses(&self.secret_id_num_uses.ok_or_else(|| missing("secret_id_num_uses"))?)?;
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.secret_id_num_uses = 0;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct SecretIdTtl {
    /// What a secret id gets, and the most it can get; 0: it does not expire.
    secret_id_ttl: Option<Ttl>,
}

impl Field for SecretIdTtl {
    fn read(role: &Role) -> Reply {
        Reply::field("secret_id_ttl", json!(role.secret_id_ttl))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        role.secret_id_ttl = self.secret_id_ttl.ok_or_else(|| missing("secret_id_ttl"))?;
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.secret_id_ttl = Ttl::ZERO;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct TokenTtl {
    /// 0: the mount's default.
    token_ttl: Option<Ttl>,
}

impl Field for TokenTtl {
    fn read(role: &Role) -> Reply {
        Reply::field("token_ttl", json!(role.token.ttl))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        role.token.ttl = self.token_ttl.ok_or_else(|| missing("token_ttl"))?;
        if !role.token.max_ttl.is_zero() && role.token.ttl > role.token.max_ttl {
            return Err(ApiError::invalid("token_ttl should not be greater than token_max_ttl"));
        }
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.token.ttl = Ttl::ZERO;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct TokenMaxTtl {
    /// 0: the mount's maximum.
    token_max_ttl: Option<Ttl>,
}

impl Field for TokenMaxTtl {
    fn read(role: &Role) -> Reply {
        Reply::field("token_max_ttl", json!(role.token.max_ttl))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        role.token.max_ttl = self.token_max_ttl.ok_or_else(|| missing("token_max_ttl"))?;
        if !role.token.max_ttl.is_zero() && role.token.max_ttl < role.token.ttl {
            return Err(ApiError::invalid("token_max_ttl should be greater than or equal to token_ttl"));
        }
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.token.max_ttl = Ttl::ZERO;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct TokenNumUses {
    /// 0: without limit.
    token_num_uses: Option<Int>,
}

impl Field for TokenNumUses {
    fn read(role: &Role) -> Reply {
        Reply::field("token_num_uses", json!(role.token.num_uses))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        let uses = self.token_num_uses.ok_or_else(|| missing("token_num_uses"))?;
        role.token.num_uses = u64::try_from(*uses).map_err(|_| ApiError::invalid("'token_num_uses' cannot be negative"))?;
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.token.num_uses = 0;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct BindSecretId {
    /// Whether a login needs a secret id.
    bind_secret_id: Option<Flag>,
}

impl Field for BindSecretId {
    fn read(role: &Role) -> Reply {
        Reply::field("bind_secret_id", json!(role.bind_secret_id))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        role.bind_secret_id = *self.bind_secret_id.ok_or_else(|| missing("bind_secret_id"))?;
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.bind_secret_id = true;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct SecretIdBoundCidrs {
    /// Blocks of addresses.
    secret_id_bound_cidrs: Option<CommaList>,
}

impl Field for SecretIdBoundCidrs {
    fn read(role: &Role) -> Reply {
        Reply::field("secret_id_bound_cidrs", json!(role.secret_id_bound_cidrs))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        set_login_cidrs(role, self.secret_id_bound_cidrs)
    }
    fn reset(role: &mut Role) {
        role.secret_id_bound_cidrs = None;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct BoundCidrList {
    /// Blocks of addresses.
    bound_cidr_list: Option<CommaList>,
}

impl Field for BoundCidrList {
    fn read(role: &Role) -> Reply {
        let reply = Reply::field("bound_cidr_list", json!(role.secret_id_bound_cidrs));
        reply.warn("bound_cidr_list is an old name and will go: use secret_id_bound_cidrs")
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        set_login_cidrs(role, self.bound_cidr_list)
    }
    fn reset(role: &mut Role) {
        role.secret_id_bound_cidrs = None;
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct TokenBoundCidrs {
    /// Addresses and blocks of them.
    token_bound_cidrs: Option<CommaList>,
}

impl Field for TokenBoundCidrs {
    fn read(role: &Role) -> Reply {
        let shown = role.token.shown().remove("token_bound_cidrs");
        // Unlike in the whole role, none is null here.
        Reply::field("token_bound_cidrs", json!(shown.filter(|_| !role.token.bound_cidrs.is_empty())))
    }
    fn set(self, role: &mut Role, _: Limits) -> Result<(), ApiError> {
        if let Some(texts) = self.token_bound_cidrs {
            role.token.bound_cidrs = token_fields::bound_cidrs(&texts)?;
        }
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.token.bound_cidrs.clear();
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct Period {
    /// 0: tokens are not periodic.
    token_period: Option<Ttl>,
    /// Old name of `token_period`.
    period: Option<Ttl>,
}

impl Field for Period {
    fn read(role: &Role) -> Reply {
        let reply = Reply::field("token_period", json!(role.token.period));
        if role.period.is_zero() { reply } else { reply.and("period", json!(role.period)) }
    }
    fn set(self, role: &mut Role, limits: Limits) -> Result<(), ApiError> {
        let period = self.token_period.or(self.period).ok_or_else(|| missing("period"))?;
        checked_period(period, limits)?;
        role.token.period = period;
        renamed(self.period, self.token_period.is_some(), &mut role.period, &mut role.token.period);
        Ok(())
    }
    fn reset(role: &mut Role) {
        role.period = Ttl::ZERO;
        role.token.period = Ttl::ZERO;
    }
}

/// Not supplied: nothing happens; supplied empty: an error, for that is what DELETE is for.
fn set_login_cidrs(role: &mut Role, texts: Option<CommaList>) -> Result<(), ApiError> {
    let Some(texts) = texts else { return Ok(()) };
    if texts.is_empty() {
        return Err(missing("bound_cidr_list"));
    }
    role.secret_id_bound_cidrs = Some(checked_cidrs(&texts)?);
    Ok(())
}

fn missing(field: &str) -> ApiError {
    ApiError::invalid(format!("missing {field}"))
}
