//! `…/tune`: what can be changed of a mount that is there (spec `sys.md` §3).

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::time::Ttl;
use crate::base::{MountId, MountPath};
use crate::core::mounts::Changed;
use crate::mount::field::{CommaList, Flag, Int, Object, Pairs, Text, keep};
use crate::mount::{ApiError, Class, Ctx, MountConfig, MountEntry, Named, Reply, UserLockout};

use super::mount_input::{auth_path, check_options, check_version, text, token_type, visibility};
use super::{Sys, mount_info};

/// The fields of a change.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TuneInput {
    /// The mount.
    path: String,
    /// How long what it issues lives; empty leaves it, `system` is the server's.
    default_lease_ttl: Option<Text>,
    /// How long at most.
    max_lease_ttl: Option<Text>,
    /// Kept and shown.
    force_no_cache: Option<Flag>,
    /// For people.
    description: Option<Text>,
    /// Keys of requests whose values the audit log shows.
    audit_non_hmac_request_keys: Option<CommaList>,
    /// The same for replies.
    audit_non_hmac_response_keys: Option<CommaList>,
    /// Empty, `hidden` or `unauth`.
    listing_visibility: Option<Text>,
    /// Request headers its plugin gets.
    passthrough_request_headers: Option<CommaList>,
    /// Response headers its plugin may set.
    allowed_response_headers: Option<CommaList>,
    /// Kept and shown.
    allowed_managed_keys: Option<CommaList>,
    /// Of an auth method: the type of tokens it gives.
    token_type: Option<Text>,
    /// Options of the type.
    options: Option<Pairs>,
    /// Version of the plugin: there is one.
    plugin_version: Option<Text>,
    /// Of an auth method: when failed logins lock a user out.
    user_lockout_config: Option<Object>,
}

/// What stands in `user_lockout_config`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LockoutInput {
    #[serde(rename = "lockout_threshold")]
    threshold: Option<Int>,
    #[serde(rename = "lockout_duration")]
    duration: Option<Text>,
    #[serde(rename = "lockout_counter_reset_duration")]
    counter_reset: Option<Text>,
    #[serde(rename = "lockout_disable")]
    disable: Option<Flag>,
}

pub(super) async fn read_mount(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    read(&sys, &MountPath::parse(&input.name)?)
}

pub(super) async fn read_auth(sys: Arc<Sys>, _: Ctx, input: Named) -> Result<Reply, ApiError> {
    read(&sys, &auth_path(&input.name)?)
}

pub(super) async fn write_mount(sys: Arc<Sys>, _: Ctx, input: TuneInput) -> Result<Reply, ApiError> {
    let path = MountPath::parse(&input.path)?;
    write(&sys, path, input).await
}

pub(super) async fn write_auth(sys: Arc<Sys>, _: Ctx, input: TuneInput) -> Result<Reply, ApiError> {
    let path = auth_path(&input.path)?;
    write(&sys, path, input).await
}

fn read(sys: &Sys, path: &MountPath) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    let routes = active.routes.load();
    let mount = routes.at(path.as_str());
    let entry = &mount.ok_or_else(|| ApiError::invalid(format!("cannot fetch sysview for path \"{path}\"")))?.entry;
    let limits = active.settings.limits(&entry.config);
    let mut shown = mount_info::tuned(&entry.config);
    shown.insert("description".to_owned(), json!(entry.description));
    shown.insert("default_lease_ttl".to_owned(), json!(limits.default_ttl));
    shown.insert("max_lease_ttl".to_owned(), json!(limits.max_ttl));
    if let Some(options) = entry.options.as_ref().filter(|options| !options.is_empty()) {
        shown.insert("options".to_owned(), json!(options));
    }
    if entry.class == Class::Auth {
        shown.insert("token_type".to_owned(), json!(entry.config.token_type.as_str()));
    }
    if let Some(lockout) = &entry.config.user_lockout {
        shown.extend(mount_info::lockout(lockout));
    }
    Ok(Reply::data(shown))
}

async fn write(sys: &Sys, path: MountPath, input: TuneInput) -> Result<Reply, ApiError> {
    let active = sys.active()?;
    if ["sys/", "cubbyhole/", "audit/", "identity/"].iter().any(|prefix| path.as_str().starts_with(prefix)) {
        return Err(ApiError::invalid(format!("cannot tune \"{path}\"")));
    }
    let id: Option<MountId> = active.routes.load().at(path.as_str()).map(|mount| mount.entry.id.clone());
    let missing = || ApiError::invalid(format!("tune of path \"{path}\" failed: no mount entry found"));
    let changed = active.retune(id.ok_or_else(missing)?, move |entry| input.apply(entry)).await?;
    Ok(match changed {
        Changed::Settings => Reply::empty(),
        Changed::Options => Reply::warning(UPGRADING),
    })
}

