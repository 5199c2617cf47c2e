//! What a rule gives, how the rules of one path become one, and what it asks of a request (spec `policies.md` §2, §4).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use crate::base::Ttl;

use super::{Ask, Capabilities, Operation};

/// Values by parameter; an empty list stands for any value.
pub(super) type Parameters = BTreeMap<String, Vec<Value>>;

/// What the rules of one path give together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grants {
    pub(super) capabilities: Capabilities,
    /// Zero: none.
    pub(super) min_wrapping_ttl: Ttl,
    /// Zero: none.
    pub(super) max_wrapping_ttl: Ttl,
    /// Keys in lower case, as in the next two.
    pub(super) allowed: Parameters,
    pub(super) denied: Parameters,
    pub(super) required: BTreeSet<String>,
}

impl Grants {
    /// Access to nothing.
    fn deny() -> Self {
        Self { capabilities: Capabilities::DENY, ..Self::default() }
    }

    /// Takes in another rule for the same path. `deny` of either leaves nothing else.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.capabilities.holds(Capabilities::DENY) || other.capabilities.holds(Capabilities::DENY) {
            *self = Self::deny();
            return;
        }
        self.capabilities = self.capabilities.or(other.capabilities);
        self.min_wrapping_ttl = shorter(self.min_wrapping_ttl, other.min_wrapping_ttl);
        self.max_wrapping_ttl = shorter(self.max_wrapping_ttl, other.max_wrapping_ttl);
        unite(&mut self.allowed, &other.allowed);
        unite(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
    }

    /// Whether it allows what is asked.
    pub(super) fn allow(&self, ask: &Ask<'_>) -> bool {
        self.capabilities.grants()
            && self.capabilities.holds(Capabilities::needed(ask.operation))
            && (!ask.sudo_path || self.capabilities.holds(Capabilities::SUDO))
            && self.allow_wrapping(ask.wrap_ttl)
            && (!looks_at_data(ask.operation) || self.allow_data(ask.data))
    }

    /// Either bound asks for wrapping.
    fn allow_wrapping(&self, asked: Option<Ttl>) -> bool {
        let (min, max) = (self.min_wrapping_ttl, self.max_wrapping_ttl);
        match asked.and_then(Ttl::nonzero) {
            _ if !max.is_zero() && max < min => false,
            Some(ttl) => ttl >= min && (max.is_zero() || ttl <= max),
            None => min.is_zero() && max.is_zero(),
        }
    }

    fn allow_data(&self, data: Option<&Map<String, Value>>) -> bool {
        if !self.required.iter().all(|key| data.is_some_and(|data| data.contains_key(key))) {
            return false;
        }
        let Some(data) = data.filter(|data| !data.is_empty()) else { return true };
        if self.denied.contains_key("*") {
            return false;
        }
        let any = self.allowed.is_empty() || self.allowed.contains_key("*");
        data.iter().all(|(key, value)| {
            let key = lower(key);
            let denied = self.denied.get(&*key).is_some_and(|values| listed(values, value));
            let allowed = self.allowed.get(&*key).map_or(any, |values| listed(values, value));
            !denied && (allowed || self.allows_everything())
        })
    }

    /// Only `*` is allowed, whatever its values.
    fn allows_everything(&self) -> bool {
        self.allowed.len() == 1 && self.allowed.contains_key("*")
    }
}

/// Lists and deletions carry no parameters.
fn looks_at_data(operation: Operation) -> bool {
    matches!(operation, Operation::Read | Operation::Create | Operation::Update | Operation::Patch)
}

/// The smaller one that is set.
fn shorter(one: Ttl, other: Ttl) -> Ttl {
    match (one.nonzero(), other.nonzero()) {
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other).unwrap_or(Ttl::ZERO),
    }
}

/// "Any value" on either side stays so.
pub(super) fn unite(ours: &mut Parameters, theirs: &Parameters) {
    for (key, values) in theirs {
        match ours.get_mut(key) {
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values.iter().cloned()),
            None => drop(ours.insert(key.clone(), values.clone())),
        }
    }
}

fn lower(key: &str) -> Cow<'_, str> {
    if key.chars().any(char::is_uppercase) { Cow::Owned(key.to_lowercase()) } else { Cow::Borrowed(key) }
}

/// Whether a value is among those of a policy; an empty list holds every value.
fn listed(values: &[Value], asked: &Value) -> bool {
    values.is_empty() || values.iter().any(|value| fits(value, asked))
}

fn fits(policy: &Value, asked: &Value) -> bool {
    match (policy, asked) {
        (Value::String(pattern), Value::String(text)) => globs(pattern, text),
        _ => same(policy, asked),
    }
}

/// `*` stands for anything at the start and at the end, and for itself elsewhere.
fn globs(pattern: &str, text: &str) -> bool {
    let (rest, open_start) = pattern.strip_prefix('*').map_or((pattern, false), |rest| (rest, true));
    let (middle, open_end) = rest.strip_suffix('*').map_or((rest, false), |rest| (rest, true));
    match (open_start, open_end) {
        (true, true) => text.contains(middle),
        (true, false) => text.ends_with(middle),
        (false, true) => text.starts_with(middle),
        (false, false) => text == middle,
    }
}

/// Equal in type and value; as deep as the policy's value goes, which is bounded.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

/// `1`, `1.0` and `1e0` are one number, so that no spelling passes a denied value.
fn same_number(one: &Number, other: &Number) -> bool {
    if one == other {
        return true;
    }
    match (one.as_f64(), other.as_f64()) {
        // Beyond 2^53 a float stands for several whole numbers; texts decide there.
        (Some(one), Some(other)) => one.partial_cmp(&other) == Some(Ordering::Equal) && one.abs() < 9_007_199_254_740_992.0,
        _ => false,
    }
}
