//! Version 1: one object at a path, replaced as a whole (spec `kv.md`, "Version 1").

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::Ttl;
use crate::mount::{ApiError, Body, Ctx, Named, Reply, Table, Whole};

use super::Kv;

/// Declares what can be asked of it. Fields are kept, so none is unknown.
pub(super) fn endpoints(table: &mut Table<Kv>) {
    for pattern in ["", "{path:rest}"] {
        let endpoint = table.at(pattern, "Secrets, each an object at its path.");
        endpoint.read(Kv::read).list(Kv::list).update(Kv::write).delete(Kv::delete).lenient();
        if !pattern.is_empty() {
            endpoint.exists(Kv::is_there);
        }
    }
}

impl Kv {
    async fn is_there(self: Arc<Self>, _: Ctx, input: Named) -> Result<bool, ApiError> {
        Ok(self.objects.exists(&input.name).await?)
    }

    async fn read(self: Arc<Self>, cx: Ctx, input: Whole) -> Result<Reply, ApiError> {
        let Some(data) = self.objects.read::<Map<String, Value>>(&input.path).await? else { return Ok(Reply::empty()) };
        let ttl = time_to_keep(&data).unwrap_or(cx.limits.default_ttl);
        Ok(Reply::new(Body::Kept(data, ttl)))
    }

    async fn write(self: Arc<Self>, _: Ctx, input: Whole) -> Result<Reply, ApiError> {
        if input.path.is_empty() {
            return Err(ApiError::invalid("missing path"));
        }
        if input.data.is_empty() {
            return Err(ApiError::invalid("missing data fields"));
        }
        self.objects.put(&input.path, &input.data).await?;
        Ok(Reply::empty())
    }

    async fn delete(self: Arc<Self>, _: Ctx, input: Whole) -> Result<Reply, ApiError> {
        self.objects.delete(&input.path).await?;
        Ok(Reply::empty())
    }

    async fn list(self: Arc<Self>, _: Ctx, input: Whole) -> Result<Reply, ApiError> {
        let mut folder = input.path;
        if !folder.is_empty() && !folder.ends_with('/') {
            folder.push('/');
        }
        Ok(Reply::list(self.objects.list_all(&folder).await?))
    }
}

/// How long the writer wants readers to keep it: its `ttl`, else its `lease`, when that is a duration.
fn time_to_keep(data: &Map<String, Value>) -> Option<Ttl> {
    match data.get("ttl").or_else(|| data.get("lease"))? {
        Value::String(text) => Ttl::parse(text).ok(),
        Value::Number(number) => Ttl::parse(number.as_str()).ok(),
        _ => None,
    }
}
