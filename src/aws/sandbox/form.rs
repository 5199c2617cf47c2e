//! The parameters of a call, as a form carries them.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::failure::Failure;

/// Parameters by name. Where one is given twice the last counts.
#[derive(Clone, Default)]
pub(super) struct Form(HashMap<String, String>);

impl Form {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let mut fields = HashMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if fields.len() >= FIELDS {
                return Err(Failure::new(400, "MalformedQueryString", "The query string has too many parameters."));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            fields.insert(decode(name)?, decode(value)?);
        }
        Ok(Self(fields))
    }

    /// From pairs, for calls from inside.
    pub(super) fn of(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| {
            let rule = "failed to satisfy constraint: Member must not be null";
            Failure::invalid(format!("1 validation error detected: Value null at '{}' {rule}", camel(name)))
        })
    }

    /// A number within bounds; `fallback` where none is given.
    pub(super) fn number(&self, name: &str, least: u64, most: u64, fallback: u64) -> Result<u64, Failure> {
        let Some(text) = self.get(name) else { return Ok(fallback) };
        let field = camel(name);
        let number: i64 = text.parse().map_err(|_| Failure::new(400, "MalformedInput", format!("{field} is not a number")))?;
        match u64::try_from(number) {
            Ok(number) if number > most => {
                Err(Failure::constraint(&field, text, &format!("Member must have value less than or equal to {most}")))
            }
            Ok(number) if number >= least => Ok(number),
            _ => Err(Failure::constraint(&field, text, &format!("Member must have value greater than or equal to {least}"))),
        }
    }

    /// The texts of a list: `Filter.member.1`, `Filter.member.2` …; with a `field`, `PolicyArns.member.1.arn` …
    pub(super) fn members(&self, list: &str, field: &str) -> Vec<&str> {
        let dot = if field.is_empty() { "" } else { "." };
        (1..=MEMBERS).map_while(|n| self.get(&format!("{list}.member.{n}{dot}{field}"))).collect()
    }
}

/// Values may be secrets of somebody.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `UserName` is `userName` in the messages of AWS.
fn camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn decode(text: &str) -> Result<String, Failure> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
        Failure::new(400, "MalformedQueryString", "The query string is not text in UTF-8.") //
    })
}

/// Parameters of one call: 50 tags are 100 of them.
const FIELDS: usize = 2000;

/// Members of one list; AWS takes 50 tags at the most, one more tells that there are too many.
const MEMBERS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let form = Form::parse("Action=Get&A=a+b%2Bc&L.member.1.K=x&L.member.2.K=y&Empty=&").unwrap();
        assert_eq!(form.get("A"), Some("a b+c"));
        assert_eq!(form.get("Empty"), Some(""));
        assert_eq!(form.members("L", "K"), ["x", "y"]);
        assert!(Form::parse("a=%ff").is_err());
    }

    #[test]
    fn numbers_are_bounded() {
        let form = Form::of(&[("Low", "-1"), ("High", "1001"), ("Fine", "7"), ("Word", "x")]);
        assert_eq!(form.number("Fine", 1, 1000, 100), Ok(7));
        assert_eq!(form.number("Absent", 1, 1000, 100), Ok(100));
        assert!(["Low", "High", "Word"].iter().all(|name| form.number(name, 1, 1000, 100).is_err()));
    }
}
