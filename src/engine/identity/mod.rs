//! The mount `identity/`: entities, their aliases, groups, and signed statements about entities (spec `identity.md`). There is
//! one on every server; it can be neither disabled nor moved.

mod alias_api;
mod entity_api;
mod group_alias_api;
mod group_api;
mod lookup_api;
mod merge_api;
mod oidc;
mod shown;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::barrier::View;
use crate::base::{Key, MountId};
use crate::identity::{AliasMount, IdentityError, IdentityStore};
use crate::mount::{ApiError, Deps, MountEntry, Plugin, Table};
use crate::policy::builtin::{ROOT, normal_name};

use self::oidc::Oidc;

/// See the module.
pub struct Identity {
    store: Arc<IdentityStore>,
    mounts: Arc<dyn MountNames>,
    oidc: Arc<Oidc>,
}

/// Knows the mounts that aliases name.
pub trait MountNames: Send + Sync + 'static {
    /// The mount with this accessor, unless it is on its way out.
    fn by_accessor(&self, accessor: &str) -> Option<Arc<MountEntry>>;

    /// The mount with this id.
    fn by_id(&self, id: &MountId) -> Option<Arc<MountEntry>>;
}

impl Identity {
    /// On its part of storage. `address` is where clients reach the server; it stands in tokens.
    pub fn new(store: Arc<IdentityStore>, mounts: Arc<dyn MountNames>, view: &View, deps: Deps, address: &str) -> Self {
        let oidc = Oidc::new(Arc::clone(&store), view.sub("oidc/"), deps, address);
        oidc.catch_up();
        Self { store, mounts, oidc }
    }

    /// The mount an alias is to be on.
    fn alias_mount(&self, accessor: &str) -> Result<AliasMount, ApiError> {
        let entry = self.mounts.by_accessor(accessor);
        let entry = entry.ok_or_else(|| ApiError::invalid(format!("invalid mount accessor {accessor:?}")))?;
        Ok(AliasMount { id: entry.id.clone(), accessor: entry.accessor.clone(), local: entry.local })
    }
}

impl Plugin for Identity {
    const KIND: &'static str = "identity";
    const ABOUT: &'static str = "Who somebody is, whatever he logs in with.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Err(ApiError::invalid("mount type of \"identity\" is not mountable"))
    }

    fn endpoints(table: &mut Table<Self>) {
        entity_api::endpoints(table);
        merge_api::endpoints(table);
        alias_api::endpoints(table);
        group_api::endpoints(table);
        group_alias_api::endpoints(table);
        lookup_api::endpoints(table);
        oidc::endpoints(table);
    }

    fn invalidate(&self, _: &Key) {
        // All of its own storage is about keys and roles.
        self.oidc.changed();
    }

    async fn tick(self: Arc<Self>) {
        self.oidc.rotate_due().await;
        if let Err(error) = self.store.sweep().await {
            tracing::error!(error = %error, "members of groups that are gone cannot be told yet; it is tried again");
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a failure of the store is for the caller.
fn told(error: IdentityError) -> ApiError {
    match error {
        IdentityError::Barrier(error) => error.into(),
        IdentityError::Contended => ApiError::internal(error),
        error => ApiError::invalid(error.to_string()),
    }
}

/// A text that says something.
fn filled(text: Option<impl Into<String>>) -> Option<String> {
    text.map(Into::into).filter(|text| !text.is_empty())
}

/// The policies of an entity or a group: in lower case, in order, each once.
fn policies(names: &[String]) -> Result<Vec<String>, ApiError> {
    let mut names: Vec<_> = names.iter().map(|name| normal_name(name)).filter(|name| !name.is_empty()).collect();
    if names.iter().any(|name| name == ROOT) {
        return Err(ApiError::invalid("policies cannot contain root"));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Notes within their bounds.
fn metadata(what: &str, pairs: Option<BTreeMap<String, String>>) -> Result<Option<BTreeMap<String, String>>, ApiError> {
    if let Some(pairs) = &pairs {
        crate::identity::check_metadata(pairs).map_err(|text| ApiError::invalid(format!("invalid {what} metadata: {text}")))?;
    }
    Ok(pairs)
}
