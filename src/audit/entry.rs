//! A record becomes a line: JSON, in one go into one buffer, with secrets replaced by their HMAC under the device's salt.
//!
//! Hashed are tokens, accessors, and every string below `data`, but for times and the keys a mount exempts; never map keys,
//! numbers, paths, names, or error texts (spec `seal-and-barrier.md` §6, "HMAC").

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Datelike, Timelike, Utc};
use ring::hmac;
use serde_json::{Map, Value};

use crate::base::Secret;

use super::record::{AuthFacts, MountFacts, Record, Reply, RequestFacts, ResponseFacts, WrapFacts};
use super::{AuditError, jsonx};

/// How a device writes its lines (spec `seal-and-barrier.md` §6, common options).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// Whether accessors are hashed.
    pub hmac_accessor: bool,
    /// Nothing is hashed.
    pub log_raw: bool,
    /// Stands before each line.
    pub prefix: String,
    /// Lists show how many names they hold, not which.
    pub elide_list_responses: bool,
    /// How values are written.
    pub format: Format,
}

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// The same as XML.
    Jsonx,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self { hmac_accessor: true, log_raw: false, prefix: String::new(), elide_list_responses: false, format: Format::Json }
    }
}

/// Makes the lines of one device.
#[derive(Debug)]
pub struct Renderer {
    key: hmac::Key,
    options: LineOptions,
}

impl Renderer {
    /// With the device's salt, expanded once.
    pub fn new(salt: &Secret<String>, options: LineOptions) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, salt.expose().as_bytes()), options }
    }

    /// What stands in the log for `value`: `hmac-sha256:` and 64 hex digits.
    pub fn hash(&self, value: &str) -> String {
        String::from_utf8_lossy(&self.digest(value)).into_owned()
    }

    /// The line, with its end.
    ///
    /// # Errors
    /// [`AuditError::TooLong`] when hashes make more of a body than a log can take.
    pub fn line(&self, record: &Record<'_>) -> Result<Bytes, AuditError> {
        Ok(self.render(record, None)?.line)
    }

    /// The same, with parts of the line before of the same request.
    pub(super) fn render(&self, record: &Record<'_>, before: Option<(&Rendered, Common)>) -> Result<Rendered, AuditError> {
        let is_json = self.options.format == Format::Json;
        let mut out = Vec::with_capacity(TYPICAL);
        if is_json {
            out.extend_from_slice(self.options.prefix.as_bytes());
        }
        let mut line = Line { renderer: self, out, seen: [("", NO_HASH), ("", NO_HASH)] };
        let [auth, request] = line.record(record, before.filter(|_| is_json));
        let mut out = line.out;
        if out.len() > MAX_LINE {
            return Err(AuditError::TooLong);
        }
        if !is_json {
            out = [self.options.prefix.as_bytes(), &jsonx::of_json(&out)].concat();
        }
        out.push(b'\n');
        Ok(Rendered { line: out.into(), auth, request })
    }

    fn digest(&self, value: &str) -> Hash {
        let tag = hmac::sign(&self.key, value.as_bytes());
        let mut hash = NO_HASH;
        if let Some((label, digits)) = hash.split_at_mut_checked(LABEL.len()) {
            label.copy_from_slice(LABEL);
            // 32 bytes fill 64 digits.
            let _ = hex::encode_to_slice(tag.as_ref(), digits);
        }
        hash
    }
}

/// A line, and where in it those parts stand that the next one of its request may have in common with it.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    pub(super) line: Bytes,
    auth: Range<usize>,
    request: Range<usize>,
}

/// Which parts of a line stand in the line before, word for word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Common {
    /// Who asked.
    pub auth: bool,
    /// What was asked.
    pub request: bool,
}

impl Rendered {
    fn auth(&self) -> Option<&[u8]> {
        self.line.get(self.auth.clone())
    }

    fn request(&self) -> Option<&[u8]> {
        self.line.get(self.request.clone())
    }
}

type Hash = [u8; LABEL.len() + 64];

