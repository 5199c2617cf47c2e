//! The text of a policy to rules (spec `policies.md` §1). Error texts are part of the API.

use std::sync::Arc;

use crate::base::Ttl;
use crate::base::hcl::{self, Block, Body, Value};

use super::Capabilities;
use super::grants::{Grants, Parameters, unite};
use super::pattern::Pattern;
use super::template;

/// A parsed policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name, in lower case.
    pub name: Arc<str>,
    /// Its rules, in the order they were written.
    pub rules: Vec<PathRule>,
    /// What the author should know of, for the reply to a write.
    pub warnings: Vec<String>,
}

/// The rule of one path.
#[derive(Clone, Debug)]
pub struct PathRule {
    /// As it was written.
    pub path: String,
    pub(super) place: Place,
    pub(super) grants: Arc<Grants>,
}

/// Which paths a rule is about.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The same for every token.
    Fixed(Pattern),
    /// Depends on the token's entity.
    Templated,
}

/// Why a text is no policy, in the words of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse policy: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// Reads a policy. The text is HCL or JSON, not base64.
    ///
    /// # Errors
    /// With the text the API answers with.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let document = hcl::parse(text).map_err(|error| PolicyError(error.to_string()))?;
        check_keys(&document, &["name", "path"], "")?;
        let blocks = document.blocks("path", 1).map_err(|error| PolicyError(error.to_string()))?;
        let mut warnings = Vec::new();
        let rules = blocks.iter().map(|block| rule(block, &mut warnings)).collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), rules, warnings })
    }

    /// Whether its rules depend on the token's entity.
    pub fn is_templated(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.place, Place::Templated))
    }
}

fn rule(block: &Block<'_>, warnings: &mut Vec<String>) -> Result<PathRule, PolicyError> {
    let path = block.labels.last().copied().unwrap_or_default();
    check_keys(block.body, &KEYS, &format!("path {path:?}: "))?;
    let mut reader = Reader { path, body: block.body, warnings };
    let place = match template::is_templated(path) {
        Err(template::Unbalanced) => {
            return Err(PolicyError("failed to validate policy templating: unbalanced templating characters".to_owned()));
        }
        Ok(true) if !path.contains("+*") => Place::Templated,
        Ok(_) => Place::Fixed(Pattern::parse(path).map_err(|_| reader.error("invalid use of wildcards ('+*' is forbidden)"))?),
    };
    let mut capabilities = reader.legacy()?;
    if !capabilities.holds(Capabilities::DENY) {
        capabilities = capabilities.or(reader.capabilities()?);
    }
    let mut grants = Grants {
        capabilities,
        min_wrapping_ttl: reader.wrapping("min_wrapping_ttl")?,
        max_wrapping_ttl: reader.wrapping("max_wrapping_ttl")?,
        allowed: reader.parameters("allowed_parameters")?,
        denied: reader.parameters("denied_parameters")?,
        required: reader.texts("required_parameters")?.iter().map(|key| key.to_lowercase()).collect(),
    };
    if !grants.max_wrapping_ttl.is_zero() && grants.max_wrapping_ttl < grants.min_wrapping_ttl {
        return Err(PolicyError("max_wrapping_ttl cannot be less than min_wrapping_ttl".to_owned()));
    }
    reader.enterprise()?;
    if capabilities.holds(Capabilities::DENY) {
        grants = Grants { capabilities: Capabilities::DENY, ..Grants::default() };
    }
    Ok(PathRule { path: path.to_owned(), place, grants: Arc::new(grants) })
}

/// All keys that are not known, as one error; of very many the first.
fn check_keys(body: &Body, known: &[&str], prefix: &str) -> Result<(), PolicyError> {
    let unknown: Vec<_> = body.items().iter().filter(|item| !known.contains(&item.key.as_str())).collect();
    let mut lines = String::new();
    for item in &unknown {
        if lines.len() < LONGEST_LIST {
            lines.extend([format!("\t* {prefix}invalid key {:?} on line {}\n", item.key, item.line)]);
        }
    }
    match unknown.len() {
        0 => Ok(()),
        1 => Err(PolicyError(format!("1 error occurred:\n{lines}\n"))),
        count => Err(PolicyError(format!("{count} errors occurred:\n{lines}\n"))),
    }
}

