//! Every command, in one table per group; [`ALL`] is the whole.

mod audit;
mod kv;
mod lease;
mod login;
mod mounts;
mod operator;
mod plugin;
mod policy;
mod policy_fmt;
mod read;
pub(super) mod server;
mod status;
mod token;
mod tune;
pub(super) mod version;
mod write;

use super::command::Command;
use super::complete::COMPLETION;

/// The commands, in the order of the usage text.
pub(super) const ALL: &[Command] = &[
    read::READ,
    write::WRITE,
    write::PATCH,
    read::LIST,
    read::DELETE,
    login::LOGIN,
    status::STATUS,
    read::UNWRAP,
    kv::KV,
    token::TOKEN,
    lease::LEASE,
    mounts::SECRETS,
    mounts::AUTH,
    policy::POLICY,
    audit::AUDIT,
    operator::OPERATOR,
    server::SERVER,
    read::PATH_HELP,
    plugin::PLUGIN_GROUP,
    plugin::NAMESPACE,
    plugin::MONITOR,
    version::PRINT,
    version::VERSION,
    version::HISTORY,
    COMPLETION,
    Command::absent(
        "agent",
        "Keeps a token and renders files.",
        "Log in by \"vault login\", or let the application use a client library.",
    ),
    Command::absent("proxy", "Relays requests with a token of its own.", "Send requests to the server itself."),
    Command::absent("ssh", "Opens an SSH session.", "Write to the ssh engine's sign or creds path, then use ssh."),
    Command::absent("transit", "Imports keys.", "Write to the transit engine's paths instead."),
    Command::absent("pki", "Builds certificate chains.", "Write to the pki engine's paths instead."),
    Command::absent("transform", "Imports keys.", "There is no such engine; the transit engine encrypts data."),
    Command::absent("events", "Subscribes to events.", "Read the audit log, or \"vault monitor\"."),
    Command::absent("debug", "Collects a report.", "Use \"vault status\", \"vault monitor\" and the server's metrics."),
];
