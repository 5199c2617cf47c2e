//! From fields to an endpoint's input type.

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::decode;
use super::error::ApiError;
use super::pattern::Captures;

/// What an endpoint takes. Every type that serde can read and that has a schema is one; its doc comments are the help.
pub trait Input: Sized + Send + 'static {
    /// Whether it looks at the body at all; one that does not is spared a copy of it.
    const TAKES_DATA: bool = true;
    /// Its fields.
    fn fields() -> Vec<FieldInfo>;
    /// Reads it.
    ///
    /// # Errors
    /// 400 that names the field.
    fn decode(decoded: Decoded) -> Result<Self, ApiError>;
}

/// The fields of a request, not read yet.
#[derive(Debug)]
pub struct Decoded {
    pub(super) captures: Captures,
    pub(super) data: Map<String, Value>,
    /// The endpoint asks whether it creates, which words errors differently (spec `00-conventions.md` §1).
    pub(super) is_probe: bool,
}

/// A field, for help and OpenAPI.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInfo {
    /// As sent.
    pub name: String,
    /// JSON schema of its value.
    pub schema: Value,
    /// For people.
    pub about: String,
    /// Stands for fields of any name.
    pub takes_all: bool,
}

/// No fields at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing;

/// Everything as it came: the endpoint keeps what it is given.
#[derive(Debug, Default)]
pub struct Whole {
    /// What the last piece in braces took; empty without one.
    pub path: String,
    /// The body.
    pub data: Map<String, Value>,
}

/// Only what the path says: the last piece in braces.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// See above.
    pub name: String,
}

/// Two inputs of one request: fields that several endpoints share beside their own.
#[derive(Clone, Debug, Default)]
pub struct Both<A, B>(pub A, pub B);

/// An input beside the names of all fields that were sent, those that were `null` among them.
#[derive(Clone, Debug, Default)]
pub struct Sent<T> {
    /// What was sent.
    pub input: T,
    /// As sent, in their order.
    pub names: Vec<String>,
}

/// An input that may make no sense: the endpoint says so in its own way.
#[derive(Clone, Debug)]
pub struct Perhaps<T>(pub Result<T, ApiError>);

impl<T: Input> Input for Perhaps<T> {
    fn fields() -> Vec<FieldInfo> {
        T::fields()
    }
    fn decode(decoded: Decoded) -> Result<Self, ApiError> {
        Ok(Self(T::decode(decoded)))
    }
}

impl<T: Input> Input for Sent<T> {
    fn fields() -> Vec<FieldInfo> {
        T::fields()
    }
    fn decode(decoded: Decoded) -> Result<Self, ApiError> {
        let names = decoded.data.keys().cloned().collect();
        Ok(Self { input: T::decode(decoded)?, names })
    }
}

impl<A: Input, B: Input> Input for Both<A, B> {
    const TAKES_DATA: bool = A::TAKES_DATA || B::TAKES_DATA;
    fn fields() -> Vec<FieldInfo> {
        let mut fields = A::fields();
        fields.extend(B::fields());
        fields
    }
    fn decode(decoded: Decoded) -> Result<Self, ApiError> {
        let Decoded { captures, data, is_probe } = decoded;
        let first = Decoded { captures: captures.clone(), data: data_for::<A>(&data), is_probe };
        Ok(Self(A::decode(first)?, B::decode(Decoded { captures, data, is_probe })?))
    }
}

