//! The usual form of a reply (spec `http-api.md` §5): all keys in their order, `null` when unused.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use serde_json::{Map, Value};

use crate::base::{LeaseId, RequestId, Secret};
use crate::mount::WrapInfo;

/// See the module.
#[derive(Debug, Default)]
pub struct Envelope {
    /// Empty around a wrapping token.
    pub request_id: Option<RequestId>,
    /// The lease, if there is one.
    pub lease_id: Option<LeaseId>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// In seconds.
    pub lease_duration: u64,
    /// What was asked for.
    pub data: Data,
    /// A wrapping token instead of everything else.
    pub wrap_info: Option<WrapInfo>,
    /// For the caller.
    pub warnings: Vec<String>,
    /// A token.
    pub auth: Option<Auth>,
    /// The data stands at the top level as well.
    pub is_top: bool,
    /// An empty list of warnings is written as such, not as `null`.
    pub lists_no_warnings: bool,
}

/// The data of an envelope.
#[derive(Debug, Default)]
pub enum Data {
    /// `null`.
    #[default]
    None,
    /// An object.
    Object(Map<String, Value>),
    /// Names under `keys`, and what stands beside them.
    List(Vec<String>, Map<String, Value>),
}

/// A token, as replies show it.
#[derive(Debug, Default)]
pub struct Auth {
    /// The token; empty where it is not shown.
    pub client_token: Secret<String>,
    /// Its accessor.
    pub accessor: String,
    /// All policies.
    pub policies: Vec<String>,
    /// Those of the token.
    pub token_policies: Vec<String>,
    /// Those of its entity.
    pub identity_policies: Vec<String>,
    /// `None` is `null`.
    pub metadata: Option<BTreeMap<String, String>>,
    /// In seconds.
    pub lease_duration: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Empty for none.
    pub entity_id: String,
    /// `service` or `batch`.
    pub token_type: &'static str,
    /// Whether it ends with no other.
    pub orphan: bool,
    /// 0: without limit.
    pub num_uses: u64,
}

impl Envelope {
    /// Its JSON, with the newline at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TYPICAL);
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, HtmlSafe);
        // Writing to memory does not fail, and there are no keys but strings.
        if self.serialize(&mut serializer).is_err() {
            out.clear();
        }
        out.push(b'\n');
        out
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.is_top {
            self.data.each(&mut map)?;
        }
        map.serialize_entry("request_id", self.request_id.as_ref().map_or("", RequestId::as_str))?;
        map.serialize_entry("lease_id", self.lease_id.as_ref().map_or("", LeaseId::as_str))?;
        map.serialize_entry("renewable", &self.renewable)?;
        map.serialize_entry("lease_duration", &self.lease_duration)?;
        map.serialize_entry("data", &self.data)?;
        map.serialize_entry("wrap_info", &self.wrap_info.as_ref().map(ShownWrap))?;
        let warnings = (self.lists_no_warnings || !self.warnings.is_empty()).then_some(&self.warnings);
        map.serialize_entry("warnings", &warnings)?;
        map.serialize_entry("auth", &self.auth)?;
        map.end()
    }
}

impl Data {
    /// Writes the fields into a map.
    fn each<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::None => Ok(()),
            Self::Object(fields) => fields.iter().try_for_each(|(key, value)| map.serialize_entry(key, value)),
            Self::List(keys, beside) => {
                // In order of their names.
                let before = beside.iter().filter(|(name, _)| name.as_str() < "keys");
                before.clone().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.serialize_entry("keys", keys)?;
                let after = beside.iter().filter(|(name, _)| name.as_str() > "keys");
                after.clone().try_for_each(|(key, value)| map.serialize_entry(key, value))
            }
        }
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Object(fields) => fields.serialize(serializer),
            Self::List(..) => {
                let mut map = serializer.serialize_map(None)?;
                self.each(&mut map)?;
                map.end()
            }
        }
    }
}

impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("client_token", self.client_token.expose())?;
        map.serialize_entry("accessor", &self.accessor)?;
        map.serialize_entry("policies", &self.policies)?;
        if !self.token_policies.is_empty() {
            map.serialize_entry("token_policies", &self.token_policies)?;
        }
        if !self.identity_policies.is_empty() {
            map.serialize_entry("identity_policies", &self.identity_policies)?;
        }
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("lease_duration", &self.lease_duration)?;
        map.serialize_entry("renewable", &self.renewable)?;
        map.serialize_entry("entity_id", &self.entity_id)?;
        map.serialize_entry("token_type", self.token_type)?;
        map.serialize_entry("orphan", &self.orphan)?;
        map.serialize_entry("mfa_requirement", &())?;
        map.serialize_entry("num_uses", &self.num_uses)?;
        map.end()
    }
}

struct ShownWrap<'a>(&'a WrapInfo);

impl Serialize for ShownWrap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wrap = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("token", wrap.token.expose())?;
        map.serialize_entry("accessor", &wrap.accessor)?;
        map.serialize_entry("ttl", &wrap.ttl)?;
        map.serialize_entry("creation_time", &wrap.creation_time)?;
        map.serialize_entry("creation_path", &wrap.creation_path)?;
        if !wrap.wrapped_accessor.is_empty() {
            map.serialize_entry("wrapped_accessor", &wrap.wrapped_accessor)?;
        }
        map.end()
    }
}

/// Compact, with `<`, `>` and `&` escaped in strings, as Go writes JSON.
#[derive(Clone, Copy, Debug)]
pub struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let is_special = |byte: u8| matches!(byte, b'<' | b'>' | b'&');
        let mut rest = fragment.as_bytes();
        while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before)?;
            let Some((byte, after)) = after.split_first() else { break };
            writer.write_all(match byte {
                b'<' => b"\\u003c",
                b'>' => b"\\u003e",
                _ => b"\\u0026",
            })?;
            rest = after;
        }
        writer.write_all(rest)
    }
}

/// Bytes of most replies.
const TYPICAL: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(envelope: &Envelope) -> String {
        String::from_utf8(envelope.to_json()).unwrap()
    }

    #[test]
    fn all_keys_are_there_in_order() {
        assert_eq!(
            text(&Envelope { request_id: Some(RequestId::new("r")), ..Envelope::default() }),
            "{\"request_id\":\"r\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":null,\"wrap_info\":null,\
             \"warnings\":null,\"auth\":null}\n"
        );
    }

    #[test]
    fn data_stands_at_the_top_when_asked() {
        let Value::Object(map) = json!({ "b": 1, "z": "a<b>&" }) else { panic!() };
        let data = Data::List(vec!["x".to_owned()], map);
        let text = text(&Envelope { data, is_top: true, ..Envelope::default() });
        assert!(text.starts_with("{\"b\":1,\"keys\":[\"x\"],\"z\":\"a\\u003cb\\u003e\\u0026\",\"request_id\":"), "{text}");
        assert!(text.contains("\"data\":{\"b\":1,\"keys\":[\"x\"],"), "{text}");
    }

    #[test]
    fn numbers_keep_their_text() {
        let data: Map<String, Value> = serde_json::from_str("{\"n\":12345678901234567890,\"d\":1.10}").unwrap();
        let text = text(&Envelope { data: Data::Object(data), ..Envelope::default() });
        assert!(text.contains("{\"d\":1.10,\"n\":12345678901234567890}"), "{text}");
    }
}
