//! A mount, as clients ask for it: secrets engines and auth methods alike (spec `sys.md` §3).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::version::RUNNING_PLUGIN;
use crate::base::{MountPath, Ttl};
use crate::core::Active;
use crate::mount::field::{CommaList, Flag, Object, Pairs, Text};
use crate::mount::{ApiError, Class, MountEntry, TokenTypeRule};

/// The fields of a request to mount something.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct MountInput {
    /// Where to mount it.
    path: String,
    /// Type of the plugin.
    #[serde(rename = "type")]
    kind: Option<Text>,
    /// For people.
    description: Option<Text>,
    /// What can also be tuned later: times, visibility, headers, audited keys.
    config: Option<Object>,
    /// Options of the type.
    options: Option<Pairs>,
    /// Kept and shown; this server does not replicate.
    local: Option<Flag>,
    /// Kept and shown; everything is sealed the same way.
    seal_wrap: Option<Flag>,
    /// Kept and shown.
    external_entropy_access: Option<Flag>,
    /// Type of the plugin, when `type` is `plugin`.
    plugin_name: Option<Text>,
    /// Version of the plugin: there is one.
    plugin_version: Option<Text>,
}

/// What stands in `config`; other keys are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigInput {
    default_lease_ttl: Option<Text>,
    max_lease_ttl: Option<Text>,
    force_no_cache: Option<Flag>,
    audit_non_hmac_request_keys: Option<CommaList>,
    audit_non_hmac_response_keys: Option<CommaList>,
    listing_visibility: Option<Text>,
    passthrough_request_headers: Option<CommaList>,
    allowed_response_headers: Option<CommaList>,
    allowed_managed_keys: Option<CommaList>,
    plugin_name: Option<Text>,
    plugin_version: Option<Text>,
    token_type: Option<Text>,
}

impl MountInput {
    /// The mount that is asked for.
    ///
    /// # Errors
    /// 400 that says what cannot be.
    pub(super) fn entry(self, class: Class, active: &Active) -> Result<MountEntry, ApiError> {
        let path = match class {
            Class::Secret => MountPath::parse(&self.path)?,
            Class::Auth => auth_path(&self.path)?,
        };
        let config = ConfigInput::read(self.config.map(|Object(map)| map).unwrap_or_default())?;
        let mut options = self.options.map(|Pairs(pairs)| pairs).unwrap_or_default();
        let asked = text(self.kind).unwrap_or_default();
        let plugin_name = text(self.plugin_name).or_else(|| text(config.plugin_name.clone()));
        let kind = kind(class, asked, plugin_name, &mut options)?;
        check_version(text(self.plugin_version).or_else(|| text(config.plugin_version.clone())))?;
        let mut entry = MountEntry::new(class, path, &kind);
        config.apply(&mut entry, active)?;
        check_options(class, &kind, &options)?;
        entry.description = self.description.map(|Text(text)| text).unwrap_or_default();
        entry.options = Some(options);
        entry.local = self.local.is_some_and(|flag| *flag);
        entry.seal_wrap = self.seal_wrap.is_some_and(|flag| *flag);
        entry.external_entropy_access = self.external_entropy_access.is_some_and(|flag| *flag);
        Ok(entry)
    }
}

impl ConfigInput {
    fn read(mut map: Map<String, Value>) -> Result<Self, ApiError> {
        map.retain(|_, value| !value.is_null());
        serde_json::from_value(Value::Object(map))
            .map_err(|error| ApiError::invalid(format!("unable to convert given mount config information: {error}")))
    }

