//! What the server prints on standard output when it has started. Scripts and people read it; the log goes elsewhere.
//!
//! The form of the lines is Vault's (spec `seal-and-barrier.md` §4), the prose is ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::listener::{ListenAddress, ListenerConfig};
use super::server::ServerConfig;
use crate::base::{Secret, version};

/// What the text at the start tells beside the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The addresses of the TCP listeners as they are bound, in the order of the configuration; where one is missing the
    /// configured one is shown.
    pub addresses: &'a [SocketAddr],
    /// The names of the environment's variables, sorted.
    pub variables: &'a [String],
    /// Whether the system can keep memory from being swapped out.
    pub mlock_supported: bool,
    /// Whether it does.
    pub mlock_enabled: bool,
}

/// The block of `Key: value` lines, between an empty line and the line that says that the server runs.
pub fn banner(config: &ServerConfig, facts: &Facts<'_>) -> String {
    let mut lines = BTreeMap::from([
        ("Environment Variables".to_owned(), facts.variables.join(", ")),
        ("Log Level".to_owned(), if config.is_log_level_set { config.log.level.as_str().to_owned() } else { String::new() }),
        ("Mlock".to_owned(), format!("supported: {}, enabled: {}", facts.mlock_supported, facts.mlock_enabled)),
        ("Program".to_owned(), format!("Leasehold v{}", version::VERSION)),
        ("Recovery Mode".to_owned(), "false".to_owned()),
        ("Storage".to_owned(), config.storage.kind().to_owned()),
        ("Version".to_owned(), format!("Vault v{}, built {}", level(config), version::BUILD_DATE)),
        ("Version Sha".to_owned(), version::COMMIT.to_owned()),
    ]);
    let derived = config.dev.then(|| bound_url(config, facts)).flatten();
    if let Some(address) = config.api_addr.clone().or(derived) {
        lines.insert("Api Address".to_owned(), address);
    }
    if let Some(address) = &config.cluster_addr {
        lines.insert("Cluster Address".to_owned(), address.clone());
    }
    let mut bound = facts.addresses.iter();
    for (at, listener) in config.listeners.iter().enumerate() {
        lines.insert(format!("Listener {}", at + 1), listener_line(listener, &mut bound));
    }
    let mut text = String::from("\n==> Vault server configuration:\n\n");
    for (key, value) in lines {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{key:>WIDTH$}: {value}");
    }
    text.push_str("\n==> Vault server started! Log data will stream in below:\n\n");
    text
}

/// What a dev server prints after [`banner`]: its keys. `url` is where clients reach it; `ca` is the certificate they trust it
/// by, when it made one.
pub fn dev_banner(url: &str, ca: Option<&Path>, unseal_key: &Secret<String>, root_token: &Secret<String>) -> Secret<String> {
    let ca = ca.map(|path| format!("    $ export VAULT_CACERT='{}'\n", path.display())).unwrap_or_default();
    let (unseal_key, root_token) = (unseal_key.expose(), root_token.expose());
    Secret::new(format!(
        "WARNING! This is a dev server (-dev): it is unsealed already, keeps everything in memory,
and forgets all of it when it ends. For the command line in another terminal:

    $ export VAULT_ADDR='{url}'
{ca}
The key below would unseal it again if it were sealed; the token may do everything.

Unseal Key: {unseal_key}
Root Token: {root_token}

Never use a dev server in production.

"
    ))
}

/// The API level the server reports.
fn level(config: &ServerConfig) -> &str {
    config.reported_version.as_deref().unwrap_or(version::API_LEVEL)
}

/// Where a dev server is reached, with the port it really has.
fn bound_url(config: &ServerConfig, facts: &Facts<'_>) -> Option<String> {
    let is_tls = config.listeners.first().is_some_and(|listener| listener.tls.is_some());
    let bound = facts.addresses.first().map(|address| format!("{}://{address}", if is_tls { "https" } else { "http" }));
    bound.or_else(|| config.url())
}

