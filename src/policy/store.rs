//! Where policies are kept, and what they say together for a token: compiled once, handed out without a read of storage
//! (spec `policies.md` §5; architecture §8).

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, BarrierError, View};
use crate::base::{Key, Secret};

use super::builtin::{self, CONTROL_GROUP, CONTROL_GROUP_TEXT, DEFAULT, DEFAULT_TEXT, ROOT};
use super::builtin::{RESPONSE_WRAPPING, RESPONSE_WRAPPING_TEXT};
use super::password::{PasswordPolicy, PasswordPolicyError};
use super::{Acl, Policy, PolicyError, TemplateSource};

/// The stored policies, of both kinds.
pub struct PolicyStore {
    acls: View,
    passwords: View,
    root: Arc<Acl>,
    changes: Arc<Changes>,
    compiled: Cache<AclKey, Arc<Acl>>,
    parsed: Cache<Box<str>, Parsed>,
}

/// Why a policy was not stored, removed or used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PolicyStoreError {
    /// The text is no policy.
    #[error(transparent)]
    Parse(#[from] PolicyError),
    /// The text is no password policy.
    #[error(transparent)]
    Password(#[from] PasswordPolicyError),
    /// This policy cannot be updated.
    #[error("cannot update \"{0}\" policy")]
    Update(String),
    /// This policy cannot be deleted.
    #[error("cannot delete \"{0}\" policy")]
    Delete(String),
    /// The default policy cannot be deleted.
    #[error("cannot delete default policy")]
    DeleteDefault,
    /// The barrier refused.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

/// A policy as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    text: String,
}

impl PolicyStore {
    /// Opens the policies of a barrier. Writes the default policy when there is none, and the server's own ones when they are
    /// not as they should be.
    pub async fn open(barrier: &Arc<Barrier>) -> Result<Arc<Self>, BarrierError> {
        let acls = barrier.view(ACLS);
        if !acls.exists(DEFAULT).await? {
            acls.put(DEFAULT, &Stored { text: DEFAULT_TEXT.to_owned() }).await?;
        }
        for (name, text) in [(RESPONSE_WRAPPING, RESPONSE_WRAPPING_TEXT), (CONTROL_GROUP, CONTROL_GROUP_TEXT)] {
            if acls.read::<Stored>(name).await?.is_none_or(|stored| stored.text != text) {
                acls.put(name, &Stored { text: text.to_owned() }).await?;
            }
        }
        let changes = Arc::new(Changes::default());
        let told = Arc::clone(&changes);
        let prefix = acls.key("");
        barrier.subscribe(ACLS, Arc::new(move |key: &Key| told.note(key.under(&prefix).unwrap_or_default())));
        Ok(Arc::new(Self {
            acls,
            passwords: barrier.view(PASSWORDS),
            root: Arc::new(Acl::root()),
            changes,
            compiled: Cache::new(COMPILED),
            parsed: Cache::new(PARSED),
        }))
    }

    /// What these policies say together, for the entity `source` knows: `names` of the token, `more` of its entity. Both are
    /// sanitized; those without a policy say nothing. No storage is read when it was asked before and no policy changed since.
    pub async fn acl(&self, names: &[String], more: &[String], source: &dyn TemplateSource) -> Result<Arc<Acl>, BarrierError> {
        if matches!(names, [name] if name == ROOT) {
            return Ok(Arc::clone(&self.root));
        }
        // Noted before storage is read: what is built from older texts is never found again.
        let generation = self.changes.generation.load(Ordering::Acquire);
        let asked = Asked { generation, names, more, stamp: source.stamp() };
        if let Some(acl) = self.compiled.get::<dyn Asking>(&asked) {
            return Ok(acl);
        }
        let key = AclKey { generation, names: names.into(), more: more.into(), stamp: source.stamp().into() };
        self.compiled.get_or_insert_async(&key, self.compile(names, more, source)).await
    }

    /// The text of a policy; empty for `root`. `None` when there is none.
    pub async fn read(&self, name: &str) -> Result<Option<String>, BarrierError> {
        match builtin::normal_name(name).as_str() {
            ROOT => Ok(Some(String::new())),
            name => Ok(self.acls.read::<Stored>(name).await?.map(|stored| stored.text)),
        }
    }

    /// Whether there is such a policy.
    pub async fn exists(&self, name: &str) -> Result<bool, BarrierError> {
        match builtin::normal_name(name).as_str() {
            ROOT => Ok(true),
            name => self.acls.exists(name).await,
        }
    }

    /// The names of all policies but the hidden ones, in order, `root` last.
    pub async fn list(&self) -> Result<Vec<String>, BarrierError> {
        let mut names = self.acls.scan_keys_all().await?;
        names.retain(|name| !builtin::is_hidden(name));
        names.push(ROOT.to_owned());
        Ok(names)
    }

    /// Stores a policy, whose text may be in base64. Returns the warnings for the reply.
    pub async fn write(&self, name: &str, text: &str) -> Result<Vec<String>, PolicyStoreError> {
        let normal = builtin::normal_name(name);
        if builtin::is_immutable(&normal) {
            return Err(PolicyStoreError::Update(normal));
        }
        let text = decoded(text);
        let policy = Policy::parse(&normal, &text)?;
        self.acls.put(&normal, &Stored { text: text.into_owned() }).await?;
        let mut warnings = policy.warnings;
        if normal != name {
            warnings.insert(0, format!("policy name was converted to {normal}"));
        }
        Ok(warnings)
    }

    /// Removes a policy, if it is there. Tokens keep its name, which then says nothing.
    pub async fn delete(&self, name: &str) -> Result<(), PolicyStoreError> {
        match builtin::normal_name(name) {
            name if builtin::is_immutable(&name) => Err(PolicyStoreError::Delete(name)),
            name if name == DEFAULT => Err(PolicyStoreError::DeleteDefault),
            name => Ok(self.acls.delete(&name).await?),
        }
    }

    /// The text of a password policy.
    pub async fn read_password(&self, name: &str) -> Result<Option<String>, BarrierError> {
        Ok(self.passwords.read::<Stored>(name).await?.map(|stored| stored.text))
    }

    /// The names of all password policies, in order.
    pub async fn list_passwords(&self) -> Result<Vec<String>, BarrierError> {
        self.passwords.scan_keys_all().await
    }

    /// Stores a password policy, whose text may be in base64.
    pub async fn write_password(&self, name: &str, text: &str) -> Result<(), PolicyStoreError> {
        let text = decoded(text);
        PasswordPolicy::parse(&text)?;
        Ok(self.passwords.put(name, &Stored { text: text.into_owned() }).await?)
    }

    /// Removes a password policy, if it is there.
    pub async fn delete_password(&self, name: &str) -> Result<(), BarrierError> {
        self.passwords.delete(name).await
    }

    /// A new password; `None` when there is no such policy.
    pub async fn generate_password(&self, name: &str) -> Result<Option<Secret<String>>, PolicyStoreError> {
        match self.read_password(name).await? {
            Some(text) => Ok(Some(PasswordPolicy::parse(&text)?.generate())),
            None => Ok(None),
        }
    }

    async fn compile(&self, names: &[String], more: &[String], source: &dyn TemplateSource) -> Result<Arc<Acl>, BarrierError> {
        let mut policies = Vec::with_capacity(names.len() + more.len());
        for name in names.iter().chain(more.iter().filter(|name| !names.contains(name))) {
            policies.extend(self.policy(name).await?);
        }
        Ok(Arc::new(Acl::new(policies.iter().map(AsRef::as_ref), source)))
    }

    /// A parsed policy. One that is stored but cannot be read is an error: leaving it out could leave out a `deny`.
    async fn policy(&self, name: &str) -> Result<Option<Arc<Policy>>, BarrierError> {
        let epoch = self.changes.epoch(name);
        if let Some(parsed) = self.parsed.get(name).filter(|parsed| parsed.epoch == epoch) {
            return Ok(parsed.policy);
        }
        let policy = match self.acls.read::<Stored>(name).await? {
            Some(stored) => {
                let policy = Policy::parse(name, &stored.text);
                Some(Arc::new(policy.map_err(|error| BarrierError::Decode(self.acls.key(name), error.to_string()))?))
            }
            None => None,
        };
        self.parsed.insert(name.into(), Parsed { epoch, policy: policy.clone() });
        Ok(policy)
    }
}

impl fmt::Debug for PolicyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyStore").field("compiled", &self.compiled.len()).finish_non_exhaustive()
    }
}

