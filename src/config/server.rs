//! The configuration of a server: documents and environment merged into [`ServerConfig`].
//!
//! A flag counts before a variable of the environment, that before a document, and of documents the last counts.
//! Listeners add up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::environment::{self, Environment};
use super::error::{ConfigError, Place, Warning};
use super::listener::{ListenAddress, ListenerConfig, ListenerLimits, TlsFiles};
use super::lockout::{self, LockoutConfig};
use super::log::{LogFormat, LogLevel, LogSettings};
use super::source::{self, Source};
use super::stanza::{Layers, Spot, wrong};
use super::storage::{self, StorageConfig};
use super::telemetry::{self, Telemetry};
use super::{DEFAULT_ADDRESS, keys, listener_stanza};
use crate::base::Ttl;

/// What a server runs by (spec `seal-and-barrier.md` §5).
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct ServerConfig {
    /// It is a dev server: in memory, initialised and unsealed at start.
    pub dev: bool,
    /// Where it listens; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// Where it keeps its data.
    pub storage: StorageConfig,
    /// The address that clients are told, with its scheme.
    pub api_addr: Option<String>,
    /// The address that other servers would be told, with its scheme.
    pub cluster_addr: Option<String>,
    /// The cluster's name; `None` has one made up when the server is initialised.
    pub cluster_name: Option<String>,
    /// How long leases last where neither a mount nor a role says so.
    pub default_lease_ttl: Ttl,
    /// How long leases last at most where no mount says so; not below the former.
    pub max_lease_ttl: Ttl,
    /// How long a request may run where its listener does not say so.
    pub default_max_request_duration: Ttl,
    /// Whether the web interface is served.
    pub ui: bool,
    /// Whether memory may be swapped out.
    pub disable_mlock: bool,
    /// A file that gets the process's number.
    pub pid_file: Option<PathBuf>,
    /// What the log is set up with.
    pub log: LogSettings,
    /// Whether anybody set the log's level; the text at the start shows it only then.
    pub is_log_level_set: bool,
    /// Whether `sys/raw` is there.
    pub raw_storage_endpoint: bool,
    /// Whether `sys/internal/inspect` is there.
    pub introspection_endpoint: bool,
    /// Whether replies name the machine (`X-Vault-Hostname`).
    pub enable_response_header_hostname: bool,
    /// How metrics are kept and named.
    pub telemetry: Telemetry,
    /// How failed logins lock users out.
    pub user_lockout: LockoutConfig,
    /// The API level to report in place of our own, for clients that insist on one.
    pub reported_version: Option<String>,
    /// How many leases are revoked at the same time; `None` leaves it to the reaper.
    pub lease_revocation_workers: Option<usize>,
    /// Variables that say where AWS is.
    pub aws: BTreeMap<String, String>,
    /// Lease times as the documents have them, zero where they have none: `sys/config/state/sanitized` shows them so.
    pub(super) written_ttls: (Ttl, Ttl),
}

/// What flags of the command line say; they count before all else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-log-level`.
    pub log_level: Option<String>,
    /// `-log-format`.
    pub log_format: Option<String>,
    /// `-log-file`.
    pub log_file: Option<PathBuf>,
}

impl ServerConfig {
    /// The configuration of a server from files and folders in the order they were named, and the environment.
    /// Reads files; blocks for some milliseconds.
    ///
    /// # Errors
    /// For what cannot be read, for unknown keys and wrong values, and for what we do not have and cannot leave out.
    pub fn load(paths: &[PathBuf], environment: &Environment) -> Result<(Self, Vec<Warning>), ConfigError> {
        let sources = source::read_all(paths, environment)?;
        if sources.is_empty() {
            return Err(ConfigError::Nothing);
        }
        let (config, warnings) = Self::read(&sources, environment, None)?;
        if config.listeners.is_empty() {
            let place = Place::named("the configuration");
            return Err(ConfigError::Invalid { place, message: "a listener is missing, such as listener \"tcp\"".to_owned() });
        }
        Ok((config, warnings))
    }

    /// The configuration of a dev server, which listens at `listen` (a flag's value), else where the environment says, else
    /// at `127.0.0.1:8200`; with documents merged on top, whose listeners are added.
    ///
    /// # Errors
    /// As [`Self::load`], and when the address is none.
    pub fn dev(
        listen: Option<&str>,
        tls: Option<TlsFiles>,
        paths: &[PathBuf],
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let flag = listen.map(|value| Spot { value: value.to_owned(), place: Place::named("-dev-listen-address") });
        let named = environment::spot(environment.dev_listen_address.as_ref(), environment::DEV_LISTEN_ADDRESS);
        let address = match flag.or(named) {
            None => DEFAULT_ADDRESS.to_owned(),
            Some(spot) if listener_stanza::is_tcp_address(&spot.value) => spot.value,
            Some(spot) => return Err(wrong(spot.place, "address", &format!("{:?}", spot.value), listener_stanza::ADDRESS)),
        };
        let listener = ListenerConfig { tls, ..ListenerConfig::plain(ListenAddress::Tcp(address)) };
        Self::read(&source::read_all(paths, environment)?, environment, Some(listener))
    }

