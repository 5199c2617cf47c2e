//! The template of a role: JSON with `{{…}}` in it, filled in from what is known of an entity. What is unknown is empty.

use serde_json::{Map, Value, json};

use crate::base::Timestamp;
use crate::base::time::parse_nanos;
use crate::identity::{Entity, EntityAlias, Group, Principal};
use crate::mount::ApiError;
use crate::policy::Fact;
use crate::policy::TemplateSource as _;

/// A text whose every directive is known, and which is JSON of an object when they are filled in.
#[derive(Debug)]
pub(super) struct Template<'t> {
    pieces: Vec<Piece<'t>>,
}

#[derive(Debug)]
enum Piece<'t> {
    Text(&'t str),
    Directive(Directive<'t>),
}

/// What stands between braces.
#[derive(Debug)]
enum Directive<'t> {
    /// One text.
    Fact(Fact<'t>),
    /// All notes on the entity.
    Metadata,
    /// All that the mount with this accessor says of the entity.
    AliasMetadata(&'t str),
    /// All notes on the alias on the mount with this accessor.
    AliasCustomMetadata(&'t str),
    /// Names of the groups.
    GroupNames,
    /// Ids of the groups.
    GroupIds,
    /// Now, and so many seconds later.
    Time(i64),
}

impl<'t> Template<'t> {
    /// Reads a template.
    ///
    /// # Errors
    /// 400 that says what is wrong with it.
    pub(super) fn parse(text: &'t str) -> Result<Self, ApiError> {
        if text.len() > LONGEST {
            return Err(ApiError::invalid(format!("template is longer than {LONGEST} bytes")));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let unbalanced = || ApiError::invalid("error parsing template: unbalanced templating characters");
            let (inside, behind) = after.split_once("}}").ok_or_else(unbalanced)?;
            let directive = inside.trim();
            let unknown = || ApiError::invalid(format!("error parsing template: unknown directive {directive:?}"));
            pieces.push(Piece::Text(before));
            pieces.push(Piece::Directive(Directive::parse(directive).ok_or_else(unknown)?));
            rest = behind;
        }
        pieces.push(Piece::Text(rest));
        let template = Self { pieces };
        if text.is_empty() {
            return Ok(template);
        }
        let tried = template.filled_in(Directive::empty);
        let refused = |text: String| ApiError::invalid(format!("error parsing template JSON: {text}"));
        let claims: Map<String, Value> = serde_json::from_str(&tried).map_err(|error| refused(error.to_string()))?;
        match claims.keys().find(|key| RESTRICTED.contains(&key.as_str())) {
            None => Ok(template),
            Some(key) => {
                let all = RESTRICTED.join(", ");
                Err(ApiError::invalid(format!("top level key {key:?} not allowed. Restricted keys: {all}")))
            }
        }
    }

    /// What a token says of an entity.
    pub(super) fn claims(&self, principal: &Principal, now: Timestamp) -> Result<Map<String, Value>, ApiError> {
        let filled = self.filled_in(|directive| directive.value(principal, now));
        if filled.is_empty() {
            return Ok(Map::new());
        }
        serde_json::from_str(&filled).map_err(ApiError::internal)
    }

    fn filled_in(&self, value: impl Fn(&Directive<'t>) -> Value) -> String {
        self.pieces.iter().fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Directive(directive) => text.push_str(&value(directive).to_string()),
            }
            text
        })
    }
}

impl<'t> Directive<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        match text {
            "identity.entity.metadata" => return Some(Self::Metadata),
            "identity.entity.groups.names" => return Some(Self::GroupNames),
            "identity.entity.groups.ids" => return Some(Self::GroupIds),
            "time.now" => return Some(Self::Time(0)),
            _ => {}
        }
        if let Some(length) = text.strip_prefix("time.now.plus.") {
            return seconds(length).map(Self::Time);
        }
        if let Some(length) = text.strip_prefix("time.now.minus.") {
            return seconds(length).map(|seconds| Self::Time(-seconds));
        }
        if let Some(rest) = text.strip_prefix("identity.entity.aliases.") {
            match rest.split_once('.') {
                Some((accessor, "metadata")) => return Some(Self::AliasMetadata(accessor)),
                Some((accessor, "custom_metadata")) => return Some(Self::AliasCustomMetadata(accessor)),
                _ => {}
            }
        }
        Fact::parse(text).map(Self::Fact)
    }

    fn value(&self, principal: &Principal, now: Timestamp) -> Value {
        let entity: &Entity = &principal.entity;
        let groups = || principal.direct.iter().chain(&principal.inherited);
        let names = |name: fn(&Group) -> &String| groups().map(|group| json!(name(group))).collect();
        let alias = |accessor: &str, notes: fn(&EntityAlias) -> Value| entity.alias_on(accessor).map_or_else(|| json!({}), notes);
        match self {
            Self::Fact(fact) => json!(principal.fact(*fact).unwrap_or_default()),
            Self::Metadata => json!(entity.metadata.clone().unwrap_or_default()),
            Self::AliasMetadata(accessor) => alias(accessor, |alias| json!(alias.metadata)),
            Self::AliasCustomMetadata(accessor) => {
                alias(accessor, |alias| json!(alias.custom_metadata.clone().unwrap_or_default()))
            }
            Self::GroupNames => names(|group| &group.name),
            Self::GroupIds => names(|group| &group.id),
            Self::Time(seconds) => {
                json!(i64::try_from(now.seconds()).unwrap_or(i64::MAX).saturating_add(*seconds))
            }
        }
    }

    /// As of an entity nothing is known of.
    fn empty(&self) -> Value {
        match self {
            Self::Fact(_) => json!(""),
            Self::Metadata | Self::AliasMetadata(_) | Self::AliasCustomMetadata(_) => json!({}),
            Self::GroupNames | Self::GroupIds => json!([]),
            Self::Time(_) => json!(0),
        }
    }
}