/// What a listener does, in parentheses sorted by name.
fn listener_line<'a>(listener: &ListenerConfig, bound: &mut impl Iterator<Item = &'a SocketAddr>) -> String {
    let (address, cluster) = match &listener.address {
        ListenAddress::Tcp(configured) => {
            let address = bound.next().map_or_else(|| configured.clone(), SocketAddr::to_string);
            let cluster = next_port(&address).map(|cluster| format!("cluster address: \"{cluster}\", ")).unwrap_or_default();
            (address, cluster)
        }
        ListenAddress::Unix { path, .. } => (path.display().to_string(), String::new()),
    };
    let size = listener.limits.max_request_size.map_or_else(|| "-1".to_owned(), |size| size.to_string());
    format!(
        "{} (addr: \"{address}\", {cluster}max_request_duration: \"{}\", max_request_size: \"{size}\", tls: \"{}\")",
        listener.address.kind(),
        listener.limits.max_request_duration.go(),
        if listener.tls.is_some() { "enabled" } else { "disabled" },
    )
}

/// The address one port further, which the API sets aside for other servers.
fn next_port(address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':')?;
    Some(format!("{host}:{}", port.parse::<u16>().ok()?.checked_add(1)?))
}

/// Keys are set flush right in so many columns.
const WIDTH: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags};

    fn dev() -> ServerConfig {
        ServerConfig::dev(None, None, &[], &Environment::default()).unwrap().0
    }

    #[test]
    fn the_block_of_a_dev_server_has_its_exact_form() {
        let variables = ["HOME".to_owned(), "PATH".to_owned()];
        let addresses = ["127.0.0.1:8200".parse().unwrap()];
        let facts = Facts { addresses: &addresses, variables: &variables, mlock_supported: true, mlock_enabled: false };
        let text = banner(&dev(), &facts);
        let expected = format!(
            "
==> Vault server configuration:

             Api Address: http://127.0.0.1:8200
   Environment Variables: HOME, PATH
              Listener 1: tcp (addr: \"127.0.0.1:8200\", cluster address: \"127.0.0.1:8201\", \
             max_request_duration: \"1m30s\", max_request_size: \"33554432\", tls: \"disabled\")
               Log Level: 
                   Mlock: supported: true, enabled: false
                 Program: Leasehold v{}
           Recovery Mode: false
                 Storage: inmem
                 Version: Vault v{}, built {}
             Version Sha: {}

==> Vault server started! Log data will stream in below:

",
            version::VERSION,
            version::API_LEVEL,
            version::BUILD_DATE,
            version::COMMIT
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_set_and_bound_is_what_is_shown() {
        let mut config = dev();
        config.apply(&Flags { log_level: Some("debug".into()), ..Flags::default() }).unwrap();
        config.reported_version = Some("1.18.5".into());
        config.cluster_addr = Some("https://c:1".into());
        let addresses = ["127.0.0.1:4711".parse().unwrap()];
        let text = banner(&config, &Facts { addresses: &addresses, ..Facts::default() });
        assert!(text.contains("             Api Address: http://127.0.0.1:4711\n"), "{text}");
        assert!(text.contains("         Cluster Address: https://c:1\n"), "{text}");
        assert!(text.contains("               Log Level: debug\n"), "{text}");
        assert!(text.contains("Version: Vault v1.18.5, built "), "{text}");
        assert!(text.contains("addr: \"127.0.0.1:4711\", cluster address: \"127.0.0.1:4712\""), "{text}");
    }

    #[test]
    fn a_socket_has_no_cluster_address() {
        let mut config = dev();
        config.listeners =
            vec![ListenerConfig::plain(ListenAddress::Unix { path: "/run/s".into(), mode: None, user: None, group: None })];
        let text = banner(&config, &Facts::default());
        assert!(text.contains("Listener 1: unix (addr: \"/run/s\", max_request_duration: "), "{text}");
        assert!(!text.contains("Api Address"), "{text}");
    }

    #[test]
    fn scripts_find_key_token_and_address_of_a_dev_server_on_their_lines() {
        let (key, token) = (Secret::from("a2V5"), Secret::from("root"));
        let text = dev_banner("http://127.0.0.1:8200", None, &key, &token);
        let lines: Vec<_> = text.expose().lines().collect();
        for line in ["    $ export VAULT_ADDR='http://127.0.0.1:8200'", "Unseal Key: a2V5", "Root Token: root"] {
            assert_eq!(lines.iter().filter(|other| **other == line).count(), 1, "{line}");
        }
        assert!(!text.expose().contains("VAULT_CACERT"));
        let text = dev_banner("https://127.0.0.1:8200", Some(Path::new("/tmp/x/vault-ca.pem")), &key, &token);
        assert!(text.expose().contains("\n    $ export VAULT_CACERT='/tmp/x/vault-ca.pem'\n"));
    }
}
