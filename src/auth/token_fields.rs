//! The `token_*` fields that roles and users of auth methods share: what the tokens they give are like
//! (spec `00-conventions.md` §3).
//!
//! A record holds [`TokenFields`], an endpoint takes [`TokenInput`] beside its own fields (see [`crate::mount::Both`]). Old names
//! of fields go through [`renamed`].

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::Ttl;
use crate::mount::field::{CommaList, Flag, Int, SignedSeconds, Text};
use crate::mount::{ApiError, Grant, GrantType, TokenRenewal};

use super::cidr;

/// What tokens of a role are like, as stored and as read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenFields {
    /// Addresses they may be used from; empty: all.
    #[serde(rename = "token_bound_cidrs", with = "texts")]
    pub bound_cidrs: Vec<IpNet>,
    /// A maximum for good; zero: none.
    #[serde(rename = "token_explicit_max_ttl")]
    pub explicit_max_ttl: Ttl,
    /// Lowers the mount's maximum; zero: does not.
    #[serde(rename = "token_max_ttl")]
    pub max_ttl: Ttl,
    /// Without `default`.
    #[serde(rename = "token_no_default_policy")]
    pub no_default_policy: bool,
    /// How often they can be used; zero: without limit.
    #[serde(rename = "token_num_uses")]
    pub num_uses: u64,
    /// Each renewal gives this; zero: not periodic.
    #[serde(rename = "token_period")]
    pub period: Ttl,
    /// As supplied.
    #[serde(rename = "token_policies")]
    pub policies: Vec<String>,
    /// How long they live unless renewed; zero: the mount's default.
    #[serde(rename = "token_ttl")]
    pub ttl: Ttl,
    /// Of which kind.
    #[serde(rename = "token_type")]
    pub kind: TokenType,
}

/// Of which kind the tokens of a role are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// As the mount says.
    #[default]
    Default,
    /// Stored, revocable.
    Service,
    /// Not stored.
    Batch,
}

/// The fields as sent; only supplied ones change anything.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct TokenInput {
    /// How long a token lives unless renewed. Default: the mount's.
    pub token_ttl: Option<SignedSeconds>,
    /// The longest a token lives, renewals included. Default: the mount's.
    pub token_max_ttl: Option<SignedSeconds>,
    /// A maximum that holds for periodic tokens as well. Default: none.
    pub token_explicit_max_ttl: Option<SignedSeconds>,
    /// Makes tokens periodic: each renewal gives this much, without a maximum.
    pub token_period: Option<SignedSeconds>,
    /// Policies of the tokens.
    pub token_policies: Option<CommaList>,
    /// Leaves the policy `default` out.
    pub token_no_default_policy: Option<Flag>,
    /// Addresses and blocks of them the tokens may be used from. Default: all.
    pub token_bound_cidrs: Option<CommaList>,
    /// How often a token can be used. Default: without limit.
    pub token_num_uses: Option<Int>,
    /// `service`, `batch` or `default`.
    pub token_type: Option<Text>,
}

impl TokenFields {
    /// Takes over what was supplied. Returns warnings for the caller. After an error nothing is sure of `self`.
    ///
    /// # Errors
    /// 400 in the words of the spec.
    pub fn merge(&mut self, input: &TokenInput) -> Result<Vec<String>, ApiError> {
        let mut warnings = Vec::new();
        if let Some(texts) = &input.token_bound_cidrs {
            self.bound_cidrs = bound_cidrs(texts)?;
        }
        let durations = [
            ("token_explicit_max_ttl", input.token_explicit_max_ttl, &mut self.explicit_max_ttl),
            ("token_max_ttl", input.token_max_ttl, &mut self.max_ttl),
            ("token_period", input.token_period, &mut self.period),
            ("token_ttl", input.token_ttl, &mut self.ttl),
        ];
        for (name, supplied, field) in durations {
            if let Some(supplied) = supplied {
                *field = supplied.ttl().ok_or_else(|| negative(name))?;
            }
        }
        if let Some(flag) = &input.token_no_default_policy {
            self.no_default_policy = **flag;
        }
        if let Some(policies) = &input.token_policies {
            self.policies.clone_from(policies);
        }
        if let Some(text) = &input.token_type {
            let (kind, warning) = TokenType::parse(text)?;
            self.kind = kind;
            warnings.extend(warning);
        }
        if let Some(uses) = &input.token_num_uses {
            self.num_uses = u64::try_from(**uses).map_err(|_| negative("token_num_uses"))?;
        }
        self.check()?;
        Ok(warnings)
    }

