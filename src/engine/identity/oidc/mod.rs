//! Identity tokens: signed statements about the caller's entity, for other services to verify (spec `identity.md` §4).
//!
//! ```text
//! oidc/config        the issuer, when an operator set one
//! oidc/key/<name>    a key by its name: the pair that signs, the pair that comes next, and public halves that may still verify
//! oidc/role/<name>   which key signs for a role, and what its tokens say
//! ```
//!
//! The pair that comes next is made and published ahead, so that who keeps a copy of the public keys knows it in time. What is
//! published is held in memory: reading it needs no token, and reads no storage.

mod algorithm;
mod claims;
mod config;
mod introspect;
mod jwt;
mod key;
mod key_api;
mod makers;
mod pair;
mod published;
mod role;
mod template;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use quick_cache::sync::Cache;

use crate::barrier::View;
use crate::identity::IdentityStore;
use crate::mount::{ApiError, Deps, Table};

use super::Identity;

use makers::Makers;
use pair::Signer;
use published::Published;

/// Keys, roles, and what is known of them.
pub(super) struct Oidc {
    entities: Arc<IdentityStore>,
    view: View,
    deps: Deps,
    /// Where clients reach the server, when nobody set an issuer.
    address: String,
    makers: Makers,
    /// Pairs that signed a while ago, ready to sign.
    signers: Cache<Box<str>, Arc<Signer>>,
    published: ArcSwapOption<Published>,
    /// Moved by each change of a key, a role or the issuer.
    generation: AtomicU64,
}

/// Declares the endpoints.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    config::endpoints(table);
    key_api::endpoints(table);
    role::endpoints(table);
    token::endpoints(table);
    introspect::endpoints(table);
    published::endpoints(table);
}

impl Oidc {
    pub(super) fn new(entities: Arc<IdentityStore>, view: View, deps: Deps, address: &str) -> Arc<Self> {
        Arc::new(Self {
            entities,
            view,
            deps,
            address: address.trim_end_matches('/').to_owned(),
            makers: Makers::default(),
            signers: Cache::new(SIGNERS),
            published: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
        })
    }

    /// Something that is stored changed.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Rotates what became due while the server was down, behind the start.
    pub(super) fn catch_up(self: &Arc<Self>) {
        let oidc = Arc::clone(self);
        self.deps.tasks.spawn(async move { oidc.rotate_due().await });
    }

    /// The turn of whoever changes keys or roles: rare operator actions, and rotations.
    async fn turn(&self) -> crate::base::turns::Turn {
        self.deps.turns.take("identity/oidc").await
    }
}

/// The name of a key or role in a path.
fn checked(name: &str) -> Result<&str, ApiError> {
    if name.len() > LONGEST_NAME {
        return Err(ApiError::invalid(format!("name is longer than {LONGEST_NAME} bytes")));
    }
    Ok(name)
}

/// One for each key in use; a few kilobytes each.
const SIGNERS: usize = 64;

/// In bytes.
const LONGEST_NAME: usize = 512;