    fn apply(self, entry: &mut MountEntry, active: &Active) -> Result<(), ApiError> {
        let config = &mut entry.config;
        config.default_lease_ttl = lease_ttl(self.default_lease_ttl, "default")?;
        config.max_lease_ttl = lease_ttl(self.max_lease_ttl, "max")?;
        let (default, max, system) = (config.default_lease_ttl, config.max_lease_ttl, active.settings.max_lease_ttl);
        if !max.is_zero() && default > max {
            return Err(ApiError::invalid("given default lease TTL greater than given max lease TTL"));
        }
        if max.is_zero() && default > system {
            let system = system.as_seconds();
            return Err(ApiError::invalid(format!("given default lease TTL greater than system max lease TTL of {system}")));
        }
        config.listing_visibility = self.listing_visibility.map(|Text(text)| visibility(text)).transpose()?.flatten();
        config.force_no_cache = self.force_no_cache.is_some_and(|flag| *flag);
        config.audit_non_hmac_request_keys = list(self.audit_non_hmac_request_keys);
        config.audit_non_hmac_response_keys = list(self.audit_non_hmac_response_keys);
        config.passthrough_request_headers = list(self.passthrough_request_headers);
        config.allowed_response_headers = list(self.allowed_response_headers);
        config.allowed_managed_keys = list(self.allowed_managed_keys);
        if let Some(rule) = text(self.token_type) {
            if entry.class != Class::Auth {
                return Err(ApiError::invalid("'token_type' can only be set on auth mounts"));
            }
            config.token_type = token_type(&rule)?;
        }
        Ok(())
    }
}

/// The path of an auth method, which is named without `auth/`.
pub(super) fn auth_path(path: &str) -> Result<MountPath, ApiError> {
    Ok(MountPath::parse(&format!("auth/{}", path.trim_matches('/')))?)
}

/// Empty is `None`.
pub(super) fn visibility(text: String) -> Result<Option<String>, ApiError> {
    match text.as_str() {
        "" => Ok(None),
        "hidden" | "unauth" => Ok(Some(text)),
        _ => Err(ApiError::invalid(format!("invalid listing_visibility {text}"))),
    }
}

/// Which tokens an auth method gives.
pub(super) fn token_type(text: &str) -> Result<TokenTypeRule, ApiError> {
    TokenTypeRule::parse(text).ok_or_else(|| ApiError::invalid("invalid value for 'token_type'"))
}

/// There is one version of each plugin, that of this program.
pub(super) fn check_version(version: Option<String>) -> Result<(), ApiError> {
    match version.filter(|version| version != RUNNING_PLUGIN) {
        Some(version) => {
            Err(ApiError::invalid(format!("plugin version {version:?} is not there: this server runs only what is built in")))
        }
        None => Ok(()),
    }
}

/// Whether the type takes an option `version`, and this one.
pub(super) fn check_options(class: Class, kind: &str, options: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let Some(version) = options.get("version").filter(|version| !version.is_empty()) else { return Ok(()) };
    match (class, kind) {
        (Class::Secret, "kv") if matches!(version.as_str(), "1" | "2") => Ok(()),
        (Class::Secret, "kv") => Err(ApiError::invalid(format!("invalid version provided: {version}"))),
        (Class::Secret, _) => Err(ApiError::invalid(format!("secrets engine \"{kind}\" does not allow setting a version"))),
        (Class::Auth, _) => Err(ApiError::invalid(format!("auth method \"{kind}\" does not allow setting a version"))),
    }
}

/// The type that is meant; some names stand for a type with options.
fn kind(
    class: Class,
    asked: String,
    plugin_name: Option<String>,
    options: &mut BTreeMap<String, String>,
) -> Result<String, ApiError> {
    let asked = if asked == "plugin" {
        plugin_name.ok_or_else(|| ApiError::invalid("plugin_name must be provided for plugin backend"))?
    } else {
        asked
    };
    let version = match (class, asked.as_str()) {
        (_, "") => return Err(ApiError::invalid("backend type must be specified as a string")),
        (Class::Secret, "kv-v1" | "generic") => "1",
        (Class::Secret, "kv-v2") => "2",
        _ => return Ok(asked),
    };
    options.insert("version".to_owned(), version.to_owned());
    Ok("kv".to_owned())
}

fn lease_ttl(given: Option<Text>, which: &str) -> Result<Ttl, ApiError> {
    match text(given).as_deref() {
        None | Some("system") => Ok(Ttl::ZERO),
        Some(text) => {
            Ttl::parse(text).map_err(|error| ApiError::invalid(format!("unable to parse {which} TTL of {text}: {error}")))
        }
    }
}

/// A text that is not empty.
pub(super) fn text(given: Option<Text>) -> Option<String> {
    given.map(|Text(text)| text).filter(|text| !text.is_empty())
}

fn list(given: Option<CommaList>) -> Option<Vec<String>> {
    given.map(|CommaList(items)| items)
}
