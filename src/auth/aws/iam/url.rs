//! The URL of the signed request: what of it is looked at, and what is sent on (spec `aws-auth-method.md` §12.1).

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

/// A URL as far as it is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Host and, if it is there, port: as signed.
    pub(super) authority: String,
    /// In lower case.
    pub(super) host: String,
    /// None, or 443: where AWS listens.
    pub(super) has_usual_port: bool,
    /// What is sent on.
    pub(super) target: PathAndQuery,
    /// Names and values of the query, decoded.
    pub(super) query: Vec<(String, String)>,
}

/// Why it is none. The texts stand behind `invalid iam_request_url: `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadUrl {
    /// No URL at all.
    Unreadable,
    /// It says more, or other things, than the URL of such a request.
    Odd(&'static str),
}

impl Url {
    /// Takes a URL apart.
    pub(super) fn parse(text: &str) -> Result<Self, BadUrl> {
        // A space or control character in it is a trick, and `http` takes some bytes beyond ASCII.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(BadUrl::Unreadable);
        }
        if text.contains('#') {
            return Err(BadUrl::Odd("it has a fragment"));
        }
        let uri: Uri = text.parse().map_err(|_| BadUrl::Unreadable)?;
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadUrl::Odd("its scheme is not https")),
        };
        let authority = uri.authority().ok_or(BadUrl::Odd("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::Odd("it names a user"));
        }
        if authority.host().is_empty() {
            return Err(BadUrl::Odd("it has no host"));
        }
        if authority.as_str().ends_with(':') {
            return Err(BadUrl::Odd("its port is empty"));
        }
        if !matches!(uri.path(), "" | "/") {
            return Err(BadUrl::Odd("its path is not /"));
        }
        let query = uri.query().unwrap_or_default();
        let target = if uri.query().is_some() { format!("/?{query}") } else { "/".to_owned() };
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: authority.host().to_ascii_lowercase(),
            has_usual_port: match authority.port_u16() {
                None => is_secure || authority.port().is_none(),
                Some(port) => port == 443,
            },
            target: target.parse().map_err(|_| BadUrl::Unreadable)?,
            query: pairs(query).ok_or(BadUrl::Odd("its query is malformed"))?,
        })
    }

    /// All values of a key of the query.
    pub(super) fn values<'u>(&'u self, key: &str) -> impl Iterator<Item = &'u str> {
        self.query.iter().filter(move |(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

/// Names and values of a form; `None` where it is not one in plain UTF-8.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let decoded = |part: &str| {
        let part = part.replace('+', " ");
        percent_decode_str(&part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    // A semicolon parts pairs for some and not for others.
    if text.contains(';') {
        return None;
    }
    text.split('&').map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_url_is_taken_apart() {
        let url = Url::parse("https://STS.us-west-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011%2D06-15").unwrap();
        assert_eq!((url.host.as_str(), url.authority.as_str()), ("sts.us-west-2.amazonaws.com", "STS.us-west-2.amazonaws.com"));
        assert_eq!(url.target.as_str(), "/?Action=GetCallerIdentity&Version=2011%2D06-15");
        assert_eq!(url.values("Version").collect::<Vec<_>>(), ["2011-06-15"]);
        let bare = Url::parse("https://sts.amazonaws.com").unwrap();
        assert_eq!((bare.target.as_str(), bare.has_usual_port), ("/", true));
        assert!(!Url::parse("http://127.0.0.1:4566/").unwrap().has_usual_port);
        assert!(Url::parse("https://sts.amazonaws.com:443/").unwrap().has_usual_port);
    }

    #[test]
    fn tricks_are_refused() {
        for url in [
            "",
            "sts.amazonaws.com",
            "https:@evil",
            "https://user@sts.amazonaws.com/",
            "https://sts.amazonaws.com@evil.example/",
            "https://sts.amazonaws.com:@evil.example/",
            "https://sts.amazonaws.com/#x",
            "https://sts.amazonaws.com/x",
            "https://sts.amazonaws.com//",
            "https://sts.amazonaws.com/%2e%2e",
            "https://sts.amazonaws.com/?a=b;c=d",
            "https://sts.amazonaws.com/?a=%ff",
            "https://sts.amazonaws.com:/",
            "https:///",
            "ftp://sts.amazonaws.com/",
            "https://sts.amazonaws.com/ x",
            "https://sts.amazonaws.com\\@evil.example/",
            "https://sts.amazonaws.com/\r\nHost: evil",
            "https://\u{ff53}ts.amazonaws.com/",
            "//sts.amazonaws.com/",
        ] {
            assert!(Url::parse(url).is_err(), "{url}");
        }
    }
}
