//! From what an auth method found its caller worth to a token (spec `00-conventions.md` §3, `tokens.md` §5).

use crate::barrier::Txn;
use crate::base::{Secret, Timestamp, Ttl};
use crate::identity::{AliasMount, Login};
use crate::lease::ttl::{self, Wish};
use crate::mount::{ApiError, Asked, ErrorKind, Grant, GrantType, MountEntry, Origin, TokenTypeRule};
use crate::policy::builtin::{DEFAULT, ROOT, is_unassignable, sanitize};
use crate::token::{NewToken, TokenInfo, TokenKind};

use super::Active;
use super::access::{added, of_identity, of_token};
use super::envelope::Auth;
use super::settle::LoginFacts;

/// Adds a token to a batch. `warnings` are for the caller.
pub(super) async fn make(
    active: &Active,
    asked: &Asked,
    mount: &MountEntry,
    grant: &Grant,
    warnings: &mut Vec<String>,
    txn: &mut Txn,
) -> Result<(LoginFacts, Auth), ApiError> {
    if let Some(along) = &grant.along {
        (along.write)(txn)?;
    }
    let policies = policies(grant)?;
    let (ttl, mut said) = life(active, mount, grant, &policies)?;
    warnings.append(&mut said);
    let mut new = NewToken::service(policies, asked.path.as_str(), mount.id.clone());
    new.kind = kind(grant, mount);
    new.meta.clone_from(&grant.metadata);
    new.internal_meta.clone_from(&grant.internal);
    new.num_uses = grant.num_uses;
    new.ttl = ttl;
    new.explicit_max_ttl = grant.explicit_max_ttl;
    new.period = grant.period;
    new.renewable = grant.renewable && !ttl.is_zero();
    new.bound_cidrs.clone_from(&grant.bound_cidrs);
    new.login_role.clone_from(&grant.role);
    let is_login = matches!(grant.origin, Origin::Login);
    let mut entity_created = false;
    let mut principal = None;
    if let Some(alias) = &grant.alias {
        let of = AliasMount { id: mount.id.clone(), accessor: mount.accessor.clone(), local: mount.local };
        let groups = is_login.then_some(grant.group_aliases.as_slice());
        let login = Login { mount: &of, name: &alias.name, metadata: &alias.metadata, groups };
        let known = active.entities.of_login(login, txn).await.map_err(of_identity)?;
        if known.principal.entity.disabled {
            let text = "entity from given entity alias is disabled";
            return Err(if is_login { super::access::refused() } else { ApiError::new(ErrorKind::Denied, text) });
        }
        entity_created = known.is_new;
        new.entity_id.clone_from(&known.principal.entity.id);
        principal = Some(known.principal);
    }
    match &grant.origin {
        Origin::Login => new.display_name = display_name(mount, &grant.display_name),
        Origin::Created(creation) => {
            new.display_name.clone_from(&grant.display_name);
            new.parent = creation.parent.as_ref().map(|parent| parent.key);
            new.path.clone_from(&creation.path);
            new.role.clone_from(&creation.role);
            new.id.clone_from(&creation.id);
            if grant.alias.is_none() {
                new.entity_id.clone_from(&creation.entity_id);
            }
            warnings.extend(creation.warnings.iter().cloned());
        }
    }
    let made = active.tokens.create(&new, txn).await.map_err(of_token)?;
    let identity_policies = match &principal {
        Some(principal) => added(&made.info, principal).to_vec(),
        None => active.identity_policies(&made.info).await?,
    };
    let auth = shown(&made.info, identity_policies.clone(), Some(made.token.clone()), ttl);
    let facts = LoginFacts {
        info: made.info,
        token: made.token,
        identity_policies,
        policies: auth.policies.clone(),
        entity_created,
        no_default_policy: grant.no_default_policy,
        is_login,
    };
    Ok((facts, auth))
}

/// A token as `auth` of a reply.
pub(super) fn shown(info: &TokenInfo, identity_policies: Vec<String>, token: Option<Secret<String>>, ttl: Ttl) -> Auth {
    Auth {
        client_token: token.unwrap_or_default(),
        accessor: info.accessor.as_ref().map(|accessor| accessor.as_str().to_owned()).unwrap_or_default(),
        policies: sanitize(info.policies.iter().chain(&identity_policies)),
        token_policies: info.policies.clone(),
        identity_policies,
        metadata: info.meta.clone(),
        lease_duration: ttl.as_seconds(),
        renewable: info.renewable,
        entity_id: info.entity_id.clone(),
        token_type: info.kind.as_str(),
        orphan: info.is_orphan(),
        num_uses: info.num_uses,
    }
}

fn policies(grant: &Grant) -> Result<Vec<String>, ApiError> {
    let mut names = sanitize(&grant.policies);
    if matches!(grant.origin, Origin::Created(_)) {
        return Ok(names);
    }
    if names.iter().any(|name| name == ROOT) {
        return Err(ApiError::invalid("auth methods cannot create root tokens"));
    }
    if let Some(name) = names.iter().find(|name| is_unassignable(name)) {
        return Err(ApiError::invalid(format!("cannot assign policy \"{name}\"")));
    }
    if !grant.no_default_policy {
        names.push(DEFAULT.to_owned());
    }
    Ok(sanitize(names))
}

/// How long the token lives; zero for a root token that nobody gave an end.
fn life(active: &Active, mount: &MountEntry, grant: &Grant, policies: &[String]) -> Result<(Ttl, Vec<String>), ApiError> {
    let is_root = matches!(policies, [name] if name == ROOT);
    if is_root && grant.ttl.is_zero() && grant.period.is_zero() {
        return Ok((grant.explicit_max_ttl, Vec::new()));
    }
    let now: Timestamp = active.clock.now();
    let wish = Wish {
        increment: Ttl::ZERO,
        ttl: grant.ttl,
        max_ttl: grant.max_ttl,
        period: grant.period,
        explicit_max_ttl: grant.explicit_max_ttl,
        issued: now,
    };
    let granted =
        ttl::ttl(&wish, active.settings.limits(&mount.config), now).map_err(|past| ApiError::invalid(past.to_string()))?;
    Ok((granted.ttl, granted.warnings))
}

fn kind(grant: &Grant, mount: &MountEntry) -> TokenKind {
    match (grant.token_type, mount.config.token_type) {
        (GrantType::Service, _) if matches!(grant.origin, Origin::Created(_)) => TokenKind::Service,
        (GrantType::Batch, _) if matches!(grant.origin, Origin::Created(_)) => TokenKind::Batch,
        (_, TokenTypeRule::Service) | (GrantType::Service, _) | (GrantType::Default, TokenTypeRule::DefaultService) => {
            TokenKind::Service
        }
        (_, TokenTypeRule::Batch) | (GrantType::Batch, _) | (GrantType::Default, TokenTypeRule::DefaultBatch) => TokenKind::Batch,
    }
}

/// The mount's path and what the method calls the user: `userpass-bob` (spec `00-conventions.md` §3).
fn display_name(mount: &MountEntry, name: &str) -> String {
    let path = mount.path.in_table().trim_end_matches('/').replace('/', "-");
    let whole = if name.is_empty() { path } else { format!("{path}-{name}") };
    whole.trim_end_matches('-').to_owned()
}
