//! Logins and what renewals of their tokens get (spec `userpass.md`, "Login").
//!
//! Nobody learns from a refusal which users there are: for a name that is unknown, as for one that is known, one record is read,
//! one password compared, and the answer is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::cidr;
use crate::auth::token_fields::sanitized;
use crate::mount::field::SecretText;
use crate::mount::{Alias, ApiError, Ctx, Reply, TokenRenewal};
use crate::token::TokenInfo;

use super::Userpass;
use super::bcrypt::Hashed;
use super::workers::Workers;

/// What a user shows.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct LoginInput {
    /// Who.
    username: String,
    /// His password.
    #[serde(default)]
    password: SecretText,
}

impl Userpass {
    pub(super) async fn log_in(self: Arc<Self>, cx: Ctx, input: LoginInput) -> Result<Reply, ApiError> {
        if input.password.expose().is_empty() {
            return Err(ApiError::invalid("missing password"));
        }
        let name = input.username.to_ascii_lowercase();
        let user = self.user(&name).await?;
        let hash = match &user {
            Some(user) => Hashed::parse(user.hash.expose()).ok_or_else(|| ApiError::internal("a stored hash is none"))?,
            None => self.nobody.clone(),
        };
        // The same work for everybody: nothing tells by its time who there is.
        let password = input.password;
        let matches = Workers::shared().run(&self.deps.tasks, move || hash.matches(password.expose())).await?;
        let user = match (user, matches) {
            (Some(user), true) => user,
            (Some(_), false) => return Err(ApiError::bad_credentials(REFUSED)),
            // Counts towards no lock: who is not there cannot be locked out.
            (None, _) => return Err(ApiError { audited: Some("invalid credentials"), ..ApiError::invalid(REFUSED) }),
        };
        let blocks = &user.token.bound_cidrs;
        if !blocks.is_empty() && !cidr::holds(blocks, cx.asked.remote.ip) {
            return Err(ApiError::denied());
        }
        let metadata = BTreeMap::from([(USERNAME.to_owned(), name.clone())]);
        let mut grant = user.token.grant();
        grant.internal.insert(USERNAME.to_owned(), name.clone());
        grant.display_name.clone_from(&name);
        grant.alias = Some(Alias { name, metadata: metadata.clone() });
        grant.metadata = Some(metadata);
        Ok(Reply::login(grant))
    }

    /// What renewing a token gives by its user as he is now. One who is gone renews nothing, and that is no error.
    pub(super) async fn renewal(&self, token: &TokenInfo) -> Result<TokenRenewal, ApiError> {
        let name = token.internal_meta.get(USERNAME).ok_or_else(|| ApiError::internal("the token does not name its user"))?;
        let Some(user) = self.user(name).await? else {
            return Ok(TokenRenewal { is_nothing: true, ..TokenRenewal::same(token) });
        };
        if own(&token.policies) != own(&user.token.policies) {
            return Err(ApiError::fault("policies have changed, not renewing"));
        }
        Ok(user.token.renewal())
    }
}

/// Policies as a set, without `default`, which nobody assigns.
fn own(policies: &[String]) -> BTreeSet<String> {
    sanitized(policies).into_iter().filter(|name| name != "default").collect()
}

/// One answer, whether the name or the password is wrong.
const REFUSED: &str = "invalid username or password";

/// What a token remembers of who logged in, and shows.
const USERNAME: &str = "username";
