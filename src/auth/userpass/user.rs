//! Users as they are stored, and how they change: in turn, in one batch that expects what it was decided on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::token_fields::TokenFields;
use crate::base::Secret;
use crate::base::secret::stored_secret;
use crate::mount::ApiError;

use super::Userpass;

/// The record of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    /// Of the password, in bcrypt's form.
    #[serde(with = "stored_secret")]
    pub(super) hash: Secret<String>,
    /// What tokens of the user are like.
    #[serde(default)]
    pub(super) token: TokenFields,
    /// Which fields of `token` were set by their old names, and are shown under these as well.
    #[serde(default)]
    pub(super) old_names: OldNames,
}

/// See [`User::old_names`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "one a name")]
pub(super) struct OldNames {
    pub(super) policies: bool,
    pub(super) ttl: bool,
    pub(super) max_ttl: bool,
    pub(super) bound_cidrs: bool,
}

impl User {
    /// As the API shows it: without the hash.
    pub(super) fn shown(&self) -> Map<String, Value> {
        let mut shown = self.token.shown();
        let OldNames { policies, ttl, max_ttl, bound_cidrs } = self.old_names;
        if policies && !self.token.policies.is_empty() {
            shown.insert("policies".to_owned(), json!(self.token.policies));
        }
        if ttl && !self.token.ttl.is_zero() {
            shown.insert("ttl".to_owned(), json!(self.token.ttl));
        }
        if max_ttl && !self.token.max_ttl.is_zero() {
            shown.insert("max_ttl".to_owned(), json!(self.token.max_ttl));
        }
        if bound_cidrs && !self.token.bound_cidrs.is_empty() {
            let blocks = shown.get("token_bound_cidrs").cloned().unwrap_or_default();
            shown.insert("bound_cidrs".to_owned(), blocks);
        }
        shown
    }
}

impl Userpass {
    /// A user by his name, which is in lower case.
    pub(super) async fn user(&self, name: &str) -> Result<Option<User>, ApiError> {
        Ok(self.view.read(&key(name)).await?)
    }

    /// Changes a user, or makes one. `change` is given what is stored and says what shall be, with warnings for the caller; it is
    /// asked again when something came in between.
    ///
    /// # Errors
    /// What `change` says; nothing has changed then.
    pub(super) async fn change_user<F>(&self, name: &str, change: F) -> Result<Vec<String>, ApiError>
    where
        F: Fn(Option<User>) -> Result<(User, Vec<String>), ApiError> + Send + Sync,
    {
        let key = key(name);
        let _turn = self.deps.turns.take(&self.view.key(&key)).await;
        for _ in 0..TRIES {
            let (stored, version) = self.view.read_versioned::<User>(&key).await?.unzip();
            let (next, warnings) = change(stored)?;
            let mut txn = self.view.txn();
            match version {
                Some(version) => txn.expect_at(&self.view, &key, version),
                None => txn.expect_absent(&self.view, &key),
            };
            txn.put(&self.view, &key, &next)?;
            match txn.commit().await {
                Ok(()) => return Ok(warnings),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::internal("the user changed under every attempt"))
    }

    /// Removes a user, if he is there. His tokens live on.
    pub(super) async fn remove_user(&self, name: &str) -> Result<(), ApiError> {
        let key = key(name);
        let _turn = self.deps.turns.take(&self.view.key(&key)).await;
        Ok(self.view.delete(&key).await?)
    }

    /// The names of all users.
    pub(super) async fn users(&self) -> Result<Vec<String>, ApiError> {
        Ok(self.view.list_all("user/").await?)
    }
}

fn key(name: &str) -> String {
    format!("user/{name}")
}

/// How often a batch is tried when the user has changed. Who changes one has his turn, so this is about other nodes.
const TRIES: usize = 8;
