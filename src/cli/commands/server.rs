//! `server` and `operator diagnose`: the command line knows their flags and usage; a hook runs them.

use crate::cli::command::{Args, Body, Command};
use crate::cli::cx::Cx;
use crate::cli::flags::{self, Flag, Group};
use crate::cli::stop::Outcome;

const CONFIG: Flag = Flag::list("config", "FILE|DIR", "Configuration; repeat for more.");
const LOG_LEVEL: Flag = Flag::text("log-level", "LEVEL", "trace, debug, info, warn or error. [VAULT_LOG_LEVEL]");
const LOG_FORMAT: Flag = Flag::text("log-format", "FORMAT", "standard or json. [VAULT_LOG_FORMAT]");
const LOG_FILE: Flag = Flag::text("log-file", "FILE", "Write the log there too.");
const LOG_ROTATE_BYTES: Flag = Flag::number("log-rotate-bytes", "Start a new log file after so many bytes.");
const LOG_ROTATE_DURATION: Flag = Flag::duration("log-rotate-duration", "Start a new log file after this long.");
const LOG_ROTATE_MAX_FILES: Flag = Flag::number("log-rotate-max-files", "Old log files to keep.");
const EXIT_ON_SHUTDOWN: Flag = Flag::switch("exit-on-core-shutdown", "End the program when the core shuts down.");
const RECOVERY: Flag = Flag::switch("recovery", "Recovery mode; not built.");
const EXPERIMENT: Flag = Flag::list("experiment", "NAME", "Experiments; not built.");
const CHECK: Flag = Flag::switch("check", "Read the configuration, report, and end.");
const DEV: Flag = Flag::switch("dev", "Run in memory, unsealed, for trying things out.");
const DEV_ROOT_TOKEN_ID: Flag =
    Flag::text("dev-root-token-id", "TEXT", "Root token of the dev server. [VAULT_DEV_ROOT_TOKEN_ID]");
const DEV_LISTEN_ADDRESS: Flag =
    Flag::text("dev-listen-address", "HOST:PORT", "Default 127.0.0.1:8200. [VAULT_DEV_LISTEN_ADDRESS]");
const DEV_NO_STORE_TOKEN: Flag = Flag::switch("dev-no-store-token", "Do not keep the root token for the command line.");
const DEV_TLS: Flag = Flag::switch("dev-tls", "TLS, with a certificate made at start.");
const DEV_TLS_CERT_DIR: Flag = Flag::text("dev-tls-cert-dir", "DIR", "Where to write it. Default: a temporary folder.");
const DEV_TLS_SAN: Flag = Flag::list("dev-tls-san", "NAME", "Further name in it; repeat for more.");
const DEV_KV_V1: Flag = Flag::switch("dev-kv-v1", "Mount secret/ without versions.");
const DEV_AWS: Flag = Flag::switch("dev-aws", "Run a stand-in for AWS beside it, for trying out the AWS engines.");

const DEV_GROUP: Group = Group {
    title: "Dev server",
    flags: &[
        DEV,
        DEV_ROOT_TOKEN_ID,
        DEV_LISTEN_ADDRESS,
        DEV_NO_STORE_TOKEN,
        DEV_TLS,
        DEV_TLS_CERT_DIR,
        DEV_TLS_SAN,
        DEV_KV_V1,
        DEV_AWS,
    ],
};

pub(super) const SERVER: Command = Command::new("server", "[flags]", "Runs the server.", diagnose)
    .details("A server needs a configuration, by -config, or -dev. Its log goes to standard error.")
    .flags(&[
        CONFIG,
        LOG_LEVEL,
        LOG_FORMAT,
        LOG_FILE,
        LOG_ROTATE_BYTES,
        LOG_ROTATE_DURATION,
        LOG_ROTATE_MAX_FILES,
        EXIT_ON_SHUTDOWN,
        RECOVERY,
        EXPERIMENT,
        CHECK,
    ])
    .offline(&[&DEV_GROUP])
    .body(Body::Server);