/// A line in the making.
struct Line<'r, 'a> {
    renderer: &'r Renderer,
    out: Vec<u8>,
    /// The token and the accessor stand in a line twice: the newest of each, and its hash.
    seen: [(&'a str, Hash); 2],
}

impl<'a> Line<'_, 'a> {
    /// Returns where `auth` and `request` stand.
    fn record(&mut self, record: &Record<'a>, before: Option<(&Rendered, Common)>) -> [Range<usize>; 2] {
        self.out.extend_from_slice(b"{\"time\":\"");
        time(&mut self.out, record.time);
        self.out.extend_from_slice(b"\",\"type\":");
        self.out.extend_from_slice(if record.response.is_some() { b"\"response\"" } else { b"\"request\"" });
        self.out.extend_from_slice(b",\"auth\":");
        let known = before.filter(|(_, common)| common.auth).and_then(|(before, _)| before.auth());
        let auth = self.part(known, |line| line.auth(record.auth));
        self.out.extend_from_slice(b",\"request\":");
        let known = before.filter(|(_, common)| common.request).and_then(|(before, _)| before.request());
        let request = self.part(known, |line| line.request(record.request));
        if let Some(response) = record.response {
            self.out.extend_from_slice(b",\"response\":");
            self.response(response, record.request);
        }
        self.text("error", record.error);
        self.out.push(b'}');
        [auth, request]
    }

    /// What is known already, or is made now; returns where it stands.
    fn part(&mut self, known: Option<&[u8]>, make: impl FnOnce(&mut Self)) -> Range<usize> {
        let start = self.out.len();
        match known {
            Some(known) => self.out.extend_from_slice(known),
            None => make(self),
        }
        start..self.out.len()
    }

    fn auth(&mut self, auth: &AuthFacts<'a>) {
        self.out.push(b'{');
        self.token("client_token", auth.client_token);
        self.accessor("accessor", auth.accessor);
        self.text("display_name", auth.display_name);
        self.texts("policies", auth.policies);
        self.texts("token_policies", auth.token_policies);
        self.texts("identity_policies", auth.identity_policies);
        self.flag("no_default_policy", auth.no_default_policy);
        if let Some(results) = auth.policy_results {
            self.key("policy_results");
            self.out.extend_from_slice(if results.allowed { b"{\"allowed\":true" } else { b"{\"allowed\":false" });
            if !results.granting.is_empty() {
                self.key("granting_policies");
                self.list(results.granting.iter(), |line, name| {
                    line.out.extend_from_slice(b"{\"name\":");
                    line.string(name);
                    line.out.extend_from_slice(b",\"namespace_id\":\"root\",\"type\":\"acl\"}");
                });
            }
            self.out.push(b'}');
        }
        if let Some(metadata) = auth.metadata.filter(|metadata| !metadata.is_empty()) {
            self.key("metadata");
            self.object(metadata.iter(), |line, value| line.string(value));
        }
        self.number("num_uses", auth.num_uses);
        self.number("remaining_uses", auth.remaining_uses);
        self.text("entity_id", auth.entity_id);
        self.flag("entity_created", auth.entity_created);
        self.text("token_type", auth.token_type);
        self.number("token_ttl", auth.token_ttl);
        if let Some(issued) = auth.token_issue_time {
            self.key("token_issue_time");
            self.out.push(b'"');
            time(&mut self.out, issued.to_datetime());
            self.out.push(b'"');
        }
        self.out.push(b'}');
    }

    fn request(&mut self, request: &RequestFacts<'a>) {
        self.out.push(b'{');
        self.text("id", request.id);
        self.text("client_id", request.client_id);
        self.text("operation", request.operation);
        self.mount(request.mount.as_ref(), "mount_running_version");
        self.token("client_token", request.client_token);
        self.accessor("client_token_accessor", request.client_token_accessor);
        self.key("namespace");
        self.out.extend_from_slice(b"{\"id\":\"root\"}");
        self.text("path", request.path);
        if let Some(data) = request.data.filter(|data| !data.is_empty()) {
            self.key("data");
            self.data(data, request.mount.map_or(&[], |mount| mount.clear_request_keys));
        }
        self.text("remote_address", request.remote_address);
        self.number("remote_port", request.remote_port.into());
        self.number("wrap_ttl", request.wrap_ttl);
        if !request.headers.is_empty() {
            self.key("headers");
            self.object(request.headers.iter().map(|header| (header.name, header)), |line, header| {
                line.list(
                    header.values.iter(),
                    |line, value| {
                        if header.hashed { line.hashed(value) } else { line.string(value) }
                    },
                );
            });
        }
        self.text("client_certificate_serial_number", request.certificate_serial);
        self.out.push(b'}');
    }

    fn response(&mut self, response: &ResponseFacts<'a>, request: &RequestFacts<'a>) {
        self.out.push(b'{');
        if let Some(auth) = response.auth {
            self.key("auth");
            self.auth(auth);
        }
        self.mount(request.mount.as_ref(), "mount_running_plugin_version");
        if let Some(lease) = response.lease {
            self.key("secret");
            self.out.push(b'{');
            self.text("lease_id", lease);
            self.out.push(b'}');
        }
        self.reply(response.data, request);
        self.texts("warnings", response.warnings);
        if let Some(wrap) = &response.wrap {
            self.key("wrap_info");
            self.wrap(wrap);
        }
        self.out.push(b'}');
    }

    fn reply(&mut self, reply: Reply<'a>, request: &RequestFacts<'a>) {
        let clear = request.mount.map_or(&[][..], |mount| mount.clear_response_keys);
        let elide = self.renderer.options.elide_list_responses && request.operation == "list";
        match reply {
            Reply::Empty => {}
            Reply::Data(data) if data.is_empty() => {}
            Reply::Data(data) => {
                self.key("data");
                self.out.push(b'{');
                self.fields(data, clear, elide);
                self.out.push(b'}');
            }
            Reply::List(keys, beside) => {
                self.key("data");
                self.out.push(b'{');
                self.key("keys");
                if elide {
                    self.count(keys.len());
                } else {
                    let readable = clear.iter().any(|key| key == "keys");
                    self.list(keys.iter(), |line, key| line.value_text(key, readable));
                }
                self.fields(beside, clear, elide);
                self.out.push(b'}');
            }
            Reply::Error(text) => {
                self.key("data");
                self.out.push(b'{');
                self.key("error");
                self.value_text(text, clear.iter().any(|key| key == "error"));
                self.out.push(b'}');
            }
        }
    }

    fn wrap(&mut self, wrap: &WrapFacts<'a>) {
        self.out.push(b'{');
        self.number("ttl", wrap.ttl);
        self.token("token", wrap.token);
        self.accessor("accessor", wrap.accessor);
        self.text("creation_time", wrap.creation_time);
        self.text("creation_path", wrap.creation_path);
        self.accessor("wrapped_accessor", wrap.wrapped_accessor);
        self.out.push(b'}');
    }

    fn mount(&mut self, mount: Option<&MountFacts<'a>>, version: &str) {
        let Some(mount) = mount else { return };
        self.text("mount_point", mount.point);
        self.text("mount_type", mount.kind);
        self.text("mount_accessor", mount.accessor);
        self.text(version, mount.running_version);
        self.text("mount_class", mount.class);
    }

    /// An object of a body, in braces.
    fn data(&mut self, data: &Map<String, Value>, clear: &[String]) {
        self.out.push(b'{');
        self.fields(data, clear, false);
        self.out.push(b'}');
    }

    /// Its members, behind what is there already.
    fn fields(&mut self, data: &Map<String, Value>, clear: &[String], elide: bool) {
        for (key, value) in data {
            self.member(key);
            match value {
                Value::Array(items) if elide && key == "keys" => self.count(items.len()),
                Value::Object(items) if elide && key == "key_info" => self.count(items.len()),
                value => self.value(value, clear, clear.contains(key)),
            }
        }
    }

    /// The nearest map key decides whether strings stay readable, also through lists. As deep as the body, whose depth the
    /// parser bounds.
    fn value(&mut self, value: &Value, clear: &[String], readable: bool) {
        match value {
            // Too long already: what follows will not be written.
            _ if self.out.len() > MAX_LINE => {}
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Number(number) => self.out.extend_from_slice(number.as_str().as_bytes()),
            Value::String(text) => self.value_text(text, readable),
            Value::Array(items) => self.list(items.iter(), |line, item| line.value(item, clear, readable)),
            Value::Object(fields) => self.data(fields, clear),
        }
    }

    fn value_text(&mut self, text: &str, readable: bool) {
        if readable || is_time(text) { self.string(text) } else { self.hashed(text) }
    }

    // -- members of an object; left out when empty --

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.key(key);
            self.string(value);
        }
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.key(key);
            self.list(values.iter(), |line, value| line.string(value));
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.key(key);
            // Writing into memory does not fail.
            let _ = write!(self.out, "{value}");
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.key(key);
            self.out.extend_from_slice(b"true");
        }
    }

    fn token(&mut self, key: &str, value: &'a str) {
        if !value.is_empty() {
            self.key(key);
            self.remembered(value, 0);
        }
    }

    fn accessor(&mut self, key: &str, value: &'a str) {
        if self.renderer.options.hmac_accessor && !value.is_empty() {
            self.key(key);
            self.remembered(value, 1);
        } else {
            self.text(key, value);
        }
    }

    // -- values --

    fn hashed(&mut self, value: &str) {
        if self.renderer.options.log_raw {
            return self.string(value);
        }
        let hash = self.renderer.digest(value);
        self.quoted(&hash);
    }

    /// As [`Line::hashed`]; the value probably stands in the line a second time.
    fn remembered(&mut self, value: &'a str, slot: usize) {
        if self.renderer.options.log_raw {
            return self.string(value);
        }
        let known = self.seen.get(slot).filter(|(seen, _)| *seen == value).map(|(_, hash)| *hash);
        let hash = known.unwrap_or_else(|| self.renderer.digest(value));
        if let Some(place) = self.seen.get_mut(slot) {
            *place = (value, hash);
        }
        self.quoted(&hash);
    }

    fn string(&mut self, value: &str) {
        // Writing into memory does not fail, and a string is always JSON.
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    fn quoted(&mut self, plain: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(plain);
        self.out.push(b'"');
    }

    fn count(&mut self, count: usize) {
        let _ = write!(self.out, "{count}");
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            each(self, item);
        }
        self.out.push(b']');
    }

    fn object<K: AsRef<str>, T>(&mut self, fields: impl Iterator<Item = (K, T)>, mut each: impl FnMut(&mut Self, T)) {
        self.out.push(b'{');
        for (key, value) in fields {
            self.member(key.as_ref());
            each(self, value);
        }
        self.out.push(b'}');
    }

    /// One of our own keys, which need no escaping.
    fn key(&mut self, key: &str) {
        self.comma();
        self.quoted(key.as_bytes());
        self.out.push(b':');
    }

    /// A key from outside.
    fn member(&mut self, key: &str) {
        self.comma();
        self.string(key);
        self.out.push(b':');
    }

    /// Unless the object has just begun.
    fn comma(&mut self) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
    }
}

