//! The envelope of a reply: lease, data, warnings, wrapping, auth, and how each is shown.

use serde_json::{Map, Value, json};

use super::{Doc, table};
use crate::cli::client::Reply;
use crate::cli::duration;

/// A reply in the usual envelope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Envelope {
    members: Map<String, Value>,
}

impl Envelope {
    /// Reads a reply; `None` when it has no body. A body without envelope counts as data.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub(crate) fn of(reply: &Reply) -> Result<Option<Self>, String> {
        match reply.json()? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self::from_members(members))),
            Some(_) => Err(format!("the reply of {} is not a JSON object", reply.url)),
        }
    }

    fn from_members(members: Map<String, Value>) -> Self {
        let is_set = |name: &&str| match members.get(*name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Bool(on)) => *on,
            Some(Value::Number(number)) => number.as_i64() != Some(0),
            Some(_) => true,
        };
        let bare = !MEMBERS.iter().any(is_set) && !members.contains_key("errors") && !members.contains_key("request_id");
        if bare { Self::with_data(members) } else { Self { members } }
    }

    /// An envelope of nothing but data.
    pub(crate) fn with_data(data: Map<String, Value>) -> Self {
        Self { members: Map::from_iter([("data".to_owned(), Value::Object(data))]) }
    }

    /// An envelope of nothing but an auth block.
    pub(crate) fn with_auth(auth: Value) -> Self {
        Self { members: Map::from_iter([("auth".to_owned(), auth)]) }
    }

    /// Whether there is anything to use in a reply of status 404.
    pub(crate) fn is_useful(&self) -> bool {
        self.data().is_some_and(|data| !data.is_empty()) || !self.warnings().is_empty()
    }

    pub(crate) fn data(&self) -> Option<&Map<String, Value>> {
        self.object("data")
    }

    pub(crate) fn auth(&self) -> Option<&Map<String, Value>> {
        self.object("auth")
    }

    pub(crate) fn wrap_info(&self) -> Option<&Map<String, Value>> {
        self.object("wrap_info")
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let all = self.members.get("warnings").and_then(Value::as_array);
        all.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The names of a list reply.
    pub(crate) fn keys(&self) -> Option<Vec<String>> {
        let keys = self.data()?.get("keys")?.as_array()?;
        Some(keys.iter().map(|key| key.as_str().map_or_else(|| table::cell(key), str::to_owned)).collect())
    }

    /// The JSON form, in its fixed order.
    pub(crate) fn doc(&self) -> Doc {
        let mut members: Vec<(String, Doc)> = [
            ("request_id", json!("")),
            ("lease_id", json!("")),
            ("lease_duration", json!(0)),
            ("renewable", json!(false)),
            ("data", Value::Null),
            ("warnings", Value::Null),
        ]
        .into_iter()
        .map(|(name, zero)| (name.to_owned(), Doc::Value(self.members.get(name).cloned().unwrap_or(zero))))
        .collect();
        if let Some(wrap) = self.wrap_info() {
            members.push(("wrap_info".to_owned(), complete(wrap, WRAP)));
        }
        if let Some(auth) = self.auth() {
            members.push(("auth".to_owned(), complete(auth, AUTH)));
        }
        Doc::Object(members)
    }

    /// The rows of a table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        if let Some(wrap) = self.wrap_info() {
            return wrap_rows(wrap);
        }
        let mut rows = Vec::new();
        let mut row = |key: &str, value: String| rows.push((key.to_owned(), value));
        let seconds = self.lease_duration();
        if !self.lease_id().is_empty() {
            row("lease_id", self.lease_id().to_owned());
            row("lease_duration", duration::short(seconds));
            row("lease_renewable", self.renewable().to_string());
        } else if seconds > 0 {
            row("refresh_interval", duration::short(seconds));
        }
        if let Some(auth) = self.auth() {
            rows.extend(auth_rows(auth));
        }
        if let Some(data) = self.data() {
            rows.extend(table::rows(data));
        }
        rows
    }

    /// The value of a field by the name users give it.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        let from = |object: Option<&Map<String, Value>>, key: &str| object.and_then(|object| object.get(key)).cloned();
        let wrapping = |key| from(self.wrap_info(), key);
        let auth = |key| from(self.auth(), key);
        let special = match name {
            "lease_id" => Some(json!(self.lease_id())).filter(|_| !self.lease_id().is_empty()),
            "lease_renewable" => Some(json!(self.renewable())).filter(|_| !self.lease_id().is_empty()),
            "lease_duration" | "refresh_interval" => self.members.get("lease_duration").cloned(),
            "token" => auth("client_token"),
            "token_accessor" => auth("accessor"),
            "token_duration" => auth("lease_duration"),
            "token_renewable" => auth("renewable"),
            "token_policies" | "identity_policies" | "policies" => auth(name),
            "wrapping_token" => wrapping("token"),
            "wrapping_accessor" => wrapping("accessor"),
            "wrapping_token_ttl" => wrapping("ttl"),
            "wrapping_token_creation_time" => {
                wrapping("creation_time").map(|time| json!(go_time(time.as_str().unwrap_or_default())))
            }
            "wrapping_token_creation_path" => wrapping("creation_path"),
            "wrapped_accessor" => wrapping("wrapped_accessor"),
            "data" => self.data().cloned().map(Value::Object),
            _ => None,
        };
        special.or_else(|| from(self.data(), name))
    }

    fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.members.get(name).and_then(Value::as_object)
    }

    fn lease_id(&self) -> &str {
        self.members.get("lease_id").and_then(Value::as_str).unwrap_or_default()
    }

    fn lease_duration(&self) -> i64 {
        self.members.get("lease_duration").and_then(Value::as_i64).unwrap_or_default()
    }

    fn renewable(&self) -> bool {
        self.members.get("renewable").and_then(Value::as_bool).unwrap_or_default()
    }
}