    /// Puts flags above what is there.
    ///
    /// # Errors
    /// When a level or a format is none.
    pub fn apply(&mut self, flags: &Flags) -> Result<(), ConfigError> {
        let spot = |value: &Option<String>, name| {
            value.clone().map(|value| Spot { value, place: Place::named(name) }).filter(|spot| !spot.value.is_empty())
        };
        if let Some(level) = spot(&flags.log_level, "-log-level") {
            self.log.level = parsed(level, "log_level", LEVELS)?;
            self.is_log_level_set = true;
        }
        if let Some(format) = spot(&flags.log_format, "-log-format") {
            self.log.format = parsed(format, "log_format", FORMATS)?;
        }
        if let Some(file) = flags.log_file.as_ref().filter(|file| !file.as_os_str().is_empty()) {
            self.log.file = Some(file.clone());
        }
        Ok(())
    }

    /// The address clients reach the server at: the configured one, else that of the first listener.
    pub fn url(&self) -> Option<String> {
        let derived = self.listeners.iter().find_map(|listener| match &listener.address {
            ListenAddress::Tcp(address) => {
                let scheme = if listener.tls.is_some() { "https" } else { "http" };
                Some(format!("{scheme}://{address}"))
            }
            ListenAddress::Unix { .. } => None,
        });
        self.api_addr.clone().or(derived)
    }

    /// Merges documents and environment; `dev` is the first listener of a dev server.
    fn read(
        sources: &[Source],
        environment: &Environment,
        dev: Option<ListenerConfig>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut warnings = Vec::new();
        let layers = Layers(sources.iter().map(Source::stanza).collect());
        layers.check(keys::TOP, &mut warnings)?;
        storage::check_seal(&layers, environment)?;

        let is_dev = dev.is_some();
        let usual_storage = is_dev.then_some(StorageConfig::Inmem);
        let (default_lease_ttl, max_lease_ttl, written_ttls) = lease_ttls(&layers)?;
        let written_duration = layers.ttl("default_max_request_duration")?.and_then(|spot| spot.value.nonzero());
        let request_duration = written_duration.unwrap_or(ListenerLimits::default().max_request_duration);
        let mut listeners: Vec<ListenerConfig> = dev.into_iter().collect();
        for listener in &mut listeners {
            Arc::make_mut(&mut listener.limits).max_request_duration = request_duration;
        }
        listener_stanza::read_all(&layers, &mut listeners, request_duration, &mut warnings)?;
        let (log, is_log_level_set) = log(&layers, environment)?;
        let ui = environment::spot(environment.ui.as_ref(), environment::UI);
        let ui = ui.map(|spot| environment::truth(spot, "ui")).transpose()?;
        let config = Self {
            dev: is_dev,
            listeners,
            storage: storage::read(&layers, usual_storage, &mut warnings)?,
            api_addr: url(&layers, "api_addr", environment.api_addr.as_ref(), environment::API_ADDR)?,
            cluster_addr: url(&layers, "cluster_addr", environment.cluster_addr.as_ref(), environment::CLUSTER_ADDR)?,
            cluster_name: layers.text("cluster_name")?.map(|spot| spot.value),
            default_lease_ttl,
            max_lease_ttl,
            default_max_request_duration: request_duration,
            ui: ui.or(layers.switch("ui")?).unwrap_or(is_dev),
            disable_mlock: layers.switch("disable_mlock")?.unwrap_or(is_dev),
            pid_file: layers.text("pid_file")?.map(|spot| PathBuf::from(spot.value)),
            log,
            is_log_level_set,
            raw_storage_endpoint: layers.switch("raw_storage_endpoint")?.unwrap_or(false),
            introspection_endpoint: layers.switch("introspection_endpoint")?.unwrap_or(false),
            enable_response_header_hostname: layers.switch("enable_response_header_hostname")?.unwrap_or(false),
            telemetry: telemetry::read(&layers, &mut warnings)?,
            user_lockout: lockout::read(&layers, environment, &mut warnings)?,
            reported_version: reported_version(&layers)?,
            lease_revocation_workers: revocation_workers(environment)?,
            aws: environment.aws.clone(),
            written_ttls,
        };
        Ok((config, warnings))
    }
}

