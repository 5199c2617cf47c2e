//! Reading tokens: the one who calls is known after a hash and a look into memory.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ring::hmac;
use zeroize::Zeroizing;

use crate::barrier::{Barrier, BarrierError, View};
use crate::base::{Clock, Key, TokenKey, random};
use crate::lease::Owners;
use crate::storage::Version;

use super::accessors::AccessorEntry;
use super::cache::Cache;
use super::info::State;
use super::{IDS, ROOT, TokenError, TokenInfo, accessor, batch, id};

/// Reads tokens, and keeps those at hand that are asked for. Made before the lease manager, which asks it for versions.
pub struct TokenRecords {
    barrier: Arc<Barrier>,
    pub(super) view: View,
    clock: Arc<dyn Clock>,
    salt: hmac::Key,
    cache: Arc<Cache>,
}

impl TokenRecords {
    /// Reads the salt of this barrier's tokens, or makes one when there is none.
    pub async fn open(barrier: &Arc<Barrier>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, TokenError> {
        let view = barrier.view(ROOT);
        let salt = salt(&view).await?;
        let cache = Arc::new(Cache::new(CACHED));
        let told = Arc::clone(&cache);
        let prefix = view.key(IDS);
        let changed = move |key: &Key| {
            if let Some(token) = key.under(&prefix).and_then(TokenKey::parse) {
                told.changed(&token);
            }
        };
        barrier.subscribe(&format!("{ROOT}{IDS}"), Arc::new(changed));
        Ok(Arc::new(Self { barrier: Arc::clone(barrier), view, clock, salt, cache }))
    }

    /// The key of a token, of whatever form. Those this server makes carry the time of their issue, and so does their key.
    pub fn key(&self, token: &str) -> TokenKey {
        self.hash(token, token.strip_prefix(SERVICE).or_else(|| token.strip_prefix(OLD_SERVICE)))
    }

    /// The token, if it can be used: it has neither ended nor is it being ended, has a use left, and, if it is a batch token,
    /// its parent lives. A known one costs a hash and a look into memory.
    pub async fn find(&self, token: &str) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        Ok(self.find_spent(token).await?.filter(|info| !info.is_spent()))
    }