impl TuneInput {
    fn apply(self, entry: &mut MountEntry) -> Result<(), ApiError> {
        check_version(text(self.plugin_version))?;
        change_ttls(&mut entry.config, text(self.default_lease_ttl), text(self.max_lease_ttl))?;
        if let Some(Text(visible)) = self.listing_visibility {
            entry.config.listing_visibility = visibility(visible)?;
        }
        if let Some(Text(rule)) = self.token_type {
            change_token_type(entry, &rule)?;
        }
        if let Some(Object(lockout)) = self.user_lockout_config {
            change_lockout(entry, lockout)?;
        }
        if let Some(Pairs(options)) = self.options.filter(|options| !options.is_empty()) {
            change_options(entry, options)?;
        }
        keep(&mut entry.description, self.description.map(|Text(description)| description));
        let config = &mut entry.config;
        keep(&mut config.force_no_cache, self.force_no_cache.map(|flag| *flag));
        let lists = [
            (&mut config.audit_non_hmac_request_keys, self.audit_non_hmac_request_keys),
            (&mut config.audit_non_hmac_response_keys, self.audit_non_hmac_response_keys),
            (&mut config.passthrough_request_headers, self.passthrough_request_headers),
            (&mut config.allowed_response_headers, self.allowed_response_headers),
            (&mut config.allowed_managed_keys, self.allowed_managed_keys),
        ];
        for (list, given) in lists {
            if let Some(CommaList(given)) = given {
                *list = Some(given);
            }
        }
        Ok(())
    }
}

fn change_ttls(config: &mut MountConfig, default: Option<String>, max: Option<String>) -> Result<(), ApiError> {
    let read = |given: Option<String>, kept: Ttl| match given.as_deref() {
        None => Ok(kept),
        Some("system") => Ok(Ttl::ZERO),
        Some(text) => Ttl::parse(text).map_err(|error| ApiError::invalid(error.to_string())),
    };
    let (default, max) = (read(default, config.default_lease_ttl)?, read(max, config.max_lease_ttl)?);
    if !max.is_zero() && max < default {
        let (max, default) = (max.as_seconds(), default.as_seconds());
        return Err(ApiError::invalid(format!(
            "backend max lease TTL of {max} would be less than backend default lease TTL of {default}"
        )));
    }
    (config.default_lease_ttl, config.max_lease_ttl) = (default, max);
    Ok(())
}

fn change_token_type(entry: &mut MountEntry, rule: &str) -> Result<(), ApiError> {
    if entry.class != Class::Auth {
        return Err(ApiError::invalid("'token_type' can only be modified on auth mounts"));
    }
    if entry.kind == "token" {
        return Err(ApiError::invalid("'token_type' cannot be set for 'token' or 'ns_token' auth mounts"));
    }
    entry.config.token_type = token_type(rule)?;
    Ok(())
}

fn change_lockout(entry: &mut MountEntry, given: Map<String, Value>) -> Result<(), ApiError> {
    if entry.class != Class::Auth || !matches!(entry.kind.as_str(), "ldap" | "approle" | "userpass") {
        let kind = &entry.kind;
        return Err(ApiError::invalid(format!("tuning of user lockout configuration for auth type \"{kind}\" not allowed")));
    }
    let given = given.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let given: LockoutInput = serde_json::from_value(Value::Object(given))
        .map_err(|error| ApiError::invalid(format!("unable to convert given user lockout config information: {error}")))?;
    let ttl = |given: Option<Text>, kept: Option<Ttl>| match text(given) {
        Some(text) => Ttl::parse(&text).map(Some).map_err(|error| ApiError::invalid(error.to_string())),
        None => Ok(kept),
    };
    let kept = entry.config.user_lockout.unwrap_or_default();
    let threshold = given.threshold.map(|threshold| u64::try_from(*threshold)).transpose();
    entry.config.user_lockout = Some(UserLockout {
        threshold: threshold.map_err(|_| ApiError::invalid("lockout_threshold cannot be below zero"))?.or(kept.threshold),
        duration: ttl(given.duration, kept.duration)?,
        counter_reset: ttl(given.counter_reset, kept.counter_reset)?,
        disable: given.disable.map(|flag| *flag).or(kept.disable),
    });
    Ok(())
}

/// Other options in place of those there are; a version that is not spoken of stays.
fn change_options(entry: &mut MountEntry, mut options: BTreeMap<String, String>) -> Result<(), ApiError> {
    let given = options.get("version").map(String::as_str).unwrap_or_default();
    if !given.is_empty() && !matches!(given, "1" | "2") {
        return Err(ApiError::invalid(format!("invalid version provided: {given}")));
    }
    let kept = entry.option("version").filter(|version| !version.is_empty()).map(str::to_owned);
    match (kept, given) {
        (Some(kept), "") => drop(options.insert("version".to_owned(), kept)),
        (Some(kept), "1") if kept == "2" => return Err(ApiError::invalid("cannot downgrade mount from version 2")),
        _ => {}
    }
    check_options(entry.class, &entry.kind, &options)?;
    entry.options = Some(options);
    Ok(())
}

const UPGRADING: &str = "Upgrading mount from version 1 to version 2. This mount will be unavailable for a brief period and \
                         will resume service shortly.";
