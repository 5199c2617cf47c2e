//! `sys/wrapping`: making, looking at, opening and renewing wrapped replies (spec `cubbyhole-and-wrapping.md` §3).

use std::sync::Arc;

use serde_json::json;

use crate::base::Secret;
use crate::core::Active;
use crate::core::access::of_token;
use crate::core::wrapping::{self, Inner};
use crate::mount::{ApiError, Body, Ctx, Raw, Reply, Table, Whole};
use crate::token::{TokenError, TokenInfo};

use super::{Sys, data};

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("wrapping/wrap", "Wraps what it is given.").update(wrap).top().lenient();
    table.at("wrapping/lookup", "What a wrapping token says of itself; takes no use of it.").read(lookup).update(lookup).login();
    table.at("wrapping/unwrap", "The reply a wrapping token stands for, once.").update(unwrap);
    table.at("wrapping/rewrap", "A new wrapping token for the same reply.").update(rewrap);
}

async fn wrap(_: Arc<Sys>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
    if cx.asked.wrap_ttl.is_none_or(crate::base::Ttl::is_zero) {
        return Err(ApiError::invalid("endpoint requires response wrapping to be used"));
    }
    Ok(Reply::data(input.data))
}

async fn lookup(sys: Arc<Sys>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let token = wrapping::presented(&cx.asked, &input.data)?;
    let info = wrapping::find(&active, token.expose()).await?;
    let facts = wrapping::facts(&active, &info).await?;
    Ok(data([
        ("creation_ttl", json!(facts.creation_ttl)),
        ("creation_time", json!(facts.creation_time)),
        ("creation_path", json!(facts.creation_path)),
    ]))
}

async fn unwrap(sys: Arc<Sys>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let token = wrapping::presented(&cx.asked, &input.data)?;
    let opened = Opened::take(&active, &cx, &token).await?;
    let contents = wrapping::contents(&active, &opened.info).await;
    opened.end(&active).await;
    let (text, _) = contents?;
    if text.is_empty() {
        return Ok(Reply::empty());
    }
    Ok(Reply::new(Body::Raw(Raw { content_type: "application/json", bytes: text.into_bytes() })))
}

async fn rewrap(sys: Arc<Sys>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let token = wrapping::presented(&cx.asked, &input.data)?;
    let opened = Opened::take(&active, &cx, &token).await?;
    let wrapped = again(&active, &cx, &opened.info).await;
    opened.end(&active).await;
    wrapped
}

/// The same reply in a new token, with the time the old one was given first.
async fn again(active: &Active, cx: &Ctx, old: &TokenInfo) -> Result<Reply, ApiError> {
    let (text, facts) = wrapping::contents(active, old).await?;
    let inner = Inner { text, path: &facts.creation_path, accessor: facts.wrapped_accessor };
    let mut txn = active.barrier.txn();
    let (_, info) = wrapping::wrap(active, cx.caller.display_name(), &inner, facts.creation_ttl, &mut txn).await?;
    txn.commit().await?;
    Ok(Reply::new(Body::Wrapped(Box::new(info))))
}

/// A wrapping token whose use this request took: nobody else opens it.
struct Opened {
    info: Arc<TokenInfo>,
    /// It is the caller's own: core took the use, and ends the token behind the answer.
    is_own: bool,
}

impl Opened {
    async fn take(active: &Active, cx: &Ctx, token: &Secret<String>) -> Result<Self, ApiError> {
        if let Some(own) = &cx.caller.token
            && own.key == active.tokens.key(token.expose())
        {
            return if wrapping::is_wrapping(own) && cx.caller.is_last_use {
                Ok(Self { info: Arc::clone(own), is_own: true })
            } else {
                Err(wrapping::invalid())
            };
        }
        let found = wrapping::find(active, token.expose()).await?;
        match active.tokens.spend(&found).await {
            Ok(spent) => Ok(Self { info: spent.info, is_own: false }),
            Err(TokenError::Ended) => Err(wrapping::invalid()),
            Err(error) => Err(of_token(error)),
        }
    }

    /// Whatever came of it.
    async fn end(&self, active: &Active) {
        if self.is_own {
            return;
        }
        if let Err(error) = active.tokens.revoke(&self.info.key).await {
            tracing::warn!(error = %error, "a wrapping token whose use was taken could not be ended yet; it ends by itself");
        }
    }
}