impl Input for Nothing {
    const TAKES_DATA: bool = false;
    fn fields() -> Vec<FieldInfo> {
        Vec::new()
    }
    fn decode(_: Decoded) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

impl Input for Whole {
    fn fields() -> Vec<FieldInfo> {
        vec![FieldInfo { name: String::new(), schema: Value::Bool(true), about: String::new(), takes_all: true }]
    }
    fn decode(mut decoded: Decoded) -> Result<Self, ApiError> {
        let path = decoded.captures.pop().map(|(_, text)| text).unwrap_or_default();
        Ok(Self { path, data: decoded.data })
    }
}

impl Input for Named {
    const TAKES_DATA: bool = false;
    fn fields() -> Vec<FieldInfo> {
        Vec::new()
    }
    fn decode(mut decoded: Decoded) -> Result<Self, ApiError> {
        Ok(Self { name: decoded.captures.pop().map(|(_, text)| text).unwrap_or_default() })
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Input for T {
    fn fields() -> Vec<FieldInfo> {
        fields_of(&SchemaGenerator::default().into_root_schema_for::<T>().to_value())
    }

    fn decode(decoded: Decoded) -> Result<Self, ApiError> {
        let is_probe = decoded.is_probe;
        decode::fields(decoded.together()).map_err(|(field, error)| unreadable(is_probe, &field, &error))
    }
}

// Apart from the type that is read, so that the program holds it once.

impl Decoded {
    /// Data and what the path says, which wins.
    fn together(self) -> Map<String, Value> {
        let Self { captures, mut data, .. } = self;
        // Not supplied.
        data.retain(|_, value| !value.is_null());
        for (name, text) in captures {
            data.insert(name.to_owned(), Value::String(text));
        }
        data
    }
}

fn fields_of(schema: &Value) -> Vec<FieldInfo> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let field = |(name, schema): (&String, &Value)| FieldInfo {
        name: name.clone(),
        about: schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        schema: schema.clone(),
        takes_all: false,
    };
    properties.map(|properties| properties.iter().map(field).collect()).unwrap_or_default()
}

fn unreadable(is_probe: bool, field: &str, error: &serde_json::Error) -> ApiError {
    let prefix = if is_probe { "" } else { "Field validation failed: " };
    ApiError::invalid(format!("{prefix}error converting input for field \"{field}\": {error}"))
}

/// A copy of the body for an input that looks at it.
pub(super) fn data_for<I: Input>(data: &Map<String, Value>) -> Map<String, Value> {
    if I::TAKES_DATA { data.clone() } else { Map::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Ttl;
    use crate::mount::field::{CommaList, Flag};
    use serde::Deserialize;

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Role {
        /// Name of the role.
        name: String,
        /// Lives so long.
        ttl: Option<Ttl>,
        on: Option<Flag>,
        #[serde(default)]
        policies: CommaList,
    }

    fn read(data: Value) -> Result<Role, ApiError> {
        let Value::Object(data) = data else { panic!() };
        Role::decode(Decoded { captures: vec![("name", "web".to_owned())], data, is_probe: false })
    }

    #[test]
    fn captures_win_and_null_is_absent() {
        let role = read(json!({ "name": "other", "ttl": "1h", "on": null, "policies": "a,b" })).unwrap();
        assert_eq!((role.name.as_str(), role.ttl, role.on), ("web", Some(Ttl::hours(1)), None));
        assert_eq!(role.policies.0, ["a", "b"]);
    }

    #[test]
    fn an_error_names_the_field() {
        let error = read(json!({ "ttl": "soon" })).unwrap_err();
        assert!(error.text.starts_with("Field validation failed: error converting input for field \"ttl\": "), "{error}");
    }

    #[test]
    fn fields_that_are_null_were_sent() {
        let Value::Object(data) = json!({ "ttl": null, "on": true }) else { panic!() };
        let decoded = Decoded { captures: vec![("name", "web".to_owned())], data, is_probe: false };
        let Sent { input, names } = Sent::<Role>::decode(decoded).unwrap();
        assert_eq!((input.ttl, input.on), (None, Some(Flag(true))));
        assert_eq!(names, ["on", "ttl"]);
    }

    #[test]
    fn two_inputs_read_one_request() {
        let Value::Object(data) = json!({ "ttl": "1h", "more": 1 }) else { panic!() };
        let decoded = Decoded { captures: vec![("name", "web".to_owned())], data, is_probe: false };
        let Both(named, role) = Both::<Named, Role>::decode(decoded).unwrap();
        assert_eq!((named.name.as_str(), role.name.as_str(), role.ttl), ("web", "web", Some(Ttl::hours(1))));
        assert_eq!(Both::<Named, Role>::fields(), Role::fields());
    }

    #[test]
    fn fields_have_names_and_words() {
        let fields = Role::fields();
        assert_eq!(fields.len(), 4);
        let name = fields.iter().find(|field| field.name == "name").unwrap();
        assert_eq!(name.about, "Name of the role.");
    }
}
