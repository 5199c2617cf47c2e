//! Making tokens: may the caller, and what does he get (spec `tokens.md` §4). Core makes the token when it settles the
//! reply.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::time::parse_nanos;
use crate::base::{Secret, Ttl};
use crate::mount::field::{Flag, Int, Pairs, SecretText, Text, TextList};
use crate::mount::{Alias, ApiError, Creation, Ctx, Grant, GrantType, Origin, Reply, TokenTypeRule};
use crate::policy::builtin::ROOT;
use crate::token::{TokenInfo, TokenKind};

use super::policies::{Wanted, resolve};
use super::role::Role;
use super::{TokenAuth, has_sudo, of_token};

/// Body of `create`, `create-orphan` and `create/{role_name}`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CreateInput {
    /// Name of the role.
    role_name: Option<Text>,
    /// The token itself; needs `sudo`.
    #[serde(default)]
    id: SecretText,
    /// Its policies. Without them it gets those of its parent.
    #[serde(default)]
    policies: TextList,
    /// Shown with the token, and in the audit log.
    meta: Option<Pairs>,
    /// It ends with no other; needs `sudo`.
    #[serde(default)]
    no_parent: Flag,
    /// Without the policy `default`.
    #[serde(default)]
    no_default_policy: Flag,
    /// Whether it can be renewed. Default: true.
    renewable: Option<Flag>,
    /// How long it lives unless renewed.
    #[serde(default)]
    ttl: Text,
    /// Deprecated: `ttl`.
    #[serde(default)]
    lease: Text,
    /// `service` or `batch`.
    #[serde(default, rename = "type")]
    kind: Text,
    /// How long it lives at most, renewals included.
    #[serde(default)]
    explicit_max_ttl: Text,
    /// For people.
    #[serde(default)]
    display_name: Text,
    /// How often it can be used; 0: without limit.
    #[serde(default)]
    num_uses: Int,
    /// Each renewal gives this, without end; needs `sudo`.
    #[serde(default)]
    period: Text,
    /// Whose token it is, by the name of an alias; with a role only.
    #[serde(default)]
    entity_alias: Text,
}

/// Whom a created token hangs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hanging {
    OnCaller,
    OnNobody,
}

/// How long a created token lives.
struct Life {
    ttl: Ttl,
    explicit_max_ttl: Ttl,
    period: Ttl,
}

impl TokenAuth {
    pub(super) async fn create(self: Arc<Self>, cx: Ctx, input: CreateInput) -> Result<Reply, ApiError> {
        self.make(&cx, input, None, Hanging::OnCaller).await
    }

    pub(super) async fn create_orphan(self: Arc<Self>, cx: Ctx, input: CreateInput) -> Result<Reply, ApiError> {
        self.make(&cx, input, None, Hanging::OnNobody).await
    }

    pub(super) async fn create_with_role(self: Arc<Self>, cx: Ctx, input: CreateInput) -> Result<Reply, ApiError> {
        let name = input.role_name.clone().unwrap_or_default().0;
        let caller = caller(&cx)?;
        check_caller(caller)?;
        let role = self.role(&name).await?.ok_or_else(|| ApiError::invalid(format!("unknown role {name}")))?;
        self.make(&cx, input, Some(role), Hanging::OnCaller).await
    }

