//! What `-output-curl-string` and `-output-policy` print instead of sending (spec `cli.md` §6).

use std::fmt::Write as _;

use http::Method;

use super::client::{Request, TokenUse};
use super::settings::{Instead, Settings};

/// The text to print in place of sending `request`.
pub(crate) fn show(instead: Instead, settings: &Settings, request: &Request) -> String {
    match instead {
        Instead::Curl => curl(settings, request),
        Instead::Policy => policy(request),
    }
}

fn curl(settings: &Settings, request: &Request) -> String {
    let mut line = "curl ".to_owned();
    if request.method != Method::GET {
        let _ = write!(line, "-X {} ", request.method);
    }
    let mut header = |name: &str, value: &str| {
        let _ = write!(line, "-H \"{name}: {value}\" ");
    };
    header("X-Vault-Request", "true");
    if let Some(namespace) = &settings.namespace {
        header("X-Vault-Namespace", &double_quoted(namespace));
    }
    if let Some(ttl) = settings.wrap_ttl.as_ref().filter(|_| request.may_wrap) {
        header("X-Vault-Wrap-Ttl", ttl);
    }
    for (name, value) in &settings.headers {
        header(&double_quoted(name), &double_quoted(value));
    }
    if request.method == Method::PATCH {
        header("Content-Type", "application/merge-patch+json");
    }
    // The token itself never appears.
    if !matches!(request.token, TokenUse::None) {
        header("X-Vault-Token", "$(vault print token)");
    }
    if let Some(body) = &request.body {
        let _ = write!(line, "-d '{}' ", body.to_string().replace('\'', "'\"'\"'"));
    }
    format!("{line}\"{}\"", double_quoted(&request.url(&settings.address)))
}

/// Text between a shell's double quotes.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

fn policy(request: &Request) -> String {
    let is_list = request.query.iter().any(|(name, value)| name == "list" && value == "true");
    let mut capabilities = match request.method {
        Method::GET if is_list => vec!["list"],
        Method::GET => vec!["read"],
        Method::DELETE => vec!["delete"],
        Method::PATCH => vec!["patch"],
        _ => vec!["create", "update"],
    };
    let path = request.path.trim_end_matches('/');
    if needs_sudo(path) {
        capabilities.push("sudo");
    }
    let quoted: Vec<_> = capabilities.iter().map(|name| format!("\"{name}\"")).collect();
    let path = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("path \"{path}\" {{\n  capabilities = [{}]\n}}", quoted.join(", "))
}

fn needs_sudo(path: &str) -> bool {
    SUDO.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(front) => path.starts_with(front),
        None => path == *pattern,
    })
}

/// Paths that need `sudo` besides the operation's capability (spec `http-api.md` §15).
const SUDO: &[&str] = &[
    "auth/token/accessors*",
    "auth/token/revoke-orphan*",
    "pki/root",
    "pki/root/sign-self-issued",
    "sys/audit",
    "sys/audit/*",
    "sys/auth/*",
    "sys/config/auditing/*",
    "sys/config/cors",
    "sys/config/ui/headers/*",
    "sys/internal/counters/activity/export",
    "sys/internal/inspect/*",
    "sys/leases",
    "sys/leases/lookup/*",
    "sys/leases/revoke-force/*",
    "sys/leases/revoke-prefix/*",
    "sys/plugins/catalog/*",
    "sys/plugins/runtimes/catalog/*",
    "sys/raw",
    "sys/raw/*",
    "sys/remount",
    "sys/replication/dr/primary/secondary-token",
    "sys/replication/performance/primary/secondary-token",
    "sys/replication/primary/secondary-token",
    "sys/revoke-force/*",
    "sys/revoke-prefix/*",
    "sys/rotate",
    "sys/seal",
    "sys/step-down",
    "sys/storage/raft/snapshot-auto/config/*",
];
