//! `user_lockout`: how many failed logins lock a user out, and for how long.

use std::collections::BTreeMap;

use super::environment::{self, Environment};
use super::error::{ConfigError, Warning};
use super::keys;
use super::stanza::{Layers, Stanza, wrong};
use crate::base::Ttl;
use crate::base::hcl::Value;

/// What the configuration says on lockout. Above all of it stands the environment, then what is tuned at a mount
/// (spec `seal-and-barrier.md` §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockoutConfig {
    /// The environment switched it off for all (`VAULT_DISABLE_USER_LOCKOUT`), whatever mounts are tuned to.
    pub disabled_by_environment: bool,
    all: Rule,
    kinds: BTreeMap<&'static str, Rule>,
}

/// What holds for one type of auth method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// So many failed logins lock a user out.
    pub threshold: u64,
    /// For so long.
    pub duration: Ttl,
    /// Without a failed login for so long, counting starts anew.
    pub counter_reset: Ttl,
    /// Nobody is locked out.
    pub disabled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rule {
    threshold: Option<u64>,
    duration: Option<Ttl>,
    counter_reset: Option<Ttl>,
    disabled: Option<bool>,
}

impl LockoutConfig {
    /// What holds for auth methods of a type, for example `userpass`.
    pub fn of(&self, kind: &str) -> Lockout {
        let own = self.kinds.get(kind).copied().unwrap_or_default();
        Lockout {
            threshold: own.threshold.or(self.all.threshold).unwrap_or(5),
            duration: own.duration.or(self.all.duration).unwrap_or(Ttl::minutes(15)),
            counter_reset: own.counter_reset.or(self.all.counter_reset).unwrap_or(Ttl::minutes(15)),
            disabled: self.disabled_by_environment || own.disabled.or(self.all.disabled).unwrap_or(false),
        }
    }
}

pub(super) fn read(
    layers: &Layers<'_>,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Result<LockoutConfig, ConfigError> {
    let mut config = LockoutConfig::default();
    if let Some(spot) = environment::spot(environment.disable_user_lockout.as_ref(), environment::DISABLE_USER_LOCKOUT) {
        config.disabled_by_environment = environment::truth(spot, "disable_lockout")?;
    }
    for (label, stanza) in layers.blocks("user_lockout", 1)? {
        stanza.check(keys::LOCKOUT, warnings)?;
        let rule = match KINDS.iter().find(|kind| **kind == label) {
            Some(kind) => config.kinds.entry(kind).or_default(),
            None if label == "all" => &mut config.all,
            None => return Err(stanza.invalid("the types are \"all\", \"userpass\", \"ldap\" and \"approle\"")),
        };
        rule.merge(&stanza)?;
    }
    Ok(config)
}

impl Rule {
    /// Takes up what a block says.
    fn merge(&mut self, stanza: &Stanza<'_>) -> Result<(), ConfigError> {
        let above_zero = |key: &str| match stanza.ttl(key)? {
            Some(spot) if spot.value.is_zero() => Err(wrong(spot.place, key, "0", "a duration of a second or more")),
            spot => Ok(spot.map(|spot| spot.value)),
        };
        let count = |value: &Value| u64::try_from(value.to_int()?).ok().filter(|count| *count > 0);
        let threshold = stanza.read("lockout_threshold", "a whole number above zero", count)?;
        self.threshold = threshold.map(|spot| spot.value).or(self.threshold);
        self.duration = above_zero("lockout_duration")?.or(self.duration);
        self.counter_reset = above_zero("lockout_counter_reset")?.or(self.counter_reset);
        self.disabled = stanza.switch("disable_lockout")?.map(|spot| spot.value).or(self.disabled);
        Ok(())
    }
}

/// The auth methods that know users.
const KINDS: &[&str] = &["userpass", "ldap", "approle"];