fn seconds(length: &str) -> Option<i64> {
    i64::try_from(parse_nanos(length).ok().filter(|nanos| *nanos >= 0)? / 1_000_000_000).ok()
}

/// Claims the server answers for.
const RESTRICTED: [&str; 10] = ["iat", "aud", "exp", "iss", "sub", "namespace", "nonce", "auth_time", "at_hash", "c_hash"];

/// In bytes.
const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Template::parse(text).unwrap_err().text
    }

    #[test]
    fn a_template_is_json_once_it_is_filled_in() {
        let every = r#"{
            "id": {{identity.entity.id}}, "name": {{ identity.entity.name }}, "color": {{identity.entity.metadata.color}},
            "all": {{identity.entity.metadata}}, "groups": {{identity.entity.groups.names}}, "ids": {{identity.entity.groups.ids}},
            "alias": {{identity.entity.aliases.x_1.name}}, "of": {{identity.entity.aliases.x_1.metadata}},
            "noted": {{identity.entity.aliases.x_1.custom_metadata}}, "nbf": {{time.now}},
            "soon": {{time.now.plus.1h}}, "then": {{time.now.minus.90s}}, "nested": { "iss": "free" }
        }"#;
        assert!(Template::parse(every).is_ok());
        assert!(Template::parse("").is_ok());
        assert!(refused("{ \"a\": {{identity.entity.age}} }").starts_with("error parsing template: unknown directive"));
        assert!(refused("{ \"a\": {{time.now.plus.x}} }").starts_with("error parsing template: "));
        assert!(refused("{ \"a\": {{identity.entity.id }").starts_with("error parsing template: unbalanced"));
        assert!(refused("{ \"a\": ").starts_with("error parsing template JSON: "));
        assert!(refused("[1]").starts_with("error parsing template JSON: "));
    }

    #[test]
    fn claims_of_the_server_are_its_own() {
        assert_eq!(
            refused(r#"{"iss": "me"}"#),
            "top level key \"iss\" not allowed. Restricted keys: iat, aud, exp, iss, sub, namespace, nonce, auth_time, at_hash, \
             c_hash"
        );
    }
}
