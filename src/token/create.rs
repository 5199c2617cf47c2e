//! Making tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::barrier::Txn;
use crate::base::ids::timed_suffix;
use crate::base::{Accessor, MountId, Secret, Timestamp, TokenKey, Ttl};

use super::accessors::AccessorEntry;
use super::info::State;
use super::records::SERVICE;
use super::{BoundCidr, TokenError, TokenInfo, TokenKind, TokenStore, accessor, batch, child, id};

/// A token to be made. Whoever asks has checked that it may be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Service or batch. A batch token takes neither id, uses, period nor explicit maximum, and is not renewable.
    pub kind: TokenKind,
    /// The token itself, where the caller chose it.
    pub id: Option<Secret<String>>,
    /// The token it ends with.
    pub parent: Option<TokenKey>,
    /// Sanitized.
    pub policies: Vec<String>,
    /// The path of the request that makes it.
    pub path: String,
    /// For all to see.
    pub meta: Option<BTreeMap<String, String>>,
    /// For renewals, never shown.
    pub internal_meta: BTreeMap<String, String>,
    /// For people.
    pub display_name: String,
    /// 0: as many as one likes.
    pub num_uses: u64,
    /// How long it lives at first, as computed by `lease::ttl`; zero, for root's only: without end.
    pub ttl: Ttl,
    /// Zero: none.
    pub explicit_max_ttl: Ttl,
    /// Zero: not periodic.
    pub period: Ttl,
    /// Whether it can be renewed at all.
    pub renewable: bool,
    /// The token store's role.
    pub role: Option<String>,
    /// The role of the auth method that whoever logs in has; quotas may be of a role.
    pub login_role: Option<String>,
    /// Empty: nobody's.
    pub entity_id: String,
    /// The entity's policies are not its own.
    pub no_identity_policies: bool,
    /// Empty: usable from anywhere.
    pub bound_cidrs: Vec<BoundCidr>,
    /// The auth mount that issues it.
    pub mount: MountId,
    /// Whether it is listed among the leases; false for the first root token.
    pub has_lease: bool,
}

/// A token that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// What its holder shows. Nobody can be told it again.
    pub token: Secret<String>,
    /// As it will be once the batch is durable; without version.
    pub info: Arc<TokenInfo>,
}

impl NewToken {
    /// A service token of these policies, made by a request to `path` of `mount`: an orphan without end that can be used and
    /// renewed, and of which nothing else is known.
    pub fn service(policies: Vec<String>, path: impl Into<String>, mount: MountId) -> Self {
        Self {
            kind: TokenKind::Service,
            id: None,
            parent: None,
            policies,
            path: path.into(),
            meta: None,
            internal_meta: BTreeMap::new(),
            display_name: String::new(),
            num_uses: 0,
            ttl: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            period: Ttl::ZERO,
            renewable: true,
            role: None,
            login_role: None,
            entity_id: String::new(),
            no_identity_policies: false,
            bound_cidrs: Vec::new(),
            mount,
            has_lease: true,
        }
    }

    pub(super) fn info(&self, key: TokenKey, accessor: Option<Accessor>, now: Timestamp) -> TokenInfo {
        let is_service = self.kind == TokenKind::Service;
        let end = self.ttl.nonzero().map(|ttl| now.plus(ttl));
        TokenInfo {
            key,
            kind: self.kind,
            accessor,
            version: None,
            parent: self.parent,
            policies: self.policies.clone(),
            path: self.path.clone(),
            meta: self.meta.clone(),
            internal_meta: self.internal_meta.clone(),
            display_name: self.display_name.clone(),
            num_uses: if is_service { self.num_uses } else { 0 },
            created: now,
            creation_ttl: self.ttl,
            explicit_max_ttl: if is_service { self.explicit_max_ttl } else { Ttl::ZERO },
            period: if is_service { self.period } else { Ttl::ZERO },
            end,
            last_renewal: None,
            renewable: is_service && self.renewable,
            role: self.role.clone(),
            entity_id: self.entity_id.clone(),
            no_identity_policies: self.no_identity_policies,
            bound_cidrs: self.bound_cidrs.clone(),
            mount: self.mount.clone(),
            has_lease: is_service && self.has_lease,
            quota: None,
            state: State::Live,
            due: if is_service { end } else { None },
        }
    }
}

impl TokenStore {
    /// Adds a token to the batch the caller is about to commit; a batch token adds nothing. When that batch conflicts, this is
    /// called again for another: whatever was in the way is found then.
    ///
    /// # Errors
    /// [`TokenError::ParentEnded`], [`TokenError::Duplicate`] for a chosen id, [`TokenError::Endless`].
    pub async fn create(&self, new: &NewToken, txn: &mut Txn) -> Result<Made, TokenError> {
        let now = self.clock.now();
        let parent = match &new.parent {
            Some(parent) => Some(self.records.find_key(parent).await?.ok_or(TokenError::ParentEnded)?),
            None => None,
        };
        if new.kind == TokenKind::Batch {
            let unnamed = new.info(TokenKey::untimed(&[0; 32]), None, now);
            let token = batch::seal(self.view.barrier(), &unnamed)?;
            let info = TokenInfo { key: self.key(token.expose()), ..unnamed };
            return Ok(Made { token, info: Arc::new(info) });
        }
        let precise = self.clock.precise();
        let token = new.id.clone().unwrap_or_else(|| Secret::new(format!("{SERVICE}{}", timed_suffix(precise))));
        let key = self.key(token.expose());
        let accessor_text = Accessor::fresh(precise);
        let accessor_key = self.records.accessor_key(accessor_text.as_str());
        let mut info = new.info(key, Some(accessor_text.clone()), now);
        if info.end.is_none() && !info.is_root() {
            return Err(TokenError::Endless);
        }
        if new.id.is_some() && self.view.exists(&id(&key)).await? {
            return Err(TokenError::Duplicate);
        }
        if info.counts_as_lease() {
            info.quota = self.leases.admit(txn, &info.path, new.login_role.as_deref())?;
        }
        let view = &self.view;
        txn.expect_absent(view, &id(&key));
        txn.put(view, &id(&key), &info)?;
        txn.put(view, &accessor(&accessor_key), &AccessorEntry { token: key, accessor: accessor_text })?;
        if let Some(parent) = parent {
            match parent.version {
                Some(version) => txn.expect_at(view, &id(&parent.key), version),
                // It is there, or it was not found.
                None => return Err(TokenError::ParentEnded),
            };
            txn.put_bytes(view, &child(&parent.key, &key), b"")?;
        }
        if info.has_lease {
            self.leases.put_token(txn, &info.path, &key, info.due)?;
        } else {
            self.leases.move_token(txn, &key, None, info.due)?;
        }
        Ok(Made { token, info: Arc::new(info) })
    }
}
