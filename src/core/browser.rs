//! What browsers are told of this server: who may ask from elsewhere, and headers of the user interface's replies (spec
//! `http-api.md` §10, `sys.md` §10). Stored one record each; every request reads the published value.
//!
//! ```text
//! core/cors         who may ask
//! core/ui-headers   headers
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, BarrierError, View};
use crate::mount::ApiError;

/// See the module.
#[derive(Debug)]
pub(in crate::core) struct Browser {
    view: View,
    cors: ArcSwapOption<Cors>,
    headers: ArcSwap<UiHeaders>,
}

/// Which web pages of other origins may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    origins: Vec<String>,
    headers: Vec<String>,
}

/// Headers of replies below `/ui/`, by their names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UiHeaders(BTreeMap<String, Vec<String>>);

impl Browser {
    pub(in crate::core) async fn open(barrier: &Arc<Barrier>) -> Result<Self, BarrierError> {
        let view = barrier.view("core/");
        let cors: Option<Cors> = view.read(CORS).await?;
        let headers: Option<UiHeaders> = view.read(HEADERS).await?;
        Ok(Self { view, cors: ArcSwapOption::from_pointee(cors), headers: ArcSwap::from_pointee(headers.unwrap_or_default()) })
    }

    /// `None`: nobody is told anything.
    pub(in crate::core) fn cors(&self) -> Option<Arc<Cors>> {
        self.cors.load_full()
    }

    pub(in crate::core) fn headers(&self) -> Guard<Arc<UiHeaders>> {
        self.headers.load()
    }

    /// Stores, then publishes. One change at a time.
    pub(in crate::core) async fn set_cors(&self, cors: Option<Cors>) -> Result<(), BarrierError> {
        match &cors {
            Some(cors) => self.view.put(CORS, cors).await?,
            None => self.view.delete(CORS).await?,
        }
        self.cors.store(cors.map(Arc::new));
        Ok(())
    }

    /// Stores, then publishes. One change at a time.
    pub(in crate::core) async fn set_headers(&self, headers: UiHeaders) -> Result<(), BarrierError> {
        self.view.put(HEADERS, &headers).await?;
        self.headers.store(Arc::new(headers));
        Ok(())
    }
}

impl Cors {
    /// Of these origins, and these headers besides the usual ones.
    ///
    /// # Errors
    /// Without an origin, with `*` beside others, or with what is no header.
    pub fn new(origins: Vec<String>, headers: Vec<String>) -> Result<Self, ApiError> {
        if origins.is_empty() {
            return Err(ApiError::fault("at least one origin or the wildcard must be provided"));
        }
        if origins.len() > 1 && origins.iter().any(|origin| origin == ALL) {
            return Err(ApiError::fault("to allow all origins the '*' must be the only value for allowed_origins"));
        }
        if origins.len().max(headers.len()) > MOST || headers.iter().any(|name| HeaderName::try_from(name.as_str()).is_err()) {
            return Err(ApiError::invalid("allowed_headers must be names of headers, and neither list longer than 1000"));
        }
        let mut all: Vec<String> = USUAL.iter().map(|name| (*name).to_owned()).collect();
        for name in headers {
            if !all.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                all.push(name);
            }
        }
        Ok(Self { origins, headers: all })
    }

    /// As they were given.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// All that pages may send.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Whether pages of this origin may ask.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == ALL || allowed == origin)
    }
}

impl UiHeaders {
    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The values of a header.
    pub fn get(&self, name: &str) -> Option<&Vec<String>> {
        self.0.get(&name.to_lowercase())
    }

    /// All of them in the form HTTP wants.
    pub fn lines(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + '_ {
        let each = |(name, values): (&'_ String, &'_ Vec<String>)| -> Vec<(HeaderName, HeaderValue)> {
            let name = HeaderName::try_from(name.as_str());
            let both = |value: &String| Some((name.as_ref().ok()?.clone(), HeaderValue::try_from(value.as_str()).ok()?));
            values.iter().filter_map(both).collect()
        };
        self.0.iter().flat_map(each)
    }

    pub(in crate::core) fn set(&mut self, name: &str, values: Vec<String>) -> Result<(), ApiError> {
        let is_header =
            HeaderName::try_from(name).is_ok() && values.iter().all(|value| HeaderValue::try_from(value.as_str()).is_ok());
        if !is_header || values.len() > MOST {
            return Err(ApiError::invalid("name or value is not allowed in HTTP"));
        }
        if self.0.len() >= MOST && !self.0.contains_key(name) {
            return Err(ApiError::invalid("there are 1000 headers already"));
        }
        self.0.insert(name.to_owned(), values);
        Ok(())
    }

    pub(in crate::core) fn remove(&mut self, name: &str) {
        self.0.remove(&name.to_lowercase());
    }
}

/// Every origin.
const ALL: &str = "*";
/// Entries of each list.
const MOST: usize = 1000;
const CORS: &str = "cors";
const HEADERS: &str = "ui-headers";
/// What pages may always send (spec `http-api.md` §10).
const USUAL: [&str; 10] = [
    "Content-Type",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Vault-Policy-Override",
    "Authorization",
    "X-Vault-Token",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_star_stands_alone_and_allows_everybody() {
        assert!(Cors::new(texts(&[]), Vec::new()).is_err());
        assert!(Cors::new(texts(&["*", "https://a.example"]), Vec::new()).is_err());
        assert!(Cors::new(texts(&["*"]), Vec::new()).unwrap().allows("https://any.example"));
        let one = Cors::new(texts(&["https://a.example"]), texts(&["X-Mine", "authorization"])).unwrap();
        assert!(one.allows("https://a.example") && !one.allows("https://a.example.org"));
        assert_eq!(one.headers().len(), USUAL.len() + 1);
    }
}
