//! Roles as they are stored, and how they change: in turn, in one batch with the index of their role id.

use std::sync::Arc;

use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::auth::token_fields::TokenFields;
use crate::base::secret::stored_secret;
use crate::base::{Secret, Ttl, random};
use crate::mount::ApiError;
use crate::storage::Version;

use super::known::Record;
use super::{AppRole, TRIES, contended, fresh_key, hex_of};

/// The record of a role.
#[expect(clippy::struct_field_names, reason = "a role id is called so everywhere")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Role {
    /// In lower case.
    pub(super) name: String,
    /// What a login shows.
    pub(super) role_id: String,
    /// Of the hashes of its secret ids.
    #[serde(with = "stored_secret")]
    hmac_key: Secret<String>,
    /// A login needs a secret id.
    pub(super) bind_secret_id: bool,
    /// Blocks logins may come from, as supplied; `None` when never set.
    #[serde(default)]
    pub(super) secret_id_bound_cidrs: Option<Vec<String>>,
    /// What secret ids get, and the most they can get; zero: no limit.
    #[serde(default)]
    pub(super) secret_id_num_uses: u64,
    /// The same; zero: they do not expire.
    #[serde(default)]
    pub(super) secret_id_ttl: Ttl,
    /// Its secret ids lie apart. Fixed when it is created.
    #[serde(default)]
    pub(super) local_secret_ids: bool,
    /// What its tokens are like.
    #[serde(default)]
    pub(super) token: TokenFields,
    /// `token.policies` under their old name; empty: not set through it.
    #[serde(default)]
    pub(super) policies: Vec<String>,
    /// `token.period` under its old name; zero: not set through it.
    #[serde(default)]
    pub(super) period: Ttl,
}

/// A role, and what each login would compute of it.
pub(super) struct ReadyRole {
    pub(super) role: Role,
    key: hmac::Key,
    entries: String,
}

/// Where the index of role ids leads.
#[derive(Serialize, Deserialize)]
struct Named {
    name: String,
}

impl Role {
    /// As it is when nothing is supplied.
    pub(super) fn fresh(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role_id: random::uuid(),
            hmac_key: fresh_key(),
            bind_secret_id: true,
            secret_id_bound_cidrs: None,
            secret_id_num_uses: 0,
            secret_id_ttl: Ttl::ZERO,
            local_secret_ids: false,
            token: TokenFields::default(),
            policies: Vec::new(),
            period: Ttl::ZERO,
        }
    }

    /// The hash that stands for a secret id, or for the role's own name, in keys.
    pub(super) fn hash(&self, text: &str) -> String {
        hex_of(&self.key(), text)
    }

    /// The key of [`Self::hash`].
    pub(super) fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.hmac_key.expose().as_bytes())
    }

    /// The blocks logins may come from; empty: anywhere.
    pub(super) fn login_cidrs(&self) -> &[String] {
        self.secret_id_bound_cidrs.as_deref().unwrap_or_default()
    }

    /// Whether anything stands between a role id and a token.
    pub(super) fn is_constrained(&self) -> bool {
        self.bind_secret_id || !self.login_cidrs().is_empty() || !self.token.bound_cidrs.is_empty()
    }

    fn check(&self) -> Result<(), ApiError> {
        self.token.check()?;
        if !self.is_constrained() {
            return Err(ApiError::invalid("at least one constraint should be enabled on the role"));
        }
        Ok(())
    }
}

impl ReadyRole {
    /// Where a secret id lies; see [`AppRole::entry_key`].
    pub(super) fn entry_key(&self, secret_id: &str) -> String {
        [self.entries.as_str(), &hex_of(&self.key, secret_id)].concat()
    }
}

impl AppRole {
    /// A role by its name, which is in lower case.
    pub(super) async fn role(&self, name: &str) -> Result<Option<(Role, Version)>, ApiError> {
        Ok(self.view.read_versioned(&role_key(name)).await?)
    }

