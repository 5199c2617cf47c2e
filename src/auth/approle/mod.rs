//! `AppRole`: how programs log in (spec `approle.md`). A role has a role id; a login shows it and, unless the role does without,
//! a secret id that was generated under the role.
//!
//! ```text
//! salt                                                    of this mount, made when it is opened first
//! role/<name>                                             the role, with its role id and a key of its own
//! role_id/<salted role id>                                → name of the role
//! secret_id/<HMAC of the name>/<HMAC of the secret id>    what is known of a secret id; the HMACs' key is the role's
//! accessor/<salted accessor>                              → the two HMACs
//! secret_id_local/… accessor_local/…                      the same, of roles with `local_secret_ids`
//! ```
//!
//! A role made anew under an old name has a new key, so what is left of the old one is never found again. Each change is one
//! batch that expects what it was decided on. Nobody compares secrets: they are looked up by keyed hashes.

mod fields;
mod known;
mod login;
mod metadata;
mod role;
mod role_api;
mod secret_api;
mod secret_id;
mod tidy;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use ring::hmac;
use serde::{Deserialize, Serialize};

use serde_json::{Map, Value};

use crate::barrier::View;
use crate::base::secret::stored_secret;
use crate::base::turns::Turn;
use crate::base::{Key, Secret, random};
use crate::mount::{ApiError, Ctx, Deps, Plugin, Table, TokenRenewal};
use crate::token::TokenInfo;

use known::{KEPT, Known};
use tidy::Sweep;

/// The auth method.
pub struct AppRole {
    view: View,
    deps: Deps,
    salt: hmac::Key,
    known: Known,
    is_tidying: Arc<AtomicBool>,
    /// Where the minute's tidying goes on. Guards a place; one tidying at a time; held to take or put it.
    sweep: Mutex<Sweep>,
}

impl Plugin for AppRole {
    const KIND: &'static str = "approle";
    const ABOUT: &'static str = "Logs programs in with a role id and a secret id.";

    async fn open(view: View, deps: Deps) -> Result<Self, ApiError> {
        let salt = salt(&view).await?;
        Ok(Self { view, deps, salt, known: Known::new(KEPT), is_tidying: Arc::default(), sweep: Mutex::default() })
    }

    fn endpoints(table: &mut Table<Self>) {
        role_api::endpoints(table);
        fields::endpoints(table);
        secret_api::endpoints(table);
        table
            .at("tidy/secret-id/", "Starts to remove secret ids that have expired, and what is left of others.")
            .update(Self::start_tidying);
        table.at("login", "Logs in.").update(Self::log_in).read(Self::log_in_by_reading).login();
    }

    fn login_name(_: &str, data: &Map<String, Value>) -> Option<String> {
        let role_id = data.get("role_id")?.as_str()?.trim();
        (!role_id.is_empty()).then(|| role_id.to_owned())
    }

    fn invalidate(&self, key: &Key) {
        known::changed(&self.known, key);
    }

    async fn login_role(self: Arc<Self>, _: &str, data: &Map<String, Value>) -> Result<Option<String>, ApiError> {
        let role_id = data.get("role_id").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        if role_id.is_empty() {
            return Ok(None);
        }
        let mut reads = 0;
        let found = self.role_by_id(role_id, &mut reads).await?;
        self.even_out(reads, login::READS_OF_ROLE).await?;
        Ok(found.map(|ready| ready.role.name.clone()))
    }

    async fn renew_token(self: Arc<Self>, _: Ctx, token: Arc<TokenInfo>) -> Result<TokenRenewal, ApiError> {
        self.renewal(&token).await
    }

    async fn tick(self: Arc<Self>) {
        self.tidy_some().await;
    }
}

impl AppRole {
    /// The keyed hash under which a role id or accessor is found.
    fn salted(&self, text: &str) -> String {
        hex_of(&self.salt, text)
    }

    /// Waits until it may change the record at a key of this mount.
    async fn turn(&self, key: &str) -> Turn {
        self.deps.turns.take(&self.view.key(key)).await
    }
}

impl fmt::Debug for AppRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppRole").field("mount", &self.deps.entry.id).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Salt {
    #[serde(with = "stored_secret")]
    salt: Secret<String>,
}

/// The mount's salt, which is made when there is none.
async fn salt(view: &View) -> Result<hmac::Key, ApiError> {
    for _ in 0..TRIES {
        if let Some(stored) = view.read::<Salt>("salt").await? {
            return Ok(hmac::Key::new(hmac::HMAC_SHA256, stored.salt.expose().as_bytes()));
        }
        let mut txn = view.txn();
        txn.expect_absent(view, "salt");
        txn.put(view, "salt", &Salt { salt: fresh_key() })?;
        match txn.commit().await {
            Err(error) if !error.is_conflict() => return Err(error.into()),
            _ => {}
        }
    }
    Err(contended("the salt"))
}

/// The keyed hash of a text, as 64 hex digits.
fn hex_of(key: &hmac::Key, text: &str) -> String {
    let mut digits = [0; 64];
    // 32 bytes fill 64 digits.
    let _ = hex::encode_to_slice(hmac::sign(key, text.as_bytes()), &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

/// A random key for hashes, as text.
fn fresh_key() -> Secret<String> {
    Secret::new(hex::encode(random::bytes::<32>()))
}

fn contended(what: &str) -> ApiError {
    ApiError::internal(format!("{what} changed under every attempt"))
}

/// How often a batch is tried when what it was decided on has changed. Who changes a record has its turn, so this is about what
/// is expected besides.
const TRIES: usize = 8;

#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod tests;