    /// Whether the fields go together.
    ///
    /// # Errors
    /// 400 in the words of the spec.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.kind == TokenType::Batch && !self.period.is_zero() {
            return Err(not_batch("periodic tokens"));
        }
        if self.kind == TokenType::Batch && self.num_uses > 0 {
            return Err(not_batch("tokens with limited use count"));
        }
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return Err(ApiError::invalid("'token_ttl' cannot be greater than 'token_max_ttl'"));
        }
        Ok(())
    }

    /// As the API shows them.
    pub fn shown(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            // Texts and numbers can always be written.
            _ => Map::new(),
        }
    }

    /// A token of this role, without what the method knows of who logged in.
    pub fn grant(&self) -> Grant {
        Grant {
            policies: self.policies.clone(),
            no_default_policy: self.no_default_policy,
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            num_uses: self.num_uses,
            token_type: self.kind.into(),
            renewable: true,
            bound_cidrs: self.bound_cidrs.iter().copied().map(Into::into).collect(),
            ..Grant::default()
        }
    }

    /// What renewing a token of this role gives now.
    pub fn renewal(&self) -> TokenRenewal {
        TokenRenewal { ttl: self.ttl, max_ttl: self.max_ttl, period: self.period, is_nothing: false }
    }
}

impl TokenType {
    /// Reads a kind. Kinds that mean something for mounts only become the nearest one, with a warning (spec `approle.md` §3).
    fn parse(text: &str) -> Result<(Self, Option<String>), ApiError> {
        let adjusted = |to: &str| Some(format!("default-{to} has no useful meaning; adjusting to {to}"));
        match text {
            "" | "default" => Ok((Self::Default, None)),
            "service" => Ok((Self::Service, None)),
            "batch" => Ok((Self::Batch, None)),
            "default-service" => Ok((Self::Service, adjusted("service"))),
            "default-batch" => Ok((Self::Batch, adjusted("batch"))),
            other => Err(ApiError::invalid(format!("invalid 'token_type' value {other:?}"))),
        }
    }
}

impl From<TokenType> for GrantType {
    fn from(kind: TokenType) -> Self {
        match kind {
            TokenType::Default => Self::Default,
            TokenType::Service => Self::Service,
            TokenType::Batch => Self::Batch,
        }
    }
}

/// Reads `token_bound_cidrs`.
///
/// # Errors
/// 400 that names the field.
pub fn bound_cidrs(texts: &[String]) -> Result<Vec<IpNet>, ApiError> {
    cidr::blocks_or_addresses(texts).map_err(|error| ApiError::invalid(format!("failed to parse token_bound_cidrs: {error}")))
}

/// Takes over a field that has an old name. Of the old name alone both are set, and both are shown from then on; the new name
/// wins, and what the old one shows follows it when both are supplied, else it is cleared. The new one was merged before.
pub fn renamed<T: Clone + Default>(old: Option<T>, is_new_supplied: bool, old_field: &mut T, new_field: &mut T) {
    match (old, is_new_supplied) {
        (Some(old), false) => {
            *old_field = old.clone();
            *new_field = old;
        }
        (Some(_), true) => old_field.clone_from(new_field),
        (None, true) => *old_field = T::default(),
        (None, false) => {}
    }
}

/// Policy names in lower case, in order, each once, as the old name of the field wants them.
pub fn sanitized(policies: &[String]) -> Vec<String> {
    let mut names: Vec<String> = policies.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    names
}

fn negative(field: &str) -> ApiError {
    ApiError::invalid(format!("'{field}' cannot be negative"))
}

fn not_batch(what: &str) -> ApiError {
    ApiError::invalid(format!("'token_type' cannot be 'batch' or 'default_batch' when set to generate {what}"))
}

/// Blocks as texts, in records and replies.
mod texts {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{IpNet, cidr};

