//! Logins and what renewals of their tokens get (spec `approle.md` §5, §6).
//!
//! Who logs in with a counted secret id has the turn of its entry, makes all checks, and then there is one batch: the use
//! alone when the address is refused, the use and the token together when all is well. So a crash neither burns a use without a
//! token nor gives a token without a use.
//!
//! Nobody learns from a refusal which role ids there are. One that is unknown gets the answer of one that is known, and as many
//! records are read of storage for both: those a role id, its role and a secret id take when none of them is at hand. What was
//! not read by the time a login is refused is read then, so nobody who is let in waits for it.

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::cidr;
use crate::base::turns::Turn;
use crate::mount::field::{SecretText, Text};
use crate::mount::{Alias, Along, ApiError, Ctx, Nothing, Reply, TokenRenewal};
use crate::token::TokenInfo;

use super::AppRole;
use super::known::Record;
use super::role::{ReadyRole, Role};
use super::secret_api::check_within;
use super::secret_id::{Area, Entry, SecretId};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct LoginInput {
    /// The role id.
    #[serde(default)]
    role_id: Text,
    /// The secret id, where the role wants one.
    #[serde(default)]
    secret_id: SecretText,
}

/// A secret id that was shown.
struct Shown {
    entry: Arc<Entry>,
    /// Of a counted one.
    turn: Option<Turn>,
}

impl AppRole {
    /// A query string is no place for a secret id: nothing of it is looked at.
    pub(super) fn log_in_by_reading(_: Arc<Self>, _: Ctx, _: Nothing) -> Ready<Result<Reply, ApiError>> {
        ready(Err(ApiError::invalid(MISSING_ROLE_ID)))
    }

    pub(super) async fn log_in(self: Arc<Self>, cx: Ctx, input: LoginInput) -> Result<Reply, ApiError> {
        let role_id = input.role_id.trim();
        if role_id.is_empty() {
            return Err(ApiError::invalid(MISSING_ROLE_ID));
        }
        let mut reads = 0;
        let presented = self.presented(role_id, input.secret_id.expose().trim(), &mut reads).await;
        if presented.is_err() {
            self.even_out(reads, READS).await?;
        }
        let (ready, shown) = presented?;
        let role = &ready.role;
        let secret_id = shown.as_ref().map(|shown| &shown.entry.secret_id);
        let mut metadata = secret_id.map(|secret_id| secret_id.metadata.clone()).unwrap_or_default();
        metadata.insert("role_name".to_owned(), role.name.clone());
        let checked = check_address(role, secret_id, cx.asked.remote.ip);
        let mut grant = role.token.grant();
        if let Some(secret_id) = secret_id.filter(|secret_id| !secret_id.token_bound_cidrs.is_empty()) {
            let blocks = cidr::blocks(&secret_id.token_bound_cidrs).map_err(ApiError::internal)?;
            grant.bound_cidrs = blocks.into_iter().map(Into::into).collect();
        }
        grant.along = shown.and_then(|shown| self.spent(shown));
        if let Err(error) = checked {
            return Err(self.burnt(grant.along).await.err().unwrap_or(error));
        }
        grant.internal.insert(ROLE_NAME.to_owned(), role.name.clone());
        grant.alias = Some(Alias { name: role.role_id.clone(), metadata: metadata.clone() });
        grant.metadata = Some(metadata);
        Ok(Reply::login(grant))
    }

    /// What renewing a token gives by its role as it is now.
    pub(super) async fn renewal(&self, token: &TokenInfo) -> Result<TokenRenewal, ApiError> {
        let name = token.internal_meta.get(ROLE_NAME).ok_or_else(|| ApiError::internal("the token does not name its role"))?;
        match self.role(name).await? {
            Some((role, _)) => Ok(role.token.renewal()),
            None => Err(ApiError::fault(format!("role {name:?} does not exist during renewal"))),
        }
    }

    /// The role a role id belongs to, and the secret id that was shown if the role wants one. `reads` grows by the records read.
    async fn presented(&self, role_id: &str, secret: &str, reads: &mut u8) -> Result<(Arc<ReadyRole>, Option<Shown>), ApiError> {
        let found = self.role_by_id(role_id, reads).await?;
        match found {
            Some(ready) if !ready.role.bind_secret_id => Ok((ready, None)),
            _ if secret.is_empty() => Err(ApiError::invalid("missing secret_id")),
            Some(ready) => {
                let shown = self.shown(&ready, secret, reads).await?;
                Ok((ready, Some(shown)))
            }
            None => Err(refused()),
        }
    }

    /// Reads what a refused login has not: see the module.
    pub(super) async fn even_out(&self, reads: u8, whole: u8) -> Result<(), ApiError> {
        for _ in reads..whole {
            self.view.exists(NOWHERE).await?;
        }
        Ok(())
    }

