//! Where the server is, and the URLs of its paths.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub place: Place,
    /// Scheme and authority as they stand in URLs.
    pub origin: String,
    /// What comes before `/v1`, without a slash at its end.
    pub prefix: String,
}

/// How it is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp { tls: bool, host: String, port: u16 },
    Unix { path: String },
}

impl Address {
    /// Reads `http://host[:port][/prefix]`, `https://…`, `unix:///path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            if path.is_empty() {
                return Err(format!("address \"{text}\" names no socket file"));
            }
            return Ok(Self {
                place: Place::Unix { path: path.to_owned() },
                origin: "http://localhost".to_owned(),
                prefix: String::new(),
            });
        }
        if !text.contains("://") {
            return Err(format!("address \"{text}\" has no scheme; it starts with https://, http:// or unix://"));
        }
        let uri: http::Uri = text.parse().map_err(|error| format!("address \"{text}\" cannot be read: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => return Err(format!("address \"{text}\" has an unknown scheme \"{}\"", other.unwrap_or_default())),
        };
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!("address \"{text}\" is not of the form scheme://host:port"));
        }
        let port = uri.port_u16();
        let scheme = if tls { "https" } else { "http" };
        let shown = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            place: Place::Tcp {
                tls,
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.unwrap_or(if tls { 443 } else { 80 }),
            },
            origin: format!("{scheme}://{shown}"),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The authority as the `Host` header has it.
    pub(crate) fn host_header(&self) -> &str {
        self.origin.split_once("://").map_or(self.origin.as_str(), |(_, host)| host)
    }

    /// Path and query of an API path, percent-encoded.
    pub(crate) fn target(&self, path: &str, query: &[(String, String)]) -> String {
        let mut target = format!("{}/v1/{}", self.prefix, utf8_percent_encode(path, PATH));
        for (index, (name, value)) in query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.extend([
                utf8_percent_encode(name, QUERY).to_string().as_str(),
                "=",
                utf8_percent_encode(value, QUERY).to_string().as_str(),
            ]);
        }
        target
    }

    /// The place a `Location` header points at, with its path and query.
    ///
    /// # Errors
    /// What is wrong with it; leaving TLS is refused.
    pub(crate) fn redirect(&self, location: &str) -> Result<(Self, String), String> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok((self.clone(), location.to_owned()));
        }
        let mut to = Self::parse(location)?;
        let from_tls = matches!(self.place, Place::Tcp { tls: true, .. });
        if from_tls && !matches!(to.place, Place::Tcp { tls: true, .. }) {
            return Err("redirect would leave TLS".to_owned());
        }
        let uri: http::Uri = location.parse().map_err(|_| "redirect cannot be read".to_owned())?;
        to.prefix.clear();
        Ok((to, uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned()))
    }
}

/// What a path may not hold as it is.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What a name or value in a query may not hold as it is.
const QUERY: &AsciiSet = &PATH
    .add(b'&')
    .add(b'+')
    .add(b'=')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'@')
    .add(b'$')
    .add(b',')
    .add(b'!')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = Address::parse("https://[::1]:8200/base/").unwrap();
        assert_eq!(address.place, Place::Tcp { tls: true, host: "::1".to_owned(), port: 8200 });
        assert_eq!(address.host_header(), "[::1]:8200");
        assert_eq!(address.target("kv/a b%", &[("list".to_owned(), "true".to_owned())]), "/base/v1/kv/a%20b%25?list=true");
        assert_eq!(Address::parse("http://h").unwrap().place, Place::Tcp { tls: false, host: "h".to_owned(), port: 80 });
        assert_eq!(Address::parse("unix:///run/v.sock").unwrap().place, Place::Unix { path: "/run/v.sock".to_owned() });
        for bad in ["localhost:8200", "ftp://x", "http://", "unix://", "http://u:p@h"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_never_leaves_tls() {
        let from = Address::parse("https://a:1").unwrap();
        assert!(from.redirect("http://b:1/v1/x").is_err());
        let (to, target) = from.redirect("https://b:2/v1/x?list=true").unwrap();
        assert_eq!((to.origin.as_str(), target.as_str()), ("https://b:2", "/v1/x?list=true"));
        assert_eq!(from.redirect("/v1/y").unwrap().1, "/v1/y");
    }
}
