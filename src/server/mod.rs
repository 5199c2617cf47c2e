//! The server put together: configuration, storage, core, edge; from its start to its end.

mod dev;
mod dev_tls;
mod process;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::auth;
use crate::base::time::SystemClock;
use crate::base::{Clock, Shutdown, Tasks, version};
use crate::cli::{ServerFlags, parse_server_flags};
use crate::config::banner::{Facts, banner};
use crate::config::log::Log;
use crate::config::{Environment, Flags, ServerConfig, StorageConfig, Warning};
use crate::core::{Core, Settings};
use crate::engine;
use crate::http::{App as _, Listeners, ReloadHook, Server};
use crate::mount::Registry;
use crate::storage::Storage;
use crate::storage::embedded::{EmbeddedStorage, Options};
use crate::storage::memory::MemoryStorage;

use dev_tls::DevTls;

/// Runs a server with the words after `server`; its exit code. 1: it did not start (spec `cli.md`).
pub fn run(words: &[String]) -> i32 {
    match start(words) {
        Ok(()) => 0,
        Err(error) => {
            say_error(&error);
            1
        }
    }
}

fn start(words: &[String]) -> Result<(), String> {
    let flags = parse_server_flags(words)?;
    let environment = Environment::of_process();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Its files are there as long as the server; who only checks a configuration finds none.
    let tls = if flags.dev_tls && !flags.check { Some(DevTls::make(&flags, &environment, clock.now())?) } else { None };
    let (mut config, warnings) = configuration(&flags, tls.as_ref(), &environment)?;
    let levels = Flags {
        log_level: flags.log_level.clone(),
        log_format: flags.log_format.clone(),
        log_file: flags.log_file.clone().map(PathBuf::from),
    };
    config.apply(&levels).map_err(|error| error.to_string())?;
    for warning in warnings.iter().map(Warning::to_string).chain(unused(&flags)) {
        say_error(&format!("WARNING: {warning}"));
    }
    if flags.check {
        say("The configuration can be used.\n");
        return Ok(());
    }
    let memory = process::harden(config.disable_mlock);
    let _pid_file = config.pid_file.as_deref().map(process::PidFile::write).transpose()?;
    let log = Log::start(&config.log, Arc::clone(&clock), std::io::stderr()).map_err(|error| format!("log: {error}"))?;
    log.install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
    let ended = runtime.block_on(serve(&config, &flags, tls.as_ref(), &environment, memory, clock, &log));
    log.flush(LAST_LINES);
    ended
}