/// RFC 3339 in UTC with as many digits of nanoseconds as needed.
fn time(out: &mut Vec<u8>, time: DateTime<Utc>) {
    let digits = |value: u32, place: u32| b'0' + u8::try_from(value / place % 10).unwrap_or(0);
    let year = u32::try_from(time.year()).unwrap_or(0);
    out.extend([digits(year, 1000), digits(year, 100), digits(year, 10), digits(year, 1)]);
    for (mark, value) in
        [(b'-', time.month()), (b'-', time.day()), (b'T', time.hour()), (b':', time.minute()), (b':', time.second())]
    {
        out.extend([mark, digits(value, 10), digits(value, 1)]);
    }
    let mut rest = time.timestamp_subsec_nanos() % 1_000_000_000;
    if rest != 0 {
        out.push(b'.');
    }
    let mut place = 100_000_000;
    while rest != 0 {
        out.push(digits(rest, place));
        rest %= place;
        place /= 10;
    }
    out.push(b'Z');
}

/// Whether a text is a time of RFC 3339, as Go reads it: those stay readable.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    // From `2006-01-02T15:04:05Z` to nine digits of fraction and a zone; longer ones could hide anything in their digits.
    (20..=35).contains(&bytes.len())
        && bytes.get(10) == Some(&b'T')
        && bytes.get(17) != Some(&b'6')
        && !bytes.ends_with(b"z")
        && DateTime::parse_from_rfc3339(text).is_ok()
}

const LABEL: &[u8] = b"hmac-sha256:";
const NO_HASH: Hash = [0; LABEL.len() + 64];
/// A string of two bytes becomes a hash of 78. Twice the largest body is room for every honest one.
const MAX_LINE: usize = 64 * 1024 * 1024;
/// Bytes of most lines.
const TYPICAL: usize = 1536;

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
