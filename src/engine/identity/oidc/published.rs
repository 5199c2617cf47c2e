//! What verifiers read, without a token: who signs, and the public halves of all keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::base::Timestamp;
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};
use crate::storage::Page;

use super::algorithm::Algorithm;
use super::key::{KEYS, NamedKey};
use super::pair::Public;
use super::{Identity, Oidc};

/// Declares their endpoints.
pub(super) fn endpoints(table: &mut Table<Identity>) {
    table.at("oidc/.well-known/openid-configuration", "Who signs identity tokens.").read(discovery).login();
    table.at("oidc/.well-known/keys", "The public keys that verify identity tokens.").read(keys).login();
}

/// The public halves of all keys, as they were at one moment.
pub(super) struct Published {
    generation: u64,
    issuer: String,
    /// With the time until which each may verify; none: it signs, or will.
    keys: Vec<(Public, Option<Timestamp>)>,
    /// When the first key is due.
    pub(super) next_rotation: Option<Timestamp>,
}

impl Published {
    /// The public half with this name, if it may still verify.
    pub(super) fn find(&self, kid: &str, now: Timestamp) -> Option<&Public> {
        self.live(now).find(|public| public.kid == kid)
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Public> {
        self.keys.iter().filter(move |(_, until)| until.is_none_or(|until| now < until)).map(|(public, _)| public)
    }
}

async fn discovery(identity: Arc<Identity>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let published = identity.oidc.published().await?;
    let issuer = published.issuer();
    Reply::bare(&json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/keys"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
    }))
}

async fn keys(identity: Arc<Identity>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let published = identity.oidc.published().await?;
    let keys: Vec<Value> = published.live(cx.clock.now()).map(Public::jwk).collect();
    Reply::bare(&json!({ "keys": keys }))
}

impl Oidc {
    /// What is published now; read from storage when something changed.
    pub(super) async fn published(&self) -> Result<Arc<Published>, ApiError> {
        // Noted before storage is read.
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(published) = self.published.load_full().filter(|published| published.generation == generation) {
            return Ok(published);
        }
        let (mut keys, mut next_rotation, mut after) = (Vec::new(), None::<Timestamp>, None::<String>);
        loop {
            let page: Vec<(String, NamedKey)> = self.view.scan(KEYS, Page { after: after.as_deref(), limit: PAGE }).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(path, _)| path.clone());
            for (_, key) in page {
                if let Some(pairs) = key.pairs {
                    next_rotation = Some(next_rotation.map_or(pairs.until, |at| at.min(pairs.until)));
                    keys.extend([(pairs.signing.public, None), (pairs.next.public, None)]);
                }
                keys.extend(key.retired.into_iter().map(|retired| (retired.public, Some(retired.until))));
            }
            if is_last {
                break;
            }
        }
        let published = Arc::new(Published { generation, issuer: self.issuer().await?, keys, next_rotation });
        self.published.store(Some(Arc::clone(&published)));
        Ok(published)
    }
}

/// Keys read at once; each is some kilobytes.
const PAGE: usize = 64;
