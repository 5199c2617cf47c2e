//! `listener "tcp"` and `listener "unix"`: from their keys to [`ListenerConfig`].

use std::path::PathBuf;
use std::sync::Arc;

use super::error::{ConfigError, Warning};
use super::keys;
use super::listener::{JsonLimits, ListenAddress, ListenerConfig, ListenerLimits, Timeouts, TlsFiles, TlsVersion};
use super::stanza::{Layers, Stanza, wrong};
use super::{DEFAULT_ADDRESS, ResponseHeaders};
use crate::base::Ttl;
use crate::base::hcl::Value;

/// Reads every listener of the configuration and appends it to `listeners`.
///
/// # Errors
/// For a wrong key or value, for two listeners at one address, and for TLS that is neither set up nor switched off.
pub(super) fn read_all(
    layers: &Layers<'_>,
    listeners: &mut Vec<ListenerConfig>,
    request_duration: Ttl,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    for (kind, stanza) in layers.blocks("listener", 1)? {
        let listener = read(&stanza, kind, request_duration, warnings)?;
        if listeners.iter().any(|other| is_same(&other.address, &listener.address)) {
            let address = listener.address.shown();
            return Err(stanza.invalid(format!("address \"{address}\" is another listener's already")));
        }
        if listeners.len() == MAX_LISTENERS {
            return Err(stanza.invalid(format!("there are more than {MAX_LISTENERS} listeners")));
        }
        listeners.push(listener);
    }
    Ok(())
}

fn read(
    stanza: &Stanza<'_>,
    kind: &str,
    request_duration: Ttl,
    warnings: &mut Vec<Warning>,
) -> Result<ListenerConfig, ConfigError> {
    let address = match kind {
        "tcp" => {
            stanza.check(keys::TCP, warnings)?;
            ListenAddress::Tcp(tcp_address(stanza)?)
        }
        "unix" => {
            let all: Vec<_> = keys::TCP.iter().chain(keys::UNIX).copied().collect();
            stanza.check(&all, warnings)?;
            unix_address(stanza)?
        }
        _ => return Err(stanza.invalid("there are listeners of type \"tcp\" and \"unix\" only")),
    };
    let limits = Arc::new(limits(stanza, request_duration, warnings)?);
    let timeouts = timeouts(stanza)?;
    // Last: a wrong value is told before something that is missing.
    let tls = tls(stanza, matches!(address, ListenAddress::Unix { .. }), warnings)?;
    Ok(ListenerConfig { address, tls, timeouts, limits })
}

fn tcp_address(stanza: &Stanza<'_>) -> Result<String, ConfigError> {
    match stanza.text("address")? {
        None => Ok(DEFAULT_ADDRESS.to_owned()),
        Some(spot) if is_tcp_address(&spot.value) => Ok(spot.value),
        Some(spot) => Err(wrong(spot.place, "address", &format!("{:?}", spot.value), ADDRESS)),
    }
}

/// Whether a text is `host:port`; whether the host exists shows when the listener is bound.
pub(super) fn is_tcp_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    port.parse::<u16>().is_ok() && (is_bracketed || !host.contains([':', '[', ']', '/', ' ', '{']))
}

fn unix_address(stanza: &Stanza<'_>) -> Result<ListenAddress, ConfigError> {
    let Some(path) = stanza.text("address")? else {
        return Err(stanza.invalid("address is missing: the path of the socket"));
    };
    let text = |key| stanza.text(key).map(|spot| spot.map(|spot| spot.value));
    // Of a number it cannot be told whether its digits were meant as octal ones.
    let octal = |value: &Value| match value.as_str()? {
        "" => Some(None),
        digits => u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777).map(Some),
    };
    let mode = stanza.read("socket_mode", "octal digits in quotes, such as \"0660\"", octal)?;
    Ok(ListenAddress::Unix {
        path: PathBuf::from(path.value),
        mode: mode.and_then(|spot| spot.value),
        user: text("socket_user")?,
        group: text("socket_group")?,
    })
}

/// Certificate and key. What leaves the machine is encrypted, unless the file says in so many words that it is not.
fn tls(stanza: &Stanza<'_>, is_local: bool, warnings: &mut Vec<Warning>) -> Result<Option<TlsFiles>, ConfigError> {
    let (cert, key) = (stanza.text("tls_cert_file")?, stanza.text("tls_key_file")?);
    let min = version(stanza, "tls_min_version", warnings)?.unwrap_or(TlsVersion::V12);
    let max = version(stanza, "tls_max_version", warnings)?.unwrap_or(TlsVersion::V13);
    if stanza.switch("tls_disable")?.is_some_and(|spot| spot.value) {
        return Ok(None);
    }
    if min > max {
        return Err(stanza.invalid("tls_min_version is above tls_max_version"));
    }
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert: cert.value.into(), key: key.value.into(), min, max })),
        (None, None) if is_local => Ok(None),
        (None, None) => Err(stanza.invalid("tls_cert_file and tls_key_file are missing; without TLS only by tls_disable = true")),
        (Some(_), None) => Err(stanza.invalid("tls_key_file is missing, which belongs to tls_cert_file")),
        (None, Some(_)) => Err(stanza.invalid("tls_cert_file is missing, which belongs to tls_key_file")),
    }
}