pub(super) const DIAGNOSE: Command = Command::new("diagnose", "[flags]", "Checks a server's configuration.", diagnose)
    .flags(&[CONFIG])
    .offline(&[])
    .args(Args::Exactly(0));

#[expect(clippy::unnecessary_wraps, reason = "the form every command has")]
fn diagnose(cx: &mut Cx<'_>) -> Outcome {
    let mut words = vec!["-check".to_owned()];
    words.extend(cx.flags.list(&CONFIG).iter().map(|path| format!("-config={path}")));
    Ok((cx.server)(&words))
}

/// The flags of `server`, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ServerFlags {
    /// Files and folders, in order.
    pub config: Vec<String>,
    /// `trace` to `error`.
    pub log_level: Option<String>,
    /// `standard` or `json`.
    pub log_format: Option<String>,
    /// A file that gets the log too.
    pub log_file: Option<String>,
    /// Bytes after which a new log file starts.
    pub log_rotate_bytes: Option<i64>,
    /// Nanoseconds after which a new log file starts.
    pub log_rotate_nanos: Option<i128>,
    /// Old log files to keep.
    pub log_rotate_max_files: Option<i64>,
    /// End with the core.
    pub exit_on_core_shutdown: bool,
    /// Recovery mode was asked for.
    pub recovery: bool,
    /// Experiments asked for.
    pub experiment: Vec<String>,
    /// Only read the configuration.
    pub check: bool,
    /// A dev server.
    pub dev: bool,
    /// Root token of the dev server.
    pub dev_root_token_id: Option<String>,
    /// Address of the dev server.
    pub dev_listen_address: Option<String>,
    /// Do not keep its root token.
    pub dev_no_store_token: bool,
    /// TLS for the dev server.
    pub dev_tls: bool,
    /// Where its certificate goes.
    pub dev_tls_cert_dir: Option<String>,
    /// Further names in it.
    pub dev_tls_san: Vec<String>,
    /// `secret/` without versions.
    pub dev_kv_v1: bool,
    /// The stand-in for AWS.
    pub dev_aws: bool,
}

/// Reads the words after `server`.
///
/// # Errors
/// The mistake, in the words of every command: `flag provided but not defined: -x`.
pub fn parse_server_flags(words: &[String]) -> Result<ServerFlags, String> {
    let (values, rest) = flags::parse(&SERVER.table(), &[], words)?;
    if !rest.is_empty() {
        return Err(format!("Too many arguments (expected 0, got {})", rest.len()));
    }
    let text = |flag: &Flag| values.text(flag).map(str::to_owned);
    Ok(ServerFlags {
        config: values.list(&CONFIG).to_vec(),
        log_level: text(&LOG_LEVEL),
        log_format: text(&LOG_FORMAT),
        log_file: text(&LOG_FILE),
        log_rotate_bytes: values.number(&LOG_ROTATE_BYTES),
        log_rotate_nanos: values.nanos(&LOG_ROTATE_DURATION),
        log_rotate_max_files: values.number(&LOG_ROTATE_MAX_FILES),
        exit_on_core_shutdown: values.is(&EXIT_ON_SHUTDOWN),
        recovery: values.is(&RECOVERY),
        experiment: values.list(&EXPERIMENT).to_vec(),
        check: values.is(&CHECK),
        dev: values.is(&DEV),
        dev_root_token_id: text(&DEV_ROOT_TOKEN_ID),
        dev_listen_address: text(&DEV_LISTEN_ADDRESS),
        dev_no_store_token: values.is(&DEV_NO_STORE_TOKEN),
        dev_tls: values.is(&DEV_TLS),
        dev_tls_cert_dir: text(&DEV_TLS_CERT_DIR),
        dev_tls_san: values.list(&DEV_TLS_SAN).to_vec(),
        dev_kv_v1: values.is(&DEV_KV_V1),
        dev_aws: values.is(&DEV_AWS),
    })
}