    /// The same by its key; batch tokens have none.
    pub async fn find_key(&self, key: &TokenKey) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        Ok(self.find_spent_key(key).await?.filter(|info| !info.is_spent()))
    }

    /// As [`TokenRecords::find`], and also a token whose last use was just taken: the request that took it may look at it.
    pub async fn find_spent(&self, token: &str) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        if token.is_empty() || token.len() > LONGEST {
            return Ok(None);
        }
        let key = self.key(token);
        if let Some(info) = self.cache.get(&key) {
            return self.if_alive(info).await;
        }
        match token.strip_prefix(batch::PREFIX) {
            Some(sealed) => self.open_batch(key, sealed).await,
            None => self.find_spent_key(&key).await,
        }
    }

    /// The same by its key; batch tokens have none.
    pub async fn find_spent_key(&self, key: &TokenKey) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        let now = self.clock.now();
        let info = match self.cache.get(key) {
            Some(info) => Some(info),
            None => self.load(key).await?,
        };
        Ok(info.filter(|info| !info.is_revoking() && !info.is_past_end(now)))
    }

    /// The token of an accessor, whatever has become of it.
    pub async fn by_accessor(&self, text: &str) -> Result<Option<TokenKey>, TokenError> {
        if text.is_empty() || text.len() > LONGEST {
            return Ok(None);
        }
        let entry = self.view.read::<AccessorEntry>(&accessor(&self.accessor_key(text))).await?;
        Ok(entry.filter(|entry| entry.accessor.as_str() == text).map(|entry| entry.token))
    }

    /// Where an accessor lies.
    pub(super) fn accessor_key(&self, text: &str) -> TokenKey {
        self.hash(text, Some(text))
    }

    /// The record as it is stored.
    pub(super) async fn read(&self, key: &TokenKey) -> Result<Option<(TokenInfo, Version)>, BarrierError> {
        let found = self.view.read_versioned::<TokenInfo>(&id(key)).await?;
        Ok(found.map(|(mut info, version)| {
            (info.key, info.version) = (*key, Some(version));
            (info, version)
        }))
    }

    /// Reads a service token, and keeps it at hand if it may be.
    async fn load(&self, key: &TokenKey) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        let ticket = self.cache.ticket(key);
        let Some((info, _)) = self.read(key).await? else { return Ok(None) };
        let info = Arc::new(info);
        if info.state == State::Live && !info.is_limited() && !info.is_past_end(self.clock.now()) {
            self.cache.fill(ticket, Arc::clone(&info));
        }
        Ok(Some(info))
    }

    async fn open_batch(&self, key: TokenKey, sealed: &str) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        let ticket = self.cache.ticket(&key);
        let Some(info) = batch::open(&self.barrier, key, sealed)?.map(Arc::new) else { return Ok(None) };
        let alive = self.if_alive(info).await?;
        if let Some(info) = &alive {
            self.cache.fill(ticket, Arc::clone(info));
        }
        Ok(alive)
    }

    /// What is stored of a service token may say more than its end; a batch token lives no longer than its parent.
    async fn if_alive(&self, info: Arc<TokenInfo>) -> Result<Option<Arc<TokenInfo>>, TokenError> {
        if info.is_past_end(self.clock.now()) {
            if info.kind == super::TokenKind::Batch {
                self.cache.changed(&info.key);
            }
            return Ok(None);
        }
        match info.parent {
            Some(parent) if info.kind == super::TokenKind::Batch => Ok(self.find_key(&parent).await?.map(|_| info)),
            _ => Ok(Some(info)),
        }
    }

    /// `timed`: where the time stands, if the text has the form of those this server makes.
    fn hash(&self, text: &str, timed: Option<&str>) -> TokenKey {
        let tag = hmac::sign(&self.salt, text.as_bytes());
        let mut hash = [0; 32];
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        timed
            .filter(|timed| timed.len() == TIMED && timed.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .and_then(|timed| TokenKey::new(timed.get(..TIME)?, &hash))
            .unwrap_or_else(|| TokenKey::untimed(&hash))
    }
}

#[async_trait]
impl Owners for TokenRecords {
    async fn version(&self, token: &TokenKey) -> Result<Option<Version>, BarrierError> {
        match self.find_spent_key(token).await {
            Ok(found) => Ok(found.and_then(|info| info.version)),
            Err(TokenError::Barrier(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

impl fmt::Debug for TokenRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecords").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// The secret that stands between tokens and their keys.
async fn salt(view: &View) -> Result<hmac::Key, BarrierError> {
    loop {
        if let Some(salt) = view.read_bytes(SALT).await?.map(Zeroizing::new) {
            return Ok(hmac::Key::new(hmac::HMAC_SHA256, &salt));
        }
        let mut txn = view.txn();
        txn.expect_absent(view, SALT).put_bytes(view, SALT, &*Zeroizing::new(random::bytes::<32>()))?;
        match txn.commit().await {
            // Somebody else made one: it is there, and next time it is read.
            Err(error) if !error.is_conflict() => return Err(error),
            _ => {}
        }
    }
}

/// Begins every service token.
pub(super) const SERVICE: &str = "hvs.";

/// Began service tokens in former times.
const OLD_SERVICE: &str = "s.";

/// Characters of what stands behind the prefix, and of an accessor; see `base::ids::timed_suffix`.
const TIMED: usize = 24;

/// Of those, characters of time.
const TIME: usize = 7;

/// Bytes of the longest text that can be a token or accessor. A batch token with a hundred policies has some thousands.
const LONGEST: usize = 16 * 1024;

/// Where the salt lies.
const SALT: &str = "salt";

/// Tokens at hand: about a kilobyte each. One that is not costs a read of storage.
const CACHED: usize = 8192;