/// The members of a part of the envelope, all of them, in their order.
fn complete(part: &Map<String, Value>, order: &[(&str, Zero)]) -> Doc {
    let members = order.iter().map(|(name, zero)| {
        let value = part.get(*name).cloned().unwrap_or_else(|| zero.value());
        ((*name).to_owned(), Doc::Value(value))
    });
    Doc::Object(members.collect())
}

/// Rows of an auth block.
fn auth_rows(auth: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |name: &str| auth.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let seconds = auth.get("lease_duration").and_then(Value::as_i64).unwrap_or_default();
    let mut rows = vec![
        ("token".to_owned(), text("client_token")),
        ("token_accessor".to_owned(), text("accessor")),
        ("token_duration".to_owned(), if seconds == 0 { "∞".to_owned() } else { duration::short(seconds) }),
        ("token_renewable".to_owned(), auth.get("renewable").and_then(Value::as_bool).unwrap_or_default().to_string()),
        ("token_policies".to_owned(), quoted_list(auth.get("token_policies"))),
        ("identity_policies".to_owned(), quoted_list(auth.get("identity_policies"))),
        ("policies".to_owned(), quoted_list(auth.get("policies"))),
    ];
    let metadata = auth.get("metadata").and_then(Value::as_object);
    rows.extend(metadata.into_iter().flatten().map(|(key, value)| (format!("token_meta_{key}"), table::cell(value))));
    rows
}

fn wrap_rows(wrap: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |name: &str| wrap.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let seconds = wrap.get("ttl").and_then(Value::as_i64).unwrap_or_default();
    let mut rows = vec![
        ("wrapping_token:".to_owned(), text("token")),
        ("wrapping_accessor:".to_owned(), text("accessor")),
        ("wrapping_token_ttl:".to_owned(), duration::short(seconds)),
        ("wrapping_token_creation_time:".to_owned(), go_time(&text("creation_time"))),
        ("wrapping_token_creation_path:".to_owned(), text("creation_path")),
    ];
    let accessor = text("wrapped_accessor");
    if !accessor.is_empty() {
        rows.push(("wrapped_accessor:".to_owned(), accessor));
    }
    rows
}

/// `["a" "b"]`.
fn quoted_list(list: Option<&Value>) -> String {
    let names = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    format!(
        "[{}]",
        names.map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))).collect::<Vec<_>>().join(" ")
    )
}

/// `2006-01-02 15:04:05.999999999 +0000 UTC` of an RFC 3339 time; other text as it is.
pub(crate) fn go_time(text: &str) -> String {
    let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) else { return text.to_owned() };
    let nanos = format!("{:09}", time.timestamp_subsec_nanos());
    let nanos = nanos.trim_end_matches('0');
    let fraction = if nanos.is_empty() { String::new() } else { format!(".{nanos}") };
    let offset = time.format("%z").to_string();
    let zone = if offset == "+0000" { "UTC" } else { &offset };
    format!("{}{fraction} {offset} {zone}", time.format("%Y-%m-%d %H:%M:%S"))
}

/// What stands for a member that is not there.
#[derive(Clone, Copy)]
enum Zero {
    Null,
    Text,
    Number,
    No,
}

impl Zero {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text => json!(""),
            Self::Number => json!(0),
            Self::No => json!(false),
        }
    }
}

const MEMBERS: &[&str] = &["request_id", "lease_id", "lease_duration", "renewable", "data", "warnings", "wrap_info", "auth"];

const AUTH: &[(&str, Zero)] = &[
    ("client_token", Zero::Text),
    ("accessor", Zero::Text),
    ("policies", Zero::Null),
    ("token_policies", Zero::Null),
    ("identity_policies", Zero::Null),
    ("metadata", Zero::Null),
    ("orphan", Zero::No),
    ("entity_id", Zero::Text),
    ("lease_duration", Zero::Number),
    ("renewable", Zero::No),
    ("mfa_requirement", Zero::Null),
];

const WRAP: &[(&str, Zero)] = &[
    ("token", Zero::Text),
    ("accessor", Zero::Text),
    ("ttl", Zero::Number),
    ("creation_time", Zero::Text),
    ("creation_path", Zero::Text),
    ("wrapped_accessor", Zero::Text),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_go_prints_them() {
        assert_eq!(go_time("2026-01-02T03:04:05.120Z"), "2026-01-02 03:04:05.12 +0000 UTC");
        assert_eq!(go_time("2026-01-02T03:04:05+02:00"), "2026-01-02 03:04:05 +0200 +0200");
    }

    #[test]
    fn a_body_without_envelope_is_data() {
        let Value::Object(members) = json!({"initialized": true, "sealed": false}) else { panic!() };
        assert_eq!(Envelope::from_members(members).data().unwrap().len(), 2);
        let Value::Object(members) = json!({"errors": []}) else { panic!() };
        assert!(!Envelope::from_members(members).is_useful());
    }
}
