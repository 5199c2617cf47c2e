//! Roles, as they are written and read.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::Ttl;
use crate::mount::field::{CommaList, Flag, Int, Text};
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, TokenTypeRule};
use crate::policy::builtin::sanitize;
use crate::token::BoundCidr;

use super::TokenAuth;
use super::role::Role;

/// Body of `roles/{role_name}`; what is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RoleInput {
    /// Name of the role.
    role_name: Text,
    /// Policies a token may be given, and is given when none are asked for.
    allowed_policies: Option<CommaList>,
    /// Policies no token is given.
    disallowed_policies: Option<CommaList>,
    /// The first, with `*` for any text; these are given on request only.
    allowed_policies_glob: Option<CommaList>,
    /// The second, with `*` for any text.
    disallowed_policies_glob: Option<CommaList>,
    /// Tokens end with no other.
    orphan: Option<Flag>,
    /// Tokens can be renewed. Default: true.
    renewable: Option<Flag>,
    /// Ends the path of tokens, by which they can be revoked together.
    path_suffix: Option<Text>,
    /// Names of entities that tokens may be made for, with `*` for any text.
    allowed_entity_aliases: Option<CommaList>,
    /// Networks from which tokens may be used.
    token_bound_cidrs: Option<CommaList>,
    /// How long tokens live at most, renewals included.
    token_explicit_max_ttl: Option<Ttl>,
    /// Tokens do not get the policy `default` by themselves.
    token_no_default_policy: Option<Flag>,
    /// How often tokens can be used; 0: without limit.
    token_num_uses: Option<Int>,
    /// Each renewal gives this, without end.
    token_period: Option<Ttl>,
    /// `service`, `batch`, `default-service` or `default-batch`.
    token_type: Option<Text>,
    /// Deprecated: `token_period`.
    period: Option<Ttl>,
    /// Deprecated: `token_explicit_max_ttl`.
    explicit_max_ttl: Option<Ttl>,
    /// Deprecated: `token_bound_cidrs`.
    bound_cidrs: Option<CommaList>,
}

impl TokenAuth {
    /// A role, as it is stored.
    pub(super) async fn role(&self, name: &str) -> Result<Option<Role>, ApiError> {
        Ok(self.view.read(&key(name)).await?)
    }

    pub(super) async fn list_roles(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(ROLES).await?))
    }

    pub(super) async fn role_exists(self: Arc<Self>, _: Ctx, input: Named) -> Result<bool, ApiError> {
        Ok(self.view.exists(&key(&input.name)).await?)
    }

    pub(super) async fn read_role(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        match self.role(&input.name).await? {
            Some(role) => Ok(Reply::data(shown(&role))),
            None => Ok(Reply::empty()),
        }
    }

    pub(super) async fn delete_role(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        self.view.delete(&key(&input.name)).await?;
        Ok(Reply::empty())
    }

    pub(super) async fn write_role(self: Arc<Self>, cx: Ctx, input: RoleInput) -> Result<Reply, ApiError> {
        let name = input.role_name.0.clone();
        if name.is_empty() {
            return Err(ApiError::invalid("role name cannot be empty"));
        }
        for _ in 0..TRIES {
            let stored = self.view.read_versioned::<Role>(&key(&name)).await?;
            let mut role = stored.as_ref().map_or_else(|| Role::new(&name), |(role, _)| role.clone());
            let mut warnings = Vec::new();
            apply(&mut role, &input, &mut warnings)?;
            if role.token_explicit_max_ttl > cx.limits.max_ttl {
                warnings.push(format!(
                    "Given explicit max TTL of {} is greater than system/mount allowed value of {} seconds; until this is fixed \
                     attempting to create tokens against this role will result in an error",
                    role.token_explicit_max_ttl.as_seconds(),
                    cx.limits.max_ttl.as_seconds()
                ));
            }
            let mut txn = self.view.txn();
            match stored {
                Some((_, version)) => txn.expect_at(&self.view, &key(&name), version),
                None => txn.expect_absent(&self.view, &key(&name)),
            };
            txn.put(&self.view, &key(&name), &role)?;
            match txn.commit().await {
                Ok(()) => return Ok(Reply::empty().warn_all(warnings)),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::internal("the role changed under every attempt"))
    }
}