/// What everything is told that can end it.
async fn serve(
    config: &ServerConfig,
    flags: &ServerFlags,
    tls: Option<&DevTls>,
    environment: &Environment,
    memory: process::Memory,
    clock: Arc<dyn Clock>,
    log: &Log,
) -> Result<(), String> {
    let (storage, embedded) = open_storage(config, &clock)?;
    let core = Core::new(storage, settings(config, log), registry(), Arc::clone(&clock));
    let listeners = Listeners::bind(&config.listeners).await.map_err(|error| error.to_string())?;
    let addresses = listeners.addresses();
    let certificates = listeners.reloader();
    let (tasks, shutdown) = (Tasks::default(), Shutdown::new());
    let again = log.clone();
    let reload: ReloadHook = Box::new(move || {
        certificates.reload();
        again.reopen();
        Box::pin(std::future::ready(()))
    });
    let server = Server::new(Arc::clone(&core), vec![reload]);
    listeners.serve(&server, &clock, &tasks, &shutdown);
    tracing::info!(
        version = version::VERSION, commit = version::COMMIT, api = %core.settings().version, storage = config.storage.kind(),
        "Leasehold {} has started", version::VERSION
    );
    let facts = Facts {
        addresses: &addresses,
        variables: &environment.names,
        mlock_supported: memory.is_supported,
        mlock_enabled: memory.is_locked,
    };
    say(&banner(config, &facts));
    let background = Background { clock: Arc::clone(&clock), tasks: tasks.clone(), shutdown: shutdown.clone() };
    if config.dev {
        let url = url_of(config, &addresses);
        dev::prepare(&core, flags, tls, environment, &url, &background).await?;
    }
    wait_for_signals(&server).await?;
    say("==> Vault shutdown triggered\n");
    tracing::info!("stopping");
    shutdown.cancel();
    drain(&tasks).await;
    server.shutdown().await;
    if let Some(embedded) = embedded {
        embedded.close().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// What work beside the server is started with.
pub(crate) struct Background {
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    shutdown: Shutdown,
}

fn configuration(
    flags: &ServerFlags,
    tls: Option<&DevTls>,
    environment: &Environment,
) -> Result<(ServerConfig, Vec<Warning>), String> {
    if flags.recovery {
        return Err("-recovery: recovery mode is not supported by this server".to_owned());
    }
    if let Some(name) = flags.experiment.first() {
        return Err(format!("-experiment: there is no experiment \"{name}\" in this server"));
    }
    let is_dev = flags.dev
        || flags.dev_aws
        || flags.dev_kv_v1
        || flags.dev_tls
        || flags.dev_root_token_id.is_some()
        || flags.dev_listen_address.is_some();
    let paths: Vec<PathBuf> = flags.config.iter().map(PathBuf::from).collect();
    let read = if is_dev {
        ServerConfig::dev(flags.dev_listen_address.as_deref(), tls.map(DevTls::files), &paths, environment)
    } else {
        ServerConfig::load(&paths, environment)
    };
    read.map_err(|error| error.to_string())
}

/// Flags that have no effect here.
fn unused(flags: &ServerFlags) -> Vec<String> {
    let rotates = flags.log_rotate_bytes.is_some() || flags.log_rotate_nanos.is_some() || flags.log_rotate_max_files.is_some();
    let given = [(rotates, "-log-rotate-*: this server does not rotate its log; it opens it again on SIGHUP")];
    given.iter().filter(|(given, _)| *given).map(|(_, text)| (*text).to_owned()).collect()
}

/// The storage, and a handle to close it by where it has a file.
type Opened = (Arc<dyn Storage>, Option<Arc<EmbeddedStorage>>);

fn open_storage(config: &ServerConfig, clock: &Arc<dyn Clock>) -> Result<Opened, String> {
    config.storage.prepare().map_err(|error| error.to_string())?;
    match &config.storage {
        StorageConfig::Inmem => Ok((Arc::new(MemoryStorage::new()), None)),
        StorageConfig::File(file) => {
            let mut options = Options::default();
            options.cache_bytes = file.cache_bytes.unwrap_or(options.cache_bytes);
            let opened = EmbeddedStorage::open(&file.file, options, Arc::clone(clock));
            let storage = Arc::new(opened.map_err(|error| error.to_string())?);
            Ok((Arc::clone(&storage) as _, Some(storage)))
        }
    }
}

fn settings(config: &ServerConfig, log: &Log) -> Settings {
    let names = config.listeners.iter().flat_map(|listener| listener.limits.response_headers.names());
    Settings {
        default_lease_ttl: config.default_lease_ttl,
        max_lease_ttl: config.max_lease_ttl,
        version: config.reported_version.clone().unwrap_or_else(|| version::API_LEVEL.to_owned()),
        api_addr: config.url().unwrap_or_default(),
        cluster_name: config.cluster_name.clone(),
        raw_storage_endpoint: config.raw_storage_endpoint,
        introspection_endpoint: config.introspection_endpoint,
        lockout: config.user_lockout.clone(),
        sanitized: Arc::new(config.sanitized()),
        environment: Arc::new(config.aws.clone()),
        telemetry: config.telemetry.clone(),
        log: Some(log.clone()),
        response_headers: Arc::new(names.map(str::to_owned).collect()),
    }
}

/// All types of plugins there are.
fn registry() -> Registry {
    let mut registry = Registry::new();
    engine::builtin(&mut registry);
    auth::builtin(&mut registry);
    registry
}

/// Where clients reach the first listener.
fn url_of(config: &ServerConfig, addresses: &[SocketAddr]) -> String {
    let is_tls = config.listeners.first().is_some_and(|listener| listener.tls.is_some());
    let bound = addresses.first().map(|address| format!("{}://{address}", if is_tls { "https" } else { "http" }));
    config.api_addr.clone().or(bound).unwrap_or_default()
}

/// SIGHUP reloads; SIGINT and SIGTERM end, the second of them at once.
async fn wait_for_signals(server: &Server) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("signals cannot be received: {error}");
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    loop {
        tokio::select! {
            _ = hangup.recv() => server.reload().await,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
    }
}

/// Connections end once their requests are answered; a second signal ends the wait.
async fn drain(tasks: &Tasks) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return tasks.drained().await;
    };
    tokio::select! {
        () = tasks.drained() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Text on standard output, flushed at once: people and scripts read it from logs of containers. A reader that went away is
/// not an error.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// How long the end waits for a reader of the log.
const LAST_LINES: Duration = Duration::from_secs(2);
