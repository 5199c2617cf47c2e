//! Endpoints of users.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::token_fields::{TokenFields, TokenInput, bound_cidrs, sanitized};
use crate::base::{Secret, Ttl};
use crate::mount::field::{CommaList, SecretText, SignedSeconds};
use crate::mount::{ApiError, Both, Ctx, ErrorKind, Named, Nothing, Reply, Table};

use super::Userpass;
use super::bcrypt::{self, Hashed};
use super::user::{OldNames, User};
use super::workers::Workers;

/// Declares them.
pub(super) fn endpoints(table: &mut Table<Userpass>) {
    table.at("users/", "Names of the users.").list(Userpass::list_users);
    table
        .at("users/{username}", "A user: his password, and what tokens he gets.")
        .exists(Userpass::has_user)
        .read(Userpass::read_user)
        .update(Userpass::write_user)
        .delete(Userpass::delete_user);
    table.at("users/{username}/password", "The password of a user.").update(Userpass::write_password);
    table.at("users/{username}/policies", "The policies of a user's tokens.").update(Userpass::write_policies);
}

/// A new password.
#[derive(Debug, Deserialize, JsonSchema)]
struct PasswordInput {
    /// The password: at most 72 bytes.
    password: Option<SecretText>,
    /// Its bcrypt hash, of a cost from 4 to 14, in place of it.
    password_hash: Option<SecretText>,
}

/// Old names of fields of tokens.
#[derive(Debug, Deserialize, JsonSchema)]
struct OldInput {
    /// Old name of `token_policies`.
    policies: Option<CommaList>,
    /// Old name of `token_ttl`.
    ttl: Option<SignedSeconds>,
    /// Old name of `token_max_ttl`.
    max_ttl: Option<SignedSeconds>,
    /// Old name of `token_bound_cidrs`.
    bound_cidrs: Option<CommaList>,
}

/// Policies under either name.
#[derive(Debug, Deserialize, JsonSchema)]
struct PoliciesInput {
    /// Policies of the tokens.
    token_policies: Option<CommaList>,
    /// Old name of `token_policies`.
    policies: Option<CommaList>,
}

impl Userpass {
    async fn list_users(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.users().await?))
    }

    async fn has_user(self: Arc<Self>, _: Ctx, named: Named) -> Result<bool, ApiError> {
        Ok(self.user(&lower(&named)?).await?.is_some())
    }

    async fn read_user(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let user = self.user(&lower(&named)?).await?;
        Ok(user.map_or_else(Reply::empty, |user| Reply::data(user.shown())))
    }

    async fn write_user(
        self: Arc<Self>,
        _: Ctx,
        Both(named, Both(password, Both(old, token))): Both<Named, Both<PasswordInput, Both<OldInput, TokenInput>>>,
    ) -> Result<Reply, ApiError> {
        let name = lower(&named)?;
        if !password.is_given() && self.user(&name).await?.is_none() {
            return Err(missing_password());
        }
        let hash = self.hash(password).await?;
        let change = |stored: Option<User>| {
            let mut user = match (stored, &hash) {
                (Some(user), _) => user,
                (None, Some(hash)) => User { hash: hash.clone(), token: TokenFields::default(), old_names: OldNames::default() },
                (None, None) => return Err(missing_password()),
            };
            if let Some(hash) = &hash {
                user.hash = hash.clone();
            }
            let warnings = user.token.merge(&token)?;
            merge_old(&mut user, &old, &token)?;
            user.token.check()?;
            Ok((user, warnings))
        };
        let warnings = self.change_user(&name, change).await?;
        Ok(Reply::empty().warn_all(warnings))
    }

    async fn delete_user(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        self.remove_user(&lower(&named)?).await?;
        Ok(Reply::empty())
    }

    async fn write_password(
        self: Arc<Self>,
        _: Ctx,
        Both(named, password): Both<Named, PasswordInput>,
    ) -> Result<Reply, ApiError> {
        let name = lower(&named)?;
        if self.user(&name).await?.is_none() {
            return Err(unknown());
        }
        let hash = self.hash(password).await?.ok_or_else(missing_password)?;
        let change = |stored: Option<User>| Ok((User { hash: hash.clone(), ..stored.ok_or_else(unknown)? }, Vec::new()));
        self.change_user(&name, change).await?;
        Ok(Reply::empty())
    }

    async fn write_policies(self: Arc<Self>, _: Ctx, Both(named, input): Both<Named, PoliciesInput>) -> Result<Reply, ApiError> {
        let old = OldInput { policies: input.policies, ttl: None, max_ttl: None, bound_cidrs: None };
        let token = TokenInput { token_policies: input.token_policies, ..TokenInput::default() };
        let change = |stored: Option<User>| {
            let mut user = stored.ok_or_else(unknown)?;
            user.token.merge(&token)?;
            merge_old(&mut user, &old, &token)?;
            Ok((user, Vec::new()))
        };
        self.change_user(&lower(&named)?, change).await?;
        Ok(Reply::empty())
    }

    /// The hash to store; `None`: nothing was given.
    async fn hash(&self, given: PasswordInput) -> Result<Option<Secret<String>>, ApiError> {
        let filled = |text: &SecretText| !text.expose().is_empty();
        match (given.password, given.password_hash.filter(filled)) {
            (Some(password), Some(_)) if filled(&password) => {
                Err(ApiError::invalid("only one of password or password_hash may be provided"))
            }
            (_, Some(SecretText(hash))) => match Hashed::parse(hash.expose()) {
                Some(_) => Ok(Some(hash)),
                None => Err(ApiError::invalid("password_hash is not a valid bcrypt hash")),
            },
            (Some(SecretText(password)), None) if password.expose().is_empty() => Err(missing_password()),
            (Some(SecretText(password)), None) if bcrypt::is_too_long(password.expose()) => {
                Err(ApiError::fault(format!("bcrypt: password length exceeds {} bytes", bcrypt::MOST_BYTES)))
            }
            (Some(SecretText(password)), None) => {
                let hashed = Workers::shared().run(&self.deps.tasks, move || Hashed::of(password.expose())).await?;
                Ok(Some(hashed.text()))
            }
            (None, None) => Ok(None),
        }
    }
}

