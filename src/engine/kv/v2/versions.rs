//! `DELETE data/`, `delete/`, `undelete/` and `destroy/`: versions go, come back, and go for good. None of these needs a
//! check-and-set number, and none counts as a change of the key.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::mount::field::IntList;
use crate::mount::{ApiError, Ctx, Named, Reply, Table};

use super::KvV2;
use super::record::{Metadata, Version};
use super::store::Next;

/// Declares them.
pub(super) fn endpoints(table: &mut Table<KvV2>) {
    table.at("delete/{path:rest}", "Deletes versions; they can come back.").update(KvV2::delete_versions);
    table.at("undelete/{path:rest}", "Brings deleted versions back.").update(KvV2::undelete_versions);
    table.at("destroy/{path:rest}", "Removes the objects of versions for good.").update(KvV2::destroy_versions);
}

/// Which versions.
#[derive(Debug, Deserialize, JsonSchema)]
struct VersionsInput {
    /// Where the object is.
    path: String,
    /// Numbers of versions. Those that are not there do not count.
    versions: Option<IntList>,
}

impl KvV2 {
    pub(super) async fn delete_data(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        let change = |stored: Option<Metadata>, _: &_, now| {
            let Some(mut metadata) = stored else { return Ok(None) };
            let current = metadata.current;
            let changes = metadata.versions.get_mut(&current).is_some_and(|version| version.delete(now));
            Ok(changes.then_some(Next { metadata, without: Vec::new() }))
        };
        self.store().await?.change(&input.name, change).await?;
        Ok(Reply::empty())
    }

    async fn delete_versions(self: Arc<Self>, _: Ctx, input: VersionsInput) -> Result<Reply, ApiError> {
        let numbers = numbers(input.versions, "No version number provided")?;
        let change = |stored: Option<Metadata>, _: &_, now| {
            let Some(mut metadata) = stored else { return Ok(None) };
            let changed = each(&mut metadata, &numbers, |version| version.delete(now));
            Ok((!changed.is_empty()).then_some(Next { metadata, without: Vec::new() }))
        };
        self.store().await?.change(&input.path, change).await?;
        Ok(Reply::empty())
    }

    async fn undelete_versions(self: Arc<Self>, _: Ctx, input: VersionsInput) -> Result<Reply, ApiError> {
        let numbers = numbers(input.versions, "No version number provided")?;
        let change = |stored: Option<Metadata>, config: &_, now| {
            let Some(mut metadata) = stored else { return Ok(None) };
            let deletion = metadata.deletion_time(config, now);
            let changed = each(&mut metadata, &numbers, |version| {
                let changes = !version.destroyed && version.deletion != deletion;
                if changes {
                    version.deletion = deletion;
                }
                changes
            });
            Ok((!changed.is_empty()).then_some(Next { metadata, without: Vec::new() }))
        };
        self.store().await?.change(&input.path, change).await?;
        Ok(Reply::empty())
    }

    async fn destroy_versions(self: Arc<Self>, _: Ctx, input: VersionsInput) -> Result<Reply, ApiError> {
        let numbers = numbers(input.versions, "no version number provided")?;
        let change = |stored: Option<Metadata>, _: &_, _| {
            let Some(mut metadata) = stored else { return Ok(None) };
            let gone = each(&mut metadata, &numbers, |version| !std::mem::replace(&mut version.destroyed, true));
            let without: Vec<_> = gone.iter().filter_map(|number| Some((*number, *metadata.versions.get(number)?))).collect();
            Ok((!without.is_empty()).then_some(Next { metadata, without }))
        };
        self.store().await?.change(&input.path, change).await?;
        Ok(Reply::empty())
    }
}

fn numbers(given: Option<IntList>, missing: &str) -> Result<Vec<u64>, ApiError> {
    let given = given.map(|IntList(numbers)| numbers).unwrap_or_default();
    if given.is_empty() {
        return Err(ApiError::invalid(missing));
    }
    // There is no version below zero.
    Ok(given.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
}

/// Changes versions that are there; returns the numbers of those that `change` says it changed.
fn each(metadata: &mut Metadata, numbers: &[u64], change: impl Fn(&mut Version) -> bool) -> Vec<u64> {
    let mut changed = numbers.to_vec();
    changed.retain(|number| metadata.versions.get_mut(number).is_some_and(&change));
    changed
}
