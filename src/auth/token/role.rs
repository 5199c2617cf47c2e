//! A role of the token store: what tokens made with it are like.

use serde::{Deserialize, Serialize};

use crate::base::Ttl;
use crate::mount::TokenTypeRule;
use crate::token::BoundCidr;

use super::policies::glob_matches;

/// As it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) name: String,
    #[serde(default)]
    pub(super) allowed_policies: Vec<String>,
    #[serde(default)]
    pub(super) disallowed_policies: Vec<String>,
    #[serde(default)]
    pub(super) allowed_policies_glob: Vec<String>,
    #[serde(default)]
    pub(super) disallowed_policies_glob: Vec<String>,
    #[serde(default)]
    pub(super) orphan: bool,
    pub(super) renewable: bool,
    #[serde(default)]
    pub(super) path_suffix: String,
    #[serde(default)]
    pub(super) allowed_entity_aliases: Vec<String>,
    #[serde(default)]
    pub(super) token_bound_cidrs: Vec<BoundCidr>,
    /// What was written in the old way, and is shown so.
    #[serde(default)]
    pub(super) bound_cidrs: Vec<BoundCidr>,
    #[serde(default)]
    pub(super) token_explicit_max_ttl: Ttl,
    #[serde(default)]
    pub(super) explicit_max_ttl: Ttl,
    #[serde(default)]
    pub(super) token_no_default_policy: bool,
    #[serde(default)]
    pub(super) token_num_uses: u64,
    #[serde(default)]
    pub(super) token_period: Ttl,
    #[serde(default)]
    pub(super) period: Ttl,
    #[serde(default)]
    pub(super) token_type: TokenTypeRule,
}

impl Role {
    /// One of which nothing was said.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            allowed_policies: Vec::new(),
            disallowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            allowed_entity_aliases: Vec::new(),
            token_bound_cidrs: Vec::new(),
            bound_cidrs: Vec::new(),
            token_explicit_max_ttl: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            token_no_default_policy: false,
            token_num_uses: 0,
            token_period: Ttl::ZERO,
            period: Ttl::ZERO,
            token_type: TokenTypeRule::default(),
        }
    }

    /// Whether it decides on policies at all.
    pub(super) fn limits_policies(&self) -> bool {
        let lists =
            [&self.allowed_policies, &self.disallowed_policies, &self.allowed_policies_glob, &self.disallowed_policies_glob];
        lists.iter().any(|list| !list.is_empty())
    }

    /// Whether tokens of this alias may be made with it; letter case counts for nothing.
    pub(super) fn allows_alias(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.allowed_entity_aliases.iter().any(|allowed| glob_matches(&allowed.to_lowercase(), &name))
    }

    /// The path of tokens made with it.
    pub(super) fn creation_path(&self, mount: &str) -> String {
        let path = format!("{mount}create/{}", self.name);
        if self.path_suffix.is_empty() { path } else { format!("{path}/{}", self.path_suffix) }
    }

    /// Why no batch token can be made with it, if it makes batch tokens (spec `tokens.md` §4).
    pub(super) fn batch_conflict(&self) -> Option<&'static str> {
        if self.token_type != TokenTypeRule::Batch {
            return None;
        }
        let conflicts = [
            (!self.orphan, "'token_type' cannot be 'batch' when role is set to generate non-orphan tokens"),
            (!self.token_period.is_zero(), "'token_type' cannot be 'batch' when role is set to generate periodic tokens"),
            (self.renewable, "'token_type' cannot be 'batch' when role is set to generate renewable tokens"),
            (
                !self.token_explicit_max_ttl.is_zero(),
                "'token_type' cannot be 'batch' when role is set to generate tokens with an explicit max TTL",
            ),
        ];
        conflicts.into_iter().find(|(holds, _)| *holds).map(|(_, text)| text)
    }
}
