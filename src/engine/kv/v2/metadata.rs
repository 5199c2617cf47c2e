//! `metadata/`: settings of a key, the list of its versions, and lists of keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Ttl;
use crate::mount::field::{Flag, Int, Object, SignedSeconds};
use crate::mount::{ApiError, Ctx, Named, Reply, Sent, Table};

use super::record::{self, Metadata, negative};
use super::store::Next;
use super::{KvV2, at_root, custom, nothing_to_patch, patched};

/// Declares them.
pub(super) fn endpoints(table: &mut Table<KvV2>) {
    let root = table.at("metadata/", "Names of keys.").lenient();
    root.list(KvV2::list).read(at_root).update(at_root).patch(at_root).delete(at_root);
    table
        .at("metadata/{path:rest}", "A key: its settings and versions. A list has the names below the path.")
        .exists(KvV2::is_known)
        .read(KvV2::read_metadata)
        .update(KvV2::write_metadata)
        .patch(KvV2::patch_metadata)
        .delete(KvV2::delete_metadata)
        .list(KvV2::list);
}

/// Settings of a key. Absent ones keep their value.
#[derive(Debug, Deserialize, JsonSchema)]
struct MetadataInput {
    /// Where the key is.
    path: String,
    /// Versions that are kept, if the mount does not say a larger number.
    max_versions: Option<Int>,
    /// Whether each write must carry a check-and-set number. Default: no; the mount may want it of all keys.
    cas_required: Option<Flag>,
    /// How long after its writing a version is deleted. Default: as the mount says.
    delete_version_after: Option<SignedSeconds>,
    /// Texts of its owner: at most 64.
    custom_metadata: Option<Object>,
}

/// The same, as numbers that make sense.
struct Settings {
    max_versions: Option<u64>,
    cas_required: Option<bool>,
    delete_version_after: Option<Ttl>,
    custom: Option<Object>,
}

impl KvV2 {
    async fn list(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        let mut folder = input.name;
        if !folder.is_empty() && !folder.ends_with('/') {
            folder.push('/');
        }
        Ok(Reply::list(self.store().await?.list(&folder).await?))
    }

    async fn read_metadata(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        let metadata = self.store().await?.metadata(&input.name).await?;
        Ok(metadata.map_or_else(Reply::empty, |metadata| Reply::data(metadata.shown())))
    }

    async fn write_metadata(self: Arc<Self>, _: Ctx, Sent { input, .. }: Sent<MetadataInput>) -> Result<Reply, ApiError> {
        let (path, settings) = input.checked()?;
        let custom = settings.custom.as_deref().map(custom::whole).transpose()?;
        if settings.is_empty() {
            return Ok(Reply::empty());
        }
        let is_in_vain = AtomicBool::new(false);
        let change = |stored: Option<Metadata>, config: &record::Config, now| {
            let mut metadata = stored.unwrap_or_else(|| Metadata::fresh(now));
            settings.apply(&mut metadata);
            if let Some(custom) = &custom {
                metadata.custom.clone_from(custom);
            }
            is_in_vain.store(settings.is_in_vain(config), Ordering::Relaxed);
            Ok(Some(Next { metadata, without: Vec::new() }))
        };
        self.store().await?.change(&path, change).await?;
        Ok(if is_in_vain.into_inner() { in_vain() } else { Reply::empty() })
    }

    /// A field that is `null` goes back to its default, as in any merge patch.
    async fn patch_metadata(self: Arc<Self>, _: Ctx, Sent { input, names }: Sent<MetadataInput>) -> Result<Reply, ApiError> {
        let (path, mut settings) = input.checked()?;
        let is_null = |name: &str, is_absent: bool| is_absent && names.iter().any(|sent| sent == name);
        if is_null("max_versions", settings.max_versions.is_none()) {
            settings.max_versions = Some(0);
        }
        if is_null("cas_required", settings.cas_required.is_none()) {
            settings.cas_required = Some(false);
        }
        if is_null("delete_version_after", settings.delete_version_after.is_none()) {
            settings.delete_version_after = Some(Ttl::ZERO);
        }
        let clears = is_null("custom_metadata", settings.custom.is_none());
        let (is_missing, is_in_vain) = (AtomicBool::new(false), AtomicBool::new(false));
        let change = |stored: Option<Metadata>, config: &record::Config, _| {
            let Some(mut metadata) = stored else {
                is_missing.store(true, Ordering::Relaxed);
                return Ok(None);
            };
            settings.apply(&mut metadata);
            if clears {
                metadata.custom.clear();
            }
            if let Some(patch) = &settings.custom {
                metadata.custom = custom::patched(&metadata.custom, patch)?;
            }
            is_in_vain.store(settings.is_in_vain(config), Ordering::Relaxed);
            Ok(Some(Next { metadata, without: Vec::new() }))
        };
        self.store().await?.change(&path, change).await?;
        Ok(match (is_missing.into_inner(), is_in_vain.into_inner()) {
            (true, _) => nothing_to_patch(),
            (false, true) => in_vain(),
            (false, false) => patched(),
        })
    }

    async fn delete_metadata(self: Arc<Self>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
        self.store().await?.remove(&input.name).await?;
        Ok(Reply::empty())
    }
}

impl MetadataInput {
    fn checked(self) -> Result<(String, Settings), ApiError> {
        let after = self.delete_version_after.map(record::delete_version_after).transpose()?;
        let settings = Settings {
            max_versions: self.max_versions.as_ref().map(record::max_versions).transpose()?,
            cas_required: self.cas_required.map(|flag| *flag),
            delete_version_after: after.map(|after| after.ok_or_else(|| negative("delete_version_after"))).transpose()?,
            custom: self.custom_metadata,
        };
        Ok((self.path, settings))
    }
}

impl Settings {
    fn is_empty(&self) -> bool {
        let Self { max_versions, cas_required, delete_version_after, custom } = self;
        max_versions.is_none() && cas_required.is_none() && delete_version_after.is_none() && custom.is_none()
    }

    /// All but the owner's texts.
    fn apply(&self, metadata: &mut Metadata) {
        metadata.max_versions = self.max_versions.unwrap_or(metadata.max_versions);
        metadata.cas_required = self.cas_required.unwrap_or(metadata.cas_required);
        metadata.delete_version_after = self.delete_version_after.unwrap_or(metadata.delete_version_after);
    }

    fn is_in_vain(&self, config: &record::Config) -> bool {
        self.cas_required == Some(false) && config.cas_required
    }
}

fn in_vain() -> Reply {
    Reply::warning("\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.")
}