/// A policy as it was when its shard had this epoch; `None` when there was none.
#[derive(Clone)]
struct Parsed {
    epoch: u64,
    policy: Option<Arc<Policy>>,
}

/// Counts the changes of policies. What was read before a change is told by its count, whenever it is kept.
struct Changes {
    generation: AtomicU64,
    /// By name, so that one change leaves most parsed policies alone.
    epochs: [AtomicU64; SHARDS],
}

impl Changes {
    fn note(&self, name: &str) {
        // Before the generation: who sees the new generation sees the new epoch.
        self.shard(name).fetch_add(1, Ordering::Release);
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn epoch(&self, name: &str) -> u64 {
        self.shard(name).load(Ordering::Acquire)
    }

    fn shard(&self, name: &str) -> &AtomicU64 {
        let mut hasher = std::hash::DefaultHasher::new();
        name.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        // There are SHARDS of them.
        self.epochs.get(place).unwrap_or(&self.generation)
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self { generation: AtomicU64::new(0), epochs: [const { AtomicU64::new(0) }; SHARDS] }
    }
}

/// What a compiled answer is of.
#[derive(Clone)]
struct AclKey {
    generation: u64,
    names: Box<[String]>,
    more: Box<[String]>,
    stamp: Box<str>,
}

/// The same, borrowed from who asks.
struct Asked<'a> {
    generation: u64,
    names: &'a [String],
    more: &'a [String],
    stamp: &'a str,
}

/// Either form, so that a look-up needs no copy of the names.
trait Asking {
    fn parts(&self) -> (u64, &[String], &[String], &str);
}

impl Asking for AclKey {
    fn parts(&self) -> (u64, &[String], &[String], &str) {
        (self.generation, &self.names, &self.more, &self.stamp)
    }
}

impl Asking for Asked<'_> {
    fn parts(&self) -> (u64, &[String], &[String], &str) {
        (self.generation, self.names, self.more, self.stamp)
    }
}

impl<'a> Borrow<dyn Asking + 'a> for AclKey {
    fn borrow(&self) -> &(dyn Asking + 'a) {
        self
    }
}

impl Hash for dyn Asking + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Asking + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Asking + '_ {}

impl Hash for AclKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for AclKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for AclKey {}

/// The text itself, or what it says in base64.
fn decoded(text: &str) -> Cow<'_, str> {
    let packed: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let plain = STANDARD.decode(packed).ok().filter(|plain| !plain.is_empty());
    plain.and_then(|plain| String::from_utf8(plain).ok()).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Where ACL policies lie.
const ACLS: &str = "sys/policy/";

/// Where password policies lie.
const PASSWORDS: &str = "sys/password_policy/";

/// Compiled answers kept. One for each set of policies in use, and for each entity; about 4 kB with the default policy.
const COMPILED: usize = 1024;

/// Parsed policies kept, missing ones included.
const PARSED: usize = 1024;

/// A change of one policy makes one in so many others be read again.
const SHARDS: usize = 256;

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