    pub(super) fn serialize<S: Serializer>(blocks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(blocks.iter().map(cidr::shown))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        cidr::blocks_or_addresses(&Vec::<String>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(value: Value) -> TokenInput {
        serde_json::from_value(value).unwrap()
    }

    fn refused(value: Value) -> String {
        TokenFields::default().merge(&input(value)).unwrap_err().text
    }

    #[test]
    fn nothing_supplied_reads_as_the_defaults() {
        let expected = json!({
            "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0, "token_no_default_policy": false,
            "token_num_uses": 0, "token_period": 0, "token_policies": [], "token_ttl": 0, "token_type": "default",
        });
        assert_eq!(Value::Object(TokenFields::default().shown()), expected);
    }

    #[test]
    fn only_supplied_fields_change() {
        let mut fields = TokenFields::default();
        let first = json!({ "token_ttl": "1h", "token_policies": "b,a", "token_bound_cidrs": "127.0.0.1/32, 10.0.0.0/8" });
        assert_eq!(fields.merge(&input(first)).unwrap(), [""; 0]);
        fields.merge(&input(json!({ "token_max_ttl": 7200, "token_num_uses": "3" }))).unwrap();
        let shown = fields.shown();
        assert_eq!(shown["token_ttl"], json!(3600));
        assert_eq!(shown["token_max_ttl"], json!(7200));
        assert_eq!(shown["token_policies"], json!(["b", "a"]));
        assert_eq!(shown["token_bound_cidrs"], json!(["127.0.0.1", "10.0.0.0/8"]));
        assert_eq!(shown["token_num_uses"], json!(3));
    }

    #[test]
    fn a_record_reads_back_as_it_was() {
        let mut fields = TokenFields::default();
        let all = json!({
            "token_ttl": "1h", "token_max_ttl": "2h", "token_explicit_max_ttl": "3h", "token_period": "4h", "token_policies": "a",
            "token_no_default_policy": true, "token_bound_cidrs": ["10.0.0.1", "fd00::/8"], "token_num_uses": 5,
            "token_type": "service",
        });
        fields.merge(&input(all)).unwrap();
        let text = serde_json::to_string(&fields).unwrap();
        assert_eq!(serde_json::from_str::<TokenFields>(&text).unwrap(), fields);
        assert_eq!(serde_json::from_str::<TokenFields>("{}").unwrap(), TokenFields::default());
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_the_known_words() {
        for (value, text) in [
            (json!({ "token_ttl": -1 }), "'token_ttl' cannot be negative"),
            (json!({ "token_max_ttl": "-1s" }), "'token_max_ttl' cannot be negative"),
            (json!({ "token_period": -1 }), "'token_period' cannot be negative"),
            (json!({ "token_num_uses": -1 }), "'token_num_uses' cannot be negative"),
            (json!({ "token_ttl": 2, "token_max_ttl": 1 }), "'token_ttl' cannot be greater than 'token_max_ttl'"),
            (json!({ "token_type": "x" }), "invalid 'token_type' value \"x\""),
            (json!({ "token_bound_cidrs": "x" }), "failed to parse token_bound_cidrs: invalid address: x"),
            (
                json!({ "token_type": "batch", "token_period": 1 }),
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
            ),
            (
                json!({ "token_type": "batch", "token_num_uses": 1 }),
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
            ),
        ] {
            assert_eq!(refused(value), text);
        }
    }

    #[test]
    fn kinds_of_mounts_are_adjusted_with_a_warning() {
        let mut fields = TokenFields::default();
        let warnings = fields.merge(&input(json!({ "token_type": "default-batch" }))).unwrap();
        assert_eq!(warnings, ["default-batch has no useful meaning; adjusting to batch"]);
        assert_eq!(fields.kind, TokenType::Batch);
        let warnings = fields.merge(&input(json!({ "token_type": "default-service" }))).unwrap();
        assert_eq!(warnings, ["default-service has no useful meaning; adjusting to service"]);
        assert_eq!(fields.shown()["token_type"], json!("service"));
    }

    #[test]
    fn an_old_name_sets_both_and_a_new_one_wins() {
        let run = |old: Option<u64>, new: Option<u64>| {
            let (mut old_field, mut new_field) = (7, new.unwrap_or(7));
            renamed(old, new.is_some(), &mut old_field, &mut new_field);
            (old_field, new_field)
        };
        assert_eq!(run(Some(1), None), (1, 1));
        assert_eq!(run(Some(1), Some(2)), (2, 2));
        assert_eq!(run(None, Some(2)), (0, 2));
        assert_eq!(run(None, None), (7, 7));
    }

    #[test]
    fn old_policies_are_put_in_order() {
        let names = ["B", " a", "b", ""].map(str::to_owned);
        assert_eq!(sanitized(&names), ["a", "b"]);
    }
}
