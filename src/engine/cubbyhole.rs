//! The cubbyhole: what a token keeps for itself, as long as it lives (spec `cubbyhole-and-wrapping.md` §1).
//!
//! Keys are `<token key>/<path>`. A token key has a fixed length and no slash, so no path of one token leads to another's. Who
//! ends a token removes what is under its key.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::barrier::View;
use crate::mount::{ApiError, Ctx, Deps, Named, Plugin, Reply, Table, Whole};
use crate::policy::builtin::RESPONSE_WRAPPING;
use crate::token::TokenKind;

/// Private storage of tokens.
pub struct Cubbyhole {
    view: View,
}

impl Plugin for Cubbyhole {
    const KIND: &'static str = "cubbyhole";
    const ABOUT: &'static str = "Keeps secrets of one token, until it ends.";

    async fn open(view: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self { view })
    }

    fn endpoints(table: &mut Table<Self>) {
        for pattern in ["", "{path:rest}"] {
            let endpoint = table.at(pattern, "Secrets of the calling token, each an object at its path.");
            endpoint.read(Self::read).list(Self::list).update(Self::write).delete(Self::delete).exists(Self::is_there).lenient();
        }
    }
}

impl Cubbyhole {
    /// Asked before the policies are: a write without a path is told so whoever sends it.
    async fn is_there(self: Arc<Self>, cx: Ctx, input: Named) -> Result<bool, ApiError> {
        if input.name.is_empty() {
            return Err(ApiError::invalid("missing path"));
        }
        Ok(self.view.exists(&key(&cx, &input.name)?).await?)
    }

    async fn read(self: Arc<Self>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
        let data = self.view.read::<Map<String, Value>>(&key(&cx, &input.path)?).await?;
        let reply = data.map_or_else(Reply::empty, Reply::data);
        let is_wrapping = cx.caller.token.as_ref().is_some_and(|token| token.policies == [RESPONSE_WRAPPING]);
        Ok(if is_wrapping && input.path == "response" { reply.warn(OLD_WAY) } else { reply })
    }

    async fn write(self: Arc<Self>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
        let key = key(&cx, &input.path)?;
        if input.data.is_empty() {
            return Err(ApiError::invalid("missing data fields"));
        }
        let batch = || {
            let mut txn = self.view.txn();
            txn.put(&self.view, &key, &input.data)?;
            Ok(txn)
        };
        cx.commit_with_caller(batch).await?;
        Ok(Reply::empty())
    }

    async fn delete(self: Arc<Self>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
        self.view.delete(&key(&cx, &input.path)?).await?;
        Ok(Reply::empty())
    }

    async fn list(self: Arc<Self>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
        let mut folder = key(&cx, &input.path)?;
        if !folder.ends_with('/') {
            folder.push('/');
        }
        Ok(Reply::list(self.view.list_all(&folder).await?))
    }
}

impl fmt::Debug for Cubbyhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cubbyhole").finish_non_exhaustive()
    }
}

/// Where the caller keeps what it calls `path`.
fn key(cx: &Ctx, path: &str) -> Result<String, ApiError> {
    let token = cx.caller.token.as_ref().ok_or_else(ApiError::denied)?;
    match token.kind {
        TokenKind::Service => Ok(format!("{}/{path}", token.key)),
        TokenKind::Batch => Err(ApiError::invalid("cubbyhole operations are only supported by 'service' type tokens")),
    }
}

const OLD_WAY: &str = "Reading cubbyhole/response is the old way to unwrap a reply; sys/wrapping/unwrap checks the token first.";

#[cfg(test)]
#[path = "cubbyhole_tests.rs"]
mod tests;
