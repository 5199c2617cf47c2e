//! Password policies: how long a made password is and which characters it has (spec `sys.md` §4).
//!
//! ```text
//! length = 20
//! rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }
//! ```

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use crate::base::hcl::{self, Body, HclError};
use crate::base::{Secret, random};

/// How passwords are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    length: usize,
    rules: Vec<Rule>,
    /// The characters of all rules, each once.
    all: Vec<char>,
}

/// At least so many of these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    chars: Vec<char>,
    min: usize,
}

/// Why a text is no password policy, in the words of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordPolicyError {
    /// Not of the language, or its rules contradict each other.
    #[error("invalid password policy: {0}")]
    Invalid(String),
    /// Too short to be safe, or too long to be of use.
    #[error("passwords must be between {} and {} characters", LENGTHS.start(), LENGTHS.end())]
    Length,
}

impl PasswordPolicy {
    /// Reads a policy. The text is HCL or JSON, not base64.
    ///
    /// # Errors
    /// With the text the API answers with, before it is wrapped.
    pub fn parse(text: &str) -> Result<Self, PasswordPolicyError> {
        let (length, rules) = read(text).map_err(|error| PasswordPolicyError::Invalid(error.to_string()))?;
        let all: BTreeSet<char> = rules.iter().flat_map(|rule| rule.chars.iter().copied()).collect();
        let needed = rules.iter().fold(0_usize, |sum, rule| sum.saturating_add(rule.min));
        let mut wrong = Vec::new();
        if length < 1 {
            wrong.push("length must be > 0".to_owned());
        }
        if usize::try_from(length).unwrap_or(0) < needed {
            wrong.push(format!("specified rules require at least {needed} characters but {length} is specified"));
        }
        if all.is_empty() {
            wrong.push("no charset specified".to_owned());
        }
        if all.iter().any(|&c| !is_printable(c)) {
            wrong.push("non-printable character in charset".to_owned());
        }
        if !wrong.is_empty() {
            return Err(PasswordPolicyError::Invalid(listed(&wrong)));
        }
        let length = usize::try_from(length).ok().filter(|length| LENGTHS.contains(length));
        let length = length.ok_or(PasswordPolicyError::Length)?;
        Ok(Self { length, rules, all: all.into_iter().collect() })
    }

    /// A new password: what each rule asks for, the rest from all characters, in random order.
    pub fn generate(&self) -> Secret<String> {
        let mut chars = Zeroizing::new(Vec::with_capacity(self.length));
        for rule in &self.rules {
            chars.extend((0..rule.min).filter_map(|_| pick(&rule.chars)));
        }
        let rest = self.length.saturating_sub(chars.len());
        chars.extend((0..rest).filter_map(|_| pick(&self.all)));
        for last in (1..chars.len()).rev() {
            chars.swap(last, random::below(last + 1));
        }
        // Room for the widest characters: a text that moved while it grew would leave a copy behind.
        let mut password = String::with_capacity(4 * self.length);
        password.extend(chars.iter());
        Secret::new(password)
    }
}

fn pick(chars: &[char]) -> Option<char> {
    chars.get(random::below(chars.len())).copied()
}

/// The length, which may be any number yet, and the rules.
fn read(text: &str) -> Result<(i64, Vec<Rule>), HclError> {
    let document = hcl::parse(text)?;
    check_keys(&document, &["length", "rule"])?;
    let length = match document.get("length") {
        Some(item) => item.value.to_int().ok_or_else(|| HclError::at(item.line, "\"length\" must be a whole number"))?,
        None => 0,
    };
    let mut rules = Vec::new();
    for block in document.blocks("rule", 1)? {
        if let Some(kind) = block.labels.first().filter(|kind| **kind != "charset") {
            return Err(HclError::at(block.line, format!("unknown rule {kind:?}; there is \"charset\"")));
        }
        rules.push(rule(block.body, block.line)?);
    }
    Ok((length, rules))
}

fn rule(body: &Body, line: u32) -> Result<Rule, HclError> {
    check_keys(body, &["charset", "min-chars"])?;
    let text = body.get("charset").and_then(|item| item.value.as_str()).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| HclError::at(line, "the rule needs a \"charset\" with characters in it"))?;
    let chars: BTreeSet<char> = text.chars().collect();
    let min = match body.get("min-chars") {
        Some(item) => item
            .value
            .to_int()
            .and_then(|min| usize::try_from(min).ok())
            .ok_or_else(|| HclError::at(item.line, "\"min-chars\" must be a whole number, not below zero"))?,
        None => 0,
    };
    Ok(Rule { chars: chars.into_iter().collect(), min })
}

