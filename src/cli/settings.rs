//! Where and how to reach the server: flags first, then the environment, then defaults (spec `cli.md` §2).
//! The only file of the command line that reads `VAULT_*` variables of the connection.

use std::time::Duration;

use crate::base::time::parse_nanos;

use super::client::Address;
use super::duration;
use super::flags::{Flag, Group, Values, parse_bool};
use super::io::Io;
use super::stop::Stop;

pub(crate) const ADDRESS: Flag =
    Flag::text("address", "URL", "Address of the server. Default https://127.0.0.1:8200. [VAULT_ADDR]");
pub(crate) const AGENT_ADDRESS: Flag =
    Flag::text("agent-address", "URL", "Address of an agent, used in its place. [VAULT_AGENT_ADDR]");
pub(crate) const CA_CERT: Flag = Flag::text("ca-cert", "FILE", "PEM file of the authority to trust. [VAULT_CACERT]");
pub(crate) const CA_PATH: Flag = Flag::text("ca-path", "DIR", "Folder of PEM files to trust. [VAULT_CAPATH]");
pub(crate) const CLIENT_CERT: Flag = Flag::text("client-cert", "FILE", "PEM certificate to show the server. [VAULT_CLIENT_CERT]");
pub(crate) const CLIENT_KEY: Flag = Flag::text("client-key", "FILE", "PEM key of that certificate. [VAULT_CLIENT_KEY]");
pub(crate) const TLS_SERVER_NAME: Flag =
    Flag::text("tls-server-name", "NAME", "Name to verify in the server's certificate. [VAULT_TLS_SERVER_NAME]");
pub(crate) const TLS_SKIP_VERIFY: Flag =
    Flag::switch("tls-skip-verify", "Do not verify the server's certificate. [VAULT_SKIP_VERIFY]");
pub(crate) const DISABLE_REDIRECTS: Flag =
    Flag::switch("disable-redirects", "Do not follow a redirect. [VAULT_DISABLE_REDIRECTS]");
pub(crate) const NAMESPACE: Flag = Flag::text("namespace", "NAME", "Namespace to work in. [VAULT_NAMESPACE]").or("ns");
pub(crate) const HEADER: Flag = Flag::pairs("header", "Header to send. [VAULT_HEADERS: a JSON object]");
pub(crate) const MFA: Flag = Flag::list("mfa", "TEXT", "Multi-factor credentials to send. [VAULT_MFA]");
pub(crate) const POLICY_OVERRIDE: Flag = Flag::switch("policy-override", "Ask to override a soft-mandatory policy.");
pub(crate) const WRAP_TTL: Flag = Flag::duration("wrap-ttl", "Ask for a wrapped reply that lives this long. [VAULT_WRAP_TTL]");
pub(crate) const CURL: Flag = Flag::switch("output-curl-string", "Print the request as a curl command instead of sending it.");
pub(crate) const POLICY: Flag = Flag::switch("output-policy", "Print the policy the request needs instead of sending it.");
pub(crate) const NON_INTERACTIVE: Flag = Flag::switch("non-interactive", "Fail instead of asking on the terminal.");

/// The flags of every command that sends a request.
pub(crate) const HTTP: Group = Group {
    title: "Connection",
    flags: &[
        ADDRESS,
        AGENT_ADDRESS,
        CA_CERT,
        CA_PATH,
        CLIENT_CERT,
        CLIENT_KEY,
        TLS_SERVER_NAME,
        TLS_SKIP_VERIFY,
        DISABLE_REDIRECTS,
        NAMESPACE,
        HEADER,
        MFA,
        POLICY_OVERRIDE,
        WRAP_TTL,
        CURL,
        POLICY,
        NON_INTERACTIVE,
    ],
};

/// How to reach the server, fully decided.
#[derive(Debug)]
pub(crate) struct Settings {
    pub address: Address,
    pub tls: Tls,
    /// Extra headers, the namespace's among them.
    pub headers: Vec<(String, String)>,
    pub namespace: Option<String>,
    /// As sent: a Go duration.
    pub wrap_ttl: Option<String>,
    pub follow_redirect: bool,
    pub retries: Retries,
    /// For one request with its retries.
    pub timeout: Duration,
    pub rate: Option<Rate>,
    pub proxies: Proxies,
    pub instead: Option<Instead>,
}

/// Files and wishes of TLS.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    pub ca_cert: Option<String>,
    pub ca_bytes: Option<String>,
    pub ca_path: Option<String>,
    pub client: Option<(String, String)>,
    pub server_name: Option<String>,
    pub skip_verify: bool,
}

/// How often to try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    pub most: u32,
    /// Whether the environment asked for it: then a refused connection is tried again too.
    pub asked: bool,
}