    /// The checks, in the order of the spec.
    async fn make(&self, cx: &Ctx, input: CreateInput, role: Option<Role>, hanging: Hanging) -> Result<Reply, ApiError> {
        let caller = caller(cx)?;
        check_caller(caller)?;
        let role = role.as_ref();
        let has_sudo = has_sudo(cx);
        let mut warnings = Vec::new();

        let kind = kind(&input.kind, role)?;
        let is_batch = kind == GrantType::Batch;
        if is_batch {
            check_batch(&input)?;
        }
        let num_uses = u64::try_from(input.num_uses.0).map_err(|_| ApiError::invalid("number of uses cannot be negative"))?;
        check_alias(&input.entity_alias, role)?;
        let id = self.chosen_id(input.id.0.clone(), has_sudo, &mut warnings).await?;
        let wanted = Wanted {
            names: &input.policies,
            no_default: input.no_default_policy.0,
            role,
            parent: &caller.policies,
            has_sudo,
            is_batch,
        };
        let policies = resolve(&wanted).map_err(ApiError::invalid)?;
        self.note_missing(&policies, &mut warnings).await?;
        let is_orphan = hanging == Hanging::OnNobody || role.is_some_and(|role| role.orphan);
        if input.no_parent.0 && !is_orphan && !has_sudo {
            return Err(ApiError::invalid("root or sudo privileges required to create orphan token"));
        }
        let is_orphan = is_orphan || input.no_parent.0;
        let mut life = life(&input, has_sudo)?;
        let mut renewable = input.renewable.is_none_or(|renewable| renewable.0) && role.is_none_or(|role| role.renewable);
        if is_batch {
            (life.explicit_max_ttl, life.period, renewable) = (Ttl::ZERO, Ttl::ZERO, false);
        } else if let Some(role) = role {
            life.merge(role, &mut warnings);
        }
        let is_endless = life.ttl.is_zero()
            && life.period.is_zero()
            && life.explicit_max_ttl.is_zero()
            && matches!(policies.as_slice(), [name] if name == ROOT);
        if is_endless && caller.end.is_some() {
            return Err(ApiError::invalid("expiring root tokens cannot create non-expiring root tokens"));
        }
        let bound_cidrs = match role {
            _ if is_endless => Vec::new(),
            Some(role) if !role.token_bound_cidrs.is_empty() => role.token_bound_cidrs.clone(),
            _ if is_orphan => Vec::new(),
            _ => caller.bound_cidrs.clone(),
        };
        let has_alias = !input.entity_alias.is_empty();
        let creation = Creation {
            parent: (!is_orphan).then(|| Arc::clone(caller)),
            path: role.map_or_else(|| cx.asked.path.as_str().to_owned(), |role| role.creation_path(cx.mount.path.as_str())),
            role: role.map(|role| role.name.clone()),
            id,
            entity_id: if is_orphan || has_alias { String::new() } else { caller.entity_id.clone() },
            warnings: Vec::new(),
        };
        let grant = Grant {
            display_name: display_name(&input.display_name),
            policies,
            no_default_policy: input.no_default_policy.0,
            ttl: life.ttl,
            max_ttl: Ttl::ZERO,
            explicit_max_ttl: life.explicit_max_ttl,
            period: life.period,
            num_uses: if is_batch { 0 } else { fewer(num_uses, role.map_or(0, |role| role.token_num_uses)) },
            token_type: kind,
            renewable: renewable && !is_endless,
            bound_cidrs,
            metadata: input.meta.map(|meta| meta.0),
            alias: has_alias.then(|| Alias { name: input.entity_alias.0, ..Alias::default() }),
            origin: Origin::Created(Box::new(creation)),
            ..Grant::default()
        };
        Ok(Reply::login(grant).warn_all(warnings))
    }

    /// A token may have policies that are written later.
    async fn note_missing(&self, policies: &[String], warnings: &mut Vec<String>) -> Result<(), ApiError> {
        for name in policies {
            if !self.policies.exists(name).await? {
                warnings.push(format!("Policy {name:?} does not exist"));
            }
        }
        Ok(())
    }