    /// The role a role id belongs to, for a login. `reads` grows by the records read.
    pub(super) async fn role_by_id(&self, role_id: &str, reads: &mut u8) -> Result<Option<Arc<ReadyRole>>, ApiError> {
        let index = self.role_id_key(role_id);
        let key = if let Some(Record::Named(key)) = self.known.get(&index) {
            key
        } else {
            let ticket = self.known.ticket(&index);
            *reads += 1;
            let Some(found) = self.view.read::<Named>(&index).await? else { return Ok(None) };
            let key = Arc::from(role_key(&found.name));
            self.known.fill(&index, ticket, Record::Named(Arc::clone(&key)));
            key
        };
        if let Some(Record::Role(role)) = self.known.get(&key) {
            return Ok(Some(role));
        }
        let ticket = self.known.ticket(&key);
        *reads += 1;
        let Some(role) = self.view.read::<Role>(&key).await? else { return Ok(None) };
        let role = Arc::new(ReadyRole { entries: Self::entries_of(&role), key: role.key(), role });
        self.known.fill(&key, ticket, Record::Role(Arc::clone(&role)));
        Ok(Some(role))
    }

    /// Changes a role, or creates it. `change` is given what is stored and says what shall be, with warnings for the caller;
    /// `None`: all stays. It is asked again when something came in between.
    ///
    /// # Errors
    /// 400 when the role would have no constraint left, or its role id is another's; nothing has changed then.
    pub(super) async fn change_role<F>(&self, name: &str, change: F) -> Result<Vec<String>, ApiError>
    where
        F: Fn(Option<&Role>) -> Result<Option<(Role, Vec<String>)>, ApiError> + Send + Sync,
    {
        let key = role_key(name);
        let _turn = self.turn(&key).await;
        for _ in 0..TRIES {
            let stored = self.role(name).await?;
            let before = stored.as_ref().map(|(role, _)| role);
            let Some((next, warnings)) = change(before)? else { return Ok(Vec::new()) };
            next.check()?;
            let index = self.role_id_key(&next.role_id);
            let mut txn = self.view.txn();
            match &stored {
                Some((_, version)) => txn.expect_at(&self.view, &key, *version),
                None => txn.expect_absent(&self.view, &key),
            };
            txn.put(&self.view, &key, &next)?;
            let index_before = before.map(|role| self.role_id_key(&role.role_id));
            if index_before.as_deref() != Some(index.as_str()) {
                if self.view.exists(&index).await? {
                    return Err(ApiError::invalid("role_id already in use"));
                }
                txn.expect_absent(&self.view, &index);
                txn.put(&self.view, &index, &Named { name: name.to_owned() })?;
                if let Some(index) = index_before {
                    txn.delete(&self.view, &index);
                }
            }
            match txn.commit().await {
                Ok(()) => return Ok(warnings),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("the role"))
    }

    /// Removes a role: from one batch on nobody logs in with it. Its secret ids follow; should that be cut short, tidying
    /// finds them.
    pub(super) async fn remove_role(&self, name: &str) -> Result<(), ApiError> {
        let key = role_key(name);
        let _turn = self.turn(&key).await;
        for _ in 0..TRIES {
            let Some((role, version)) = self.role(name).await? else { return Ok(()) };
            let mut txn = self.view.txn();
            txn.expect_at(&self.view, &key, version);
            txn.delete(&self.view, &key);
            txn.delete(&self.view, &self.role_id_key(&role.role_id));
            match txn.commit().await {
                Ok(()) => return self.remove_secret_ids(&role).await,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("the role"))
    }

    fn role_id_key(&self, role_id: &str) -> String {
        format!("role_id/{}", self.salted(role_id))
    }
}

/// Where a role lies; also whose turn its changes take.
pub(super) fn role_key(name: &str) -> String {
    format!("role/{name}")
}
