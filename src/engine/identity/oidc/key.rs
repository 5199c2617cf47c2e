//! A key by its name: the pair that signs, the one that comes next, and those that signed before and may still verify.

use serde::{Deserialize, Serialize};

use crate::base::{Timestamp, Ttl};
use crate::mount::ApiError;
use crate::storage::Version;

use super::Oidc;
use super::algorithm::Algorithm;
use super::pair::{Pair, Public};

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NamedKey {
    /// Of pairs made from now on.
    pub(super) algorithm: Algorithm,
    /// How long a pair signs.
    pub(super) rotation_period: Ttl,
    /// How long it may verify after that.
    pub(super) verification_ttl: Ttl,
    /// The clients tokens may be signed for; `*` for all.
    pub(super) allowed_client_ids: Vec<String>,
    /// Pairs; none before the first one is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pairs: Option<Pairs>,
    /// Public halves that do not sign any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) retired: Vec<Retired>,
    #[serde(skip)]
    version: Option<Version>,
}

/// The pair that signs and the one after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pairs {
    pub(super) signing: Pair,
    pub(super) next: Pair,
    /// When the next one takes over.
    pub(super) until: Timestamp,
}

/// A public half that may verify for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Retired {
    pub(super) public: Public,
    pub(super) until: Timestamp,
}

impl NamedKey {
    /// As a key is that nobody set anything of.
    pub(super) fn fresh() -> Self {
        Self {
            algorithm: Algorithm::Rs256,
            rotation_period: Ttl::hours(24),
            verification_ttl: Ttl::hours(24),
            allowed_client_ids: Vec::new(),
            pairs: None,
            retired: Vec::new(),
            version: None,
        }
    }

    /// Whether the pair that signs must be replaced.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.pairs.as_ref().is_some_and(|pairs| pairs.until <= now)
    }

    /// Whether tokens may be signed for a client.
    pub(super) fn allows(&self, client_id: &str) -> bool {
        self.allowed_client_ids.iter().any(|allowed| allowed == "*" || allowed == client_id)
    }
}

impl Oidc {
    /// A key by its name; `default` is always there.
    pub(super) async fn key(&self, name: &str) -> Result<Option<NamedKey>, ApiError> {
        let found = self.view.read_versioned::<NamedKey>(&key_path(name)).await?;
        Ok(match found {
            Some((key, version)) => Some(NamedKey { version: Some(version), ..key }),
            None if name == DEFAULT => Some(NamedKey { allowed_client_ids: vec!["*".to_owned()], ..NamedKey::fresh() }),
            None => None,
        })
    }

    /// The names of all keys, in order.
    pub(super) async fn key_names(&self) -> Result<Vec<String>, ApiError> {
        let mut names = self.view.sub(KEYS).scan_keys_all().await?;
        if !names.iter().any(|name| name == DEFAULT) {
            names.push(DEFAULT.to_owned());
            names.sort();
        }
        Ok(names)
    }

    /// Stores a key as it was read and then changed. With the turn.
    pub(super) async fn put_key(&self, name: &str, key: &NamedKey) -> Result<(), ApiError> {
        let path = key_path(name);
        let mut txn = self.view.txn();
        match key.version {
            Some(version) => txn.expect_at(&self.view, &path, version),
            None => txn.expect_absent(&self.view, &path),
        };
        txn.put(&self.view, &path, key)?;
        Ok(txn.commit().await?)
    }

    /// Removes a key, if it is there. With the turn.
    pub(super) async fn remove_key(&self, name: &str) -> Result<(), ApiError> {
        Ok(self.view.delete(&key_path(name)).await?)
    }

    /// Sees to it that a key has pairs, the next one of the right algorithm. With the turn.
    pub(super) async fn fill_key(&self, key: &mut NamedKey) -> Result<(), ApiError> {
        match &mut key.pairs {
            Some(pairs) if pairs.next.public.algorithm == key.algorithm => {}
            Some(pairs) => pairs.next = self.makers.make(&self.deps.tasks, key.algorithm).await?,
            None => {
                let signing = self.makers.make(&self.deps.tasks, key.algorithm).await?;
                let next = self.makers.make(&self.deps.tasks, key.algorithm).await?;
                let until = self.deps.clock.now().plus(key.rotation_period);
                key.pairs = Some(Pairs { signing, next, until });
            }
        }
        Ok(())
    }

    /// Lets the next pair take over; the one before verifies for `verification_ttl` longer. With the turn.
    pub(super) async fn rotate_key(&self, key: &mut NamedKey, verification_ttl: Ttl) -> Result<(), ApiError> {
        self.fill_key(key).await?;
        let next = self.makers.make(&self.deps.tasks, key.algorithm).await?;
        let now = self.deps.clock.now();
        let Some(pairs) = key.pairs.take() else { return Err(ApiError::internal("a key without pairs")) };
        key.retired.retain(|retired| retired.until > now);
        key.retired.push(Retired { public: pairs.signing.public, until: now.plus(verification_ttl) });
        let longer = key.retired.len().saturating_sub(MOST_RETIRED);
        key.retired.drain(..longer);
        key.pairs = Some(Pairs { signing: pairs.next, next, until: now.plus(key.rotation_period) });
        Ok(())
    }

    /// A key that can sign now: with pairs, and not overdue.
    pub(super) async fn ready_key(&self, name: &str) -> Result<Option<NamedKey>, ApiError> {
        let now = self.deps.clock.now();
        match self.key(name).await? {
            Some(key) if key.pairs.is_some() && !key.is_due(now) => return Ok(Some(key)),
            Some(_) => {}
            None => return Ok(None),
        }
        let _turn = self.turn().await;
        // Somebody may have been first.
        let Some(mut key) = self.key(name).await? else { return Ok(None) };
        if key.is_due(now) {
            let ttl = key.verification_ttl;
            self.rotate_key(&mut key, ttl).await?;
        } else if key.pairs.is_none() {
            self.fill_key(&mut key).await?;
        } else {
            return Ok(Some(key));
        }
        self.put_key(name, &key).await?;
        Ok(Some(key))
    }

    /// Rotates all keys that are due.
    pub(in crate::engine::identity) async fn rotate_due(&self) {
        let due = match self.published().await {
            Ok(published) => published.next_rotation.is_some_and(|at| at <= self.deps.clock.now()),
            Err(error) => {
                tracing::error!(error = ?error, "the keys of identity tokens cannot be read; it is tried again");
                return;
            }
        };
        if !due {
            return;
        }
        let Ok(names) = self.key_names().await else { return };
        for name in names {
            let is_due = self.key(&name).await.is_ok_and(|key| key.is_some_and(|key| key.is_due(self.deps.clock.now())));
            if is_due && let Err(error) = self.ready_key(&name).await {
                tracing::error!(key = name, error = ?error, "the key `{name}` cannot be rotated yet; it is tried again");
            }
        }
    }
}

pub(super) fn key_path(name: &str) -> String {
    format!("{KEYS}{name}")
}

pub(super) const KEYS: &str = "key/";

/// The key every server has.
pub(super) const DEFAULT: &str = "default";

/// Public halves kept for one key: who rotates by hand more often than that loses the oldest.
const MOST_RETIRED: usize = 64;
