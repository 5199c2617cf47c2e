//! Flags: one typed table per command drives parsing, usage and completion (spec `cli.md` §1).

use std::collections::BTreeMap;

use crate::base::time::parse_nanos;

/// One flag of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub name: &'static str,
    /// A second name, or empty.
    pub alias: &'static str,
    pub kind: Kind,
    /// What stands for the value in usage.
    pub hint: &'static str,
    pub about: &'static str,
}

/// What a flag holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `-x`, `-x=true`, `-x=0`.
    Switch,
    Text,
    Number,
    Duration,
    /// Repeatable text.
    List,
    /// Repeatable `k=v`.
    Pairs,
}

impl Flag {
    const fn new(name: &'static str, kind: Kind, hint: &'static str, about: &'static str) -> Self {
        Self { name, alias: "", kind, hint, about }
    }
    pub(crate) const fn switch(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Switch, "", about)
    }
    pub(crate) const fn text(name: &'static str, hint: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Text, hint, about)
    }
    pub(crate) const fn number(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Number, "N", about)
    }
    pub(crate) const fn duration(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Duration, "DURATION", about)
    }
    pub(crate) const fn list(name: &'static str, hint: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::List, hint, about)
    }
    pub(crate) const fn pairs(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Pairs, "K=V", about)
    }
    /// The same flag, known by a second name too.
    pub(crate) const fn or(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }
    fn is_called(&self, name: &str) -> bool {
        self.name == name || (!self.alias.is_empty() && self.alias == name)
    }
}

/// Flags under one heading of the usage text.
#[derive(Debug)]
pub(crate) struct Group {
    pub title: &'static str,
    pub flags: &'static [Flag],
}

/// The flags a call gave, checked against their kinds.
#[derive(Debug, Default)]
pub(crate) struct Values {
    given: BTreeMap<&'static str, Vec<String>>,
}

impl Values {
    /// Whether the flag was given at all.
    pub(crate) fn has(&self, flag: &Flag) -> bool {
        self.given.contains_key(flag.name)
    }

    /// A switch that is off unless given.
    pub(crate) fn is(&self, flag: &Flag) -> bool {
        self.switch(flag).unwrap_or(false)
    }

    /// A switch, if given.
    pub(crate) fn switch(&self, flag: &Flag) -> Option<bool> {
        self.text(flag).and_then(parse_bool)
    }

    /// The last value given.
    pub(crate) fn text(&self, flag: &Flag) -> Option<&str> {
        self.given.get(flag.name).and_then(|all| all.last()).map(String::as_str)
    }

    /// A whole number, if given.
    pub(crate) fn number(&self, flag: &Flag) -> Option<i64> {
        self.text(flag).and_then(|text| text.parse().ok())
    }

    /// A duration in nanoseconds, if given.
    pub(crate) fn nanos(&self, flag: &Flag) -> Option<i128> {
        self.text(flag).and_then(|text| parse_nanos(text).ok())
    }

    /// Every value of a repeatable flag, as given.
    pub(crate) fn list(&self, flag: &Flag) -> &[String] {
        self.given.get(flag.name).map_or(&[], Vec::as_slice)
    }

    /// Every `k=v` of a repeatable flag; the last value of a key wins.
    pub(crate) fn pairs(&self, flag: &Flag) -> BTreeMap<String, String> {
        let split = |pair: &String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.list(flag).iter().filter_map(split).collect()
    }

    fn put(&mut self, flag: &Flag, value: String) {
        let values = self.given.entry(flag.name).or_default();
        if !matches!(flag.kind, Kind::List | Kind::Pairs) {
            values.clear();
        }
        values.push(value);
    }
}