/// A misspelt bound would be none.
fn check_keys(body: &Body, known: &[&str]) -> Result<(), HclError> {
    if let Some(item) = body.items().iter().find(|item| !known.contains(&item.key.as_str())) {
        return Err(HclError::at(item.line, format!("invalid key {:?}", item.key)));
    }
    match body.repeated() {
        Some(item) => Err(HclError::at(item.line, format!("{:?} is given twice", item.key))),
        None => Ok(()),
    }
}

/// Letters, digits, punctuation, symbols and the plain blank: no controls, other blanks or invisible marks.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}

fn listed(wrong: &[String]) -> String {
    let lines: Vec<_> = wrong.iter().map(|line| format!("\t* {line}\n")).collect();
    let noun = if wrong.len() == 1 { "1 error".to_owned() } else { format!("{} errors", wrong.len()) };
    format!("{noun} occurred:\n{}\n", lines.concat())
}

/// What the API accepts (spec `sys.md` §4).
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=100;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        PasswordPolicy::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn passwords_follow_their_rules() {
        let text = r#"
            length = 12
            rule "charset" { charset = "abc" min-chars = 4 }
            rule "charset" { charset = "0123456789" min-chars = 8 }"#;
        let policy = PasswordPolicy::parse(text).unwrap();
        let mut starts = BTreeSet::new();
        for _ in 0..200 {
            let password = policy.generate().expose().clone();
            assert_eq!(password.chars().filter(|c| "abc".contains(*c)).count(), 4);
            assert_eq!(password.chars().filter(char::is_ascii_digit).count(), 8);
            starts.insert(password.chars().next());
        }
        assert!(starts.len() > 8, "the order is random: {starts:?}");
    }

    #[test]
    fn every_character_is_used_about_equally() {
        let policy = PasswordPolicy::parse("length = 100 rule \"charset\" { charset = \"aab€é\" }").unwrap();
        let mut counts = std::collections::BTreeMap::<char, u32>::new();
        for _ in 0..100 {
            let password = policy.generate();
            assert_eq!(password.expose().chars().count(), 100);
            password.expose().chars().for_each(|c| *counts.entry(c).or_default() += 1);
        }
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (2200..2800).contains(count)), "{counts:?}");
    }

    #[test]
    fn json_says_the_same() {
        let hcl = PasswordPolicy::parse("length = 8\nrule \"charset\" { charset = \"ab\" min-chars = 2 }").unwrap();
        for json in [
            r#"{"length": 8, "rule": {"charset": {"charset": "ba", "min-chars": 2}}}"#,
            r#"{"length": "8", "rule": [{"charset": [{"charset": "ab", "min-chars": "2"}]}]}"#,
        ] {
            assert_eq!(PasswordPolicy::parse(json), Ok(hcl.clone()), "{json}");
        }
    }

    #[test]
    fn errors_are_the_api_s() {
        let invalid = |inner: &str| format!("invalid password policy: {inner}");
        let one = |inner: &str| invalid(&format!("1 error occurred:\n\t* {inner}\n\n"));
        for (text, error) in [
            ("length = 3\nrule \"charset\" { charset = \"abc\" }", "passwords must be between 4 and 100 characters".to_owned()),
            ("length = 101\nrule \"charset\" { charset = \"abc\" }", "passwords must be between 4 and 100 characters".to_owned()),
            (
                "length = 10\nrule \"charset\" { charset = \"abc\" min-chars = 20 }",
                one("specified rules require at least 20 characters but 10 is specified"),
            ),
            ("length = 2", one("no charset specified")),
            ("length = 8 rule \"charset\" { charset = \"a\\n\" }", one("non-printable character in charset")),
            (
                "rule \"charset\" { charset = \"a\" min-chars = 1 }",
                invalid(
                    "2 errors occurred:\n\t* length must be > 0\n\t* specified rules require at least 1 characters but 0 is specified\n\n",
                ),
            ),
            ("length = 8 rule \"charset\" {}", invalid("line 1: the rule needs a \"charset\" with characters in it")),
            ("length = 8\nrule \"x\" {}", invalid("line 2: unknown rule \"x\"; there is \"charset\"")),
            ("length = 8\nlength = 9", invalid("line 2: \"length\" is given twice")),
            ("lenght = 8", invalid("line 1: invalid key \"lenght\"")),
            ("length = \"x\"", invalid("line 1: \"length\" must be a whole number")),
            (
                "rule \"charset\" { charset = \"a\" min-chars = -1 }",
                invalid("line 1: \"min-chars\" must be a whole number, not below zero"),
            ),
            ("length = ", invalid("At 1:10: expected a value, found the end")),
        ] {
            assert_eq!(refused(text), error, "{text}");
        }
    }
}