    async fn chosen_id(
        &self,
        id: Secret<String>,
        has_sudo: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Secret<String>>, ApiError> {
        let text = id.expose();
        if text.is_empty() {
            return Ok(None);
        }
        let refused = if !has_sudo {
            Some("root or sudo privileges required to specify token id")
        } else if text.starts_with("hvs.") {
            Some("custom token ID cannot have the 'hvs.' prefix")
        } else if text.starts_with("s.") {
            Some("custom token ID cannot have the 's.' prefix")
        } else if text.contains('.') {
            Some("custom token ID cannot have a '.' in the value")
        } else if text.len() > LONGEST_ID {
            Some("custom token ID is too long")
        } else if self.tokens.exists(&self.tokens.key(text)).await.map_err(of_token)? {
            Some("cannot create a token with a duplicate ID")
        } else {
            None
        };
        if let Some(text) = refused {
            return Err(ApiError::invalid(text));
        }
        warnings.push(CHOSEN.to_owned());
        Ok(Some(id))
    }
}

impl Life {
    /// The lesser of what was asked for and what the role says.
    fn merge(&mut self, role: &Role, warnings: &mut Vec<String>) {
        let settings = [
            ("Explicit max TTL", &mut self.explicit_max_ttl, role.token_explicit_max_ttl),
            ("Period", &mut self.period, role.token_period),
        ];
        for (name, asked, of_role) in settings {
            if of_role.is_zero() {
                continue;
            }
            if asked.is_zero() {
                *asked = of_role;
                continue;
            }
            *asked = of_role.min(*asked);
            let seconds = asked.as_seconds();
            warnings.push(format!(
                "{name} specified both during creation call and in role; using the lesser value of {seconds} seconds"
            ));
        }
    }
}

fn caller(cx: &Ctx) -> Result<&Arc<TokenInfo>, ApiError> {
    cx.caller.token.as_ref().ok_or_else(|| ApiError::invalid("parent token lookup failed: no parent found"))
}

fn check_caller(caller: &TokenInfo) -> Result<(), ApiError> {
    if caller.kind == TokenKind::Batch {
        return Err(ApiError::invalid("batch tokens cannot create more tokens"));
    }
    if caller.is_limited() {
        return Err(ApiError::invalid("restricted use token cannot generate child tokens"));
    }
    Ok(())
}

/// A role may leave the choice to the request, or not.
fn kind(asked: &str, role: Option<&Role>) -> Result<GrantType, ApiError> {
    let asked = match asked {
        "" => None,
        "service" => Some(GrantType::Service),
        "batch" => Some(GrantType::Batch),
        _ => return Err(ApiError::invalid("invalid 'token_type' value")),
    };
    Ok(match role.map(|role| role.token_type) {
        Some(TokenTypeRule::Service) => GrantType::Service,
        Some(TokenTypeRule::Batch) => GrantType::Batch,
        Some(TokenTypeRule::DefaultBatch) => asked.unwrap_or(GrantType::Batch),
        Some(TokenTypeRule::DefaultService) | None => asked.unwrap_or(GrantType::Service),
    })
}

fn check_batch(input: &CreateInput) -> Result<(), ApiError> {
    let is_set = |text: &str| !text.is_empty() && parse_nanos(text) != Ok(0);
    let set = [
        (is_set(&input.explicit_max_ttl), "explicit_max_ttl"),
        (input.num_uses.0 != 0, "num_uses"),
        (is_set(&input.period), "period"),
    ];
    match set.into_iter().find(|(is_set, _)| *is_set) {
        Some((_, field)) => Err(ApiError::invalid(format!("batch tokens cannot have {field:?} set"))),
        None => Ok(()),
    }
}

fn check_alias(alias: &str, role: Option<&Role>) -> Result<(), ApiError> {
    if alias.is_empty() {
        return Ok(());
    }
    let role = role.ok_or_else(|| ApiError::invalid("'entity_alias' is only allowed in combination with token role"))?;
    if role.allows_alias(alias) { Ok(()) } else { Err(ApiError::invalid("invalid 'entity_alias' value")) }
}

fn life(input: &CreateInput, has_sudo: bool) -> Result<Life, ApiError> {
    let explicit_max_ttl = duration("explicit_max_ttl", &input.explicit_max_ttl)?;
    let period = duration("period", &input.period)?;
    if !period.is_zero() && !has_sudo {
        return Err(ApiError::invalid("root or sudo privileges required to create periodic token"));
    }
    let ttl = if input.ttl.is_empty() { duration("lease", &input.lease)? } else { duration("ttl", &input.ttl)? };
    Ok(Life { ttl, explicit_max_ttl, period })
}

fn duration(field: &str, text: &str) -> Result<Ttl, ApiError> {
    if text.is_empty() {
        return Ok(Ttl::ZERO);
    }
    let nanos = parse_nanos(text).map_err(|error| ApiError::invalid(error.to_string()))?;
    if nanos < 0 {
        return Err(ApiError::invalid(format!("{field} must be positive")));
    }
    Ok(Ttl::seconds(u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX)))
}

/// The lesser of two numbers of which zero means "no limit".
fn fewer(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, limit) | (limit, 0) => limit,
        (one, other) => one.min(other),
    }
}

fn display_name(asked: &str) -> String {
    if asked.is_empty() {
        return "token".to_owned();
    }
    let clean: String = asked.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("token-{clean}").trim_end_matches('-').to_owned()
}

/// Bytes of a chosen token.
const LONGEST_ID: usize = 4096;

/// Clients look for the first words (spec `tokens.md` §4).
const CHOSEN: &str = "Supplying a custom ID for the token uses the weaker SHA1 hashing in some servers of this API. This one \
                      keeps an HMAC-SHA256 of it, but a chosen ID is only as hard to guess as it was chosen to be.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_hold_letters_digits_and_dashes() {
        assert_eq!(display_name(""), "token");
        assert_eq!(display_name("my tool/1"), "token-my-tool-1");
        assert_eq!(display_name("ci!"), "token-ci");
    }

    #[test]
    fn durations_are_texts_of_whole_seconds() {
        assert_eq!(duration("ttl", "1h").unwrap(), Ttl::hours(1));
        assert_eq!(duration("ttl", "300").unwrap(), Ttl::seconds(300));
        assert_eq!(duration("ttl", "").unwrap(), Ttl::ZERO);
        assert_eq!(duration("lease", "-1h").unwrap_err().text, "lease must be positive");
        assert_eq!(duration("ttl", "abc").unwrap_err().text, "time: invalid duration \"abc\"");
    }

    #[test]
    fn the_lesser_number_of_uses_counts() {
        assert_eq!([fewer(0, 0), fewer(3, 0), fewer(0, 4), fewer(3, 4)], [0, 3, 4, 3]);
    }
}