/// Requests a second, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

/// Proxies of the environment.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    /// For every request.
    pub always: Option<String>,
    pub http: Option<String>,
    pub https: Option<String>,
    /// Hosts that `http` and `https` leave alone.
    pub except: Vec<String>,
}

/// What to print instead of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    Curl,
    Policy,
}

impl Settings {
    /// Decides every setting.
    ///
    /// # Errors
    /// An environment variable that cannot be read, an address without scheme, a forbidden header.
    pub(crate) fn read(flags: &Values, io: &Io) -> Result<Self, Stop> {
        let either = |flag: &Flag, variable: &str| flags.text(flag).or_else(|| io.var(variable)).map(str::to_owned);
        let address = flags.text(&AGENT_ADDRESS).or_else(|| flags.text(&ADDRESS)).or_else(|| io.var("VAULT_AGENT_ADDR"));
        let address = address.or_else(|| io.var("VAULT_ADDR")).unwrap_or(DEFAULT_ADDRESS);
        let namespace = either(&NAMESPACE, "VAULT_NAMESPACE").map(|name| format!("{}/", name.trim_matches('/')));
        Ok(Self {
            address: Address::parse(address).map_err(Stop::Local)?,
            tls: read_tls(flags, io, either)?,
            headers: read_headers(flags, io)?,
            namespace: namespace.filter(|name| name != "/"),
            wrap_ttl: read_wrap_ttl(flags, io)?,
            follow_redirect: !switch(flags, &DISABLE_REDIRECTS, io, "VAULT_DISABLE_REDIRECTS")?,
            retries: read_retries(io)?,
            timeout: read_timeout(io)?,
            rate: io
                .var("VAULT_RATE_LIMIT")
                .map(|text| parse_rate(text).ok_or_else(|| unreadable("VAULT_RATE_LIMIT")))
                .transpose()?,
            proxies: Proxies::read(io),
            instead: match (flags.is(&CURL), flags.is(&POLICY)) {
                (true, true) => return Err(Stop::local("-output-curl-string and -output-policy cannot be used together")),
                (true, false) => Some(Instead::Curl),
                (false, true) => Some(Instead::Policy),
                (false, false) => None,
            },
        })
    }
}

impl Proxies {
    fn read(io: &Io) -> Self {
        let any = |names: [&str; 2]| names.iter().find_map(|name| io.var(name)).map(str::to_owned);
        let except = any(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Self {
            always: any(["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY"]),
            http: any(["HTTP_PROXY", "http_proxy"]),
            https: any(["HTTPS_PROXY", "https_proxy"]),
            except: except.split(',').map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty()).collect(),
        }
    }

    /// The proxy for a host, if one is to be used. The general variables never apply to this machine itself.
    pub(crate) fn choose(&self, tls: bool, host: &str) -> Option<&str> {
        if let Some(proxy) = &self.always {
            return Some(proxy);
        }
        let host = host.to_lowercase();
        let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let spared = |entry: &String| {
            let entry = entry.trim_start_matches('.');
            entry == "*" || host == entry || host.strip_suffix(entry).is_some_and(|front| front.ends_with('.'))
        };
        if here || self.except.iter().any(spared) {
            return None;
        }
        if tls { self.https.as_deref() } else { self.http.as_deref() }
    }
}

fn read_tls(flags: &Values, io: &Io, either: impl Fn(&Flag, &str) -> Option<String>) -> Result<Tls, Stop> {
    let client = match (either(&CLIENT_CERT, "VAULT_CLIENT_CERT"), either(&CLIENT_KEY, "VAULT_CLIENT_KEY")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err(Stop::remote("failed to setup TLS config: both client cert and client key must be provided")),
    };
    Ok(Tls {
        ca_cert: either(&CA_CERT, "VAULT_CACERT"),
        ca_bytes: io.var("VAULT_CACERT_BYTES").map(str::to_owned),
        ca_path: either(&CA_PATH, "VAULT_CAPATH"),
        client,
        server_name: either(&TLS_SERVER_NAME, "VAULT_TLS_SERVER_NAME"),
        skip_verify: switch(flags, &TLS_SKIP_VERIFY, io, "VAULT_SKIP_VERIFY")?,
    })
}