impl PasswordInput {
    fn is_given(&self) -> bool {
        self.password.is_some() || self.password_hash.is_some()
    }
}

/// Takes over fields under their old names, after those under the new ones, which win.
fn merge_old(user: &mut User, old: &OldInput, new: &TokenInput) -> Result<(), ApiError> {
    let ttl =
        |name: &str, given: SignedSeconds| given.ttl().ok_or_else(|| ApiError::invalid(format!("'{name}' cannot be negative")));
    let policies = old.policies.as_ref().map(|names| sanitized(names));
    let (old_ttl, old_max): (Option<Ttl>, Option<Ttl>) =
        (old.ttl.map(|given| ttl("ttl", given)).transpose()?, old.max_ttl.map(|given| ttl("max_ttl", given)).transpose()?);
    let blocks = old.bound_cidrs.as_ref().map(|texts| bound_cidrs(texts)).transpose()?;
    let (token, names) = (&mut user.token, &mut user.old_names);
    renamed(policies, new.token_policies.is_some(), &mut names.policies, &mut token.policies);
    renamed(old_ttl, new.token_ttl.is_some(), &mut names.ttl, &mut token.ttl);
    renamed(old_max, new.token_max_ttl.is_some(), &mut names.max_ttl, &mut token.max_ttl);
    renamed(blocks, new.token_bound_cidrs.is_some(), &mut names.bound_cidrs, &mut token.bound_cidrs);
    Ok(())
}

/// What [`crate::auth::token_fields::renamed`] does, where the old name shows the same value or nothing.
fn renamed<T>(old: Option<T>, is_new_given: bool, is_shown: &mut bool, field: &mut T) {
    if old.is_some() || is_new_given {
        *is_shown = old.is_some();
    }
    if let Some(old) = old.filter(|_| !is_new_given) {
        *field = old;
    }
}

/// The name of the user in a path.
///
/// # Errors
/// 400 when it is too long.
fn lower(named: &Named) -> Result<String, ApiError> {
    if named.name.len() > LONGEST_NAME {
        return Err(ApiError::invalid(format!("username is longer than {LONGEST_NAME} bytes")));
    }
    Ok(named.name.to_ascii_lowercase())
}

fn missing_password() -> ApiError {
    ApiError::invalid("missing password")
}

/// 404, which tells more than upstream's 500.
fn unknown() -> ApiError {
    ApiError::new(ErrorKind::NotFound, "username does not exist").listed()
}

/// In bytes; more than any directory has.
const LONGEST_NAME: usize = 1024;
