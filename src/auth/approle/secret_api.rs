//! Endpoints of secret ids: generate, register, list, look up, destroy (spec `approle.md` §4).

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::auth::cidr::{self, CidrError};
use crate::base::{Secret, Ttl, random};
use crate::mount::field::{CommaList, Int, SecretText, Text};
use crate::mount::{ApiError, Both, Ctx, ErrorKind, Named, Reply, Table};

use super::role::{Role, role_key};
use super::role_api::{MAX_LEN, lower};
use super::secret_id::{Area, Place, SecretId, no_accessor};
use super::{AppRole, TRIES, contended, metadata};

/// Declares them. Their last slash may be missing.
pub(super) fn endpoints(table: &mut Table<AppRole>) {
    table
        .at("role/{role_name}/secret-id/", "Generates a secret id; lists accessors of those there are.")
        .update(AppRole::generate)
        .list(AppRole::list_accessors);
    table.at("role/{role_name}/custom-secret-id/", "Registers a secret id of the caller's choice.").update(AppRole::register);
    table.at("role/{role_name}/secret-id/lookup/", "What is known of a secret id.").update(AppRole::look_up);
    table
        .at("role/{role_name}/secret-id/destroy/", "Ends a secret id. Tokens it gave live on.")
        .update(AppRole::destroy)
        .delete(AppRole::destroy);
    table
        .at("role/{role_name}/secret-id-accessor/lookup/", "What is known of the secret id of an accessor.")
        .update(AppRole::look_up_accessor);
    table
        .at("role/{role_name}/secret-id-accessor/destroy/", "Ends the secret id of an accessor.")
        .update(AppRole::destroy_accessor)
        .delete(AppRole::destroy_accessor);
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct SecretIdInput {
    /// Text of an object of texts, which goes with each login.
    metadata: Option<Text>,
    /// Blocks of addresses logins may come from. Default: the role's.
    #[serde(default)]
    cidr_list: CommaList,
    /// Blocks of addresses tokens may be used from. Default: the role's.
    #[serde(default)]
    token_bound_cidrs: CommaList,
    /// How often it can be used; 0: without limit. Default: the role's.
    num_uses: Option<Int>,
    /// How long it lives; 0: for good. Default: the role's.
    ttl: Option<Ttl>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct BySecretId {
    /// The secret id.
    #[serde(default)]
    secret_id: SecretText,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct ByAccessor {
    /// The accessor of the secret id.
    #[serde(default)]
    secret_id_accessor: Text,
}

impl AppRole {
    async fn generate(self: Arc<Self>, cx: Ctx, Both(named, input): Both<Named, SecretIdInput>) -> Result<Reply, ApiError> {
        self.add(&cx, &named, &input, Secret::new(random::uuid())).await
    }

    async fn register(
        self: Arc<Self>,
        cx: Ctx,
        Both(named, Both(custom, input)): Both<Named, Both<BySecretId, SecretIdInput>>,
    ) -> Result<Reply, ApiError> {
        // A login trims it, so that blanks around it would make it useless.
        let secret = Secret::from(custom.secret_id.expose().trim());
        if secret.expose().is_empty() {
            return Err(ApiError::invalid("missing secret_id"));
        }
        self.add(&cx, &named, &input, secret).await
    }

    async fn add(&self, cx: &Ctx, named: &Named, input: &SecretIdInput, secret: Secret<String>) -> Result<Reply, ApiError> {
        let name = lower(named)?;
        for _ in 0..TRIES {
            let (role, version) = self.role(&name).await?.ok_or_else(|| missing_role(&name))?;
            let secret_id = self.fresh(cx, &role, input)?;
            if secret.expose().len() > MAX_LEN {
                return Err(not_stored(&format!(
                    "failed to create HMAC of secret ID: value is longer than maximum of {MAX_LEN} bytes"
                )));
            }
            let key = Self::entry_key(&role, secret.expose());
            let _turn = self.turn(&key).await;
            let mut txn = self.view.txn();
            match self.entry(&key).await? {
                None => _ = txn.expect_absent(&self.view, &key),
                Some(old) if old.secret_id.is_expired(secret_id.created) => self.remove(&mut txn, &old),
                Some(_) => return Err(not_stored("SecretID is already registered")),
            }
            let accessor = self.accessor_key(Area::of(&role), &secret_id.accessor);
            txn.expect_at(&self.view, &role_key(&name), version);
            txn.expect_absent(&self.view, &accessor);
            txn.put(&self.view, &key, &secret_id)?;
            txn.put(&self.view, &accessor, &Place { entry: key.clone() })?;
            match txn.commit().await {
                Ok(()) => {
                    return Reply::object(&json!({
                        "secret_id": secret.expose(),
                        "secret_id_accessor": secret_id.accessor,
                        "secret_id_num_uses": secret_id.num_uses,
                        "secret_id_ttl": secret_id.ttl.min(cx.limits.max_ttl),
                    }));
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("the role"))
    }

    /// A secret id as asked for, within what the role allows. Checks in the order of the spec.
    fn fresh(&self, cx: &Ctx, role: &Role, input: &SecretIdInput) -> Result<SecretId, ApiError> {
        if !role.bind_secret_id {
            return Err(ApiError::invalid("bind_secret_id is not set on the role"));
        }
        let blocks = |error: CidrError| ApiError::invalid(format!("failed to validate CIDR blocks: {error}"));
        check_within(&cidr::blocks(&input.cidr_list).map_err(blocks)?, &cidr::blocks(role.login_cidrs()).map_err(blocks)?)?;
        let token_blocks = |error: CidrError| ApiError::invalid(format!("failed to validate token CIDR blocks: {error}"));
        check_within(&cidr::blocks(&input.token_bound_cidrs).map_err(token_blocks)?, &role.token.bound_cidrs)?;
        let num_uses = match &input.num_uses {
            Some(uses) => u64::try_from(**uses).map_err(|_| ApiError::invalid("num_uses cannot be negative"))?,
            None => role.secret_id_num_uses,
        };
        if role.secret_id_num_uses > 0 && (num_uses == 0 || num_uses > role.secret_id_num_uses) {
            return Err(ApiError::invalid("num_uses cannot be higher than the role's secret_id_num_uses"));
        }
        let ttl = input.ttl.unwrap_or(role.secret_id_ttl);
        if !role.secret_id_ttl.is_zero() && (ttl.is_zero() || ttl > role.secret_id_ttl) {
            return Err(ApiError::invalid("ttl cannot be longer than the role's secret_id_ttl"));
        }
        let metadata = input.metadata.as_ref().map_or(Ok(BTreeMap::new()), |text| metadata::parse(text))?;
        let now = self.deps.clock.precise();
        Ok(SecretId {
            role: role.name.clone(),
            accessor: random::uuid(),
            num_uses,
            ttl,
            created: now,
            updated: now,
            // What never ends is not capped.
            expires: ttl.nonzero().map(|ttl| now + ttl.min(cx.limits.max_ttl).to_duration()),
            metadata,
            cidr_list: trimmed(&input.cidr_list),
            token_bound_cidrs: trimmed(&input.token_bound_cidrs),
        })
    }

    async fn list_accessors(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let name = lower(&named)?;
        let Some((role, _)) = self.role(&name).await? else { return Err(ApiError::invalid(no_role(&name))) };
        Ok(Reply::list(self.accessors(&role).await?))
    }

    async fn look_up(self: Arc<Self>, _: Ctx, Both(named, input): Both<Named, BySecretId>) -> Result<Reply, ApiError> {
        let role = self.role_for(&named, "secret_id", input.secret_id.expose()).await?;
        let Some(entry) = self.live_entry(&Self::entry_key(&role, input.secret_id.expose())).await? else {
            return Ok(Reply::empty());
        };
        if !self.has_accessor(&entry).await? {
            self.remove_if(&entry.key, |again| again.version == entry.version).await?;
            return Err(ApiError::invalid("invalid secret id"));
        }
        entry.secret_id.shown()
    }

    async fn destroy(self: Arc<Self>, _: Ctx, Both(named, input): Both<Named, BySecretId>) -> Result<Reply, ApiError> {
        let role = self.role_for(&named, "secret_id", input.secret_id.expose()).await?;
        self.remove_if(&Self::entry_key(&role, input.secret_id.expose()), |_| true).await?;
        Ok(Reply::empty())
    }

    async fn look_up_accessor(self: Arc<Self>, _: Ctx, Both(named, input): Both<Named, ByAccessor>) -> Result<Reply, ApiError> {
        let accessor = input.secret_id_accessor.as_str();
        let role = self.role_for(&named, "secret_id_accessor", accessor).await?;
        let missing = || Ok(Reply::field("error", json!(no_accessor(accessor))).missing());
        let Some(key) = self.entry_of_accessor(&role, accessor).await? else { return missing() };
        if !key.starts_with(&Self::entries_of(&role)) {
            return Ok(Reply::empty());
        }
        match self.live_entry(&key).await? {
            Some(entry) => entry.secret_id.shown(),
            None => missing(),
        }
    }

    async fn destroy_accessor(self: Arc<Self>, _: Ctx, Both(named, input): Both<Named, ByAccessor>) -> Result<Reply, ApiError> {
        let accessor = input.secret_id_accessor.as_str();
        let role = self.role_for(&named, "secret_id_accessor", accessor).await?;
        let Some(key) = self.entry_of_accessor(&role, accessor).await? else {
            return Err(ApiError::new(ErrorKind::NotFound, no_accessor(accessor)).listed());
        };
        if !key.starts_with(&Self::entries_of(&role)) {
            return Err(ApiError::new(ErrorKind::Denied, "invalid secret id accessor").listed());
        }
        self.remove_if(&key, |entry| entry.secret_id.accessor == accessor).await?;
        Ok(Reply::empty())
    }

    /// The role of a path, once the field that names a secret id was supplied.
    async fn role_for(&self, named: &Named, field: &str, value: &str) -> Result<Role, ApiError> {
        if value.is_empty() {
            return Err(ApiError::invalid(format!("missing {field}")));
        }
        let name = lower(named)?;
        let role = self.role(&name).await?.map(|(role, _)| role);
        role.ok_or_else(|| missing_role(&name).listed())
    }
}

/// Whether blocks of a secret id lie in those of its role, where the role has some.
///
/// # Errors
/// 500 with a text: a state that could be read as an outside fault, and is what clients know.
pub(super) fn check_within(inner: &[ipnet::IpNet], role: &[ipnet::IpNet]) -> Result<(), ApiError> {
    if role.is_empty() || cidr::is_within(inner, role) {
        return Ok(());
    }
    let shown = |blocks: &[ipnet::IpNet]| blocks.iter().map(cidr::shown).collect::<Vec<_>>().join(", ");
    Err(ApiError::fault(format!(
        "failed to verify subset relationship between CIDR blocks on the role ({}) and those on the secret ID ({})",
        shown(role),
        shown(inner)
    )))
}

fn trimmed(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.trim().to_owned()).collect()
}

fn no_role(name: &str) -> String {
    format!("role {name:?} does not exist")
}

fn missing_role(name: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, no_role(name))
}

fn not_stored(why: &str) -> ApiError {
    ApiError::invalid(format!("failed to store secret_id: {why}"))
}