/// Default and maximum of leases, and what was written of both.
fn lease_ttls(layers: &Layers<'_>) -> Result<(Ttl, Ttl, (Ttl, Ttl)), ConfigError> {
    let set = |spot: Option<Spot<Ttl>>| spot.filter(|spot| !spot.value.is_zero());
    let default = set(layers.ttl("default_lease_ttl")?);
    let max = set(layers.ttl("max_lease_ttl")?);
    let value = |spot: &Option<Spot<Ttl>>| spot.as_ref().map(|spot| spot.value);
    let written = (value(&default).unwrap_or_default(), value(&max).unwrap_or_default());
    let (default_ttl, max_ttl) = (value(&default).unwrap_or(LEASE_TTL), value(&max).unwrap_or(LEASE_TTL));
    if default_ttl <= max_ttl {
        return Ok((default_ttl, max_ttl, written));
    }
    let shown = |ttl: Ttl, spot: &Option<Spot<Ttl>>| {
        let hint = if spot.is_none() { ", as nothing else is set" } else { "" };
        format!("({}{hint})", ttl.short())
    };
    let message =
        format!("default_lease_ttl {} is longer than max_lease_ttl {}", shown(default_ttl, &default), shown(max_ttl, &max));
    let place = default.or(max).map_or_else(|| Place::named("the configuration"), |spot| spot.place);
    Err(ConfigError::Invalid { place, message })
}

/// The log's settings, and whether its level was set.
fn log(layers: &Layers<'_>, environment: &Environment) -> Result<(LogSettings, bool), ConfigError> {
    let level = environment::spot(environment.log_level.as_ref(), environment::LOG_LEVEL).or(layers.text("log_level")?);
    let format = environment::spot(environment.log_format.as_ref(), environment::LOG_FORMAT).or(layers.text("log_format")?);
    let is_level_set = level.is_some();
    let level = level.map(|spot| parsed::<LogLevel>(spot, "log_level", LEVELS)).transpose()?;
    let format = format.map(|spot| parsed::<LogFormat>(spot, "log_format", FORMATS)).transpose()?;
    let file = layers.text("log_file")?.map(|spot| PathBuf::from(spot.value));
    Ok((LogSettings { level: level.unwrap_or_default(), format: format.unwrap_or_default(), file }, is_level_set))
}

fn parsed<T: FromStr>(spot: Spot<String>, key: &str, expected: &str) -> Result<T, ConfigError> {
    spot.value.parse().map_err(|_| wrong(spot.place, key, &format!("{:?}", spot.value), expected))
}

/// An address that is told to others: `http://host` or `https://host`, and what may follow.
fn url(layers: &Layers<'_>, key: &str, variable: Option<&String>, name: &str) -> Result<Option<String>, ConfigError> {
    let Some(spot) = environment::spot(variable, name).or(layers.text(key)?) else { return Ok(None) };
    let rest = spot.value.strip_prefix("https://").or_else(|| spot.value.strip_prefix("http://"));
    let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(['{', ' ', '@']));
    if is_url {
        return Ok(Some(spot.value));
    }
    Err(wrong(
        spot.place,
        key,
        &format!("{:?}", spot.value),
        "an address with its scheme, such as \"https://vault.example.com:8200\"",
    ))
}

/// Three numbers, and perhaps what comes before the release. What a `+` brings says of other editions what we are not.
fn reported_version(layers: &Layers<'_>) -> Result<Option<String>, ConfigError> {
    let Some(spot) = layers.text("reported_version")? else { return Ok(None) };
    let (numbers, pre) = spot.value.split_once('-').map_or((spot.value.as_str(), None), |(numbers, pre)| (numbers, Some(pre)));
    let are_numbers = numbers.split('.').filter(|number| number.len() <= 5 && number.parse::<u16>().is_ok()).count() == 3
        && numbers.split('.').count() == 3
        && numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_pre = pre.is_none_or(|pre| {
        (1..=32).contains(&pre.len()) && pre.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
    });
    if are_numbers && is_pre {
        return Ok(Some(spot.value));
    }
    Err(wrong(spot.place, "reported_version", &format!("{:?}", spot.value), "a version, such as \"1.14.10\""))
}

fn revocation_workers(environment: &Environment) -> Result<Option<usize>, ConfigError> {
    let name = environment::LEASE_REVOCATION_WORKERS;
    let Some(spot) = environment::spot(environment.lease_revocation_workers.as_ref(), name) else { return Ok(None) };
    match spot.value.trim().parse() {
        Ok(number @ 1..=10_000) => Ok(Some(number)),
        _ => Err(wrong(spot.place, "workers", &format!("{:?}", spot.value), "a whole number from 1 to 10000")),
    }
}

/// 32 days, Vault's default for both (spec `seal-and-barrier.md` §5).
const LEASE_TTL: Ttl = Ttl::hours(768);

const LEVELS: &str = "\"trace\", \"debug\", \"info\", \"warn\" or \"error\"";
const FORMATS: &str = "\"standard\" or \"json\"";

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