    /// The entry of a secret id; of a counted one as it is in its turn.
    async fn shown(&self, role: &ReadyRole, secret: &str, reads: &mut u8) -> Result<Shown, ApiError> {
        let key = role.entry_key(secret);
        let entry = self.known_entry(&key, reads).await?.ok_or_else(|| ApiError::bad_credentials(REFUSED))?;
        let shown = if entry.secret_id.num_uses == 0 {
            Shown { entry, turn: None }
        } else {
            let turn = self.turn(&key).await;
            // Used up by those before: it was right when it was shown, and counts towards no lock.
            Shown { entry: Arc::new(self.live_entry(&key).await?.ok_or_else(refused)?), turn: Some(turn) }
        };
        if !self.is_known_accessor(&shown.entry).await? {
            let Shown { entry, turn } = shown;
            drop(turn);
            self.remove_if(&entry.key, |again| again.version == entry.version).await?;
            return Err(refused());
        }
        Ok(shown)
    }

    /// As [`Self::live_entry`]; kept at hand unless its uses are counted.
    async fn known_entry(&self, key: &str, reads: &mut u8) -> Result<Option<Arc<Entry>>, ApiError> {
        if let Some(Record::Entry(entry)) = self.known.get(key) {
            let is_live = !entry.secret_id.is_expired(self.deps.clock.precise());
            return Ok(is_live.then_some(entry));
        }
        let ticket = self.known.ticket(key);
        *reads += 1;
        let Some(entry) = self.live_entry(key).await?.map(Arc::new) else { return Ok(None) };
        if entry.secret_id.num_uses == 0 {
            self.known.fill(key, ticket, Record::Entry(Arc::clone(&entry)));
        }
        Ok(Some(entry))
    }

    /// As [`Self::has_accessor`]; that there is one is kept at hand.
    async fn is_known_accessor(&self, entry: &Entry) -> Result<bool, ApiError> {
        let key = self.accessor_key(Area::of_key(&entry.key), &entry.secret_id.accessor);
        if let Some(Record::Accessor) = self.known.get(&key) {
            return Ok(true);
        }
        let ticket = self.known.ticket(&key);
        let is_there = self.view.exists(&key).await?;
        if is_there {
            self.known.fill(&key, ticket, Record::Accessor);
        }
        Ok(is_there)
    }

    /// The batch of one use; `None` when uses are not counted.
    fn spent(&self, shown: Shown) -> Option<Along> {
        let Shown { entry, turn } = shown;
        let left = entry.secret_id.num_uses.checked_sub(1)?;
        let Entry { key, secret_id, version } = Arc::unwrap_or_clone(entry);
        let view = self.view.clone();
        let accessor = self.accessor_key(Area::of_key(&key), &secret_id.accessor);
        let next = SecretId { num_uses: left, updated: self.deps.clock.precise(), ..secret_id };
        let write = move |txn: &mut crate::barrier::Txn| {
            txn.expect_at(&view, &key, version);
            if left == 0 {
                txn.delete(&view, &key).delete(&view, &accessor);
            } else {
                txn.put(&view, &key, &next)?;
            }
            Ok(())
        };
        Some(Along { write: Box::new(write), turn })
    }

    /// Commits a use without a token.
    async fn burnt(&self, along: Option<Along>) -> Result<(), ApiError> {
        let Some(along) = along else { return Ok(()) };
        let mut txn = self.view.txn();
        (along.write)(&mut txn)?;
        match txn.commit().await {
            // Gone with its role: nothing is left to burn.
            Err(error) if error.is_conflict() => Ok(()),
            result => Ok(result?),
        }
    }
}

/// Whether a login may come from there, by the secret id and by the role.
fn check_address(role: &Role, secret_id: Option<&SecretId>, address: Option<IpAddr>) -> Result<(), ApiError> {
    let shown = address.map(|address| address.to_canonical().to_string()).unwrap_or_default();
    let of_role = cidr::blocks(role.login_cidrs()).map_err(ApiError::internal)?;
    if let Some(secret_id) = secret_id.filter(|secret_id| !secret_id.cidr_list.is_empty()) {
        let blocks = cidr::blocks(&secret_id.cidr_list).map_err(ApiError::internal)?;
        check_within(&blocks, &of_role)?;
        if !cidr::holds(&blocks, address) {
            let by = if secret_id.num_uses == 0 { "through" } else { "by" };
            let text = format!("source address {shown:?} unauthorized {by} CIDR restrictions on the secret ID");
            return Err(ApiError::invalid(text));
        }
    }
    if !of_role.is_empty() && !cidr::holds(&of_role, address) {
        let text = format!("source address {shown:?} unauthorized by CIDR restrictions on the role");
        return Err(ApiError::invalid(text));
    }
    Ok(())
}

/// One answer, whether the role id or the secret id is wrong.
fn refused() -> ApiError {
    ApiError { audited: Some("invalid credentials"), ..ApiError::invalid(REFUSED) }
}

const REFUSED: &str = "invalid role or secret ID";

/// Records a login reads that finds nothing at hand, up to where it may be refused for what it shows.
const READS: u8 = 3;

/// Those of a look for the role alone, which a rule for a role has made before each login: whether that finds one must not show
/// either.
pub(super) const READS_OF_ROLE: u8 = 2;

/// Where nothing lies.
const NOWHERE: &str = "role_id/nobody";

/// Under which name a token remembers its role.
const ROLE_NAME: &str = "role_name";

const MISSING_ROLE_ID: &str = "missing role_id";