fn version(stanza: &Stanza<'_>, key: &str, warnings: &mut Vec<Warning>) -> Result<Option<TlsVersion>, ConfigError> {
    let Some(spot) = stanza.text(key)? else { return Ok(None) };
    match spot.value.as_str() {
        "tls12" => Ok(Some(TlsVersion::V12)),
        "tls13" => Ok(Some(TlsVersion::V13)),
        // Asking for less is answered by more.
        "tls10" | "tls11" if key == "tls_min_version" => {
            warnings.push(Warning::new(spot.place, format!("{key} = \"{}\": nothing older than tls12 is spoken", spot.value)));
            Ok(Some(TlsVersion::V12))
        }
        _ => Err(wrong(spot.place, key, &format!("{:?}", spot.value), "\"tls12\" or \"tls13\"")),
    }
}

fn timeouts(stanza: &Stanza<'_>) -> Result<Timeouts, ConfigError> {
    let usual = Timeouts::default();
    Ok(Timeouts {
        handshake: usual.handshake,
        read_header: stanza.timeout("http_read_header_timeout")?.unwrap_or(usual.read_header),
        read: stanza.timeout("http_read_timeout")?.unwrap_or(usual.read),
        write: stanza.timeout("http_write_timeout")?.unwrap_or(usual.write),
        idle: stanza.timeout("http_idle_timeout")?.unwrap_or(usual.idle),
    })
}

fn limits(stanza: &Stanza<'_>, request_duration: Ttl, warnings: &mut Vec<Warning>) -> Result<ListenerLimits, ConfigError> {
    let usual = JsonLimits::default();
    let json = JsonLimits {
        depth: stanza.bound("max_json_depth")?.unwrap_or(usual.depth),
        string_length: stanza.bound("max_json_string_value_length")?,
        object_entries: stanza.bound("max_json_object_entry_count")?.unwrap_or(usual.object_entries),
        array_elements: stanza.bound("max_json_array_element_count")?.unwrap_or(usual.array_elements),
        tokens: stanza.bound("max_json_token")?.unwrap_or(usual.tokens),
    };
    let max_request_size = match stanza.number("max_request_size")?.map_or(0, |spot| spot.value) {
        0 => ListenerLimits::default().max_request_size,
        size => u64::try_from(size).ok(),
    };
    let duration = stanza.ttl("max_request_duration")?.and_then(|spot| spot.value.nonzero());
    let mut unauthenticated_metrics = false;
    for (_, telemetry) in stanza.blocks("telemetry", 0)? {
        telemetry.check(keys::LISTENER_TELEMETRY, warnings)?;
        if let Some(spot) = telemetry.switch("unauthenticated_metrics_access")? {
            unauthenticated_metrics = spot.value;
        }
    }
    Ok(ListenerLimits {
        max_request_size,
        max_request_duration: duration.unwrap_or(request_duration),
        json,
        unauthenticated_metrics,
        response_headers: response_headers(stanza)?,
    })
}

fn response_headers(stanza: &Stanza<'_>) -> Result<ResponseHeaders, ConfigError> {
    let mut headers = ResponseHeaders::default();
    for (_, block) in stanza.blocks("custom_response_headers", 0)? {
        for statuses in block.keys() {
            for (_, group) in block.blocks(statuses, 0)? {
                for name in group.keys() {
                    let values = group.read(name, "a text or a list of texts", Value::to_texts)?;
                    for value in values.into_iter().flat_map(|spot| spot.value) {
                        headers.add(statuses, name, &value).map_err(|error| group.invalid(error.to_string()))?;
                    }
                }
            }
        }
    }
    Ok(headers)
}

/// Whether two listeners would be in each other's way; what resolves to the same shows when they are bound.
fn is_same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => one.eq_ignore_ascii_case(other) && !one.ends_with(":0"),
        (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: other, .. }) => one == other,
        _ => false,
    }
}

/// What an address of TCP looks like.
pub(super) const ADDRESS: &str = "an address with a port, such as \"127.0.0.1:8200\"";

/// Bound on listeners; each has a task.
const MAX_LISTENERS: usize = 100;