/// Changes a role as it is asked for.
fn apply(role: &mut Role, input: &RoleInput, warnings: &mut Vec<String>) -> Result<(), ApiError> {
    set_policies(&mut role.allowed_policies, input.allowed_policies.as_ref());
    set_policies(&mut role.disallowed_policies, input.disallowed_policies.as_ref());
    set_policies(&mut role.allowed_policies_glob, input.allowed_policies_glob.as_ref());
    set_policies(&mut role.disallowed_policies_glob, input.disallowed_policies_glob.as_ref());
    set(&mut role.orphan, input.orphan.as_deref());
    set(&mut role.renewable, input.renewable.as_deref());
    if let Some(suffix) = &input.path_suffix {
        check_suffix(suffix)?;
        role.path_suffix.clone_from(suffix);
    }
    if let Some(aliases) = &input.allowed_entity_aliases {
        role.allowed_entity_aliases = aliases.iter().map(|alias| alias.to_lowercase()).collect();
        role.allowed_entity_aliases.sort();
        role.allowed_entity_aliases.dedup();
    }
    set(&mut role.token_no_default_policy, input.token_no_default_policy.as_deref());
    if let Some(uses) = &input.token_num_uses {
        role.token_num_uses = u64::try_from(uses.0).map_err(|_| ApiError::invalid("'token_num_uses' cannot be negative"))?;
    }
    if let Some(kind) = &input.token_type {
        role.token_type = match kind.as_str() {
            "" => TokenTypeRule::DefaultService,
            text => {
                TokenTypeRule::parse(text).ok_or_else(|| ApiError::invalid(format!("invalid 'token_type' value {text:?}")))?
            }
        };
    }
    let mut renamed = |old: &str, is_both: bool| {
        if is_both {
            warnings.push(format!("Both 'token_{old}' and deprecated '{old}' value supplied, ignoring the deprecated value"));
        }
    };
    renamed("period", set_renamed(&mut role.period, &mut role.token_period, input.period, input.token_period));
    let (old, new) = (input.explicit_max_ttl, input.token_explicit_max_ttl);
    renamed("explicit_max_ttl", set_renamed(&mut role.explicit_max_ttl, &mut role.token_explicit_max_ttl, old, new));
    let old = input.bound_cidrs.as_ref().map(|texts| cidrs("bound_cidrs", texts)).transpose()?;
    let new = input.token_bound_cidrs.as_ref().map(|texts| cidrs("token_bound_cidrs", texts)).transpose()?;
    renamed("bound_cidrs", set_renamed(&mut role.bound_cidrs, &mut role.token_bound_cidrs, old, new));
    match role.batch_conflict() {
        Some(text) => Err(ApiError::invalid(text)),
        None => Ok(()),
    }
}

fn set<T: Copy>(to: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        *to = *value;
    }
}

fn set_policies(to: &mut Vec<String>, names: Option<&CommaList>) {
    if let Some(names) = names {
        // Each for itself: a list of what is allowed or not may name `root` beside others.
        *to = names.iter().flat_map(|name| sanitize([name])).collect();
        to.sort();
        to.dedup();
    }
}

/// A setting that has an old name, and shows there what was written there. Whether both names were used.
fn set_renamed<T: Clone + Default>(old: &mut T, new: &mut T, old_value: Option<T>, new_value: Option<T>) -> bool {
    match (old_value, new_value) {
        (None, None) => false,
        (Some(value), None) => {
            old.clone_from(&value);
            *new = value;
            false
        }
        (None, Some(value)) => {
            *old = T::default();
            *new = value;
            false
        }
        (Some(_), Some(value)) => {
            old.clone_from(&value);
            *new = value;
            true
        }
    }
}

fn cidrs(field: &str, texts: &[String]) -> Result<Vec<BoundCidr>, ApiError> {
    let parse =
        |text: &String| BoundCidr::parse(text).map_err(|error| ApiError::invalid(format!("error parsing {field}: {error}")));
    texts.iter().map(parse).collect()
}

fn check_suffix(suffix: &str) -> Result<(), ApiError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = match suffix.as_bytes() {
        [] => true,
        [first, inner @ .., last] => {
            let inside = |byte: &u8| is_word(*byte) || *byte == b'-' || *byte == b'.';
            is_word(*first) && is_word(*last) && !inner.is_empty() && inner.iter().all(inside) && !suffix.contains("..")
        }
        [_] => false,
    };
    if fits {
        return Ok(());
    }
    Err(ApiError::invalid(format!("given role path suffix contains invalid characters; must match {SUFFIX}")))
}

fn shown(role: &Role) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| {
        data.insert(key.to_owned(), value);
    };
    put("name", role.name.as_str().into());
    put("allowed_policies", json!(role.allowed_policies));
    put("disallowed_policies", json!(role.disallowed_policies));
    put("allowed_policies_glob", json!(role.allowed_policies_glob));
    put("disallowed_policies_glob", json!(role.disallowed_policies_glob));
    put("orphan", role.orphan.into());
    put("renewable", role.renewable.into());
    put("path_suffix", role.path_suffix.as_str().into());
    put("period", role.period.as_seconds().into());
    put("token_period", role.token_period.as_seconds().into());
    put("explicit_max_ttl", role.explicit_max_ttl.as_seconds().into());
    put("token_explicit_max_ttl", role.token_explicit_max_ttl.as_seconds().into());
    put("token_type", role.token_type.as_str().into());
    put("token_no_default_policy", role.token_no_default_policy.into());
    let aliases = &role.allowed_entity_aliases;
    put("allowed_entity_aliases", if aliases.is_empty() { Value::Null } else { json!(aliases) });
    if !role.token_bound_cidrs.is_empty() {
        put("token_bound_cidrs", json!(role.token_bound_cidrs));
    }
    if !role.bound_cidrs.is_empty() {
        put("bound_cidrs", json!(role.bound_cidrs));
    }
    if role.token_num_uses > 0 {
        put("token_num_uses", role.token_num_uses.into());
    }
    data
}

fn key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// Where roles lie.
const ROLES: &str = "roles/";

/// What a path suffix looks like, as the error names it.
const SUFFIX: &str = r"\w[\w-.]+\w";

/// Times a role is read again when somebody else was writing it.
const TRIES: usize = 8;
