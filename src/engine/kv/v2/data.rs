//! `data/` and `subkeys/`: reading, writing and patching versions.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::mount::field::{Int, Object};
use crate::mount::{ApiError, Ctx, Named, Reply, Sent, Table};

use super::merge::subkeys;
use super::record::negative;
use super::store::{What, Written};
use super::{KvV2, nothing_to_patch};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<KvV2>) {
    table
        .at("data/{path:rest}", "The object at a path, in versions.")
        .exists(KvV2::is_known)
        .read(KvV2::read_data)
        .update(KvV2::write_data)
        .patch(KvV2::patch_data)
        .delete(KvV2::delete_data);
    table.at("subkeys/{path:rest}", "The keys of the object at a path, without values.").read(KvV2::read_subkeys);
}

/// Which version.
#[derive(Debug, Deserialize, JsonSchema)]
struct ReadInput {
    /// Where the object is.
    path: String,
    /// The version to read. Default: the current one.
    version: Option<Int>,
}

/// Which version, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
struct SubkeysInput {
    /// Where the object is.
    path: String,
    /// The version to read. Default: the current one.
    version: Option<Int>,
    /// Levels of keys to show. Default: all.
    depth: Option<Int>,
}

/// What to write.
#[derive(Debug, Deserialize, JsonSchema)]
struct WriteInput {
    /// Where to put the object.
    path: String,
    /// The object.
    data: Option<Object>,
    /// `cas`: the number the current version must have; 0: the key must have no version.
    options: Option<Object>,
}

impl KvV2 {
    /// Whether a write updates: also when all versions of the key are gone.
    pub(super) async fn is_known(self: Arc<Self>, _: Ctx, input: Named) -> Result<bool, ApiError> {
        self.store().await?.is_known(&input.name).await
    }

    async fn read_data(self: Arc<Self>, _: Ctx, input: ReadInput) -> Result<Reply, ApiError> {
        self.read(&input.path, input.version.as_ref(), "data", |object| object).await
    }

    async fn read_subkeys(self: Arc<Self>, _: Ctx, input: SubkeysInput) -> Result<Reply, ApiError> {
        let depth = at_least_zero(input.depth.as_ref(), "depth")?;
        self.read(&input.path, input.version.as_ref(), "subkeys", |object| subkeys(&object, depth)).await
    }

    /// A version, with what `show` makes of its object under `name`. One that is gone is a 404 that tells of it.
    async fn read(
        &self,
        path: &str,
        version: Option<&Int>,
        name: &str,
        show: impl FnOnce(Map<String, Value>) -> Map<String, Value> + Send,
    ) -> Result<Reply, ApiError> {
        let number = at_least_zero(version, "version")?;
        let Some(found) = self.store().await?.find(path, number).await? else { return Ok(Reply::empty()) };
        let metadata = found.metadata.shown_version(found.number, found.version);
        let is_gone = found.object.is_none();
        let shown = found.object.map_or(Value::Null, |object| Value::Object(show(object)));
        let reply = Reply::field(name, shown).and("metadata", Value::Object(metadata));
        Ok(if is_gone { reply.missing() } else { reply })
    }

    async fn write_data(self: Arc<Self>, _: Ctx, input: Sent<WriteInput>) -> Result<Reply, ApiError> {
        let (input, object) = checked(input)?;
        self.write(&input, &What::Object(object)).await
    }

    async fn patch_data(self: Arc<Self>, _: Ctx, input: Sent<WriteInput>) -> Result<Reply, ApiError> {
        let (input, patch) = checked(input)?;
        self.write(&input, &What::Patched(patch)).await
    }

    async fn write(&self, input: &WriteInput, what: &What) -> Result<Reply, ApiError> {
        let store = self.store().await?;
        let written = store.write(&input.path, what, cas(input.options.as_ref())?).await?;
        Ok(match written {
            Written::Version(shown) => Reply::data(shown),
            Written::Gone(shown) => Reply::data(shown).missing(),
            Written::NoVersion => nothing_to_patch(),
        })
    }
}

/// The object of a write. `null` is one without keys; it is there all the same.
fn checked(Sent { mut input, names }: Sent<WriteInput>) -> Result<(WriteInput, Map<String, Value>), ApiError> {
    match input.data.take() {
        Some(Object(object)) => Ok((input, object)),
        None if names.iter().any(|name| name == "data") => Ok((input, Map::new())),
        None => Err(ApiError::invalid("no data provided")),
    }
}

/// The check-and-set number.
fn cas(options: Option<&Object>) -> Result<Option<i64>, ApiError> {
    let number = match options.and_then(|options| options.get("cas")) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_str().parse(),
        Some(Value::String(text)) => text.parse(),
        Some(_) => return Err(no_cas()),
    };
    number.map(Some).map_err(|_| no_cas())
}

fn no_cas() -> ApiError {
    ApiError::invalid("error parsing check-and-set parameter")
}

fn at_least_zero(number: Option<&Int>, field: &str) -> Result<u64, ApiError> {
    number.map_or(Ok(0), |number| u64::try_from(**number).map_err(|_| negative(field)))
}