/// Reads the flags before the first argument, and those of `anywhere` wherever they stand; gives the arguments.
pub(crate) fn parse(table: &[&Flag], anywhere: &[&str], words: &[String]) -> Result<(Values, Vec<String>), String> {
    let (mut values, mut arguments) = (Values::default(), Vec::new());
    let mut words = words.iter();
    let mut in_front = true;
    while let Some(word) = words.next() {
        let is_flag = word.starts_with('-') && word != "-";
        if in_front && word == "--" {
            in_front = false;
            continue;
        }
        let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or("");
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        if !is_flag || (!in_front && !anywhere.contains(&name)) {
            in_front = false;
            arguments.push(word.clone());
            continue;
        }
        if name.is_empty() || name.starts_with('-') {
            return Err(format!("bad flag syntax: {word}"));
        }
        let Some(flag) = table.iter().find(|flag| flag.is_called(name)) else {
            if in_front {
                return Err(format!("flag provided but not defined: -{name}"));
            }
            arguments.push(word.clone());
            continue;
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "true".to_owned(),
            (None, _) => words.next().cloned().ok_or_else(|| format!("flag needs an argument: -{name}"))?,
        };
        check(flag, name, &value)?;
        values.put(flag, value);
    }
    Ok((values, arguments))
}

fn check(flag: &Flag, name: &str, value: &str) -> Result<(), String> {
    let reason = match flag.kind {
        Kind::Text | Kind::List => return Ok(()),
        Kind::Switch => match parse_bool(value) {
            Some(_) => return Ok(()),
            None => return Err(format!("invalid boolean value \"{value}\" for -{name}: parse error")),
        },
        Kind::Number => value.parse::<i64>().err().map(|_| "parse error".to_owned()),
        Kind::Duration => parse_nanos(value).err().map(|error| error.to_string()),
        Kind::Pairs if value.contains('=') => None,
        Kind::Pairs => Some(format!("missing = in KV pair: \"{value}\"")),
    };
    reason.map_or(Ok(()), |reason| Err(format!("invalid value \"{value}\" for flag -{name}: {reason}")))
}

/// `true`, `1`, `t` and their opposites, in the usual spellings.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORCE: Flag = Flag::switch("force", "").or("f");
    const TTL: Flag = Flag::duration("ttl", "");
    const POLICY: Flag = Flag::list("policy", "NAME", "");
    const META: Flag = Flag::pairs("metadata", "");
    const FORMAT: Flag = Flag::text("format", "F", "");

    fn read(words: &[&str]) -> Result<(Values, Vec<String>), String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        parse(&[&FORCE, &TTL, &POLICY, &META, &FORMAT], &["format"], &words)
    }

    #[test]
    fn flags_are_read_in_every_form() {
        let (values, arguments) =
            read(&["--force", "-ttl", "30d", "-policy=x,y", "-policy=z", "-metadata=a=b=c", "p", "-k=1", "-format", "json"])
                .unwrap();
        assert!(values.is(&FORCE));
        assert_eq!(values.nanos(&TTL), Some(30 * 86_400 * 1_000_000_000));
        assert_eq!(values.list(&POLICY), ["x,y", "z"]);
        assert_eq!(values.pairs(&META), BTreeMap::from([("a".to_owned(), "b=c".to_owned())]));
        assert_eq!(values.text(&FORMAT), Some("json"));
        assert_eq!(arguments, ["p", "-k=1"]);
    }

    #[test]
    fn a_switch_may_be_turned_off_and_does_not_eat_a_word() {
        let (values, arguments) = read(&["-f=0", "true"]).unwrap();
        assert_eq!(values.switch(&FORCE), Some(false));
        assert_eq!(arguments, ["true"]);
    }

    #[test]
    fn mistakes_are_told_in_the_usual_words() {
        for (words, text) in [
            (&["-x"][..], "flag provided but not defined: -x"),
            (&["-ttl"], "flag needs an argument: -ttl"),
            (&["-ttl=abc"], "invalid value \"abc\" for flag -ttl: time: invalid duration \"abc\""),
            (&["-metadata=x"], "invalid value \"x\" for flag -metadata: missing = in KV pair: \"x\""),
            (&["-f=maybe"], "invalid boolean value \"maybe\" for -f: parse error"),
            (&["---f"], "bad flag syntax: ---f"),
        ] {
            assert_eq!(read(words).unwrap_err(), text);
        }
    }
}