/// Reads the attributes of one rule.
struct Reader<'a> {
    path: &'a str,
    body: &'a Body,
    warnings: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    fn error(&self, what: impl std::fmt::Display) -> PolicyError {
        PolicyError(format!("path {:?}: {what}", self.path))
    }

    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("path {:?}: {what}", self.path));
    }

    /// Every value of a key.
    fn all(&self, key: &'a str) -> Vec<&'a Value> {
        self.body.all(key).map(|item| &item.value).collect()
    }

    /// The value that counts of a key that takes one.
    fn last(&mut self, key: &'a str) -> Option<&'a Value> {
        let values = self.all(key);
        if values.len() > 1 {
            self.warn(&format!("{key:?} is given {} times; the last one counts", values.len()));
        }
        values.last().copied()
    }

    /// The texts of a key that takes a list.
    fn texts(&mut self, key: &'a str) -> Result<Vec<String>, PolicyError> {
        let values = self.all(key);
        let mut out = Vec::new();
        for value in &values {
            let texts = matches!(value, Value::List(_)).then(|| value.to_texts()).flatten();
            out.extend(texts.ok_or_else(|| self.error(format!("{key:?} must be a list of texts")))?);
        }
        if values.len() > 1 {
            self.warn(&format!("{key:?} is given {} times; the lists were united", values.len()));
        }
        Ok(out)
    }

    /// `policy = "write"`, from before there were capabilities.
    fn legacy(&mut self) -> Result<Capabilities, PolicyError> {
        use Capabilities as C;
        let Some(value) = self.last("policy") else { return Ok(C::NONE) };
        let text = value.to_text().ok_or_else(|| self.error("\"policy\" must be a text"))?;
        let read = C::READ.or(C::LIST);
        let write = read.or(C::CREATE).or(C::UPDATE).or(C::DELETE);
        match text.as_str() {
            "" => Ok(C::NONE),
            "deny" => Ok(C::DENY),
            "read" => Ok(read),
            "write" => Ok(write),
            "sudo" => Ok(write.or(C::SUDO)),
            _ => Err(self.error(format!("invalid policy {text:?}"))),
        }
    }

    /// `deny` overrides the others, whatever they are.
    fn capabilities(&mut self) -> Result<Capabilities, PolicyError> {
        let mut found = Capabilities::NONE;
        for name in self.texts("capabilities")? {
            let capability = Capabilities::named(&name).ok_or_else(|| self.error(format!("invalid capability {name:?}")))?;
            if capability == Capabilities::DENY {
                return Ok(capability);
            }
            found = found.or(capability);
        }
        Ok(found)
    }

    /// Lists of values by parameter.
    fn parameters(&mut self, key: &'a str) -> Result<Parameters, PolicyError> {
        let values = self.all(key);
        let mut found = Parameters::new();
        for object in values.iter().flat_map(|value| value.as_list()) {
            let Some(body) = object.as_object() else {
                return Err(self.error(format!("{key:?} must be a map of lists")));
            };
            for item in body.items() {
                let (Value::List(list), true) = (&item.value, item.labels.is_empty()) else {
                    return Err(self.error(format!("{key:?}: the value of {:?} must be a list", item.key)));
                };
                let name = item.key.to_lowercase();
                if found.contains_key(&name) {
                    self.warn(&format!("{:?} is given more than once in {key:?}; the lists were united", item.key));
                }
                unite(&mut found, &Parameters::from([(name, list.iter().map(Value::to_json).collect())]));
            }
        }
        if values.len() > 1 {
            self.warn(&format!("{key:?} is given {} times; the maps were united", values.len()));
        }
        Ok(found)
    }

    /// Zero when not given.
    fn wrapping(&mut self, key: &'a str) -> Result<Ttl, PolicyError> {
        let ttl = self.last(key).map_or(Ok(Ttl::ZERO), Value::to_ttl);
        ttl.map_err(|error| PolicyError(format!("error parsing {key}: {error}")))
    }

    /// What only the enterprise edition acts on: checked for form, and said to be without effect.
    fn enterprise(&mut self) -> Result<(), PolicyError> {
        if self.body.get("mfa_methods").is_some() {
            self.texts("mfa_methods")?;
            self.warn("\"mfa_methods\" has no effect");
        }
        if self.body.get("control_group").is_some() {
            for group in self.body.blocks("control_group", 0).map_err(|error| self.error(error))? {
                check_control_group(group.body).map_err(|error| self.error(error))?;
            }
            self.warn("\"control_group\" has no effect");
        }
        if self.body.get("subscribe_event_types").is_some() {
            self.texts("subscribe_event_types")?;
            self.warn("\"subscribe_event_types\" has no effect");
        }
        Ok(())
    }
}

/// Factors with a group of identities and a number of approvals (spec `policies.md` §10).
fn check_control_group(body: &Body) -> Result<(), String> {
    let factors = body.blocks("factor", 1).map_err(|error| error.to_string())?;
    if factors.is_empty() {
        return Err("no control group factors provided".to_owned());
    }
    for factor in factors {
        let identities = factor.body.blocks("identity", 0).map_err(|error| error.to_string())?;
        let Some(identity) = identities.last() else { return Err("no control_group factor provided".to_owned()) };
        let has_groups = |key| identity.body.get(key).is_some_and(|item| !item.value.as_list().is_empty());
        let approvals = identity.body.get("approvals").and_then(|item| item.value.to_int()).unwrap_or(0);
        if !(has_groups("group_ids") || has_groups("group_names")) || approvals < 1 {
            return Err("must provide more than one identity group and approvals > 0".to_owned());
        }
    }
    Ok(())
}

/// Bytes after which a list of errors is cut: enough for a hundred, which nobody reads.
const LONGEST_LIST: usize = 8 * 1024;

/// What a rule may hold.
const KEYS: [&str; 11] = [
    "allowed_parameters",
    "capabilities",
    "comment",
    "control_group",
    "denied_parameters",
    "max_wrapping_ttl",
    "mfa_methods",
    "min_wrapping_ttl",
    "policy",
    "required_parameters",
    "subscribe_event_types",
];

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
