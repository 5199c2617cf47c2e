//! `custom_response_headers`: what a listener adds to its replies.

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Headers by status: those of `default` go on every reply, then those of its class (`2xx`), then those of its code
/// (`404`); the more specific replaces a header of the same name (spec `seal-and-barrier.md` §5).
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseHeaders {
    default: Vec<(HeaderName, HeaderValue)>,
    special: Vec<(Statuses, Vec<(HeaderName, HeaderValue)>)>,
}

/// Which replies a group of headers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Statuses {
    /// `2xx`.
    Class(u16),
    /// `404`.
    Code(u16),
}

/// Why a group of headers is not one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither `default`, nor a class, nor a code.
    #[error("\"{0}\" is neither \"default\" nor a status such as \"404\" or \"4xx\"")]
    Status(String),
    /// Names of the API itself.
    #[error("header \"{0}\" cannot be set: names that start with X-Vault- belong to the API")]
    Reserved(String),
    /// Not a header of HTTP.
    #[error("header \"{0}\": name or value is not allowed in HTTP")]
    Malformed(String),
}

impl Default for ResponseHeaders {
    fn default() -> Self {
        let hsts = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        Self { default: vec![(STRICT_TRANSPORT_SECURITY, hsts)], special: Vec::new() }
    }
}

impl ResponseHeaders {
    /// Adds `value` to the header `name` of replies with `statuses` (`default`, `4xx`, `404`).
    pub fn add(&mut self, statuses: &str, name: &str, value: &str) -> Result<(), HeaderError> {
        if name.to_ascii_lowercase().starts_with("x-vault-") {
            return Err(HeaderError::Reserved(name.to_owned()));
        }
        let malformed = || HeaderError::Malformed(name.to_owned());
        let header =
            (HeaderName::try_from(name).map_err(|_| malformed())?, HeaderValue::try_from(value).map_err(|_| malformed())?);
        let group = match parse_statuses(statuses)? {
            None => {
                // Our own default gives way to the operator's.
                let own = Self::default();
                self.default.retain(|entry| entry.0 != header.0 || !own.default.contains(entry));
                &mut self.default
            }
            Some(statuses) => self.group(statuses),
        };
        group.push(header);
        Ok(())
    }

    /// The names of all headers, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let special = self.special.iter().flat_map(|(_, group)| group);
        self.default.iter().chain(special).map(|(name, _)| name.as_str())
    }

    /// Puts the headers for `status` on a reply. What the reply already says stays, except where the operator set the same
    /// header.
    pub fn apply(&self, status: StatusCode, headers: &mut HeaderMap) {
        set(headers, &self.default);
        if self.special.is_empty() {
            return;
        }
        for (statuses, group) in &self.special {
            let applies = match statuses {
                Statuses::Class(class) => status.as_u16() / 100 == *class,
                Statuses::Code(code) => status.as_u16() == *code,
            };
            if applies {
                set(headers, group);
            }
        }
    }

    fn group(&mut self, statuses: Statuses) -> &mut Vec<(HeaderName, HeaderValue)> {
        // Classes sort before codes: the more specific is applied later.
        let at = match self.special.binary_search_by_key(&statuses, |(key, _)| *key) {
            Ok(at) => at,
            Err(at) => {
                self.special.insert(at, (statuses, Vec::new()));
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted at this place above")]
        &mut self.special[at].1
    }
}

/// Replaces headers by those of `group`; several values of one name all stay.
fn set(headers: &mut HeaderMap, group: &[(HeaderName, HeaderValue)]) {
    for (at, (name, value)) in group.iter().enumerate() {
        if group.iter().take(at).any(|(earlier, _)| earlier == name) {
            headers.append(name.clone(), value.clone());
        } else {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// `None` for `default`.
fn parse_statuses(text: &str) -> Result<Option<Statuses>, HeaderError> {
    if text.eq_ignore_ascii_case("default") {
        return Ok(None);
    }
    let unknown = || HeaderError::Status(text.to_owned());
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().map_err(|_| unknown())?;
        return if (1..=5).contains(&class) { Ok(Some(Statuses::Class(class))) } else { Err(unknown()) };
    }
    let code: u16 = text.parse().map_err(|_| unknown())?;
    if (100..600).contains(&code) { Ok(Some(Statuses::Code(code))) } else { Err(unknown()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(headers: &ResponseHeaders, status: u16) -> HeaderMap {
        let mut map = HeaderMap::new();
        headers.apply(StatusCode::from_u16(status).unwrap(), &mut map);
        map
    }

    #[test]
    fn every_reply_carries_strict_transport_security() {
        let map = applied(&ResponseHeaders::default(), 204);
        assert_eq!(map["strict-transport-security"], "max-age=31536000; includeSubDomains");
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn the_most_specific_status_wins() {
        let mut headers = ResponseHeaders::default();
        headers.add("404", "X-Colour", "code").unwrap();
        headers.add("4xx", "X-Colour", "class").unwrap();
        headers.add("default", "X-Colour", "default").unwrap();
        assert_eq!(applied(&headers, 200)["x-colour"], "default");
        assert_eq!(applied(&headers, 400)["x-colour"], "class");
        assert_eq!(applied(&headers, 404)["x-colour"], "code");
    }

    #[test]
    fn several_values_of_one_header_all_go_out_and_the_operators_replace_ours() {
        let mut headers = ResponseHeaders::default();
        headers.add("default", "Strict-Transport-Security", "max-age=1").unwrap();
        headers.add("default", "X-Many", "a").unwrap();
        headers.add("default", "X-Many", "b").unwrap();
        let map = applied(&headers, 200);
        assert_eq!(map.get_all("strict-transport-security").iter().collect::<Vec<_>>(), ["max-age=1"]);
        assert_eq!(map.get_all("x-many").iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn names_of_the_api_and_broken_ones_are_refused() {
        let mut headers = ResponseHeaders::default();
        assert_eq!(headers.add("default", "x-vault-Token", "t"), Err(HeaderError::Reserved("x-vault-Token".into())));
        assert_eq!(headers.add("default", "bad name", "t"), Err(HeaderError::Malformed("bad name".into())));
        assert_eq!(headers.add("default", "X-A", "line\nbreak"), Err(HeaderError::Malformed("X-A".into())));
        for status in ["9xx", "99", "600", "ok", "", "é"] {
            assert_eq!(headers.add(status, "X-A", "b"), Err(HeaderError::Status(status.into())), "{status}");
        }
    }
}
