//! Role tags that count no more (spec `aws-auth-method.md` §15.4).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE as KEYS};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::aws::AwsAuth;
use crate::base::Ttl;
use crate::base::time::rfc3339_nano;
use crate::mount::{ApiError, Ctx, Named, Nothing, Reply, Table};

/// The record of a tag.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Denied {
    pub(super) creation_time: DateTime<Utc>,
    pub(super) expiration_time: DateTime<Utc>,
}

/// Declares the endpoints.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    for (list, one) in
        [("roletag-denylist/", "roletag-denylist/{role_tag:rest}"), ("roletag-blacklist/", "roletag-blacklist/{role_tag:rest}")]
    {
        table.at(list, "Role tags that count no more.").list(AwsAuth::list_denied);
        table
            .at(one, "A role tag that counts no more: its value, or that in base64.")
            .read(AwsAuth::read_denied)
            .update(AwsAuth::deny)
            .delete(AwsAuth::allow);
    }
}

impl AwsAuth {
    async fn list_denied(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        let keys = self.view.list_all(DENIED).await?;
        let tags = keys.iter().filter_map(|key| String::from_utf8(KEYS.decode(key).ok()?).ok());
        let mut tags: Vec<String> = tags.collect();
        tags.sort();
        Ok(Reply::list(tags))
    }

    async fn read_denied(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let denied = self.view.read::<Denied>(&denied_key(&raw(&named.name))).await?;
        Ok(denied.map_or_else(Reply::empty, |denied| {
            let times = (rfc3339_nano(denied.creation_time), rfc3339_nano(denied.expiration_time));
            Reply::field("creation_time", json!(times.0)).and("expiration_time", json!(times.1))
        }))
    }

    async fn deny(self: Arc<Self>, cx: Ctx, named: Named) -> Result<Reply, ApiError> {
        let value = raw(&named.name);
        if value.is_empty() {
            return Err(ApiError::invalid("missing role_tag"));
        }
        let (tag, role) = self.verified_tag(&value).await.map_err(|failure| *failure.error)?;
        let key = denied_key(&value);
        let _turn = self.turn(&key).await;
        let now = cx.clock.precise();
        let longest = tag.max_ttl.max(role.token.max_ttl).max(cx.limits.max_ttl);
        let before = self.view.read::<Denied>(&key).await?;
        let creation_time = before.map_or(now, |before| before.creation_time);
        self.view.put(&key, &Denied { creation_time, expiration_time: after(now, longest) }).await?;
        Ok(Reply::empty())
    }

    async fn allow(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let key = denied_key(&raw(&named.name));
        let _turn = self.turn(&key).await;
        self.view.delete(&key).await?;
        Ok(Reply::empty())
    }

    /// Whether a tag counts no more.
    pub(super) async fn is_denied(&self, value: &str) -> Result<bool, ApiError> {
        Ok(self.view.exists(&denied_key(value)).await?)
    }
}

/// `time` and `ttl` more.
pub(super) fn after(time: DateTime<Utc>, ttl: Ttl) -> DateTime<Utc> {
    let seconds = i64::try_from(ttl.as_seconds()).ok().and_then(chrono::TimeDelta::try_seconds);
    seconds.and_then(|ttl| time.checked_add_signed(ttl)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The value of a tag, which always has a colon and therefore is never base64 itself.
fn raw(text: &str) -> String {
    let decoded = BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| text.to_owned())
}

/// Where a tag lies. A value may have slashes.
fn denied_key(value: &str) -> String {
    format!("{DENIED}{}", KEYS.encode(value))
}

/// Where they are.
pub(super) const DENIED: &str = "blacklist/roletag/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_may_be_named_as_it_is_or_in_base64() {
        let tag = "v1:a/b+c==:r=web:d=false:m=false:x/y=";
        assert_eq!(raw(tag), tag);
        assert_eq!(raw(&BASE64.encode(tag)), tag);
        assert!(!denied_key(tag).strip_prefix(DENIED).unwrap().contains('/'));
    }

    #[test]
    fn no_time_is_too_long() {
        let now = DateTime::from_timestamp(0, 0).unwrap();
        assert_eq!(after(now, Ttl::seconds(60)).timestamp(), 60);
        assert_eq!(after(now, Ttl::seconds(u64::MAX)), DateTime::<Utc>::MAX_UTC);
    }
}