fn read_headers(flags: &Values, io: &Io) -> Result<Vec<(String, String)>, Stop> {
    let mut headers: Vec<(String, String)> = Vec::new();
    if let Some(text) = io.var("VAULT_HEADERS") {
        let all: std::collections::BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| unreadable("VAULT_HEADERS"))?;
        headers.extend(all);
    }
    headers.extend(flags.pairs(&HEADER));
    if let Some((name, _)) = headers.iter().find(|(name, _)| name.to_lowercase().starts_with("x-vault-")) {
        let text = format!("failed to setup Headers[{name}]: Header starting by 'X-Vault-' are for internal usage only");
        return Err(Stop::Remote(text));
    }
    let mfa = flags.list(&MFA).iter().map(String::as_str).chain(io.var("VAULT_MFA").filter(|_| !flags.has(&MFA)));
    headers.extend(mfa.map(|value| ("X-Vault-MFA".to_owned(), value.to_owned())));
    if flags.is(&POLICY_OVERRIDE) {
        headers.push(("X-Vault-Policy-Override".to_owned(), "true".to_owned()));
    }
    Ok(headers)
}

fn read_wrap_ttl(flags: &Values, io: &Io) -> Result<Option<String>, Stop> {
    let nanos = match (flags.nanos(&WRAP_TTL), io.var("VAULT_WRAP_TTL")) {
        (Some(nanos), _) => nanos,
        (None, Some(text)) => parse_nanos(text).map_err(|_| unreadable("VAULT_WRAP_TTL"))?,
        (None, None) => 0,
    };
    Ok((nanos != 0).then(|| duration::go(nanos)))
}

fn read_retries(io: &Io) -> Result<Retries, Stop> {
    match io.var("VAULT_MAX_RETRIES") {
        None => Ok(Retries { most: DEFAULT_RETRIES, asked: false }),
        Some(text) => {
            let most = text.trim().parse::<u32>().map_err(|_| unreadable("VAULT_MAX_RETRIES"))?;
            Ok(Retries { most: most.min(MAX_RETRIES), asked: true })
        }
    }
}

fn read_timeout(io: &Io) -> Result<Duration, Stop> {
    let Some(text) = io.var("VAULT_CLIENT_TIMEOUT") else { return Ok(DEFAULT_TIMEOUT) };
    let nanos = parse_nanos(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
    match nanos.ok_or_else(|| unreadable("VAULT_CLIENT_TIMEOUT"))? {
        0 => Ok(NO_TIMEOUT),
        nanos => Ok(Duration::from_nanos(nanos)),
    }
}

/// `rate[:burst]`; the burst is the rate when not given.
fn parse_rate(text: &str) -> Option<Rate> {
    let (rate, burst) = text.split_once(':').unwrap_or((text, ""));
    let per_second: f64 = rate.trim().parse().ok()?;
    let burst: f64 = if burst.is_empty() { per_second.max(1.0) } else { f64::from(burst.trim().parse::<u32>().ok()?) };
    (per_second.is_finite() && per_second > 0.0 && burst >= 1.0).then_some(Rate { per_second, burst })
}

fn switch(flags: &Values, flag: &Flag, io: &Io, variable: &str) -> Result<bool, Stop> {
    match (flags.switch(flag), io.var(variable)) {
        (Some(on), _) => Ok(on),
        (None, Some(text)) => parse_bool(text).ok_or_else(|| unreadable(variable)),
        (None, None) => Ok(false),
    }
}

fn unreadable(variable: &str) -> Stop {
    Stop::Local(format!("failed to read environment: could not parse {variable}"))
}

const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";
const DEFAULT_RETRIES: u32 = 2;
/// More tries than this only hide a server that is down.
const MAX_RETRIES: u32 = 100;
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// What "0", no timeout, becomes: a day, so that a forgotten call ends.
const NO_TIMEOUT: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_an_optional_burst() {
        assert_eq!(parse_rate("2"), Some(Rate { per_second: 2.0, burst: 2.0 }));
        assert_eq!(parse_rate("0.5:4"), Some(Rate { per_second: 0.5, burst: 4.0 }));
        assert_eq!(parse_rate("x"), None);
        assert_eq!(parse_rate("1:0"), None);
        assert_eq!(parse_rate("inf"), None);
    }

    #[test]
    fn proxies_spare_this_machine_and_the_excepted() {
        let proxies = Proxies {
            always: None,
            http: Some("http://p".to_owned()),
            https: Some("http://s".to_owned()),
            except: vec![".example.com".to_owned(), "10.1.1.1".to_owned()],
        };
        assert_eq!(proxies.choose(false, "vault.test"), Some("http://p"));
        assert_eq!(proxies.choose(true, "vault.test"), Some("http://s"));
        for host in ["localhost", "127.0.0.1", "::1", "a.example.com", "example.com", "10.1.1.1"] {
            assert_eq!(proxies.choose(true, host), None, "{host}");
        }
        assert_eq!(proxies.choose(false, "notexample.com"), Some("http://p"));
    }
}
